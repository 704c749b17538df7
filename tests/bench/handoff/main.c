/*
 * bench_handoff: a NATS service moved back and forth across a slow link while an outside client
 * asks it at a steady rate: what is lost, and what the moves cost in latency; and the same moves
 * done as one would without Berth, in the same run.
 *
 *     bench_handoff [--moves 50] [--rate 2500] [--delay-ms 40] [--baseline-moves 10] [--quick]
 *                   [--by-hand]
 *
 * Everything is real and on this machine: hub and leaf nats-server with delay-proxy between them,
 * a node at each, the scheduler, shop-source as the service and shop-load at the hub as the client.
 * Berth's own moves are retags, carried out by the scheduler; with --by-hand this program sends the
 * commands of the same sequence to the nodes. The baselines are always commands of this program:
 *   stop-then-start    the old copy is stopped, then the new one started
 *   start-then-drain   the new copy is started; when it says ready, the old one drains at once; the
 *                      orders do not travel over the slow link, as an orchestrator's seldom do
 *   the same, by bus   with the orders on the slow link as well, behind the requests and before the
 *                      answers: what the order of one connection alone is worth, where it can be
 * had
 *
 * "p99 during" is over the requests that were sent between the begin and the end of the moves in
 * one direction; it is compared with the larger of the p99 that the two sites had at rest, before
 * each move, as service at the far side costs a round trip in itself. Exit status 1 when Berth's
 * own moves lost or duplicated a request.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/bench/handoff/drive.h"
#include "tests/live/cluster.h"
#include "tests/live/history.h"

#define MOVES_MAX 200
#define REST_US   (500 * US_PER_MS) /* before each move: other load hits both alike */
#define WAYS      4

struct bench {
    int64_t moves;
    int64_t rate;
    int64_t delay_ms;
    int64_t baseline_moves;
    int64_t rest_us; /* before the first move from each site, the first measurement at rest */
    bool by_hand;
};

/* What one way of moving did. Index 0: towards the hub, 1: towards the leaf (CLUSTER_*). */
struct outcome {
    const char *name;
    int64_t moves;
    struct history_window rest[2][MOVES_MAX];
    int rest_count[2];
    struct history_window windows[2][MOVES_MAX];
    int window_count[2];
    struct history_figures all;
    struct history_figures at_rest[2];
    struct history_figures during[2];
    int64_t took_us; /* mean */
};

static const char *const args[] = {"--subject", "svc.default.w", "--bytes", "256", "--cpu-us", "20",
                                   NULL};
static const char *const sites[] = {"gcp/us-central1", "aws/us-east-1"};
static const char *const clouds[] = {"gcp", "aws"};

static struct cluster cluster;
static struct drive drive;

static bool read_options(struct bench *bench, int argc, char **argv);
static void run_scheduler(const struct bench *bench, struct outcome *outcome);
static void run_drive(const struct bench *bench, enum drive_way way, bool direct,
                      struct outcome *outcome);
static void judge(struct outcome *outcome);
static void print_table(const struct bench *bench, const struct outcome *outcomes, int count);
static void print_json(const struct bench *bench, const struct outcome *outcomes, int count);
static void clean_up(void);

int main(int argc, char **argv)
{
    struct bench bench = {
        .moves = 50, .rate = 2500, .delay_ms = 40, .baseline_moves = 10, .rest_us = 5 * US_PER_S};
    static struct outcome outcomes[WAYS] = {{.name = "berth"},
                                            {.name = "stop-then-start"},
                                            {.name = "start-then-drain"},
                                            {.name = "the same, by bus"}};
    if (!read_options(&bench, argc, argv))
        return 2;
    atexit(clean_up);
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = bench.delay_ms,
                                                      .no_scheduler = bench.by_hand});
    outcomes[0].moves = bench.moves;
    for (int i = 1; i < WAYS; i++)
        outcomes[i].moves = bench.baseline_moves;
    if (bench.by_hand) {
        outcomes[0].name = "by hand";
        run_drive(&bench, DRIVE_CAREFUL, false, &outcomes[0]);
    } else {
        run_scheduler(&bench, &outcomes[0]);
        cluster_stop(&cluster.scheduler_pid);
    }
    run_drive(&bench, DRIVE_STOP_START, true, &outcomes[1]);
    run_drive(&bench, DRIVE_START_DRAIN, true, &outcomes[2]);
    run_drive(&bench, DRIVE_START_DRAIN, false, &outcomes[3]);
    cluster_no_orphans(&cluster);
    print_table(&bench, outcomes, WAYS);
    print_json(&bench, outcomes, WAYS);
    const struct history_figures *own = &outcomes[0].all;
    return own->lost + own->refused + own->duplicated > 0;
}

static bool read_options(struct bench *bench, int argc, char **argv)
{
    const struct {
        const char *name;
        int64_t *value;
        int64_t max;
    } numbers[] = {{"--moves", &bench->moves, MOVES_MAX},
                   {"--rate", &bench->rate, 100000},
                   {"--delay-ms", &bench->delay_ms, 2000},
                   {"--baseline-moves", &bench->baseline_moves, MOVES_MAX}};
    for (int i = 1; i < argc; i++) {
        bool known = false;
        if (str_equal(argv[i], "--by-hand"))
            known = bench->by_hand = true;
        if (str_equal(argv[i], "--quick")) {
            known = true;
            bench->moves = 6;
            bench->baseline_moves = 4;
            bench->rest_us = 2 * US_PER_S;
        }
        for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]) && i + 1 < argc; k++)
            if (!known && str_equal(argv[i], numbers[k].name)) {
                i++;
                known = str_to_i64(argv[i], numbers[k].value) == 0 && *numbers[k].value >= 1 &&
                        *numbers[k].value <= numbers[k].max;
                break;
            }
        if (!known) {
            fprintf(stderr,
                    "bench_handoff: '%s'\n"
                    "usage: bench_handoff [--moves 1..%d] [--rate N] [--delay-ms N]\n"
                    "                     [--baseline-moves 1..%d] [--quick] [--by-hand]\n",
                    argv[i], MOVES_MAX, MOVES_MAX);
            return false;
        }
    }
    return true;
}

/* ---- the two ways of driving ---- */

static void run_scheduler(const struct bench *bench, struct outcome *outcome)
{
    cluster_apply(&cluster,
                  &(struct cluster_app){.program = "shop-source",
                                        .args = "[--subject, svc.default.w, --bytes, \"256\", "
                                                "--cpu-us, \"20\"]",
                                        .cloud = clouds[CLUSTER_GCP]});
    cluster_settled(&cluster, sites[CLUSTER_GCP]);
    cluster_load_start(&cluster, bench->rate);
    int at = CLUSTER_GCP;
    for (int64_t move = 0; move < bench->moves; move++) {
        char before[LIMIT_ID_BYTES];
        struct history_window *rest = &outcome->rest[at][outcome->rest_count[at]++];
        rest->from_us = clock_wall_now().us;
        cluster_pause(move < 2 ? bench->rest_us : REST_US);
        rest->to_us = clock_wall_now().us;
        at = at == CLUSTER_GCP ? CLUSTER_AWS : CLUSTER_GCP;
        cluster_handoff_newest(&cluster, before);
        cluster_retag(&cluster, clouds[at]);
        json_t *handoff = cluster_handoff_ended(&cluster, before);
        const json_t *steps = json_object_get(handoff, "steps");
        if (!str_equal(json_string_value(json_object_get(handoff, "state")), "done"))
            fail_msg("move %" PRId64 " went back: %s", move,
                     json_string_value(json_object_get(handoff, "text")));
        struct history_window *window = &outcome->windows[at][outcome->window_count[at]++];
        *window = (struct history_window){.from_us = INT64_MAX};
        for (size_t i = 0; i < json_array_size(steps); i++) {
            int64_t at_us = json_integer_value(json_object_get(json_array_get(steps, i), "at_us"));
            window->from_us = at_us < window->from_us ? at_us : window->from_us;
            window->to_us = at_us > window->to_us ? at_us : window->to_us;
        }
        json_decref(handoff);
        cluster_settled(&cluster, sites[at]);
        cluster_pause(200 * US_PER_MS);
    }
    cluster_load_end(&cluster);
    judge(outcome);
    cluster_delete(&cluster);
}

static void run_drive(const struct bench *bench, enum drive_way way, bool direct,
                      struct outcome *outcome)
{
    drive_open(&drive, &cluster, direct, "shop-source", args);
    drive_begin(&drive, CLUSTER_GCP);
    cluster_load_start(&cluster, bench->rate);
    int at = CLUSTER_GCP;
    for (int64_t move = 0; move < outcome->moves; move++) {
        struct history_window *rest = &outcome->rest[at][outcome->rest_count[at]++];
        rest->from_us = clock_wall_now().us;
        drive_run(&drive, move < 2 ? bench->rest_us : REST_US);
        rest->to_us = clock_wall_now().us;
        at = at == CLUSTER_GCP ? CLUSTER_AWS : CLUSTER_GCP;
        struct history_window *window = &outcome->windows[at][outcome->window_count[at]++];
        window->from_us = clock_wall_now().us;
        drive_move(&drive, way, at);
        window->to_us = clock_wall_now().us;
        /* The last copy's requests on the wire, and a moment of rest. */
        drive_run(&drive, 2 * bench->delay_ms * US_PER_MS + 200 * US_PER_MS);
    }
    cluster_load_end(&cluster);
    judge(outcome);
    drive_end(&drive);
    drive_close(&drive);
}

static void judge(struct outcome *outcome)
{
    struct error err = {0};
    struct history history;
    const struct history_window all = {.to_us = INT64_MAX};
    int rc = history_read(cluster.load_history, &history, &err);
    if (rc == 0)
        rc = history_figures(&history, &all, 1, &outcome->all, &err);
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = history_figures(&history, outcome->rest[i], outcome->rest_count[i],
                             &outcome->at_rest[i], &err);
        if (rc == 0)
            rc = history_figures(&history, outcome->windows[i], outcome->window_count[i],
                                 &outcome->during[i], &err);
        for (int k = 0; k < outcome->window_count[i]; k++)
            outcome->took_us +=
                (outcome->windows[i][k].to_us - outcome->windows[i][k].from_us) / outcome->moves;
    }
    if (rc < 0)
        fail_msg("%s", err.text);
    history_done(&history);
}

/* ---- output ---- */

static double ms(int64_t us)
{
    return (double)us / 1000;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static double ratio(const struct outcome *outcome)
{
    int64_t before_us = larger(outcome->at_rest[0].p99_us, outcome->at_rest[1].p99_us);
    int64_t during_us = larger(outcome->during[0].p99_us, outcome->during[1].p99_us);
    return before_us == 0 ? 0 : (double)during_us / (double)before_us;
}

static void print_table(const struct bench *bench, const struct outcome *outcomes, int count)
{
    printf("handoff of a NATS service at %" PRId64 " requests/s across a link of %" PRId64
           " ms one way\n\n",
           bench->rate, bench->delay_ms);
    printf("%-17s %5s %8s %7s %7s %5s %9s  %-15s %-15s %6s %8s\n", "", "", "", "", "", "",
           "longest", "p99 at rest", "p99 during", "", "mean");
    printf("%-17s %5s %8s %7s %7s %5s %9s  %-15s %-15s %6s %8s\n", "way", "moves", "sent", "lost",
           "refused", "twice", "gap ms", "hub / leaf ms", "to hub / leaf", "ratio", "move ms");
    for (int i = 0; i < count; i++) {
        const struct outcome *o = &outcomes[i];
        char rest[32], during[32];
        str_format(rest, sizeof(rest), "%.1f / %.1f", ms(o->at_rest[0].p99_us),
                   ms(o->at_rest[1].p99_us));
        str_format(during, sizeof(during), "%.1f / %.1f", ms(o->during[0].p99_us),
                   ms(o->during[1].p99_us));
        printf("%-17s %5" PRId64 " %8" PRId64 " %7" PRId64 " %7" PRId64 " %5" PRId64
               " %9.1f  %-15s %-15s %6.2f %8.0f\n",
               o->name, o->moves, o->all.sent, o->all.lost, o->all.refused, o->all.duplicated,
               ms(o->all.longest_gap_us), rest, during, ratio(o), ms(o->took_us));
    }
    printf("\n%-17s %16s\n", "way", "failed per move");
    for (int i = 0; i < count; i++)
        printf("%-17s %16.2f\n", outcomes[i].name,
               (double)(outcomes[i].all.lost + outcomes[i].all.refused) /
                   (double)outcomes[i].moves);
    const struct outcome *own = &outcomes[0];
    int64_t bar_us =
        larger(own->at_rest[0].p99_us, own->at_rest[1].p99_us) + 2 * bench->delay_ms * US_PER_MS;
    int64_t during_us = larger(own->during[0].p99_us, own->during[1].p99_us);
    printf("\np99 during %s's moves: %.1f ms; p99 before plus one round trip: %.1f ms: %s\n",
           own->name, ms(during_us), ms(bar_us), during_us <= bar_us ? "kept" : "NOT kept");
}

static void print_json(const struct bench *bench, const struct outcome *outcomes, int count)
{
    printf("{\"bench\":\"handoff\",\"rate\":%" PRId64 ",\"delay_ms\":%" PRId64 ",\"ways\":[",
           bench->rate, bench->delay_ms);
    for (int i = 0; i < count; i++) {
        const struct outcome *o = &outcomes[i];
        printf("%s{\"way\":\"%s\",\"moves\":%" PRId64 ",\"sent\":%" PRId64 ",\"lost\":%" PRId64
               ",\"refused\":%" PRId64 ",\"duplicated\":%" PRId64 ",\"longest_gap_us\":%" PRId64
               ",\"p99_before_hub_us\":%" PRId64 ",\"p99_before_leaf_us\":%" PRId64
               ",\"p99_to_hub_us\":%" PRId64 ",\"p99_to_leaf_us\":%" PRId64
               ",\"ratio\":%.3f,\"move_us\":%" PRId64 "}",
               i == 0 ? "" : ",", o->name, o->moves, o->all.sent, o->all.lost, o->all.refused,
               o->all.duplicated, o->all.longest_gap_us, o->at_rest[0].p99_us, o->at_rest[1].p99_us,
               o->during[0].p99_us, o->during[1].p99_us, ratio(o), o->took_us);
    }
    printf("]}\n");
}

static void clean_up(void)
{
    cluster_done(&cluster);
}
