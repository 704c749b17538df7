/*
 * service_operate: moves of many at once: prepared, shown, and then carried out as shown.
 *
 * `prepare` asks the solver where each workload that is to leave may go at the least cost, all else
 * staying where it is, and orders the moves so that the way there costs least: the next one is
 * always that after which the whole scores least, since a workload that has moved while those it
 * talks to have not pays for the distance. It changes nothing. `operate` takes the steps of that
 * answer and the version it was made from. docs/control.md has both bodies.
 */
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/operation.h"
#include "scheduler/service/service_internal.h"

#define MONTH_US    (INT64_C(3600) * HOURS_PER_MONTH * US_PER_S)
#define AT_ONCE_MAX 1024

/* One move of the answer. */
struct way_step {
    int app;
    int workload;
    int part;
    struct placement from;
    struct placement to;
    bool taken;
};

struct way {
    struct service_job *job;
    struct placement *at;    /* [part]: as the solution has it */
    struct placement *there; /* [part]: as it is after the steps so far */
    struct cost_input free;  /* nothing is forbidden: every state of the way can be valued */
    struct problem problem;  /* of it */
    int *choice;             /* [part]: scratch */
    struct way_step *steps;  /* once ordered: in order */
    int count;
};

static int read_question(struct service_job *job, const char *document, struct error *err);
static int check_words(const struct service_job *job, struct error *err);
static int selector(const struct world *world, const char *field, const char *word,
                    char out[LIMIT_REF_BYTES], struct error *err);
static bool selects(const struct world *world, const char *selector, int site);
static int restrict_input(struct service_job *job, struct error *err);
static bool leaves(const struct service_job *job, const struct app *app, int workload, int site);
static int find_steps(struct way *way, struct error *err);
static int free_input(struct way *way, struct error *err);
static int order_steps(struct way *way, struct error *err);
static bool score_of(struct way *way, nusd *ret_score);
static void write_answer(const struct service_job *job, const struct solution *solution,
                         const struct way *way, struct json_out *json);
static int write_steps(struct way *way, struct json_out *json, struct error *err);
static void write_step(const struct way *way, const struct way_step *step,
                       const struct cost_total *after, struct json_out *json);
static int64_t pause_us(const struct service_job *job, const struct workload *workload,
                        bool *ret_measured);
static nusd once_nusd(const struct way *way, const struct way_step *step,
                      const struct cost_report *report);
static int read_steps(struct service *service, const char *document, struct core_event *event,
                      struct error *err);
static void read_step(struct doc *doc, const struct doc_node *node,
                      struct core_operation_step *step);
static void write_taken(const struct core_state *state, const struct core_operation_step *step,
                        struct json_out *json);

/* ---- prepare ---- */

int service_prepare(struct service *service, uint64_t token, const struct message_request *request,
                    struct error *err)
{
    if (core_state(service->core)->world == NULL)
        return error_set(err, ERR_UNAVAILABLE, 0, "there is no world yet: apply one first");
    struct service_job *job = service_job_create(service, JOB_PREPARE);
    if (job == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan");
    job->token = token;
    memcpy(job->request, request->id, sizeof(job->request));
    int rc = read_question(job, request->document == NULL ? "" : request->document, err);
    if (rc == 0)
        rc = check_words(job, err);
    if (rc == 0)
        rc = service_job_restricted(job, restrict_input, err);
    if (rc < 0)
        service_job_destroy(job);
    return rc;
}

static int read_question(struct service_job *job, const char *document, struct error *err)
{
    struct service_question *question = arena_alloc(&job->arena, sizeof(*question));
    if (question == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan");
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_parse("document", document, strlen(document), &doc, err);
    if (rc < 0)
        return rc;
    const struct doc_node *root = doc_root(doc);
    int64_t at_once = 0;
    (void)doc_name(doc, root, "namespace", 0, question->namespace_);
    (void)doc_name(doc, root, "app", 0, question->app);
    (void)doc_name(doc, root, "workload", 0, question->workload);
    (void)doc_string(doc, root, "from", DOC_REQUIRED, question->from, sizeof(question->from));
    (void)doc_string(doc, root, "to", 0, question->to, sizeof(question->to));
    (void)doc_bool(doc, root, "cordon", 0, &question->cordon);
    (void)doc_int(doc, root, "at_once", 0, 1, AT_ONCE_MAX, &at_once);
    doc_close(doc, root);
    question->at_once = (int)at_once;
    job->question = question;
    return doc_check(doc, err);
}

/* From words of people to selectors of sites. */
static int check_words(const struct service_job *job, struct error *err)
{
    struct service_question *question = job->question;
    const struct world *world = core_state(job->service->core)->world;
    int rc = selector(world, "from", question->from, question->from_sites, err);
    if (rc == 0 && question->to[0] != 0)
        rc = selector(world, "to", question->to, question->to_sites, err);
    if (rc < 0 || !question->cordon)
        return rc;
    question->cordon_kind = CORDON_PROVIDER;
    if (world_site(world, question->from) >= 0)
        question->cordon_kind = CORDON_SITE;
    char text[LIMIT_TEXT_BYTES];
    rc = core_cordon_check(job->service->core, question->cordon_kind, question->from, text);
    return rc < 0 ? error_set(err, rc, 0, "%s", text) : 0;
}

/* "gcp" is a provider, "gcp/us-central1" a site, "region=us-central1" a tag. */
static int selector(const struct world *world, const char *field, const char *word,
                    char out[LIMIT_REF_BYTES], struct error *err)
{
    bool is_tag = strchr(word, '=') != NULL;
    bool is_site = strchr(word, '/') != NULL;
    char text[2 * LIMIT_REF_BYTES];
    str_format(text, sizeof(text), "%s%s%s", is_tag ? "tag:" : "", word,
               is_tag || is_site ? "" : "/*");
    bool fits = str_copy(out, LIMIT_REF_BYTES, text) == 0;
    for (int i = 0; fits && i < world->site_count; i++) {
        if (selects(world, out, i))
            return 0;
    }
    return error_set(err, ERR_NOT_FOUND, 0,
                     "%s is \"%s\": no site, no provider and no tag (key=value) of the world; "
                     "`berth get sites` lists them",
                     field, word);
}

static bool selects(const struct world *world, const char *selector, int site)
{
    return world_selects(selector, &world->sites[site]) >= 0;
}

/* What leaves may only go where it is to; everything else stays. */
static int restrict_input(struct service_job *job, struct error *err)
{
    const struct service_question *question = job->question;
    const struct world *world = job->input.world;
    int leaving = 0;
    for (int i = 0; i < job->input.app_count; i++) {
        const struct app *app = job->input.apps[i].app;
        for (int k = 0; k < app->workload_count; k++) {
            struct workload_state *state = &job->input.apps[i].states[k];
            state->may_move = leaves(job, app, k, state->now.site);
            if (!state->may_move)
                continue;
            leaving++;
            bool *closed = arena_array(&job->arena, (size_t)world->site_count + 1, sizeof(*closed));
            if (closed == NULL)
                return error_set(err, ERR_NO_MEMORY, 0, "no memory for a table of sites");
            for (int s = 0; s < world->site_count; s++) {
                closed[s] = selects(world, question->from_sites, s) ||
                            (question->to[0] != 0 && !selects(world, question->to_sites, s)) ||
                            core_site_cordoned(job->service->core, s);
            }
            state->site_blocked = closed;
        }
    }
    if (leaving > 0 || question->cordon)
        return 0;
    return error_set(err, ERR_NOT_FOUND, 0,
                     "nothing%s%s that can move runs at %s; `berth get apps`",
                     question->app[0] != 0 ? " of " : "", question->app, question->from);
}

static bool leaves(const struct service_job *job, const struct app *app, int workload, int site)
{
    const struct service_question *question = job->question;
    const struct workload *part = &app->workloads[workload];
    if (site < 0 || part->kind == KIND_DATA ||
        !selects(job->input.world, question->from_sites, site))
        return false;
    if (question->namespace_[0] != 0 && !str_equal(question->namespace_, app->namespace_))
        return false;
    if (question->app[0] != 0 && !str_equal(question->app, app->name))
        return false;
    return question->workload[0] == 0 || str_equal(question->workload, part->name) ||
           str_equal(question->workload, part->family);
}

/* ---- the answer ---- */

int service_prepare_write(struct service_job *job, const struct solution *solution,
                          struct json_out *json, struct error *err)
{
    struct way way = {.job = job};
    bool placed = solution->status == SOLVE_OPTIMAL || solution->status == SOLVE_FEASIBLE;
    int rc = 0;
    if (placed)
        rc = service_solved_at(job, solution, &way.at, err);
    if (placed && rc == 0)
        rc = find_steps(&way, err);
    if (placed && rc == 0)
        rc = free_input(&way, err);
    if (placed && rc == 0)
        rc = order_steps(&way, err);
    if (rc < 0)
        return rc;
    json_open(json, NULL, '{');
    write_answer(job, solution, &way, json);
    json_open(json, "steps", '[');
    rc = placed ? write_steps(&way, json, err) : 0;
    json_close(json, ']');
    json_close(json, '}');
    return rc;
}

static int find_steps(struct way *way, struct error *err)
{
    struct service_job *job = way->job;
    int parts = job->problem.part_count;
    way->steps = arena_array(&job->arena, (size_t)parts + 1, sizeof(*way->steps));
    way->there = arena_copy(&job->arena, job->present, (size_t)(parts + 1) * sizeof(*way->there));
    way->choice = arena_array(&job->arena, (size_t)parts + 1, sizeof(*way->choice));
    if (way->steps == NULL || way->there == NULL || way->choice == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the steps of a plan");
    for (int i = 0; i < job->input.app_count; i++) {
        const struct app *app = job->input.apps[i].app;
        for (int k = 0; k < app->workload_count; k++) {
            int part = cost_part(&job->input, i, k);
            struct placement from = job->present[part];
            if (!job->input.apps[i].states[k].may_move || from.site == way->at[part].site)
                continue;
            way->steps[way->count++] = (struct way_step){
                .app = i, .workload = k, .part = part, .from = from, .to = way->at[part]};
        }
    }
    return 0;
}

/* The states between may be ones that no rule allows for good (that is why one leaves): they are
 * valued all the same. */
static int free_input(struct way *way, struct error *err)
{
    struct service_job *job = way->job;
    way->free = job->input;
    way->free.apps =
        arena_array(&job->arena, (size_t)job->input.app_count + 1, sizeof(*way->free.apps));
    if (way->free.apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the way of a plan");
    for (int i = 0; i < job->input.app_count; i++) {
        const struct app *app = job->input.apps[i].app;
        struct workload_state *states =
            arena_copy(&job->arena, job->input.apps[i].states,
                       (size_t)(app->workload_count + 1) * sizeof(*states));
        if (states == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the way of a plan");
        for (int k = 0; k < app->workload_count; k++) {
            states[k].may_move = app->workloads[k].kind != KIND_DATA;
            states[k].site_blocked = NULL;
        }
        way->free.apps[i] = (struct cost_app){app, states};
    }
    return cost_problem(&way->free, &job->arena, &way->problem, err);
}

/* Greedy: n * n valuations of the whole, each linear in its parts. A state that cannot be valued
 * (a present site that has no live node any more has no choice) leaves the order as it is. */
static int order_steps(struct way *way, struct error *err)
{
    (void)err;
    for (int i = 0; i + 1 < way->count; i++) {
        int best = -1;
        nusd best_score = 0;
        for (int k = i; k < way->count; k++) {
            nusd score;
            way->there[way->steps[k].part] = way->steps[k].to;
            bool valued = score_of(way, &score);
            way->there[way->steps[k].part] = way->steps[k].from;
            if (valued && (best < 0 || score < best_score)) {
                best = k;
                best_score = score;
            }
        }
        if (best < 0)
            break;
        struct way_step step = way->steps[best];
        memmove(&way->steps[i + 1], &way->steps[i], (size_t)(best - i) * sizeof(step));
        way->steps[i] = step;
        way->there[step.part] = step.to;
    }
    return 0;
}

static bool score_of(struct way *way, nusd *ret_score)
{
    if (!cost_choices(&way->free, &way->problem, way->there, way->choice))
        return false;
    *ret_score = problem_cost(&way->problem, way->choice);
    return true;
}

static void write_answer(const struct service_job *job, const struct solution *solution,
                         const struct way *way, struct json_out *json)
{
    const struct service_question *question = job->question;
    json_int(json, "state_version", (int64_t)job->state_version);
    json_string(json, "status", solve_status_words[solution->status]);
    json_string(json, "from", question->from);
    json_string(json, "to", question->to);
    json_string(json, "app", question->app);
    json_open(json, "cordon", '{');
    if (question->cordon) {
        json_string(json, "kind", cordon_kind_words[question->cordon_kind]);
        json_string(json, "name", question->from);
    }
    json_close(json, '}');
    json_int(json, "at_once",
             question->at_once > 0 ? question->at_once : job->input.world->policy.moves_max);
    json_open(json, "stays", '[');
    for (int i = 0; i < job->input.app_count && way->at != NULL; i++) {
        const struct app *app = job->input.apps[i].app;
        for (int k = 0; k < app->workload_count; k++) {
            int site = job->present[cost_part(&job->input, i, k)].site;
            if (app->workloads[k].kind != KIND_DATA || site < 0 ||
                !selects(job->input.world, question->from_sites, site))
                continue;
            char text[3 * LIMIT_NAME_BYTES];
            str_format(text, sizeof(text), "%s/%s/%s", app->namespace_, app->name,
                       app->workloads[k].name);
            json_string(json, NULL, text);
        }
    }
    json_close(json, ']');
    json_open(json, "conflict", '[');
    for (int i = 0; i < solution->conflict_count; i++)
        json_string(json, NULL, job->problem.rules[solution->conflict[i]].text);
    json_close(json, ']');
    json_string(json, "text", solution->text);
}

/* Each step with what the whole costs once it is done. The totals need a report each, whose lines
 * are not kept. */
static int write_steps(struct way *way, struct json_out *json, struct error *err)
{
    struct service_job *job = way->job;
    struct arena scratch;
    arena_init(&scratch, SERVICE_JOB_BYTES);
    int parts = job->problem.part_count;
    memcpy(way->there, job->present, (size_t)parts * sizeof(*way->there));
    int rc = 0;
    for (int i = 0; i < way->count && rc == 0; i++) {
        struct cost_report report;
        const struct way_step *step = &way->steps[i];
        way->there[step->part] = step->to;
        arena_reset(&scratch);
        rc = service_report(&way->free, way->there, &scratch, &report, err);
        if (rc == 0) {
            json_open(json, NULL, '{');
            json_money(json, "once", once_nusd(way, step, &report));
            write_step(way, step, &report.total, json);
            json_close(json, '}');
        }
    }
    arena_done(&scratch);
    return rc;
}

static void write_step(const struct way *way, const struct way_step *step,
                       const struct cost_total *after, struct json_out *json)
{
    const struct service_job *job = way->job;
    const struct world *world = job->input.world;
    const struct app *app = job->input.apps[step->app].app;
    const struct workload *workload = &app->workloads[step->workload];
    bool measured;
    json_string(json, "namespace", app->namespace_);
    json_string(json, "app", app->name);
    json_string(json, "workload", workload->name);
    json_string(json, "from", world->sites[step->from.site].name);
    json_string(json, "to", world->sites[step->to.site].name);
    json_int(json, "variant", step->to.variant);
    json_string(json, "handoff", handoff_class_words[workload->handoff]);
    json_bool(json, "proven", workload->contract);
    json_int(json, "replicas", workload->replicas);
    json_int(json, "pause_us", pause_us(job, workload, &measured));
    json_bool(json, "pause_measured", measured);
    json_int(json, "expected_us",
             service_expected_us(job, workload, step->from.site, step->to.site));
    json_money(json, "bill_after", after->bill);
    json_money(json, "score_after", after->score);
}

/* How long nobody owns: the median of the class's handoffs that have ended; without any, half of
 * what its drain may take. Two copies of the class overlap serve at once. */
static int64_t pause_us(const struct service_job *job, const struct workload *workload,
                        bool *ret_measured)
{
    *ret_measured = true;
    if (workload->handoff == HANDOFF_OVERLAP)
        return 0;
    return service_part_us(core_state(job->service->core), HANDOFF_STATE_FREEZING,
                           HANDOFF_STATE_HELD, (int)workload->handoff, workload->drain_timeout_us,
                           ret_measured);
}

/* The one-off bill of its migration: both copies, the bytes, the cold cache. */
static nusd once_nusd(const struct way *way, const struct way_step *step,
                      const struct cost_report *report)
{
    nusd sum = 0;
    for (int i = 0; i < report->line_count; i++) {
        const struct cost_line *line = &report->lines[i];
        if (line->term == TERM_MIGRATION && line->app == step->app &&
            line->workload == step->workload)
            sum += line->bill;
    }
    (void)way;
    return sum;
}

/* ---- operate, operation, cordon ---- */

int service_operate(struct service *service, const struct message_request *request,
                    struct core_event *event, struct error *err)
{
    event->kind = CORE_OPERATE;
    event->operate.version = request->version;
    return read_steps(service, request->document == NULL ? "" : request->document, event, err);
}

static int read_steps(struct service *service, const char *document, struct core_event *event,
                      struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_parse("document", document, strlen(document), &doc, err);
    if (rc < 0)
        return rc;
    const struct doc_node *root = doc_root(doc);
    int64_t at_once = 0;
    int kind = CORDON_NODE;
    (void)doc_string(doc, root, "text", DOC_REQUIRED, event->operate.text,
                     sizeof(event->operate.text));
    (void)doc_int(doc, root, "at_once", 0, 1, AT_ONCE_MAX, &at_once);
    const struct doc_node *cordon = doc_map(doc, root, "cordon", 0);
    if (doc_count(cordon) > 0) {
        (void)doc_word(doc, cordon, "kind", DOC_REQUIRED, cordon_kind_words, 3, &kind);
        (void)doc_string(doc, cordon, "name", DOC_REQUIRED, event->operate.cordon,
                         sizeof(event->operate.cordon));
        doc_close(doc, cordon);
    }
    const struct doc_node *list = doc_list(doc, root, "steps", DOC_REQUIRED);
    size_t count = doc_count(list);
    if (count > LIMIT_OPERATION_STEPS)
        return error_set(err, ERR_LIMIT, 0, "LIMIT_OPERATION_STEPS: %zu steps, at most %d", count,
                         LIMIT_OPERATION_STEPS);
    struct core_operation_step *steps = arena_array(&service->round, count + 1, sizeof(*steps));
    if (steps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu steps", count);
    for (size_t i = 0; i < count; i++)
        read_step(doc, doc_item(list, i), &steps[i]);
    doc_close(doc, root);
    event->operate.at_once = (int)at_once;
    event->operate.cordon_kind = (enum cordon_kind)kind;
    event->operate.steps = steps;
    event->operate.step_count = (int)count;
    return doc_check(doc, err);
}

static void read_step(struct doc *doc, const struct doc_node *node,
                      struct core_operation_step *step)
{
    int64_t variant = -1;
    (void)doc_name(doc, node, "namespace", DOC_REQUIRED, step->namespace_);
    (void)doc_name(doc, node, "app", DOC_REQUIRED, step->app);
    (void)doc_name(doc, node, "workload", DOC_REQUIRED, step->workload);
    (void)doc_string(doc, node, "to", DOC_REQUIRED, step->to_site, sizeof(step->to_site));
    (void)doc_int(doc, node, "variant", 0, -1, LIMIT_VARIANTS - 1, &variant);
    step->to_variant = (int)variant;
    doc_close(doc, node);
}

int service_operation_end(const struct message_request *request, struct core_event *event,
                          struct error *err)
{
    event->kind = CORE_OPERATION_END;
    event->operation_end.roll_back = str_equal(request->kind, "rollback");
    if (!event->operation_end.roll_back && !str_equal(request->kind, "cancel"))
        return error_set(err, ERR_INVALID, 0, "kind is '%s': 'cancel' or 'rollback'",
                         request->kind);
    if (str_copy(event->operation_end.id, sizeof(event->operation_end.id), request->key) < 0 ||
        request->key[0] == 0)
        return error_set(err, ERR_INVALID, 0,
                         "key is \"%s\": the id of an operation is expected there, as in op1z",
                         request->key);
    return 0;
}

/* The name is in `document`: a site's may be longer than a key. */
int service_cordon(const struct message_request *request, struct core_event *event,
                   struct error *err)
{
    event->kind = CORE_CORDON_SET;
    event->cordon.on = str_equal(request->value, "on");
    event->cordon.version = request->version;
    if (!event->cordon.on && !str_equal(request->value, "off"))
        return error_set(err, ERR_INVALID, 0, "value is '%s': 'on' or 'off'", request->value);
    for (int i = 0; cordon_kind_words[i] != NULL; i++) {
        if (!str_equal(cordon_kind_words[i], request->kind))
            continue;
        event->cordon.kind = (enum cordon_kind)i;
        const char *name = request->document == NULL ? "" : request->document;
        if (name[0] != 0 && str_copy(event->cordon.name, sizeof(event->cordon.name), name) == 0)
            return 0;
        return error_set(err, ERR_INVALID, 0, "document: the name of the %s is expected there",
                         request->kind);
    }
    return error_set(err, ERR_INVALID, 0, "kind is '%s': node, site or provider", request->kind);
}

/* ---- get ---- */

void service_operations_write(const struct service *service, const struct message_request *request,
                              struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    for (int i = state->operation_count; i-- > 0;) {
        const struct core_operation *operation = &state->operations[i];
        if (request->key[0] != 0 && !str_equal(request->key, operation->id))
            continue;
        int counts[STEP_SKIPPED + 1] = {0};
        for (int k = 0; k < operation->step_count; k++)
            counts[operation->steps[k].state]++;
        json_open(json, NULL, '{');
        json_string(json, "id", operation->id);
        json_string(json, "text", operation->text);
        json_string(json, "state", operation_state_words[operation->state]);
        json_bool(json, "settled", operation->settled);
        json_int(json, "begun_us", operation->begun.us);
        json_int(json, "ended_us", operation->ended.us);
        json_int(json, "at_once", operation->at_once);
        json_string(json, "cordon", operation->cordon);
        json_string(json, "why", operation->why);
        for (int k = 0; step_state_words[k] != NULL; k++)
            json_int(json, step_state_words[k], counts[k]);
        json_open(json, "steps", '[');
        for (int k = 0; k < operation->step_count; k++)
            write_taken(state, &operation->steps[k], json);
        json_close(json, ']');
        json_close(json, '}');
    }
}

/* A step of an operation, with the handoffs that carry it out. */
static void write_taken(const struct core_state *state, const struct core_operation_step *step,
                        struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "namespace", step->namespace_);
    json_string(json, "app", step->app);
    json_string(json, "workload", step->workload);
    json_string(json, "from", step->from_site);
    json_string(json, "to", step->to_site);
    json_string(json, "state", step_state_words[step->state]);
    json_int(json, "begun_us", step->begun.us);
    json_int(json, "ended_us", step->ended.us);
    json_open(json, "handoffs", '[');
    for (int i = 0; i < state->handoff_count && step->state == STEP_MOVING; i++) {
        const struct core_handoff *handoff = &state->handoffs[i];
        if (!str_equal(handoff->workload, step->workload) || !str_equal(handoff->app, step->app) ||
            !str_equal(handoff->namespace_, step->namespace_))
            continue;
        json_open(json, NULL, '{');
        json_string(json, "id", handoff->id);
        json_string(json, "state", handoff_state_words[handoff->state]);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

void service_cordons_write(const struct service *service, const struct message_request *request,
                           struct json_out *json)
{
    (void)request;
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->cordon_count; i++) {
        const struct core_cordon *cordon = &state->cordons[i];
        int instances = 0;
        for (int k = 0; k < state->instance_count; k++) {
            const struct core_node *node = &state->nodes[state->instances[k].node_index];
            const struct world *world = state->world;
            const char *at = cordon->kind == CORDON_NODE ? node->name
                             : cordon->kind == CORDON_SITE || node->site_index < 0
                                 ? node->site
                                 : world->sites[node->site_index].provider;
            instances +=
                str_equal(at, cordon->name) && state->instances[k].state != INSTANCE_STOPPED;
        }
        json_open(json, NULL, '{');
        json_string(json, "kind", cordon_kind_words[cordon->kind]);
        json_string(json, "name", cordon->name);
        json_int(json, "since_us", cordon->since.us);
        json_int(json, "instances", instances); /* still there */
        json_close(json, '}');
    }
}
