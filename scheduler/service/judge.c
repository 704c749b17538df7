#include "scheduler/service/judge.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum count { COUNT_REQUESTS, COUNT_ERRORS, COUNT_LATENCY_US, COUNT_COUNT };

struct track {
    char source[LIMIT_NAME_BYTES];
    bool ingress; /* what it saw of another's requests, not its own count */
    uint64_t life;
    bool known[COUNT_COUNT];
    int64_t last[COUNT_COUNT];
    int64_t sum[COUNT_COUNT];
};

struct side {
    char instance[LIMIT_ID_BYTES];
    char node[LIMIT_NAME_BYTES];
    struct track tracks[JUDGE_TRACKS];
    int track_count;
};

struct judge {
    char handoff[LIMIT_ID_BYTES];
    int64_t asked_us;
    struct side sides[2]; /* from, to */
};

struct judges {
    struct judge *list[JUDGES_MAX];
    int count;
};

static struct judge *judge_find(struct judges *judges, const struct judge_ask *ask);
static void take_one(struct judges *judges, const struct track *who,
                     const struct message_sample *of, int kind, int64_t value);
static struct track *track_find(struct side *side, const struct track *who, uint64_t life);
static struct track own_word(const struct side *side);
static struct track ingress_word(const struct side *side);
static struct core_judged_side judged(const struct track *track);

struct judges *judges_create(void)
{
    return calloc(1, sizeof(struct judges));
}

void judges_destroy(struct judges *judges)
{
    for (int i = 0; judges != NULL && i < judges->count; i++)
        free(judges->list[i]);
    free(judges);
}

void judges_ask(struct judges *judges, const struct judge_ask *ask,
                struct core_judged_side *ret_from, struct core_judged_side *ret_to)
{
    struct judge *judge = judge_find(judges, ask);
    memset(ret_from, 0, sizeof(*ret_from));
    memset(ret_to, 0, sizeof(*ret_to));
    if (judge == NULL)
        return;
    judge->asked_us = ask->now_us;
    struct track own[2];
    struct track ingress[2];
    for (int i = 0; i < 2; i++) {
        own[i] = own_word(&judge->sides[i]);
        ingress[i] = ingress_word(&judge->sides[i]);
    }
    int64_t least[2] = {INT64_MAX, INT64_MAX};
    for (int i = 0; i < 2; i++) {
        least[0] = own[i].sum[COUNT_REQUESTS] < least[0] ? own[i].sum[COUNT_REQUESTS] : least[0];
        least[1] =
            ingress[i].sum[COUNT_REQUESTS] < least[1] ? ingress[i].sum[COUNT_REQUESTS] : least[1];
    }
    /* With nothing of one side in either, the new one is judged by what there is of it. */
    bool by_own = least[0] > least[1];
    if (least[0] == 0 && least[1] == 0)
        by_own = own[1].sum[COUNT_REQUESTS] > ingress[1].sum[COUNT_REQUESTS];
    *ret_from = judged(by_own ? &own[0] : &ingress[0]);
    *ret_to = judged(by_own ? &own[1] : &ingress[1]);
}

/* Of new sides when they have changed: a handoff's never do. NULL: no memory. */
static struct judge *judge_find(struct judges *judges, const struct judge_ask *ask)
{
    int oldest = 0;
    for (int i = 0; i < judges->count; i++) {
        if (str_equal(judges->list[i]->handoff, ask->handoff))
            return judges->list[i];
        if (judges->list[i]->asked_us < judges->list[oldest]->asked_us)
            oldest = i;
    }
    if (judges->count < JUDGES_MAX) {
        struct judge *made = calloc(1, sizeof(*made));
        if (made == NULL)
            return NULL;
        oldest = judges->count++;
        judges->list[oldest] = made;
    }
    struct judge *judge = judges->list[oldest];
    memset(judge, 0, sizeof(*judge));
    str_format(judge->handoff, sizeof(judge->handoff), "%s", ask->handoff);
    str_format(judge->sides[0].instance, LIMIT_ID_BYTES, "%s", ask->from);
    str_format(judge->sides[1].instance, LIMIT_ID_BYTES, "%s", ask->to);
    str_format(judge->sides[0].node, LIMIT_NAME_BYTES, "%s", ask->from_node);
    str_format(judge->sides[1].node, LIMIT_NAME_BYTES, "%s", ask->to_node);
    return judge;
}

void judges_take(struct judges *judges, const char *source, const struct message_batch *batch)
{
    struct track who = {.ingress = batch->ingress};
    if (judges->count == 0)
        return;
    str_format(who.source, sizeof(who.source), "%s", source);
    for (int i = 0; i < batch->run_count; i++) {
        const struct message_run *run = &batch->runs[i];
        for (int k = 0; k < run->count; k++)
            take_one(judges, &who, &run->of, batch->kinds[run->first + k],
                     batch->values[run->first + k]);
    }
    for (int i = 0; i < batch->sample_count; i++)
        take_one(judges, &who, &batch->samples[i], batch->samples[i].kind, batch->samples[i].value);
}

static void take_one(struct judges *judges, const struct track *who,
                     const struct message_sample *of, int kind, int64_t value)
{
    enum count count = kind == SAMPLE_REQUESTS         ? COUNT_REQUESTS
                       : kind == SAMPLE_ERRORS         ? COUNT_ERRORS
                       : kind == SAMPLE_LATENCY_US_SUM ? COUNT_LATENCY_US
                                                       : COUNT_COUNT;
    /* A node counts an instance's calls as a whole; a part of its users says nothing of the rest.
     */
    if (count == COUNT_COUNT || value < 0 || of->instance == NULL || of->instance[0] == 0 ||
        (of->segment != NULL && of->segment[0] != 0))
        return;
    for (int i = 0; i < 2 * judges->count; i++) {
        struct side *side = &judges->list[i / 2]->sides[i % 2];
        if (!str_equal(side->instance, of->instance))
            continue;
        struct track *track = track_find(side, who, of->life);
        if (track == NULL)
            continue;
        if (track->known[count] && value > track->last[count])
            track->sum[count] += value - track->last[count];
        track->known[count] = true;
        track->last[count] = value;
    }
}

/* NULL: so many lives that nobody can say what they were. */
static struct track *track_find(struct side *side, const struct track *who, uint64_t life)
{
    for (int i = 0; i < side->track_count; i++) {
        struct track *track = &side->tracks[i];
        if (track->life == life && track->ingress == who->ingress &&
            str_equal(track->source, who->source))
            return track;
    }
    if (side->track_count == JUDGE_TRACKS)
        return NULL;
    struct track *track = &side->tracks[side->track_count++];
    *track = *who;
    track->life = life;
    return track;
}

/* Lives follow each other: a process that was started again, an agent that found its process. */
static struct track own_word(const struct side *side)
{
    struct track all = {.life = 0};
    for (int i = 0; i < side->track_count; i++) {
        const struct track *track = &side->tracks[i];
        for (int k = 0; !track->ingress && str_equal(track->source, side->node) && k < COUNT_COUNT;
             k++)
            all.sum[k] += track->sum[k];
    }
    return all;
}

static struct track ingress_word(const struct side *side)
{
    struct track all = {.life = 0};
    for (int i = 0; i < side->track_count; i++) {
        for (int k = 0; side->tracks[i].ingress && k < COUNT_COUNT; k++)
            all.sum[k] += side->tracks[i].sum[k];
    }
    return all;
}

static struct core_judged_side judged(const struct track *track)
{
    int64_t requests = track->sum[COUNT_REQUESTS];
    if (requests <= 0)
        return (struct core_judged_side){.known = false};
    __int128 errors_ppm = (__int128)track->sum[COUNT_ERRORS] * PPM / requests;
    return (struct core_judged_side){
        .known = true,
        .requests = requests,
        .errors_ppm = errors_ppm < PPM ? (int64_t)errors_ppm : PPM,
        .latency_us = track->sum[COUNT_LATENCY_US] / requests,
    };
}
