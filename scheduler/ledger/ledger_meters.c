/* Which meters the cost model is to be told of anew. */
#include <string.h>

#include "base/str.h"
#include "scheduler/ledger/ledger_internal.h"

static const struct egress_rule *rule_of(const struct world *world, const char *name);
static int64_t told_bytes(const struct estimates *told, const char *account, const char *rule);
static bool is_news(const struct egress_rule *rule, int64_t told_bytes, int64_t bytes);
static void add(const char *account, const char *rule, int64_t bytes, int64_t now_us,
                struct estimate *out);

int ledger_meters_news(struct ledger *ledger, const struct world *world,
                       const struct estimates *told, int64_t now_us, struct estimate *list,
                       int room)
{
    int64_t month_us;
    int64_t end_us;
    int count = 0;
    ledger_month(now_us, &month_us, &end_us);
    for (int i = 0; i < ledger->meter_count && count < room; i++) {
        const struct ledger_meter *meter = &ledger->meters[i];
        const struct egress_rule *rule = rule_of(world, meter->rule);
        if (meter->month_us == month_us && meter->bytes > 0 && rule != NULL &&
            is_news(rule, told_bytes(told, meter->account, meter->rule), meter->bytes))
            add(meter->account, meter->rule, meter->bytes, now_us, &list[count++]);
    }
    /* What was told of a month that is over, with nothing yet in this one. */
    for (int i = 0; i < told->count && count < room; i++) {
        const struct estimate *known = &told->list[i];
        if (known->kind != ESTIMATE_METER_BYTES || known->value == 0 ||
            ledger_meter_bytes(ledger, known->site, known->peer, now_us) > 0)
            continue;
        add(known->site, known->peer, 0, now_us, &list[count++]);
    }
    return count;
}

/* One whose next byte may have another price than this one; NULL: none of that name. */
static const struct egress_rule *rule_of(const struct world *world, const char *name)
{
    for (int i = 0; i < world->egress_count; i++)
        if (str_equal(world->egress[i].name, name))
            return world->egress[i].tier_count > 1 ? &world->egress[i] : NULL;
    return NULL;
}

static int64_t told_bytes(const struct estimates *told, const char *account, const char *rule)
{
    for (int i = 0; i < told->count; i++) {
        const struct estimate *known = &told->list[i];
        if (known->kind == ESTIMATE_METER_BYTES && str_equal(known->site, account) &&
            str_equal(known->peer, rule))
            return known->value;
    }
    return -1;
}

/* It has moved by a hundredth, or the next byte has another price. */
static bool is_news(const struct egress_rule *rule, int64_t told_bytes, int64_t bytes)
{
    bool passed = false;
    for (int i = 0; i < rule->tier_count; i++)
        passed |= (told_bytes < rule->tiers[i].up_to_bytes) != (bytes < rule->tiers[i].up_to_bytes);
    return bytes != told_bytes && (told_bytes < 0 || passed || bytes < told_bytes ||
                                   bytes - told_bytes > told_bytes / 100);
}

static void add(const char *account, const char *rule, int64_t bytes, int64_t now_us,
                struct estimate *out)
{
    *out = (struct estimate){.kind = ESTIMATE_METER_BYTES, .value = bytes, .at_us = now_us};
    str_format(out->site, sizeof(out->site), "%s", account);
    str_format(out->peer, sizeof(out->peer), "%s", rule);
}
