/* The true rule: which GPUs of its node each task sits on. */
#include "tests/bench/solver/openb.h"

static int32_t gpu_need(const struct openb_task *task)
{
    return task->gpus > 1 ? OPENB_GPU : task->gpu_milli;
}

static int16_t *gpus_at(const struct openb_seat *seat, int node)
{
    return seat->gpu + (size_t)node * OPENB_GPUS_MAX;
}

int openb_seat_init(struct openb_seat *seat, const struct openb *openb, struct arena *arena,
                    struct error *err)
{
    size_t nodes = (size_t)openb->nodes;
    size_t tasks = (size_t)openb->tasks;
    *seat = (struct openb_seat){.openb = openb};
    seat->node_of = arena_array(arena, tasks + 1, sizeof(int));
    seat->gpus_of = arena_array(arena, tasks + 1, sizeof(uint16_t));
    seat->cpu = arena_array(arena, nodes, sizeof(int32_t));
    seat->memory = arena_array(arena, nodes, sizeof(int32_t));
    seat->gpu = arena_array(arena, nodes * OPENB_GPUS_MAX, sizeof(int16_t));
    if (seat->node_of == NULL || seat->gpus_of == NULL || seat->cpu == NULL ||
        seat->memory == NULL || seat->gpu == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to seat %zu tasks", tasks);
    }
    for (size_t task = 0; task < tasks; task++) {
        seat->node_of[task] = -1;
    }
    for (size_t node = 0; node < nodes; node++) {
        seat->cpu[node] = openb->node[node].cpu_milli;
        seat->memory[node] = openb->node[node].memory_mib;
        for (int i = 0; i < openb->node[node].gpus; i++) {
            gpus_at(seat, (int)node)[i] = OPENB_GPU;
        }
    }
    return 0;
}

/* The GPUs that it would take, the fullest with room first; none where it needs none. */
static bool choose(const struct openb_task *task, const int16_t *gpu, int gpus, uint16_t *ret_bits)
{
    int32_t need = gpu_need(task);
    uint16_t bits = 0;
    for (int taken = 0; taken < task->gpus; taken++) {
        int best = -1;
        for (int i = 0; i < gpus; i++) {
            bool free = (bits >> i & 1) == 0 && gpu[i] >= need;
            best = free && (best < 0 || gpu[i] < gpu[best]) ? i : best;
        }
        if (best < 0) {
            return false;
        }
        bits = (uint16_t)(bits | 1u << best);
    }
    *ret_bits = bits;
    return true;
}

static bool has_room(const struct openb_seat *seat, int task, int node, uint16_t *ret_bits)
{
    const struct openb_task *a = &seat->openb->task[task];
    return a->cpu_milli <= seat->cpu[node] && a->memory_mib <= seat->memory[node] &&
           openb_fits(seat->openb, task, node) &&
           choose(a, gpus_at(seat, node), seat->openb->node[node].gpus, ret_bits);
}

static void sit(struct openb_seat *seat, int task, int node, uint16_t bits)
{
    const struct openb_task *a = &seat->openb->task[task];
    seat->cpu[node] -= a->cpu_milli;
    seat->memory[node] -= a->memory_mib;
    seat->node_of[task] = node;
    seat->gpus_of[task] = bits;
    for (int i = 0; i < OPENB_GPUS_MAX; i++) {
        if ((bits >> i & 1) != 0) {
            gpus_at(seat, node)[i] = (int16_t)(gpus_at(seat, node)[i] - gpu_need(a));
        }
    }
}

bool openb_seat_put(struct openb_seat *seat, int task, int node)
{
    uint16_t bits = 0;
    if (!has_room(seat, task, node, &bits)) {
        return false;
    }
    sit(seat, task, node, bits);
    return true;
}

void openb_seat_take(struct openb_seat *seat, int task)
{
    const struct openb_task *a = &seat->openb->task[task];
    int node = seat->node_of[task];
    seat->cpu[node] += a->cpu_milli;
    seat->memory[node] += a->memory_mib;
    for (int i = 0; i < OPENB_GPUS_MAX; i++) {
        if ((seat->gpus_of[task] >> i & 1) != 0) {
            gpus_at(seat, node)[i] = (int16_t)(gpus_at(seat, node)[i] + gpu_need(a));
        }
    }
    seat->node_of[task] = -1;
    seat->gpus_of[task] = 0;
}

/* ---- bundles ------------------------------------------------------------------------------- */

static void seat_bundle(struct openb_seat *seat, const struct openb_bundles *bundles, int bundle,
                        int node)
{
    const int *task = bundles->task + bundles->first[bundle];
    int count = bundles->first[bundle + 1] - bundles->first[bundle];
    uint16_t bits = 0;
    if (!has_room(seat, task[0], node, &bits)) {
        return;
    }
    const struct openb_task *first = &seat->openb->task[task[0]];
    if (first->gpus == 1 && first->gpu_milli < OPENB_GPU) {
        bits = 0;
        for (int i = 0; i < seat->openb->node[node].gpus && bits == 0; i++) {
            bits = (uint16_t)(gpus_at(seat, node)[i] == OPENB_GPU ? 1u << i : 0);
        }
    }
    for (int i = 0; i < count && (bits != 0 || first->gpus == 0); i++) {
        sit(seat, task[i], node, bits);
    }
}

static int cheapest_node(const struct openb_seat *seat, int task)
{
    int best = -1;
    int64_t least = INT64_MAX;
    for (int node = 0; node < seat->openb->nodes; node++) {
        uint16_t bits;
        if (has_room(seat, task, node, &bits)) {
            int64_t usd6 = openb_cost_usd6(seat->openb, task, node);
            best = usd6 < least ? node : best;
            least = usd6 < least ? usd6 : least;
        }
    }
    return best;
}

int openb_seat_bundles(struct openb_seat *seat, const struct openb_bundles *bundles,
                       const int *site)
{
    for (int bundle = 0; bundle < bundles->count; bundle++) {
        if (site[bundle] < seat->openb->nodes) {
            seat_bundle(seat, bundles, bundle, site[bundle]);
        }
    }
    int found = 0;
    for (int task = 0; task < seat->openb->tasks; task++) {
        int node = seat->node_of[task] < 0 ? cheapest_node(seat, task) : -1;
        found += node >= 0 && openb_seat_put(seat, task, node);
    }
    return found;
}

/* ---- the baseline -------------------------------------------------------------------------- */

/* Shares of the node that are left, in per mille, the mean of what it has. */
static int64_t left_of(const struct openb_seat *seat, int node)
{
    const struct openb_node *at = &seat->openb->node[node];
    int64_t sum = 1000 * (int64_t)seat->cpu[node] / (at->cpu_milli > 0 ? at->cpu_milli : 1);
    sum += 1000 * (int64_t)seat->memory[node] / (at->memory_mib > 0 ? at->memory_mib : 1);
    int64_t gpu = 0;
    for (int i = 0; i < at->gpus; i++) {
        gpu += gpus_at(seat, node)[i];
    }
    return at->gpus > 0 ? (sum + gpu / at->gpus) / 3 : sum / 2;
}

int openb_seat_greedy(struct openb_seat *seat, bool by_cost, struct arena *arena, struct error *err)
{
    const struct openb *openb = seat->openb;
    int64_t *usd6 = arena_array(arena, (size_t)openb->nodes, sizeof(int64_t)); /* by alike nodes */
    if (usd6 == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the baseline");
    }
    for (int task = 0; task < openb->tasks; task++) {
        int best = -1;
        int64_t least = INT64_MAX;
        int64_t least_left = INT64_MAX;
        for (int node = 0; node < openb->nodes; node++) {
            int alike = openb->node[node].alike;
            if (alike == node && by_cost) {
                usd6[node] = openb_cost_usd6(openb, task, node);
            }
            uint16_t bits;
            if ((by_cost && usd6[alike] > least) || !has_room(seat, task, node, &bits)) {
                continue;
            }
            int64_t left = left_of(seat, node);
            int64_t score = by_cost ? usd6[alike] : -left;
            if (score < least || (score == least && left < least_left)) {
                best = node;
                least = score;
                least_left = left;
            }
        }
        if (best >= 0) {
            (void)openb_seat_put(seat, task, best);
        }
    }
    return 0;
}

int64_t openb_seat_cost_usd6(const struct openb_seat *seat, int *ret_placed)
{
    int64_t usd6 = 0;
    *ret_placed = 0;
    for (int task = 0; task < seat->openb->tasks; task++) {
        if (seat->node_of[task] >= 0) {
            usd6 += openb_cost_usd6(seat->openb, task, seat->node_of[task]);
            ++*ret_placed;
        }
    }
    return usd6;
}

/* Adds up everything anew: it shares nothing with the code above. */
int openb_broken(const struct openb *openb, const int *node_of, const uint16_t *gpus_of)
{
    int broken = 0;
    for (int node = 0; node < openb->nodes; node++) {
        int64_t cpu = 0;
        int64_t memory = 0;
        int64_t gpu[OPENB_GPUS_MAX] = {0};
        for (int task = 0; task < openb->tasks; task++) {
            const struct openb_task *at = &openb->task[task];
            if (node_of[task] != node) {
                continue;
            }
            cpu += at->cpu_milli;
            memory += at->memory_mib;
            int taken = 0;
            for (int i = 0; i < OPENB_GPUS_MAX; i++) {
                if ((gpus_of[task] >> i & 1) != 0) {
                    gpu[i] += at->gpu_milli;
                    taken++;
                    broken += i >= openb->node[node].gpus;
                }
            }
            broken += taken != at->gpus;
            int type = openb->node[node].type;
            broken += at->gpus > 0 && (type < 0 || (at->types != 0 && !(at->types >> type & 1)));
        }
        broken += cpu > openb->node[node].cpu_milli;
        broken += memory > openb->node[node].memory_mib;
        for (int i = 0; i < OPENB_GPUS_MAX; i++) {
            broken += gpu[i] > OPENB_GPU;
        }
    }
    return broken;
}
