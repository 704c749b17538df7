/* The state's hash: every field that can influence a later step, one by one, padding never. */
#include <string.h>

#include "base/str.h"
#include "scheduler/core/internal.h"

/* It is taken after every event, over all rows: by words, not by bytes as base's hash_str. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) + 1; /* so that zeros count as well */
    return hash ^ (hash >> 29);
}

/* The words of the text, little-endian, and then its length, so that two texts in a row are told
 * from two others. */
static uint64_t mix_text(uint64_t hash, const char *text)
{
    size_t bytes = strlen(text);
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t word;
        memcpy(&word, text + at, sizeof(word));
        hash = mix(hash, word);
    }
    uint64_t rest = bytes;
    for (int shift = 56; at < bytes; at++, shift -= 8)
        rest ^= (uint64_t)(unsigned char)text[at] << shift;
    return mix(hash, rest);
}

static uint64_t hash_i64(uint64_t hash, int64_t value)
{
    return mix(hash, (uint64_t)value);
}

static uint64_t hash_epoch(uint64_t hash, struct epoch epoch)
{
    return mix(mix(hash, epoch.term), epoch.n);
}

static uint64_t hash_trial(uint64_t hash, const struct core_workload *workload)
{
    const struct core_trial *trial = &workload->trial;
    if (trial->site >= 0) {
        hash = hash_i64(hash, trial->site);
        hash = hash_i64(hash, trial->variant);
        hash = hash_i64(hash, trial->due.us);
        hash = hash_i64(hash, trial->until.us);
        hash = mix(hash, trial->check);
        hash = mix(hash, trial->plan);
        hash = hash_i64(hash, trial->group);
        hash = hash_i64(hash, trial->score_predicted_nusd);
        hash = hash_i64(hash, trial->bill_predicted_nusd);
        hash = hash_i64(hash, trial->spread_nusd);
    }
    for (int i = 0; i < CORE_VETOES; i++) {
        const struct core_veto *veto = &workload->vetoes[i];
        if (veto->site < 0)
            continue;
        hash = hash_i64(hash, veto->site);
        hash = mix(hash, veto->regretted);
        hash = hash_i64(hash, veto->since.us);
        hash = mix(hash, veto->app_version);
        hash = mix(hash, veto->world_version);
        for (int k = 0; k < veto->input_count; k++) {
            hash = mix(hash, (uint64_t)veto->inputs[k].kind);
            hash = mix_text(hash, veto->inputs[k].site);
            hash = mix_text(hash, veto->inputs[k].users);
            hash = hash_i64(hash, veto->inputs[k].value);
            hash = hash_i64(hash, veto->inputs[k].spread);
        }
    }
    return hash;
}

static uint64_t hash_app(uint64_t hash, const struct core_app *app, int site_count)
{
    hash = mix(hash, ((const struct core_storage *)app->storage)->hash);
    hash = mix(hash, app->version);
    hash = mix(hash, app->input_version);
    hash = mix(hash, app->deleting);
    for (int i = 0; i < app->app.workload_count; i++) {
        const struct core_workload *workload = &app->workloads[i];
        hash = hash_i64(hash, workload->site);
        hash = hash_i64(hash, workload->variant);
        hash = hash_i64(hash, workload->lead);
        hash = hash_trial(hash, workload);
        hash = hash_i64(hash, workload->moved.us);
        hash = hash_i64(hash, workload->failures);
        hash = hash_i64(hash, workload->retry.us);
        hash = hash_i64(hash, workload->ship_late);
        hash = hash_i64(hash, workload->ship_us);
        hash = mix(hash, (uint64_t)workload->reason);
        hash = mix(hash, workload->canary_good);
        hash = mix(hash, workload->canary_bad);
        for (int k = 0; k < site_count; k++) {
            if (workload->site_blocked[k])
                hash = hash_i64(hash, k);
        }
    }
    return hash;
}

static uint64_t hash_node(uint64_t hash, const struct core_node *node)
{
    hash = mix_text(hash, node->name);
    hash = mix_text(hash, node->site);
    hash = mix(hash, node->up);
    hash = mix_text(hash, node->boot_id);
    hash = hash_i64(hash, node->boot_offset_us);
    hash = hash_i64(hash, node->offset_at.us);
    hash = hash_i64(hash, node->hello_us);
    hash = hash_i64(hash, node->boot_at.us);
    hash = mix_text(hash, node->arch);
    hash = mix_text(hash, node->drivers);
    for (int k = 0; k < RESOURCE_COUNT; k++)
        hash = hash_i64(hash, node->capacity[k]);
    hash = hash_epoch(hash, node->epoch);
    hash = hash_i64(hash, node->since.us);
    hash = mix_text(hash, node->ingress);
    hash = hash_i64(hash, node->report_us);
    return mix(hash, node->report_seq);
}

static uint64_t hash_instance(uint64_t hash, const struct core_instance *instance)
{
    hash = mix_text(hash, instance->id);
    hash = mix_text(hash, instance->namespace_);
    hash = mix_text(hash, instance->app);
    hash = mix_text(hash, instance->workload);
    hash = hash_i64(hash, instance->replica);
    hash = mix_text(hash, instance->node);
    hash = mix(hash, instance->spec_hash);
    hash = mix(hash, (uint64_t)instance->want);
    hash = mix(hash, (uint64_t)instance->state);
    hash = mix(hash, instance->lost);
    hash = hash_epoch(hash, instance->epoch);
    hash = hash_i64(hash, instance->restarts);
    hash = mix_text(hash, instance->endpoint);
    hash = hash_i64(hash, instance->since.us);
    hash = mix_text(hash, instance->detail);
    for (int k = 0; k < RESOURCE_COUNT; k++)
        hash = hash_i64(hash, instance->reserve[k]);
    hash = hash_epoch(hash, instance->owner);
    hash = mix(hash, (uint64_t)instance->class_ * 2 + instance->frozen);
    hash = hash_i64(hash, instance->lease_us);
    hash = hash_i64(hash, instance->granted.us);
    hash = hash_i64(hash, instance->round);
    hash = mix_text(hash, instance->object.digest);
    hash = hash_i64(hash, instance->object.bytes);
    return mix_text(hash, instance->handoff);
}

static uint64_t hash_canary(uint64_t hash, const struct core_canary *canary)
{
    hash = mix(hash, canary->judge);
    hash = hash_i64(hash, canary->until.us);
    hash = hash_i64(hash, canary->asked.us);
    hash = hash_i64(hash, canary->judged.us);
    hash = hash_i64(hash, canary->requests);
    return mix(hash, (uint64_t)canary->worse * 2 + canary->promoted);
}

static uint64_t hash_handoff(uint64_t hash, const struct core_handoff *handoff)
{
    hash = mix_text(hash, handoff->id);
    hash = mix_text(hash, handoff->namespace_);
    hash = mix_text(hash, handoff->app);
    hash = mix_text(hash, handoff->workload);
    hash = hash_i64(hash, handoff->replica);
    hash = mix_text(hash, handoff->from);
    hash = mix_text(hash, handoff->to);
    hash = mix_text(hash, handoff->from_site);
    hash = mix_text(hash, handoff->to_site);
    hash = mix(hash, (uint64_t)handoff->reason);
    hash = mix(hash, (uint64_t)handoff->state);
    for (int i = 0; i < HANDOFF_STATE_COUNT; i++)
        hash = hash_i64(hash, handoff->entered[i].us);
    hash = hash_i64(hash, handoff->deadline.us);
    for (int i = 0; i < handoff->vantage_count; i++) {
        const struct core_vantage *vantage = &handoff->vantages[i];
        hash = mix_text(hash, vantage->node);
        hash = mix(hash, (uint64_t)vantage->new_reached * 4 + vantage->unproven * 2u +
                             vantage->old_reached);
        hash = hash_i64(hash, vantage->rtt_us);
        hash = hash_i64(hash, vantage->old_tries);
    }
    hash = mix(hash, (uint64_t)handoff->proven * 2 + handoff->cancelled);
    hash = hash_i64(hash, handoff->linger_us);
    hash = mix(hash, (uint64_t)handoff->class_ * 2 + handoff->fenced);
    hash = hash_epoch(hash, handoff->owner);
    hash = hash_i64(hash, handoff->round);
    hash = hash_i64(hash, handoff->round_at.us);
    hash = hash_i64(hash, handoff->shipped_bytes);
    hash = hash_i64(hash, handoff->first_bytes);
    hash = mix_text(hash, handoff->handed);
    hash = hash_i64(hash, handoff->quiet.us);
    hash = mix(hash, handoff->route);
    hash = hash_canary(hash, &handoff->canary);
    return mix_text(hash, handoff->text);
}

static uint64_t hash_command(uint64_t hash, const struct core_command *command)
{
    hash = mix_text(hash, command->id);
    hash = mix_text(hash, command->node);
    hash = mix_text(hash, command->handoff);
    hash = mix_text(hash, command->instance);
    hash = mix(hash, (uint64_t)command->verb);
    hash = hash_epoch(hash, command->epoch);
    hash = hash_i64(hash, command->sent.us);
    hash = hash_i64(hash, command->not_after.us);
    hash = mix(hash, command->route);
    return hash_i64(hash, command->tries * 4 + command->answered * 2 + command->taken);
}

static uint64_t hash_checkpoint(uint64_t hash, const struct core_checkpoint *checkpoint)
{
    hash = mix_text(hash, checkpoint->namespace_);
    hash = mix_text(hash, checkpoint->app);
    hash = mix_text(hash, checkpoint->workload);
    hash = hash_i64(hash, checkpoint->replica);
    hash = mix(hash, checkpoint->number);
    hash = hash_i64(hash, checkpoint->asked.us);
    for (int i = 0; i < 2; i++) {
        const struct core_saved *saved = &checkpoint->saved[i];
        hash = mix(hash, saved->number);
        hash = mix_text(hash, saved->object.digest);
        hash = hash_i64(hash, saved->object.bytes);
        hash = hash_i64(hash, saved->at.us);
    }
    return hash_i64(hash, checkpoint->failures);
}

static uint64_t hash_route(uint64_t hash, const struct core_route *route)
{
    hash = mix_text(hash, route->namespace_);
    hash = mix_text(hash, route->app);
    hash = mix_text(hash, route->workload);
    hash = mix(hash, route->hash);
    hash = mix(hash, route->version);
    hash = mix(hash, route->gone);
    for (int i = 0; i < route->ack_count; i++) {
        hash = mix_text(hash, route->acks[i].node);
        hash = mix(hash, route->acks[i].version);
    }
    return hash;
}

static uint64_t hash_estimate(uint64_t hash, const struct estimate *estimate)
{
    hash = mix(hash, (uint64_t)estimate->kind);
    hash = mix_text(hash, estimate->namespace_);
    hash = mix_text(hash, estimate->app);
    hash = mix_text(hash, estimate->workload);
    hash = mix_text(hash, estimate->site);
    hash = mix_text(hash, estimate->peer);
    hash = hash_i64(hash, estimate->value);
    hash = hash_i64(hash, estimate->at_us);
    hash = hash_i64(hash, estimate->spread);
    return hash_i64(hash, estimate->observed_us);
}

static uint64_t hash_operation(uint64_t hash, const struct core_operation *operation)
{
    hash = mix_text(hash, operation->id);
    hash = mix_text(hash, operation->text);
    hash = mix(hash, (uint64_t)operation->state * 2 + operation->settled);
    hash = hash_i64(hash, operation->begun.us);
    hash = hash_i64(hash, operation->ended.us);
    hash = mix(hash, (uint64_t)operation->cordon_kind);
    hash = mix_text(hash, operation->cordon);
    hash = hash_i64(hash, operation->at_once);
    for (int i = 0; i < operation->step_count; i++) {
        const struct core_operation_step *step = &operation->steps[i];
        hash = mix_text(hash, step->namespace_);
        hash = mix_text(hash, step->app);
        hash = mix_text(hash, step->workload);
        hash = mix_text(hash, step->from_site);
        hash = hash_i64(hash, step->from_variant);
        hash = mix_text(hash, step->to_site);
        hash = hash_i64(hash, step->to_variant);
        hash = mix(hash, (uint64_t)step->state);
        hash = hash_i64(hash, step->begun.us);
        hash = hash_i64(hash, step->ended.us);
    }
    return mix_text(hash, operation->why);
}

uint64_t core_hash(const struct core *core)
{
    const struct core_state *state = &core->state;
    int site_count = state->world == NULL ? 0 : state->world->site_count;
    uint64_t hash = mix(HASH_SEED, state->term);
    hash = hash_epoch(hash, state->epoch);
    hash = mix(hash, state->version);
    hash = mix(hash, state->input_version);
    hash = mix(hash, state->structure_version);
    hash = hash_i64(hash, state->now.us);
    hash = mix(hash, core->world_hash);
    for (int i = 0; i < state->app_count; i++)
        hash = hash_app(hash, &state->apps[i], site_count);
    for (int i = 0; i < state->node_count; i++)
        hash = hash_node(hash, &state->nodes[i]);
    for (int i = 0; i < state->instance_count; i++)
        hash = hash_instance(hash, &state->instances[i]);
    for (int i = 0; i < state->handoff_count; i++)
        hash = hash_handoff(hash, &state->handoffs[i]);
    for (int i = 0; i < state->command_count; i++)
        hash = hash_command(hash, &state->commands[i]);
    for (int i = 0; i < state->route_count; i++)
        hash = hash_route(hash, &state->routes[i]);
    for (int i = 0; i < state->checkpoint_count; i++)
        hash = hash_checkpoint(hash, &state->checkpoints[i]);
    hash = mix(hash, state->judge);
    for (int i = 0; i < state->estimate_count; i++)
        hash = hash_estimate(hash, &state->estimates[i]);
    for (int i = 0; i < state->cordon_count; i++) {
        hash = mix(hash, (uint64_t)state->cordons[i].kind);
        hash = mix_text(hash, state->cordons[i].name);
        hash = hash_i64(hash, state->cordons[i].since.us);
    }
    for (int i = 0; i < state->operation_count; i++)
        hash = hash_operation(hash, &state->operations[i]);
    hash = mix(hash, state->ended_count);
    hash = mix(hash, state->decision_count);
    uint64_t kept =
        state->saving_move_count < CORE_MOVES_KEPT ? state->saving_move_count : CORE_MOVES_KEPT;
    for (uint64_t i = 0; i < kept; i++)
        hash = hash_i64(hash, state->saving_moves[i].us);
    hash = mix(hash, state->saving_move_count);
    hash = hash_i64(hash, state->moves_due.us);
    hash = mix(hash, state->world_version);
    hash = mix(hash, state->check);
    hash = mix(hash, state->solve * 2 + state->solving);
    hash = hash_i64(hash, state->changed.us);
    hash = hash_i64(hash, core->changed_first.us);
    hash = hash_i64(hash, core->solve_retry.us);
    hash = hash_i64(hash, core->clock_checked.us);
    hash = mix(hash, (uint64_t)state->plan_status);
    return mix(hash, (uint64_t)core->diff * 4 + (uint64_t)core->tidy * 2 + core->starved);
}
