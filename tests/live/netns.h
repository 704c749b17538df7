/*
 * netns: a far place: a network namespace with an address of its own, and a cable to it that has a
 * length and can be cut (test-wire, wire.c). It goes with the program that opened it, whatever ends
 * that. Failures fail the cmocka test; a machine that does not permit namespaces skips it. One
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct netns {
    pid_t pid; /* of the cable, which is in the namespace; 0: none */
    int to;    /* its standard input */
    int from;
    char near[16]; /* addresses of the two ends */
    char far[16];
};

enum netns_cut { NETNS_WHOLE, NETNS_CUT_BOTH, NETNS_CUT_TO_FAR, NETNS_CUT_TO_NEAR };

/* False, with the reason printed, when this machine does not permit it. */
bool netns_open(struct netns *netns);
void netns_close(struct netns *netns); /* fine on a zeroed struct */
void netns_delay(struct netns *netns, int64_t to_far_us, int64_t to_near_us, int64_t jitter_us);
void netns_cut(struct netns *netns, enum netns_cut cut);
/* This process goes there: for a child between fork and exec. Below 0: errno says why. */
int netns_enter(const struct netns *netns);
