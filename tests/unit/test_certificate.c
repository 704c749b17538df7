/* A certificate comes back as it was written; cut anywhere it is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/certificate.h"
#include "tests/property/problem_gen.h"

static void there_and_back(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, (size_t)64 << 20);
    struct problem problem;
    struct gen_app_shape shape = {
        .seed = 4, .parts = 5, .sites = 3, .capacity_percent = 150, .tiers = true};
    gen_app(&shape, &arena, &problem);
    int choice[5] = {0, 1, 2, 0, 1};
    double *price = arena_array(&arena, (size_t)problem.rule_count, sizeof(double));
    double *meter_price = arena_array(&arena, (size_t)problem.meter_count, sizeof(double));
    meter_price[0] = 0.25;
    struct solution solution = {.status = SOLVE_FEASIBLE,
                                .choice = choice,
                                .cost_nusd = (int64_t)problem_cost(&problem, choice),
                                .bound_nusd = 1,
                                .price = price,
                                .meter_price = meter_price};
    struct strbuf file;
    strbuf_init(&file, (size_t)16 << 20);
    certificate_encode(&problem, &solution, &file);
    struct error err = {0};
    assert_int_equal(strbuf_error(&file, &err), 0);
    struct problem read;
    struct solution answer;
    assert_int_equal(certificate_decode(file.text, file.bytes, &arena, &read, &answer, &err), 0);
    assert_int_equal(read.part_count, 5);
    assert_memory_equal(answer.choice, choice, sizeof(choice));
    assert_true(problem_cost(&read, answer.choice) == solution.cost_nusd);
    assert_true(answer.meter_price[0] == 0.25);
    for (size_t bytes = 0; bytes < file.bytes; bytes += 1 + bytes / 7) {
        err = (struct error){0};
        assert_int_equal(certificate_decode(file.text, bytes, &arena, &read, &answer, &err),
                         ERR_INVALID);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(certificate_decode(file.text, 40, &arena, &read, &answer, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "it was cut"));
    strbuf_done(&file);
    /* What does not fit its buffer is broken, not half. */
    strbuf_init(&file, 100);
    certificate_encode(&problem, &solution, &file);
    assert_true(strbuf_error(&file, &err) < 0);
    strbuf_done(&file);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
