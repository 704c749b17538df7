/* Rows of one region's users: what they come to as rates of parts and of their users, by workload
 * and by app, beside callers that no row names; and what could be meant in two ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/world/load.h"

static struct arena arena;
static struct world world;
static struct app app;

static const char world_text[] =
    "world: test\naccounts:\n  - {name: own, provider: edge}\n"
    "sites:\n  - {name: client/eu, tier: client}\n  - {name: client/us, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: own, price: {cpu: 0.05, memory: 0.006}}\n";

#define WORKLOAD(name, rest)                                    \
    "  - {name: " name ", resources: {cpu: 1, memory: 64MiB}, " \
    "run: {driver: process, artifact: 'file:/bin/true'}" rest "}\n"
#define USERS "users: [{name: eu, site: client/eu}, {name: us, site: client/us}]\n"

/* api is called by both groups and by a job of 100/s; store half as often as api. */
static const char app_text[] = "app: shop\n" USERS "workloads:\n" WORKLOAD("api", "")
    WORKLOAD("job", ", calls: 100/s") WORKLOAD("store", "")
        WORKLOAD("tiles", ", split: true") "links:\n"
                                           "  - {from: eu, to: api, calls: 100/s}\n"
                                           "  - {from: us, to: api, calls: 200/s}\n"
                                           "  - {from: us, to: api, calls: 100/s}\n"
                                           "  - {from: job, to: api, calls: 100/s}\n"
                                           "  - {from: api, to: store, calls: 250/s}\n"
                                           "  - {from: eu, to: tiles, calls: 10/s}\n"
                                           "  - {from: us, to: tiles, calls: 30/s}\n";
enum { API, JOB, STORE, TILES_EU, TILES_US };

static int setup(void **state)
{
    (void)state;
    struct error err;
    arena_init(&arena, (size_t)64 << 20);
    if (world_parse("w", world_text, strlen(world_text), &arena, &world, &err) < 0 ||
        app_parse("a", app_text, strlen(app_text), &arena, &app, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(app.workload_count, TILES_US + 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

/* The load of a day under these rows; what is said of its first `hours`. */
static int follow(const char *of, const char *fields, const char *rows, int hours,
                  struct load **ret_load, struct error *err)
{
    struct scenario scenario;
    struct scenario_cell cell = {.trace = -1, .seed = 1};
    char path[] = "trace-XXXXXX";
    char text[1024];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, rows, strlen(rows)), strlen(rows));
    assert_int_equal(close(fd), 0);
    str_format(text, sizeof(text),
               "scenario: s\nworld: w.yaml\napps: [a.yaml]\nfor: 1d\n"
               "load:\n  - {of: '%s', shape: trace, file: %s%s}\n",
               of, path, fields);
    if (scenario_parse("s.yaml", text, strlen(text), &arena, &scenario, err) < 0)
        fail_msg("%s", err->text);
    int rc = load_open(&scenario, &cell, &world, &app, 1, ret_load, err);
    for (int i = 0; i < hours && rc == 0; i++)
        rc = load_step(*ret_load, scenario.from_us + i * US_PER_HOUR, US_PER_HOUR, err);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static struct load *followed(const char *of, const char *fields, const char *rows, int hours)
{
    struct load *load = NULL;
    struct error err;
    if (follow(of, fields, rows, hours, &load, &err) < 0)
        fail_msg("%s", err.text);
    return load;
}

static void want_calls(const struct load *load, int part, int64_t mhz)
{
    int64_t calls = load_calls(load)[part];
    if (calls < mhz - 2 || calls > mhz + 2)
        fail_msg("part %d: %lld instead of %lld", part, (long long)calls, (long long)mhz);
}

static int64_t users_of(const struct load *load, int part, const char *users)
{
    const struct load_users *list;
    int count = load_users(load, &list);
    for (int i = 0; i < count; i++)
        if (list[i].part == part && str_equal(app.segments[list[i].segment].name, users))
            return list[i].mhz;
    fail_msg("no users %s", users);
    return 0;
}

#define HEAD "time,workload,region,calls\n"

static void users_of_a_workload_are_what_the_rows_say(void **state)
{
    (void)state;
    struct load *load = followed("shop", "", HEAD "0,shop/api,eu,10\n0,shop/api,us,70\n", 1);
    assert_int_equal(users_of(load, API, "eu"), 10000);
    assert_int_equal(users_of(load, API, "us"), 70000);
    assert_int_equal(users_of(load, TILES_EU, "eu"), -1);
    want_calls(load, API, 180000); /* with the job's */
    want_calls(load, JOB, 100000);
    want_calls(load, STORE, 90000); /* half of it */
    want_calls(load, TILES_EU, 10000);
    load_close(load);
    /* Means of the step by time; whom no row names calls as the document says; scaled. */
    load = followed("shop", ", scale: 0.5", HEAD "0,shop/api,eu,10\n5400,shop/api,eu,30\n", 2);
    assert_int_equal(users_of(load, API, "eu"), 10000);
    assert_int_equal(users_of(load, API, "us"), -1);
    want_calls(load, API, 10000 + 300000 + 100000);
    load_close(load);
    /* By day and by night, and a gap of nobody. */
    load = followed("shop", ", gap: zero, gap_after: 3h",
                    HEAD "0,shop/api,eu,10\n3600,shop/api,eu,90\n", 2);
    assert_int_equal(users_of(load, API, "eu"), 90000);
    load_close(load);
    load = followed("shop", ", gap: zero, gap_after: 3h",
                    HEAD "0,shop/api,eu,10\n3600,shop/api,eu,90\n", 6);
    assert_int_equal(users_of(load, API, "eu"), 0);
    load_close(load);
}

static void users_of_an_app_call_as_its_links_divide_them(void **state)
{
    (void)state;
    /* eu: 110/s by the document, of which 100 to api; the load itself, the app, another format. */
    static const char *const rows[] = {HEAD "0,,eu,55\n", HEAD "0,shop,eu,55\n",
                                       "time,workload,calls\n0,default/shop@eu,55\n",
                                       "{\"time\": 0, \"region\": \"eu\", \"calls\": 55}\n"};
    for (int i = 0; i < 4; i++) {
        struct load *load = followed("shop", "", rows[i], 1);
        assert_int_equal(users_of(load, API, "eu"), 50000);
        assert_int_equal(users_of(load, TILES_EU, "eu"), 5000);
        assert_int_equal(users_of(load, TILES_US, "us"), -1);
        want_calls(load, TILES_EU, 5000);
        want_calls(load, TILES_US, 30000);
        want_calls(load, API, 50000 + 300000 + 100000);
        load_close(load);
    }
    struct load *load = followed("shop/api", "", HEAD "0,,us,30\n", 1);
    assert_int_equal(users_of(load, API, "us"), 30000);
    load_close(load);
}

static void a_divided_workload_is_its_users_part(void **state)
{
    (void)state;
    struct load *load = followed("*", "", HEAD "0,shop/tiles,eu,7\n0,shop/tiles,us,1\n", 1);
    want_calls(load, TILES_EU, 7000);
    want_calls(load, TILES_US, 1000);
    load_close(load);
}

static void a_map_keeps_or_names_the_region(void **state)
{
    (void)state;
    struct load *load = followed("shop", ", map: {web: shop/api, 'web@EMEA': shop/api@eu}",
                                 HEAD "0,web,EMEA,12\n0,web,us,13\n0,other,us,1\n", 1);
    assert_int_equal(users_of(load, API, "eu"), 12000);
    assert_int_equal(users_of(load, API, "us"), 13000);
    load_close(load);
    /* Regions that are no users of the app are added up to one that is, or to the whole. */
    load = followed("shop", ", map: {'web@*': shop/api@eu}", HEAD "0,web,fr,12\n0,web,de,13\n", 1);
    assert_int_equal(users_of(load, API, "eu"), 25000);
    load_close(load);
    load = followed("shop", ", map: {'web@*': shop/api}", HEAD "0,web,fr,12\n0,web,de,13\n", 1);
    assert_int_equal(users_of(load, API, "eu"), -1);
    want_calls(load, API, 25000);
    load_close(load);
}

static void refuse(const char *of, const char *fields, const char *rows, const char *sentence)
{
    struct load *load = NULL;
    struct error err = {0};
    int rc = follow(of, fields, rows, 1, &load, &err);
    load_close(load);
    if (rc != ERR_INVALID || strstr(err.text, sentence) == NULL)
        fail_msg("%d: \"%s\" is not in: %s", rc, sentence, err.text);
}

static void what_could_be_meant_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const char same[] = "tell of the same calls; name the region in all rows";
    refuse("shop", "", HEAD "0,shop/api,eu,1\n0,shop/api,,1\n", same);
    refuse("shop", "", HEAD "0,shop/api,,1\n0,shop/api,eu,1\n",
           ":3: \"shop/api@eu\" and (line 2) \"shop/api\" tell of the same calls");
    refuse("shop", "", HEAD "0,,,1\n0,shop/api,eu,1\n", same);
    refuse("shop", "", HEAD "0,shop,eu,1\n0,shop/api,eu,1\n", same);
    refuse("shop", "", HEAD "0,shop/api,us,1\n0,shop,us,1\n", same);
    refuse("shop", "", HEAD "0,shop/api,,1\n0,shop,us,1\n", same);
    refuse("shop/api", "", HEAD "0,,,1\n0,,us,1\n", same);
    refuse("shop/api", "", HEAD "0,,us,1\n0,shop/api,,1\n", same);
    /* Other calls are other calls. */
    load_close(followed(
        "shop", "", HEAD "0,shop/api,us,1\n0,shop/tiles,us,1\n0,shop,eu,1\n0,shop/store,,1\n", 1));
}

static void an_unknown_region_is_named_with_those_that_there_are(void **state)
{
    (void)state;
    refuse("shop", "", HEAD "0,shop/api,moon,1\n",
           ":2: region \"moon\" of \"shop/api@moon\": the app default/shop has the users eu, us; "
           "write one of them, or name it in the load's map: {\"shop/api@moon\": WORKLOAD@USERS}");
    refuse("shop", "", HEAD "0,shop/store,eu,1\n",
           "the app default/shop has no link from its users eu to store; add one");
    refuse("shop", "", HEAD "0,shop/nothing,eu,1\n", "there is no workload \"shop/nothing\"");
    refuse("*", "", HEAD "0,,eu,1\n", "\"@eu\" are users of no app: the load is of *");
    refuse("shop", ", map: {web: shop/api@eu}", HEAD "0,web,us,1\n",
           "\"web@us\" names a region, and so does what the map sends it to");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_of_a_workload_are_what_the_rows_say),
        cmocka_unit_test(users_of_an_app_call_as_its_links_divide_them),
        cmocka_unit_test(a_divided_workload_is_its_users_part),
        cmocka_unit_test(a_map_keeps_or_names_the_region),
        cmocka_unit_test(what_could_be_meant_in_two_ways_is_refused),
        cmocka_unit_test(an_unknown_region_is_named_with_those_that_there_are),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
