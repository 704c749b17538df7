/* The ledger of an assignment, line by line, and what every other site would mean for one part. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

/* One pass over an assignment. Meters fill up in the order of the links; a link's line is charged
 * what its bytes add on top of those before it. */
struct ledger {
    const struct cost_context *context;
    const struct placement *at;
    int64_t *volume; /* [meter]: bytes of the lines so far */
    int only;        /* a part: only lines of it and of its links are added; -1: all */
    struct cost_sink sink;
};

static int ledger_run(struct ledger *ledger, struct error *err);
static int ledger_link(struct ledger *ledger, int link, struct error *err);
static int ledger_use(struct ledger *ledger, int link, const struct problem_use *use,
                      struct cost_line line, bool wanted, struct error *err);
static void use_text(const struct cost_sink *sink, struct cost_line *line,
                     const struct cost_context *context, const struct problem_use *use, int tier,
                     int64_t bytes);
static nusd stay_of(const struct cost_context *context, const struct placement *at);
static int no_memory(struct error *err);

int cost_explain(const struct cost_input *input, const struct placement *at, struct arena *arena,
                 struct cost_report *ret_report, struct error *err)
{
    struct cost_context context;
    int rc = cost_context_build(input, arena, &context, err);
    if (rc < 0) {
        return rc;
    }
    struct ledger ledger = {
        .context = &context,
        .at = at,
        .volume = arena_array(arena, (size_t)context.meter_count + 1, sizeof(int64_t)),
        .only = -1,
    };
    if (ledger.volume == NULL) {
        return no_memory(err);
    }
    /* The first pass counts the lines, the second keeps them. */
    rc = ledger_run(&ledger, err);
    if (rc < 0) {
        return rc;
    }
    struct cost_line *lines =
        arena_array(arena, (size_t)ledger.sink.count + 1, sizeof(struct cost_line));
    if (lines == NULL) {
        return no_memory(err);
    }
    ledger.sink = (struct cost_sink){.lines = lines};
    rc = ledger_run(&ledger, err);
    if (rc < 0) {
        return rc;
    }
    *ret_report = (struct cost_report){.lines = lines,
                                       .line_count = ledger.sink.count,
                                       .total = ledger.sink.total,
                                       .stay = stay_of(&context, at)};
    return 0;
}

int cost_context_total(const struct cost_context *context, const struct placement *at,
                       int64_t *volume, struct cost_total *ret_total, nusd *ret_stay,
                       struct error *err)
{
    struct ledger ledger = {.context = context, .at = at, .volume = volume, .only = -1};
    int rc = ledger_run(&ledger, err);
    if (rc < 0) {
        return rc;
    }
    *ret_total = ledger.sink.total;
    *ret_stay = stay_of(context, at);
    return 0;
}

int cost_candidates(const struct cost_input *input, const struct placement *at, int part,
                    struct arena *arena, struct cost_candidate **ret_candidates, int *ret_count,
                    struct error *err)
{
    struct cost_context context;
    struct problem problem;
    int rc = cost_context_build(input, arena, &context, err);
    if (rc == 0) {
        rc = cost_problem_from(&context, arena, &problem, err);
    }
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < context.part_count; i++) {
        if (at[i].site < 0) {
            char name[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
            cost_part_name(&context, i, name, sizeof(name));
            return error_set(err, ERR_INVALID, 0,
                             "%s is nowhere: sites are compared once everything is placed", name);
        }
    }
    size_t sites = (size_t)context.site_count;
    size_t parts = (size_t)context.part_count + 1;
    struct cost_candidate *candidates = arena_array(arena, sites, sizeof(struct cost_candidate));
    struct placement *there = arena_array(arena, parts, sizeof(struct placement));
    int *choice = arena_array(arena, parts, sizeof(int));
    int64_t *volume = arena_array(arena, (size_t)context.meter_count + 1, sizeof(int64_t));
    if (candidates == NULL || there == NULL || choice == NULL || volume == NULL) {
        return no_memory(err);
    }
    memcpy(there, at, (size_t)context.part_count * sizeof(*there));
    (void)cost_choices(input, &problem, at, choice);
    nusd chosen = problem_cost(&problem, choice);
    for (int i = 0; i < context.site_count; i++) {
        struct cost_candidate *candidate = &candidates[i];
        there[part].site = i;
        struct ledger ledger = {.context = &context, .at = there, .volume = volume, .only = part};
        rc = ledger_run(&ledger, err);
        if (rc < 0) {
            return rc;
        }
        (void)cost_choices(input, &problem, there, choice);
        int rule = problem_broken_rule(&problem, choice);
        candidate->to = there[part];
        candidate->chosen = i == at[part].site;
        candidate->allowed = rule < 0;
        if (rule >= 0) {
            str_format(candidate->rule, sizeof(candidate->rule), "%s", problem.rules[rule].text);
        }
        /* The bill is per month: what the move itself costs once is in the score and the gap. */
        candidate->bill = ledger.sink.total.bill - ledger.sink.total.bill_term[TERM_MIGRATION];
        candidate->score = ledger.sink.total.score;
        candidate->gap = problem_cost(&problem, choice) - chosen;
    }
    *ret_candidates = candidates;
    *ret_count = context.site_count;
    return 0;
}

static int ledger_run(struct ledger *ledger, struct error *err)
{
    const struct cost_context *context = ledger->context;
    memset(ledger->volume, 0, (size_t)context->meter_count * sizeof(int64_t));
    for (int part = 0; part < context->part_count; part++) {
        if (ledger->at[part].site >= 0 && (ledger->only < 0 || ledger->only == part)) {
            cost_terms_unary(context, part, ledger->at[part].site, &ledger->sink);
            cost_terms_migration(context, part, ledger->at[part].site, &ledger->sink);
        }
    }
    for (int link = 0; link < context->link_count; link++) {
        int rc = ledger_link(ledger, link, err);
        if (rc < 0) {
            return rc;
        }
    }
    return ledger->sink.failed ? error_set(err, ERR_OVERFLOW, 0,
                                           "an amount of the placement is too large; check calls, "
                                           "sizes, prices and weights")
                               : 0;
}

static int ledger_link(struct ledger *ledger, int link, struct error *err)
{
    const struct cost_context *context = ledger->context;
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    int from = info->from_part < 0 ? info->from_site : ledger->at[info->from_part].site;
    int to = ledger->at[info->to_part].site;
    bool wanted =
        ledger->only < 0 || ledger->only == info->to_part || ledger->only == info->from_part;
    struct problem_use uses[COST_LINK_USES];
    if (from < 0 || to < 0) {
        return 0; /* nothing travels to or from what is nowhere */
    }
    int rc = cost_link_uses(context, link, from, to, uses, err);
    if (rc < 0) {
        return rc;
    }
    if (wanted) {
        cost_terms_link(context, link, from, to, &ledger->sink);
    }
    for (int k = 0; k < COST_LINK_USES; k++) {
        bool response = k >= COST_LINK_USES / 2;
        struct cost_line line = {.term = TERM_EGRESS,
                                 .app = callee->app,
                                 .workload = callee->workload,
                                 .link = info->link,
                                 .custom = -1,
                                 .site = response ? to : from,
                                 .peer_site = response ? from : to};
        rc = uses[k].meter < 0 ? 0 : ledger_use(ledger, link, &uses[k], line, wanted, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* A line for each price tier that the bytes touch. The bill is rounded once per line; the scores
 * are differences of the meter's rounded charge, so that they add up to it exactly. */
static int ledger_use(struct ledger *ledger, int link, const struct problem_use *use,
                      struct cost_line line, bool wanted, struct error *err)
{
    const struct cost_context *context = ledger->context;
    const struct problem_meter *meter = &context->meters[use->meter];
    const struct egress_rule *rule = &context->world->egress[context->meter_keys[use->meter].rule];
    int64_t *volume = &ledger->volume[use->meter];
    int64_t left = use->bytes;
    int64_t end;
    if (__builtin_add_overflow(*volume, left, &end) ||
        __builtin_add_overflow(end, meter->base_bytes, &end)) {
        const struct cost_part_info *callee = &context->parts[context->links[link].to_part];
        return error_set(err, ERR_OVERFLOW, 0, "%s/%s: the meter %s passes 8 EiB per month",
                         callee->owner->namespace_, callee->owner->name, meter->name);
    }
    for (int tier = 0; left > 0 && tier < meter->tier_count; tier++) {
        int64_t at = meter->base_bytes + *volume;
        int64_t room = meter->up_to_bytes[tier] - at;
        if (room <= 0) {
            continue;
        }
        int64_t bytes = left < room || tier == meter->tier_count - 1 ? left : room;
        line.score = meter_charge(meter, *volume + bytes) - meter_charge(meter, *volume);
        if (money_of(rule->tiers[tier].price, (uint64_t)rule->per_bytes, (unsigned __int128)bytes,
                     &line.bill) < 0) {
            ledger->sink.failed = true;
        }
        *volume += bytes;
        left -= bytes;
        if (wanted) {
            use_text(&ledger->sink, &line, context, use, tier, bytes);
            cost_sink_add(&ledger->sink, &line);
        }
    }
    return 0;
}

/* "16.1 GiB x $0.09 per GiB (aws-main aws-internet, from 0 to 10240 GiB)" */
static void use_text(const struct cost_sink *sink, struct cost_line *line,
                     const struct cost_context *context, const struct problem_use *use, int tier,
                     int64_t bytes)
{
    if (sink->lines == NULL) {
        return;
    }
    const struct problem_meter *meter = &context->meters[use->meter];
    const struct egress_rule *rule = &context->world->egress[context->meter_keys[use->meter].rule];
    const char *unit = rule->per_bytes == INT64_C(1) << 30 ? "GiB" : "GB";
    char size[UNITS_TEXT_BYTES];
    char price[DECIMAL_TEXT_BYTES];
    char range[LIMIT_NAME_BYTES];
    int64_t low = tier == 0 ? 0 : meter->up_to_bytes[tier - 1] / rule->per_bytes;
    if (meter->tier_count == 1) {
        range[0] = '\0';
    } else if (tier == meter->tier_count - 1) {
        str_format(range, sizeof(range), ", above %" PRId64 " %s", low, unit);
    } else {
        str_format(range, sizeof(range), ", %" PRId64 "-%" PRId64 " %s", low,
                   meter->up_to_bytes[tier] / rule->per_bytes, unit);
    }
    (void)snprintf(line->text, sizeof(line->text), "%s x $%s per %s (%s%s)",
                   units_format_bytes(bytes, size), decimal_format(rule->tiers[tier].price, price),
                   unit, meter->name, range);
}

static nusd stay_of(const struct cost_context *context, const struct placement *at)
{
    nusd sum = 0;
    for (int part = 0; part < context->part_count; part++) {
        int current = context->parts[part].state->now.site;
        if (current >= 0 && at[part].site >= 0 && current != at[part].site) {
            sum += cost_stay(context, part);
        }
    }
    return sum;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement's ledger");
}
