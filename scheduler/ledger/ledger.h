/*
 * ledger: what every workload really cost, hour by hour, exact, beside what the model had said.
 *
 * A row is one hour of one workload's use of one thing at one price: reserved CPU or memory, stored
 * bytes, bytes on one tier of one egress rule, a custom term. Its quantity is an integer and only
 * grows; its amount is price x quantity, rounded once, half to even, to nano-dollars. A price or a
 * tag that changes within the hour, or a tier that is reached, begins another row. Compute and
 * storage count whole seconds, as the providers bill. Predictions are rows of their own: what the
 * cost model said the same seconds would cost.
 *
 * Egress meters (account, rule) count one calendar month in UTC; a meter of the first month begins
 * at the rule's month_to_date. Bytes that cross a tier's border are divided there, to the byte.
 *
 * Times are wall-clock microseconds since 1970. `ledger_accrued` is the instant up to which time
 * has been charged: the caller charges [accrued, now) and then says so, so that nothing is charged
 * twice after a crash (flush writes rows, meters and that instant in one transaction). A clock that
 * steps back charges nothing until it has caught up.
 *
 * Storage: SQLite (WAL), or ":memory:" for a simulation. Everything that was not flushed yet is in
 * memory, LEDGER_ROWS_MAX rows at most (then a flush happens by itself). One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/decimal.h"
#include "base/error.h"
#include "model/cost.h"
#include "model/types.h"

struct ledger;

#define LEDGER_ROWS_MAX 65536

int ledger_open(const char *path, struct ledger **ret_ledger, struct error *err) WARN_UNUSED;
void ledger_close(struct ledger *ledger); /* what was not flushed is lost */

/* Up to where time has been charged; 0: never anything. */
int64_t ledger_accrued_us(const struct ledger *ledger);
void ledger_accrued(struct ledger *ledger, int64_t until_us);
/* Writes everything new in one transaction. On failure all of it is kept for the next try. */
int ledger_flush(struct ledger *ledger, struct error *err) WARN_UNUSED;

/* Who used something, and where. */
struct ledger_who {
    const struct world *world;
    const struct app *app;
    int workload; /* index in the app */
    int site;     /* index in the world: who is paid */
};

/* Reserved for [from, to): CPU and memory, on a client site nothing. Data centres carry their
 * overhead as rows of their own ("cpu overhead"). */
int ledger_reserve(struct ledger *ledger, const struct ledger_who *who, int64_t mcpu, int64_t bytes,
                   int64_t from_us, int64_t to_us, struct error *err) WARN_UNUSED;
/* Stored for [from, to). */
int ledger_store(struct ledger *ledger, const struct ledger_who *who, int64_t bytes,
                 int64_t from_us, int64_t to_us, struct error *err) WARN_UNUSED;
/* Bytes that went from who->site to the site `peer` at about `at`: charged to each side that pays,
 * to the workload `who` in both cases. */
int ledger_transfer(struct ledger *ledger, const struct ledger_who *who, int peer, int64_t bytes,
                    int64_t at_us, struct error *err) WARN_UNUSED;
/* A billed custom term: so many nano-dollars a month during [from, to). */
int ledger_custom(struct ledger *ledger, const struct ledger_who *who, const char *term,
                  nusd per_month, int64_t from_us, int64_t to_us, struct error *err) WARN_UNUSED;
/* What the model says these seconds cost: `per_month` of one term. */
int ledger_predict(struct ledger *ledger, const struct ledger_who *who, enum cost_term term,
                   nusd per_month, int64_t from_us, int64_t to_us, struct error *err) WARN_UNUSED;

/* Month to date on a meter, in bytes, for the month that contains `at`. */
int64_t ledger_meter_bytes(struct ledger *ledger, const char *account, const char *rule,
                           int64_t at_us);

/* What has changed of the meters that have several tiers since `told` (of which other kinds are
 * passed over): those that moved by a hundredth, passed a tier's border, or begin a month anew.
 * Then the next byte may have another price. At most `room` estimates of ESTIMATE_METER_BYTES, with
 * at_us `now`; returns how many. */
int ledger_meters_news(struct ledger *ledger, const struct world *world,
                       const struct estimates *told, int64_t now_us, struct estimate *list,
                       int room);
#define LEDGER_NEWS_MAX 256 /* enough at a time: what found no room is news again */

/* ---- reading (ledger_query.c) ---- */

struct ledger_row {
    int64_t id;      /* grows with time; for paging */
    int64_t hour_us; /* its beginning */
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char term[LIMIT_NAME_BYTES]; /* cost_term_words */
    char item[LIMIT_NAME_BYTES]; /* "cpu", "memory", "storage", a rule's or a custom term's name */
    char account[LIMIT_NAME_BYTES];
    char provider[LIMIT_NAME_BYTES];
    char region[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char peer[LIMIT_REF_BYTES];                   /* egress: the other end; "" */
    char tags[LIMIT_TAGS * 2 * LIMIT_NAME_BYTES]; /* of the site, a JSON object, keys sorted */
    char unit[LIMIT_NAME_BYTES];                  /* "vCPU-hour"; quantity / per of them */
    struct decimal price;
    uint64_t per;
    int64_t quantity;
    int tier;    /* of an egress rule; -1 */
    nusd amount; /* 0 in a prediction */
    nusd predicted;
};

struct ledger_filter {
    int64_t from_us;        /* [from, to) by hours */
    int64_t to_us;          /* 0: no end */
    int64_t after_id;       /* paging: only later rows */
    const char *namespace_; /* each NULL or "": any */
    const char *app;
    const char *workload;
    const char *account;
    const char *term;
    const char *tag_key; /* of the site */
    const char *tag_value;
};

typedef int ledger_visitor(void *context, const struct ledger_row *row, struct error *err);
/* Rows in the order of their ids, the unflushed ones included (they are flushed first), until the
 * visitor returns non-zero (returned). */
int ledger_rows(struct ledger *ledger, const struct ledger_filter *filter, ledger_visitor *visitor,
                void *context, struct error *err) WARN_UNUSED;

/* What sums are made by: any set of these. */
enum ledger_by {
    LEDGER_BY_NAMESPACE = 1,
    LEDGER_BY_APP = 2, /* with its namespace */
    LEDGER_BY_WORKLOAD = 4,
    LEDGER_BY_TERM = 8,
    LEDGER_BY_ACCOUNT = 16,
    LEDGER_BY_SITE = 32,
    LEDGER_BY_HOUR = 64,
    LEDGER_BY_DAY = 128,
    LEDGER_BY_TAG = 256, /* the value of filter.tag_key */
};
struct ledger_sum {
    char
        key[512]; /* what it is the sum of, parts separated by a tab, in the order of enum ledger_by
                   */
    nusd amount;
    nusd predicted;
};
/* Sorted by key; list in the arena. */
int ledger_sums(struct ledger *ledger, const struct ledger_filter *filter, unsigned by,
                struct arena *arena, struct ledger_sum **ret_sums, int *ret_count,
                struct error *err) WARN_UNUSED;

/* The month that contains `now`: what it has cost, and what it will have at its end: the rest is
 * filled with the mean of the same hour of the day over the last 14 days, or with the mean hour
 * while there are less than two days. hours: of history that this rests on. */
struct ledger_forecast {
    nusd to_date;
    nusd predicted_to_date;
    nusd month;
    int hours;
};
int ledger_forecast(struct ledger *ledger, const struct ledger_filter *filter, int64_t now_us,
                    struct ledger_forecast *ret_forecast, struct error *err) WARN_UNUSED;

/* ---- FOCUS (ledger_focus.c) ---- */
struct strbuf;
/* The header line and one row of a CSV with the column names of FOCUS 1.2
 * (https://focus.finops.org), RFC 4180 quoting. Predictions are x_PredictedCost. */
void ledger_focus_header(struct strbuf *out);
void ledger_focus_row(const struct ledger_row *row, struct strbuf *out);

/* First instant of the UTC month that contains `at`, and of the next one. */
void ledger_month(int64_t at_us, int64_t *ret_from_us, int64_t *ret_to_us);
