#include "simulator/requests/sharing.h"

#include <stdlib.h>

#define ROOM_FIRST 16

static double each_of(const struct sharing *sharing);
static void move_to(struct sharing *sharing, int64_t now_ns);
static bool before(const struct sharing_job *a, const struct sharing_job *b);

void sharing_init(struct sharing *sharing, double rate, double each_max)
{
    *sharing = (struct sharing){.rate = rate, .each_max = each_max};
}

void sharing_done(struct sharing *sharing)
{
    if (sharing == NULL)
        return;
    free(sharing->jobs);
    *sharing = (struct sharing){0};
}

bool sharing_add(struct sharing *sharing, int64_t now_ns, double amount, uint32_t job)
{
    if (sharing->count == sharing->room) {
        uint32_t room = sharing->room == 0 ? ROOM_FIRST : sharing->room * 2;
        struct sharing_job *jobs = realloc(sharing->jobs, room * sizeof *jobs);
        if (jobs == NULL)
            return false;
        sharing->jobs = jobs;
        sharing->room = room;
    }
    move_to(sharing, now_ns);
    struct sharing_job added = {sharing->virtual_now + amount, sharing->number++, job};
    uint32_t at = sharing->count++;
    for (; at > 0 && before(&added, &sharing->jobs[(at - 1) / 2]); at = (at - 1) / 2)
        sharing->jobs[at] = sharing->jobs[(at - 1) / 2];
    sharing->jobs[at] = added;
    return true;
}

int64_t sharing_next_ns(const struct sharing *sharing)
{
    if (sharing->count == 0)
        return INT64_MAX;
    double left_ns = (sharing->jobs[0].tag - sharing->virtual_now) / each_of(sharing);
    if (left_ns <= 0)
        return sharing->now_ns;
    int64_t whole_ns = (int64_t)left_ns;
    return sharing->now_ns + whole_ns + ((double)whole_ns < left_ns);
}

uint32_t sharing_take(struct sharing *sharing, int64_t now_ns)
{
    move_to(sharing, now_ns);
    struct sharing_job first = sharing->jobs[0];
    /* Rounded up to a nanosecond, the clock went a little past the job: the others got that too. */
    if (sharing->virtual_now < first.tag)
        sharing->virtual_now = first.tag;
    uint32_t count = --sharing->count;
    struct sharing_job last = sharing->jobs[count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= count)
            break;
        if (child + 1 < count && before(&sharing->jobs[child + 1], &sharing->jobs[child]))
            child++;
        if (!before(&sharing->jobs[child], &last))
            break;
        sharing->jobs[at] = sharing->jobs[child];
        at = child;
    }
    if (count > 0)
        sharing->jobs[at] = last;
    else
        sharing->virtual_now = 0;
    return first.job;
}

void sharing_clear(struct sharing *sharing)
{
    sharing->count = 0;
    sharing->virtual_now = 0;
}

static double each_of(const struct sharing *sharing)
{
    double share = sharing->rate / sharing->count;
    return share < sharing->each_max ? share : sharing->each_max;
}

static void move_to(struct sharing *sharing, int64_t now_ns)
{
    if (sharing->count > 0)
        sharing->virtual_now += (double)(now_ns - sharing->now_ns) * each_of(sharing);
    sharing->now_ns = now_ns;
}

static bool before(const struct sharing_job *a, const struct sharing_job *b)
{
    return a->tag != b->tag ? a->tag < b->tag : a->number < b->number;
}
