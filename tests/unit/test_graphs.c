/* Readers of call graphs and regions: small texts, what each refuses; the grid made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/solver/graphs.h"

typedef int reader(const char *text, size_t bytes, const char *app, struct calls *calls,
                   struct error *err);

static struct calls calls;
static struct arena arena;

static void reads(reader *read, const char *text)
{
    struct error err = {0};
    int rc = read(text, strlen(text), "shop", &calls, &err);
    if (rc < 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
}

static void refuses(reader *read, const char *text, int code, const char *words)
{
    struct error err = {0};
    assert_int_equal(read(text, strlen(text), "shop", &calls, &err), code);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
}

static const struct calls_service *service(const char *name)
{
    for (int i = 0; i < calls.services; i++) {
        if (strcmp(calls.service[i].name, name) == 0) {
            return &calls.service[i];
        }
    }
    fail_msg("no service '%s'", name);
    return NULL;
}

static void edges(void **state)
{
    (void)state;
    memset(&calls, 0, sizeof(calls));
    reads(calls_read_edges, "caller,callee\nloadgenerator,front\nfront,cart\r\ncart,front\n\n"
                            "cart,redis-cart");
    assert_int_equal(calls.apps, 1);
    assert_int_equal(calls.services, 3); /* whoever makes load is none */
    assert_int_equal(calls.edges, 2);    /* a call back is the same edge */
    reads(calls_read_edges, "social,UserTimelineService,post-storage-service\n"
                            "media,UserService,post-storage-service\n");
    assert_int_equal(calls.apps, 3);
    assert_int_equal(calls.services, 7); /* one of a name per app */
    assert_int_equal(service("user-timeline-service")->app, 1);
    refuses(calls_read_edges, "", ERR_INVALID, "line 1: the text is empty");
    refuses(calls_read_edges, "caller,callee\na,b,c\n", ERR_INVALID, "line 2 has 3 fields, not 2");
    refuses(calls_read_edges, "caller,callee\na,\n", ERR_INVALID,
            "line 2: a service is not a name");
    refuses(calls_read_edges, "caller,callee\na,a\n", ERR_INVALID, "line 2: 'a' calls itself");
    refuses(calls_read_edges, "a,b\n", ERR_INVALID, "line 1 has 2 fields, not 3");
    reads(calls_read_samples,
          "timestamp,gate_front&p50,front_ads-v1&p50,front_ads-v1&p99\n1,,2,\n");
    assert_int_equal(service("ads-v1")->app, 0);
    refuses(calls_read_samples, "timestamp,frontads&p50\n", ERR_INVALID, "field 2: not CALLER_");
}

static void measures(void **state)
{
    (void)state;
    memset(&calls, 0, sizeof(calls));
    reads(calls_read_requests, "service,cpu_request,memory_request\ncart,200m,64Mi\n");
    assert_int_equal(service("cart")->cpu_mcpu, 200);
    assert_int_equal(service("cart")->memory_mib, 64);
    refuses(calls_read_requests, "service,cpu\n", ERR_INVALID, "no column 'cpu_request'");
    refuses(calls_read_requests, "service,cpu_request,memory_request\ncart,0.2,64Mi\n", ERR_INVALID,
            "line 2, field 2: a CPU request is not a number from 0 to 1000000 and m");
    refuses(calls_read_requests, "service,cpu_request,memory_request\ncart,2m,-1Mi\n", ERR_INVALID,
            "line 2, field 3");
    reads(calls_read_means, "service,net_receive,x,net_trainsmit\ncart,14.5,1,43.25\n");
    assert_int_equal(service("cart")->receive_byte_s, 14500);
    assert_int_equal(service("cart")->send_byte_s, 43250);
    refuses(calls_read_means, "service,net_receive,net_trainsmit\ncart,1\n", ERR_INVALID,
            "line 2 has 2 fields, not 3");
    refuses(calls_read_means, "service,net_receive,net_trainsmit\ncart,nan,1\n", ERR_INVALID,
            "net_receive is not a number");
    reads(calls_read_rates, "timestamp,cart,front\nt0,1,0.5\ntimestamp,cart,front\n"
                            "t1,2,0.1111111111111111\n");
    assert_int_equal(service("cart")->rate_uhz, 1500000);
    assert_int_equal(service("front")->rate_uhz, 305555);
    refuses(calls_read_rates, "timestamp,cart\nt0,1e30\n", ERR_INVALID, "a rate is not a number");
}

static void regions_refuse(const char *text, const char *words)
{
    struct calls_regions regions;
    struct error err = {0};
    assert_int_equal(calls_read_regions(text, strlen(text), &arena, &regions, &err), ERR_INVALID);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
}

#define HEAD "src,dest,src_tier,dest_tier,cost\n"
#define PAIRS                                                                         \
    "aws:us-east-1,aws:us-east-1,P,P,0.0\naws:us-east-1,gcp:us-central1-a,P,P,0.09\n" \
    "gcp:us-central1-a,aws:us-east-1,P,P,0.12\ngcp:us-central1-a,gcp:us-central1-a,P,P,0.0\n"

static void regions(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    struct calls_regions read;
    struct error err = {0};
    assert_int_equal(calls_read_regions(HEAD PAIRS, strlen(HEAD PAIRS), &arena, &read, &err), 0);
    assert_int_equal(read.count, 2);
    assert_int_equal(read.egress[1], 90000);
    assert_int_equal(read.egress[2], 120000);
    regions_refuse(HEAD, "0 prices for 0 regions");
    regions_refuse(HEAD "a,b,P,P,0.1\n", "1 prices for 2 regions");
    regions_refuse(HEAD "a,a,P,P,0.1\na,a,P,P,0.1\n", "line 3: a to a is there twice");
    regions_refuse(HEAD "a,a,P,P,-0.1\n", "a cost is not a number");
    regions_refuse("src,dest,a,b,price\n", "field 5 is not 'cost'");
    regions_refuse(HEAD "a,a,0.1\n", "line 2 has 3 fields, not 5");
    arena_done(&arena);
}

/* The same seed gives the same grid; all of it is a grid; apps are connected and whole. */
static void grid(void **state)
{
    (void)state;
    memset(&calls, 0, sizeof(calls));
    reads(calls_read_edges, "caller,callee\nfront,cart\nfront,ads\nads,cart\ncart,redis-cart\n");
    reads(calls_read_requests, "service,cpu_request,memory_request\ncart,200m,64Mi\n");
    reads(calls_read_means, "service,net_receive,net_trainsmit\ncart,14.5,43.25\n");
    reads(calls_read_rates, "timestamp,cart,front\nt0,1,0.5\n");
    struct graphs_shape shape = {.seed = 3, .parts = 50, .capacity_percent = 115};
    struct calls_regions read;
    struct grid grids[2];
    struct error err = {0};
    arena_init(&arena, (size_t)64 << 20);
    assert_int_equal(calls_read_regions(HEAD PAIRS, strlen(HEAD PAIRS), &arena, &read, &err), 0);
    for (int i = 0; i < 2; i++) {
        if (graphs_build(&shape, &calls, &read, &arena, &grids[i], &err) < 0 ||
            grid_check(&grids[i], &err) < 0) {
            fail_msg("%s", err.text);
        }
    }
    assert_int_equal(grids[0].parts, 50);
    assert_int_equal(grids[0].sites, 2);
    assert_true(grids[0].links > 25); /* apps of two to four, some with a cycle */
    assert_int_equal(grids[0].links, grids[1].links);
    assert_memory_equal(grids[0].cost, grids[1].cost, 100 * sizeof(uint32_t));
    assert_memory_equal(grids[0].demand, grids[1].demand, 100 * sizeof(int32_t));
    int64_t room[2] = {0};
    int64_t demand[2] = {0};
    for (int r = 0; r < 2; r++) {
        room[r] = grids[0].capacity[r] + grids[0].capacity[2 + r];
        for (int part = 0; part < 50; part++) {
            demand[r] += grids[0].demand[part * 2 + r];
        }
        assert_in_range(room[r], demand[r] * 114 / 100, demand[r] * 115 / 100);
    }
    memcpy(read.name[1], "gcp:nowhere", sizeof("gcp:nowhere"));
    assert_int_equal(graphs_build(&shape, &calls, &read, &arena, &grids[0], &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "region 'gcp:nowhere' is not in the catalogue"));
    memset(&calls, 0, sizeof(calls));
    assert_int_equal(graphs_build(&shape, &calls, &read, &arena, &grids[0], &err), ERR_INVALID);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges),
        cmocka_unit_test(measures),
        cmocka_unit_test(regions),
        cmocka_unit_test(grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
