/*
 * plant: the production scheduler in a virtual world: the real core, cost model and solver with
 * virtual nodes (fleet.h), in virtual time.
 *
 * What the service's shell does for the core is done here with the same functions: estimates are
 * quantised (metrics/quantise.h), a CORE_SOLVE is answered through core_answer_plan, a CORE_CHECK
 * through core_answer_check. A policy that is not the core's own (policy.h) answers CORE_SOLVE with
 * its placement instead, as one that cannot stay as it is, so that the core carries all of it out.
 *
 * Time goes from instant to instant; between two calls of plant_advance nothing is half done. The
 * same options give the same core_hash. One thread.
 */
#pragma once

#include "scheduler/core/core.h"
#include "simulator/world/fleet.h"
#include "simulator/world/load.h"
#include "simulator/world/policy.h"

struct plant;

struct plant_options {
    const struct scenario *scenario;
    const struct world *world; /* must live as long, as the apps */
    const struct app *apps;
    int app_count;
    uint64_t seed;
    struct chooser *policy;
    struct solver *solver;
    const struct cost_input *truth; /* apps and rates as they truly are: what `optimum` knows */
    const struct load_users *users; /* who may be told one by one: read when it is made */
    int user_count;
    bool plain; /* measures are told before every answer, and every problem is solved */
};

int plant_create(const struct plant_options *options, int64_t now_us, struct plant **ret_plant,
                 struct error *err) WARN_UNUSED;
void plant_destroy(struct plant *plant); /* NULL is accepted */

/* What is measured of a part where it runs; -1: nothing. */
enum plant_kind { PLANT_CALLS, PLANT_REQUEST, PLANT_RESPONSE, PLANT_HIT, PLANT_CPU, PLANT_KINDS };
struct plant_measured {
    int64_t value[PLANT_KINDS]; /* as the estimates of those kinds */
    int site;                   /* of hits and CPU; -1: nowhere */
};
/* From now on [part], as it truly is, and what users call [users], -1 where that is not told; told
 * with the scenario's noise, quantised. */
int plant_measure(struct plant *plant, const struct plant_measured *list, const int64_t *users_mhz,
                  struct error *err) WARN_UNUSED;
/* How far egress meters have come this month, as the ledger counts them. */
int plant_meters(struct plant *plant, struct estimate *list, int count,
                 struct error *err) WARN_UNUSED;
/* Measures come so much later, or (-1) not at all; 0: at once. */
void plant_lag(struct plant *plant, int64_t lag_us);
int plant_down(struct plant *plant, const char *place, bool down, struct error *err) WARN_UNUSED;
int plant_cordon(struct plant *plant, const char *site, bool on, struct error *err) WARN_UNUSED;
/* Another world (the same sites), and the app that is applied anew. */
int plant_world(struct plant *plant, const struct world *world, struct error *err) WARN_UNUSED;
int plant_apply(struct plant *plant, const struct app *app, struct error *err) WARN_UNUSED;

/* To the next instant at which something happens, at most until `until`: 1, or 0 when that is
 * reached and nothing more is due at it. */
int plant_advance(struct plant *plant, int64_t until_us, struct error *err) WARN_UNUSED;
int64_t plant_now_us(const struct plant *plant);
/* What comes now happens then: nothing may be due before it. */
void plant_skip(struct plant *plant, int64_t now_us);

const struct core *plant_core(const struct plant *plant);
const struct fleet *plant_fleet(const struct plant *plant);

struct plant_counts {
    int64_t solves;     /* answered */
    int64_t reused;     /* of them, for a problem that was solved just before */
    int64_t infeasible; /* without any placement */
    int64_t refused;    /* of a policy's answers that were none */
    int64_t events;     /* core steps */
    int64_t slow;       /* tries whose state was not shipped in time */
};
struct plant_counts plant_counts(const struct plant *plant);
/* The first reason why there was no placement; "" none. */
const char *plant_trouble(const struct plant *plant);
/* ... and what was said of the first state that was not shipped in time, and of the last. */
const char *plant_slow(const struct plant *plant, bool last);
