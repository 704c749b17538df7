/* Two fillings of one board, whatever the number of threads; they meet after each slice. */
#include <math.h>

#include "model/solve/primal_fill.h"

#define FILLS  2
#define SLICES 32
/* It ends when so many times what the last improvement took, and a share of all there is, brought
 * none. What is over becomes less and less, and may be gone late: as long as it is not, there is
 * twice the time. */
#define IDLE     4
#define PATIENCE 0.375
#define LOST     2

struct task {
    struct primal_fill *fill;
    double work;
    double target;
};

static void run(void *context, int block, int worker)
{
    (void)worker;
    const struct task *task = (const struct task *)context + block;
    primal_fill_run(task->fill, task->work, task->target);
}

int primal_fill_pair(const struct primal_board *board,
                     const struct primal_fill_pair_options *options, int *choice, bool *ret_found)
{
    const struct primal *primal = board->core->primal;
    struct task tasks[FILLS];
    int rc = 0;
    for (int i = 0; i < FILLS && rc == 0; i++) {
        uint64_t seed = primal->options->seed * FILLS + (uint64_t)i;
        tasks[i] = (struct task){.work = options->work / FILLS / SLICES, .target = options->target};
        rc = primal_fill_create(board, seed, &tasks[i].fill);
    }
    double best = INFINITY;
    double done = 0;
    double last = 0; /* done when it became better */
    bool fits = false;
    while (rc == 0 && done < (fits ? options->work : LOST * options->work) &&
           done <= IDLE * last + PATIENCE * options->work && !(fits && best <= options->target) &&
           options->tell(options->context, fits ? best : INFINITY)) {
        primal_blocks(primal->threads, FILLS, run, tasks);
        int winner = primal_fill_beats(tasks[1].fill, tasks[0].fill);
        primal_fill_adopt(tasks[!winner].fill, tasks[winner].fill);
        double cost = primal_fill_cost(tasks[winner].fill);
        bool fitted = fits;
        fits = primal_fill_fits(tasks[winner].fill);
        done = primal_fill_work(tasks[0].fill) + primal_fill_work(tasks[1].fill);
        last = cost < best || fits != fitted ? done : last;
        best = cost;
    }
    *ret_found = rc == 0 && fits;
    if (*ret_found) {
        primal_fill_choice(tasks[0].fill, choice);
    }
    return rc;
}
