/*
 * The ingress against the real HAProxy, real servers and real clients: what is lost, what is
 * answered twice and who was reached is judged by the servers' and the clients' own counts.
 */
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

static struct web_board *board;

/* The longest match of host and path, by whole segments; hosts without case and port. */
static void test_matches(void **state)
{
    static const struct {
        const char *host;
        const char *path;
        const char *server; /* NULL: no route */
    } cases[] = {
        {"shop.test", "/", "root"},
        {"SHOP.Test:8080", "/index.html", "root"},
        {"shop.test", "/api", "api"},
        {"shop.test", "/api/", "api"},
        {"shop.test", "/api?x=/api/v2", "api"},
        {"shop.test", "/api/v2/list", "v2"},
        {"shop.test", "/api/v22", "api"},
        {"shop.test", "/apis", "root"},
        {"other.test", "/", NULL},
        {"other.test", "/any/thing", "any"},
        {"shop.test", "/any/thing", "root"}, /* its own host comes first */
        {"shop.test.evil", "/", NULL},
    };
    struct ingress_rig rig;
    struct web_server server;
    struct web_answer answer;
    (void)state;
    ingress_rig_make(&rig, ",slots=8");
    ingress_rig_open(&rig);
    web_start(board, 0, "one", (struct web_how){0}, &server);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 404);
    struct ingress_rig_server one = {"root", server.port, ROUTE_SERVE, 256};
    assert_int_equal(ingress_rig_route(&rig, "root", "shop.test", "/", &one, 1), 0);
    one.instance = "api";
    assert_int_equal(ingress_rig_route(&rig, "api", "Shop.test", "/api/", &one, 1), 0);
    one.instance = "v2";
    assert_int_equal(ingress_rig_route(&rig, "v2", "shop.test", "/api/v2", &one, 1), 0);
    one.instance = "any";
    assert_int_equal(ingress_rig_route(&rig, "any", "", "/any", &one, 1), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = web_status(rig.port, cases[i].host, cases[i].path, &answer);
        assert_int_equal(status, cases[i].server != NULL ? 200 : 404);
        assert_string_equal(answer.server, cases[i].server != NULL ? cases[i].server : "");
    }
    /* Another path of the same workload; then the end of one. */
    one.instance = "api";
    assert_int_equal(ingress_rig_route(&rig, "api", "shop.test", "/moved", &one, 1), 0);
    assert_int_equal(web_status(rig.port, "shop.test", "/api", &answer), 200);
    assert_string_equal(answer.server, "root");
    assert_int_equal(web_status(rig.port, "shop.test", "/moved/x", &answer), 200);
    assert_string_equal(answer.server, "api");
    assert_int_equal(ingress_rig_gone(&rig, "api"), 0);
    assert_int_equal(ingress_rig_gone(&rig, "never-was"), 0);
    assert_int_equal(web_status(rig.port, "shop.test", "/moved/x", &answer), 200);
    assert_string_equal(answer.server, "root");
    /* Without servers: 503 at once. */
    assert_int_equal(ingress_rig_route(&rig, "root", "shop.test", "/", &one, 0), 0);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 503);
    web_stop(&server);
    ingress_rig_done(&rig);
}

/* One move: probe, both serve, the old one drains, is removed. */
static void move(struct ingress_rig *rig, const struct web_server *from,
                 const struct web_server *to)
{
    assert_int_equal(RIG_ROUTE(rig, "web", "shop.test", "/", RIG_SERVE(*from), RIG_PROBE(*to)), 0);
    assert_int_equal(ingress_rig_probe(rig, "shop.test", "/berth", to->name, 3), 3);
    assert_int_equal(RIG_ROUTE(rig, "web", "shop.test", "/", RIG_SERVE(*from), RIG_SERVE(*to)), 0);
    assert_int_equal(RIG_ROUTE(rig, "web", "shop.test", "/", RIG_DRAIN(*from), RIG_SERVE(*to)), 0);
    /* What was assigned before ends; after that nothing new comes on any connection. */
    int64_t before;
    do {
        before = web_requests(board, from);
        int64_t seen = web_requests(board, to);
        INGRESS_RIG_WAIT(rig, web_requests(board, to) > seen + 50);
    } while (web_requests(board, from) != before);
    int64_t seen = web_requests(board, to);
    INGRESS_RIG_WAIT(rig, web_requests(board, to) > seen + 200);
    assert_int_equal(web_requests(board, from), before);
    assert_int_equal(RIG_ROUTE(rig, "web", "shop.test", "/", RIG_SERVE(*to)), 0);
}

static void run_moves(struct ingress_rig *rig, struct web_how how, int moves, int rate)
{
    struct web_server servers[2];
    struct web_load_result result;
    web_start(board, 0, "a", how, &servers[0]);
    web_start(board, 1, "b", how, &servers[1]);
    assert_int_equal(RIG_ROUTE(rig, "web", "shop.test", "/", RIG_SERVE(servers[0])), 0);
    atomic_store(&board->next, 0);
    memset((void *)board->carried_out, 0, 1 << 20);
    struct web_load *load = web_load_start(board, (struct web_load_options){.port = rig->port,
                                                                            .host = "shop.test",
                                                                            .clients = 16,
                                                                            .rate = rate,
                                                                            .post_ppm = 300000});
    for (int i = 0; i < moves; i++)
        move(rig, &servers[i % 2], &servers[1 - i % 2]);
    web_load_stop(load, &result);
    assert_true(web_load_is_whole(&result));
    assert_true(web_requests(board, &servers[0]) > 0 && web_requests(board, &servers[1]) > 0);
    web_stop(&servers[0]);
    web_stop(&servers[1]);
    assert_int_equal(ingress_rig_gone(rig, "web"), 0);
}

static void test_moves_under_load(void **state)
{
    struct ingress_rig rig;
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    run_moves(&rig, (struct web_how){0}, 20, 2000);
    print_message("the longest dispatch took %lld us\n", (long long)rig.longest_us);
    ingress_rig_done(&rig);
}

/* Servers that close idle connections after a millisecond: the race between that and a request is
 * lost many times a second, and must not lose a request nor carry one out twice. */
static void test_moves_with_closing_servers(void **state)
{
    struct ingress_rig rig;
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    run_moves(&rig, (struct web_how){.idle_close_us = 1000}, 10, 1000);
    ingress_rig_done(&rig);
}

/* What may have been carried out is asked again only when that changes nothing. */
static void test_asked_again(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    struct web_server b;
    struct web_answer answer;
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET"};
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(a), RIG_SERVE(b)), 0);
    for (int i = 0; i < 5; i++) {
        char head[200];
        atomic_store(&board->carried_out[i], 0);
        str_format(head, sizeof(head),
                   "%s /close/%d HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n",
                   methods[i], i);
        assert_int_equal(web_get(rig.port, head, &answer), 502);
        int times = atomic_load(&board->carried_out[i]);
        assert_true(i < 4 ? times == 1 : times > 1 && times <= 11);
    }
    /* One that is not there any more has carried out nothing: all are served by the other. */
    web_stop(&a);
    for (int i = 0; i < 40; i++)
        assert_int_equal(web_get(rig.port,
                                 i % 2 == 0 ? "GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n"
                                            : "POST /x HTTP/1.1\r\nHost: shop.test\r\n"
                                              "Content-Length: 2\r\n\r\nxx",
                                 &answer),
                         200);
    web_stop(&b);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 503);
    ingress_rig_done(&rig);
}

static void test_sockets(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    struct web_server b;
    char byte;
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(a)), 0);
    int old = web_socket(rig.port, "shop.test");
    assert_true(old >= 0 && web_echo(old));
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_DRAIN(a), RIG_SERVE(b)), 0);
    assert_true(web_echo(old));
    int young = web_socket(rig.port, "shop.test");
    assert_true(young >= 0 && web_echo(young));
    assert_int_equal(atomic_load(&board->sockets[0]), 1);
    assert_int_equal(atomic_load(&board->sockets[1]), 1);
    assert_true(web_echo(old));
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(b)), 0);
    INGRESS_RIG_WAIT(&rig, atomic_load(&board->sockets[0]) == 0);
    assert_true(recv(old, &byte, 1, 0) <= 0);
    assert_true(web_echo(young));
    (void)close(old);
    (void)close(young);
    /* It is out of HAProxy too, once its connections are. */
    char answer[20000];
    do {
        ingress_rig_turn(&rig, 20);
        ingress_rig_say(&rig, "show servers state r0\n", answer, sizeof(answer));
    } while (strstr(answer, " a ") != NULL);
    web_stop(&a);
    web_stop(&b);
    ingress_rig_done(&rig);
}

static void test_probes(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    struct web_server b;
    struct web_server liar;
    struct web_server mute;
    struct web_answer answer;
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    web_start(board, 2, "liar", (struct web_how){.says = "a"}, &liar);
    web_start(board, 3, "mute", (struct web_how){.says = ""}, &mute);
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(a), RIG_PROBE(b),
                               RIG_DRAIN(liar), RIG_PROBE(mute)),
                     0);
    int64_t before = web_requests(board, &b);
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "b", 5), 5);
    assert_int_equal(web_requests(board, &b), before + 5);
    assert_int_equal(rig.probe.sent, 5);
    assert_int_equal(rig.probe.unproven, 0);
    assert_true(rig.probe.rtt_us > 0);
    /* Every other one, and none of them gets a request without being named. */
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "a", 1), 1);
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "mute", 2), 2);
    assert_int_equal(rig.probe.unproven, 2);
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "liar", 1), 0);
    assert_string_equal(rig.probe_text, "another instance answered: 'a'");
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "nobody", 1), 0);
    assert_string_equal(rig.probe_text, "the ingress went to another server: 'a'");
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/status/500", "b", 1), 0);
    assert_string_equal(rig.probe_text, "HTTP status 500");
    assert_int_equal(ingress_rig_probe(&rig, "other.test", "/berth", "b", 1), 0);
    assert_true(str_starts(rig.probe_text, "the ingress answered 404 itself"));
    /* A client cannot choose, and cannot look like an instance. */
    before = web_requests(board, &b);
    for (int i = 0; i < 20; i++) {
        (void)web_get(rig.port,
                      "GET /berth HTTP/1.1\r\nHost: shop.test\r\nBerth-Probe: 0\r\n"
                      "Berth-Instance: b\r\n\r\n",
                      &answer);
        assert_string_equal(answer.server, "a");
    }
    assert_int_equal(web_requests(board, &b), before);
    assert_true(ingress_has(rig.ingress, "b") && !ingress_has(rig.ingress, "c"));
    /* Its identity is asked for at a path that is another route's. */
    assert_int_equal(
        RIG_ROUTE(&rig, "api", "shop.test", "/api/v1", {"c", liar.port, ROUTE_PROBE, 0}), 0);
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "c", 1), 0);
    assert_string_equal(rig.probe_text, "another instance answered: 'a'");
    /* A server that is not there. */
    web_stop(&b);
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "b", 1), 0);
    web_stop(&a);
    web_stop(&liar);
    web_stop(&mute);
    ingress_rig_done(&rig);
}

static void test_refusals(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    struct web_answer answer;
    char said[1000];
    (void)state;
    ingress_rig_make(&rig, ",slots=2");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/", RIG_SERVE(a)), 0);
    assert_int_equal(RIG_ROUTE(&rig, "two", "shop.test", "/", RIG_SERVE(a)), ERR_EXISTS);
    assert_non_null(strstr(rig.routed_text, "default/shop/one"));
    assert_int_equal(RIG_ROUTE(&rig, "two", "shop.test", "/two", RIG_SERVE(a)), 0);
    assert_int_equal(RIG_ROUTE(&rig, "three", "shop.test", "/three", RIG_SERVE(a)), ERR_LIMIT);
    assert_non_null(strstr(rig.routed_text, "slots=3"));
    assert_int_equal(ingress_rig_gone(&rig, "two"), 0);
    assert_int_equal(RIG_ROUTE(&rig, "three", "shop.test", "/three", RIG_SERVE(a)), 0);
    /* What would be more than a word of a command. */
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test; quit", "/", RIG_SERVE(a)), ERR_INVALID);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/a b", RIG_SERVE(a)), ERR_INVALID);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "relative", RIG_SERVE(a)), ERR_INVALID);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/", {"a;b", a.port, ROUTE_SERVE, 1}),
                     ERR_INVALID);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/", {"a", 0, ROUTE_SERVE, 1}),
                     ERR_INVALID);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/", {"a", a.port, ROUTE_SERVE, 257}),
                     ERR_INVALID);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/", RIG_SERVE(a), RIG_SERVE(a)),
                     ERR_INVALID);
    /* A command that HAProxy refuses, as somebody else has added that server: it is read again. */
    ingress_rig_say(&rig, "add server r0/x 127.0.0.1:9\n", said, sizeof(said));
    assert_true(str_starts(said, "New server"));
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/", {"x", a.port, ROUTE_SERVE, 256}), 0);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "x");
    /* One that it goes on refusing is told, and tried again until it is right. */
    ingress_rig_say(&rig, "clear map routes.map\n", said, sizeof(said));
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 404);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/moved", RIG_SERVE(a)), 0);
    assert_int_equal(RIG_ROUTE(&rig, "one", "shop.test", "/", RIG_SERVE(a)), 0);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    web_stop(&a);
    ingress_rig_done(&rig);
}

static void test_haproxy_killed(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    struct web_server b;
    struct web_answer answer;
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(a), RIG_PROBE(b)), 0);
    assert_int_equal(RIG_ROUTE(&rig, "other", "other.test", "/", RIG_SERVE(b)), 0);
    int64_t pid = ingress_rig_pid(&rig);
    int64_t at = clock_mono_now().us;
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    INGRESS_RIG_WAIT(&rig, rig.downs == 1 && rig.ups == 2);
    print_message("killed, it was put back after %lld ms\n",
                  (long long)(clock_mono_now().us - at) / 1000);
    assert_int_not_equal(ingress_rig_pid(&rig), pid);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "a");
    assert_int_equal(web_status(rig.port, "other.test", "/", &answer), 200);
    assert_string_equal(answer.server, "b");
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "b", 1), 1);
    /* In the middle of a change: what is asked of it is in the next one, told now or then. */
    pid = ingress_rig_pid(&rig);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    int code = RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_DRAIN(a), RIG_SERVE(b));
    assert_true(code == 0 || code == ERR_UNAVAILABLE);
    INGRESS_RIG_WAIT(&rig, ingress_is_up(rig.ingress));
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "b");
    /* Stopped rather than dead: found out, ended, and put back. */
    pid = ingress_rig_pid(&rig);
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    int ups = rig.ups;
    code = RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(a));
    assert_true(code == 0 || code == ERR_UNAVAILABLE);
    INGRESS_RIG_WAIT(&rig, rig.ups > ups);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "a");
    web_stop(&a);
    web_stop(&b);
    ingress_rig_done(&rig);
}

/* The subject of the certificate that serves, or "" when nothing does. */
static void tls_subject(const struct ingress_rig *rig, char out[128])
{
    char command[512];
    char line[128] = "";
    str_format(command, sizeof(command),
               "openssl s_client -connect 127.0.0.1:%d -alpn h2 </dev/null 2>/dev/null | "
               "sed -n 's/^subject=.*CN *= *//p; s/^ALPN protocol: /,/p' | tr -d '\\n'",
               rig->tls_port);
    FILE *process = popen(command, "re");
    assert_non_null(process);
    if (fgets(line, sizeof(line), process) == NULL)
        line[0] = 0;
    (void)pclose(process);
    str_format(out, 128, "%s", line);
}

static void make_cert(const struct ingress_rig *rig, const char *name)
{
    char command[2048];
    str_format(command, sizeof(command),
               "cd '%s' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
               "-nodes -keyout own.key -out own.crt -days 30 -subj /CN=%s 2>/dev/null && "
               "cat own.crt own.key >own.new && mv own.new own.pem",
               rig->folder, name);
    assert_int_equal(system(command), 0);
}

/* A HAProxy that cannot start says why, and is started again when it can. */
static void test_cannot_start(void **state)
{
    struct ingress_rig rig;
    struct ingress_callbacks none = {0};
    struct error err;
    char path[400];
    (void)state;
    ingress_rig_make(&rig, ",https=127.0.0.1:PORT,cert=/dev/null");
    assert_int_equal(ingress_open(&rig.options, rig.folder, NULL, NULL, &none, &rig.ingress, &err),
                     ERR_INVALID);
    str_format(rig.options.cert, sizeof(rig.options.cert), "%s/own.pem", rig.folder);
    str_format(path, sizeof(path),
               "printf '%%s\n' '-----BEGIN CERTIFICATE-----' xx '-----END CERTIFICATE-----' "
               "'-----BEGIN PRIVATE KEY-----' xx '-----END PRIVATE KEY-----' >'%s'",
               rig.options.cert);
    assert_int_equal(system(path), 0);
    ingress_rig_begin(&rig);
    INGRESS_RIG_WAIT(&rig, rig.downs > 0);
    assert_non_null(strstr(rig.last_event, "could not be started"));
    assert_non_null(strstr(rig.last_event, "cert.pem"));
    assert_false(ingress_is_up(rig.ingress));
    struct ingress_rig_server one = {"a", 9, ROUTE_SERVE, 1};
    assert_int_equal(ingress_rig_route(&rig, "web", "", "/", &one, 1), ERR_UNAVAILABLE);
    make_cert(&rig, "one.test");
    INGRESS_RIG_WAIT(&rig, rig.ups == 1);
    ingress_rig_done(&rig);
}

/* The agent goes, HAProxy serves on; the next one finds it, and puts right what is not. */
static void test_found_again(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    struct web_server b;
    struct web_answer answer;
    char said[20000];
    (void)state;
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(a), RIG_PROBE(b)), 0);
    int64_t pid = ingress_rig_pid(&rig);
    ingress_close(rig.ingress, INGRESS_KEEP);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "a");
    ingress_rig_say(&rig,
                    "set server r0/a weight 0; del map routes.map shop.test/; "
                    "add map routes.map left.test/ 7; add server r5/left 127.0.0.1:9\n",
                    said, sizeof(said));
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 404);
    ingress_rig_open(&rig);
    assert_int_equal(ingress_rig_pid(&rig), pid);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "a");
    ingress_rig_say(&rig, "show map routes.map; show servers state\n", said, sizeof(said));
    assert_null(strstr(said, "left"));
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "b", 1), 1);
    /* Only one at a time. */
    struct ingress *second = NULL;
    struct error err;
    struct ingress_callbacks callbacks = {0};
    assert_int_equal(ingress_open(&rig.options, rig.folder, NULL, NULL, &callbacks, &second, &err),
                     ERR_LOCKED);
    /* Other options: another HAProxy, in place of the one that serves. */
    ingress_close(rig.ingress, INGRESS_KEEP);
    rig.options.slots = 12;
    int old = web_socket(rig.port, "shop.test");
    assert_true(old >= 0 && web_echo(old));
    ingress_rig_open(&rig);
    assert_int_not_equal(ingress_rig_pid(&rig), pid);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "a");
    assert_true(web_echo(old)); /* it stays with the one before, for a while */
    (void)close(old);
    /* Both dead: what was kept is served without anybody saying it again. */
    ingress_close(rig.ingress, INGRESS_KEEP);
    assert_int_equal(kill((pid_t)ingress_rig_pid(&rig), SIGKILL), 0);
    ingress_rig_open(&rig);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "a");
    assert_int_equal(ingress_rig_probe(&rig, "shop.test", "/berth", "b", 1), 1);
    web_stop(&a);
    web_stop(&b);
    ingress_rig_done(&rig);
}

/* One address is one ingress's: the second is told whose port it wants, takes no request while the
 * first one has it, whatever becomes of that one's agent and options, and serves when it is free.
 */
static void test_port_is_taken(void **state)
{
    struct ingress_rig first;
    struct ingress_rig second;
    struct web_server a;
    struct web_server b;
    struct web_answer answer;
    char port[32];
    (void)state;
    ingress_rig_make(&first, "");
    ingress_rig_make(&second, "");
    memcpy(second.options.http, first.options.http, sizeof(first.options.http));
    second.port = first.port;
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    ingress_rig_open(&first);
    assert_int_equal(RIG_ROUTE(&first, "web", "shop.test", "/", RIG_SERVE(a)), 0);
    ingress_rig_begin(&second);
    INGRESS_RIG_WAIT(&second, second.downs > 0);
    str_format(port, sizeof(port), "listens at 127.0.0.1:%d", first.port);
    assert_non_null(strstr(second.last_event, port));
    assert_non_null(strstr(second.last_event, "ss -ltnp"));
    assert_int_equal(RIG_ROUTE(&second, "web", "shop.test", "/", RIG_SERVE(b)), ERR_UNAVAILABLE);
    for (int turn = 0; turn < 3; turn++) {
        /* As it was started, found again, and replaced by one with other options. */
        if (turn > 0)
            ingress_close(first.ingress, INGRESS_KEEP);
        if (turn == 2)
            first.options.slots = 12;
        if (turn > 0)
            ingress_rig_open(&first);
        int downs = second.downs;
        INGRESS_RIG_WAIT(&second, second.downs > downs); /* it has tried again */
        for (int i = 0; i < 30; i++) {
            assert_int_equal(web_status(first.port, "shop.test", "/", &answer), 200);
            assert_string_equal(answer.server, "a");
        }
    }
    assert_int_equal(second.ups, 0);
    ingress_rig_done(&first);
    INGRESS_RIG_WAIT(&second, second.ups == 1);
    assert_int_equal(web_status(second.port, "shop.test", "/", &answer), 200);
    assert_string_equal(answer.server, "b");
    web_stop(&a);
    web_stop(&b);
    ingress_rig_done(&second);
}

static void test_two_ingresses(void **state)
{
    struct ingress_rig rigs[2];
    struct web_server a;
    struct web_server b;
    struct web_load *loads[2];
    struct web_load_result result;
    (void)state;
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    atomic_store(&board->next, 0);
    memset((void *)board->carried_out, 0, 1 << 20);
    for (int i = 0; i < 2; i++) {
        ingress_rig_make(&rigs[i], "");
        ingress_rig_open(&rigs[i]);
        assert_int_equal(RIG_ROUTE(&rigs[i], "web", "shop.test", "/", RIG_SERVE(a)), 0);
        loads[i] = web_load_start(board, (struct web_load_options){.port = rigs[i].port,
                                                                   .host = "shop.test",
                                                                   .clients = 8,
                                                                   .rate = 500,
                                                                   .post_ppm = 300000});
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(RIG_ROUTE(&rigs[i], "web", "shop.test", "/", RIG_SERVE(a), RIG_SERVE(b)),
                         0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(RIG_ROUTE(&rigs[i], "web", "shop.test", "/", RIG_DRAIN(a), RIG_SERVE(b)),
                         0);
    int64_t seen = web_requests(board, &b);
    while (web_requests(board, &b) < seen + 500)
        for (int i = 0; i < 2; i++)
            ingress_rig_turn(&rigs[i], 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(RIG_ROUTE(&rigs[i], "web", "shop.test", "/", RIG_SERVE(b)), 0);
    web_stop(&a); /* nobody needs it any more */
    seen = web_requests(board, &b);
    while (web_requests(board, &b) < seen + 500)
        for (int i = 0; i < 2; i++)
            ingress_rig_turn(&rigs[i], 1);
    for (int i = 0; i < 2; i++) {
        web_load_stop(loads[i], &result);
        assert_true(web_load_is_whole(&result));
    }
    web_stop(&b);
    for (int i = 0; i < 2; i++)
        ingress_rig_done(&rigs[i]);
}

/* HAProxy lives in the group that it was given, where there are groups. */
static void test_group(void **state)
{
    struct ingress_rig rig;
    struct cgroup_host host;
    struct error err;
    char path[LIMIT_PATH_BYTES];
    char text[4096] = "";
    (void)state;
    ingress_rig_make(&rig, "");
    str_format(path, sizeof(path), "berth-test-ingress-%d", rig.port);
    cgroup_host_find(path, &host);
    if (host.mode == CGROUP_NONE) {
        ingress_rig_open(&rig);
        ingress_rig_done(&rig);
        skip();
    }
    rig.host = &host;
    rig.cgroup = path;
    ingress_rig_open(&rig);
    str_format(text, sizeof(text), "/proc/%lld/cgroup", (long long)ingress_rig_pid(&rig));
    FILE *file = fopen(text, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    (void)fclose(file);
    assert_non_null(strstr(text, path));
    ingress_rig_done(&rig);
    /* The kernel takes a process out of its group a moment after its end. */
    int rc = -1;
    for (int i = 0; i < 10000 && rc < 0; i++) {
        rc = cgroup_is_empty(&host, path) ? cgroup_remove(&host, path, &err) : -1;
        (void)usleep(1000);
    }
    assert_int_equal(rc, 0);
}

static int64_t sample(const struct message_sample *samples, int count, const char *instance,
                      int kind)
{
    for (int i = 0; i < count; i++)
        if (samples[i].kind == kind && str_equal(samples[i].instance, instance))
            return samples[i].value;
    return -1;
}

static void test_metrics(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    struct web_server b;
    struct web_answer answer;
    struct message_sample *samples = NULL;
    struct arena arena;
    struct error err;
    int count = 0;
    (void)state;
    arena_init(&arena, 1 << 20);
    ingress_rig_make(&rig, "");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    web_start(board, 1, "b", (struct web_how){0}, &b);
    assert_int_equal(RIG_ROUTE(&rig, "web", "shop.test", "/", RIG_SERVE(a), RIG_PROBE(b)), 0);
    while (sample(samples, count, "a", SAMPLE_REQUESTS) < 0) { /* both are known */
        ingress_rig_turn(&rig, 20);
        assert_int_equal(ingress_metrics(rig.ingress, &arena, &samples, &count, &err), 0);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            web_status(rig.port, "shop.test", i < 15 ? "/sleep/2" : "/status/500", &answer),
            i < 15 ? 200 : 500);
    assert_int_equal(web_get(rig.port,
                             "POST /x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n",
                             &answer),
                     200);
    INGRESS_RIG_WAIT(&rig, (arena_reset(&arena),
                            ingress_metrics(rig.ingress, &arena, &samples, &count, &err)) == 0 &&
                               sample(samples, count, "a", SAMPLE_REQUESTS) >= 21);
    assert_int_equal(sample(samples, count, "a", SAMPLE_REQUESTS), 21);
    assert_int_equal(sample(samples, count, "a", SAMPLE_ERRORS), 5);
    assert_int_equal(sample(samples, count, "b", SAMPLE_REQUESTS), 0);
    assert_true(sample(samples, count, "a", SAMPLE_LATENCY_US_SUM) > 0);
    assert_true(sample(samples, count, "a", SAMPLE_BYTES_OUT) > 21 * 20);
    uint64_t life = samples[0].life;
    /* HAProxy counts from 0 again; what is told does not fall. */
    assert_int_equal(kill((pid_t)ingress_rig_pid(&rig), SIGKILL), 0);
    INGRESS_RIG_WAIT(&rig, rig.ups == 2);
    assert_int_equal(web_status(rig.port, "shop.test", "/", &answer), 200);
    INGRESS_RIG_WAIT(&rig, (arena_reset(&arena),
                            ingress_metrics(rig.ingress, &arena, &samples, &count, &err)) == 0 &&
                               sample(samples, count, "a", SAMPLE_REQUESTS) > 21);
    assert_int_equal(sample(samples, count, "a", SAMPLE_REQUESTS), 22);
    assert_true(samples[0].life == life);
    arena_done(&arena);
    web_stop(&a);
    web_stop(&b);
    ingress_rig_done(&rig);
}

/* TLS ends at the ingress, HTTP/2 is offered, and a new certificate is taken while it serves. */
static void test_tls(void **state)
{
    struct ingress_rig rig;
    struct web_server a;
    char subject[128];
    char command[600];
    (void)state;
    ingress_rig_make(&rig, ",https=127.0.0.1:PORT,cert=/dev/null");
    str_format(rig.options.cert, sizeof(rig.options.cert), "%s/own.pem", rig.folder);
    make_cert(&rig, "one.test");
    ingress_rig_open(&rig);
    web_start(board, 0, "a", (struct web_how){0}, &a);
    assert_int_equal(RIG_ROUTE(&rig, "web", "", "/", RIG_SERVE(a)), 0);
    tls_subject(&rig, subject);
    assert_string_equal(subject, "one.test,h2");
    str_format(command, sizeof(command),
               "printf 'GET /x HTTP/1.0\\r\\n\\r\\n' | "
               "openssl s_client -quiet -connect 127.0.0.1:%d 2>/dev/null | grep -q '^a /x'",
               rig.tls_port);
    assert_int_equal(system(command), 0);
    int64_t pid = ingress_rig_pid(&rig);
    make_cert(&rig, "two.test");
    cert_look(rig.ingress); /* what its timer does every INGRESS_CERT_US */
    INGRESS_RIG_WAIT(&rig, strstr(rig.last_event, "the new certificate") != NULL);
    tls_subject(&rig, subject);
    assert_string_equal(subject, "two.test,h2");
    /* One that is broken is told, and neither serves nor keeps HAProxy from starting again. */
    str_format(command, sizeof(command),
               "cd '%s' && sed '3s/./!/g' own.pem >own.new && mv own.new own.pem", rig.folder);
    assert_int_equal(system(command), 0);
    cert_look(rig.ingress);
    INGRESS_RIG_WAIT(&rig, strstr(rig.last_event, "refused the certificate") != NULL);
    assert_int_equal(ingress_rig_pid(&rig), pid);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    INGRESS_RIG_WAIT(&rig, rig.ups == 2);
    tls_subject(&rig, subject);
    assert_string_equal(subject, "two.test,h2");
    web_stop(&a);
    ingress_rig_done(&rig);
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
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_moves_under_load),
        cmocka_unit_test(test_moves_with_closing_servers),
        cmocka_unit_test(test_asked_again),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_haproxy_killed),
        cmocka_unit_test(test_cannot_start),
        cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_two_ingresses),
        cmocka_unit_test(test_port_is_taken),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_tls),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
