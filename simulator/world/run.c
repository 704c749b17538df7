#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "simulator/world/run_internal.h"

static int open_run(struct run *run, struct error *err);
static int open_rates(struct run *run, struct error *err);
static void close_run(struct run *run);
static int go(struct run *run, struct error *err);
static int go_until(struct run *run, int64_t until_us, struct error *err);
static int begin_step(struct run *run, int64_t now_us, struct error *err);
static int tell_meters(struct run *run, int64_t now_us, struct error *err);
static int measure(struct run *run, struct error *err);
static int find_bound(struct run *run, struct error *err);
static int observe(struct run *run, struct error *err);
static void count_held(struct run *run);
static void note_held(struct run *run);
static void note_unbounded(struct run *run);
static void read_placement(const struct run *run, struct placement *at);
static int take_placement(struct run *run, struct error *err);
static int take_moves(struct run *run, struct error *err);
static void find_unserved(struct run *run);
static int finish(struct run *run, struct error *err);

int run_simulate(const struct scenario *scenario, const struct scenario_cell *cell,
                 struct solver *solver, const struct run_sink *sink, struct run_result *ret_result,
                 struct error *err)
{
    struct run *run = calloc(1, sizeof(*run));
    struct run_result *result = calloc(1, sizeof(*result));
    int rc =
        run == NULL || result == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for a run") : 0;
    if (rc == 0) {
        run->scenario = scenario;
        run->cell = cell;
        run->solver = solver;
        run->sink = sink;
        run->result = result;
        arena_init(&run->arena, DOCUMENT_BYTES);
        arena_init(&run->set, DOCUMENT_BYTES);
        arena_init(&run->told, DOCUMENT_BYTES);
        rc = open_run(run, err);
        if (rc == 0)
            rc = go(run, err);
        close_run(run);
    }
    if (rc == 0)
        *ret_result = *result;
    free(result);
    free(run);
    return rc;
}

static int open_run(struct run *run, struct error *err)
{
    const struct scenario *scenario = run->scenario;
    run->from_us = scenario->from_us;
    run->until_us = scenario->from_us + scenario->for_us;
    run->hash = HASH_SEED;
    int rc = scenario_load(scenario, run->cell, &run->arena, &run->world, &run->apps,
                           &run->app_count, err);
    for (int i = 0; rc == 0 && i < run->app_count; i++)
        run->part_count += run->apps[i].workload_count;
    size_t parts = (size_t)run->part_count + 1;
    size_t apps = (size_t)run->app_count + 1;
    if (rc == 0) {
        run->at = arena_array(&run->arena, parts, sizeof(*run->at));
        run->to = arena_array(&run->arena, parts, sizeof(*run->to));
        run->unserved = arena_array(&run->arena, parts, sizeof(*run->unserved));
        run->down_us = arena_array(&run->arena, parts, sizeof(*run->down_us));
        run->scale_ppm = arena_array(&run->arena, parts, sizeof(*run->scale_ppm));
        run->calls_mhz = arena_array(&run->arena, parts, sizeof(*run->calls_mhz));
        run->parts = arena_array(&run->arena, parts, sizeof(*run->parts));
        run->charged_us = arena_array(&run->arena, apps, sizeof(*run->charged_us));
        run->due = arena_array(&run->arena, apps, sizeof(*run->due));
        run->moved = arena_array(&run->arena, apps, sizeof(*run->moved));
        run->meters = arena_array(&run->arena, LEDGER_NEWS_MAX, sizeof(*run->meters));
        run->event_on =
            arena_array(&run->arena, (size_t)scenario->event_count + 1, sizeof(*run->event_on));
        if (run->at == NULL || run->to == NULL || run->unserved == NULL || run->down_us == NULL ||
            run->charged_us == NULL || run->due == NULL || run->moved == NULL ||
            run->event_on == NULL || run->meters == NULL || run->scale_ppm == NULL ||
            run->calls_mhz == NULL || run->parts == NULL)
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for %d workloads", run->part_count);
    }
    for (int i = 0, part = 0; rc == 0 && i < run->app_count; i++) {
        int first = part;
        for (int k = 0; k < run->apps[i].workload_count; k++, part++) {
            run->scale_ppm[part] = PPM;
            run->parts[part] =
                (struct run_part){.first = first,
                                  .siblings = run->apps[i].workload_count,
                                  .data = run->apps[i].workloads[k].kind == KIND_DATA};
        }
    }
    if (rc == 0)
        rc = open_rates(run, err);
    if (rc == 0)
        rc = run_check_spans(run, err);
    if (rc == 0)
        rc = run_books_open(run, err);
    if (rc == 0)
        rc = policy_open(scenario, &scenario->policies[run->cell->policy], run->solver,
                         &run->policy, err);
    if (rc == 0)
        rc = plant_create(&(struct plant_options){.scenario = scenario,
                                                  .world = &run->world,
                                                  .apps = run->apps,
                                                  .app_count = run->app_count,
                                                  .seed = (uint64_t)run->cell->seed,
                                                  .policy = run->policy,
                                                  .solver = run->solver,
                                                  .truth = &run->truth.input,
                                                  .users = run->users,
                                                  .user_count = run->user_count,
                                                  .plain = run->cell->plain},
                          run->from_us - scenario->warmup_us, &run->plant, err);
    if (rc == 0 && scenario->ledger)
        rc = charge_open(run, &run->charge, err);
    return rc;
}

static int open_rates(struct run *run, struct error *err)
{
    const struct load_users *users;
    int rc = load_open(run->scenario, run->cell, &run->world, run->apps, run->app_count, &run->load,
                       err);
    if (rc < 0)
        return rc;
    run->user_count = load_users(run->load, &users);
    run->users = arena_array(&run->arena, (size_t)run->user_count + 1, sizeof(*run->users));
    if (run->users == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d groups of users",
                         run->user_count);
    if (run->user_count > 0)
        memcpy(run->users, users, (size_t)run->user_count * sizeof(*users));
    rc = truth_open(&run->truth, &run->world, run->apps, run->app_count, run->users,
                    run->user_count, err);
    run->truth.plain = run->cell->plain;
    return rc;
}

static void close_run(struct run *run)
{
    charge_close(run->charge);
    plant_destroy(run->plant);
    policy_close(run->policy);
    load_close(run->load);
    truth_close(&run->truth);
    free(run->history);
    arena_done(&run->set);
    arena_done(&run->told);
    arena_done(&run->arena);
}

static int go(struct run *run, struct error *err)
{
    const struct scenario *scenario = run->scenario;
    int64_t steps = (scenario->for_us + scenario->step_us - 1) / scenario->step_us;
    int64_t length_us = scenario->step_us;
    /* The warm-up has the first step's load. */
    int rc = load_step(run->load, run->from_us, length_us, err);
    if (rc == 0)
        rc = begin_step(run, run->from_us - scenario->warmup_us, err);
    if (rc == 0)
        rc = go_until(run, run->from_us - 1, err);
    run->counting = true;
    run->piece_us = run->seen_us = run->books.bucket_us = run->from_us;
    for (int i = 0; i < run->app_count; i++)
        run->charged_us[i] = run->from_us;
    read_placement(run, run->at);
    for (int64_t i = 0; i < steps && rc == 0; i++) {
        int64_t at_us = run->from_us + i * scenario->step_us;
        int64_t end_us = at_us + scenario->step_us;
        end_us = end_us > run->until_us ? run->until_us : end_us;
        run->step_index = i;
        if (i > 0)
            rc = load_step(run->load, at_us, end_us - at_us, err);
        for (int64_t now_us = at_us; now_us < end_us && rc == 0;) {
            int64_t next_us = run_next_event_us(run, now_us);
            next_us = next_us < end_us ? next_us : end_us;
            rc = go_until(run, now_us - 1, err);
            plant_skip(run->plant, now_us);
            if (rc == 0)
                rc = run_piece(run, NULL, now_us, err);
            if (rc == 0)
                rc = run_events(run, now_us, err);
            if (rc == 0)
                rc = begin_step(run, now_us, err);
            if (rc == 0)
                rc = go_until(run, next_us - 1, err);
            if (rc == 0)
                rc = run_spans(run, now_us, next_us, err);
            now_us = next_us;
        }
        if (rc == 0)
            rc = run_piece(run, NULL, end_us, err);
        if (rc == 0 && (end_us - run->books.bucket_us >= scenario->every_us || i + 1 == steps))
            rc = run_bucket_end(run, err);
        if (rc == 0 && run->sink->progress != NULL)
            run->sink->progress(run->sink->progress_context, i + 1, steps);
    }
    run->result->steps = steps;
    return rc < 0 ? rc : finish(run, err);
}

/* The rates of the step, or of what is left of it after an event. */
static int begin_step(struct run *run, int64_t now_us, struct error *err)
{
    const int64_t *calls_mhz = run->calls_mhz;
    for (int i = 0; i < run->part_count; i++)
        run->calls_mhz[i] = (int64_t)((__int128)load_calls(run->load)[i] * run->scale_ppm[i] / PPM);
    const struct load_users *users;
    (void)load_users(run->load, &users);
    for (int i = 0; i < run->user_count; i++)
        run->users[i].mhz =
            users[i].mhz < 0
                ? -1
                : (int64_t)((__int128)users[i].mhz * run->scale_ppm[users[i].part] / PPM);
    truth_set(&run->truth, calls_mhz, plant_fleet(run->plant), now_us);
    (void)truth_follow(&run->truth, run->load, NULL, run->at);
    for (int i = 0; i < run->world.site_count; i++)
        for (int r = 0; r < RESOURCE_COUNT && run->closed[i]; r++)
            run->truth.capacity[i][r] = -1;
    int rc = tell_meters(run, now_us, err);
    if (rc == 0)
        rc = plant_advance(run->plant, now_us, err);
    while (rc > 0)
        rc = plant_advance(run->plant, now_us, err);
    if (rc == 0)
        rc = observe(run, err);
    if (rc == 0)
        rc = measure(run, err);
    if (rc == 0)
        rc = observe(run, err);
    if (rc == 0 && run->counting && run->scenario->bound)
        rc = find_bound(run, err);
    return rc;
}

/* As the service tells them: what the month has used decides what the next byte costs. */
static int tell_meters(struct run *run, int64_t now_us, struct error *err)
{
    struct estimate *list = run->meters;
    if (run->charge == NULL)
        return 0;
    int count = charge_meters(run, now_us, list);
    truth_meter(&run->truth, list, count);
    return plant_meters(run->plant, list, count, err);
}

/* What is seen of it; a forecast puts the coming hours in the place of the present one. */
static int measure(struct run *run, struct error *err)
{
    struct plant_measured *list = malloc(((size_t)run->part_count + 1) * sizeof(*list));
    int64_t *users_mhz = malloc(((size_t)run->user_count + 1) * sizeof(*users_mhz));
    int rc = list == NULL || users_mhz == NULL
                 ? error_set(err, ERR_NO_MEMORY, 0, "no memory for measures")
                 : 0;
    if (rc == 0) {
        truth_measures(&run->truth, run->at, list);
        for (int i = 0; i < run->user_count; i++)
            users_mhz[i] = run->users[i].mhz;
        if (policy_kind_of(run->policy) == POLICY_FORECAST &&
            run_forecast(run, list, users_mhz) < 0)
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for a forecast's history");
    }
    if (rc == 0)
        rc = plant_measure(run->plant, list, users_mhz, err);
    free(list);
    free(users_mhz);
    return rc;
}

/* Solved once for inputs that stay the same. */
static int find_bound(struct run *run, struct error *err)
{
    const struct truth *truth = &run->truth;
    uint64_t hash = hash_u64(HASH_SEED, truth->documents);
    for (int i = 0; i < run->part_count; i++)
        hash = hash_u64(hash, (uint64_t)truth->calls_mhz[i]);
    for (int i = 0; i < run->user_count; i++)
        hash = hash_u64(hash, (uint64_t)run->users[i].mhz);
    for (int i = 0; i < run->world.site_count; i++)
        hash = hash_bytes(hash, truth->capacity[i], sizeof(truth->capacity[i]));
    struct estimates meters = truth_meters(truth);
    for (int i = 0; i < meters.count; i++)
        hash = hash_u64(hash, (uint64_t)meters.list[i].value);
    if (hash == run->bound_hash)
        return 0;
    run->bound_hash = hash;
    int rc = run_piece(run, NULL, plant_now_us(run->plant), err);
    return rc < 0 ? rc : truth_bound(&run->truth, run->solver, &run->bound, &run->bound_known, err);
}

/* Through every instant up to `until`, looking after each at what has changed. */
static int go_until(struct run *run, int64_t until_us, struct error *err)
{
    int rc = 1;
    while (rc > 0) {
        rc = plant_advance(run->plant, until_us, err);
        if (rc > 0) {
            int seen = observe(run, err);
            rc = seen < 0 ? seen : rc;
        }
    }
    return rc;
}

static int observe(struct run *run, struct error *err)
{
    int64_t now_us = plant_now_us(run->plant);
    const struct core_state *state = core_state(plant_core(run->plant));
    const struct fleet *fleet = plant_fleet(run->plant);
    int rc = 0;
    if (run->charge != NULL)
        rc = charge_instances(run, now_us, false, err);
    bool decided = state->decision_count != run->decisions;
    if (rc == 0 && (decided || fleet_changes(fleet) != run->changes)) {
        run_down(run, now_us);
        count_held(run);
        run->decisions = state->decision_count;
        run->changes = fleet_changes(fleet);
        if (decided)
            rc = take_placement(run, err);
        find_unserved(run);
    }
    if (rc == 0 && state->ended_count != run->ended)
        rc = take_moves(run, err);
    return rc;
}

static void count_held(struct run *run)
{
    const struct core_state *state = core_state(plant_core(run->plant));
    uint64_t from = run->decisions;
    if (state->decision_count - from > CORE_DECISIONS)
        from = state->decision_count - CORE_DECISIONS;
    for (; from < state->decision_count && run->counting; from++)
        run->held[state->decisions[from % CORE_DECISIONS].verdict]++;
}

/* The chosen sites; an app's piece ends where they change. */
static int take_placement(struct run *run, struct error *err)
{
    read_placement(run, run->to);
    bool any = false;
    for (int i = 0, part = 0; i < run->app_count; i++) {
        run->moved[i] = false;
        for (int k = 0; k < run->apps[i].workload_count; k++, part++)
            run->moved[i] |= run->to[part].site != run->at[part].site ||
                             run->to[part].variant != run->at[part].variant;
        any |= run->moved[i];
    }
    int rc = 0;
    if (any && run->counting) {
        rc = run_piece(run, run->moved, plant_now_us(run->plant), err);
        if (rc == 0)
            rc = run_moved(run, err);
    }
    if (rc == 0 && run->part_count > 0)
        memcpy(run->at, run->to, (size_t)run->part_count * sizeof(*run->to));
    /* Another cache misses otherwise. */
    if (rc == 0 && any && truth_follow(&run->truth, run->load, run->moved, run->at) &&
        run->counting && run->scenario->bound)
        rc = find_bound(run, err);
    return rc;
}

static void read_placement(const struct run *run, struct placement *at)
{
    const struct core_state *state = core_state(plant_core(run->plant));
    for (int i = 0, part = 0; i < run->app_count; part += run->apps[i++].workload_count) {
        const struct core_app *app = i < state->app_count ? &state->apps[i] : NULL;
        for (int k = 0;
             k < state->app_count && (app == NULL || !str_equal(app->app.name, run->apps[i].name) ||
                                      !str_equal(app->app.namespace_, run->apps[i].namespace_));
             k++)
            app = &state->apps[k];
        for (int k = 0; k < run->apps[i].workload_count && app != NULL; k++)
            at[part + k] = (struct placement){app->workloads[k].site, app->workloads[k].variant,
                                              app->workloads[k].lead};
    }
}

static void find_unserved(struct run *run)
{
    const int *serving = fleet_serving(plant_fleet(run->plant));
    for (int part = 0; part < run->part_count; part++) {
        const struct run_part *what = &run->parts[part];
        int lead = run->at[part].lead;
        bool leads = lead >= 0 && lead < what->siblings;
        run->unserved[part] =
            !what->data && serving[part] == 0 && (!leads || serving[what->first + lead] == 0);
    }
}

/* Handoffs that have ended since. */
static int take_moves(struct run *run, struct error *err)
{
    const struct core_state *state = core_state(plant_core(run->plant));
    uint64_t from = run->ended;
    if (state->ended_count - from > CORE_ENDED)
        from = state->ended_count - CORE_ENDED;
    run->ended = state->ended_count;
    int rc = 0;
    for (; from < state->ended_count && rc == 0 && run->counting; from++) {
        const struct core_handoff *handoff = &state->ended[from % CORE_ENDED];
        bool done = handoff->state == HANDOFF_STATE_DONE;
        bool moved = handoff->from_site[0] != 0 && handoff->to_site[0] != 0 &&
                     !str_equal(handoff->from_site, handoff->to_site);
        struct run_move move = {.at_us = handoff->entered[HANDOFF_STATE_PLANNED].us,
                                .replica = handoff->replica,
                                .reason = handoff_reason_words[handoff->reason],
                                .state = handoff_state_words[handoff->state]};
        move.took_us = plant_now_us(run->plant) - move.at_us;
        if (!policy_is_core(run->policy) &&
            (handoff->reason == REASON_RETAG || handoff->reason == REASON_SAVING))
            move.reason = "policy";
        memcpy(move.namespace_, handoff->namespace_, sizeof(move.namespace_));
        memcpy(move.app, handoff->app, sizeof(move.app));
        memcpy(move.workload, handoff->workload, sizeof(move.workload));
        memcpy(move.from, handoff->from_site, sizeof(move.from));
        memcpy(move.to, handoff->to_site, sizeof(move.to));
        memcpy(move.text, handoff->text, sizeof(move.text));
        run->result->moves += done && moved;
        run->result->moves_back += !done;
        run->hash = hash_u64(run->hash, (uint64_t)move.at_us);
        run->hash = hash_str(hash_str(hash_str(run->hash, move.workload), move.from), move.to);
        if (run->sink->move != NULL)
            rc = run->sink->move(run->sink->context, &move, err);
    }
    return rc;
}

static int finish(struct run *run, struct error *err)
{
    struct run_result *result = run->result;
    int rc = charge_finish(run, err);
    result->counts = plant_counts(run->plant);
    if (load_notes(run->load)[0] != 0)
        run_note(run, "%s", load_notes(run->load));
    note_held(run);
    struct policy_gaps gaps = policy_gaps(run->policy);
    if (gaps.unproven > 0)
        run_note(run,
                 "%" PRId64 " of %" PRId64 " placements are not proven to be the best: at most "
                 "%" PRId64 ".%03" PRId64 " %% above it (policy.solve_gap)",
                 gaps.unproven, gaps.placements, gaps.most_ppm / 10000, gaps.most_ppm % 10000 / 10);
    if (plant_trouble(run->plant)[0] != 0)
        run_note(run, "%" PRId64 " of %" PRId64 " decisions found no placement, first: %s",
                 result->counts.infeasible, result->counts.solves, plant_trouble(run->plant));
    if (result->counts.slow > 0)
        run_note(run, "state was not shipped in time %" PRId64 " times, first %s%s%s",
                 result->counts.slow, plant_slow(run->plant, false),
                 result->counts.slow > 1 ? "; last " : "",
                 result->counts.slow > 1 ? plant_slow(run->plant, true) : "");
    if (run->truth.unbounded[0] != 0 && result->bound_ppm < PPM)
        note_unbounded(run);
    run->hash = hash_u64(run->hash, core_hash(plant_core(run->plant)));
    run->hash = hash_u64(run->hash, (uint64_t)result->lost);
    result->hash = run->hash;
    return rc;
}

/* Where nothing can keep all rules, what is counted is of a placement that breaks one. */
static void note_unbounded(struct run *run)
{
    char text[WALL_TEXT_BYTES];
    int64_t free_ppm = PPM - run->result->bound_ppm;
    (void)wall_format((struct wall){run->truth.unbounded_us}, text);
    text[16] = 0; /* to the minute */
    run_note(run, "no bound for %" PRId64 ".%" PRId64 " %% of the time, first at %s: %s",
             free_ppm / 10000, free_ppm % 10000 / 1000, text, run->truth.unbounded);
}

/* "moves held back: 3 unsure, 1 budget": each is told once for as long as its reason lasts. */
static void note_held(struct run *run)
{
    char text[LIMIT_TEXT_BYTES] = "";
    for (int i = VERDICT_TAKEN + 1; i < VERDICT_COUNT; i++)
        if (run->held[i] > 0) {
            size_t used = strlen(text);
            str_format(text + used, sizeof(text) - used, "%s%" PRId64 " %s", used > 0 ? ", " : "",
                       run->held[i], core_verdict_words[i]);
        }
    if (text[0] != 0 && policy_is_core(run->policy))
        run_note(run, "moves held back: %s", text);
}
