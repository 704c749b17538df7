/*
 * cost_internal: what the files of the cost model share.
 *
 * A cost_context is a cost_input with every value looked up once: the traffic of each link, hit
 * ratios, CPU times, egress matches, meters. The term functions put ledger lines into a sink; the
 * problem adds up their scores, the explanation keeps the lines, so that both always agree.
 */
#pragma once

#include "model/cost.h"
#include "model/distance.h"
#include "model/world.h"

#define MONTH_S        (INT64_C(3600) * HOURS_PER_MONTH)
#define MHZ_TO_MONTHLY (MONTH_S / 1000) /* events per 1000 s -> events per month */

struct cost_part_info {
    int app;
    int workload;
    const struct app *owner;
    const struct workload *what;
    const struct workload_state *state;
    int64_t calls_mhz;
    int64_t *hit_ppm;     /* [site]; -1: it has no cache */
    int64_t *cpu_ns;      /* [site] */
    int64_t plain_weight; /* of inbound links that carry every call */
    int64_t all_weight;   /* of all inbound links; 0: there are none */
};

struct cost_link_info {
    int app;
    int link;
    const struct link *what;
    int from_part; /* -1: users */
    int from_site; /* of the users; -1 */
    int to_part;
    int64_t calls_mhz; /* before the caller's cache */
    int64_t request_bytes;
    int64_t response_bytes;
    int64_t weight; /* its part of the callee's all_weight */
};

struct cost_context {
    const struct cost_input *input;
    const struct world *world;
    int site_count;
    int part_count;
    struct cost_part_info *parts;
    int link_count;
    struct cost_link_info *links;
    struct egress_match *matches; /* [from * site_count + to] */
    int meter_count;
    struct problem_meter *meters;
    struct cost_meter_key {
        int account;
        int rule;
    } * meter_keys;
    int *meter_of; /* [account * egress_count + rule], -1: none */
};

int cost_context_build(const struct cost_input *input, struct arena *arena,
                       struct cost_context *ret_context, struct error *err) WARN_UNUSED;

int64_t cost_prior_calls_mhz(const struct app *app, int workload);
int64_t cost_cpu_ns(const struct cost_input *input, int app, int workload, int site,
                    bool *ret_measured);
/* Mean bytes of a request or a response of the link's callee. */
int64_t cost_call_bytes(const struct cost_input *input, int app, int link, bool response,
                        bool *ret_measured);

/* Adds up lines, and keeps them when it has room for them. */
struct cost_sink {
    struct cost_line *lines; /* NULL: only sums */
    int count;
    struct cost_total total;
    bool failed; /* an amount did not fit */
};
void cost_sink_add(struct cost_sink *sink, const struct cost_line *line);

/* The ppm of the link's calls that travel it when the caller is at `from`. */
int64_t cost_travel_ppm(const struct cost_context *context, const struct cost_link_info *link,
                        int from);
/* rtt + factor, and whether it is measured or only estimated from distance; -1: unknown. */
int64_t cost_path_us(const struct cost_context *context, int from, int to, const char **ret_note);

/* Device CPU, edge and the constant part of data-centre compute of a part at a site. */
void cost_terms_unary(const struct cost_context *context, int part, int site,
                      struct cost_sink *sink);
/* The one-off move from where the part is; nothing if it is there or nowhere. */
void cost_terms_migration(const struct cost_context *context, int part, int site,
                          struct cost_sink *sink);
/* Latency and the callee's share of data-centre compute of a link between two sites. */
void cost_terms_link(const struct cost_context *context, int link, int from, int to,
                     struct cost_sink *sink);
/* Requests and responses travel opposite ways, and each way may be billed by its sender and by its
 * receiver. */
#define COST_LINK_USES 4
/* Bytes per month of a link on meters: request to its sender and receiver, then the response. */
int cost_link_uses(const struct cost_context *context, int link, int from, int to,
                   struct problem_use uses[COST_LINK_USES], struct error *err) WARN_UNUSED;

/* What cost_explain's lines of at[] add up to, without the lines; `volume` ([meter]) becomes the
 * bytes that it puts on each meter. Many placements can be totalled from one context. */
int cost_context_total(const struct cost_context *context, const struct placement *at,
                       int64_t *volume, struct cost_total *ret_total, nusd *ret_stay,
                       struct error *err) WARN_UNUSED;

/* What is added to the score of every other site, so that small savings move nothing. */
nusd cost_stay(const struct cost_context *context, int part);

/* "namespace/app/workload". */
void cost_part_name(const struct cost_context *context, int part, char *out, size_t capacity);

int cost_rules_build(const struct cost_context *context, struct arena *arena,
                     struct problem *problem, struct error *err) WARN_UNUSED;
int cost_problem_from(const struct cost_context *context, struct arena *arena,
                      struct problem *ret_problem, struct error *err) WARN_UNUSED;
