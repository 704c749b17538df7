/*
 * primal_eject: a search for loose parts at sites that hold many of them, where what a part needs
 * may differ from site to site: ejection chains, with path relinking between the best.
 *
 * A state may overfill its sites; each unit over costs a penalty of its row, which rises while no
 * descent ends within the rows and falls while they do, so that the search walks along the edge of
 * what fits. One step ejects a part, lets a second one take its room, a third one the room of that
 * one, and so on, and puts the first one where it is cheapest then (Yagiura, Ibaraki, Glover 2004).
 * Room that is freed on the way counts at the dual's price. Twenty good states are kept; the next
 * starts lie between two of them (path relinking: the same, 2006).
 *
 * Cells whose reduced cost alone is above what is left between the best and the bound are left out.
 * Two searches of their own random numbers, whatever the number of threads; they tell each other
 * their best at fixed points. Budgets count entries looked at. Memory from primal->work.
 */
#pragma once

#include "model/solve/primal_internal.h"

/* Cells of all parts that it takes: a descent looks at each of them many times. */
#define EJECT_CELLS 8000

struct eject;

/* Starts from choice[]; `cost` is the best known that keeps all, INT64_MAX: none. */
int eject_create(struct primal *primal, const int *choice, int64_t cost,
                 struct eject **ret_eject) WARN_UNUSED;
/* Looks at about `work` entries more; ends early at a cost of `target` or less. */
void eject_run(struct eject *eject, double work, double target);
/* The cheapest met that keeps all; NULL: none was. Valid until the next run. */
const int *eject_choice(struct eject *eject);
double eject_work(const struct eject *eject); /* entries looked at so far */
