/*
 * bench_public: the rows of published instances alone (GAP, task assignment, quadratic
 * semi-assignment, networks), beside the best that is known of them. Without peers unless asked.
 *
 *     bench_public [--data DIR] [--only TEXT] [--threads N] [--work ADDITIONS] [--moves N]
 *                  [--gap GAP] [--peers LIST]      see --help
 *
 * DIR holds the folders gap, ctap_tap, qsap_silva2021 and mrf_toulbar2, each with a best_known.csv
 * ("instance,value,proven,..."). A row ends in "optimum" where the answer is proven, and in
 * "better" where it is below the best that is known. Exit code 1 when an answer contradicts a value
 * that is known to be the optimum.
 */
#include "base/str.h"
#include "tests/bench/solver/cases.h"

#define ARGUMENTS_MAX 64

int main(int argc, char **argv)
{
    static const struct row_set sets[] = {{"gap ctap tap qsap wcsp", cases_public}};
    static char peers[] = "--peers";
    static char none[] = "none";
    char *arguments[ARGUMENTS_MAX + 3] = {argv[0]};
    int count = 1;
    if (argc != 2 || !str_equal(argv[1], "--help")) {
        arguments[count++] = peers;
        arguments[count++] = none;
    }
    for (int i = 1; i < argc && i < ARGUMENTS_MAX; i++) {
        arguments[count++] = argv[i];
    }
    return row_main(count, arguments, "Published instances beside the best that is known.", sets,
                    1);
}
