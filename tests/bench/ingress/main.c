/*
 * bench_ingress: what the ingress costs, and what a switch of servers loses.
 *
 * First, clients that keep their connections go to a server directly and through the ingress, in
 * turns, as fast as they can and then at one rate: requests a second, and latencies, as ratios of
 * medians. Second, at RATE requests a second (or what the machine can: what was reached is printed)
 * 200 times the traffic goes from one server to another: through routes as the scheduler sends
 * them, and, in the same run, by a changed configuration and a reload of a HAProxy, as its manual
 * says
 * (-sf) and with listeners handed over (-x). Lost: no answer, or another status than 200; twice:
 * the servers carried it out more than once. A connection closed between two requests is no error.
 *
 * Clients, servers, HAProxy and this loop share the machine. Exit status 1 when the routes lost or
 * repeated one request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/ingress_rig.h"
#include "tests/live/web_rig.h"

#define CLIENTS  32
#define ROUNDS   5
#define RUN_US   (2 * US_PER_S)
#define RATE     10000
#define SWITCHES 200
#define PAUSE_US (20 * US_PER_MS) /* what is under way on the old server ends */

enum how { HOW_ROUTES, HOW_RELOAD, HOW_HANDED_OVER, HOWS };
static const char *const how_words[HOWS] = {"routes (Berth)", "reload -sf", "reload -x -sf"};

static struct web_board *board;
static struct web_server servers[2];
static struct ingress_rig rig;
static const char *haproxy;

static void turn_for(int64_t us)
{
    int64_t until_us = clock_mono_now().us + us;
    for (int64_t left; (left = until_us - clock_mono_now().us) > 0;)
        ingress_rig_turn(&rig, (int)(left / US_PER_MS) + 1);
}

static struct web_load_result run(int port, int rate)
{
    struct web_load_result result;
    struct web_load *load =
        web_load_start(board, (struct web_load_options){port, "shop.test", CLIENTS, rate, 200000});
    turn_for(RUN_US);
    web_load_stop(load, &result);
    return result;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[ROUNDS])
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

static void route(int count, const struct ingress_rig_server *list)
{
    BERTH_ASSERT(ingress_rig_route(&rig, "web", "shop.test", "/", list, count) == 0, "%s",
                 rig.routed_text);
}

/* By routes, each waited for, as one handoff of the scheduler. */
static void switch_routes(const struct web_server *from, const struct web_server *to)
{
    struct ingress_rig_server list[2] = {{from->name, from->port, ROUTE_SERVE, 256},
                                         {to->name, to->port, ROUTE_PROBE, 0}};
    route(2, list);
    BERTH_ASSERT(ingress_rig_probe(&rig, "shop.test", "/berth", to->name, 1) == 1, "%s",
                 rig.probe_text);
    list[1].mode = ROUTE_SERVE;
    list[1].weight = 256;
    route(2, list);
    list[0].mode = ROUTE_DRAIN;
    route(2, list);
    turn_for(PAUSE_US);
    route(1, list + 1);
}

/* By a configuration with the other server. */
static void reload(int port, const struct web_server *to, enum how how, bool first)
{
    char path[400];
    char command[1024];
    str_format(path, sizeof(path), "%s/reload.cfg", rig.folder);
    FILE *file = fopen(path, "we");
    BERTH_ASSERT(file != NULL, "%s", path);
    (void)fprintf(file,
                  "global\n stats socket unix@%s/reload.sock level admin expose-fd listeners\n"
                  " maxconn 2000\n hard-stop-after 30s\ndefaults\n mode http\n timeout connect 3s\n"
                  " timeout client 60s\n timeout server 60s\n retries 3\n option redispatch 1\n"
                  "frontend f\n bind 127.0.0.1:%d\n default_backend b\n"
                  "backend b\n server s 127.0.0.1:%d\n",
                  rig.folder, port, to->port);
    (void)fclose(file);
    str_format(command, sizeof(command), "cd '%s' && '%s' -D -f reload.cfg -p reload.pid%s%s%s",
               rig.folder, haproxy, how == HOW_HANDED_OVER && !first ? " -x $PWD/reload.sock" : "",
               first ? "" : " -sf $(cat reload.pid)", " 2>/dev/null");
    BERTH_ASSERT(system(command) == 0, "%s", command);
    turn_for(PAUSE_US);
}

static void reload_end(void)
{
    char command[400];
    str_format(command, sizeof(command), "kill -9 $(cat '%s/reload.pid')", rig.folder);
    BERTH_ASSERT(system(command) == 0, "%s", command);
}

static struct web_load_result run_switches(enum how how)
{
    struct web_load_result result;
    int port = how == HOW_ROUTES ? rig.port : ingress_rig_free_port();
    if (how == HOW_ROUTES)
        route(1, &(struct ingress_rig_server){servers[0].name, servers[0].port, ROUTE_SERVE, 256});
    else
        reload(port, &servers[0], how, true);
    atomic_store(&board->next, 0);
    memset((void *)board->carried_out, 0, sizeof(board->carried_out));
    struct web_load *load =
        web_load_start(board, (struct web_load_options){port, "shop.test", CLIENTS, RATE, 200000});
    turn_for(US_PER_S / 2);
    for (int i = 0; i < SWITCHES; i++) {
        const struct web_server *from = &servers[i % 2];
        const struct web_server *to = &servers[1 - i % 2];
        if (how == HOW_ROUTES)
            switch_routes(from, to);
        else
            reload(port, to, how, false);
    }
    web_load_stop(load, &result);
    if (how != HOW_ROUTES)
        reload_end();
    return result;
}

enum way { WAY_DIRECT, WAY_PLAIN, WAY_INGRESS, WAYS };
static const char *const way_words[WAYS] = {"direct", "plain HAProxy", "ingress"};

/* The plain one has the configuration of the reloads: a frontend and a server. */
static void cost(void)
{
    static double values[WAYS][3][ROUNDS];
    double medians[WAYS][3];
    int plain = ingress_rig_free_port();
    const int ports[WAYS] = {servers[0].port, plain, rig.port};
    reload(plain, &servers[0], HOW_RELOAD, true);
    for (int i = 0; i < ROUNDS; i++)
        for (int way = 0; way < WAYS; way++) {
            struct web_load_result result = run(ports[way], 0);
            values[way][0][i] = (double)result.answered / result.seconds;
            result = run(ports[way], 2000);
            values[way][1][i] = (double)result.p50_us;
            values[way][2][i] = (double)result.p99_us;
        }
    reload_end();
    printf("%-16s %12s %12s %12s\n", "", "requests/s", "p50 us*", "p99 us*");
    for (int way = 0; way < WAYS; way++) {
        printf("%-16s", way_words[way]);
        for (int i = 0; i < 3; i++)
            printf(" %12.0f", medians[way][i] = median(values[way][i]));
        printf("\n");
    }
    for (int way = WAY_DIRECT; way < WAY_INGRESS; way++) {
        printf("ingress/%-8.6s", way_words[way]);
        for (int i = 0; i < 3; i++)
            printf(" %12.2f", medians[WAY_INGRESS][i] / medians[way][i]);
        printf("\n");
    }
    printf("* at 2,000 requests/s\n\n");
}

int main(void)
{
    int status = 0;
    struct web_load_result results[HOWS];
    board = web_board();
    ingress_rig_make(&rig, "");
    haproxy = getenv("BERTH_HAPROXY");
    ingress_rig_open(&rig);
    for (int i = 0; i < 2; i++)
        web_start(board, i, i == 0 ? "a" : "b", (struct web_how){0}, &servers[i]);
    route(1, &(struct ingress_rig_server){servers[0].name, servers[0].port, ROUTE_SERVE, 256});
    cost();
    struct web_load_result calm = run(rig.port, RATE);
    printf("%-16s %9s %9s %6s %6s %9s %9s %10s\n", "200 switches", "rate", "requests", "lost",
           "twice", "p50 us", "p99 us", "reconnects");
    printf("%-16s %9.0f %9lld %6lld %6s %9lld %9lld %10lld\n", "none (Berth)",
           (double)calm.sent / calm.seconds, (long long)calm.sent, (long long)calm.lost, "",
           (long long)calm.p50_us, (long long)calm.p99_us, (long long)calm.reconnects);
    for (int how = 0; how < HOWS; how++) {
        results[how] = run_switches((enum how)how);
        const struct web_load_result *r = &results[how];
        printf("%-16s %9.0f %9lld %6lld %6lld %9lld %9lld %10lld  %s\n", how_words[how],
               (double)r->sent / r->seconds, (long long)r->sent, (long long)r->lost,
               (long long)r->duplicated, (long long)r->p50_us, (long long)r->p99_us,
               (long long)r->reconnects, r->first_error);
    }
    const struct web_load_result *r = &results[HOW_ROUTES];
    if (r->lost != 0 || r->duplicated != 0)
        status = 1;
    printf("{\"bench\":\"ingress\",\"lost\":%lld,\"twice\":%lld,\"requests\":%lld,"
           "\"p99_ratio\":%.2f,\"reload_lost\":%lld,\"reload_handed_over_lost\":%lld}\n",
           (long long)r->lost, (long long)r->duplicated, (long long)r->sent,
           (double)r->p99_us / (double)(calm.p99_us > 0 ? calm.p99_us : 1),
           (long long)results[HOW_RELOAD].lost, (long long)results[HOW_HANDED_OVER].lost);
    for (int i = 0; i < 2; i++)
        web_stop(&servers[i]);
    ingress_rig_done(&rig);
    return status;
}
