/*
 * cost: the cost model: every term of a placement as ledger lines, with bill and score.
 *
 * The bill: dollars a provider would charge per month at the present rates, exact, rounded once per
 * line. The score: what is minimised. Terms (docs/cost.md has the formulas):
 *   device_cpu   CPU time on client sites / their speed x weight; no bill
 *   edge         reserved resources x edge prices; score x 1/max(hit ratio, floor) with a cache
 *   storage      state and data sets: bytes x copies x (1 - duplicates) x price
 *   datacentre   reserved resources x (1 + overhead) x prices; score x the share of calls that
 *                reaches it (all, or the callers' misses)
 *   latency      calls x (round trip + factor + the time of its bytes) x weight; no bill
 *   egress       bytes x tiered price, per (account, rule), both ways and both sides; also what
 *                keeps replicas of a data set the same
 *   migration    one-off: bytes moved, the overlap of both copies, the misses of a cold cache;
 *                spread over the horizon in the score; its bill is the one-off amount, once
 *   custom       the world's own terms: formulas, billed or only scored
 *
 * What parts of a family share (one site, one variant) is their lead's: the first of them. Values
 * are what was measured, blended with priors while little was observed.
 *
 * cost_problem builds the solver's problem from the same functions, so that the sum of the lines'
 * scores of a placement, and its preference to stay, equal problem_cost of it exactly.
 *
 * Pure: integers in, integers out, memory from the arena. Any thread. A problem of some 30,000
 * cells (choices and pairs of choices) and more is filled by two threads, which have ended when
 * cost_problem returns; a smaller one, or one of a world with terms of its own, by the caller's
 * alone. It is the same to the bit.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/problem.h"
#include "model/types.h"

enum cost_term {
    TERM_DEVICE_CPU,
    TERM_EDGE,
    TERM_STORAGE,
    TERM_DATACENTRE,
    TERM_LATENCY,
    TERM_EGRESS,
    TERM_MIGRATION,
    TERM_CUSTOM,
    TERM_COUNT
};
extern const char *const cost_term_words[];

/* Latest estimates, searched by (kind, workload, site); order does not matter. */
struct estimates {
    const struct estimate *list;
    int count;
};

/* Where one workload of one app runs and what it may do. Parallel to app->workloads. */
struct workload_state {
    struct placement now; /* site -1: nowhere; variant and lead as they are then do not matter */
    bool may_move;      /* false: dwell, quiet, app not automatic: stays unless a rule forbids it */
    bool *site_blocked; /* [site], or NULL: cuts from node fitting ("no node has 500m free") */
};

struct cost_app {
    const struct app *app;
    struct workload_state *states;
};

struct cost_input {
    const struct world *world;
    struct cost_app *apps;
    int app_count;
    struct estimates estimates;
    /* [site]: what live nodes offer; a declared capacity wins, but where there is no live node (-1)
     * nothing runs. NULL, for tools without nodes: undeclared capacities are unlimited. */
    int64_t (*capacity)[RESOURCE_COUNT];
    int64_t now_us;
    /* [site]: what a unit of its room is worth by the last plan's certificate, in nano-dollars a
     * month; NULL: not known. For cost_candidates and cost_flips: where it is full, a workload can
     * still go at that price, which is what others lose that leave. */
    double (*capacity_price)[RESOURCE_COUNT];
};

struct cost_line {
    enum cost_term term;
    int app;
    int workload;
    int link;   /* -1 unless the line belongs to a link */
    int custom; /* the world's term, of TERM_CUSTOM; -1 */
    int site;
    int peer_site;               /* egress and latency: the other end; -1 */
    nusd bill;                   /* per month; migration: once */
    nusd score;                  /* per month */
    char text[LIMIT_TEXT_BYTES]; /* "16.1 GiB x $0.09 per GiB (aws internet, 0-10240 GiB)" */
};

struct cost_total {
    nusd bill;
    nusd score;
    nusd bill_term[TERM_COUNT];
    nusd score_term[TERM_COUNT];
};

struct cost_report {
    struct cost_line *lines;
    int line_count;
    struct cost_total total;
    nusd
        stay; /* the preference to stay of the parts that move: problem_cost = total.score + stay */
};

/* The apps and estimates of an input by name, for functions that are asked often. It holds for
 * every input that has the same apps and estimates by name and order, whatever their values. Lives
 * in the arena, beside the input. */
struct cost_lookup;
int cost_lookup_make(const struct cost_input *input, struct arena *arena,
                     const struct cost_lookup **ret_lookup, struct error *err) WARN_UNUSED;
/* The latest of that kind that is above 0, at whatever site; NULL: there is none. */
const struct estimate *cost_lookup_latest(const struct cost_lookup *lookup, int app, int workload,
                                          enum estimate_kind kind);

/* Part index of (app, workload) in the problem of `input`. */
int cost_part(const struct cost_input *input, int app, int workload);

/* The solver's problem for `input`. Rules: tiers, tags, pins, blocked sites, apart, hard latency,
 * capacity, sites without capacity; and for a workload that may not move, its present site, if that
 * is allowed. The preference to stay (policy.saving_min) is part of the unary costs of the other
 * sites, beside the migration's cost, so that the optimum under constant inputs is to stay. */
int cost_problem(const struct cost_input *input, struct arena *arena, struct problem *ret_problem,
                 struct error *err) WARN_UNUSED;

/* From solutions to placements and back. What a part's instances serve depends on where the rest
 * of its family is, so a placement at[] is read as a whole: parts of one family at one site with
 * one variant share, whatever `lead` says; the functions below that read at[] work it out. */
struct placement cost_placement(const struct cost_input *input, const struct problem *problem,
                                int part, int choice);
/* The choice of `part` when everything is as in at[] ([part]); -1: nowhere, or no such choice. */
int cost_choice(const struct cost_input *input, const struct problem *problem,
                const struct placement *at, int part);
/* All of them; false when one has none. */
bool cost_choices(const struct cost_input *input, const struct problem *problem,
                  const struct placement *at, int *ret_choice);

/* The lines of a placement at[part]. Migration lines for parts whose placement differs from now. A
 * part that is nowhere (site -1) has no lines, nor have its links. */
int cost_explain(const struct cost_input *input, const struct placement *at, struct arena *arena,
                 struct cost_report *ret_report, struct error *err) WARN_UNUSED;

/* What those lines add up to, without writing them; ret_apps ([app]) may be NULL. */
int cost_totals(const struct cost_input *input, const struct placement *at, struct arena *arena,
                struct cost_total *ret_total, struct cost_total *ret_apps,
                struct error *err) WARN_UNUSED;

/* What names, positions, tags, tiers, pins and rules of an input's documents decide: who shares
 * with whom, which site is open to which variant, how far sites are apart, which egress rule bills
 * which way. It holds for every input whose documents differ from those it was made of in numbers
 * only (prices, rates, sizes, ratios, weights, round trips that are declared), whatever is measured
 * and wherever things are; who keeps one makes another when a document is replaced. Lives in the
 * arena, beside nothing. */
struct cost_frame;
int cost_frame_make(const struct cost_input *input, struct arena *arena,
                    const struct cost_frame **ret_frame, struct error *err) WARN_UNUSED;

/* The frame of one owner's documents, made anew when `version` is another one than before: what the
 * owner counts whenever one of them is replaced. Zeroed at first. */
struct cost_keeper {
    struct arena arena;
    const struct cost_frame *frame;
    uint64_t version;
};
int cost_keeper_frame(struct cost_keeper *keeper, const struct cost_input *input, uint64_t version,
                      const struct cost_frame **ret_frame, struct error *err) WARN_UNUSED;
void cost_keeper_done(struct cost_keeper *keeper);

/* Every value of an input, looked up once: for several questions about it. Lives in the arena,
 * beside the input, the frame and the lookup, either of which may be NULL. ERR_INVALID: the frame
 * is of documents that have others sites, workloads or links. What follows is as above. */
struct cost_context;
int cost_context_make(const struct cost_input *input, const struct cost_frame *frame,
                      const struct cost_lookup *lookup, struct arena *arena,
                      struct cost_context **ret_context, struct error *err) WARN_UNUSED;
/* Looks the values of one app up anew: its workloads are elsewhere, or what is estimated of them
 * has other values. The rest of the input must be as it was: documents, the estimates' names and
 * order, what is measured of paths and meters. */
void cost_context_renew(struct cost_context *context, int app);
const struct cost_input *cost_context_input(const struct cost_context *context);
int cost_problem_from(const struct cost_context *context, struct arena *arena,
                      struct problem *ret_problem, struct error *err) WARN_UNUSED;
struct placement cost_placement_from(const struct cost_context *context,
                                     const struct problem *problem, int part, int choice);
int cost_totals_from(const struct cost_context *context, const struct placement *at,
                     struct arena *arena, struct cost_total *ret_total, struct cost_total *ret_apps,
                     struct error *err) WARN_UNUSED;

/* The lines of cost_explain one by one, without their words and without keeping them, and what they
 * add up to. `apps` ([app]; NULL: all): of these apps alone, as if there were no others. */
typedef void cost_visitor(void *visitor, const struct cost_line *line);
int cost_visit(const struct cost_context *context, const bool *apps, const struct placement *at,
               struct arena *arena, cost_visitor *visit, void *visitor,
               struct cost_total *ret_total, struct error *err) WARN_UNUSED;
/* Of them only those of the migration, in the same order: without the rest of the ledger. */
int cost_visit_moves(const struct cost_context *context, const bool *apps,
                     const struct placement *at, cost_visitor *visit, void *visitor,
                     struct error *err) WARN_UNUSED;

/* The bills of two placements, per month, without what moves cost once. Where no price depends on
 * the month's volume, apps that are placed alike are looked at once. */
int cost_bills(const struct cost_context *context, const struct placement *const at[2],
               struct arena *arena, nusd ret_bills[2], struct error *err) WARN_UNUSED;

/* For every site and variant: what the whole plan would score with this part there and all else as
 * in at[] (the considered-resources table), the rule that forbids it if any, and what would change
 * the mind: how much cheaper it would have to be per month to be chosen. Parts that are nowhere
 * count nothing; when that is the part itself, gaps are to the best candidate that is allowed. */
struct cost_candidate {
    struct placement to;
    char sharers[LIMIT_TEXT_BYTES]; /* the parts that it would share with: "tiles--n2, tiles--n3" */
    bool chosen;                    /* it is where at[] has it */
    bool allowed;
    bool full; /* not allowed, but only for want of room, which has a price */
    char rule[LIMIT_TEXT_BYTES];
    nusd bill;  /* of the workload's own lines there, links included, per month */
    nusd score; /* the same in score */
    nusd bill_term[TERM_COUNT];
    nusd score_term[TERM_COUNT];
    nusd gap;     /* score above the chosen one's; 0 for it */
    nusd room;    /* what the room it takes there is worth; 0 without prices */
    nusd reduced; /* gap + room - the chosen one's room: what the plan as a whole would lose */
    int64_t takes[RESOURCE_COUNT]; /* of the site: nothing where another part's instances serve */
};
int cost_candidates(const struct cost_input *input, const struct placement *at, int part,
                    struct arena *arena, struct cost_candidate **ret_candidates, int *ret_count,
                    struct error *err) WARN_UNUSED;

/* The value a term uses: the estimate if there is one, else the prior; *ret_measured says which. */
int64_t cost_hit_ppm(const struct cost_input *input, int app, int workload, int site,
                     bool *ret_measured);
int64_t cost_calls_mhz(const struct cost_input *input, int app, int workload, bool *ret_measured);
/* The round trip between two sites: measured, declared, or estimated from their distance; -1 when
 * there is nothing to tell it from. */
int64_t cost_rtt_us(const struct cost_input *input, int from, int to, bool *ret_measured);
