/* book_writing: what the two halves of the book as a world share (book.h): its sites are
 * book_world.c's, its egress rules book_egress.c's. Only they include it. */
#pragma once

#include "model/feeds/book_internal.h"
#include "model/json_out.h"
#include "model/world.h"

struct place { /* a run of the book's figures that are of one site */
    const char *site;
    int first;
    int end;
    bool catalogued;
    const struct book_version *cpu;
    const struct book_version *memory;
    const struct book_version *storage;
};

struct writing {
    const struct book *book;
    struct book_view view;
    const struct world *catalogue;  /* or the world that is updated */
    bool whole;                     /* all of its sites are there */
    const char *there[LIMIT_SITES]; /* the book's sites that are written */
    int there_count;
    struct json_out json;
    int sites;
    int rules;
};

#define BOOK_RULE_BYTES (LIMIT_REF_BYTES * 2 + 16)

struct book_target { /* where a figure's bytes go, as an egress rule has it */
    int next;        /* begins at 0 */
    char to[LIMIT_REF_BYTES];
    char name[BOOK_RULE_BYTES]; /* the rule's */
};

/* The place that begins at a figure; false after the last. */
bool book_place(const struct writing *writing, int first, struct place *ret_place);
/* A place that nobody knows needs both prices; of a known one each is an improvement. */
bool book_place_used(const struct place *place);
/* The next target of a figure of egress; false after the last. */
bool book_next_target(const struct writing *writing, const struct book_figure *figure,
                      struct book_target *target);
int book_egress(struct writing *writing, const struct place *place, struct error *err) WARN_UNUSED;
