#include "tests/fault/sim_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "tests/fault/sim_texts.h"

enum act {
    ACT_OFFER,
    ACT_APPLY,
    ACT_RETAG,
    ACT_MOVE,
    ACT_VERSION, /* a new one of the workload */
    ACT_BAD,     /* one that fails requests: its canary shows it */
    ACT_EVACUATE,
    ACT_CORDON,
    ACT_UNCORDON,
    ACT_CANCEL,
    ACT_ROLLBACK,
    ACT_DELETE,
    ACT_END,
};

struct line {
    enum act act;
    enum sim_workload workload;
    const char *value; /* a tag's value, a site */
};

#define GCP  "gcp/us-central1"
#define AWS  "aws/us-east-1"
#define EDGE "edge/nyc"

/* Everything once, each line when the one before has had its effect. */
static const struct line calm[] = {
    {ACT_APPLY, WEB, ""},       {ACT_RETAG, SOURCE, "aws"}, {ACT_MOVE, LEDGER, AWS},
    {ACT_MOVE, STORE, AWS},     {ACT_VERSION, FRONT, ""},   {ACT_BAD, FRONT, ""},
    {ACT_RETAG, SOURCE, "gcp"}, {ACT_EVACUATE, WEB, AWS},   {ACT_ROLLBACK, WEB, ""},
    {ACT_VERSION, LEDGER, ""},  {ACT_CORDON, WEB, AWS},     {ACT_UNCORDON, WEB, AWS},
    {ACT_VERSION, STORE, ""},   {ACT_DELETE, WEB, ""},      {ACT_END, WEB, ""}};

/* A better place for `web`: it goes there, is judged, and comes back. */
static const struct line saving[] = {
    {ACT_APPLY, WEB, ""}, {ACT_OFFER, WEB, ""}, {ACT_DELETE, WEB, ""}, {ACT_END, WEB, ""}};

/* What ends a rough run, when no fault is left. */
#define LAST 1000000
static const struct line last[] = {{ACT_CANCEL, WEB, ""},      {ACT_UNCORDON, WEB, GCP},
                                   {ACT_UNCORDON, WEB, AWS},   {ACT_UNCORDON, WEB, EDGE},
                                   {ACT_RETAG, SOURCE, "gcp"}, {ACT_VERSION, FRONT, ""},
                                   {ACT_DELETE, WEB, ""},      {ACT_END, WEB, ""}};

static const struct line *line_of(const struct sim *sim);
static void act_rough(struct sim *sim);
static bool all_are_there(const struct sim *sim);
static void ask(struct sim *sim, const struct line *line, char kind);
static void ask_apply(struct sim *sim, struct core_event *event, const struct line *line,
                      bool again);
static void ask_operate(struct sim *sim, struct core_event *event, const char *away);
static void offer(struct sim *sim);
static bool has_returned(struct sim *sim, const struct line *line);
static bool is_quiet(struct sim *sim, const struct line *line);
static bool is_there(const struct sim *sim, const struct line *line,
                     const struct core_instance *instance);

void script_read(struct sim *sim)
{
    struct error err = {0};
    int rc = world_parse("world.yaml", sim_world_text, strlen(sim_world_text), &sim->arena,
                         &sim->world, &err);
    BERTH_ASSERT(rc == 0, "%s", err.text);
    sim->world.policy.check_after_us = 300 * US_PER_MS;
    rc = app_parse("app.yaml", sim_app_text, strlen(sim_app_text), &sim->arena, &sim->app, &err);
    BERTH_ASSERT(rc == 0, "%s", err.text);
    sim->wanted = &sim->app;
    if (sim->options.script == SCRIPT_SAVING)
        sim->app.workloads[WEB].tiers = (1u << TIER_EDGE) | (1u << TIER_CLOUD);
    for (int i = 0; i < SIM_WORKLOADS; i++)
        sim->versions[i] = 1;
}

static const struct line *line_of(const struct sim *sim)
{
    if (sim->options.script == SCRIPT_SAVING)
        return &saving[sim->script_at];
    if (sim->options.script == SCRIPT_CALM || sim->script_at == 0)
        return &calm[sim->script_at];
    return &last[sim->script_at - LAST];
}

void script_look(struct sim *sim)
{
    bool rough = sim->options.script == SCRIPT_ROUGH && sim->script_at > 0;
    if (rough && sim->now_us < sim->calm_us) {
        act_rough(sim);
        return;
    }
    if (rough && sim->script_at < LAST) {
        sim->script_at = LAST;
        sim->asked = sim->replied = false;
    }
    const struct line *line = line_of(sim);
    if (line->act == ACT_END) {
        /* The last messages have their time; then nothing may be left. */
        if (sim->now_us > sim->asked_us + 20 * US_PER_S && all_are_there(sim)) {
            sim_check_end(sim, true);
            sim->finished = true;
        }
        return;
    }
    /* Nobody replies to what is measured: it is told again until it has had its effect. */
    if (line->act == ACT_OFFER && sim->asked && has_returned(sim, line))
        sim->replied = true;
    if (!sim->asked || (!sim->replied && sim->now_us >= sim->asked_us + 2 * US_PER_S)) {
        ask(sim, line, 'r');
        return;
    }
    /* While sites are closed nothing may come to rest. */
    bool opens = line >= last && line < last + 4;
    if (!sim->replied || (!opens && !is_quiet(sim, line)))
        return;
    if (!opens)
        sim_check_end(sim, line->act == ACT_DELETE);
    if (line->act == ACT_RETAG || line->act == ACT_MOVE)
        sim->moves_done++;
    sim->script_at++;
    sim->act_us = sim->now_us + US_PER_S;
    sim->asked = false;
    sim->replied = false;
    sim->asked_us = sim->now_us;
}

/* Something else is asked for before the last has ended, and nobody waits for a reply. */
static void act_rough(struct sim *sim)
{
    static const char *const sites[] = {GCP, AWS, EDGE, AWS};
    if (sim->now_us < sim->act_us)
        return;
    uint64_t random = hash_u64(hash_u64(HASH_SEED, sim->options.seed), (uint64_t)sim->script_at);
    sim->script_at++;
    sim->act_us = sim->now_us + (int64_t)(150 + (random >> 40 & 0x3ff)) * US_PER_MS;
    const char *site = sites[random >> 16 & 3];
    uint64_t pick = random % 100;
    struct line line = {.act = ACT_RETAG, .workload = SOURCE, .value = site};
    if (pick < 22) {
        line.value = (random >> 16 & 1) != 0 ? "aws" : "gcp";
    } else if (pick < 42) {
        line = (struct line){ACT_MOVE, LEDGER, site};
    } else if (pick < 62) {
        line = (struct line){ACT_MOVE, STORE, site};
    } else if (pick < 72) {
        line = (struct line){ACT_MOVE, FRONT, site};
    } else if (pick < 84) {
        line = (struct line){ACT_VERSION, (enum sim_workload)(random >> 24 & 3), site};
        line.workload = line.workload == WEB ? FRONT : line.workload;
        line.act = line.workload == FRONT && (random >> 32 & 1) != 0 ? ACT_BAD : ACT_VERSION;
        if ((random >> 33 & 7) == 0)
            line.workload = STORE;
    } else if (pick < 92) {
        line.act = pick < 87 ? ACT_CORDON : ACT_UNCORDON;
        line.value = (random >> 16 & 1) != 0 ? GCP : AWS;
    } else {
        line.act = pick < 96 ? ACT_EVACUATE : pick < 98 ? ACT_CANCEL : ACT_ROLLBACK;
    }
    ask(sim, &line, 'a');
}

void script_replied(struct sim *sim, const struct core_effect *effect)
{
    const char *request = effect->reply.request;
    int code = effect->reply.code;
    char own[LIMIT_ID_BYTES];
    if (code == 0 && request[0] != 0 && strchr(request, '@') != NULL)
        str_format(sim->operation, sizeof(sim->operation), "%.39s", effect->reply.text);
    /* "...:<versions>" of an apply: now they are acknowledged. */
    const char *at = strchr(request, ':');
    for (int i = 0; code == 0 && at != NULL && i < SIM_WORKLOADS; i++) {
        char *end = NULL;
        uint64_t version = strtoull(at + 1, &end, 36);
        if (version > sim->acked[i])
            sim->acked[i] = version;
        at = end;
    }
    str_format(own, sizeof(own), "r%d", sim->script_at);
    size_t bytes = strlen(own);
    if (!str_starts(request, own) || (request[bytes] >= '0' && request[bytes] <= '9'))
        return;
    bool may_fail = line_of(sim)->act == ACT_CANCEL || line_of(sim)->act == ACT_ROLLBACK ||
                    line_of(sim)->act == ACT_UNCORDON || line_of(sim)->act == ACT_EVACUATE;
    if (code == ERR_NOT_FOUND && sim->delete_asked)
        code = 0;
    if (code == ERR_UNAVAILABLE && !may_fail)
        return; /* no world yet: asked again */
    if (code != 0 && !may_fail)
        sim_break(sim, "request %s was refused: %s", request, effect->reply.text);
    sim->replied = true;
    sim->reply_code = code;
    if (sim->script_at == 0)
        sim->apply_acked = true;
}

static void ask(struct sim *sim, const struct line *line, char kind)
{
    bool again = kind == 'r' && sim->asked;
    if (kind == 'r') {
        sim->asked = true;
        sim->asked_us = sim->now_us;
    }
    if (sim->core == NULL)
        return; /* nobody there: asked again later */
    struct core_event event = {0};
    str_format(event.request, sizeof(event.request), "%c%d", kind, sim->script_at);
    const char *workload = sim_workload_words[line->workload];
    sim_note(sim, "ASK %d of %s: %s", (int)line->act, workload, line->value);
    switch (line->act) {
    case ACT_OFFER:
        offer(sim);
        return;
    case ACT_APPLY:
    case ACT_VERSION:
    case ACT_BAD:
        ask_apply(sim, &event, line, again);
        break;
    case ACT_RETAG:
        event.kind = CORE_RETAG;
        str_format(event.target.key, LIMIT_NAME_BYTES, "cloud");
        str_format(event.target.value, LIMIT_NAME_BYTES, "%s", line->value);
        str_format(event.target.workload, LIMIT_NAME_BYTES, "%s", workload);
        str_format(event.target.namespace_, LIMIT_NAME_BYTES, "default");
        str_format(event.target.app, LIMIT_NAME_BYTES, "shop");
        break;
    case ACT_MOVE:
        event.kind = CORE_MOVE;
        str_format(event.move.namespace_, LIMIT_NAME_BYTES, "default");
        str_format(event.move.app, LIMIT_NAME_BYTES, "shop");
        str_format(event.move.workload, LIMIT_NAME_BYTES, "%s", workload);
        str_format(event.move.site, LIMIT_REF_BYTES, "%s", line->value);
        break;
    case ACT_EVACUATE:
        ask_operate(sim, &event, line->value);
        break;
    case ACT_CORDON:
    case ACT_UNCORDON:
        event.kind = CORE_CORDON_SET;
        event.cordon.kind = CORDON_SITE;
        event.cordon.on = line->act == ACT_CORDON;
        str_format(event.cordon.name, LIMIT_REF_BYTES, "%s", line->value);
        break;
    case ACT_CANCEL:
    case ACT_ROLLBACK:
        event.kind = CORE_OPERATION_END;
        event.operation_end.roll_back = line->act == ACT_ROLLBACK;
        str_format(event.operation_end.id, LIMIT_ID_BYTES, "%s", sim->operation);
        break;
    case ACT_DELETE:
    case ACT_END:
        event.kind = CORE_DELETE;
        str_format(event.target.namespace_, LIMIT_NAME_BYTES, "default");
        str_format(event.target.app, LIMIT_NAME_BYTES, "shop");
        sim->delete_asked = true;
        break;
    }
    sim_scheduler_take(sim, &event);
}

/* The request's name says which versions it brings: version n of a front is bad when n % 3 is 2. */
static void ask_apply(struct sim *sim, struct core_event *event, const struct line *line,
                      bool again)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    if (line->act != ACT_APPLY && !again) {
        enum sim_workload which = line->workload;
        struct app *app = arena_copy(&sim->arena, sim->wanted, sizeof(*app));
        BERTH_ASSERT(app != NULL, "no memory");
        app->workloads = arena_copy(&sim->arena, app->workloads,
                                    (size_t)app->workload_count * sizeof(*app->workloads));
        struct workload *workload = &app->workloads[which];
        workload->variants =
            arena_copy(&sim->arena, workload->variants, sizeof(*workload->variants));
        do {
            sim->versions[which]++;
        } while ((line->act == ACT_BAD) != (sim->versions[which] % 3 == 2));
        str_format(workload->variants[0].digest, LIMIT_DIGEST_BYTES, "sha256:%064llx",
                   (unsigned long long)sim->versions[which]);
        sim->wanted = app;
    }
    event->kind = CORE_APPLY;
    event->apply.app = sim->wanted;
    char name[LIMIT_ID_BYTES];
    str_format(name, sizeof(name), "%.12s:", event->request);
    size_t used = strlen(name);
    for (int i = 0; i < SIM_WORKLOADS; i++) {
        uint64_t version = sim->versions[i];
        name[used++] = digits[version / 1296 % 36];
        name[used++] = digits[version / 36 % 36];
        name[used++] = digits[version % 36];
        name[used++] = ' ';
    }
    name[used] = 0;
    memcpy(event->request, name, sizeof(name));
}

/* Everything that can leave the site, to another one; sometimes the site is closed with it. */
static void ask_operate(struct sim *sim, struct core_event *event, const char *away)
{
    const char *to = str_equal(away, EDGE) ? GCP : EDGE;
    struct core_operation_step *steps = arena_array(&sim->arena, 3, sizeof(*steps));
    BERTH_ASSERT(steps != NULL, "no memory");
    for (int i = 0; i < 3; i++) {
        str_format(steps[i].namespace_, LIMIT_NAME_BYTES, "default");
        str_format(steps[i].app, LIMIT_NAME_BYTES, "shop");
        str_format(steps[i].workload, LIMIT_NAME_BYTES, "%s", sim_workload_words[FRONT + i]);
        str_format(steps[i].to_site, LIMIT_REF_BYTES, "%s", to);
        steps[i].to_variant = -1;
    }
    event->kind = CORE_OPERATE;
    size_t used = strlen(event->request);
    event->request[used] = '@'; /* its reply is the operation's name */
    event->request[used + 1] = 0;
    event->operate.steps = steps;
    event->operate.step_count = 3;
    event->operate.at_once = 2;
    str_format(event->operate.text, LIMIT_TEXT_BYTES, "evacuate %s", away);
    if (sim->script_at % 2 != 0) {
        event->operate.cordon_kind = CORDON_SITE;
        str_format(event->operate.cordon, LIMIT_REF_BYTES, "%s", away);
    }
}

/* Something is measured, which makes a solve, whose answer is the offer. */
static void offer(struct sim *sim)
{
    struct core_event event = {.kind = CORE_ESTIMATES};
    struct estimate estimate = {.kind = ESTIMATE_MCPU, .value = ++sim->offers};
    str_format(estimate.namespace_, sizeof(estimate.namespace_), "default");
    str_format(estimate.app, sizeof(estimate.app), "shop");
    str_format(estimate.workload, sizeof(estimate.workload), "web");
    str_format(estimate.site, sizeof(estimate.site), AWS);
    estimate.at_us = sim->now_us;
    event.estimates.list = &estimate;
    event.estimates.count = 1;
    sim_scheduler_take(sim, &event);
}

/* ---- waiting ---- */

/* `web` was away, did not pay, and is back. */
static bool has_returned(struct sim *sim, const struct line *line)
{
    if (!is_quiet(sim, line))
        return false;
    const struct core_state *state = core_state(sim->core);
    const struct core_workload *web = &state->apps[0].workloads[WEB];
    return state->saving_move_count >= 2 && web->trial.site < 0 && web->reason == REASON_REGRET &&
           str_equal(state->world->sites[web->site].name, EDGE);
}

/* Nobody is away: what runs on a lost node is out of reach until it returns. */
static bool all_are_there(const struct sim *sim)
{
    if (sim->core == NULL)
        return false;
    const struct core_state *state = core_state(sim->core);
    for (int i = 0; i < SIM_NODES; i++) {
        if (sim->nodes[i].core == NULL || i >= state->node_count || !state->nodes[i].up)
            return false;
    }
    return true;
}

/* The scheduler has nothing under way, and things are where they were asked to be. */
static bool is_quiet(struct sim *sim, const struct line *line)
{
    if (!all_are_there(sim))
        return false;
    /* What an accident has ended a moment ago the scheduler cannot know yet. */
    for (int i = 0; i < SIM_WORKLOADS; i++) {
        if (sim->now_us < sim->excused_us[i])
            return false;
    }
    const struct core_state *state = core_state(sim->core);
    if (state->handoff_count > 0 || state->solving || state->changed.us != 0 ||
        state->command_count != 0)
        return false;
    if (line->act == ACT_DELETE)
        return state->app_count == 0 && state->instance_count == 0;
    if (state->app_count != 1 || state->instance_count != SIM_WORKLOADS + 1)
        return false;
    for (int i = 0; i < state->operation_count; i++) {
        if (state->operations[i].state == OPERATION_RUNNING)
            return false;
    }
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        if (instance->state != INSTANCE_READY || instance->want != WANT_SERVE || instance->lost ||
            !is_there(sim, line, instance))
            return false;
    }
    return true;
}

static bool is_there(const struct sim *sim, const struct line *line,
                     const struct core_instance *instance)
{
    enum sim_workload workload = sim_workload_of(instance->workload);
    bool asked = workload == line->workload;
    const struct sim_process *process = NULL;
    for (int i = sim->process_count - 1; i >= 0 && process == NULL; i--) {
        if (str_equal(sim->processes[i].instance, instance->id))
            process = &sim->processes[i];
    }
    if (process == NULL)
        return false;
    switch (line->act) {
    case ACT_RETAG:
        return !asked || str_equal(instance->node, line->value);
    case ACT_MOVE:
        return !asked || str_equal(sim->nodes[process->node].site, line->value);
    case ACT_VERSION:
        return !asked || process->version == sim->versions[workload];
    case ACT_BAD: /* taken back: neither replica has it */
        return !asked || process->version % 3 != 2;
    case ACT_CORDON:
        return !str_equal(sim->nodes[process->node].site, line->value);
    case ACT_OFFER:
    case ACT_APPLY:
    case ACT_EVACUATE:
    case ACT_UNCORDON:
    case ACT_CANCEL:
    case ACT_ROLLBACK:
    case ACT_DELETE:
    case ACT_END:
        return true;
    }
    return true;
}

const char *script_waits_for(const struct sim *sim)
{
    static char text[300];
    if (sim->core == NULL)
        return "no scheduler";
    const struct core_state *state = core_state(sim->core);
    int used = snprintf(text, sizeof(text), "%d apps, %d instances, %d handoffs, %d commands;",
                        state->app_count, state->instance_count, state->handoff_count,
                        state->command_count);
    for (int i = 0; i < state->cordon_count && used < 260; i++)
        used += snprintf(text + used, sizeof(text) - (size_t)used, " cordon %.20s",
                         state->cordons[i].name);
    for (int i = 0; i < state->app_count * SIM_WORKLOADS && used < 260; i++) {
        for (int k = 0; k < state->world->site_count && used < 260; k++) {
            if (state->apps[0].workloads[i].site_blocked[k])
                used += snprintf(text + used, sizeof(text) - (size_t)used, " %s not at %.20s;",
                                 sim_workload_words[i], state->world->sites[k].name);
        }
    }
    for (int i = 0; i < state->instance_count && used < 260; i++) {
        const struct core_instance *instance = &state->instances[i];
        used +=
            snprintf(text + used, sizeof(text) - (size_t)used, " %.20s@%.8s %s/%d", instance->id,
                     instance->node, instance_state_words[instance->state], (int)instance->want);
    }
    return text;
}
