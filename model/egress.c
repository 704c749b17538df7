#include "model/egress.h"

#include <string.h>

#include "base/str.h"
#include "model/world.h"

#define MORE_BYTES 32 /* " and 255 more" */

static int rank_from(const struct world *world, const struct egress_rule *rule, int from);
static void take(const struct world *world, int index, int rank, int to, int ranks[2],
                 struct egress_match *match);

struct egress_match egress_between(const struct world *world, int from, int to)
{
    struct egress_match match = {-1, -1};
    int ranks[2] = {-1, -1};
    for (int i = 0; from != to && i < world->egress_count; i++) {
        int rank = rank_from(world, &world->egress[i], from);
        if (rank >= 0)
            take(world, i, rank, to, ranks, &match);
    }
    return match;
}

void egress_from(const struct world *world, int from, struct egress_match *ret_matches)
{
    int ranks[LIMIT_SITES][2];
    for (int to = 0; to < world->site_count; to++) {
        ranks[to][0] = ranks[to][1] = -1;
        ret_matches[to] = (struct egress_match){-1, -1};
    }
    for (int i = 0; i < world->egress_count; i++) {
        int rank = rank_from(world, &world->egress[i], from);
        for (int to = 0; rank >= 0 && to < world->site_count; to++)
            if (to != from)
                take(world, i, rank, to, ranks[to], &ret_matches[to]);
    }
}

/* -1 also where the sender would pay and has nobody to pay for it. */
static int rank_from(const struct world *world, const struct egress_rule *rule, int from)
{
    const struct site *site = &world->sites[from];
    bool pays = rule->payer != EGRESS_SENDER || site->account >= 0;
    return pays ? world_selects(rule->from, site) : -1;
}

/* The more exact rule of one payer wins, the first of equals. */
static void take(const struct world *world, int index, int rank, int to, int ranks[2],
                 struct egress_match *match)
{
    const struct egress_rule *rule = &world->egress[index];
    const struct site *site = &world->sites[to];
    int payer = rule->payer == EGRESS_SENDER ? 0 : 1;
    if (payer == 1 && site->account < 0)
        return;
    int rank_to = egress_selects(rule, site);
    if (rank_to < 0 || rank + rank_to <= ranks[payer])
        return;
    ranks[payer] = rank + rank_to;
    *(payer == 0 ? &match->sender_rule : &match->receiver_rule) = index;
}

int egress_selects(const struct egress_rule *rule, const struct site *site)
{
    int best = -1;
    for (int i = 0; i < rule->to_count; i++) {
        int rank = world_selects(rule->to[i], site);
        best = rank > best ? rank : best;
    }
    return best;
}

bool egress_same_to(const struct egress_rule *one, const struct egress_rule *other)
{
    bool same = one->to_count == other->to_count;
    for (int i = 0; same && i < one->to_count; i++)
        same = str_equal(one->to[i], other->to[i]);
    return same;
}

const char *egress_to_text(const struct egress_rule *rule, char text[EGRESS_TO_BYTES])
{
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < rule->to_count; i++) {
        size_t room = EGRESS_TO_BYTES - at;
        if (strlen(rule->to[i]) + MORE_BYTES >= room) {
            str_format(text + at, room, " and %d more", rule->to_count - i);
            break;
        }
        str_format(text + at, room, "%s%s", i == 0 ? "" : ", ", rule->to[i]);
        at += strlen(text + at);
    }
    return text;
}

void egress_to_write(const struct egress_rule *rule, struct json_out *json)
{
    if (rule->to_count == 1) {
        json_string(json, "to", rule->to[0]);
        return;
    }
    json_open(json, "to", '[');
    for (int i = 0; i < rule->to_count; i++)
        json_string(json, NULL, rule->to[i]);
    json_close(json, ']');
}
