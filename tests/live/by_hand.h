/*
 * by_hand: one workload without Berth: the program itself, and this test in Berth's place at its
 * $BERTH_SOCKET. Each has a folder of its own, which is its working directory.
 *
 * Failures of the set-up fail the cmocka test that asked. A program dies with this process. One
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BY_HAND_WAIT_US (60 * US_PER_S)

struct by_hand {
    pid_t pid; /* 0: not running */
    int listener;
    int fd; /* its connection; -1: none */
    char folder[700];
    char instance[64];
    char words[8192]; /* what it has said and nobody has looked for */
    size_t bytes;
};

struct by_hand_options {
    const char *instance;
    const char *const *argv; /* ends with NULL; argv[0] is the program's path */
    const char *nats_url;    /* NULL: none */
    const char *address;     /* $BERTH_ADDRESS; NULL: none */
};

/* Starts it and waits for its "ready". `within` is a folder that is there. */
void by_hand_start(struct by_hand *self, const char *within, const struct by_hand_options *options);
/* Says a line, without its end. */
void by_hand_say(struct by_hand *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Waits for a line that begins with `word`; its rest goes to `rest` (may be NULL). Counts and other
 * lines before it are passed over. A line "failed ..." fails the test. */
void by_hand_hear(struct by_hand *self, const char *word, char *rest, size_t capacity);
/* True when such a line comes within that time. */
bool by_hand_hears(struct by_hand *self, const char *word, int64_t limit_us);
/* SIGKILL, reaped. Fine on a zeroed struct. */
void by_hand_done(struct by_hand *self);
