/* An HTTP service moved there and back behind an ingress, and beside it what one would do with the
 * same server programs and a HAProxy by hand. Far, the two sides are network namespaces with a
 * cable between them (tests/live/netns.h); the client and the ingress are near. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/bench/handoff/rows.h"

#define WAYS        4
#define CONNECTIONS "256"

enum way { WAY_BERTH, WAY_STOP_START, WAY_START_STOP, WAY_RELOAD };

struct by_hand {
    int64_t delay_ms;
    enum way way;
    int front; /* the port that clients ask */
    char config[800];
    char pid_file[800];
    pid_t server;
    pid_t client;
    int place; /* CLUSTER_GCP, CLUSTER_AWS */
    int port;  /* of the server that requests are sent to */
    int count;
};

static struct cluster cluster;
static struct stage stage;
static struct by_hand hand;

static void run_berth(const struct bench *bench, int64_t delay_ms, struct outcome *outcome);
static void run_by_hand(const struct bench *bench, enum way way, struct outcome *outcome);
static void move(int place);
static pid_t server_start(int place, int port);
static void server_stop(pid_t *pid);
static bool is_reached(int place, int port);
static void config_write(void);
static void proxy_load(void);
static pid_t proxy_pid(void);
static const char *address_of(int place);

int64_t row_http(const struct bench *bench, int64_t delay_ms)
{
    static struct outcome outcomes[WAYS];
    static const char *const names[WAYS] = {"berth", "stop-then-start", "start-then-stop",
                                            "HAProxy reload"};
    memset(outcomes, 0, sizeof outcomes);
    for (int i = 0; i < WAYS; i++) {
        outcomes[i].name = names[i];
        outcomes[i].moves = i == 0 ? bench->moves : bench->baseline_moves;
    }
    const struct cluster_options options = {.delay_ms = delay_ms == 0 ? -1 : delay_ms,
                                            .healthy_min_ms = bench->healthy_ms,
                                            .ingress = {true, false}};
    if (delay_ms == 0)
        cluster_start(&cluster, &options);
    else if (!cluster_start_apart(&cluster, &options))
        return 0;
    run_berth(bench, delay_ms, &outcomes[0]);
    for (int i = 1; i < WAYS; i++)
        run_by_hand(bench, (enum way)i, &outcomes[i]);
    cluster_done(&cluster);
    return outcome_print(bench, "http", delay_ms, outcomes, WAYS);
}

static void run_berth(const struct bench *bench, int64_t delay_ms, struct outcome *outcome)
{
    int status;
    stage_open(&stage, &cluster, STAGE_WEB, clouds[CLUSTER_GCP],
               &(struct stage_options){.rate = bench->rate,
                                       .group_us = bench->group_us,
                                       .newest = true,
                                       .no_ids = true,
                                       .connections = delay_ms == 0 ? 256 : 2048});
    stage_ask(&stage);
    outcome_moves(outcome, bench, &stage, bench->moves);
    json_t *line = stage_judge(&stage, &status);
    printf("lost: %" PRId64 " found no connection in time, %" PRId64
           " were on one that closed, %" PRId64 " got no answer in time; refused: %" PRId64
           " wrong, %" PRId64 " with 4xx, %" PRId64 " with 5xx; %" PRId64 " connections made\n\n",
           stage_number(line, "lost_connect"), stage_number(line, "lost_closed"),
           stage_number(line, "lost_timeout"), stage_number(line, "refused_wrong"),
           stage_number(line, "refused_4xx"), stage_number(line, "refused_5xx"),
           stage_number(line, "connects"));
    json_decref(line);
    outcome_judge(outcome, stage.history);
    stage_close(&stage);
}

/* ---- by hand ---- */

static void run_by_hand(const struct bench *bench, enum way way, struct outcome *outcome)
{
    char program[700], url[64], rate[24], group[24], history[800], connections[16];
    hand = (struct by_hand){.delay_ms = cluster.options.delay_ms, .way = way};
    hand.front = test_port_free();
    str_format(hand.config, sizeof hand.config, "%s/by-hand-%d.cfg", cluster.hub.folder, way);
    str_format(hand.pid_file, sizeof hand.pid_file, "%s/by-hand-%d.pid", cluster.hub.folder, way);
    str_format(history, sizeof history, "%s/by-hand-%d.txt", cluster.hub.folder, way);
    str_format(url, sizeof url, "http://127.0.0.1:%d/", hand.front);
    str_format(rate, sizeof rate, "%" PRId64, bench->rate);
    str_format(group, sizeof group, "%" PRId64, bench->group_us);
    str_format(connections, sizeof connections, "%s", hand.delay_ms == 0 ? CONNECTIONS : "2048");
    hand.port = test_port_free();
    hand.server = server_start(CLUSTER_GCP, hand.port);
    while (!is_reached(CLUSTER_GCP, hand.port))
        cluster_pause(10 * US_PER_MS);
    proxy_load();
    const char *const argv[] = {cluster_program("http-load", program),
                                "--json",
                                "--url",
                                url,
                                "--host",
                                "web.test",
                                "--rate",
                                rate,
                                "--group-us",
                                group,
                                "--seconds",
                                "600",
                                "--connections",
                                connections,
                                "--newest",
                                "--history",
                                history,
                                NULL};
    hand.client = cluster_spawn(&cluster, "by-hand-load", argv);
    cluster_pause(US_PER_S);
    for (int64_t i = 0; i < outcome->moves; i++) {
        int to = hand.place == CLUSTER_GCP ? CLUSTER_AWS : CLUSTER_GCP;
        int from = hand.place;
        outcome_rest_begin(outcome, &cluster, from);
        cluster_pause(outcome_rest_us(bench, i));
        outcome_rest_end(outcome, &cluster, from);
        struct history_window *window = &outcome->windows[to][outcome->window_count[to]++];
        window->from_us = clock_wall_now().us;
        move(to);
        cluster_pause(200 * US_PER_MS);
        window->to_us = clock_wall_now().us;
    }
    cluster_stop(&hand.client);
    server_stop(&hand.server);
    pid_t proxy = proxy_pid();
    if (proxy > 0)
        kill(proxy, SIGKILL);
    outcome_judge(outcome, history);
}

static void move(int place)
{
    int port = hand.way == WAY_STOP_START ? hand.port : test_port_free();
    pid_t new;
    if (hand.way == WAY_STOP_START)
        server_stop(&hand.server);
    new = server_start(place, port);
    hand.place = place;
    hand.port = port;
    /* Nobody looks whether it is reached, nor waits for what is on its way to the old one; but a
     * reload is done by who knows that the new one listens. */
    while (hand.way == WAY_RELOAD && !is_reached(place, port))
        cluster_pause(10 * US_PER_MS);
    proxy_load();
    if (hand.way != WAY_STOP_START)
        server_stop(&hand.server);
    hand.server = new;
}

static pid_t server_start(int place, int port)
{
    char program[700], listen[64], log[32];
    str_format(listen, sizeof listen, "%s:%d", address_of(place), port);
    str_format(log, sizeof log, "by-hand-web-%d", hand.count++);
    const char *const argv[] = {
        cluster_program("web", program), "--listen", listen, "--ready-after-ms", "100", NULL};
    return place == CLUSTER_AWS ? cluster_spawn_far(&cluster, log, argv)
                                : cluster_spawn(&cluster, log, argv);
}

/* Told to end, it does so in its own way: it drains for up to 5 s. */
static void server_stop(pid_t *pid)
{
    cluster_stop(pid);
}

static bool is_reached(int place, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, address_of(place), &address.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    return rc == 0;
}

static void config_write(void)
{
    FILE *file = fopen(hand.config, "we");
    assert_non_null(file);
    fprintf(file,
            "global\n  maxconn 4000\n  nbthread 1\n"
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n"
            "  timeout server 30s\n  retries 3\n  option redispatch\n"
            "frontend f\n  bind 127.0.0.1:%d\n  default_backend b\n"
            "backend b\n  http-reuse safe\n  server s %s:%d\n",
            hand.front, address_of(hand.place), hand.port);
    assert_int_equal(fclose(file), 0);
}

/* A configuration with the server as it is now, and a HAProxy that takes over from the one before.
 */
static void proxy_load(void)
{
    char old[16] = "";
    const char *haproxy = getenv("BERTH_HAPROXY");
    pid_t before = proxy_pid();
    config_write();
    if (before > 0)
        str_format(old, sizeof old, "%d", (int)before);
    const char *const argv[] = {haproxy != NULL && haproxy[0] != 0 ? haproxy : "/usr/sbin/haproxy",
                                "-f",
                                hand.config,
                                "-p",
                                hand.pid_file,
                                "-D",
                                before > 0 ? "-sf" : NULL,
                                old,
                                NULL};
    pid_t pid = cluster_spawn(&cluster, "by-hand-haproxy", argv);
    if (cluster_wait(&pid, CLUSTER_WAIT_US) != 0) {
        cluster_log_print(&cluster, "by-hand-haproxy");
        fail_msg("HAProxy did not start");
    }
}

static pid_t proxy_pid(void)
{
    int pid = 0;
    FILE *file = fopen(hand.pid_file, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    return (pid_t)pid;
}

static const char *address_of(int place)
{
    if (cluster.netns.pid <= 0)
        return "127.0.0.1";
    return place == CLUSTER_AWS ? cluster.netns.far : cluster.netns.near;
}
