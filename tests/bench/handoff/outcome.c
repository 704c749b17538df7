#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/bench/handoff/rows.h"

const char *const clouds[CLUSTER_NODES] = {"gcp", "aws"};

static void print_json(const char *row, int64_t rate, int64_t delay_ms,
                       const struct outcome *outcomes, int count);

void outcome_moves(struct outcome *outcome, const struct bench *bench, struct stage *stage,
                   int64_t moves)
{
    int at = CLUSTER_GCP;
    for (int64_t move = 0; move < moves; move++) {
        outcome_rest_begin(outcome, stage->cluster, at);
        cluster_pause(outcome_rest_us(bench, move));
        outcome_rest_end(outcome, stage->cluster, at);
        at = at == CLUSTER_GCP ? CLUSTER_AWS : CLUSTER_GCP;
        json_t *handoff = stage_move(stage, clouds[at]);
        struct history_window *window = &outcome->windows[at][outcome->window_count[at]++];
        *window = (struct history_window){.from_us = stage_entered_us(handoff, "planned"),
                                          .to_us = stage_entered_us(handoff, "done")};
        json_decref(handoff);
        cluster_pause(200 * US_PER_MS);
    }
}

int64_t outcome_rest_us(const struct bench *bench, int64_t moves)
{
    return (moves < 2 ? bench->first_ms : bench->rest_ms) * US_PER_MS;
}

void outcome_rest_begin(struct outcome *outcome, const struct cluster *cluster, int place)
{
    usage_begin(cluster);
    outcome->rest[place][outcome->rest_count[place]].from_us = clock_wall_now().us;
}

void outcome_rest_end(struct outcome *outcome, const struct cluster *cluster, int place)
{
    outcome->rest[place][outcome->rest_count[place]++].to_us = clock_wall_now().us;
    usage_end(cluster, &outcome->usage);
}

void outcome_judge(struct outcome *outcome, const char *path)
{
    struct error err = {0};
    struct history history;
    const struct history_window all = {.to_us = INT64_MAX};
    int rc = history_read(path, &history, &err);
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

int64_t outcome_print(const struct bench *bench, const char *row, int64_t delay_ms,
                      const struct outcome *outcomes, int count)
{
    printf("handoff of a service over %s at %" PRId64 " requests/s across a link of %" PRId64
           " ms one way\n\n",
           row, bench->rate, delay_ms);
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
    printf("\n  requests due within %" PRId64
           " us are sent together; a new copy is watched for %" PRId64
           " ms before the old one ends; %" PRId64 " ms of rest between moves\n",
           bench->group_us, bench->healthy_ms, bench->rest_ms);
    usage_print(&outcomes[0].usage, outcomes[0].at_rest[0].sent + outcomes[0].at_rest[1].sent);
    printf("\n%-17s %16s\n", "way", "failed per move");
    for (int i = 0; i < count; i++)
        printf("%-17s %16.2f\n", outcomes[i].name,
               (double)(outcomes[i].all.lost + outcomes[i].all.refused) /
                   (double)outcomes[i].moves);
    const struct outcome *own = &outcomes[0];
    int64_t bar_us =
        larger(own->at_rest[0].p99_us, own->at_rest[1].p99_us) + 2 * delay_ms * US_PER_MS;
    int64_t during_us = larger(own->during[0].p99_us, own->during[1].p99_us);
    int64_t broken = own->all.lost + own->all.refused + own->all.duplicated + own->twice;
    printf("\nmust: 0 lost, 0 duplicated in %" PRId64 " moves: %" PRId64 ": %s\n", own->moves,
           broken, broken == 0 ? "kept" : "NOT kept");
    printf("must: p99 during <= p99 outside + 1 round trip: %.1f ms <= %.1f ms: %s\n",
           ms(during_us), ms(bar_us), during_us <= bar_us ? "kept" : "NOT kept");
    print_json(row, bench->rate, delay_ms, outcomes, count);
    return broken;
}

static void print_json(const char *row, int64_t rate, int64_t delay_ms,
                       const struct outcome *outcomes, int count)
{
    printf("{\"bench\":\"handoff\",\"row\":\"%s\",\"rate\":%" PRId64 ",\"delay_ms\":%" PRId64
           ",\"ways\":[",
           row, rate, delay_ms);
    for (int i = 0; i < count; i++) {
        const struct outcome *o = &outcomes[i];
        printf("%s{\"way\":\"%s\",\"moves\":%" PRId64 ",\"sent\":%" PRId64 ",\"lost\":%" PRId64
               ",\"refused\":%" PRId64 ",\"duplicated\":%" PRId64 ",\"twice\":%" PRId64
               ",\"longest_gap_us\":%" PRId64 ",\"p99_before_hub_us\":%" PRId64
               ",\"p99_before_leaf_us\":%" PRId64 ",\"p99_to_hub_us\":%" PRId64
               ",\"p99_to_leaf_us\":%" PRId64 ",\"ratio\":%.3f,\"move_us\":%" PRId64 ",\"usage\":",
               i == 0 ? "" : ",", o->name, o->moves, o->all.sent, o->all.lost, o->all.refused,
               o->all.duplicated, o->twice, o->all.longest_gap_us, o->at_rest[0].p99_us,
               o->at_rest[1].p99_us, o->during[0].p99_us, o->during[1].p99_us, ratio(o),
               o->took_us);
        usage_json(&o->usage, o->at_rest[0].sent + o->at_rest[1].sent);
        printf("}");
    }
    printf("]}\n");
}
