/* The state's hash: every field that can influence a later step, one by one, padding never. */
#include "base/str.h"
#include "scheduler/core/internal.h"

static uint64_t hash_i64(uint64_t hash, int64_t value)
{
    return hash_u64(hash, (uint64_t)value);
}

static uint64_t hash_epoch(uint64_t hash, struct epoch epoch)
{
    return hash_u64(hash_u64(hash, epoch.term), epoch.n);
}

static uint64_t hash_trial(uint64_t hash, const struct core_workload *workload)
{
    const struct core_trial *trial = &workload->trial;
    if (trial->site >= 0) {
        hash = hash_i64(hash, trial->site);
        hash = hash_i64(hash, trial->variant);
        hash = hash_i64(hash, trial->due.us);
        hash = hash_i64(hash, trial->until.us);
        hash = hash_u64(hash, trial->check);
        hash = hash_u64(hash, trial->plan);
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
        hash = hash_u64(hash, veto->regretted);
        hash = hash_i64(hash, veto->since.us);
        hash = hash_u64(hash, veto->app_version);
        hash = hash_u64(hash, veto->world_version);
        for (int k = 0; k < veto->input_count; k++) {
            hash = hash_u64(hash, (uint64_t)veto->inputs[k].kind);
            hash = hash_str(hash, veto->inputs[k].site);
            hash = hash_i64(hash, veto->inputs[k].value);
            hash = hash_i64(hash, veto->inputs[k].spread);
        }
    }
    return hash;
}

static uint64_t hash_app(uint64_t hash, const struct core_app *app, int site_count)
{
    hash = hash_u64(hash, ((const struct core_storage *)app->storage)->hash);
    hash = hash_u64(hash, app->version);
    hash = hash_u64(hash, app->input_version);
    hash = hash_u64(hash, app->deleting);
    for (int i = 0; i < app->app.workload_count; i++) {
        const struct core_workload *workload = &app->workloads[i];
        hash = hash_i64(hash, workload->site);
        hash = hash_i64(hash, workload->variant);
        hash = hash_i64(hash, workload->lead);
        hash = hash_trial(hash, workload);
        hash = hash_i64(hash, workload->moved.us);
        hash = hash_i64(hash, workload->failures);
        hash = hash_i64(hash, workload->retry.us);
        hash = hash_u64(hash, (uint64_t)workload->reason);
        hash = hash_u64(hash, workload->canary_good);
        hash = hash_u64(hash, workload->canary_bad);
        for (int k = 0; k < site_count; k++) {
            if (workload->site_blocked[k])
                hash = hash_i64(hash, k);
        }
    }
    return hash;
}

static uint64_t hash_node(uint64_t hash, const struct core_node *node)
{
    hash = hash_str(hash, node->name);
    hash = hash_str(hash, node->site);
    hash = hash_u64(hash, node->up);
    hash = hash_str(hash, node->boot_id);
    hash = hash_i64(hash, node->boot_offset_us);
    hash = hash_str(hash, node->arch);
    hash = hash_str(hash, node->drivers);
    for (int k = 0; k < RESOURCE_COUNT; k++)
        hash = hash_i64(hash, node->capacity[k]);
    hash = hash_epoch(hash, node->epoch);
    hash = hash_i64(hash, node->since.us);
    hash = hash_str(hash, node->ingress);
    hash = hash_i64(hash, node->report_us);
    return hash_u64(hash, node->report_seq);
}

static uint64_t hash_instance(uint64_t hash, const struct core_instance *instance)
{
    hash = hash_str(hash, instance->id);
    hash = hash_str(hash, instance->namespace_);
    hash = hash_str(hash, instance->app);
    hash = hash_str(hash, instance->workload);
    hash = hash_i64(hash, instance->replica);
    hash = hash_str(hash, instance->node);
    hash = hash_u64(hash, instance->spec_hash);
    hash = hash_u64(hash, (uint64_t)instance->want);
    hash = hash_u64(hash, (uint64_t)instance->state);
    hash = hash_u64(hash, instance->lost);
    hash = hash_epoch(hash, instance->epoch);
    hash = hash_i64(hash, instance->restarts);
    hash = hash_str(hash, instance->endpoint);
    hash = hash_i64(hash, instance->since.us);
    hash = hash_str(hash, instance->detail);
    for (int k = 0; k < RESOURCE_COUNT; k++)
        hash = hash_i64(hash, instance->reserve[k]);
    return hash_str(hash, instance->handoff);
}

static uint64_t hash_canary(uint64_t hash, const struct core_canary *canary)
{
    hash = hash_u64(hash, canary->judge);
    hash = hash_i64(hash, canary->until.us);
    hash = hash_i64(hash, canary->asked.us);
    hash = hash_i64(hash, canary->judged.us);
    hash = hash_i64(hash, canary->requests);
    return hash_u64(hash, (uint64_t)canary->worse * 2 + canary->promoted);
}

static uint64_t hash_handoff(uint64_t hash, const struct core_handoff *handoff)
{
    hash = hash_str(hash, handoff->id);
    hash = hash_str(hash, handoff->namespace_);
    hash = hash_str(hash, handoff->app);
    hash = hash_str(hash, handoff->workload);
    hash = hash_i64(hash, handoff->replica);
    hash = hash_str(hash, handoff->from);
    hash = hash_str(hash, handoff->to);
    hash = hash_str(hash, handoff->from_site);
    hash = hash_str(hash, handoff->to_site);
    hash = hash_u64(hash, (uint64_t)handoff->reason);
    hash = hash_u64(hash, (uint64_t)handoff->state);
    for (int i = 0; i < HANDOFF_STATE_COUNT; i++)
        hash = hash_i64(hash, handoff->entered[i].us);
    hash = hash_i64(hash, handoff->deadline.us);
    for (int i = 0; i < handoff->vantage_count; i++) {
        const struct core_vantage *vantage = &handoff->vantages[i];
        hash = hash_str(hash, vantage->node);
        hash = hash_u64(hash, (uint64_t)vantage->new_reached * 2 + vantage->old_reached);
        hash = hash_i64(hash, vantage->rtt_us);
        hash = hash_i64(hash, vantage->old_tries);
    }
    hash = hash_u64(hash, (uint64_t)handoff->proven * 2 + handoff->cancelled);
    hash = hash_i64(hash, handoff->linger_us);
    hash = hash_u64(hash, handoff->route);
    hash = hash_canary(hash, &handoff->canary);
    return hash_str(hash, handoff->text);
}

static uint64_t hash_command(uint64_t hash, const struct core_command *command)
{
    hash = hash_str(hash, command->id);
    hash = hash_str(hash, command->node);
    hash = hash_str(hash, command->handoff);
    hash = hash_str(hash, command->instance);
    hash = hash_u64(hash, (uint64_t)command->verb);
    hash = hash_epoch(hash, command->epoch);
    hash = hash_i64(hash, command->sent.us);
    hash = hash_i64(hash, command->not_after.us);
    hash = hash_u64(hash, command->route);
    return hash_i64(hash, command->tries * 2 + command->answered);
}

static uint64_t hash_route(uint64_t hash, const struct core_route *route)
{
    hash = hash_str(hash, route->namespace_);
    hash = hash_str(hash, route->app);
    hash = hash_str(hash, route->workload);
    hash = hash_u64(hash, route->hash);
    hash = hash_u64(hash, route->version);
    hash = hash_u64(hash, route->gone);
    for (int i = 0; i < route->ack_count; i++) {
        hash = hash_str(hash, route->acks[i].node);
        hash = hash_u64(hash, route->acks[i].version);
    }
    return hash;
}

static uint64_t hash_estimate(uint64_t hash, const struct estimate *estimate)
{
    hash = hash_u64(hash, (uint64_t)estimate->kind);
    hash = hash_str(hash, estimate->namespace_);
    hash = hash_str(hash, estimate->app);
    hash = hash_str(hash, estimate->workload);
    hash = hash_str(hash, estimate->site);
    hash = hash_str(hash, estimate->peer);
    hash = hash_i64(hash, estimate->value);
    hash = hash_i64(hash, estimate->at_us);
    hash = hash_i64(hash, estimate->spread);
    return hash_i64(hash, estimate->observed_us);
}

static uint64_t hash_operation(uint64_t hash, const struct core_operation *operation)
{
    hash = hash_str(hash, operation->id);
    hash = hash_str(hash, operation->text);
    hash = hash_u64(hash, (uint64_t)operation->state * 2 + operation->settled);
    hash = hash_i64(hash, operation->begun.us);
    hash = hash_i64(hash, operation->ended.us);
    hash = hash_u64(hash, (uint64_t)operation->cordon_kind);
    hash = hash_str(hash, operation->cordon);
    hash = hash_i64(hash, operation->at_once);
    for (int i = 0; i < operation->step_count; i++) {
        const struct core_operation_step *step = &operation->steps[i];
        hash = hash_str(hash, step->namespace_);
        hash = hash_str(hash, step->app);
        hash = hash_str(hash, step->workload);
        hash = hash_str(hash, step->from_site);
        hash = hash_i64(hash, step->from_variant);
        hash = hash_str(hash, step->to_site);
        hash = hash_i64(hash, step->to_variant);
        hash = hash_u64(hash, (uint64_t)step->state);
        hash = hash_i64(hash, step->begun.us);
        hash = hash_i64(hash, step->ended.us);
    }
    return hash_str(hash, operation->why);
}

uint64_t core_hash(const struct core *core)
{
    const struct core_state *state = &core->state;
    int site_count = state->world == NULL ? 0 : state->world->site_count;
    uint64_t hash = hash_u64(HASH_SEED, state->term);
    hash = hash_epoch(hash, state->epoch);
    hash = hash_u64(hash, state->version);
    hash = hash_u64(hash, state->input_version);
    hash = hash_u64(hash, state->structure_version);
    hash = hash_i64(hash, state->now.us);
    hash = hash_u64(hash, core->world_hash);
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
    hash = hash_u64(hash, state->judge);
    for (int i = 0; i < state->estimate_count; i++)
        hash = hash_estimate(hash, &state->estimates[i]);
    for (int i = 0; i < state->cordon_count; i++) {
        hash = hash_u64(hash, (uint64_t)state->cordons[i].kind);
        hash = hash_str(hash, state->cordons[i].name);
        hash = hash_i64(hash, state->cordons[i].since.us);
    }
    for (int i = 0; i < state->operation_count; i++)
        hash = hash_operation(hash, &state->operations[i]);
    hash = hash_u64(hash, state->ended_count);
    hash = hash_u64(hash, state->decision_count);
    uint64_t kept =
        state->saving_move_count < CORE_MOVES_KEPT ? state->saving_move_count : CORE_MOVES_KEPT;
    for (uint64_t i = 0; i < kept; i++)
        hash = hash_i64(hash, state->saving_moves[i].us);
    hash = hash_u64(hash, state->saving_move_count);
    hash = hash_i64(hash, state->moves_due.us);
    hash = hash_u64(hash, state->world_version);
    hash = hash_u64(hash, state->check);
    hash = hash_u64(hash, state->solve * 2 + state->solving);
    hash = hash_i64(hash, state->changed.us);
    hash = hash_i64(hash, core->changed_first.us);
    hash = hash_i64(hash, core->solve_retry.us);
    hash = hash_i64(hash, core->clock_checked.us);
    hash = hash_u64(hash, (uint64_t)state->plan_status);
    return hash_u64(hash, (uint64_t)core->diff * 4 + (uint64_t)core->tidy * 2 + core->starved);
}
