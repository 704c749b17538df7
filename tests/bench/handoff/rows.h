/*
 * rows: what bench_handoff measures, a row each, and what several of them share. A row prints its
 * table, what it must reach, and one line of JSON; it returns how often it broke what is promised
 * apart from speed (a lost request, two owners, a capacity exceeded). One thread.
 */
#pragma once

#include "tests/bench/handoff/usage.h"
#include "tests/live/history.h"
#include "tests/live/stage.h"

#define MOVES_MAX 200
#define REST_US   (500 * US_PER_MS) /* before each move of an owner */

struct bench {
    int64_t moves;
    int64_t rate;
    int64_t delay_ms; /* of the far rows */
    int64_t baseline_moves;
    int64_t workloads;  /* to evacuate */
    int64_t first_ms;   /* of rest before the first move from each site */
    int64_t rest_ms;    /* of rest before each other move: other load hits both alike */
    int64_t healthy_ms; /* for which a new copy is watched before the old one is ended */
    int64_t group_us;   /* requests due within so long are sent together */
    bool by_hand;
    bool local; /* those rows that are measured both local and far: */
    bool far;
};

/* What one way of moving did. Index 0: towards the hub, 1: towards the leaf (CLUSTER_*). */
struct outcome {
    const char *name;
    int64_t moves;
    struct history_window rest[2][MOVES_MAX + 1];
    int rest_count[2];
    struct history_window windows[2][MOVES_MAX];
    int window_count[2];
    struct history_figures all;
    struct history_figures at_rest[2];
    struct history_figures during[2];
    int64_t twice;      /* requests that were carried out twice, where that can be known */
    int64_t took_us;    /* mean */
    struct usage usage; /* while at rest */
};

int64_t row_nats(const struct bench *bench, int64_t delay_ms);
int64_t row_http(const struct bench *bench, int64_t delay_ms);
int64_t row_exclusive(const struct bench *bench);
int64_t row_stateful(const struct bench *bench);
int64_t row_evacuate(const struct bench *bench);

extern const char *const clouds[CLUSTER_NODES]; /* "gcp", "aws" */

/* A piece of rest at a place, after so many moves: between the two nothing is to be moved, for
 * outcome_rest_us. */
int64_t outcome_rest_us(const struct bench *bench, int64_t moves);
void outcome_rest_begin(struct outcome *outcome, const struct cluster *cluster, int place);
void outcome_rest_end(struct outcome *outcome, const struct cluster *cluster, int place);
/* Fills the figures from a client's history. */
void outcome_judge(struct outcome *outcome, const char *history);
/* A table of the ways, the must-reach of the first one, JSON; the first one's broken promises. */
int64_t outcome_print(const struct bench *bench, const char *row, int64_t delay_ms,
                      const struct outcome *outcomes, int count);
/* Moves the stage there and back, with rests before each move, while its client asks. */
void outcome_moves(struct outcome *outcome, const struct bench *bench, struct stage *stage,
                   int64_t moves);
