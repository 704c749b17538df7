/*
 * peer_read: what glpsol and cbc say of their work, read from their own output.
 *
 * Both print lines for people. What is not understood is passed over; a number that is none counts
 * as nothing said. A claim without an assignment, or a bound that is no number, is taken for none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct peer_words {
    bool placed;
    bool proven;  /* what it has is the optimum; without `placed`, that there is no plan */
    bool limit;   /* it stopped for the time */
    double cost;  /* when placed */
    double bound; /* -INFINITY: none */
};

/* glpsol's terminal output followed by its report (-o). The text needs no terminator. */
void peer_read_glpsol(const char *text, size_t bytes, struct peer_words *ret_words);
void peer_read_cbc(const char *text, size_t bytes, struct peer_words *ret_words);
