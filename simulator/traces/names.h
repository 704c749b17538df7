/*
 * names: texts and their numbers, from 0 in the order in which they came. Texts are copied and stay
 * until names_done. Adding costs one hash; finding too. One thread.
 */
#pragma once

#include <stdint.h>

struct names {
    char **texts;
    uint32_t *slots; /* a number and 1; 0: free */
    uint32_t capacity;
    int count;
};

void names_done(struct names *names);                        /* a zeroed one is accepted */
int names_find(const struct names *names, const char *text); /* -1: not there */
/* The text's number, new or not; -1: no memory. */
int names_add(struct names *names, const char *text);
