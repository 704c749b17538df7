/* The shipped example of a custom term: what carbon adds to the score of a placement, by hand. */
#include "tests/unit/model_fixture.h"

#include <stdlib.h>

#include "model/cost.h"

static const char app_text[] =
    "app: batch\n"
    "workloads:\n"
    "  - name: worker\n"
    "    run: {driver: process, artifact: 'file:/bin/true'}\n"
    "    resources: {cpu: 4, memory: 1GiB}\n"
    "    replicas: 2\n"
    "    tiers: [cloud]\n"
    "users:\n"
    "  - {name: eu, site: client/eu}\n"
    "links:\n"
    "  - {from: eu, to: worker, calls: 1/s, request: 1KiB, response: 1KiB}\n";

static char *read_world(void)
{
    FILE *file = fopen(BERTH_SOURCE_DIR "/examples/worlds/carbon.yaml", "re");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

/* 8 vCPUs x 730 h x 2.5 W x 1.1 = 16.06 kWh a month; x the grid's g/kWh x 0.00019 USD/g. */
static void carbon_at(struct fixture *fixture, const char *site, nusd expected)
{
    struct placement at = {.site = world_site(&fixture->world, site)};
    struct cost_report report;
    assert_true(at.site >= 0);
    if (cost_explain(&fixture->input, &at, &fixture->arena, &report, &fixture->err) < 0)
        fail_msg("%s", fixture->err.text);
    assert_true(report.total.score_term[TERM_CUSTOM] == expected);
    assert_true(report.total.bill_term[TERM_CUSTOM] == 0);
}

static const struct measure *carbon_of(const struct fixture *fixture, const char *site)
{
    const struct measures *measures =
        &fixture->world.sites[world_site(&fixture->world, site)].measures;
    for (int i = 0; i < measures->count; i++)
        if (str_equal(measures->list[i].name, "carbon"))
            return &measures->list[i];
    fail_msg("%s has no carbon", site);
    return NULL;
}

static void test_carbon_is_scored_and_not_billed(void **state)
{
    (void)state;
    char *text = read_world();
    struct fixture fixture;
    fixture_begin(&fixture, text, app_text);
    static const char *const sites[] = {"gcp/us-central1", "gcp/europe-west1", "gcp/europe-north1"};
    nusd last = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        const struct measure *carbon = carbon_of(&fixture, sites[i]);
        nusd expected;
        assert_string_equal(carbon->unit, "g/kWh");
        /* 16.06 x 0.00019 = 0.0030514 USD for each g/kWh. */
        assert_int_equal(money_of(carbon->value, 10000000, 30514, &expected), 0);
        carbon_at(&fixture, sites[i], expected);
        assert_true(expected < last); /* each grid is cleaner than the one before */
        last = expected;
    }
    /* The client states 0: a figure that is known, not one that is missing. */
    assert_int_equal(carbon_of(&fixture, "client/eu")->value.coefficient, 0);
    fixture_end(&fixture);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carbon_is_scored_and_not_billed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
