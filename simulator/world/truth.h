/*
 * truth: what a placement really costs and does in a step: the cost model asked with the true rates
 * instead of measures, and without any preference to stay.
 *
 * Holds a cost_input of a run's world and apps; the same functions as in production tell the bill,
 * the score, hit ratios and round trips. One thread.
 */
#pragma once

#include "simulator/world/load.h"
#include "simulator/world/plant.h"

struct truth {
    struct arena arena; /* of one answer */
    struct arena kept;  /* of the context and the lookup */
    bool plain;         /* nothing is kept, for comparison */
    struct cost_input input;
    struct cost_keeper keeper;    /* by `documents` */
    uint64_t documents;           /* how often they were replaced */
    struct cost_context *context; /* NULL: documents or meters have changed */
    bool *stale; /* [app]: its rates or its placement have, since the context saw them */
    struct cost_app *apps;
    struct estimate *estimates; /* of rates, in the order of the parts; of users'; of meters */
    int *estimate_part;         /* [estimate]: its part */
    int rate_count;             /* of parts' rates */
    int estimate_count;         /* of all rates */
    int meter_count;            /* how far each egress meter has come this month */
    int part_count;
    bool coupled;       /* an egress rule has tiers: what an app sends prices what others send */
    int *first;         /* [app] */
    int64_t *calls_mhz; /* [part] */
    int64_t *base_mhz;  /* [part]: at the hit ratios that the documents state */
    int64_t *users_mhz; /* [part]: what users call of it who are told one by one; -1: none are */
    const struct load_users *users; /* of the step; the caller's */
    int user_count;
    int *first_users; /* [app], and one more */
    int64_t *hit_ppm; /* [part]: those; -1: it has no cache */
    int64_t (*capacity)[RESOURCE_COUNT];
    int64_t *path_us; /* [from * sites + to]: the round trip and its factor */
    struct arena tables;
    char unbounded[LIMIT_TEXT_BYTES]; /* why no placement was possible, the first time; "" */
    int64_t unbounded_us;             /* and when */
};

/* `users`, `user_count` of them in the order of apps, must live as long. */
int truth_open(struct truth *truth, const struct world *world, const struct app *apps,
               int app_count, const struct load_users *users, int user_count,
               struct error *err) WARN_UNUSED;
void truth_close(struct truth *truth);
/* Another world (the same sites) and apps ([app], the same names) from now on; they must live as
 * long. */
void truth_documents(struct truth *truth, const struct world *world, const struct cost_app *apps);

/* Egress meters that have come further (ledger_meters_news): the next byte may have another price,
 * to the model as to the scheduler. What has been told so far is truth_meters. */
void truth_meter(struct truth *truth, const struct estimate *list, int count);
struct estimates truth_meters(const struct truth *truth);

/* The step's rates [part], as they are at the hit ratios that the documents state, with what
 * `users` now say, and which sites have machines; truth_follow comes next. */
void truth_set(struct truth *truth, const int64_t *calls_mhz, const struct fleet *fleet,
               int64_t now_us);
/* Who is asked by misses is called as the caches placed at `at` really miss; but not parts whose
 * load is given. `which` ([app]; NULL: all) may have moved. True: some rate is another one. */
bool truth_follow(struct truth *truth, const struct load *load, const bool *which,
                  const struct placement *at);
/* Visits the lines of being placed at at[]. `which` ([app]; NULL: all): only those apps, as if
 * there were no others: but for what is `coupled` their lines are the same, as each app's score of
 * a meter is rounded by itself then. */
int truth_visit(struct truth *truth, const bool *which, const struct placement *at,
                cost_visitor *visit, void *visitor, struct error *err) WARN_UNUSED;
/* Those of going from one placement to another: what that costs once. */
int truth_visit_moves(struct truth *truth, const bool *which, const struct placement *from,
                      const struct placement *to, cost_visitor *visit, void *visitor,
                      struct error *err) WARN_UNUSED;
/* The least that any placement can score per month at these inputs; *ret_known false: none is
 * possible (a site is gone that something must be at), or the solver does not tell. */
int truth_bound(struct truth *truth, struct solver *solver, nusd *ret_bound, bool *ret_known,
                struct error *err) WARN_UNUSED;

/* What one would measure of every part as it is placed [part]. */
void truth_measures(struct truth *truth, const struct placement *at,
                    struct plant_measured *ret_list);

/* Calls per 1000 s that a link carries: what its users are told to call; of what these leave, its
 * share of what its callee is called; with a cache at the caller only the misses. */
int64_t truth_link_mhz(const struct truth *truth, int app, int link, const struct placement *at);
