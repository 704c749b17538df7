/*
 * answers: what HAProxy says on its runtime socket, line by line. Another program's bytes: each
 * function takes one terminated line of any content and says what it is. Any thread; no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

/* A line of `show servers state`. */
struct answer_server {
    int lane; /* 0: "r<slot>", 1: "w<slot>" */
    int slot;
    char name[LIMIT_ID_BYTES];
    char host[48];
    int port;
    int admin; /* HAProxy's bits: 0 is none of maintenance and drain */
    int weight;
};
/* 1: read; 0: not a line about a server of a slot. */
int answer_server(const char *line, struct answer_server *ret_server) WARN_UNUSED;

/* A line of `show map`: "0x55.. key slot". */
struct answer_entry {
    char key[420];
    int slot;
};
int answer_entry(const char *line, struct answer_entry *ret_entry) WARN_UNUSED;

/* A line of `show map` of the slots that wait: "0x55.. slot 1". */
int answer_held(const char *line, int *ret_slot) WARN_UNUSED;

/* "Pid: 123" of `show info`: 1 and the number; 0: another line. */
int answer_pid(const char *line, int64_t *ret_pid) WARN_UNUSED;

/* "r12" or "w12" -> lane and slot. */
bool answer_backend(const char *name, int *ret_lane, int *ret_slot);

/* Which column is what in `show stat`: -1 is not there. */
enum stat_column {
    STAT_BACKEND,
    STAT_SERVER,
    STAT_BYTES_IN,
    STAT_BYTES_OUT,
    STAT_1XX,
    STAT_2XX,
    STAT_3XX,
    STAT_4XX,
    STAT_5XX,
    STAT_OTHER,
    STAT_CONNECT_ERRORS,
    STAT_ANSWER_ERRORS,
    STAT_COLUMNS
};
struct stat_columns {
    int index[STAT_COLUMNS];
};
struct answer_stat {
    int lane;
    int slot;
    char name[LIMIT_ID_BYTES];
    int64_t requests;
    int64_t errors;
    int64_t bytes_in;
    int64_t bytes_out;
};
/* 1: `line` was the header, and *ret_columns is what it says (all that is needed is there). */
int answer_stat_header(const char *line, struct stat_columns *ret_columns) WARN_UNUSED;
int answer_stat(const char *line, const struct stat_columns *columns,
                struct answer_stat *ret_stat) WARN_UNUSED;

/* A datagram of the request log: "r12 <server> <status> <microseconds>". */
struct answer_log {
    int lane;
    int slot;
    char name[LIMIT_ID_BYTES];
    int status;
    int64_t latency_us;
};
int answer_log(const char *line, struct answer_log *ret_log) WARN_UNUSED;
