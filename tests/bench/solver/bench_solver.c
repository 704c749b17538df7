/*
 * bench_solver: the table of the solver's promises: every instance with cost, bound, gap, best
 * known, seconds, CPU seconds and MB, beside glpsol, CBC and a greedy of the Kubernetes kind on the
 * sizes that they can do; then how seconds and MB grow with size, then the benchmarks that have a
 * table of their own (what-if, call graphs, the trace).
 *
 *     bench_solver [--only TEXT] [--peers LIST] [--limit SECONDS] [--json] ...   see --help
 *
 * A cost is in the unit of its grid. A star beside what is known: it is proven. The last word of a
 * row says what was reached: "moonshot", "must" or "NOT REACHED" of the promised gap, "late" past
 * the promised seconds, "optimum" of what is proven, or how the row ended in its stead.
 */
#include "tests/bench/solver/cases.h"

int main(int argc, char **argv)
{
    static const struct row_set sets[] = {
        {"single trees cycles", cases_generated},
        {"gap ctap tap qsap wcsp", cases_public},
        {"whatif session graphs openb", cases_programs},
    };
    return row_main(argc, argv,
                    "The solver's table: ours beside glpsol, CBC and a greedy of the Kubernetes "
                    "kind.",
                    sets, 3);
}
