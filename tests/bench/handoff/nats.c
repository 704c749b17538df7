/* A NATS service moved back and forth across a slow link, and the same moves done as one would
 * without Berth, commands to the same nodes in another order. */
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
#include "tests/bench/handoff/rows.h"

#define WAYS 4

static const char *const args[] = {"--subject", "svc.default.w", "--bytes", "256", "--cpu-us", "20",
                                   NULL};

static struct cluster cluster;
static struct drive drive;
static struct stage stage;

static void run_scheduler(const struct bench *bench, struct outcome *outcome);
static void run_drive(const struct bench *bench, enum drive_way way, bool direct, int64_t delay_ms,
                      struct outcome *outcome);

int64_t row_nats(const struct bench *bench, int64_t delay_ms)
{
    static struct outcome outcomes[WAYS];
    static const char *const names[WAYS] = {"berth", "stop-then-start", "start-then-drain",
                                            "the same, by bus"};
    memset(outcomes, 0, sizeof outcomes);
    for (int i = 0; i < WAYS; i++) {
        outcomes[i].name = names[i];
        outcomes[i].moves = i == 0 ? bench->moves : bench->baseline_moves;
    }
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = delay_ms == 0 ? -1 : delay_ms,
                                                      .healthy_min_ms = bench->healthy_ms,
                                                      .no_scheduler = bench->by_hand});
    if (bench->by_hand) {
        outcomes[0].name = "by hand";
        run_drive(bench, DRIVE_CAREFUL, false, delay_ms, &outcomes[0]);
    } else {
        run_scheduler(bench, &outcomes[0]);
        cluster_stop(&cluster.scheduler_pid);
    }
    run_drive(bench, DRIVE_STOP_START, true, delay_ms, &outcomes[1]);
    run_drive(bench, DRIVE_START_DRAIN, true, delay_ms, &outcomes[2]);
    run_drive(bench, DRIVE_START_DRAIN, false, delay_ms, &outcomes[3]);
    cluster_no_orphans(&cluster);
    cluster_done(&cluster);
    return outcome_print(bench, "nats", delay_ms, outcomes, WAYS);
}

static void run_scheduler(const struct bench *bench, struct outcome *outcome)
{
    int status;
    stage_open(&stage, &cluster, STAGE_SOURCE, clouds[CLUSTER_GCP],
               &(struct stage_options){.rate = bench->rate, .group_us = bench->group_us});
    stage_ask(&stage);
    outcome_moves(outcome, bench, &stage, bench->moves);
    json_decref(stage_judge(&stage, &status));
    outcome_judge(outcome, stage.history);
    stage_close(&stage);
}

static void run_drive(const struct bench *bench, enum drive_way way, bool direct, int64_t delay_ms,
                      struct outcome *outcome)
{
    drive_open(&drive, &cluster, direct, "shop-source", args);
    drive_begin(&drive, CLUSTER_GCP);
    cluster_load_start_grouped(&cluster, bench->rate, bench->group_us);
    int at = CLUSTER_GCP;
    for (int64_t move = 0; move < outcome->moves; move++) {
        outcome_rest_begin(outcome, &cluster, at);
        drive_run(&drive, outcome_rest_us(bench, move));
        outcome_rest_end(outcome, &cluster, at);
        at = at == CLUSTER_GCP ? CLUSTER_AWS : CLUSTER_GCP;
        struct history_window *window = &outcome->windows[at][outcome->window_count[at]++];
        window->from_us = clock_wall_now().us;
        drive_move(&drive, way, at);
        window->to_us = clock_wall_now().us;
        /* The last copy's requests on the wire, and a moment of rest. */
        drive_run(&drive, 2 * delay_ms * US_PER_MS + 200 * US_PER_MS);
    }
    cluster_load_end(&cluster);
    outcome_judge(outcome, cluster.load_history);
    drive_end(&drive);
    drive_close(&drive);
}
