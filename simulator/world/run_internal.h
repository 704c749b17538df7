/* run_internal: what the files of a run share. */
#pragma once

#include "simulator/world/load.h"
#include "simulator/world/run.h"
#include "simulator/world/truth.h"

#define DOCUMENT_BYTES ((size_t)2 << 30)

#define RUN_MONTH_US (INT64_C(3600000000) * HOURS_PER_MONTH)

struct charge;

/* Amounts per month times microseconds: divided once, when they are told. */
struct run_area {
    __int128 bill;
    __int128 score;
};

struct run_books {
    struct run_area *cells; /* [(app * TERM_COUNT + term) * sites + site], of the present bucket */
    int64_t bucket_us;      /* its beginning */
    struct run_area total;  /* of the bucket */
    __int128 bound;
    __int128 bound_score;
    int64_t bound_us;
    __int128 calls; /* mhz x us */
    __int128 slow;
    __int128 lost;
    __int128 rtt; /* mhz x us x us */
};

struct run {
    const struct scenario *scenario;
    const struct scenario_cell *cell;
    struct solver *solver;
    const struct run_sink *sink;
    struct run_result *result;
    struct arena arena; /* documents */
    struct arena set;   /* ... as they truly are by what is set now */
    struct arena told;  /* ... the world of that which the scheduler has */
    struct world world;
    struct app *apps;
    int app_count;
    int part_count;
    struct chooser *policy;
    struct plant *plant;
    struct load *load;
    struct truth truth;
    struct charge *charge;
    struct run_books books;
    int64_t from_us;
    int64_t until_us;
    int64_t piece_us;    /* the bound is charged up to here */
    int64_t *charged_us; /* [app]: it is up to here */
    bool *due;           /* [app]: of one charge */
    int64_t seen_us;     /* requests counted up to here */
    int64_t step_index;
    struct placement *at; /* [part]: as charged */
    struct placement *to; /* [part]: as it is now */
    bool *moved;          /* [app]: those two differ */
    bool *unserved;       /* [part] */
    struct run_part {
        int first;    /* of its app's parts */
        int siblings; /* it has, with this one */
        bool data;
    } * parts;          /* [part] */
    int64_t *down_us;   /* [part]: not charged yet, without a serving copy */
    uint64_t changes;   /* of the fleet, as seen */
    uint64_t decisions; /* of the core, as seen */
    uint64_t ended;
    bool counting; /* the warm-up is over */
    nusd bound;    /* per month, of the present inputs */
    bool bound_known;
    int64_t held[VERDICT_COUNT]; /* decisions that were not taken, by why */
    uint64_t bound_hash;
    uint64_t world_hash; /* of what the scheduler has */
    int64_t *history;    /* forecast: [slot * (parts + users) + part, or parts + users] */
    int history_slots;
    uint64_t hash;
    bool *event_on;           /* [event] */
    int64_t *scale_ppm;       /* [part]: of the load, by overrides */
    int64_t *calls_mhz;       /* [part]: of the present step */
    struct load_users *users; /* of the present step, by overrides */
    int user_count;
    struct estimate *meters;  /* [LEDGER_NEWS_MAX]: of one telling */
    bool closed[LIMIT_SITES]; /* left for good, by an override */
};

/* run_books.c */
int run_books_open(struct run *run, struct error *err) WARN_UNUSED;
/* Charges apps ([app]; NULL: all) up to now at their placement in run->at and the present rates;
 * those that stay as they are may wait, until their rates or the bound change. */
int run_piece(struct run *run, const bool *which, int64_t now_us, struct error *err) WARN_UNUSED;
/* Who is not served now has not been since it was seen last. */
void run_down(struct run *run, int64_t now_us);
int run_bucket_end(struct run *run, struct error *err) WARN_UNUSED;
/* What going from run->at to run->to costs once. */
int run_moved(struct run *run, struct error *err) WARN_UNUSED;
void run_note(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* run_events.c */
int64_t run_next_event_us(const struct run *run, int64_t now_us);
int run_events(struct run *run, int64_t now_us, struct error *err) WARN_UNUSED;
/* `users_mhz` may be empty. */
int run_forecast(struct run *run, struct plant_measured *list, int64_t *users_mhz);

/* run_requests.c: the spans of single requests that begin in [from, to), as things are now. */
int run_spans(struct run *run, int64_t from_us, int64_t to_us, struct error *err);
int run_check_spans(const struct run *run, struct error *err);

/* charge.c: the production ledger's rows. */
int charge_open(struct run *run, struct charge **ret_charge, struct error *err) WARN_UNUSED;
void charge_close(struct charge *charge);
/* What ran since the last call, if something has changed in it or `always`. */
int charge_instances(struct run *run, int64_t now_us, bool always, struct error *err) WARN_UNUSED;
/* Bytes and stored bytes of an app in [from, to). */
int charge_app(struct run *run, int app, int64_t from_us, int64_t to_us,
               struct error *err) WARN_UNUSED;
/* A line of the cost model for [from, to): what it predicts, and a custom term. */
int charge_line(struct run *run, int app, const struct cost_line *line, int64_t from_us,
                int64_t to_us, struct error *err) WARN_UNUSED;
/* What its meters say that the model does not know yet; at most LEDGER_NEWS_MAX. */
int charge_meters(struct run *run, int64_t now_us, struct estimate *list);
int charge_finish(struct run *run, struct error *err) WARN_UNUSED;
