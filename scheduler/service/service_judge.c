/* Canaries, from the shell's side: what judges count is told when the core asks. */
#include "base/log.h"
#include "base/str.h"
#include "scheduler/service/judge.h"
#include "scheduler/service/service_internal.h"

static const char *node_of(const struct service *service, const char *instance);

/* At once: the core asks again after a while, and the question begins the counting. */
void service_judge(struct service *service, const struct core_effect *effect)
{
    struct core_event event = {.kind = CORE_JUDGED};
    const struct judge_ask ask = {.handoff = effect->judge.handoff,
                                  .from = effect->judge.from,
                                  .to = effect->judge.to,
                                  .from_node = node_of(service, effect->judge.from),
                                  .to_node = node_of(service, effect->judge.to),
                                  .now_us = service_now(service).us};
    event.judged.judge = effect->judge.judge;
    str_format(event.judged.handoff, sizeof(event.judged.handoff), "%s", effect->judge.handoff);
    if (service->judges == NULL)
        service->judges = judges_create();
    if (service->judges != NULL)
        judges_ask(service->judges, &ask, &event.judged.from, &event.judged.to);
    /* Without an answer the core asks again. */
    if (!service_submit(service, &event))
        log_event(LOG_WARN, "judge.lost", "handoff=%s reason=\"no memory\"", ask.handoff);
}

void service_judges_take(struct service *service, const char *source,
                         const struct message_batch *batch)
{
    if (service->judges != NULL)
        judges_take(service->judges, source, batch);
}

void service_judges_done(struct service *service)
{
    judges_destroy(service->judges);
    service->judges = NULL;
}

static const char *node_of(const struct service *service, const char *instance)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->instance_count; i++) {
        if (str_equal(state->instances[i].id, instance))
            return state->instances[i].node;
    }
    return "";
}
