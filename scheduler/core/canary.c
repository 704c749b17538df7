/*
 * Canaries: in a REASON_VERSION handoff of an HTTP workload with `update.canary`, the new copy has
 * a share of the traffic and is judged by its errors and its latency against the old copy's, before
 * the old one takes no more. The first replica is judged; the others follow what it showed.
 *
 * A judgement is asked for every CORE_JUDGE_GAP_US, and again when it got lost. With requests
 * enough, more errors than the document allows mean back, at once. A mean latency says little
 * before many requests have gone into it: what is above the allowed one goes back at the end of
 * `for`, and at once only above EARLY times that; a difference below NOISE_US is nobody's fault.
 * Not worse, at the end of `for`: promoted. Too few requests to tell: waited for up to
 * CANARY_PATIENCE times `for`, then back: a version that was asked to be judged is not rolled out
 * unjudged.
 */
#include "base/str.h"
#include "scheduler/core/internal.h"

#define CANARY_PATIENCE 10
#define EARLY           2
#define NOISE_US        (1 * US_PER_MS)

enum canary_word { CANARY_WAIT, CANARY_GOOD, CANARY_BAD };

static enum canary_word judge(struct core *core, struct core_handoff *handoff,
                              const struct core_place *place, char why[LIMIT_TEXT_BYTES]);
static void tell(const struct handoff_step *step, const char *name, const char *text);
static void ask(struct core *core, struct core_handoff *handoff);
static bool is_worse(const struct update *update, bool last, const struct core_judged_side *from,
                     const struct core_judged_side *to, char why[LIMIT_TEXT_BYTES]);

bool core_canary_wanted(const struct core *core, const struct core_handoff *handoff)
{
    struct core_place place;
    if (handoff->reason != REASON_VERSION || handoff->from[0] == 0 || handoff->to[0] == 0 ||
        handoff->class_ != HANDOFF_OVERLAP || handoff->canary.promoted ||
        (handoff->state != HANDOFF_STATE_REACHABLE && handoff->state != HANDOFF_STATE_CANARY) ||
        !core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, &place) ||
        !core_is_http(&place) || place.workload->update.canary_ppm <= 0 ||
        place.state->canary_good == place.spec_hash)
        return false;
    /* Without an ingress nothing gives it a share that it could be judged by. */
    return handoff->state == HANDOFF_STATE_CANARY || core_ingress_count(core) > 0;
}

void core_canary_begin(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    handoff->canary.until.us = step->core->state.now.us + step->place.workload->update.canary_us;
    core_handoff_enter(step->core, handoff, HANDOFF_STATE_CANARY, INT64_MAX);
}

bool core_canary_visit(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    if (core_step_new_failed(step))
        return true;
    if (core_instance_is_dead(step->from)) {
        core_step_stop_old(step);
        return true;
    }
    char why[LIMIT_TEXT_BYTES] = "";
    switch (judge(step->core, handoff, &step->place, why)) {
    case CANARY_WAIT:
        return false;
    case CANARY_GOOD:
        handoff->canary.promoted = true;
        step->place.state->canary_good = step->place.spec_hash;
        step->place.state->canary_bad = 0;
        CORE_TEXT(why, "%lld requests, and it is as good as the old version",
                  (long long)handoff->canary.requests);
        tell(step, "canary.promoted", why);
        core_linger(step);
        return true;
    case CANARY_BAD:
        step->place.state->canary_bad = step->place.spec_hash;
        tell(step, "canary.refused", why);
        return core_step_fail(step, why);
    }
    return false;
}

static void tell(const struct handoff_step *step, const char *name, const char *text)
{
    const struct core_handoff *handoff = step->handoff;
    core_publish(step->core, name,
                 (struct core_subject){.namespace_ = handoff->namespace_,
                                       .app = handoff->app,
                                       .workload = handoff->workload,
                                       .handoff = handoff->id,
                                       .instance = handoff->to,
                                       .node = handoff->to_node},
                 text);
}

/* What the last judgement means; asks for the next when it is due. */
static enum canary_word judge(struct core *core, struct core_handoff *handoff,
                              const struct core_place *place, char why[LIMIT_TEXT_BYTES])
{
    struct core_canary *canary = &handoff->canary;
    const struct update *update = &place->workload->update;
    int64_t now_us = core->state.now.us;
    int64_t begun_us = handoff->entered[HANDOFF_STATE_CANARY].us;
    int64_t patience_us = begun_us + CANARY_PATIENCE * update->canary_us;
    if (canary->worse) {
        core_cut(why, handoff->text);
        return CANARY_BAD;
    }
    bool enough = canary->requests >= update->requests_min;
    if (enough && canary->judged.us >= canary->until.us)
        return CANARY_GOOD;
    if (now_us >= patience_us && !enough) {
        CORE_TEXT(why,
                  "the new version had %lld requests in %lld s, and update.requests wants %lld to "
                  "judge it by",
                  (long long)canary->requests, (long long)((now_us - begun_us) / US_PER_S),
                  (long long)update->requests_min);
        return CANARY_BAD;
    }
    int64_t next_us =
        canary->asked.us + (canary->judge != 0 ? CORE_JUDGE_RESEND_US : CORE_JUDGE_GAP_US);
    if (canary->asked.us < canary->until.us && canary->until.us < next_us)
        next_us = canary->until.us;
    if (canary->asked.us == 0 || now_us >= next_us) {
        ask(core, handoff);
        next_us = now_us + CORE_JUDGE_RESEND_US;
        if (now_us < canary->until.us && canary->until.us < next_us)
            next_us = canary->until.us;
    }
    handoff->deadline.us = next_us;
    return CANARY_WAIT;
}

static void ask(struct core *core, struct core_handoff *handoff)
{
    handoff->canary.asked = core->state.now;
    struct core_effect *effect = core_emit(core, CORE_JUDGE);
    if (effect == NULL)
        return; /* as one that got lost */
    handoff->canary.judge = ++core->state.judge;
    effect->judge.judge = handoff->canary.judge;
    CORE_SET(effect->judge.handoff, handoff->id);
    CORE_SET(effect->judge.namespace_, handoff->namespace_);
    CORE_SET(effect->judge.app, handoff->app);
    CORE_SET(effect->judge.workload, handoff->workload);
    CORE_SET(effect->judge.from, handoff->from);
    CORE_SET(effect->judge.to, handoff->to);
    effect->judge.since = handoff->entered[HANDOFF_STATE_CANARY];
}

/* A judgement says what has been measured since the canary began; the present one counts, or none:
 * an older answer is of another question. */
void core_on_judged(struct core *core, const struct core_event *event)
{
    struct core_handoff *handoff = core_handoff_find(core, event->judged.handoff);
    struct core_place place;
    if (handoff == NULL || handoff->state != HANDOFF_STATE_CANARY || event->judged.judge == 0 ||
        handoff->canary.judge != event->judged.judge ||
        !core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, &place))
        return;
    struct core_canary *canary = &handoff->canary;
    const struct update *update = &place.workload->update;
    canary->judge = 0;
    canary->judged = canary->asked;
    canary->requests = event->judged.to.known ? event->judged.to.requests : 0;
    if (event->judged.to.known && canary->requests >= update->requests_min)
        canary->worse = is_worse(update, canary->judged.us >= canary->until.us, &event->judged.from,
                                 &event->judged.to, handoff->text);
}

/* Without a word on the old version, its errors count as none, and its latency as any. */
static bool is_worse(const struct update *update, bool last, const struct core_judged_side *from,
                     const struct core_judged_side *to, char why[LIMIT_TEXT_BYTES])
{
    int64_t errors_ppm = from->known ? from->errors_ppm : 0;
    if (to->errors_ppm - errors_ppm > update->errors_max_ppm) {
        CORE_TEXT(
            why,
            "the new version fails %lld.%02lld %% of %lld requests, the old one %lld.%02lld %%",
            (long long)(to->errors_ppm / 10000), (long long)(to->errors_ppm / 100 % 100),
            (long long)to->requests, (long long)(errors_ppm / 10000),
            (long long)(errors_ppm / 100 % 100));
        return true;
    }
    __int128 most = (__int128)from->latency_us * update->latency_max_ppm / PPM;
    if (!last)
        most *= EARLY;
    if (from->known && from->latency_us > 0 && to->latency_us > most &&
        to->latency_us - from->latency_us >= NOISE_US) {
        CORE_TEXT(
            why, "the new version takes %lld us a request in the mean of %lld, the old one %lld us",
            (long long)to->latency_us, (long long)to->requests, (long long)from->latency_us);
        return true;
    }
    return false;
}

bool core_canary_stopped(const struct core_place *place)
{
    return place->state->canary_bad != 0 && place->state->canary_bad == place->spec_hash;
}

void core_canary_weights(int64_t ppm, int others, int *ret_canary, int *ret_other)
{
    if (ppm > PPM - 1)
        ppm = PPM - 1;
    /* own / (own + others x other) = ppm, with the larger of both at its most. */
    int64_t own = (int64_t)others * ROUTE_WEIGHT_MAX * ppm / (PPM - ppm);
    int64_t other = ROUTE_WEIGHT_MAX;
    if (own > ROUTE_WEIGHT_MAX) {
        own = ROUTE_WEIGHT_MAX;
        other = ROUTE_WEIGHT_MAX * (PPM - ppm) / (ppm * others);
    }
    *ret_canary = own < 1 ? 1 : (int)own;
    *ret_other = other < 1 ? 1 : (int)other;
}

void core_canaries_renew(struct core *core)
{
    for (int i = 0; i < core->state.handoff_count; i++) {
        struct core_handoff *handoff = &core->state.handoffs[i];
        if (handoff->id[0] != 0 && handoff->canary.judge != 0)
            handoff->canary.asked.us = 0;
    }
}
