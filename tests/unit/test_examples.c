/*
 * The three examples as their READMEs state them: placements, bills, scores and flip points, from
 * the documents as they are in the tree, solved by the real solver. Each stated flip point is tried
 * on both sides by planning anew. A figure that a README does not state as it is here fails too.
 */
#include "model_fixture.h"

#include <stdlib.h>

#include "model/cost_flip.h"
#include "model/solver.h"
#include "tests/property/plan_check.h"

#define TEXT_BYTES (1 << 16)

struct example {
    const char *name;
    char world[TEXT_BYTES];
    char app[TEXT_BYTES];
    char readme[TEXT_BYTES];
    struct fixture fixture;
    struct estimate hit;
    struct placement at[FIXTURE_PARTS];
};

static struct example example;

static void load(const char *name)
{
    static const char *const files[] = {"world.yaml", "app.yaml", "README.md"};
    char *const texts[] = {example.world, example.app, example.readme};
    char path[512];
    example.name = name;
    for (int i = 0; i < 3; i++) {
        str_format(path, sizeof path, "%s/examples/%s/%s", BERTH_SOURCE_DIR, name, files[i]);
        read_text(path, texts[i], TEXT_BYTES);
    }
}

/* In a document's text, everywhere; it must be there. */
static void replace(char *text, const char *what, const char *with)
{
    static char out[TEXT_BYTES];
    const char *from = text;
    size_t bytes = 0;
    int count = 0;
    for (const char *found; (found = strstr(from, what)) != NULL; from = found + strlen(what)) {
        size_t before = (size_t)(found - from);
        assert_true(bytes + before + strlen(with) < sizeof out);
        memcpy(out + bytes, from, before);
        memcpy(out + bytes + before, with, strlen(with));
        bytes += before + strlen(with);
        count++;
    }
    assert_true(count > 0 && bytes + strlen(from) < sizeof out);
    memcpy(out + bytes, from, strlen(from) + 1);
    memcpy(text, out, bytes + strlen(from) + 1);
}

static void remove_line(char *text, const char *with)
{
    char *found = strstr(text, with);
    assert_non_null(found);
    char *end = strchr(found, '\n');
    while (found > text && found[-1] != '\n')
        found--;
    memmove(found, end + 1, strlen(end + 1) + 1);
}

/* Where the solver puts everything; `hit` if it was measured, as "workload", "site", ppm. */
static void plan(const char *workload, const char *site, int64_t hit_ppm)
{
    struct fixture *fixture = &example.fixture;
    fixture_begin(fixture, example.world, example.app);
    if (workload != NULL) {
        example.hit = (struct estimate){.kind = ESTIMATE_HIT_PPM, .value = hit_ppm, .at_us = 1};
        str_format(example.hit.namespace_, sizeof example.hit.namespace_, "default");
        str_format(example.hit.app, sizeof example.hit.app, "%s", fixture->app.name);
        str_format(example.hit.workload, sizeof example.hit.workload, "%s", workload);
        str_format(example.hit.site, sizeof example.hit.site, "%s", site);
        fixture->input.estimates = (struct estimates){&example.hit, 1};
    }
    fixture_problem(fixture);
    struct solver_options options = {.program = BERTH_BINARY_DIR "/bin/berth-solve", .workers = 1};
    struct solver *solver = NULL;
    struct solution solution = {0};
    if (solver_open(&options, &solver, &fixture->err) < 0 ||
        solver_call(solver, &fixture->problem, &fixture->arena, &solution, &fixture->err) < 0)
        fail_msg("%s", fixture->err.text);
    solver_close(solver);
    char why[PLAN_WHY_BYTES];
    if (!plan_check_problem(&fixture->problem, &solution, why))
        fail_msg("%s", why);
    assert_int_equal(solution.status, SOLVE_OPTIMAL);
    for (int i = 0; i < fixture->problem.part_count; i++)
        example.at[i] = cost_placement(&fixture->input, &fixture->problem, i, solution.choice[i]);
}

static void plan_as_stated(void)
{
    plan(NULL, NULL, 0);
}

static const char *where(const char *workload)
{
    struct fixture *fixture = &example.fixture;
    return fixture->world.sites[example.at[fixture_part(fixture, workload)].site].name;
}

static const char *variant_of(const char *workload)
{
    const struct fixture *fixture = &example.fixture;
    int part = fixture_part(fixture, workload);
    return fixture->app.workloads[part].variants[example.at[part].variant].name;
}

static void done(void)
{
    fixture_end(&example.fixture);
}

static void stated(const char *text)
{
    if (strstr(example.readme, text) == NULL)
        fail_msg("examples/%s/README.md does not state %s", example.name, text);
}

/* To the millionth of a dollar, in the computation and in the README. */
static void expect_total(const char *bill, const char *score)
{
    struct cost_report report = fixture_explain_at(&example.fixture, example.at);
    const char *const wanted[] = {bill, score};
    const nusd got[] = {report.total.bill, report.total.score};
    for (int i = 0; i < 2; i++) {
        char text[64];
        int64_t millionths = (int64_t)((got[i] + 500) / 1000);
        str_format(text, sizeof text, "$%lld.%06lld", (long long)(millionths / 1000000),
                   (long long)(millionths % 1000000));
        assert_string_equal(text, wanted[i]);
        stated(text);
    }
}

/* `berth explain` names it: these are the flips that it prints. */
static void expect_flip(const char *workload, const char *input, bool above, double at,
                        const char *to, const char *text)
{
    struct fixture *fixture = &example.fixture;
    struct cost_flip *flips = NULL;
    int count = 0;
    if (cost_flips(&fixture->input, example.at, fixture_part(fixture, workload), &fixture->arena,
                   &flips, &count, &fixture->err) < 0)
        fail_msg("%s", fixture->err.text);
    stated(text);
    for (int i = 0; i < count; i++) {
        if (!str_starts(flips[i].input, input) || flips[i].above != above)
            continue;
        double got = (double)flips[i].at.coefficient;
        for (int k = 0; k < flips[i].at.scale; k++)
            got /= 10;
        if (got < at * 0.998 || got > at * 1.002)
            fail_msg("%s: %s flips at %f instead of %f", workload, input, got, at);
        assert_string_equal(fixture->world.sites[flips[i].to.site].name, to);
        return;
    }
    fail_msg("%s: no flip of %s", workload, input);
}

/* ---- background removal -------------------------------------------------------------------- */

static void test_background_removal(void **state)
{
    (void)state;
    load("background-removal");
    plan_as_stated();
    assert_string_equal(where("cutout--strong"), "client/strong");
    assert_string_equal(where("cutout--weak"), "edge/hamburg");
    assert_string_equal(where("studio"), "gcp/europe-west3");
    assert_string_equal(where("models"), "gcp/europe-west3");
    expect_total("$122.562857", "$135.240270");
    expect_flip("cutout--strong", "CPU time per call", true, 82310, "edge/hamburg", "82.3 ms");
    expect_flip("cutout--weak", "CPU time per call", false, 8913, "client/weak", "8.91 ms");
    expect_flip("cutout--weak", "calls", false, 1.125, "client/weak", "1.125/s");
    done();
}

/* Where the model needs what only a data centre has, and where it would fit nearer. */
static void test_studio_needs_its_memory(void **state)
{
    (void)state;
    load("background-removal");
    plan_as_stated();
    struct fixture *fixture = &example.fixture;
    struct cost_candidate *candidates;
    int count = 0;
    int rules = 0;
    assert_int_equal(cost_candidates(&fixture->input, example.at, fixture_part(fixture, "studio"),
                                     &fixture->arena, &candidates, &count, &fixture->err),
                     0);
    for (int i = 0; i < count; i++)
        rules += strstr(candidates[i].rule, "of memory") != NULL;
    assert_int_equal(rules, 3); /* both phones and the edge */
    done();
    replace(example.app, "memory: 24GiB", "memory: 1GiB");
    remove_line(example.app, "{from: studio, to: models");
    plan_as_stated();
    assert_string_equal(where("studio"), "client/strong");
    done();
}

/* Just before and just after each stated point, planned anew. */
static void test_background_removal_flips(void **state)
{
    (void)state;
    static const struct {
        const char *cpu;
        const char *strong;
        const char *weak;
    } cases[] = {{"8.8ms", "client/strong", "client/weak"},
                 {"9ms", "client/strong", "edge/hamburg"},
                 {"82ms", "client/strong", "edge/hamburg"},
                 {"83ms", "edge/hamburg", "edge/hamburg"}};
    char cpu[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        load("background-removal");
        str_format(cpu, sizeof cpu, "cpu_per_call: %s", cases[i].cpu);
        replace(example.app, "cpu_per_call: 20ms", cpu);
        plan_as_stated();
        assert_string_equal(where("cutout--strong"), cases[i].strong);
        assert_string_equal(where("cutout--weak"), cases[i].weak);
        done();
    }
    /* On battery. */
    load("background-removal");
    replace(example.world, "    like: client/phone-strong\n",
            "    like: client/phone-strong\n    cpu_weight: 0.0002\n");
    plan_as_stated();
    assert_string_equal(where("cutout--strong"), "edge/hamburg");
    assert_int_equal(example.at[fixture_part(&example.fixture, "cutout--weak")].lead,
                     fixture_part(&example.fixture, "cutout--strong"));
    done();
    /* An uplink of 4 Mbit/s, and the old phones would rather work themselves: the hard limit. */
    load("background-removal");
    replace(example.world, "[client/weak, edge/hamburg], rtt: 12ms, per_mib: 400ms",
            "[client/weak, edge/hamburg], rtt: 12ms, per_mib: 2000ms");
    replace(example.world, "[\"client/weak\", gcp/europe-west3], rtt: 24ms, per_mib: 400ms",
            "[\"client/weak\", gcp/europe-west3], rtt: 24ms, per_mib: 2000ms");
    replace(example.world, "[\"client/weak\", aws/eu-central-1], rtt: 24ms, per_mib: 400ms",
            "[\"client/weak\", aws/eu-central-1], rtt: 24ms, per_mib: 2000ms");
    plan_as_stated();
    assert_string_equal(where("cutout--weak"), "client/weak");
    done();
}

/* ---- procedural tiles ---------------------------------------------------------------------- */

static void load_tiles(bool third, const char *calls)
{
    char text[64];
    load("procedural-tiles");
    if (!third) {
        remove_line(example.app, "{name: n3, site");
        remove_line(example.app, "{from: n3, to: tiles");
    }
    for (int i = 1; i <= (third ? 3 : 2); i++) {
        char link[64];
        str_format(link, sizeof link, "{from: n%d, to: tiles, calls: 4/s", i);
        str_format(text, sizeof text, "{from: n%d, to: tiles, calls: %s", i, calls);
        replace(example.app, link, text);
    }
    plan_as_stated();
}

static void test_procedural_tiles(void **state)
{
    (void)state;
    static const char *const neighbours[] = {"tiles--n1", "tiles--n2", "tiles--n3"};
    load_tiles(true, "4/s");
    for (int i = 0; i < 3; i++) {
        assert_string_equal(where(neighbours[i]), "edge/hamburg");
        assert_string_equal(variant_of(neighbours[i]), "tile");
        assert_int_equal(example.at[fixture_part(&example.fixture, neighbours[i])].lead, 0);
    }
    assert_string_equal(where("tiles--lone"), "client/lone");
    assert_string_equal(variant_of("tiles--lone"), "grammar");
    assert_string_equal(where("grammar--tiles--lone"), "client/lone");
    assert_string_equal(where("grammar--tiles--n1"), "edge/hamburg");
    expect_total("$23.421780", "$32.650384");
    expect_flip("tiles--lone", "CPU time per call", true, 191800, "edge/hamburg", "191.8 ms");
    done();
    load_tiles(false, "4/s");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(where(neighbours[i]), i == 0 ? "client/n1" : "client/n2");
        assert_string_equal(variant_of(neighbours[i]), "grammar");
    }
    assert_string_equal(where("tiles--lone"), "client/lone");
    expect_total("$0.000063", "$27.946529");
    expect_flip("tiles--n1", "calls", true, 9.972, "edge/hamburg", "9.97/s");
    done();
}

static void test_procedural_tiles_flips(void **state)
{
    (void)state;
    static const struct {
        bool third;
        const char *calls;
        const char *n1;
    } cases[] = {{false, "4.77/s", "client/n1"},
                 {false, "4.79/s", "edge/hamburg"},
                 {true, "3.14/s", "client/n1"},
                 {true, "3.15/s", "edge/hamburg"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        load_tiles(cases[i].third, cases[i].calls);
        assert_string_equal(where("tiles--n1"), cases[i].n1);
        assert_string_equal(where("tiles--lone"), "client/lone");
        done();
    }
    stated("4.78/s");
    stated("3.15/s");
    load("procedural-tiles");
    replace(example.app, "cpu_per_call: 13ms", "cpu_per_call: 193ms");
    plan_as_stated();
    assert_string_equal(where("tiles--lone"), "edge/hamburg");
    done();
}

/* ---- inference with a profile cache ------------------------------------------------------------
 */

static void test_inference_profile(void **state)
{
    (void)state;
    load("inference-profile");
    plan_as_stated();
    assert_string_equal(where("infer"), "gcp/us-central1");
    assert_string_equal(where("profiles"), "gcp/us-central1");
    expect_total("$10.039102", "$28.039195");
    expect_flip("infer", "hit ratio", true, 0.739, "edge/nyc", "above 73.9 %");
    done();
    plan("infer", "gcp/us-central1", 950000);
    assert_string_equal(where("infer"), "edge/nyc");
    assert_string_equal(where("profiles"), "gcp/us-central1");
    expect_total("$14.943699", "$16.017740");
    expect_flip("infer", "hit ratio", false, 0.7387, "gcp/us-central1", "below 73.9 %");
    expect_flip("infer", "calls", false, 7.514, "gcp/us-central1", "7.51/s");
    done();
    plan("infer", "gcp/us-central1", 735000);
    assert_string_equal(where("infer"), "gcp/us-central1");
    done();
    plan("infer", "gcp/us-central1", 743000);
    assert_string_equal(where("infer"), "edge/nyc");
    done();
}

/* A move of what runs already counts the cache that it leaves behind. */
static void test_a_move_counts_the_cold_cache(void **state)
{
    (void)state;
    load("inference-profile");
    plan("infer", "gcp/us-central1", 950000);
    struct fixture *fixture = &example.fixture;
    int infer = fixture_part(fixture, "infer");
    nusd once[2] = {0, 0};
    for (int moved = 0; moved < 2; moved++) {
        for (int i = 0; i < fixture->app.workload_count; i++)
            fixture->states[i].now = (struct placement){
                .site = fixture_site(fixture, "gcp/us-central1"), .variant = 0, .lead = i};
        fixture->app.workloads[infer].warm_calls = moved == 0 ? 2000 : 0;
        struct cost_report report = fixture_explain_at(fixture, example.at);
        once[moved] = report.total.score_term[TERM_MIGRATION];
    }
    assert_true(once[0] > once[1] && once[1] > 0);
    done();
}

/* The examples that are made to be moved go where their tag says. */
static void test_made_to_be_moved(void **state)
{
    (void)state;
    static const struct {
        const char *app;
        const char *world;
        const char *workload;
        int handoff;
        bool http;
    } apps[] = {
        {"examples/web/app.yaml", "examples/web/world.yaml", "web", HANDOFF_OVERLAP, true},
        {"examples/counter/app.yaml", "examples/worlds/demo.yaml", "counter", HANDOFF_EXCLUSIVE,
         false},
        {"examples/kvstate/app.yaml", "examples/worlds/demo.yaml", "kvstate", HANDOFF_STATEFUL,
         false},
    };
    for (size_t i = 0; i < sizeof apps / sizeof apps[0]; i++) {
        char path[512];
        example.name = apps[i].workload;
        str_format(path, sizeof path, "%s/%s", BERTH_SOURCE_DIR, apps[i].world);
        read_text(path, example.world, TEXT_BYTES);
        str_format(path, sizeof path, "%s/%s", BERTH_SOURCE_DIR, apps[i].app);
        read_text(path, example.app, TEXT_BYTES);
        plan_as_stated();
        assert_string_equal(where(apps[i].workload), "gcp/us-central1");
        const struct app *app = &example.fixture.app;
        const struct workload *workload =
            &app->workloads[fixture_part(&example.fixture, apps[i].workload)];
        assert_int_equal(workload->handoff, apps[i].handoff);
        assert_true(workload->contract);
        assert_int_equal(workload->http.path[0] != 0, apps[i].http);
        done();
        replace(example.app, "{cloud: gcp}", "{cloud: aws}");
        plan_as_stated();
        assert_string_equal(where(apps[i].workload), "aws/us-east-1");
        done();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_background_removal),
        cmocka_unit_test(test_studio_needs_its_memory),
        cmocka_unit_test(test_background_removal_flips),
        cmocka_unit_test(test_procedural_tiles),
        cmocka_unit_test(test_procedural_tiles_flips),
        cmocka_unit_test(test_inference_profile),
        cmocka_unit_test(test_a_move_counts_the_cold_cache),
        cmocka_unit_test(test_made_to_be_moved),
    };
    return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}
