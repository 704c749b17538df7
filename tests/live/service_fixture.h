/*
 * service_fixture: a scheduler as a process of its own on a real nats-server with accounts and
 * permissions, and two nodes played by the test: they speak the wire, and do at once what they are
 * told. Failures of the set-up fail the cmocka test that asked. One thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bus/bus.h"
#include "base/clock.h"
#include "base/keys/proof.h"
#include "base/wire/messages.h"
#include "scheduler/service/service.h"
#include "tests/live/server.h"

#define WAIT_US (60 * US_PER_S) /* generous: conditions are polled */
#define COPIES  16

/* In the scheduler's environment: service_options.snapshot_records. */
#define SNAPSHOT_RECORDS_ENV "BERTH_TEST_SNAPSHOT_RECORDS"

struct fixture;

/* A node: what runs on it, as it would report it. */
struct node {
    struct fixture *fixture;
    struct bus *bus;
    struct proof_link link;
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    uint64_t seq;
    bool silent;     /* says nothing: neither beats nor answers */
    bool ready_late; /* START leads to "starting" only */
    int hellos;
    int commands;
    struct message_instance copies[COPIES];
    int copy_count;
};

struct fixture {
    struct test_server server;
    char state[600];
    char world[600];
    bool mounted; /* a tmpfs at `state` */
    pid_t scheduler;
    struct bus *client;
    struct proof_link link; /* the client's */
    struct bus *workloads;
    struct node nodes[2];
    int64_t beat_us;
    uint64_t ids;
};

/* For main: runs the scheduler when the program was started by scheduler_start; -1: it was not. */
int scheduler_main(int argc, char **argv);

/* What the state directory stands on: NULL for a folder, or the size of a tmpfs ("1m"). */
int fixture_setup(void **state, const char *tmpfs_size);
int setup(void **state);
int teardown(void **state);

void scheduler_start(struct fixture *fixture);
void scheduler_end(struct fixture *fixture, int signal_number);
void await_scheduler(struct fixture *fixture);
struct service_options options_of(const struct fixture *fixture);

/* One short turn for all the test's own connections. */
void pump(struct fixture *fixture);
void publish(struct node *node, const char *subject, const struct wire_shape *shape,
             const void *message);
void report(struct node *node, struct message_instance *copy, enum instance_state state);

/* The whole reply; its body, parsed, under "parsed". NULL: there was none. */
json_t *try_ctl(struct fixture *fixture, const char *verb, struct message_request request);
/* The body of an answer that has to be 0; the caller's to free. */
json_t *ctl(struct fixture *fixture, const char *verb, struct message_request request);
/* An answer that has to be this error, with this word in its text. */
void refused(struct fixture *fixture, const char *verb, struct message_request request, int code,
             const char *word);
/* Asks `get kind` until an item has key = value and, if given, key2 = value2. */
void await_item(struct fixture *fixture, const char *kind, const char *key, const char *value,
                const char *key2, const char *value2);
void both_nodes_up(struct fixture *fixture);
int64_t number(const json_t *object, const char *key);
const char *string(const json_t *object, const char *key);

extern const char app_text[];
struct message_request request_for(const char *app, const char *workload);
struct message_request retag_to(const char *cloud);
void apply_app(struct fixture *fixture);
