#include "tests/live/clients/owners.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"

static struct owners_one *place(struct owners *owners, struct berth_epoch epoch);

bool owners_answer(struct owners *owners, struct berth_epoch epoch, const char *instance,
                   int64_t sent_us, int64_t now_us)
{
    bool alone = true;
    struct owners_one *one = place(owners, epoch);
    if (one == NULL) {
        owners->too_many++;
        return true;
    }
    for (const struct owners_one *other = owners->list + owners->count - 1; other > one; other--)
        alone = alone && sent_us <= other->first_us;
    if (one->answers == 0) {
        one->first_us = now_us;
        str_format(one->instance, sizeof one->instance, "%.*s", (int)sizeof one->instance - 1,
                   instance);
    }
    /* One epoch is one instance's. */
    alone = alone && strncmp(one->instance, instance, sizeof one->instance - 1) == 0;
    one->answers++;
    one->last_us = now_us;
    owners->at_once += !alone;
    return alone;
}

int64_t owners_pause_us(const struct owners *owners, int index)
{
    const struct owners_one *one = &owners->list[index];
    int64_t pause_us = one->first_us - one[-1].last_us;
    return pause_us > 0 ? pause_us : 0;
}

int64_t owners_longest_us(const struct owners *owners)
{
    int64_t longest_us = 0;
    for (int i = 1; i < owners->count; i++)
        if (owners_pause_us(owners, i) > longest_us)
            longest_us = owners_pause_us(owners, i);
    return longest_us;
}

void owners_json(const struct owners *owners, FILE *out)
{
    fprintf(out,
            "\"owners\":%d,\"owners_at_once\":%" PRId64 ",\"longest_pause_us\":%" PRId64
            ",\"pauses_us\":[",
            owners->count, owners->at_once, owners_longest_us(owners));
    for (int i = 1; i < owners->count; i++)
        fprintf(out, "%s%" PRId64, i > 1 ? "," : "", owners_pause_us(owners, i));
    fprintf(out, "],\"turns_us\":[");
    for (int i = 1; i < owners->count; i++)
        fprintf(out, "%s[%" PRId64 ",%" PRId64 "]", i > 1 ? "," : "", owners->list[i - 1].last_us,
                owners->list[i].first_us);
    fprintf(out, "]");
}

/* Nearly always the last one, or a new one behind it. */
static struct owners_one *place(struct owners *owners, struct berth_epoch epoch)
{
    int at = owners->count;
    while (at > 0 && berth_epoch_compare(owners->list[at - 1].epoch, epoch) > 0)
        at--;
    if (at > 0 && berth_epoch_compare(owners->list[at - 1].epoch, epoch) == 0)
        return &owners->list[at - 1];
    if (owners->count == OWNERS_MAX)
        return NULL;
    memmove(owners->list + at + 1, owners->list + at,
            (size_t)(owners->count - at) * sizeof owners->list[0]);
    owners->list[at] = (struct owners_one){.epoch = epoch};
    owners->count++;
    return &owners->list[at];
}
