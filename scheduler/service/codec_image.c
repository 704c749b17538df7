#include "scheduler/service/codec_image.h"

#include <string.h>

#include "model/app.h"
#include "model/world.h"
#include "scheduler/service/codec_internal.h"

/* What the tables of wire.h cannot say by themselves: documents instead of structs, and lists
 * instead of arrays inside a struct. */
struct image_site {
    int site; /* index in the world */
};

struct image_veto {
    struct core_veto veto;
    struct core_veto_input *inputs;
    int input_count;
};

struct image_moment {
    int64_t us;
};

struct image_workload {
    struct core_workload state;
    int lead_back;            /* its index minus its lead's: 0 is itself, as in older snapshots */
    struct core_trial *trial; /* one or none */
    int trial_count;
    struct image_veto *vetoes;
    int veto_count;
    struct image_site *blocked;
    int blocked_count;
};

struct image_app {
    const char *document;
    uint64_t version;
    uint64_t input_version;
    bool deleting;
    struct image_workload *workloads;
    int workload_count;
};

struct image_handoff {
    struct core_handoff handoff;
    struct core_vantage *vantages;
    int vantage_count;
};

struct image_route {
    struct core_route route;
    struct core_route_ack *acks;
    int ack_count;
};

struct image_record {
    struct core_image image;
    const char *world; /* NULL: none */
    struct image_app *apps;
    int app_count;
    struct image_handoff *handoffs;
    int handoff_count;
    struct image_route *routes;
    int route_count;
    struct image_handoff *ended; /* in the ring's places */
    int ended_kept;
    int decisions_kept;         /* of image.state.decisions */
    struct image_moment *moves; /* in the ring's places */
    int moves_kept;
};

static const char *const want_words[] = {
    [WANT_SERVE] = "serve", [WANT_HELD] = "held", [WANT_GONE] = "gone", [WANT_GONE + 1] = NULL};

_Static_assert(RESOURCE_COUNT == 2, "a new resource needs its fields below");

/* clang-format off: one field per line is the table that people read. */
static const struct wire_field node_fields[] = {
    STR(core_node, name, "name"),
    STR(core_node, site, "site"),
    FLAG(core_node, up, "up"),
    STR(core_node, boot_id, "boot_id"),
    I64(core_node, boot_offset_us, "boot_offset_us"),
    I64(core_node, offset_at.us, "offset_at_us"),
    I64(core_node, hello_us, "hello_us"),
    I64(core_node, boot_at.us, "boot_at_us"),
    STR(core_node, arch, "arch"),
    STR(core_node, drivers, "drivers"),
    STR(core_node, ingress, "ingress"),
    ROOM(core_node, capacity),
    EPOCH(core_node, epoch, "epoch"),
    I64(core_node, since.us, "since_us"),
    I64(core_node, report_us, "report_us"),
    U64(core_node, report_seq, "report_seq"),
};
static const SHAPE(node_shape, "core.node", core_node, node_fields);

static const struct wire_field instance_fields[] = {
    STR(core_instance, id, "id"),
    WHOSE(core_instance, NO_PREFIX),
    I32(core_instance, replica, "replica"),
    STR(core_instance, node, "node"),
    U64(core_instance, spec_hash, "spec_hash"),
    WORD(core_instance, want, "want", want_words),
    WORD(core_instance, state, "state", instance_state_words),
    FLAG(core_instance, lost, "lost"),
    EPOCH(core_instance, epoch, "epoch"),
    I32(core_instance, restarts, "restarts"),
    I64(core_instance, since.us, "since_us"),
    STR(core_instance, detail, "detail"),
    ROOM(core_instance, reserve),
    STR(core_instance, handoff, "handoff"),
    WORD_OPT(core_instance, class_, "class", handoff_class_words),
    EPOCH(core_instance, owner, "owner"),
    FLAG(core_instance, frozen, "frozen"),
    I64(core_instance, lease_us, "lease_us"),
    I64(core_instance, granted.us, "granted_us"),
    STR(core_instance, endpoint, "endpoint"),
    I32(core_instance, round, "round"),
    STR(core_instance, object.digest, "object_digest"),
    I64(core_instance, object.bytes, "object_bytes"),
};
static const SHAPE(instance_shape, "core.instance", core_instance, instance_fields);

static const struct wire_field vantage_fields[] = {
    STR(core_vantage, node, "node"),          FLAG(core_vantage, new_reached, "new_reached"),
    FLAG(core_vantage, unproven, "unproven"), FLAG(core_vantage, old_reached, "old_reached"),
    I64(core_vantage, rtt_us, "rtt_us"),      I32(core_vantage, old_tries, "old_tries"),
};
static const SHAPE(vantage_shape, "core.vantage", core_vantage, vantage_fields);

#define ENTERED(name, word) \
    I64(image_handoff, handoff.entered[HANDOFF_STATE_##name].us, "entered_" word "_us"),

static const struct wire_field handoff_fields[] = {
    STR(image_handoff, handoff.id, "id"),
    WHOSE(image_handoff, handoff.),
    I32(image_handoff, handoff.replica, "replica"),
    STR(image_handoff, handoff.from, "from"),
    STR(image_handoff, handoff.to, "to"),
    STR(image_handoff, handoff.from_site, "from_site"),
    STR(image_handoff, handoff.to_site, "to_site"),
    STR(image_handoff, handoff.to_node, "to_node"),
    WORD(image_handoff, handoff.reason, "reason", handoff_reason_words),
    WORD(image_handoff, handoff.state, "state", handoff_state_words),
    HANDOFF_STATE_MAP(ENTERED) I64(image_handoff, handoff.deadline.us, "deadline_us"),
    LIST(image_handoff, vantages, vantage_count, "vantages", CORE_VANTAGES, &vantage_shape),
    FLAG(image_handoff, handoff.proven, "proven"),
    I64(image_handoff, handoff.linger_us, "linger_us"),
    I64(image_handoff, handoff.quiet.us, "quiet_us"),
    U64(image_handoff, handoff.route, "route"),
    U64(image_handoff, handoff.canary.judge, "canary_judge"),
    I64(image_handoff, handoff.canary.until.us, "canary_until_us"),
    I64(image_handoff, handoff.canary.asked.us, "canary_asked_us"),
    I64(image_handoff, handoff.canary.judged.us, "canary_judged_us"),
    I64(image_handoff, handoff.canary.requests, "canary_requests"),
    FLAG(image_handoff, handoff.canary.worse, "canary_worse"),
    FLAG(image_handoff, handoff.canary.promoted, "canary_promoted"),
    WORD_OPT(image_handoff, handoff.class_, "class", handoff_class_words),
    EPOCH(image_handoff, handoff.owner, "owner"),
    FLAG(image_handoff, handoff.fenced, "fenced"),
    I32(image_handoff, handoff.round, "round"),
    I64(image_handoff, handoff.round_at.us, "round_at_us"),
    I64(image_handoff, handoff.shipped_bytes, "shipped_bytes"),
    I64(image_handoff, handoff.first_bytes, "first_bytes"),
    STR(image_handoff, handoff.handed, "handed"),
    FLAG(image_handoff, handoff.cancelled, "cancelled"),
    STR(image_handoff, handoff.text, "text"),
};
static const SHAPE(handoff_shape, "core.handoff", image_handoff, handoff_fields);

static const struct wire_field command_fields[] = {
    STR(core_command, id, "id"),
    STR(core_command, node, "node"),
    STR(core_command, handoff, "handoff"),
    STR(core_command, instance, "instance"),
    WORD(core_command, verb, "verb", node_verb_words),
    EPOCH(core_command, epoch, "epoch"),
    I64(core_command, sent.us, "sent_us"),
    I64(core_command, not_after.us, "not_after_us"),
    I32(core_command, tries, "tries"),
    U64(core_command, route, "route"),
    FLAG(core_command, answered, "answered"),
    FLAG(core_command, taken, "taken"),
};
static const SHAPE(command_shape, "core.command", core_command, command_fields);

static const struct wire_field ack_fields[] = {
    STR(core_route_ack, node, "node"),
    U64(core_route_ack, version, "version"),
};
static const SHAPE(ack_shape, "core.route_ack", core_route_ack, ack_fields);

static const struct wire_field checkpoint_fields[] = {
    STR(core_checkpoint, namespace_, "namespace"),
    STR(core_checkpoint, app, "app"),
    STR(core_checkpoint, workload, "workload"),
    I32(core_checkpoint, replica, "replica"),
    U64(core_checkpoint, number, "number"),
    I64(core_checkpoint, asked.us, "asked_us"),
    U64(core_checkpoint, saved[0].number, "newest"),
    STR(core_checkpoint, saved[0].object.digest, "newest_digest"),
    I64(core_checkpoint, saved[0].object.bytes, "newest_bytes"),
    I64(core_checkpoint, saved[0].at.us, "newest_us"),
    U64(core_checkpoint, saved[1].number, "before"),
    STR(core_checkpoint, saved[1].object.digest, "before_digest"),
    I64(core_checkpoint, saved[1].object.bytes, "before_bytes"),
    I64(core_checkpoint, saved[1].at.us, "before_us"),
    I32(core_checkpoint, failures, "failures"),
};
static const SHAPE(checkpoint_shape, "core.checkpoint", core_checkpoint, checkpoint_fields);

static const struct wire_field route_fields[] = {
    WHOSE(image_route, route.),
    U64(image_route, route.hash, "hash"),
    U64(image_route, route.version, "version"),
    FLAG(image_route, route.gone, "gone"),
    LIST(image_route, acks, ack_count, "acks", LIMIT_INGRESSES, &ack_shape),
};
static const SHAPE(route_shape, "core.route", image_route, route_fields);

static const struct wire_field decision_fields[] = {
    WORD_OPT(core_decision, verdict, "verdict", core_verdict_words),
    I64(core_decision, at.us, "at_us"),
    WHOSE(core_decision, NO_PREFIX),
    STR(core_decision, from_site, "from_site"),
    STR(core_decision, to_site, "to_site"),
    WORD(core_decision, reason, "reason", handoff_reason_words),
    I64(core_decision, score_before_nusd, "score_before_nusd"),
    I64(core_decision, score_after_nusd, "score_after_nusd"),
    I64(core_decision, bill_before_nusd, "bill_before_nusd"),
    I64(core_decision, bill_after_nusd, "bill_after_nusd"),
    I64(core_decision, score_saving_nusd, "score_saving_nusd"),
    I64(core_decision, bill_saving_nusd, "bill_saving_nusd"),
    I64(core_decision, once_nusd, "once_nusd"),
    I64(core_decision, spread_nusd, "spread_nusd"),
    I64(core_decision, confidence_ppm, "confidence_ppm"),
    FLAG(core_decision, checked, "checked"),
    I64(core_decision, checked_at.us, "checked_at_us"),
    I64(core_decision, score_realised_nusd, "score_realised_nusd"),
    I64(core_decision, bill_realised_nusd, "bill_realised_nusd"),
    STR(core_decision, text, "text"),
};
static const SHAPE(decision_shape, "core.decision", core_decision, decision_fields);

static const struct wire_field site_fields[] = {I32(image_site, site, "site")};
static const SHAPE(site_shape, "core.site", image_site, site_fields);

static const struct wire_field moment_fields[] = {I64(image_moment, us, "us")};
static const SHAPE(moment_shape, "core.moment", image_moment, moment_fields);

static const struct wire_field trial_fields[] = {
    I32(core_trial, site, "site"),
    I32(core_trial, variant, "variant"),
    I64(core_trial, due.us, "due_us"),
    I64(core_trial, until.us, "until_us"),
    U64(core_trial, check, "check"),
    U64(core_trial, plan, "plan"),
    I32(core_trial, group, "group"),
    I64(core_trial, score_predicted_nusd, "score_predicted_nusd"),
    I64(core_trial, bill_predicted_nusd, "bill_predicted_nusd"),
    I64(core_trial, spread_nusd, "spread_nusd"),
};
static const SHAPE(trial_shape, "core.trial", core_trial, trial_fields);

static const struct wire_field veto_input_fields[] = {
    WORD(core_veto_input, kind, "kind", codec_estimate_words),
    STR(core_veto_input, site, "site"),
    STR(core_veto_input, users, "users"),
    I64(core_veto_input, value, "value"),
    I64(core_veto_input, spread, "spread"),
};
static const SHAPE(veto_input_shape, "core.veto_input", core_veto_input, veto_input_fields);

static const struct wire_field veto_fields[] = {
    I32(image_veto, veto.site, "site"),
    FLAG(image_veto, veto.regretted, "regretted"),
    I64(image_veto, veto.since.us, "since_us"),
    U64(image_veto, veto.app_version, "app_version"),
    U64(image_veto, veto.world_version, "world_version"),
    LIST(image_veto, inputs, input_count, "inputs", CORE_VETO_INPUTS, &veto_input_shape),
};
static const SHAPE(veto_shape, "core.veto", image_veto, veto_fields);

static const struct wire_field workload_fields[] = {
    I32(image_workload, state.site, "site"),
    I32(image_workload, state.variant, "variant"),
    I32(image_workload, lead_back, "lead_back"),
    LIST(image_workload, trial, trial_count, "trial", 1, &trial_shape),
    LIST(image_workload, vetoes, veto_count, "vetoes", CORE_VETOES, &veto_shape),
    I64(image_workload, state.moved.us, "moved_us"),
    LIST(image_workload, blocked, blocked_count, "blocked", LIMIT_SITES, &site_shape),
    I32(image_workload, state.failures, "failures"),
    I64(image_workload, state.retry.us, "retry_us"),
    I32(image_workload, state.ship_late, "ship_late"),
    I64(image_workload, state.ship_us, "ship_us"),
    WORD(image_workload, state.reason, "reason", handoff_reason_words),
    U64(image_workload, state.canary_good, "canary_good"),
    U64(image_workload, state.canary_bad, "canary_bad"),
};
static const SHAPE(workload_shape, "core.workload", image_workload, workload_fields);

static const struct wire_field app_fields[] = {
    {.name = "document", .kind = WIRE_TEXT, .max = LIMIT_DOC_BYTES, AT(image_app, document)},
    U64(image_app, version, "version"),
    U64(image_app, input_version, "input_version"),
    FLAG(image_app, deleting, "deleting"),
    LIST(image_app, workloads, workload_count, "workloads", LIMIT_APP_WORKLOADS, &workload_shape),
};
static const SHAPE(app_shape, "core.app", image_app, app_fields);

static const struct wire_field cordon_fields[] = {
    WORD(core_cordon, kind, "kind", cordon_kind_words),
    STR(core_cordon, name, "name"),
    I64(core_cordon, since.us, "since_us"),
};
static const SHAPE(cordon_shape, "core.cordon", core_cordon, cordon_fields);

static const struct wire_field operation_fields[] = {
    STR(core_operation, id, "id"),
    STR(core_operation, text, "text"),
    WORD(core_operation, state, "state", operation_state_words),
    FLAG(core_operation, settled, "settled"),
    I64(core_operation, begun.us, "begun_us"),
    I64(core_operation, ended.us, "ended_us"),
    WORD(core_operation, cordon_kind, "cordon_kind", cordon_kind_words),
    STR(core_operation, cordon, "cordon"),
    I32(core_operation, at_once, "at_once"),
    LIST(core_operation, steps, step_count, "steps", LIMIT_OPERATION_STEPS, &codec_step_shape),
    STR(core_operation, why, "why"),
};
static const SHAPE(operation_shape, "core.operation", core_operation, operation_fields);

static const struct wire_field image_fields[] = {
    U64(image_record, image.state.term, "term"),
    EPOCH(image_record, image.state.epoch, "epoch"),
    U64(image_record, image.state.version, "version"),
    U64(image_record, image.state.input_version, "input_version"),
    U64(image_record, image.state.structure_version, "structure_version"),
    I64(image_record, image.state.now.us, "now_us"),
    {.name = "world",
     .kind = WIRE_TEXT,
     .flags = OPT,
     .max = LIMIT_DOC_BYTES,
     AT(image_record, world)},
    LIST(image_record, apps, app_count, "apps", LIMIT_APPS, &app_shape),
    LIST(image_record, image.state.nodes, image.state.node_count, "nodes", LIMIT_NODES,
         &node_shape),
    LIST(image_record, image.state.instances, image.state.instance_count, "instances",
         LIMIT_INSTANCES, &instance_shape),
    LIST(image_record, handoffs, handoff_count, "handoffs", LIMIT_HANDOFFS, &handoff_shape),
    LIST(image_record, routes, route_count, "routes", LIMIT_ROUTES, &route_shape),
    LIST(image_record, image.state.checkpoints, image.state.checkpoint_count, "checkpoints",
         CORE_CHECKPOINTS, &checkpoint_shape),
    U64(image_record, image.state.judge, "judge"),
    LIST(image_record, ended, ended_kept, "ended", CORE_ENDED, &handoff_shape),
    U64(image_record, image.state.ended_count, "ended_count"),
    LIST(image_record, image.state.commands, image.state.command_count, "commands", LIMIT_COMMANDS,
         &command_shape),
    LIST(image_record, image.state.cordons, image.state.cordon_count, "cordons", CORE_CORDONS,
         &cordon_shape),
    LIST(image_record, image.state.operations, image.state.operation_count, "operations",
         CORE_OPERATIONS, &operation_shape),
    LIST(image_record, image.state.estimates, image.state.estimate_count, "estimates",
         LIMIT_METRIC_SERIES, &codec_estimate_shape),
    LIST(image_record, image.state.decisions, decisions_kept, "decisions", CORE_DECISIONS,
         &decision_shape),
    U64(image_record, image.state.decision_count, "decision_count"),
    LIST(image_record, moves, moves_kept, "saving_moves", CORE_MOVES_KEPT, &moment_shape),
    U64(image_record, image.state.saving_move_count, "saving_move_count"),
    I64(image_record, image.state.moves_due.us, "moves_due_us"),
    U64(image_record, image.state.world_version, "world_version"),
    U64(image_record, image.state.check, "check"),
    U64(image_record, image.state.solve, "solve"),
    FLAG(image_record, image.state.solving, "solving"),
    I64(image_record, image.state.changed.us, "changed_us"),
    STR(image_record, image.state.plan_text, "plan_text"),
    WORD(image_record, image.state.plan_status, "plan_status", codec_status_words),
    I64(image_record, image.state.plan_bound_nusd, "plan_bound_nusd"),
    I64(image_record, image.changed_first.us, "changed_first_us"),
    I64(image_record, image.solve_retry.us, "solve_retry_us"),
    I64(image_record, image.clock_checked.us, "clock_checked_us"),
    FLAG(image_record, image.diff, "diff"),
    FLAG(image_record, image.tidy, "tidy"),
    FLAG(image_record, image.starved, "starved"),
};
static const SHAPE(image_shape, "core.image", image_record, image_fields);
/* clang-format on */

static int write_apps(const struct core_state *state, struct arena *scratch,
                      struct image_record *record, struct error *err);
static int write_workloads(const struct core_app *app, int site_count, struct arena *scratch,
                           struct image_app *ret_app);
static int write_workload(const struct core_workload *workload, int index, struct arena *scratch,
                          struct image_workload *to);
static struct image_handoff *write_handoffs(struct core_handoff *handoffs, int count,
                                            struct arena *scratch);
static int write_routes(const struct core_state *state, struct arena *scratch,
                        struct image_record *record);
static int read_routes(const struct image_record *record, struct arena *arena,
                       struct core_state *state);
static int document_of(const struct world *world, const struct app *app, struct arena *scratch,
                       const char **ret_document, struct error *err);
static int read_app(const struct image_app *from, int site_count, struct arena *arena,
                    struct core_app *ret_app, struct error *err);
static int read_workload(const struct image_workload *from, int index, int site_count,
                         struct arena *arena, struct core_workload *ret_workload,
                         struct error *err);
static void read_trials(const struct image_workload *from, int index,
                        struct core_workload *ret_workload);
static struct core_handoff *read_handoffs(const struct image_handoff *from, int count,
                                          struct arena *arena);
static int ring_check(const char *what, uint64_t count, int capacity, int kept, struct error *err);

int codec_image_write(const struct core_image *image, struct arena *scratch, struct strbuf *out,
                      struct error *err)
{
    const struct core_state *state = &image->state;
    struct image_record *record = arena_alloc(scratch, sizeof(*record));
    if (record == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a snapshot");
    record->image = *image;
    record->handoff_count = state->handoff_count;
    record->handoffs = write_handoffs(state->handoffs, state->handoff_count, scratch);
    record->ended_kept = core_ring_kept(state->ended_count, CORE_ENDED);
    record->ended = write_handoffs(state->ended, record->ended_kept, scratch);
    record->decisions_kept = core_ring_kept(state->decision_count, CORE_DECISIONS);
    record->moves_kept = core_ring_kept(state->saving_move_count, CORE_MOVES_KEPT);
    record->moves = arena_array(scratch, CORE_MOVES_KEPT, sizeof(*record->moves));
    if (record->handoffs == NULL || record->ended == NULL || record->moves == NULL ||
        write_routes(state, scratch, record) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a snapshot's handoffs");
    for (int i = 0; i < record->moves_kept; i++)
        record->moves[i].us = state->saving_moves[i].us;
    int rc = 0;
    if (state->world != NULL)
        rc = document_of(state->world, NULL, scratch, &record->world, err);
    if (rc == 0)
        rc = write_apps(state, scratch, record, err);
    if (rc == 0)
        wire_encode(&image_shape, record, out);
    return rc;
}

static int write_apps(const struct core_state *state, struct arena *scratch,
                      struct image_record *record, struct error *err)
{
    record->apps = arena_array(scratch, (size_t)state->app_count + 1, sizeof(*record->apps));
    if (record->apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a snapshot's apps");
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        struct image_app *to = &record->apps[record->app_count++];
        to->version = app->version;
        to->input_version = app->input_version;
        to->deleting = app->deleting;
        int rc = document_of(NULL, &app->app, scratch, &to->document, err);
        if (rc < 0)
            return rc;
        if (write_workloads(app, state->world->site_count, scratch, to) < 0)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for app %s in a snapshot",
                             app->app.name);
    }
    return 0;
}

static int write_workloads(const struct core_app *app, int site_count, struct arena *scratch,
                           struct image_app *ret_app)
{
    int count = app->app.workload_count;
    ret_app->workloads = arena_array(scratch, (size_t)count + 1, sizeof(*ret_app->workloads));
    if (ret_app->workloads == NULL)
        return ERR_NO_MEMORY;
    ret_app->workload_count = count;
    for (int i = 0; i < count; i++) {
        struct image_workload *to = &ret_app->workloads[i];
        if (write_workload(&app->workloads[i], i, scratch, to) < 0)
            return ERR_NO_MEMORY;
        to->blocked = arena_array(scratch, (size_t)site_count + 1, sizeof(*to->blocked));
        if (to->blocked == NULL)
            return ERR_NO_MEMORY;
        for (int k = 0; k < site_count; k++) {
            if (app->workloads[i].site_blocked[k])
                to->blocked[to->blocked_count++].site = k;
        }
    }
    return 0;
}

/* All but the blocked sites. */
static int write_workload(const struct core_workload *workload, int index, struct arena *scratch,
                          struct image_workload *to)
{
    to->state = *workload;
    to->lead_back = index - workload->lead;
    to->trial = &to->state.trial;
    to->trial_count = workload->trial.site < 0 ? 0 : 1;
    to->vetoes = arena_array(scratch, CORE_VETOES, sizeof(*to->vetoes));
    if (to->vetoes == NULL)
        return ERR_NO_MEMORY;
    for (int i = 0; i < CORE_VETOES; i++) {
        struct core_veto *veto = &to->state.vetoes[i];
        if (veto->site < 0)
            continue;
        to->vetoes[to->veto_count++] = (struct image_veto){
            .veto = *veto, .inputs = veto->inputs, .input_count = veto->input_count};
    }
    return 0;
}

/* NULL: no memory. */
static struct image_handoff *write_handoffs(struct core_handoff *handoffs, int count,
                                            struct arena *scratch)
{
    struct image_handoff *to = arena_array(scratch, (size_t)count + 1, sizeof(*to));
    for (int i = 0; to != NULL && i < count; i++) {
        to[i].handoff = handoffs[i];
        to[i].vantages = handoffs[i].vantages;
        to[i].vantage_count = handoffs[i].vantage_count;
    }
    return to;
}

static int write_routes(const struct core_state *state, struct arena *scratch,
                        struct image_record *record)
{
    record->routes = arena_array(scratch, (size_t)state->route_count + 1, sizeof(*record->routes));
    if (record->routes == NULL)
        return ERR_NO_MEMORY;
    record->route_count = state->route_count;
    for (int i = 0; i < state->route_count; i++)
        record->routes[i] = (struct image_route){.route = state->routes[i],
                                                 .acks = state->routes[i].acks,
                                                 .ack_count = state->routes[i].ack_count};
    return 0;
}

static int read_routes(const struct image_record *record, struct arena *arena,
                       struct core_state *state)
{
    state->routes = arena_array(arena, (size_t)record->route_count + 1, sizeof(*state->routes));
    if (state->routes == NULL)
        return ERR_NO_MEMORY;
    state->route_count = record->route_count;
    for (int i = 0; i < record->route_count; i++) {
        const struct image_route *from = &record->routes[i];
        state->routes[i] = from->route;
        state->routes[i].ack_count = from->ack_count;
        for (int k = 0; k < from->ack_count; k++)
            state->routes[i].acks[k] = from->acks[k];
    }
    return 0;
}

/* The canonical text of the one that is not NULL. */
static int document_of(const struct world *world, const struct app *app, struct arena *scratch,
                       const char **ret_document, struct error *err)
{
    struct strbuf text;
    strbuf_init(&text, LIMIT_DOC_BYTES);
    if (world != NULL)
        world_write(world, &text);
    else
        app_write(app, &text);
    int rc = strbuf_error(&text, err);
    const char *copy = rc < 0 ? NULL : arena_strdup(scratch, strbuf_text(&text));
    strbuf_done(&text);
    if (rc < 0)
        return rc;
    if (copy == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a document of a snapshot");
    *ret_document = copy;
    return 0;
}

int codec_image_read(const char *text, size_t bytes, struct arena *arena,
                     struct core_image *ret_image, struct error *err)
{
    struct image_record *record = arena_alloc(arena, sizeof(*record));
    struct world *world = arena_alloc(arena, sizeof(*world));
    if (record == NULL || world == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a snapshot");
    int rc = wire_decode(&image_shape, text, bytes, CODEC_IMAGE_BYTES, arena, record, err);
    struct core_state *state = &record->image.state;
    if (rc == 0)
        rc = ring_check("ended handoffs", state->ended_count, CORE_ENDED, record->ended_kept, err);
    if (rc == 0)
        rc = ring_check("decisions", state->decision_count, CORE_DECISIONS, record->decisions_kept,
                        err);
    if (rc == 0)
        rc =
            ring_check("moves", state->saving_move_count, CORE_MOVES_KEPT, record->moves_kept, err);
    for (int i = 0; rc == 0 && i < record->moves_kept; i++)
        state->saving_moves[i].us = record->moves[i].us;
    if (rc == 0 && record->world != NULL && record->world[0] != 0) {
        rc = world_parse("snapshot", record->world, strlen(record->world), arena, world, err);
        state->world = world;
    }
    if (rc < 0)
        return rc;
    int site_count = state->world == NULL ? 0 : state->world->site_count;
    state->apps = arena_array(arena, (size_t)record->app_count + 1, sizeof(*state->apps));
    state->handoffs = read_handoffs(record->handoffs, record->handoff_count, arena);
    state->handoff_count = record->handoff_count;
    state->ended = read_handoffs(record->ended, record->ended_kept, arena);
    if (state->apps == NULL || state->handoffs == NULL || state->ended == NULL ||
        read_routes(record, arena, state) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of a snapshot");
    for (int i = 0; i < record->app_count && rc == 0; i++)
        rc = read_app(&record->apps[i], site_count, arena, &state->apps[state->app_count++], err);
    if (rc < 0)
        return rc;
    *ret_image = record->image;
    return 0;
}

static int read_app(const struct image_app *from, int site_count, struct arena *arena,
                    struct core_app *ret_app, struct error *err)
{
    struct core_app app = {
        .version = from->version, .input_version = from->input_version, .deleting = from->deleting};
    int rc = app_parse("snapshot", from->document, strlen(from->document), arena, &app.app, err);
    if (rc < 0)
        return rc;
    if (app.app.workload_count != from->workload_count)
        return error_set(err, ERR_INVALID, 0,
                         "app %s of the snapshot has %d workloads, and the states of %d",
                         app.app.name, app.app.workload_count, from->workload_count);
    app.workloads = arena_array(arena, (size_t)from->workload_count + 1, sizeof(*app.workloads));
    if (app.workloads == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for app %s", app.app.name);
    for (int i = 0; i < from->workload_count && rc == 0; i++)
        rc = read_workload(&from->workloads[i], i, site_count, arena, &app.workloads[i], err);
    *ret_app = app;
    return rc;
}

static int read_workload(const struct image_workload *from, int index, int site_count,
                         struct arena *arena, struct core_workload *ret_workload, struct error *err)
{
    *ret_workload = from->state;
    ret_workload->vetoes = arena_array(arena, CORE_VETOES, sizeof(*ret_workload->vetoes));
    ret_workload->site_blocked = arena_array(arena, (size_t)site_count + 1, sizeof(bool));
    if (ret_workload->vetoes == NULL || ret_workload->site_blocked == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a workload's sites");
    read_trials(from, index, ret_workload);
    for (int i = 0; i < from->blocked_count; i++) {
        int site = from->blocked[i].site;
        if (site < 0 || site >= site_count)
            return error_set(err, ERR_INVALID, 0,
                             "blocked site %d of the snapshot: its world has %d sites", site,
                             site_count);
        ret_workload->site_blocked[site] = true;
    }
    return 0;
}

static void read_trials(const struct image_workload *from, int index,
                        struct core_workload *ret_workload)
{
    ret_workload->lead = index - from->lead_back;
    memset(&ret_workload->trial, 0, sizeof(ret_workload->trial));
    ret_workload->trial.site = -1;
    if (from->trial_count > 0)
        ret_workload->trial = from->trial[0];
    for (int i = 0; i < CORE_VETOES; i++) {
        struct core_veto *veto = &ret_workload->vetoes[i];
        memset(veto, 0, sizeof(*veto));
        veto->site = -1;
        if (i >= from->veto_count)
            continue;
        *veto = from->vetoes[i].veto;
        veto->input_count = from->vetoes[i].input_count;
        for (int k = 0; k < veto->input_count; k++)
            veto->inputs[k] = from->vetoes[i].inputs[k];
    }
}

/* NULL: no memory. */
static struct core_handoff *read_handoffs(const struct image_handoff *from, int count,
                                          struct arena *arena)
{
    struct core_handoff *to = arena_array(arena, (size_t)count + 1, sizeof(*to));
    for (int i = 0; to != NULL && i < count; i++) {
        to[i] = from[i].handoff;
        to[i].vantage_count = from[i].vantage_count;
        for (int k = 0; k < from[i].vantage_count; k++)
            to[i].vantages[k] = from[i].vantages[k];
    }
    return to;
}

/* A ring's count says how many entries there have to be. */
static int ring_check(const char *what, uint64_t count, int capacity, int kept, struct error *err)
{
    int wanted = core_ring_kept(count, capacity);
    if (kept == wanted)
        return 0;
    return error_set(err, ERR_INVALID, 0, "a snapshot with %d %s where its count asks for %d", kept,
                     what, wanted);
}
