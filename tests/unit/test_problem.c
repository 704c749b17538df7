/* problem: exact costs and charges, rules, and frames that survive the trip or are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "base/str.h"
#include "model/problem.h"

#define USES 4
#define GIB  (INT64_C(1) << 30)

/* AWS's public list for egress to the internet, us-east-1: 0.09 to 10 TiB, 0.085 to 50 TiB, 0.07 to
 * 150 TiB, 0.05 beyond. In nano-dollars per GiB. */
static struct problem_meter internet_meter(int64_t base_bytes)
{
    return (struct problem_meter){
        .name = "aws/internet",
        .base_bytes = base_bytes,
        .per_bytes = GIB,
        .tier_count = 4,
        .up_to_bytes = {10240 * GIB, 51200 * GIB, 153600 * GIB, INT64_MAX},
        .price_nusd = {90000000, 85000000, 70000000, 50000000},
    };
}

static void test_charges_at_tier_edges(void **state)
{
    (void)state;
    /* GiB -> cents, by hand: 10240 x 9 = 92160; + 40960 x 8.5 = 440320; + 102400 x 7 = 1157120. */
    static const struct {
        int64_t gib;
        int64_t mills; /* tenths of a cent */
    } table[] = {{0, 0},
                 {1, 90},
                 {10239, 921510},
                 {10240, 921600},
                 {10241, 921685},
                 {51199, 4403115},
                 {51200, 4403200},
                 {51201, 4403270},
                 {153599, 11571130},
                 {153600, 11571200},
                 {153601, 11571250}};
    struct problem_meter meter = internet_meter(0);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        nusd charge = meter_charge(&meter, table[i].gib * GIB);
        assert_true(charge == (nusd)table[i].mills * 1000000);
    }
}

static void test_charges_start_at_month_to_date(void **state)
{
    (void)state;
    struct problem_meter fresh = internet_meter(0);
    struct problem_meter used = internet_meter(10000 * GIB);
    nusd all = meter_charge(&fresh, 60000 * GIB);
    nusd before = meter_charge(&fresh, 10000 * GIB);
    assert_true(meter_charge(&used, 50000 * GIB) == all - before);
    assert_true(meter_charge(&used, 0) == 0);
}

static void test_charges_round_half_to_even_once(void **state)
{
    (void)state;
    struct problem_meter meter = {
        .per_bytes = 2, .tier_count = 1, .up_to_bytes = {INT64_MAX}, .price_nusd = {1}};
    assert_true(meter_charge(&meter, 1) == 0); /* 0.5 */
    assert_true(meter_charge(&meter, 3) == 2); /* 1.5 */
    assert_true(meter_charge(&meter, 5) == 2); /* 2.5 */
    meter.price_nusd[0] = -1;
    assert_true(meter_charge(&meter, 1) == 0);
    assert_true(meter_charge(&meter, 3) == -2);
}

/* Two parts and three sites, with a pair, a metered pair and a rule of every kind. */
struct sample {
    struct problem problem;
    struct problem_part parts[2];
    struct problem_choice choices[2][3];
    struct problem_pair pair;
    struct problem_meter meter;
    struct problem_rule rules[4];
    char names[3][LIMIT_REF_BYTES];
    int64_t cost_a[3];
    int64_t cost_b[3];
    int64_t cost_pair[9];
    struct problem_use use[9 * USES];
    bool sites[3];
    bool pairs[9];
    int apart[2];
};

static void sample_make(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    for (int i = 0; i < 3; i++) {
        str_format(s->names[i], sizeof(s->names[i]), "site-%d", i);
        s->cost_a[i] = 10 + i;
        s->cost_b[i] = 100 * (i + 1);
        s->sites[i] = i != 2;
        s->choices[0][i] = (struct problem_choice){.site = i, .lead = 0, .demand = {300, 5}};
        s->choices[1][i] = (struct problem_choice){.site = i, .lead = 1, .demand = {200, 6}};
    }
    for (int i = 0; i < 9; i++) {
        s->cost_pair[i] = i;
        s->pairs[i] = i != 1; /* not a at 0 with b at 1 */
        for (int k = 0; k < USES; k++) {
            s->use[i * USES + k] =
                (struct problem_use){.meter = k < 2 && i == 5 ? 0 : -1, .bytes = i == 5 ? GIB : 0};
        }
    }
    s->apart[1] = 1;
    s->meter = internet_meter(10239 * GIB);
    s->parts[0] = (struct problem_part){.name = "ns/app/a",
                                        .cost = s->cost_a,
                                        .choice_count = 3,
                                        .choices = s->choices[0],
                                        .current = -1};
    s->parts[1] = (struct problem_part){.name = "ns/app/b",
                                        .cost = s->cost_b,
                                        .choice_count = 3,
                                        .choices = s->choices[1],
                                        .current = 2};
    s->pair = (struct problem_pair){
        .a = 0, .b = 1, .cost = s->cost_pair, .use_count = USES, .use = s->use};
    s->rules[0] = (struct problem_rule){
        .kind = RULE_CHOICES, .a = 0, .allowed = s->sites, .text = "a needs tag cloud=aws"};
    s->rules[1] = (struct problem_rule){
        .kind = RULE_PAIR, .a = 0, .b = 1, .allowed = s->pairs, .text = "a answers b in time"};
    s->rules[2] = (struct problem_rule){
        .kind = RULE_APART, .parts = s->apart, .part_count = 2, .text = "apart"};
    s->rules[3] = (struct problem_rule){.kind = RULE_CAPACITY,
                                        .site = 2,
                                        .resource = RESOURCE_CPU,
                                        .capacity = 199,
                                        .text = "full"};
    s->problem = (struct problem){.part_count = 2,
                                  .site_count = 3,
                                  .pair_count = 1,
                                  .meter_count = 1,
                                  .rule_count = 4,
                                  .parts = s->parts,
                                  .site_names = s->names,
                                  .pairs = &s->pair,
                                  .meters = &s->meter,
                                  .rules = s->rules};
}

static void test_cost_sums_all_terms(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s);
    assert_true(problem_cost(&s.problem, (int[]){0, 0}) == 10 + 100);
    /* a at 1, b at 2: 11 + 300 + 5, and 2 GiB on a meter 1 GiB before its first tier's end. */
    assert_true(problem_cost(&s.problem, (int[]){1, 2}) == 316 + 90000000 + 85000000);
}

static void test_first_broken_rule(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s);
    assert_int_equal(problem_broken_rule(&s.problem, (int[]){1, 0}), -1);
    assert_int_equal(problem_broken_rule(&s.problem, (int[]){2, 0}), 0);
    assert_int_equal(problem_broken_rule(&s.problem, (int[]){0, 1}), 1);
    assert_int_equal(problem_broken_rule(&s.problem, (int[]){1, 1}), 2);
    assert_int_equal(problem_broken_rule(&s.problem, (int[]){1, 2}), 3);
    s.rules[3].capacity = 200;
    assert_int_equal(problem_broken_rule(&s.problem, (int[]){1, 2}), -1);
}

static void test_problem_frame_round_trip(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s);
    struct strbuf first;
    struct strbuf second;
    strbuf_init(&first, 1 << 20);
    strbuf_init(&second, 1 << 20);
    problem_encode(&s.problem, &first);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct problem read;
    struct error err = {0};
    assert_int_equal(problem_decode(first.text, first.bytes, &arena, &read, &err), 0);
    problem_encode(&read, &second);
    assert_int_equal(first.bytes, second.bytes);
    assert_memory_equal(first.text, second.text, first.bytes);
    assert_string_equal(read.parts[1].name, "ns/app/b");
    assert_string_equal(read.rules[0].text, "a needs tag cloud=aws");
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            int site[] = {a, b};
            assert_true(problem_cost(&read, site) == problem_cost(&s.problem, site));
            assert_int_equal(problem_broken_rule(&read, site),
                             problem_broken_rule(&s.problem, site));
        }
    }
    /* Every shorter frame is refused, with a sentence. */
    for (size_t bytes = 0; bytes < first.bytes; bytes++) {
        memset(&err, 0, sizeof(err));
        arena_reset(&arena);
        assert_int_equal(problem_decode(first.text, bytes, &arena, &read, &err), ERR_INVALID);
        assert_true(strlen(err.text) > 0);
    }
    arena_done(&arena);
    strbuf_done(&first);
    strbuf_done(&second);
}

/* Whether some address is in a frame. */
static bool is_within(const void *at, const char *frame, size_t bytes)
{
    return (const char *)at >= frame && (const char *)at < frame + bytes;
}

/* Tables are read where they lie, or copied where a frame is not aligned: they say the same. */
static void test_tables_are_read_in_place(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s);
    struct strbuf frame;
    struct strbuf again;
    struct arena arena;
    strbuf_init(&frame, 1 << 20);
    strbuf_init(&again, 1 << 20);
    arena_init(&arena, 1 << 20);
    problem_encode(&s.problem, &frame);
    for (size_t shift = 0; shift < 8; shift++) {
        char *bytes = arena_alloc(&arena, frame.bytes + shift);
        struct problem read;
        struct error err = {0};
        assert_non_null(bytes);
        memcpy(bytes + shift, frame.text, frame.bytes);
        assert_int_equal(problem_decode(bytes + shift, frame.bytes, &arena, &read, &err), 0);
        bool in_place = shift == 0;
        assert_int_equal(is_within(read.parts[0].choices, bytes, frame.bytes), in_place);
        assert_int_equal(is_within(read.parts[0].cost, bytes, frame.bytes), in_place);
        assert_int_equal(is_within(read.pairs[0].cost, bytes, frame.bytes), in_place);
        assert_int_equal(is_within(read.pairs[0].use, bytes, frame.bytes), in_place);
        strbuf_reset(&again);
        problem_encode(&read, &again);
        assert_int_equal(again.bytes, frame.bytes);
        assert_memory_equal(again.text, frame.text, frame.bytes);
    }
    arena_done(&arena);
    strbuf_done(&frame);
    strbuf_done(&again);
}

/* One byte of a table set to what is not allowed there. */
static void assert_refused(const struct strbuf *frame, const void *at, const char *field)
{
    struct arena arena;
    struct problem again;
    struct error err = {0};
    arena_init(&arena, 1 << 20);
    char *byte = (char *)(uintptr_t)at;
    char before = *byte;
    *byte = (char)0xff;
    assert_int_equal(problem_decode(frame->text, frame->bytes, &arena, &again, &err), ERR_INVALID);
    if (strstr(err.text, field) == NULL)
        fail_msg("%s instead of %s", err.text, field);
    *byte = before;
    arena_done(&arena);
}

static void test_entries_of_tables_are_checked(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s);
    struct strbuf frame;
    struct arena arena;
    struct problem read;
    struct error err = {0};
    strbuf_init(&frame, 1 << 20);
    arena_init(&arena, 1 << 20);
    problem_encode(&s.problem, &frame);
    assert_int_equal(problem_decode(frame.text, frame.bytes, &arena, &read, &err), 0);
    const struct problem_choice *choice = &read.parts[0].choices[0];
    const struct problem_use *use = read.pairs[0].use;
    while (use->meter >= 0)
        use++;
    const struct problem_use *none = use;
    for (use = read.pairs[0].use; use->meter < 0;)
        use++;
    assert_refused(&frame, &choice->site, "choice's site");
    assert_refused(&frame, (const char *)&choice->variant + 3, "choice's variant");
    assert_refused(&frame, &choice->lead, "choice's lead");
    assert_refused(&frame, (const char *)&choice->lead + 4, "not 0 within a choice");
    assert_refused(&frame, &use->meter, "use's meter");
    assert_refused(&frame, (const char *)&use->meter + 4, "not 0 within a use");
    assert_refused(&frame, &none->bytes, "use's bytes");
    assert_refused(&frame, read.rules[0].allowed, "allowed is 0 or 1");
    arena_done(&arena);
    strbuf_done(&frame);
}

/* Each allocation of the reader fails once; of an aligned frame it needs few. */
static void fail_each(const char *frame, size_t bytes, int least)
{
    int failures = 0;
    int rc = ERR_NO_MEMORY;
    for (int64_t n = 0; rc != 0; n++) {
        struct arena arena;
        arena_init(&arena, 1 << 20);
        arena.fail_after = n;
        struct problem read;
        struct error err = {0};
        rc = problem_decode(frame, bytes, &arena, &read, &err);
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
        failures += rc != 0;
        arena_done(&arena);
    }
    assert_in_range(failures, least, 1000);
}

static void test_problem_frame_without_memory(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s);
    struct strbuf frame;
    strbuf_init(&frame, 1 << 20);
    strbuf_append(&frame, "1234", 4);
    problem_encode(&s.problem, &frame);
    fail_each(frame.text + 4, frame.bytes - 4, 9);
    memmove(frame.text, frame.text + 4, frame.bytes - 4);
    fail_each(frame.text, frame.bytes - 4, 5);
    strbuf_done(&frame);
}

static void test_solution_frame(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s);
    struct solution sent = {.status = SOLVE_OPTIMAL,
                            .choice = (int[]){1, 0},
                            .cost_nusd = 111,
                            .bound_nusd = 110,
                            .nodes = 7};
    struct strbuf frame;
    strbuf_init(&frame, 1 << 20);
    solution_encode(&s.problem, &sent, &frame);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct solution read;
    struct error err = {0};
    assert_int_equal(solution_decode(frame.text, frame.bytes, &s.problem, &arena, &read, &err), 0);
    assert_int_equal(read.status, SOLVE_OPTIMAL);
    assert_int_equal(read.choice[0], 1);
    assert_int_equal(read.cost_nusd, 111);
    assert_int_equal(read.nodes, 7);
    assert_null(read.price);
    /* Prices come bit for bit; one below zero, or that is no number, does not come. */
    double *price = arena_array(&arena, (size_t)s.problem.rule_count, sizeof(double));
    double *meter_price = arena_array(&arena, (size_t)s.problem.meter_count + 1, sizeof(double));
    price[0] = 0.1;
    sent.price = price;
    sent.meter_price = meter_price;
    strbuf_reset(&frame);
    solution_encode(&s.problem, &sent, &frame);
    assert_int_equal(solution_decode(frame.text, frame.bytes, &s.problem, &arena, &read, &err), 0);
    assert_true(read.price[0] == 0.1);
    assert_int_equal(solution_decode(frame.text, frame.bytes - 9, &s.problem, &arena, &read, &err),
                     ERR_INVALID);
    static const double refused[] = {-1, NAN, INFINITY};
    for (size_t i = 0; i < 3; i++) {
        price[0] = refused[i];
        strbuf_reset(&frame);
        solution_encode(&s.problem, &sent, &frame);
        assert_int_equal(solution_decode(frame.text, frame.bytes, &s.problem, &arena, &read, &err),
                         ERR_INVALID);
    }
    sent.price = NULL;
    /* A site that the problem does not have, and a bound above the cost. */
    sent.choice = (int[]){1, 3};
    strbuf_reset(&frame);
    solution_encode(&s.problem, &sent, &frame);
    assert_int_equal(solution_decode(frame.text, frame.bytes, &s.problem, &arena, &read, &err),
                     ERR_INVALID);
    sent.choice = (int[]){1, 0};
    sent.bound_nusd = 112;
    strbuf_reset(&frame);
    solution_encode(&s.problem, &sent, &frame);
    assert_int_equal(solution_decode(frame.text, frame.bytes, &s.problem, &arena, &read, &err),
                     ERR_INVALID);
    /* A conflict of rules that exist. */
    struct solution none = {
        .status = SOLVE_INFEASIBLE, .conflict = (int[]){0, 3}, .conflict_count = 2};
    strbuf_reset(&frame);
    solution_encode(&s.problem, &none, &frame);
    assert_int_equal(solution_decode(frame.text, frame.bytes, &s.problem, &arena, &read, &err), 0);
    assert_int_equal(read.conflict_count, 2);
    assert_int_equal(read.conflict[1], 3);
    assert_null(read.choice);
    arena_done(&arena);
    strbuf_done(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charges_at_tier_edges),
        cmocka_unit_test(test_charges_start_at_month_to_date),
        cmocka_unit_test(test_charges_round_half_to_even_once),
        cmocka_unit_test(test_cost_sums_all_terms),
        cmocka_unit_test(test_first_broken_rule),
        cmocka_unit_test(test_problem_frame_round_trip),
        cmocka_unit_test(test_tables_are_read_in_place),
        cmocka_unit_test(test_entries_of_tables_are_checked),
        cmocka_unit_test(test_problem_frame_without_memory),
        cmocka_unit_test(test_solution_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
