/* book_writing: what the parts of the book as a world share (book.h): its sites are book_world.c's,
 * its egress rules book_egress.c's, and what of them a world of one's own has already
 * book_update.c's. Only they include it. */
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

/* A destination of a place's bytes, as an egress rule selects it. */
struct book_aim {
    const struct book_figure *figure; /* its price */
    const struct egress_rule *kept;   /* without a figure: the catalogue's */
    char to[LIMIT_REF_BYTES];
    char name[BOOK_RULE_BYTES]; /* of a rule whose first destination it is */
    bool written;
};
struct book_aims {
    struct book_aim *list;
    int count;
};
#define BOOK_AIMS_BYTES ((size_t)16 << 20) /* of a place; each has about half a KiB */

/* The place that begins at a figure; false after the last. */
bool book_place(const struct writing *writing, int first, struct place *ret_place);
/* A place that nobody knows needs both prices; of a known one each is an improvement. */
bool book_place_used(const struct place *place);
/* Where the figures of a place come from. */
#define BOOK_SOURCE_BYTES (LIMIT_TEXT_BYTES * 3 + 64)
const char *book_source(const struct place *place, char text[BOOK_SOURCE_BYTES]);
/* All destinations of a place, in the book's order, in the arena. */
int book_aims(const struct writing *writing, const struct place *place, struct arena *arena,
              struct book_aims *ret_aims, struct error *err) WARN_UNUSED;
/* "aws-us-east-1-to-internet", and by a number above 0 "gcp-us-east1-to-emea-2". */
void book_rule_name(const char *from, const char *to, int number, char name[BOOK_RULE_BYTES]);
int book_bad_name(const char *from, const char *to, const char *name, struct error *err);
/* Whether one rule may price both: they are of one figure, which one meter of the provider counts,
 * or have one price without steps, so that it does not matter which meter does. */
bool book_together(const struct book_aim *one, const struct book_aim *other);
int book_egress(struct writing *writing, const struct place *place, struct error *err) WARN_UNUSED;
