/*
 * Weights of shares of a GPU: the multipliers of the bin packing programme that has a column for
 * every set of shares that fits a GPU (Gilmore and Gomory), its columns found by a knapsack. With
 * them the shares of all tasks together weigh as many GPUs as any such argument can show. The
 * programme's answer, rounded, is the bundles.
 */
#include <glpk.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/solver/openb.h"

#define ROUNDS_MAX 1000
#define GAIN_MIN   1e-7

static void add_column(glp_prob *lp, const int *row, const int *count)
{
    int index[OPENB_GPU + 2];
    double value[OPENB_GPU + 2];
    int terms = 0;
    for (int share = 1; share <= OPENB_GPU; share++) {
        if (count[share] > 0) {
            terms++;
            index[terms] = row[share];
            value[terms] = count[share];
        }
    }
    int column = glp_add_cols(lp, 1);
    glp_set_col_bnds(lp, column, GLP_LO, 0, 0);
    glp_set_obj_coef(lp, column, 1);
    glp_set_mat_col(lp, column, terms, index, value);
}

static bool solve(glp_prob *lp)
{
    glp_smcp options;
    glp_init_smcp(&options);
    options.msg_lev = GLP_MSG_OFF;
    return glp_simplex(lp, &options) == 0 && glp_get_status(lp) == GLP_OPT;
}

/* Whole numbers; scaled down where rounding made a set too heavy. */
static void round_weights(const double *value, int32_t *weight)
{
    static double whole[OPENB_GPU + 1];
    static int count[OPENB_GPU + 1];
    for (int share = 0; share <= OPENB_GPU; share++) {
        whole[share] = (int32_t)(value[share] * OPENB_WHOLE + 0.01);
    }
    double most = openb_heaviest(whole, count);
    for (int share = 0; share <= OPENB_GPU; share++) {
        double scaled = most > OPENB_WHOLE ? whole[share] * OPENB_WHOLE / most : whole[share];
        weight[share] = (int32_t)scaled;
    }
}

/* ---- bundles ------------------------------------------------------------------------------- */

/* The tasks of each share, those with most processors first, taken from both ends. */
struct queues {
    const struct openb *openb;
    int *task; /* sorted by share, then by processors */
    int first[OPENB_GPU + 1];
    int last[OPENB_GPU + 1]; /* one past it */
};

struct bundling {
    struct queues queues;
    struct openb_bundles *bundles;
    int *room; /* [bundle] thousandths that are left; a bundle's tasks are a list until the end */
    int *head; /* [bundle] task + 1 */
    int *next; /* [task] task + 1 */
};

static bool shares_gpu(const struct openb_task *task)
{
    return task->gpus == 1 && task->gpu_milli < OPENB_GPU;
}

static int by_share(const void *a, const void *b, void *context)
{
    const struct openb *openb = context;
    int x = *(const int *)a;
    int y = *(const int *)b;
    const struct openb_task *p = &openb->task[x];
    const struct openb_task *q = &openb->task[y];
    if (p->gpu_milli != q->gpu_milli) {
        return p->gpu_milli > q->gpu_milli ? -1 : 1;
    }
    if (p->cpu_milli != q->cpu_milli) {
        return p->cpu_milli > q->cpu_milli ? -1 : 1;
    }
    if (p->memory_mib != q->memory_mib) {
        return p->memory_mib > q->memory_mib ? -1 : 1;
    }
    return x < y ? -1 : 1;
}

static void join(struct bundling *bundling, int bundle, int task)
{
    bundling->next[task] = bundling->head[bundle];
    bundling->head[bundle] = task + 1;
    bundling->room[bundle] -= bundling->queues.openb->task[task].gpu_milli;
}

/* As often as the programme has a set of shares, rounded down, while there are tasks for it: the
 * heaviest task of the largest share with the lightest of the others. */
static void bundle_column(struct bundling *bundling, glp_prob *lp, int column, const int *share_of)
{
    int index[OPENB_GPU + 2];
    double value[OPENB_GPU + 2];
    int terms = glp_get_mat_col(lp, column, index, value);
    struct queues *queues = &bundling->queues;
    for (int times = (int)(glp_get_col_prim(lp, column) + 1e-6); times > 0; times--) {
        int bundle = bundling->bundles->count;
        for (int share = OPENB_GPU - 1; share > 0; share--) {
            for (int i = 1; i <= terms; i++) {
                for (int k = 0; share_of[index[i]] == share && k < (int)value[i]; k++) {
                    if (queues->first[share] < queues->last[share]) {
                        bool begun = bundling->head[bundle] > 0;
                        int at = begun ? --queues->last[share] : queues->first[share]++;
                        join(bundling, bundle, queues->task[at]);
                    }
                }
            }
        }
        bundling->bundles->count += bundling->head[bundle] > 0;
    }
}

/* The tasks that rounding left, the largest first, each to the fullest bundle with room. */
static void bundle_rest(struct bundling *bundling)
{
    struct queues *queues = &bundling->queues;
    for (int share = OPENB_GPU - 1; share > 0; share--) {
        for (; queues->first[share] < queues->last[share]; queues->first[share]++) {
            int best = bundling->bundles->count;
            for (int bundle = 0; bundle < bundling->bundles->count; bundle++) {
                bool better = best == bundling->bundles->count ||
                              bundling->room[bundle] < bundling->room[best];
                best = bundling->room[bundle] >= share && better ? bundle : best;
            }
            bundling->bundles->count += best == bundling->bundles->count;
            join(bundling, best, queues->task[queues->first[share]]);
        }
    }
}

static int make_bundles(const struct openb *openb, glp_prob *lp, const int *share_of,
                        struct arena *arena, struct openb_bundles *bundles, struct error *err)
{
    size_t tasks = (size_t)openb->tasks;
    struct bundling bundling = {.queues.openb = openb, .bundles = bundles};
    bundles->count = 0;
    bundles->first = arena_array(arena, tasks + 2, sizeof(int));
    bundles->task = arena_array(arena, tasks + 1, sizeof(int));
    bundling.queues.task = arena_array(arena, tasks + 1, sizeof(int));
    bundling.room = arena_array(arena, tasks + 2, sizeof(int));
    bundling.head = arena_array(arena, tasks + 2, sizeof(int));
    bundling.next = arena_array(arena, tasks + 1, sizeof(int));
    if (bundles->first == NULL || bundles->task == NULL || bundling.queues.task == NULL ||
        bundling.room == NULL || bundling.head == NULL || bundling.next == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for bundles of %zu tasks", tasks);
    }
    int sharing = 0;
    for (int task = 0; task < openb->tasks; task++) {
        bundling.room[task] = OPENB_GPU;
        if (shares_gpu(&openb->task[task])) {
            bundling.queues.task[sharing++] = task;
        }
    }
    qsort_r(bundling.queues.task, (size_t)sharing, sizeof(int), by_share, (void *)openb);
    for (int i = sharing - 1; i >= 0; i--) {
        int share = openb->task[bundling.queues.task[i]].gpu_milli;
        bundling.queues.first[share] = i;
        bundling.queues.last[share] += bundling.queues.last[share] == 0 ? i + 1 : 0;
    }
    for (int column = 1; column <= glp_get_num_cols(lp); column++) {
        bundle_column(&bundling, lp, column, share_of);
    }
    bundle_rest(&bundling);
    int filled = 0;
    for (int bundle = 0; bundle < bundles->count; bundle++) {
        bundles->first[bundle] = filled;
        for (int at = bundling.head[bundle]; at > 0; at = bundling.next[at - 1]) {
            bundles->task[filled++] = at - 1;
        }
    }
    for (int task = 0; task < openb->tasks; task++) {
        if (!shares_gpu(&openb->task[task])) {
            bundles->first[bundles->count++] = filled;
            bundles->task[filled++] = task;
        }
    }
    bundles->first[bundles->count] = filled;
    return 0;
}

int openb_shares(const struct openb *openb, struct arena *arena, int32_t *ret_weight,
                 struct openb_bundles *ret_bundles, struct error *err)
{
    static int demand[OPENB_GPU + 1];
    static int row[OPENB_GPU + 1];
    static int share_of[OPENB_GPU + 2]; /* [row] */
    static int count[OPENB_GPU + 1];
    static double value[OPENB_GPU + 1];
    memset(demand, 0, sizeof(demand));
    memset(value, 0, sizeof(value));
    for (int task = 0; task < openb->tasks; task++) {
        demand[openb->task[task].gpu_milli] += openb->task[task].gpus;
    }
    glp_prob *lp = glp_create_prob();
    for (int share = 1; share <= OPENB_GPU; share++) {
        row[share] = 0;
        if (demand[share] > 0) {
            row[share] = glp_add_rows(lp, 1);
            share_of[row[share]] = share;
            glp_set_row_bnds(lp, row[share], GLP_LO, demand[share], 0);
            memset(count, 0, sizeof(count));
            count[share] = OPENB_GPU / share;
            add_column(lp, row, count);
        }
    }
    bool done = glp_get_num_rows(lp) == 0;
    bool failed = false;
    for (int round = 0; round < ROUNDS_MAX && !done && !failed; round++) {
        failed = !solve(lp);
        for (int share = 1; share <= OPENB_GPU && !failed; share++) {
            double dual = row[share] > 0 ? glp_get_row_dual(lp, row[share]) : 0;
            value[share] = dual > 0 ? dual : 0;
        }
        done = !failed && openb_heaviest(value, count) <= 1 + GAIN_MIN;
        if (!done && !failed) {
            add_column(lp, row, count);
        }
    }
    int rc = failed || !done
                 ? error_set(err, ERR_INVALID, 0, "the programme of GPUs' shares came to no end")
                 : make_bundles(openb, lp, share_of, arena, ret_bundles, err);
    glp_delete_prob(lp);
    if (rc == 0) {
        round_weights(value, ret_weight);
    }
    return rc;
}
