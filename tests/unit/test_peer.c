/* What the table has of its peers: the programme that they are given, solved by GLPK against brute
 * force, and what is read from the words of glpsol and cbc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <glpk.h>
#include <math.h>

#include "tests/bench/solver/peer_read.h"
#include "tests/bench/solver/programme.h"
#include "tests/property/grid_gen.h"

static struct arena arena;

/* The optimum of a programme; NAN: there is none. */
static double solve_file(const char *path)
{
    glp_prob *prob = glp_create_prob();
    glp_iocp options;
    glp_init_iocp(&options);
    options.presolve = GLP_ON;
    options.msg_lev = GLP_MSG_OFF;
    assert_int_equal(glp_read_mps(prob, GLP_MPS_DECK, NULL, path), 0);
    int rc = glp_intopt(prob, &options);
    bool optimal = rc == 0 && glp_mip_status(prob) == GLP_OPT;
    assert_true(optimal || rc == GLP_ENOPFS || glp_mip_status(prob) == GLP_NOFEAS);
    double cost = optimal ? glp_mip_obj_val(prob) : NAN;
    glp_delete_prob(prob);
    return cost;
}

static double solve_programme(const struct grid *grid)
{
    char path[] = BERTH_BINARY_DIR "/test_peer-XXXXXX";
    struct error err = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    if (programme_write(grid, &arena, file, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(fclose(file), 0);
    double cost = solve_file(path);
    (void)unlink(path);
    return cost;
}

static void programmes(void **state)
{
    (void)state;
    int infeasible = 0;
    int linked = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct grid grid;
        assert_true(grid_gen_small(seed, 0, &arena, &grid));
        int64_t base[8];
        int64_t unit[8];
        uint32_t shut = 0;
        for (int part = 0; part < grid.parts; part++) {
            base[part] = 1000 * part - 2500;
            unit[part] = 1 + part % 3;
        }
        if (seed % 2 == 0) { /* closed pairs, gains, offsets */
            grid.base = base;
            grid.unit = unit;
            struct grid_link *link =
                arena_array(&arena, (size_t)grid.links + 1, sizeof(struct grid_link));
            size_t cells = (size_t)(grid.sites * grid.sites);
            for (int i = 0; i < grid.links; i++) {
                link[i] = grid.link[i];
                link[i].base = 500 * i - 700;
                link[i].scale *= i % 2 == 0 ? 1 : -1;
            }
            if (grid.links > 0) {
                struct grid_table *table = arena_copy(&arena, grid.table, sizeof(*table));
                uint32_t *value = arena_copy(&arena, table->value, cells * sizeof(*value));
                value[seed % cells] = GRID_CLOSED;
                shut = 1;
                table->value = value;
                grid.link = link;
                grid.table = table;
            }
        }
        int64_t best = grid_brute(&grid);
        double cost = solve_programme(&grid);
        if (best == INT64_MAX) {
            assert_true(isnan(cost));
            infeasible++;
        } else if (!(fabs(cost - (double)best) <= 1e-7 * (1 + fabs((double)best)))) {
            fail_msg("seed %llu: %.17g, not %lld", (unsigned long long)seed, cost, (long long)best);
        }
        linked += shut > 0;
        arena_reset(&arena);
    }
    assert_true(infeasible > 3 && linked > 20);
}

static void refused_programmes(void **state)
{
    (void)state;
    struct grid grid;
    struct error err = {0};
    assert_true(grid_gen_small(3, 1, &arena, &grid));
    const int64_t base[8] = {-INT64_C(200000000000)};
    FILE *file = fopen("/dev/null", "we");
    assert_non_null(file);
    grid.base = base;
    assert_int_equal(programme_write(&grid, &arena, file, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "twelve"));
    fclose(file);
    arena_reset(&arena);
}

static struct peer_words glpsol(const char *text)
{
    struct peer_words words;
    peer_read_glpsol(text, strlen(text), &words);
    return words;
}

static void words_of_glpsol(void **state)
{
    (void)state;
    static const char work[] =
        "GLPSOL--GLPK LP/MIP Solver 5.0\n"
        "*   117: obj =   1.200000000e+04 inf =   0.000e+00 (0)\n"
        "OPTIMAL LP SOLUTION FOUND\n"
        "Integer optimization begins...\n"
        "+   117: mip =     not found yet >=              -inf        (1; 0)\n"
        "+   240: mip =     not found yet >=   1.200500000e+04        (9; 1)\n";
    struct peer_words words = glpsol(work);
    assert_true(!words.placed && !words.proven && !words.limit && words.bound == 12005);
    char text[4096];
    snprintf(text, sizeof(text),
             "%s+   300: >>>>>   1.300000000e+04 >=   1.200600000e+04   7.6%% (5; 9)\n"
             "TIME LIMIT EXCEEDED; SEARCH TERMINATED\nTime used:   5.0 secs\n"
             "Problem:    BERTH\nStatus:     INTEGER NON-OPTIMAL\n"
             "Objective:  COST = 13000 (MINimum)\n",
             work);
    words = glpsol(text);
    assert_true(words.placed && !words.proven && words.limit);
    assert_true(words.cost == 13000 && words.bound == 12006);
    snprintf(text, sizeof(text),
             "%s+   300: >>>>>   1.300000000e+04 >=     tree is empty   0.0%% (0; 9)\n"
             "INTEGER OPTIMAL SOLUTION FOUND\nStatus:     INTEGER OPTIMAL\n"
             "Objective:  COST = 13001 (MINimum)\n",
             work);
    words = glpsol(text);
    assert_true(words.placed && words.proven && words.cost == 13001 && words.bound == 13001);
    words = glpsol("PROBLEM HAS NO PRIMAL FEASIBLE SOLUTION\nStatus:     INTEGER UNDEFINED\n");
    assert_true(!words.placed);
    words = glpsol("TIME LIMIT EXCEEDED; SEARCH TERMINATED\nStatus:     INTEGER UNDEFINED\n"
                   "Objective:  COST = 0 (MINimum)\n");
    assert_true(!words.placed && !words.proven && words.limit && isinf(words.bound));
    words = glpsol("");
    assert_true(!words.placed && !words.proven);
}

static struct peer_words cbc(const char *text)
{
    struct peer_words words;
    peer_read_cbc(text, strlen(text), &words);
    return words;
}

static void words_of_cbc(void **state)
{
    (void)state;
    struct peer_words words = cbc("Result - Optimal solution found\n\n"
                                  "Objective value:                1234.50000000\n"
                                  "Enumerated nodes:               0\n");
    assert_true(words.placed && words.proven && words.cost == 1234.5 && words.bound == 1234.5);
    words = cbc("Result - Stopped on time limit\n\n"
                "Objective value:                1300.00000000\n"
                "Lower bound:                    1200.125\n"
                "Gap:                            0.08\n");
    assert_true(words.placed && !words.proven && words.limit);
    assert_true(words.cost == 1300 && words.bound == 1200.125);
    words = cbc("Result - Stopped on time limit\n\nNo feasible solution found\n"
                "Lower bound:                    1200.125\n");
    assert_true(!words.placed && !words.proven && words.limit && words.bound == 1200.125);
    words = cbc("Result - Problem proven infeasible\n\nNo feasible solution found\n");
    assert_true(!words.placed && words.proven);
    words = cbc("Problem is infeasible - 0.01 seconds\n");
    assert_true(!words.placed);
    words = cbc("Objective value:                nan\nLower bound: inf\n");
    assert_true(!words.placed && isinf(words.bound) && words.bound < 0);
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    glp_free_env();
    return 0;
}

int main(void)
{
    glp_term_out(GLP_OFF);
    arena_init(&arena, (size_t)256 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programmes),
        cmocka_unit_test(refused_programmes),
        cmocka_unit_test(words_of_glpsol),
        cmocka_unit_test(words_of_cbc),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
