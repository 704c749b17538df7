/* Requests that wait in the ingress while their owner changes, against the real HAProxy. */
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "executors/ingress/internal.h"
#include "tests/live/ingress_rig.h"
#include "tests/live/web_rig.h"

#define KEPT 8 /* connections of clients */

static struct web_board *board;

/* One request, said and not read. */
static int ask(const struct ingress_rig *rig, const char *text)
{
    int fd = web_connect(rig->port);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    return fd;
}

static bool has_answer(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* The whole answer, which must have begun or come. */
static void answer_of(int fd, char *out, size_t capacity)
{
    ssize_t got = recv(fd, out, capacity - 1, 0);
    assert_true(got > 0);
    out[got] = 0;
    (void)close(fd);
}

/* Handoffs of an owner: none serves in the middle of each, what comes then waits, and nothing comes
 * to whoever is frozen. */
static void test_owners_under_load(void **state)
{
    struct ingress_rig rig;
    struct web_server servers[2];
    struct web_load_result result;
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &servers[0]);
    web_start(board, 1, "b", (struct web_how){0}, &servers[1]);
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(servers[0])), 0);
    atomic_store(&board->next, 0);
    memset((void *)board->carried_out, 0, 1 << 20);
    struct web_load *load = web_load_start(board, (struct web_load_options){.port = rig.port,
                                                                            .host = "shop.test",
                                                                            .clients = 16,
                                                                            .rate = 1000,
                                                                            .post_ppm = 500000});
    for (int i = 0; i < 50; i++) {
        const struct web_server *from = &servers[i % 2];
        const struct web_server *to = &servers[1 - i % 2];
        struct ingress_rig_server old = RIG_DRAIN(*from);
        int64_t seen = web_requests(board, from);
        INGRESS_RIG_WAIT(&rig, web_requests(board, from) > seen + 20);
        assert_int_equal(ingress_rig_pause(&rig, "web", "shop.test", "/", &old, 1), 0);
        /* What was assigned before ends; then it is frozen, and is asked no more. */
        int64_t answered;
        do {
            answered = web_requests(board, from);
            for (int turn = 0; turn < 5; turn++)
                ingress_rig_turn(&rig, 5);
        } while (web_requests(board, from) != answered);
        for (int turn = 0; turn < 5; turn++)
            ingress_rig_turn(&rig, 5);
        assert_int_equal(web_requests(board, from), answered);
        assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_DRAIN(*from), RIG_SERVE(*to)),
                         0);
        assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(*to)), 0);
        assert_int_equal(web_requests(board, from), answered);
    }
    web_load_stop(load, &result);
    assert_true(web_load_is_whole(&result));
    web_stop(&servers[0]);
    web_stop(&servers[1]);
    ingress_rig_done(&rig);
}

/* HAProxy keeps no connection to a server that was taken out of it. What is kept for a client's
 * sake is found again by the address of the server's record, which may be another server's by then:
 * its requests would be the former owner's. */
static void test_kept_connections(void **state)
{
    struct ingress_rig rig;
    struct web_server servers[2];
    int kept[KEPT];
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &servers[0]);
    web_start(board, 1, "b", (struct web_how){0}, &servers[1]);
    for (int i = 0; i < KEPT; i++)
        kept[i] = web_connect(rig.port);
    for (int move = 0; move < 4; move++) {
        const struct web_server *owner = &servers[move % 2];
        assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(*owner)), 0);
        for (int i = 0; i < KEPT; i++) {
            struct web_answer answer;
            assert_int_equal(web_ask(kept[i], "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", &answer),
                             200);
            assert_string_equal(answer.instance, owner->name);
        }
        INGRESS_RIG_WAIT(&rig, atomic_load(&board->open[1 - move % 2]) == 0);
    }
    for (int i = 0; i < KEPT; i++)
        (void)close(kept[i]);
    web_stop(&servers[0]);
    web_stop(&servers[1]);
    ingress_rig_done(&rig);
}

/* Above the limit, and beside as many as may wait: 503, and when to come again. */
static void test_hold_has_an_end(void **state)
{
    static const char get[] = "GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    static const char post[] = "POST /x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nxx";
    struct ingress_rig rig;
    struct web_server server;
    char text[1024];
    (void)state;
    ingress_rig_make(&rig, ",hold=1,waiting=2");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &server);
    assert_int_equal(ingress_rig_pause(&rig, "web", "shop.test", "/", NULL, 0), 0);
    int first = ask(&rig, get);
    INGRESS_RIG_WAIT(&rig, has_answer(first));
    answer_of(first, text, sizeof(text));
    assert_true(str_starts(text, "HTTP/1.1 503 "));
    assert_non_null(strcasestr(text, "\r\nRetry-After: 1\r\n"));
    /* Those that went away are forgotten with their time: two of them make no room scarce. */
    (void)close(ask(&rig, get));
    (void)close(ask(&rig, post));
    int crowd[3];
    for (bool two_wait = false; !two_wait;) {
        for (int i = 0; i < 3; i++)
            crowd[i] = ask(&rig, i == 1 ? post : get);
        INGRESS_RIG_WAIT(&rig,
                         has_answer(crowd[0]) || has_answer(crowd[1]) || has_answer(crowd[2]));
        int answered = 0;
        for (int i = 0; i < 3; i++)
            answered += has_answer(crowd[i]);
        two_wait = answered == 1;
        for (int i = 0; i < 3; i++)
            if (!two_wait || has_answer(crowd[i])) {
                (void)close(crowd[i]);
                crowd[i] = -1;
            }
    }
    /* The owner is there: the two that wait are served. */
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(server)), 0);
    for (int i = 0; i < 3; i++) {
        if (crowd[i] < 0)
            continue;
        INGRESS_RIG_WAIT(&rig, has_answer(crowd[i]));
        answer_of(crowd[i], text, sizeof(text));
        assert_true(str_starts(text, "HTTP/1.1 200 ") || str_starts(text, "HTTP/1.1 503 "));
    }
    web_stop(&server);
    ingress_rig_done(&rig);
}

/* What waits is routed by what holds when it goes on; a HAProxy that is started in a pause keeps
 * it; where none may wait it is 503 at once. */
static void test_hold_and_its_route(void **state)
{
    struct ingress_rig rig;
    struct web_server server;
    struct web_answer answer;
    char text[1024];
    (void)state;
    ingress_rig_make(&rig, ",hold=60");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &server);
    assert_int_equal(ingress_rig_pause(&rig, "web", "shop.test", "/", NULL, 0), 0);
    int waiting = ask(&rig, "GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    int other = ask(&rig, "GET /y HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    for (int turn = 0; turn < 10; turn++)
        ingress_rig_turn(&rig, 10);
    assert_false(has_answer(waiting) || has_answer(other));
    /* Its slot is another workload's by then. */
    assert_int_equal(ingress_rig_gone(&rig, "web"), 0);
    assert_int_equal(RIG_ROUTE(&rig, "next", "next.test", "/", RIG_SERVE(server)), 0);
    INGRESS_RIG_WAIT(&rig, has_answer(waiting) && has_answer(other));
    answer_of(waiting, text, sizeof(text));
    assert_true(str_starts(text, "HTTP/1.1 404 "));
    answer_of(other, text, sizeof(text));
    assert_true(str_starts(text, "HTTP/1.1 404 "));
    assert_int_equal(ingress_rig_pause(&rig, "web", "shop.test", "/", NULL, 0), 0);
    int ups = rig.ups;
    assert_int_equal(kill((pid_t)ingress_rig_pid(&rig), SIGKILL), 0);
    INGRESS_RIG_WAIT(&rig, rig.ups > ups);
    waiting = ask(&rig, "GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    /* A probe names its server and waits for nobody. */
    struct ingress_rig_server probed = RIG_PROBE(server);
    assert_int_equal(ingress_rig_pause(&rig, "web", "shop.test", "/", &probed, 1), 0);
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "a", 2), 2);
    assert_false(has_answer(waiting));
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(server)), 0);
    INGRESS_RIG_WAIT(&rig, has_answer(waiting));
    answer_of(waiting, text, sizeof(text));
    assert_true(str_starts(text, "HTTP/1.1 200 "));
    ingress_rig_done(&rig);
    ingress_rig_make(&rig, ",hold=0");
    ingress_rig_open(&rig);
    assert_int_equal(ingress_rig_pause(&rig, "web", "shop.test", "/", NULL, 0), 0);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 503);
    ingress_rig_done(&rig);
    web_stop(&server);
}

static int set_up(void **state)
{
    (void)state;
    board = web_board();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owners_under_load),
        cmocka_unit_test(test_kept_connections),
        cmocka_unit_test(test_hold_has_an_end),
        cmocka_unit_test(test_hold_and_its_route),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
