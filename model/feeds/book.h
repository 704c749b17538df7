/*
 * book: the price book: the last good value of every figure, those before it, and what was held
 * back.
 *
 * A figure of a new list enters the book when it can be believed: it has no problem of its own
 * (figures.h), is not 0 where it was something, at any step, and is within a factor of the last
 * good value, or, the first time, of what the built-in catalogue says. Otherwise it is held back:
 * told, kept beside the figure, and the last good value stays, with its age. `accept` lets a person
 * overrule that, but for what has no price, or one below 0, for a part of the month. Nothing is
 * ever removed: what a new list no longer has keeps its value, marked as gone since then.
 *
 * Its text is one JSON document, read back with json_scan, so that its size is bounded by
 * LIMIT_FEED_FIGURES and LIMIT_FEED_VERSIONS alone; a day's import of three clouds adds what
 * changed. A book that was cut, or edited badly, is ERR_CORRUPT as a whole. Pure: the caller has
 * the file, the clock and the question. Everything is in an arena of its own; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/feeds/figures.h"

struct arena;
struct world;

struct book_version {
    struct price_step *steps;
    int step_count;
    struct wall seen; /* when an import brought it */
    const char *effective;
    const char *source;
};

struct book_figure {
    const char *site;
    enum feed_kind kind;
    enum feed_term term;
    const char *to;
    int64_t per_bytes;
    struct book_version
        *versions; /* the last is the one that counts; none: held back from the first */
    int version_count;
    int version_capacity;
    struct wall checked; /* when a list last said that it is so */
    /* Held back since the last good one, or "". */
    const char *held;
    struct wall held_at;
    struct wall gone_at; /* when a list was first without it; us 0: the last list has it */
    bool taken;          /* by this process */
};

struct book;

int book_create(struct book **ret_book, struct error *err) WARN_UNUSED;
void book_destroy(struct book *book);
/* `file` is a name for messages. */
int book_read(const char *file, const char *text, size_t bytes, struct book **ret_book,
              struct error *err) WARN_UNUSED;
void book_write(const struct book *book, struct strbuf *out);

int book_count(const struct book *book);
const struct book_figure *book_at(const struct book *book, int index); /* by site, kind, term, to */
const struct book_version *book_now(const struct book_figure *figure); /* NULL: there is none */
/* NULL: there is none. */
const struct book_figure *book_find(const struct book *book, const char *site, enum feed_kind kind,
                                    enum feed_term term, const char *to);

/* "aws/us-east-1 cpu", "aws/us-east-1 egress internet", "gcp/us-east1 cpu spot". */
#define BOOK_NAME_BYTES 320
const char *book_name(const struct book_figure *figure, char out[BOOK_NAME_BYTES]);
/* "$0.09, $0.085 from 10240": the steps. */
#define BOOK_PRICE_BYTES 1024
const char *book_price(const struct price_step *steps, int count, char out[BOOK_PRICE_BYTES]);

struct book_policy {
    struct wall now;
    int64_t
        factor_ppm; /* a value beyond so many times the last one, or below 1 by it, is held back */
    /* True: a person looked at it; may be NULL. `name` as book_name. */
    bool (*accept)(void *context, const char *name);
    void *context;
    const struct world *reference; /* whose sites are compared with where there is no value yet */
};

enum book_outcome { BOOK_SAME, BOOK_NEW, BOOK_CHANGED, BOOK_HELD };
/* `why` tells of BOOK_HELD. */
int book_take(struct book *book, const struct figure *figure, const struct book_policy *policy,
              enum book_outcome *ret_outcome, char why[LIMIT_TEXT_BYTES * 2],
              struct error *err) WARN_UNUSED;

/* What a list was without: the figures of `provider` that came from `list` before, have not been
 * taken now, and are covered. One is where the other figures of its kind, site and term came (vCPU
 * and GiB are of one kind); of a list that was read as a whole (`whole` says yes to its site) any
 * on demand or spot is. Each that was there the last time is marked as gone, and told. */
struct book_scope {
    const char *provider;
    const char *list; /* as figures_options */
    bool (*whole)(void *context, const char *site);
    int (*tell)(void *context, const struct book_figure *figure, struct error *err);
    void *context;
    struct wall now;
};
int book_gone(struct book *book, const struct book_scope *scope, struct error *err) WARN_UNUSED;

/* Whether a word means a site: its name, or the beginning of it before a last asterisk. */
bool book_means(const char *word, const char *site);

/* The book as a world document: its sites, with what the catalogue knows of them beside, and its
 * egress rules. ERR_NOT_FOUND for a book without a site that has a price. */
struct book_view {
    enum feed_term term;           /* on demand where there is none of it */
    const char *const *words;      /* the sites that are of that term; the others are on demand */
    int word_count;                /* 0: all are */
    const struct world *catalogue; /* may be NULL: no site is known */
    bool whole;                    /* all of the catalogue, with the book over it */
};
int book_world(const struct book *book, const struct book_view *view, struct strbuf *out,
               struct error *err) WARN_UNUSED;
/* The book's figures put in place of a world's own: sites by name, egress rules by the names that
 * book_world gives them. The world is one in the arena; how many figures changed. */
int book_update(const struct book *book, const struct book_view *view, struct world *world,
                struct arena *arena, struct error *err) WARN_UNUSED;
