/*
 * plan_call: a request whose answer waits for a solve, followed to its end: how far the solve has
 * come is told on standard error while it takes long, and Ctrl-C ends it with the best so far.
 *
 * A solve that is over within PLAN_CALL_QUIET_US is not told of at all. On a terminal one line is
 * written over and over, elsewhere a line each few seconds. One thread.
 */
#pragma once

#include "scheduler/cli/client.h"

#define PLAN_CALL_QUIET_US (INT64_C(1500) * 1000)
#define CLI_CANCELLED      130 /* exit code: as a shell tells what Ctrl-C has ended */

struct plan_call {
    int signals;    /* of terminal_signals, taken before the client was opened; -1: none */
    bool cancelled; /* set on return: Ctrl-C came, and the answer is the best so far */
};

int plan_call(struct client *client, const char *verb, struct message_request *request,
              struct plan_call *call, struct client_reply *ret_reply,
              struct error *err) WARN_UNUSED;
