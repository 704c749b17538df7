#include "tests/property/plan_check.h"

#include <math.h>

#include "base/str.h"
#include "model/verify.h"

static bool check_placed(const struct problem *problem, const struct solution *solution,
                         const struct verdict *verdict, char why[PLAN_WHY_BYTES]);

bool plan_check_problem(const struct problem *problem, const struct solution *solution,
                        char why[PLAN_WHY_BYTES])
{
    bool placed = solution->status == SOLVE_OPTIMAL || solution->status == SOLVE_FEASIBLE;
    if (!placed) {
        bool right = solution->choice == NULL &&
                     (solution->status != SOLVE_NONE || solution->text[0] != '\0');
        str_format(why, PLAN_WHY_BYTES, "%s: with a placement, or without a reason",
                   solve_status_words[solution->status]);
        return right;
    }
    if (solution->choice == NULL || solution->price == NULL || solution->meter_price == NULL) {
        str_format(why, PLAN_WHY_BYTES, "%s: without a placement, or without prices",
                   solve_status_words[solution->status]);
        return false;
    }
    struct arena arena;
    struct verdict verdict;
    struct error err = {0};
    arena_init(&arena, (size_t)1 << 30);
    int rc = verify_plan(problem, solution->choice, solution->price, solution->meter_price, &arena,
                         &verdict, &err);
    arena_done(&arena);
    if (rc < 0) {
        str_format(why, PLAN_WHY_BYTES, "it cannot be verified: %.400s", err.text);
        return false;
    }
    return check_placed(problem, solution, &verdict, why);
}

static bool check_placed(const struct problem *problem, const struct solution *solution,
                         const struct verdict *verdict, char why[PLAN_WHY_BYTES])
{
    double cost = (double)solution->cost_nusd;
    if (verdict->broken >= 0) {
        str_format(why, PLAN_WHY_BYTES, "it breaks '%s'", problem->rules[verdict->broken].text);
    } else if (!(fabs(verdict->cost - cost) <= verdict->slack)) {
        str_format(why, PLAN_WHY_BYTES, "it costs %.17g, not %lld", verdict->cost,
                   (long long)solution->cost_nusd);
    } else if (!(verdict->bound <= cost + verdict->slack)) {
        str_format(why, PLAN_WHY_BYTES, "its prices prove %.17g, above its cost %lld",
                   verdict->bound, (long long)solution->cost_nusd);
    } else if (solution->bound_nusd > solution->cost_nusd) {
        str_format(why, PLAN_WHY_BYTES, "its bound %lld is above its cost %lld",
                   (long long)solution->bound_nusd, (long long)solution->cost_nusd);
    } else {
        return true;
    }
    return false;
}
