/*
 * Bad numbers in documents, all the way to a plan: each number of a world and an app is replaced by
 * what is none (NaN, infinities, 1e400, a list), by nothing, by less than nothing and by amounts
 * from a thousand-millionth to a million millions. A document is refused with a reason that names
 * it, or its problem is, or there is an answer that the verifier and brute force agree with.
 */
#include "model_fixture.h"

#include <ctype.h>
#include <math.h>

#include "model/solver.h"
#include "tests/property/plan_check.h"

#define TEXT_BYTES 16384
/* Assignments that are all tried. */
#define ASSIGNMENTS 20000.0

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char world_text[] =
    "world: odd\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client, geo: [40.7, -74.1], speed: 25%, cpu_weight: 0.0002,\n"
    "     capacity: {cpu: 2, memory: 2GiB}}\n"
    "  - {name: edge/nyc, tier: edge, account: e, geo: [40.7, -74.0],\n"
    "     price: {cpu: 0.046, memory: 0.006, storage: 0.1}, capacity: {cpu: 4, memory: 8GiB}}\n"
    "  - {name: aws/one, tier: cloud, account: a, geo: [38.9, -77.4], overhead: 12%,\n"
    "     price: {cpu: 0.031, memory: 0.004, storage: 0.08}, capacity: {cpu: 16, memory: 64GiB}}\n"
    "egress:\n"
    "  - {name: internet, from: aws/*, to: '*', payer: sender, per: GiB,\n"
    "     tiers: [{up_to: 100GiB, price: 0.09}, {up_to: 500GiB, price: 0.085}, {price: 0.07}]}\n"
    "  - {name: transit, from: edge/*, to: '*', payer: sender, per: GB, tiers: [{price: 0.01}]}\n"
    "latency:\n"
    "  mode: declared\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/nyc], rtt: 8ms, per_mib: 90ms}\n"
    "    - {between: [client/web, aws/one], rtt: 80ms, factor: 1ms}\n"
    "    - {between: [edge/nyc, aws/one], rtt: 70ms}\n"
    "weights: {latency: 0.00001, device_cpu: 0.00001, compute: 1, egress: 150%, migration: 1}\n"
    "policy: {horizon: 12h, prior_weight: 2h, prior_error: 0.5}\n";

static const char app_text[] =
    "app: shop\n"
    "workloads:\n"
    "  - name: source\n"
    "    replicas: 2\n"
    "    run: {driver: process, artifact: 'file:/bin/x', digest: '" DIGEST "',\n"
    "          cpu_per_call: 20ms}\n"
    "    resources: {cpu: 500m, memory: 256MiB}\n"
    "    state: 10MiB\n"
    "    artifact_size: 3MiB\n"
    "  - name: cache\n"
    "    run: {driver: process, artifact: 'file:/bin/x', digest: '" DIGEST "',\n"
    "          cpu_per_call: 1ms}\n"
    "    resources: {cpu: 250m, memory: 64MiB}\n"
    "    cache: {hit_ratio: 90%}\n"
    "data:\n"
    "  - {name: models, size: 40GiB, copies: 2, dedup: 30%, update: 2KiB/s}\n"
    "users: [{name: web, site: client/web}]\n"
    "links:\n"
    "  - {from: web, to: cache, calls: 12/s, request: 1KiB, response: 20KiB, latency_max: 90ms}\n"
    "  - {from: cache, to: source, on_miss: true, request: 2KiB, response: 1MiB}\n"
    "  - {from: source, to: models, calls: 0.5/s, request: 256B, response: 4MiB}\n";

/* In place of a number; %s is what stood behind its digits: "ms", "GiB/s", "%". */
static const struct {
    const char *text;
    bool none; /* no number at all: no document may have it */
} tokens[] = {
    {".nan", true},
    {".inf", true},
    {"-.inf", true},
    {"NaN%s", true},
    {"inf%s", true},
    {"1e400%s", true},
    {"''", true},
    {"[]", true},
    {"0x7f%s", true},
    {"--1%s", true},
    {"-1%s", false},
    {"0%s", false},
    {"1%s", false},
    {"17%s", false},
    {"1000000%s", false},
    {"1000000000000%s", false},
    {"0.000000001%s", false},
    {"99999999999999999999999999%s", false},
    {"9223372036854775807%s", false},
};

struct tally {
    int documents;
    int refused; /* as documents */
    int no_cost; /* as problems */
    int planned;
    int infeasible;
    int none;
};

static struct solver *solver;
static struct tally tally;

/* The numbers of a text that are values: where they begin, how long, and the word behind. */
static const char *next_number(const char *at, size_t *ret_bytes, char suffix[32])
{
    for (; *at != '\0'; at++) {
        if (*at == '\'') {
            at = strchr(at + 1, '\'');
            continue;
        }
        bool begins =
            (isdigit((unsigned char)at[0]) || (at[0] == '-' && isdigit((unsigned char)at[1]))) &&
            (at[-1] == ' ' || at[-1] == '[');
        if (!begins) {
            continue;
        }
        size_t digits = 1 + strspn(at + 1, "0123456789.");
        size_t rest = strcspn(at + digits, " ,}]\n");
        assert_true(rest < 32);
        memcpy(suffix, at + digits, rest);
        suffix[rest] = '\0';
        *ret_bytes = digits + rest;
        return at;
    }
    return NULL;
}

static bool brute(const struct problem *problem, nusd *ret_best)
{
    double product = 1;
    for (int part = 0; part < problem->part_count; part++) {
        product *= problem->parts[part].choice_count;
    }
    assert_true(product <= ASSIGNMENTS);
    int best[FIXTURE_PARTS];
    return brute_force(problem, best, ret_best);
}

static void plan(const struct problem *problem, struct arena *arena, const char *document)
{
    struct solution solution = {0};
    struct error err = {0};
    char why[PLAN_WHY_BYTES];
    if (solver_call(solver, problem, arena, &solution, &err) < 0) {
        fail_msg("%s", err.text);
    }
    if (!plan_check_problem(problem, &solution, why)) {
        fail_msg("%s\n%s", why, document);
    }
    nusd best = 0;
    bool possible = brute(problem, &best);
    if (solution.status == SOLVE_NONE) {
        tally.none++;
        return;
    }
    if ((solution.status == SOLVE_INFEASIBLE) == possible) {
        fail_msg("%s, and it is not so:\n%s", solve_status_words[solution.status], document);
    }
    tally.infeasible += !possible;
    tally.planned += possible;
    if (possible) {
        double off = (double)(solution.cost_nusd - best);
        if (off < 0 || off > 1000 + 1e-6 * fabs((double)solution.cost_nusd) ||
            (nusd)solution.bound_nusd > best) {
            fail_msg("off by %g, bound %lld:\n%s", off, (long long)solution.bound_nusd, document);
        }
    }
}

/* From two documents to a plan, or a reason. */
static void go_through(const char *world_document, const char *app_document, bool none,
                       const char *changed)
{
    struct arena arena;
    struct world world;
    struct app app;
    struct error err = {0};
    struct workload_state states[FIXTURE_PARTS];
    struct problem problem;
    arena_init(&arena, (size_t)256 << 20);
    tally.documents++;
    int rc =
        world_parse("world.yaml", world_document, strlen(world_document), &arena, &world, &err);
    rc = rc == 0 ? app_parse("app.yaml", app_document, strlen(app_document), &arena, &app, &err)
                 : rc;
    rc = rc == 0 ? app_check(&app, &world, &err) : rc;
    if (rc < 0) {
        tally.refused++;
        if (tally.documents == 1) {
            fail_msg("%s", err.text);
        }
        assert_true(err.text[0] != '\0');
    } else if (none) {
        fail_msg("no number, and accepted:\n%s", changed);
    }
    if (rc == 0) {
        assert_true(app.workload_count <= FIXTURE_PARTS);
        for (int i = 0; i < app.workload_count; i++) {
            states[i] = (struct workload_state){.now = {.site = -1}, .may_move = true};
        }
        struct cost_app cost_app = {&app, states};
        struct cost_input input = {.world = &world, .apps = &cost_app, .app_count = 1};
        rc = cost_problem(&input, &arena, &problem, &err);
        if (rc < 0) {
            tally.no_cost++;
            if (tally.documents == 1) {
                fail_msg("%s", err.text);
            }
            assert_true(err.text[0] != '\0');
        } else {
            plan(&problem, &arena, changed);
        }
    }
    arena_done(&arena);
}

static void replace_each(const char *document, bool of_world)
{
    static char text[TEXT_BYTES];
    char suffix[32];
    size_t bytes = 0;
    int numbers = 0;
    const char *at = document;
    while ((at = next_number(at, &bytes, suffix)) != NULL) {
        numbers++;
        for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
            const char *token = tokens[i].text;
            size_t stem = strcspn(token, "%");
            str_format(text, sizeof(text), "%.*s%.*s%s%s", (int)(at - document), document,
                       (int)stem, token, token[stem] == '%' ? suffix : "", at + bytes);
            go_through(of_world ? text : world_text, of_world ? app_text : text, tokens[i].none,
                       text);
        }
        at += bytes;
    }
    assert_true(numbers > 15);
}

static void test_every_number(void **state)
{
    (void)state;
    go_through(world_text, app_text, false, "as it is");
    assert_int_equal(tally.planned, 1);
    replace_each(world_text, true);
    replace_each(app_text, false);
    print_message("%d documents: %d refused, %d without a cost, %d planned, %d infeasible, "
                  "%d without an answer\n",
                  tally.documents, tally.refused, tally.no_cost, tally.planned, tally.infeasible,
                  tally.none);
    assert_true(tally.planned > 50);
    assert_true(tally.infeasible > 3);
}

/* The conflict of what cannot hold names the rules as people know them. */
static void expect_conflict(const char *world_document, const char *app_document,
                            const char *const *words, int count)
{
    struct fixture fixture;
    struct solution solution = {0};
    char why[PLAN_WHY_BYTES];
    fixture_begin(&fixture, world_document, app_document);
    fixture_problem(&fixture);
    if (solver_call(solver, &fixture.problem, &fixture.arena, &solution, &fixture.err) < 0) {
        fail_msg("%s", fixture.err.text);
    }
    assert_true(plan_check_problem(&fixture.problem, &solution, why));
    assert_int_equal(solution.status, SOLVE_INFEASIBLE);
    for (int word = 0; word < count; word++) {
        bool named = false;
        for (int i = 0; i < solution.conflict_count; i++) {
            const char *text = fixture.problem.rules[solution.conflict[i]].text;
            named = named || strstr(text, words[word]) != NULL;
        }
        if (!named) {
            fail_msg("no rule of the conflict says \"%s\"", words[word]);
        }
    }
    fixture_end(&fixture);
}

#define SMALL_WORLD(capacity)                                                                \
    "world: w\naccounts: [{name: a, provider: aws}]\n"                                       \
    "sites: [{name: aws/one, tier: cloud, account: a, price: {cpu: 1, memory: 1}, " capacity \
    "},\n {name: aws/two, tier: cloud, account: a, price: {cpu: 1, memory: 1}, " capacity "}]\n"
#define SMALL_APP(more)                                                                     \
    "app: s\nworkloads:\n  - {name: one, run: {driver: process, artifact: 'file:/bin/x',\n" \
    "     digest: '" DIGEST "'},\n"                                                         \
    "     resources: {cpu: 2, memory: 1GiB}" more "}\n"

static void test_no_room_anywhere(void **state)
{
    (void)state;
    const char *const cpu[] = {"aws/one has", "aws/two has", "vCPU"};
    expect_conflict(SMALL_WORLD("capacity: {cpu: 0, memory: 8GiB}"), SMALL_APP(""), cpu, 3);
    expect_conflict(SMALL_WORLD("capacity: {cpu: 1999m, memory: 8GiB}"), SMALL_APP(""), cpu, 3);
    const char *const memory[] = {"memory"};
    expect_conflict(SMALL_WORLD("capacity: {cpu: 8, memory: 0}"), SMALL_APP(""), memory, 1);
}

static void test_rules_that_contradict(void **state)
{
    (void)state;
    const char *const both[] = {"aws/one", "region=two"};
    expect_conflict(SMALL_WORLD("overhead: 0%"),
                    SMALL_APP(", pin: aws/one, require: {region: two}"), both, 2);
}

static int setup(void **state)
{
    (void)state;
    struct error err = {0};
    struct solver_options options = {.program = BERTH_BINARY_DIR "/bin/berth-solve"};
    return solver_open(&options, &solver, &err);
}

static int teardown(void **state)
{
    (void)state;
    solver_close(solver);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number),
        cmocka_unit_test(test_no_room_anywhere),
        cmocka_unit_test(test_rules_that_contradict),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
