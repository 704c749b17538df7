/*
 * usage: the processor time that each program of a cluster takes, and how busy the machine is with
 * everything, over pieces of time that add up; a figure of latency says little without it. Read in
 * /proc at the begin and the end of each piece; a program that ends or begins within one counts
 * nothing for it, so pieces are chosen in which none does. One at a time is under way. One thread.
 */
#pragma once

#include "tests/live/cluster.h"

#define USAGE_PROGRAMS 16

struct usage_program {
    char name[16]; /* of all processes of this name together */
    int64_t cpu_us;
};

struct usage {
    struct usage_program programs[USAGE_PROGRAMS];
    int count;
    int64_t wall_us;
    int64_t busy_us; /* of all processors, whoever took it */
    int64_t room_us; /* of all processors */
};

void usage_begin(const struct cluster *cluster);
void usage_end(const struct cluster *cluster, struct usage *usage); /* adds to it */
/* Lines for people: each program's time a request, and its share of the machine. */
void usage_print(const struct usage *usage, int64_t requests);
void usage_json(const struct usage *usage, int64_t requests); /* an object */
