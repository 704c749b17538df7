/*
 * cost_internal: what the files of the cost model share.
 *
 * A cost_context is a cost_input with every value looked up once: who belongs to which family, the
 * traffic of each link, egress matches, meters, formulas, and for each part its spots: everything
 * that it may choose. The term functions put ledger lines into a sink; the problem adds up their
 * scores, the explanation keeps the lines, so that both always agree.
 *
 *   cost_lookup.c    apps and estimates by name
 *   cost_values.c    what was measured, else the prior
 *   cost_family.c    families: their calls, and hits by who shares
 *   cost_frame.c     what only names and rules decide;  cost_context.c  a context;
 *   cost_meters.c    its egress meters
 *   cost_choices.c   spots: what a part may choose;  cost_lines.c  writing lines
 *   cost_compute.c, cost_links.c, cost_move.c, cost_storage.c, cost_custom.c   the terms
 *   cost_cells.c     the terms of a link between all choices of its ends
 *   cost_problem.c, cost_fill.c, cost_stay.c, cost_rules.c, cost_holds.c   the solver's problem
 *   cost_explain.c, cost_candidates.c            the ledger
 */
#pragma once

#include "base/units.h"
#include "model/cost.h"
#include "model/distance.h"
#include "model/egress.h"
#include "model/formula.h"
#include "model/world.h"

#define MONTH_S         (INT64_C(3600) * HOURS_PER_MONTH)
#define MHZ_TO_MONTHLY  (MONTH_S / 1000) /* events per 1000 s -> events per month */
#define BILLION         INT64_C(1000000000)
#define MIB             (INT64_C(1) << 20)
#define GIB             (INT64_C(1) << 30)
#define PART_NAME_BYTES (LIMIT_REF_BYTES + LIMIT_NAME_BYTES)
#define TIER_SETS       (1U << TIER_COUNT)

/* ---- cost_lookup.c ---- */

/* How to find an estimate: through lists by part, or, without them, through all. What it was built
 * from may get other values: names and their order are all that the lists know. */
struct cost_lookup {
    const struct cost_input *input;
    const int *first; /* [part]: its first estimate, -1; NULL: there are no lists */
    const int *next;  /* [estimate] */
    int other_first;  /* the first estimate of no workload: of a path or a meter; -1 */
    const int *base;  /* [app]: its first part; one more than there are apps */
    const int *slots; /* app + 1 by the hash of its name; 0: free */
    size_t slot_count;
};
int cost_lookup_build(const struct cost_input *input, struct arena *arena,
                      struct cost_lookup *ret_lookup) WARN_UNUSED;
/* Of which it is made: the apps by name, and the lists of what is measured of them. */
int cost_lookup_names(const struct cost_input *input, struct arena *arena,
                      struct cost_lookup *ret_lookup) WARN_UNUSED;
int cost_lookup_estimates(struct cost_lookup *lookup, struct arena *arena) WARN_UNUSED;
/* As cost_calls_mhz and cost_hit_ppm, by the lists. */
int64_t cost_lookup_calls_mhz(const struct cost_lookup *lookup, int app, int workload,
                              bool *ret_measured);
int64_t cost_lookup_hit_ppm(const struct cost_lookup *lookup, int app, int workload, int site,
                            bool *ret_measured);
/* The app of that name, or -1. */
int cost_lookup_app(const struct cost_lookup *lookup, const char *namespace_, const char *name);

/* ---- cost_values.c ---- */

/* The latest of that kind at a site (NULL: anywhere); NULL when there is none. */
const struct estimate *cost_estimate(const struct cost_lookup *lookup, int app, int workload,
                                     enum estimate_kind kind, const char *site);
/* Whether the first counts before the second (which may be NULL): the list's order must not. */
bool cost_is_later(const struct estimate *candidate, const struct estimate *best);
int64_t cost_prior_calls_mhz(const struct app *app, int workload);
/* What the users of a link are measured to call it, beside the prior while little was observed; -1:
 * it is not measured, or no users'. */
int64_t cost_users_mhz(const struct cost_lookup *lookup, int app, int link);
/* A rate that was observed for a short time does not yet outweigh what the document says. */
int64_t cost_blended_mhz(const struct cost_lookup *lookup, int64_t prior,
                         const struct estimate *estimate);
/* What the document says of its cache at that rate; -1 without a cache. */
int64_t cost_prior_hit_ppm(const struct workload *what, int64_t calls_mhz);
bool cost_has_cache(const struct workload *what);
int64_t cost_curve_ppm(const struct workload *what, int64_t calls_mhz);
int64_t cost_split(int64_t amount, int64_t numerator, int64_t denominator);

/* ---- cost_family.c ---- */

/* The parts of a divided workload, in the app's order, or one undivided workload, and where they
 * are now. */
struct cost_family {
    int app;
    int count;
    int member[LIMIT_FAMILY]; /* workloads */
    int64_t prior_mhz[LIMIT_FAMILY];
    int64_t calls_mhz[LIMIT_FAMILY];
    bool calls_measured;
    struct placement now[LIMIT_FAMILY]; /* site -1: nowhere */
    unsigned sharers[LIMIT_FAMILY];     /* now, its own bit included; 0: nowhere */
    int64_t set_hit_ppm[LIMIT_FAMILY];  /* measured where it leads now; -1 */
};

struct cost_family cost_family_of(const struct cost_lookup *lookup, int app, int workload);
/* Of which it is made: who belongs to it (how many), and the rest once count and members are set.
 */
int cost_family_members(const struct app *app, int workload, int members[LIMIT_FAMILY]);
void cost_family_fill(const struct cost_lookup *lookup, struct cost_family *family);
int cost_family_member(const struct cost_family *family, int workload);
int64_t cost_family_calls_mhz(const struct cost_family *family, unsigned sharers);
/* The hit ratio when `sharers` are served at a site; -1 without a cache. */
int64_t cost_family_hit_ppm(const struct cost_lookup *lookup, const struct cost_family *family,
                            int site, int variant, unsigned sharers, bool *ret_measured);
/* CPU time of a call of a variant at a site: ns / (speed_ppm / PPM). */
struct cost_cpu {
    int64_t ns;
    int64_t speed_ppm;
    bool measured;
};
struct cost_cpu cost_family_cpu(const struct cost_lookup *lookup, const struct cost_family *family,
                                int member, int site, int variant);
/* Mean bytes of a request or a response of the link's callee when that variant of it runs. */
int64_t cost_call_bytes(const struct cost_lookup *lookup, const struct cost_family *callee,
                        int member, const struct link *link, int variant, bool response);

/* ---- the context ---- */

/* Requests and responses travel opposite ways, and each way may be billed by its sender and by its
 * receiver. */
#define COST_LINK_USES 4

/* What a part may choose: a site, a variant, and who of its family it shares both with. */
struct cost_spot {
    int site;
    int variant;
    unsigned sharers; /* bit per member of the family, its own included */
    int lead;         /* part: the first of them, whose instances serve all */
    int64_t hit_ppm;  /* of the shared cache; -1: none */
};

struct cost_part_info {
    int app;
    int workload;
    const struct app *owner;
    const struct workload *what;
    const struct workload_state *state;
    const struct weights *weights; /* the app's own, the world's where it states none */
    const struct cost_family *family;
    int member;
    int members;             /* in the family */
    int parts[LIMIT_FAMILY]; /* of the family */
    int64_t calls_mhz;
    struct cost_spot now; /* site -1: nowhere */
    int64_t plain_weight; /* of inbound links that carry every call */
    int64_t all_weight;   /* of all inbound links; 0: there are none */
    int64_t users_mhz;    /* what users that are measured one by one call; -1: none are */
    int64_t other_weight; /* what the other links bring, as far as the priors tell */
    bool *open;           /* [variant * site_count + site]: the documents allow it */
    const struct cost_spot *spots;
    struct cost_spot *own; /* the same, where a cache's hits are told there; NULL: the frame's */
    int spot_count;
};

struct cost_link_info {
    int app;
    int link;
    const struct link *what;
    int from_part; /* -1: users */
    int from_site; /* of the users; -1 */
    int to_part;
    int64_t prior_mhz;
    int64_t users_mhz;   /* what its users are measured to call; -1 */
    int64_t calls_mhz;   /* before the caller's cache */
    int64_t (*bytes)[2]; /* [variant of the callee]: request, response */
    int64_t weight;      /* its part of the callee's all_weight */
};

/* Bytes that the first part of a data set sends to another one when they are apart. */
struct cost_replica {
    int primary; /* part */
    int part;
    int64_t monthly_bytes;
};

/* What bytes and calls between two sites meet, whatever is measured. */
struct cost_paths {
    int site_count;
    int egress_count;
    int64_t *far_us; /* [from * site_count + to]: told from the distance, where none is declared */
    struct egress_match *matches; /* the same index */
    struct cost_way {
        int count;
        struct {
            int slot;     /* account * egress_count + rule */
            int response; /* 0: the request's bytes, 1: the response's */
        } use[COST_LINK_USES];
    } * ways;      /* the same index: what a call there and its answer meet */
    int link_uses; /* meters that the calls between two sites meet at most */
    int *slots;    /* those of `ways` that are met at all */
    int slot_count;
};
int cost_paths_build(const struct world *world, struct arena *arena,
                     struct cost_paths *ret_paths) WARN_UNUSED;
/* The same of a world that has only those sites of the whole one (`sites`: [its site]). */
int cost_paths_cut(const struct cost_paths *whole, const int *sites, const struct world *world,
                   struct arena *arena, struct cost_paths *ret_paths) WARN_UNUSED;

/* A context with everything blank that numbers decide: measures, rates, prices, placements. */
struct cost_frame {
    struct cost_paths paths;
    struct cost_lookup names; /* without lists of estimates */
    int app_count;
    int part_count;
    struct cost_part_info *parts; /* who they are, their families, where they are open, spots */
    int link_count;
    struct cost_link_info *links; /* their ends */
    int *link_base;               /* [app]: its first link; one more than there are apps */
    int byte_count;               /* variants of the callees of all links */
};
/* `paths` are of the input's world. */
int cost_frame_build(const struct cost_input *input, const struct cost_paths *paths,
                     struct arena *arena, struct cost_frame *ret_frame,
                     struct error *err) WARN_UNUSED;
/* It has as many of everything as the input has. */
bool cost_frame_fits(const struct cost_frame *frame, const struct cost_input *input);

struct cost_context {
    const struct cost_input *input;
    const struct world *world;
    struct cost_lookup lookup;
    int site_count;
    int part_count;
    struct cost_part_info *parts;
    struct cost_family *families; /* [part]: of those that are the first of theirs */
    int link_count;
    struct cost_link_info *links;
    const int *link_base; /* [app]: its first link; one more than there are apps */
    int replica_count;
    struct cost_replica *replicas;
    int64_t *rtt_us; /* [from * site_count + to]; -1 unknown */
    bool *rtt_measured;
    const struct cost_paths *paths;
    const struct egress_match *matches; /* of the paths, as the next two */
    const struct cost_way *ways;
    int link_uses;
    /* A meter is an account, a rule and the weight that its apps give to egress. */
    int meter_count;
    struct problem_meter *meters;
    struct cost_meter_key {
        int account;
        int rule;
        int class;
    } * meter_keys;
    int *meter_of; /* [(class * account_count + account) * egress_count + rule], -1: none */
    int class_count;
    int64_t *class_ppm;
    int *class_of; /* [app] */
    struct cost_formula {
        struct formula *formula;
        struct formula_value *values; /* parallel to names; reused for each evaluation */
    } * formulas;                     /* [term of the world] */
    struct formula_name *names;
    int name_count;
};

int cost_context_build(const struct cost_input *input, struct arena *arena,
                       struct cost_context *ret_context, struct error *err) WARN_UNUSED;
/* The same with a frame and a lookup of inputs that have the same names. */
int cost_context_build_with(const struct cost_input *input, const struct cost_frame *frame,
                            const struct cost_lookup *lookup, struct arena *arena,
                            struct cost_context *ret_context, struct error *err) WARN_UNUSED;
int cost_meters_build(struct cost_context *context, struct arena *arena,
                      struct error *err) WARN_UNUSED;
int cost_formulas_build(struct cost_context *context, struct arena *arena,
                        struct error *err) WARN_UNUSED;
int cost_spots_build(struct cost_frame *frame, struct arena *arena, struct error *err) WARN_UNUSED;
/* Where a part is when everything is as in at[part]. */
struct cost_spot cost_spot_at(const struct cost_context *context, const struct placement *at,
                              int part);
/* The documents (tiers, tags, pin) allow that variant of the workload at the site. */
bool cost_is_open(const struct world *world, const struct workload *what, int variant, int site);
int cost_variants(const struct workload *what); /* at least 1 */
/* The variant of a placement; of a version that had others: the first. */
int cost_variant(const struct workload *what, const struct placement *at);
int64_t cost_reserve(const struct workload *what, int variant, int resource); /* per replica */
int cost_meter(const struct cost_context *context, int app, int payer_site, int rule);
/* The price of the next byte on a meter that stands where the month has brought it. */
struct decimal cost_meter_price(const struct cost_context *context, int meter);

/* ---- lines ---- */

/* Adds up lines, and keeps them when it has room for them. */
struct cost_sink {
    struct cost_line *lines; /* NULL: only sums */
    cost_visitor *visit;     /* or NULL: is shown each line, with what is behind `visitor` */
    void *visitor;
    int count;
    struct cost_total total;
    struct cost_total *apps; /* [app], or NULL: the same by app */
    bool failed;             /* an amount did not fit */
    int rc;                  /* of a formula that cannot be evaluated, told in *err */
    struct error *err;       /* or NULL */
};
void cost_sink_add(struct cost_sink *sink, const struct cost_line *line);
/* Words only where they are kept. A sentence that is too long ends early. */
void cost_line_text(const struct cost_sink *sink, struct cost_line *line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct cost_line cost_line_of(const struct cost_context *context, enum cost_term term, int part,
                              int site);
/* A one-off amount counts in the monthly score as often as the horizon fits into a month. */
int cost_once_score(const struct cost_context *context, int part, nusd once,
                    nusd *ret_score) WARN_UNUSED;

/* ---- the terms ---- */

/* Device CPU; and for the lead of a set its compute, its storage and the world's own terms. */
void cost_terms_unary(const struct cost_context *context, int part, const struct cost_spot *spot,
                      struct cost_sink *sink);
void cost_terms_storage(const struct cost_context *context, int part, const struct cost_spot *spot,
                        struct cost_sink *sink);
void cost_terms_custom(const struct cost_context *context, int part, const struct cost_spot *spot,
                       struct cost_sink *sink);
/* The one-off move from where the part is; nothing if it is there or nowhere. */
void cost_terms_migration(const struct cost_context *context, int part,
                          const struct cost_spot *spot, struct cost_sink *sink);
/* The scores of one part's moves, spot by spot: the sum of cost_terms_migration's, to the bit. What
 * is carried scores the same while the same meters count it, and the time in which both copies run
 * wherever the part goes. */
struct cost_moves {
    const struct cost_context *context;
    int part;
    bool both_known;
    bool both_failed;
    bool carried_known;
    bool carried_failed;
    int meters[2]; /* that counted `carried`: the sender's, the receiver's */
    nusd both;
    nusd carried;
};
struct cost_moves cost_moves_of(const struct cost_context *context, int part);
/* False: it does not fit. */
bool cost_move_score(struct cost_moves *moves, const struct cost_spot *spot, nusd *ret_score);
/* Latency, the callee's share of data-centre compute, and the misses of a cache that is cold after
 * a move, of a link between two spots; `from` is NULL for users. */
void cost_terms_link(const struct cost_context *context, int link, const struct cost_spot *from,
                     const struct cost_spot *to, struct cost_sink *sink);
/* The same compute line, for cost_terms_link. */
void cost_terms_reached(const struct cost_context *context, int link, const struct cost_spot *from,
                        const struct cost_spot *to, struct cost_sink *sink);
/* The instances that serve a spot begin there only with this move. */
bool cost_is_fresh(const struct cost_context *context, const struct cost_spot *spot);

/* Bytes per month of a link on meters: request to its sender and receiver, then the response. */
int cost_link_uses(const struct cost_context *context, int link, const struct cost_spot *from,
                   const struct cost_spot *to, struct problem_use uses[COST_LINK_USES],
                   struct error *err) WARN_UNUSED;
/* Bytes per month of the link's requests and responses when travel_ppm of its calls travel it. */
int cost_link_monthly(const struct cost_context *context, int link, int64_t travel_ppm, int variant,
                      int64_t ret_bytes[2], struct error *err) WARN_UNUSED;
/* The lines of which cost_terms_link is made, beside cost_terms_reached; both between two sites. */
void cost_terms_latency(const struct cost_context *context, int link, const struct cost_spot *from,
                        const struct cost_spot *to, struct cost_sink *sink);
void cost_terms_cold(const struct cost_context *context, int link, const struct cost_spot *from,
                     const struct cost_spot *to, struct cost_sink *sink);
/* The misses that fill the caller's cache there; 0: it is warm. ERR_OVERFLOW. */
int cost_cold_misses(const struct cost_context *context, int link, const struct cost_spot *from,
                     int64_t *ret_misses) WARN_UNUSED;

/* ---- cost_cells.c ---- */

/* The cells of one link: what they have in common is computed once, so that a cell takes a
 * multiplication and a division wherever those are exact. What they say is the sum of
 * cost_terms_link's scores and the uses of cost_link_uses, to the bit. */
struct cost_link_cells {
    const struct cost_context *context;
    const struct cost_link_info *info;
    int link;
    const int *meters; /* [account * egress_count + rule], of the app's class */
    int64_t travel_ppm;
    uint64_t time_factor; /* a call's time x this / that is the latency's score; 0: the long way */
    uint64_t time_divisor;
    int64_t time_max; /* of a time for which nothing on the long way overflows */
    bool cold;        /* its cache begins anew */
    struct cost_reached {
        nusd score;
        bool failed;
    } * reached; /* [spot of the callee]: its share of compute there; NULL: all calls reach it */
    struct cost_carried {
        int64_t call;       /* bytes of a call, both ways; -1: not in 64 bits */
        int64_t monthly[2]; /* request, response; the first -1: more than can be counted */
    } carried[LIMIT_VARIANTS];
};
/* `reached` has room for every spot of the callee, and lives as long. */
void cost_link_cells_begin(const struct cost_context *context, int link,
                           struct cost_reached *reached, struct cost_link_cells *ret_cells);
/* A row of cells, or a piece of one. A cell's uses come first of its slots, then none. */
struct cost_row {
    int64_t *cost;           /* [cell] */
    struct problem_use *use; /* [cell * slots + k] */
    int slots;               /* at least context->link_uses */
    int most;                /* of them that a cell used so far */
};
/* From a spot of the caller (of users: their site) to `count` spots of the callee, of which `to` is
 * the first. ERR_OVERFLOW, told: a score or the month's bytes do not fit. */
int cost_link_row(struct cost_link_cells *cells, const struct cost_spot *from,
                  const struct cost_spot *to, int count, struct cost_row *row,
                  struct error *err) WARN_UNUSED;
#define COST_REPLICA_USES 2
/* Updates of a data set from its primary to a replica elsewhere: sender, receiver. */
void cost_replica_uses(const struct cost_context *context, const struct cost_replica *replica,
                       const struct cost_spot *primary, const struct cost_spot *spot,
                       struct problem_use uses[COST_REPLICA_USES]);

/* The ppm of the link's calls that travel it when the caller is at `from` (NULL: users). */
int64_t cost_travel_ppm(const struct cost_link_info *link, const struct cost_spot *from);
/* rtt + factor, and whether it is measured or only estimated from distance; -1: unknown. */
int64_t cost_path_us(const struct cost_context *context, int from, int to, const char **ret_note);
/* What one call takes on the path, with the time that its bytes take, in 2^-20 us; -1: unknown. */
__int128 cost_call_time(const struct cost_context *context, int link, int from, int to, int variant,
                        const char **ret_note);
const char *cost_amount_text(enum resource resource, int64_t quantity, char out[UNITS_TEXT_BYTES]);

/* ---- the problem and the ledger ---- */

/* What cost_explain's lines of at[] add up to, without the lines; `volume` ([meter]) becomes the
 * bytes that it puts on each meter; ret_stay may be NULL. Many placements can be totalled from one
 * context. */
int cost_context_total(const struct cost_context *context, const struct placement *at,
                       int64_t *volume, struct cost_total *ret_total, nusd *ret_stay,
                       struct error *err) WARN_UNUSED;

/* The same of the lines of one part and of its links only. */
int cost_context_part_total(const struct cost_context *context, const struct placement *at,
                            int part, int64_t *volume, struct cost_total *ret_total,
                            struct error *err) WARN_UNUSED;
/* The preference to stay of all parts that at[] moves. */
nusd cost_stay_of(const struct cost_context *context, const struct placement *at);

/* What is added to the score of every other site or variant, so that small savings move nothing. */
nusd cost_stay(const struct cost_context *context, int part);
bool cost_is_there(const struct cost_spot *now, const struct cost_spot *spot);

/* "namespace/app/workload". */
void cost_part_name(const struct cost_context *context, int part, char *out, size_t capacity);

/* ---- cost_fill.c, cost_stay.c ---- */

/* What fills a problem's numbers, app by app; of an app only its own parts' and links' are written,
 * so that several threads may fill several apps. */
struct cost_fill {
    const struct cost_context *context;
    struct problem *problem;
    int *pair_of; /* [link]; -1: of users */
    nusd *stay;   /* [part] */
};
/* One thread's, with room for as many spots as any part has. */
struct cost_scratch {
    struct cost_reached *reached; /* [spot] */
    int64_t *cost;                /* [spot] */
    struct problem_use *use;      /* [spot * COST_LINK_USES + k] */
};
int cost_fill_app(const struct cost_fill *fill, int app, const struct cost_scratch *scratch,
                  struct error *err) WARN_UNUSED;
void cost_fill_choices(const struct cost_context *context, int part, struct problem_part *out);
/* Moves the uses of every cell together, to as many slots as the fullest cell needs; returns those.
 */
int cost_pack_uses(size_t cells, int *use_count, struct problem_use **use);
/* The error of a part whose score does not fit. */
int cost_score_fails(const struct cost_context *context, int part, struct error *err);
/* cost_stay of all parts of an app, into stay[part]. */
void cost_stays(const struct cost_context *context, int app, nusd *stay);

/* Words one after the other, where there are too many to format each; what does not fit ends early.
 */
void cost_words(char *out, size_t capacity, const char *const *words, int count);

struct cost_rules {
    const struct cost_context *context;
    struct arena *arena;
    struct problem *problem;
    bool **allowed;   /* [part][choice]: what the rules on one part leave */
    int family_rules; /* the first rule about who shares with whom */
    int family_end;
    char tiers[TIER_SETS][LIMIT_NAME_BYTES]; /* "edge or cloud", by the set's bits */
    bool no_memory;
};
int cost_rules_build(const struct cost_context *context, struct arena *arena,
                     struct problem *problem, struct error *err) WARN_UNUSED;
/* A rule whose `cells` choices or pairs are all forbidden until the caller allows some; NULL
 * without memory, which is noted. */
struct problem_rule *cost_rule_add(struct cost_rules *rules, enum rule_kind kind, int a, int b,
                                   size_t cells);
void cost_rule_text(struct problem_rule *rule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Workloads that may not move stay, unless a rule forbids just that. */
void cost_holds_add(struct cost_rules *rules);
/* Its parts, choices and rules alone: without costs, pairs and meters, whose tables are large. */
int cost_problem_rules(const struct cost_context *context, struct arena *arena,
                       struct problem *ret_problem, struct error *err) WARN_UNUSED;
