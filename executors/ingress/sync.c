/*
 * sync: what HAProxy has, and the next command that brings it nearer to what is wanted.
 *
 * The order of the commands of one route is what keeps traffic whole: servers are added, made ready
 * and given their weight; then the map leads to them; only then others lose their weight, and those
 * that are not wanted any more are closed. So there is no instant without a server that serves. A
 * route that is paused holds its requests before its servers lose their weight, and lets them go
 * when others have theirs.
 *
 * Between the rule that holds and the choice of a server a thread of HAProxy's may be put aside by
 * the kernel. Then its request found no server, or reached the former owner late. So after a hold
 * HAProxy is told to delete a server that there is not: it looks for one alone, when each of its
 * other threads has ended what it was at.
 */
#include <stdlib.h>
#include <string.h>

#include "executors/ingress/internal.h"

#define NOBODY ":none" /* no instance's name: those have no colon */

static bool slot_change(struct ingress *ingress, int index, int64_t now, struct change *change);
static bool change_server(const struct slot *slot, struct change *change);
static bool change_weight(const struct slot *slot, bool up, struct change *change);
static bool change_hold(const struct slot *slot, bool hold, struct change *change);
static bool change_map(const struct ingress *ingress, const struct slot *slot, bool stale,
                       struct change *change);
static bool change_remove(const struct slot *slot, int64_t now, struct change *change);
static void apply(struct ingress *ingress, const struct change *change);
static bool accepted(const struct change *change, const char *answer);
static struct have *have_find(const struct slot *slot, int lane, const char *instance);
static struct have *have_add(struct slot *slot, int lane, const char *instance);
static const struct want *want_find(const struct slot *slot, const char *instance);
static bool map_add(struct ingress *ingress, const char *key, int slot);
static bool about(struct change *change, enum change_kind kind, int lane, const char *instance);

void sync_forget(struct ingress *ingress)
{
    for (int i = 0; i < ingress->options.slots; i++) {
        ingress->slots[i].held = ingress->slots[i].passed = false;
        for (int lane = 0; lane < INGRESS_LANES; lane++) {
            free(ingress->slots[i].have[lane]);
            ingress->slots[i].have[lane] = NULL;
            ingress->slots[i].have_count[lane] = 0;
        }
    }
    ingress->map_count = 0;
}

void sync_begin(struct ingress *ingress)
{
    for (int i = 0; i < ingress->options.slots; i++)
        if (ingress->slots[i].used && ingress->slots[i].tries < INGRESS_TRIES)
            ingress->slots[i].next = 0;
}

/* What is found in a slot without a route is left over from one: it is taken out. */
void sync_server(struct ingress *ingress, const struct answer_server *server)
{
    if (server->slot >= ingress->options.slots)
        return;
    struct slot *slot = &ingress->slots[server->slot];
    struct have *have = have_add(slot, server->lane, server->name);
    if (have == NULL)
        return;
    str_format(have->at.host, sizeof(have->at.host), "%s", server->host);
    have->at.v6 = strchr(server->host, ':') != NULL;
    have->at.port = server->port;
    have->weight = server->weight;
    have->ready = server->admin == 0;
    if (!slot->used)
        slot->used = slot->gone = true;
}

void sync_entry(struct ingress *ingress, const struct answer_entry *entry)
{
    if (entry->slot >= ingress->options.slots || !map_add(ingress, entry->key, entry->slot))
        return;
    struct slot *slot = &ingress->slots[entry->slot];
    if (!slot->used)
        slot->used = slot->gone = true;
}

void sync_held(struct ingress *ingress, int index)
{
    if (index >= ingress->options.slots)
        return;
    struct slot *slot = &ingress->slots[index];
    slot->held = true;
    if (!slot->used)
        slot->used = slot->gone = true;
}

bool sync_next(struct ingress *ingress, int64_t now, struct change *ret_change)
{
    for (int i = 0; i < ingress->options.slots; i++) {
        int index = (ingress->turn + i) % ingress->options.slots;
        struct slot *slot = &ingress->slots[index];
        while (slot->used && slot->next <= now) {
            *ret_change = (struct change){.slot = index};
            if (slot_change(ingress, index, now, ret_change)) {
                ingress->turn = index; /* one route is finished before the next */
                return true;
            }
            int64_t next = INT64_MAX;
            bool left = false;
            for (int lane = 0; lane < INGRESS_LANES; lane++)
                for (int j = 0; j < slot->have_count[lane]; j++) {
                    left = true;
                    if (slot->have[lane][j].shut && slot->have[lane][j].next < next)
                        next = slot->have[lane][j].next;
                }
            slot->next = next;
            slot->tries = 0;
            routes_answer(ingress, slot, 0, "");
            if (slot->gone && !left)
                routes_release(ingress, slot);
        }
    }
    return false;
}

void sync_write(const struct change *change, struct strbuf *out)
{
    char server[96];
    char at[LIMIT_NAME_BYTES];
    str_format(server, sizeof(server), "%c%d/%s", change->lane == 0 ? 'r' : 'w', change->slot,
               change->instance);
    switch (change->kind) {
    case CHANGE_NONE:
        BERTH_ASSERT(false, "a change of nothing");
    case CHANGE_ADD:
        ingress_address_format(&change->at, at);
        strbuf_printf(out, "add server %s %s weight %d " SERVER_POOL "\n", server, at,
                      change->weight);
        return;
    case CHANGE_ADDRESS:
        strbuf_printf(out, "set server %s addr %s port %d\n", server, change->at.host,
                      change->at.port);
        return;
    case CHANGE_READY:
        strbuf_printf(out, "set server %s state ready\n", server);
        return;
    case CHANGE_WEIGHT:
        strbuf_printf(out, "set server %s weight %d\n", server, change->weight);
        return;
    case CHANGE_MAP_ADD:
        strbuf_printf(out, "add map " FILE_MAP " %s %d\n", change->key, change->slot);
        return;
    case CHANGE_MAP_SET:
        strbuf_printf(out, "set map " FILE_MAP " %s %d\n", change->key, change->slot);
        return;
    case CHANGE_MAP_DELETE:
        strbuf_printf(out, "del map " FILE_MAP " %s\n", change->key);
        return;
    case CHANGE_HOLD:
        strbuf_printf(out, "add map " FILE_HELD " %d 1\n", change->slot);
        return;
    case CHANGE_LET_GO:
        strbuf_printf(out, "del map " FILE_HELD " %d\n", change->slot);
        return;
    case CHANGE_MAINT:
        strbuf_printf(out, "set server %s state maint\n", server);
        return;
    case CHANGE_SHUT:
        strbuf_printf(out, "shutdown sessions server %s\n", server);
        return;
    case CHANGE_PASS:
    case CHANGE_DELETE:
        strbuf_printf(out, "del server %s\n", server);
        return;
    }
}

void sync_done(struct ingress *ingress, const struct change *change, const char *answer)
{
    struct slot *slot = &ingress->slots[change->slot];
    if (accepted(change, answer)) {
        apply(ingress, change);
        return;
    }
    struct have *have = have_find(slot, change->lane, change->instance);
    if (change->kind == CHANGE_DELETE && have != NULL && strstr(answer, "onnection") != NULL) {
        /* Its connections are still being closed: nothing new reaches it, the rest has time. */
        have->shut = false;
        have->next = ingress_now() + INGRESS_AGAIN_US;
        return;
    }
    ingress->read_again = true; /* what was believed of it is not so */
    if (++slot->tries < INGRESS_TRIES)
        return;
    struct strbuf command;
    char text[LIMIT_TEXT_BYTES];
    strbuf_init(&command, 2 * INGRESS_KEY_BYTES);
    sync_write(change, &command);
    str_format(text, sizeof(text), "HAProxy refused '%.*s': %.120s",
               command.bytes > 101 ? 100 : (int)command.bytes - 1, strbuf_text(&command), answer);
    strbuf_done(&command);
    slot->next = ingress_now() + INGRESS_RETRY_US;
    routes_answer(ingress, slot, ERR_IO, text);
}

int64_t sync_deadline(const struct ingress *ingress)
{
    int64_t first = INT64_MAX;
    if (ingress->phase == PHASE_UP)
        for (int i = 0; i < ingress->options.slots; i++)
            if (ingress->slots[i].used && ingress->slots[i].next < first)
                first = ingress->slots[i].next;
    return first;
}

static bool slot_change(struct ingress *ingress, int index, int64_t now, struct change *change)
{
    const struct slot *slot = &ingress->slots[index];
    bool hold = slot->paused && !slot->gone && ingress->options.hold_us > 0;
    return (slot->gone && change_map(ingress, slot, true, change)) ||
           (hold && change_hold(slot, true, change)) ||
           (hold && !slot->passed && about(change, CHANGE_PASS, 0, NOBODY)) ||
           change_server(slot, change) || change_weight(slot, true, change) ||
           change_map(ingress, slot, false, change) ||
           (!hold && change_hold(slot, false, change)) || change_weight(slot, false, change) ||
           change_remove(slot, now, change) || change_map(ingress, slot, true, change);
}

/* Every server that is wanted is there, at its address and out of maintenance. */
static bool change_server(const struct slot *slot, struct change *change)
{
    for (int i = 0; i < slot->want_count; i++)
        for (int lane = 0; lane < INGRESS_LANES; lane++) {
            const struct want *want = &slot->want[i];
            const struct have *have = have_find(slot, lane, want->instance);
            change->at = want->at;
            change->weight = want->weight;
            if (have == NULL)
                return about(change, CHANGE_ADD, lane, want->instance);
            if (have->at.port != want->at.port || !str_equal(have->at.host, want->at.host))
                return about(change, CHANGE_ADDRESS, lane, want->instance);
            if (!have->ready)
                return about(change, CHANGE_READY, lane, want->instance);
        }
    return false;
}

static bool change_weight(const struct slot *slot, bool up, struct change *change)
{
    for (int i = 0; i < slot->want_count; i++)
        for (int lane = 0; lane < INGRESS_LANES; lane++) {
            const struct want *want = &slot->want[i];
            const struct have *have = have_find(slot, lane, want->instance);
            change->weight = want->weight;
            if (have != NULL && have->weight != want->weight && (want->weight > have->weight) == up)
                return about(change, CHANGE_WEIGHT, lane, want->instance);
        }
    return false;
}

static bool change_hold(const struct slot *slot, bool hold, struct change *change)
{
    return slot->held != hold && about(change, hold ? CHANGE_HOLD : CHANGE_LET_GO, 0, "");
}

/* `stale`: what leads to this slot and should not; else: what should and does not. */
static bool change_map(const struct ingress *ingress, const struct slot *slot, bool stale,
                       struct change *change)
{
    const struct map_entry *mine = NULL;
    for (int i = 0; i < ingress->map_count; i++) {
        const struct map_entry *entry = &ingress->map[i];
        bool same = str_equal(entry->key, slot->key);
        if (same)
            mine = entry;
        if (stale && !same && entry->slot == change->slot) {
            str_format(change->key, sizeof(change->key), "%s", entry->key);
            return about(change, CHANGE_MAP_DELETE, 0, "");
        }
    }
    if (stale || slot->key[0] == 0 || (mine != NULL && mine->slot == change->slot))
        return false;
    str_format(change->key, sizeof(change->key), "%s", slot->key);
    return about(change, mine == NULL ? CHANGE_MAP_ADD : CHANGE_MAP_SET, 0, "");
}

static bool change_remove(const struct slot *slot, int64_t now, struct change *change)
{
    /* Both lanes are closed before either is taken out: what counts for traffic comes first. */
    for (int step = 0; step < 3; step++)
        for (int lane = 0; lane < INGRESS_LANES; lane++)
            for (int i = 0; i < slot->have_count[lane]; i++) {
                const struct have *have = &slot->have[lane][i];
                if (want_find(slot, have->instance) != NULL)
                    continue;
                if (step == 0 && have->ready)
                    return about(change, CHANGE_MAINT, lane, have->instance);
                if (step == 1 && !have->shut)
                    return about(change, CHANGE_SHUT, lane, have->instance);
                if (step == 2 && have->next <= now)
                    return about(change, CHANGE_DELETE, lane, have->instance);
            }
    return false;
}

static void apply(struct ingress *ingress, const struct change *change)
{
    struct slot *slot = &ingress->slots[change->slot];
    struct have *have = have_find(slot, change->lane, change->instance);
    switch (change->kind) {
    case CHANGE_ADD:
        have = have_add(slot, change->lane, change->instance);
        if (have == NULL) {
            ingress->read_again = true;
            return;
        }
        have->at = change->at;
        have->weight = change->weight;
        return;
    case CHANGE_MAP_ADD:
    case CHANGE_MAP_SET:
        for (int i = 0; i < ingress->map_count; i++)
            if (str_equal(ingress->map[i].key, change->key)) {
                ingress->map[i].slot = change->slot;
                return;
            }
        if (!map_add(ingress, change->key, change->slot))
            ingress->read_again = true;
        return;
    case CHANGE_MAP_DELETE:
        for (int i = ingress->map_count - 1; i >= 0; i--)
            if (str_equal(ingress->map[i].key, change->key))
                ingress->map[i] = ingress->map[--ingress->map_count];
        return;
    case CHANGE_HOLD:
    case CHANGE_LET_GO:
        slot->held = change->kind == CHANGE_HOLD;
        slot->passed = false;
        return;
    case CHANGE_PASS:
        slot->passed = true;
        return;
    case CHANGE_NONE:
    case CHANGE_ADDRESS:
    case CHANGE_READY:
    case CHANGE_WEIGHT:
    case CHANGE_MAINT:
    case CHANGE_SHUT:
    case CHANGE_DELETE:
        break;
    }
    if (have == NULL)
        return;
    if (change->kind == CHANGE_ADDRESS)
        have->at = change->at;
    if (change->kind == CHANGE_READY || change->kind == CHANGE_MAINT)
        have->ready = change->kind == CHANGE_READY;
    if (change->kind == CHANGE_WEIGHT)
        have->weight = change->weight;
    if (change->kind == CHANGE_READY || change->kind == CHANGE_SHUT)
        have->shut = change->kind == CHANGE_SHUT;
    if (change->kind == CHANGE_DELETE)
        *have = slot->have[change->lane][--slot->have_count[change->lane]];
}

/* HAProxy says nothing when it did what it was told, but for a few. */
static bool accepted(const struct change *change, const char *answer)
{
    switch (change->kind) {
    case CHANGE_ADD:
        return str_starts(answer, "New server registered");
    case CHANGE_PASS:
        return str_starts(answer, "No such server");
    case CHANGE_DELETE:
        return str_starts(answer, "Server deleted");
    case CHANGE_ADDRESS:
        return strstr(answer, "changed from") != NULL || strstr(answer, "no need to") != NULL;
    case CHANGE_NONE:
    case CHANGE_READY:
    case CHANGE_WEIGHT:
    case CHANGE_MAP_ADD:
    case CHANGE_MAP_SET:
    case CHANGE_MAP_DELETE:
    case CHANGE_HOLD:
    case CHANGE_LET_GO:
    case CHANGE_MAINT:
    case CHANGE_SHUT:
        break;
    }
    return answer[0] == 0;
}

static struct have *have_find(const struct slot *slot, int lane, const char *instance)
{
    for (int i = 0; i < slot->have_count[lane]; i++)
        if (str_equal(slot->have[lane][i].instance, instance))
            return &slot->have[lane][i];
    return NULL;
}

static struct have *have_add(struct slot *slot, int lane, const char *instance)
{
    size_t count = (size_t)slot->have_count[lane];
    struct have *grown = reallocarray(slot->have[lane], count + 1, sizeof(*grown));
    if (grown == NULL)
        return NULL;
    slot->have[lane] = grown;
    slot->have_count[lane]++;
    grown[count] = (struct have){.weight = 0};
    str_format(grown[count].instance, sizeof(grown[count].instance), "%s", instance);
    return &grown[count];
}

static const struct want *want_find(const struct slot *slot, const char *instance)
{
    for (int i = 0; i < slot->want_count; i++)
        if (str_equal(slot->want[i].instance, instance))
            return &slot->want[i];
    return NULL;
}

static bool map_add(struct ingress *ingress, const char *key, int slot)
{
    if (ingress->map_count == ingress->map_capacity) {
        int capacity = ingress->map_capacity == 0 ? 64 : 2 * ingress->map_capacity;
        struct map_entry *grown =
            reallocarray(ingress->map, (size_t)capacity, sizeof(*ingress->map));
        if (grown == NULL)
            return false;
        ingress->map = grown;
        ingress->map_capacity = capacity;
    }
    struct map_entry *entry = &ingress->map[ingress->map_count++];
    str_format(entry->key, sizeof(entry->key), "%s", key);
    entry->slot = slot;
    return true;
}

static bool about(struct change *change, enum change_kind kind, int lane, const char *instance)
{
    change->kind = kind;
    change->lane = lane;
    str_format(change->instance, sizeof(change->instance), "%s", instance);
    return true;
}
