/*
 * node_rig: a real berth-node on a private nats-server, driven by commands on the bus as a
 * scheduler would, and what it reports. Waits poll for a condition, at most 30 s; a failure fails
 * the cmocka test. One thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/bus/bus.h"
#include "base/wire/messages.h"
#include "tests/live/server.h"

#define RIG_INSTANCES 16

struct rig {
    struct test_server server;
    struct bus *bus;
    pid_t agent; /* 0: not running */
    char state[600];
    char cgroup[64];
    struct epoch epoch;
    int next_id;
    char text[LIMIT_TEXT_BYTES]; /* of the last answer */
    struct message_instance seen[RIG_INSTANCES];
    int seen_count;
    int hellos;
    int hellos_without; /* an ingress that is live */
    int logs;
    char last_log[256];
    int64_t counters[SAMPLE_COUNT]; /* of the last batch */
    struct message_probed probed;
    bool silent; /* beats that ask are not answered: leases run out */
    char handed[RIG_INSTANCES][LIMIT_HANDED_BYTES + 1]; /* of `seen` */
};

void rig_open(struct rig *rig);
/* extra: further arguments, terminated by NULL, or NULL. */
void rig_agent_start(struct rig *rig, const char *const *extra);
void rig_agent_kill(struct rig *rig); /* SIGKILL, reaped */
int rig_agent_stop(struct rig *rig);  /* SIGTERM, reaped: its exit status */
/* Ends all of it; nothing may be left: no process, no cgroup. */
void rig_close(struct rig *rig);

/* The test's own workload (workload.c) with these arguments, by contract. */
struct message_spec rig_spec(const char *const *args);
/* Another file than that workload; fills artifact and digest. */
void rig_artifact(struct message_spec *spec, const char *path);
/* Sends a command and returns the answer's code. */
int rig_order(struct rig *rig, enum node_verb verb, const char *instance,
              const struct message_spec *spec);
/* The same with a command of the caller's own, whose id, epoch and instance are filled in. */
int rig_command(struct rig *rig, struct message_command *command, const char *instance);
/* Until the instance was reported in that state. */
const struct message_instance *rig_await(struct rig *rig, const char *instance,
                                         enum instance_state state);
/* Dispatches for a moment. */
void rig_turn(struct rig *rig);
const struct message_instance *rig_seen(const struct rig *rig, const char *instance);
/* A file in the instance's folder; terminated; "" when it is not there. */
void rig_read(const struct rig *rig, const char *instance, const char *name, char *out,
              size_t capacity);
/* The pid that the workload wrote to its file `name`; waits for it. */
pid_t rig_pid(struct rig *rig, const char *instance, const char *name);
bool rig_is_alive(pid_t pid); /* a zombie is not */
