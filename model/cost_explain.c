/* The ledger of a placement, line by line. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

/* One pass over a placement. Meters fill up in the order of the links; a link's line is charged
 * what its bytes add on top of those before it. */
struct ledger {
    const struct cost_context *context;
    const struct placement *at;
    const bool *apps; /* [app]: those that there are; NULL: all */
    int64_t *volume;  /* [meter]: bytes of the lines so far */
    int only;         /* a part: only lines of it and of its links are added; -1: all */
    struct cost_sink sink;
};

/* Of a link, where the placement has them. */
struct ends {
    struct cost_spot from;
    struct cost_spot to;
    const struct cost_spot *caller; /* `from`; NULL: users */
};

static int ledger_run(struct ledger *ledger, struct error *err);
static bool is_asked(const struct ledger *ledger, int app);
static int ledger_end(const struct ledger *ledger, struct error *err);
static void find_apart(const struct cost_context *context, const struct placement *const at[2],
                       bool *apps);
static bool find_ends(const struct ledger *ledger, int link, struct ends *ret_ends);
static int ledger_link(struct ledger *ledger, int link, struct error *err);
static int ledger_replica(struct ledger *ledger, const struct cost_replica *replica,
                          struct error *err);
static __int128 account_volume(const struct ledger *ledger, int meter);
static int ledger_use(struct ledger *ledger, int part, const struct problem_use *use,
                      struct cost_line line, bool wanted, struct error *err);
static void use_text(const struct cost_sink *sink, struct cost_line *line,
                     const struct cost_context *context, const struct problem_use *use, int tier,
                     int64_t bytes);
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
                                       .stay = cost_stay_of(&context, at)};
    return 0;
}

int cost_visit(const struct cost_context *context, const bool *apps, const struct placement *at,
               struct arena *arena, cost_visitor *visit, void *visitor,
               struct cost_total *ret_total, struct error *err)
{
    struct ledger ledger = {
        .context = context,
        .at = at,
        .apps = apps,
        .volume = arena_array(arena, (size_t)context->meter_count + 1, sizeof(int64_t)),
        .only = -1,
        .sink = {.visit = visit, .visitor = visitor},
    };
    if (ledger.volume == NULL) {
        return no_memory(err);
    }
    int rc = ledger_run(&ledger, err);
    if (rc == 0) {
        *ret_total = ledger.sink.total;
    }
    return rc;
}

int cost_visit_moves(const struct cost_context *context, const bool *apps,
                     const struct placement *at, cost_visitor *visit, void *visitor,
                     struct error *err)
{
    struct ledger ledger = {.context = context,
                            .at = at,
                            .apps = apps,
                            .only = -1,
                            .sink = {.visit = visit, .visitor = visitor, .err = err}};
    for (int part = 0; part < context->part_count; part++) {
        if (at[part].site >= 0 && is_asked(&ledger, context->parts[part].app)) {
            struct cost_spot spot = cost_spot_at(context, at, part);
            cost_terms_migration(context, part, &spot, &ledger.sink);
        }
    }
    for (int link = 0; link < context->link_count; link++) {
        struct ends ends;
        const struct cost_link_info *info = &context->links[link];
        if (info->what->on_miss && is_asked(&ledger, info->app) &&
            find_ends(&ledger, link, &ends) && ends.from.site != ends.to.site) {
            cost_terms_cold(context, link, ends.caller, &ends.to, &ledger.sink);
        }
    }
    return ledger_end(&ledger, err);
}

int cost_totals(const struct cost_input *input, const struct placement *at, struct arena *arena,
                struct cost_total *ret_total, struct cost_total *ret_apps, struct error *err)
{
    struct cost_context context;
    int rc = cost_context_build(input, arena, &context, err);
    return rc < 0 ? rc : cost_totals_from(&context, at, arena, ret_total, ret_apps, err);
}

int cost_totals_from(const struct cost_context *context, const struct placement *at,
                     struct arena *arena, struct cost_total *ret_total, struct cost_total *ret_apps,
                     struct error *err)
{
    struct ledger ledger = {
        .context = context,
        .at = at,
        .volume = arena_array(arena, (size_t)context->meter_count + 1, sizeof(int64_t)),
        .only = -1,
        .sink = {.apps = ret_apps},
    };
    if (ledger.volume == NULL) {
        return no_memory(err);
    }
    if (ret_apps != NULL) {
        memset(ret_apps, 0, (size_t)context->input->app_count * sizeof(*ret_apps));
    }
    int rc = ledger_run(&ledger, err);
    if (rc == 0) {
        *ret_total = ledger.sink.total;
    }
    return rc;
}

int cost_bills(const struct cost_context *context, const struct placement *const at[2],
               struct arena *arena, nusd ret_bills[2], struct error *err)
{
    size_t count = (size_t)context->input->app_count;
    int64_t *volume = arena_array(arena, (size_t)context->meter_count + 1, sizeof(*volume));
    bool *apart = arena_array(arena, count + 1, sizeof(*apart));
    bool *alike = arena_array(arena, count + 1, sizeof(*alike));
    if (volume == NULL || apart == NULL || alike == NULL) {
        return no_memory(err);
    }
    find_apart(context, at, apart);
    for (size_t i = 0; i < count; i++) {
        alike[i] = !apart[i];
    }
    nusd bills[3];
    for (int i = 0; i < 3; i++) {
        struct ledger ledger = {.context = context,
                                .at = at[i % 2],
                                .apps = i == 2 ? alike : apart,
                                .volume = volume,
                                .only = -1};
        int rc = ledger_run(&ledger, err);
        if (rc < 0) {
            return rc;
        }
        bills[i] = ledger.sink.total.bill - ledger.sink.total.bill_term[TERM_MIGRATION];
    }
    ret_bills[0] = bills[0] + bills[2];
    ret_bills[1] = bills[1] + bills[2];
    return 0;
}

/* Prices of tiers let all apps of an account depend on each other. */
static void find_apart(const struct cost_context *context, const struct placement *const at[2],
                       bool *apps)
{
    bool tiers = false;
    for (int i = 0; i < context->meter_count; i++) {
        tiers = tiers || context->meters[i].tier_count > 1;
    }
    for (int part = 0; part < context->part_count; part++) {
        const struct cost_part_info *info = &context->parts[part];
        bool same =
            at[0][part].site == at[1][part].site && at[0][part].variant == at[1][part].variant;
        apps[info->app] = apps[info->app] || tiers || !same;
    }
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
    if (ret_stay != NULL) {
        *ret_stay = cost_stay_of(context, at);
    }
    return 0;
}

int cost_context_part_total(const struct cost_context *context, const struct placement *at,
                            int part, int64_t *volume, struct cost_total *ret_total,
                            struct error *err)
{
    struct ledger ledger = {.context = context, .at = at, .volume = volume, .only = part};
    int rc = ledger_run(&ledger, err);
    if (rc == 0) {
        *ret_total = ledger.sink.total;
    }
    return rc;
}

static int ledger_run(struct ledger *ledger, struct error *err)
{
    const struct cost_context *context = ledger->context;
    ledger->sink.err = err;
    memset(ledger->volume, 0, (size_t)context->meter_count * sizeof(int64_t));
    for (int part = 0; part < context->part_count; part++) {
        if (ledger->at[part].site >= 0 && (ledger->only < 0 || ledger->only == part) &&
            is_asked(ledger, context->parts[part].app)) {
            struct cost_spot spot = cost_spot_at(context, ledger->at, part);
            cost_terms_unary(context, part, &spot, &ledger->sink);
            cost_terms_migration(context, part, &spot, &ledger->sink);
        }
    }
    int rc = ledger->sink.rc;
    for (int link = 0; rc == 0 && link < context->link_count; link++) {
        if (is_asked(ledger, context->links[link].app)) {
            rc = ledger_link(ledger, link, err);
        }
    }
    for (int i = 0; rc == 0 && i < context->replica_count; i++) {
        const struct cost_replica *replica = &context->replicas[i];
        if (is_asked(ledger, context->parts[replica->part].app)) {
            rc = ledger_replica(ledger, replica, err);
        }
    }
    return rc < 0 ? rc : ledger_end(ledger, err);
}

static bool is_asked(const struct ledger *ledger, int app)
{
    return ledger->apps == NULL || ledger->apps[app];
}

static int ledger_end(const struct ledger *ledger, struct error *err)
{
    return ledger->sink.failed ? error_set(err, ERR_OVERFLOW, 0,
                                           "an amount of the placement is too large; check calls, "
                                           "sizes, prices and weights")
                               : 0;
}

/* False: nothing travels to or from what is nowhere. */
static bool find_ends(const struct ledger *ledger, int link, struct ends *ret_ends)
{
    const struct cost_context *context = ledger->context;
    const struct cost_link_info *info = &context->links[link];
    bool users = info->from_part < 0;
    if (ledger->at[info->to_part].site < 0 || (!users && ledger->at[info->from_part].site < 0)) {
        return false;
    }
    ret_ends->to = cost_spot_at(context, ledger->at, info->to_part);
    ret_ends->from = users ? (struct cost_spot){.site = info->from_site}
                           : cost_spot_at(context, ledger->at, info->from_part);
    ret_ends->caller = users ? NULL : &ret_ends->from;
    return true;
}

static int ledger_link(struct ledger *ledger, int link, struct error *err)
{
    const struct cost_context *context = ledger->context;
    const struct cost_link_info *info = &context->links[link];
    bool wanted =
        ledger->only < 0 || ledger->only == info->to_part || ledger->only == info->from_part;
    struct problem_use uses[COST_LINK_USES];
    struct ends ends;
    if (!find_ends(ledger, link, &ends)) {
        return 0;
    }
    int rc = cost_link_uses(context, link, ends.caller, &ends.to, uses, err);
    if (rc < 0) {
        return rc;
    }
    if (wanted) {
        cost_terms_link(context, link, ends.caller, &ends.to, &ledger->sink);
    }
    for (int k = 0; k < COST_LINK_USES; k++) {
        bool response = k >= COST_LINK_USES / 2;
        if (uses[k].meter < 0) {
            continue;
        }
        struct cost_line line = cost_line_of(context, TERM_EGRESS, info->to_part,
                                             response ? ends.to.site : ends.from.site);
        line.link = info->link;
        line.peer_site = response ? ends.from.site : ends.to.site;
        rc = ledger_use(ledger, info->to_part, &uses[k], line, wanted, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The updates that a data set's first part sends to another one. */
static int ledger_replica(struct ledger *ledger, const struct cost_replica *replica,
                          struct error *err)
{
    const struct cost_context *context = ledger->context;
    bool wanted =
        ledger->only < 0 || ledger->only == replica->primary || ledger->only == replica->part;
    struct problem_use uses[COST_REPLICA_USES];
    if (ledger->at[replica->primary].site < 0 || ledger->at[replica->part].site < 0) {
        return 0;
    }
    struct cost_spot from = cost_spot_at(context, ledger->at, replica->primary);
    struct cost_spot to = cost_spot_at(context, ledger->at, replica->part);
    cost_replica_uses(context, replica, &from, &to, uses);
    for (int k = 0; k < COST_REPLICA_USES; k++) {
        struct cost_line line = cost_line_of(context, TERM_EGRESS, replica->part, from.site);
        line.peer_site = to.site;
        int rc =
            uses[k].meter < 0 ? 0 : ledger_use(ledger, replica->part, &uses[k], line, wanted, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* A line for each price tier that the bytes touch. The bill is rounded once per line, at the
 * account's volume of that rule; the scores are differences of the meter's rounded charge, so that
 * they add up to it exactly. */
static int ledger_use(struct ledger *ledger, int part, const struct problem_use *use,
                      struct cost_line line, bool wanted, struct error *err)
{
    const struct cost_context *context = ledger->context;
    const struct problem_meter *meter = &context->meters[use->meter];
    const struct egress_rule *rule = &context->world->egress[context->meter_keys[use->meter].rule];
    int64_t *volume = &ledger->volume[use->meter];
    int64_t left = use->bytes;
    __int128 at = (__int128)meter->base_bytes + account_volume(ledger, use->meter);
    if (at + left > INT64_MAX) {
        char name[PART_NAME_BYTES];
        cost_part_name(context, part, name, sizeof(name));
        return error_set(err, ERR_OVERFLOW, 0, "%s: the meter %s passes 8 EiB per month", name,
                         meter->name);
    }
    for (int tier = 0; left > 0 && tier < meter->tier_count; tier++) {
        __int128 room = meter->up_to_bytes[tier] - at;
        if (room <= 0) {
            continue;
        }
        int64_t bytes = left < room || tier == meter->tier_count - 1 ? left : (int64_t)room;
        line.score = meter_charge(meter, *volume + bytes) - meter_charge(meter, *volume);
        if (money_of(rule->tiers[tier].price, (uint64_t)rule->per_bytes, (unsigned __int128)bytes,
                     &line.bill) < 0) {
            ledger->sink.failed = true;
        }
        *volume += bytes;
        at += bytes;
        left -= bytes;
        if (wanted) {
            use_text(&ledger->sink, &line, context, use, tier, bytes);
            cost_sink_add(&ledger->sink, &line);
        }
    }
    return 0;
}

/* So far, of all apps, however they weigh egress. */
static __int128 account_volume(const struct ledger *ledger, int meter)
{
    const struct cost_context *context = ledger->context;
    const struct cost_meter_key *key = &context->meter_keys[meter];
    const struct world *world = context->world;
    __int128 sum = 0;
    for (int class = 0; class < context->class_count; class ++) {
        int other =
            context->meter_of[(class * world->account_count + key->account) * world->egress_count +
                              key->rule];
        sum += ledger->volume[other];
    }
    return sum;
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

nusd cost_stay_of(const struct cost_context *context, const struct placement *at)
{
    nusd sum = 0;
    for (int part = 0; part < context->part_count; part++) {
        const struct cost_spot *now = &context->parts[part].now;
        if (now->site >= 0 && at[part].site >= 0 &&
            (now->site != at[part].site ||
             now->variant != cost_variant(context->parts[part].what, &at[part]))) {
            sum += cost_stay(context, part);
        }
    }
    return sum;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement's ledger");
}
