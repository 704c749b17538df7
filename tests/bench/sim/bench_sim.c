/*
 * bench_sim [--own]: tasks of the two-tier queue (two_tier.h) per second of processor time, with
 * the full ledger of the run: CPU time per site, bytes per link and class, a sketch of latencies.
 *
 * Ours runs as it is, 100 times larger (12,000/s, 10,000 slots), and both step by step, without the
 * short cut for trips that are known whole when they begin; each in a process of its own, which
 * includes its start, five times in turns: the median counts. The share that goes to the cloud
 * stands beside Erlang B's with its 95 % interval (20 parts of the run as batches). Beside it in
 * the same run the same work in SimPy, ns-3 and SimGrid, as far as this machine has them (peers.h);
 * with
 * --own without them.
 *
 * Exit status 1 when a share is not Erlang B's (six times the interval's half), when requests or
 * bytes do not add up, or when equal seeds give unequal hashes; speed is a figure only.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "simulator/requests/closed.h"
#include "tests/bench/sim/peers.h"
#include "tests/bench/sim/two_tier.h"

#define ROUNDS 5
#define PARTS  20
#define ROWS   4

struct row {
    const char *name;
    double per_s;
    int32_t slots;
    bool steps;
    double tasks; /* about */
};

struct result {
    uint64_t tasks;
    uint64_t hash;
    double share;
    double half;
    double cpu_s[2];  /* per site, of the world */
    double bytes[2];  /* per link, both ways */
    double median_ms; /* latency */
    double late_ms;   /* 99th percentile */
    double own_bytes;
};

static bool run_row(const struct row *row, struct result *ret);
static bool run_child(const struct row *row, struct result *ret, struct peer_run *usage);
static void print_row(const char *name, const struct peer_run *run, double share, double half);
static double run_peers(double own_per_s);
static int compare(const void *a, const void *b);

int main(int argc, char **argv)
{
    static const struct row rows[ROWS] = {
        {"berth", 120, 100, false, 12e6},
        {"berth, 100 times larger", 12000, 10000, false, 12e6},
        {"berth, step by step", 120, 100, true, 4e6},
        {"berth, 100 times larger, step by step", 12000, 10000, true, 4e6},
    };
    bool own = argc == 2 && strcmp(argv[1], "--own") == 0;
    if (argc > 2 || (argc == 2 && !own)) {
        fprintf(stderr, "usage: bench_sim [--own]\n");
        return 1;
    }
    double exact[2] = {closed_erlang_b(120 * TWO_TIER_HELD_S, 100),
                       closed_erlang_b(12000 * TWO_TIER_HELD_S, 10000)};
    double per_s[ROWS];
    bool good = true;
    struct result results[ROWS];
    struct peer_run usage[ROWS][ROUNDS];
    double memory_mb = 0;
    for (int k = 0; k < ROWS * ROUNDS; k++) { /* in turns: what disturbs one disturbs all */
        int i = k % ROWS;
        uint64_t hash = k < ROWS ? 0 : results[i].hash;
        if (!run_child(&rows[i], &results[i], &usage[i][k / ROWS])) {
            fprintf(stderr, "bench_sim: '%s' failed\n", rows[i].name);
            return 1;
        }
        good = good && (k < ROWS || results[i].hash == hash);
    }
    printf("%-38s %9s %8s %8s %11s %8s  %s\n", "", "tasks", "CPU s", "wall s", "tasks/CPU-s", "MB",
           "to the cloud");
    for (int i = 0; i < ROWS; i++) {
        qsort(usage[i], ROUNDS, sizeof usage[i][0], compare);
        struct peer_run *middle = &usage[i][ROUNDS / 2];
        middle->tasks = results[i].tasks;
        memory_mb = fmax(memory_mb, middle->memory_mb);
        per_s[i] = (double)results[i].tasks / middle->cpu_s;
        print_row(rows[i].name, middle, results[i].share, results[i].half);
        good = good && fabs(results[i].share - exact[i % 2]) <= 6 * results[i].half;
    }
    double best_peer = own ? 0 : run_peers(per_s[0]);
    printf("\nErlang B: %.5f and, 100 times larger, %.5f; 100 times larger is %.1f %% slower per "
           "task\n",
           exact[0], exact[1], (per_s[0] / per_s[1] - 1) * 100);
    printf("the ledger: %.0f CPU-s at the edge, %.0f in the cloud; %.0f MB and %.0f MB on the "
           "links; latency %.0f ms (median), %.0f ms (99 %%); the world itself takes %.0f KB\n",
           results[0].cpu_s[0], results[0].cpu_s[1], results[0].bytes[0] / 1e6,
           results[0].bytes[1] / 1e6, results[0].median_ms, results[0].late_ms,
           results[0].own_bytes / 1e3);
    printf("{\"bench\":\"sim\",\"tasks_per_cpu_s\":%.0f,\"larger_tasks_per_cpu_s\":%.0f,"
           "\"steps_tasks_per_cpu_s\":%.0f,\"memory_mb\":%.1f,\"share\":%.5f,\"half\":%.5f,"
           "\"exact\":%.5f,\"ratio_to_best_peer\":%.2f,\"good\":%s}\n",
           per_s[0], per_s[1], per_s[2], memory_mb, results[0].share, results[0].half, exact[0],
           best_peer > 0 ? per_s[0] / best_peer : 0, good ? "true" : "false");
    if (!good)
        fprintf(stderr, "bench_sim: a share is not Erlang B's, or equal seeds differ\n");
    return good ? 0 : 1;
}

static bool run_row(const struct row *row, struct result *ret)
{
    struct two_tier world;
    struct error err = {0};
    struct requests *requests = NULL;
    struct stats_mean shares = {0};
    two_tier_init(&world, row->per_s, row->slots);
    world.tables.step_by_step = row->steps;
    if (requests_create(&world.tables, 1, &requests, &err) < 0 ||
        requests_run(requests, 20 * NS_PER_S, &err) < 0) {
        fprintf(stderr, "bench_sim: %s\n", err.text);
        return false;
    }
    uint64_t warm = requests_source_result(requests, 0).completed; /* work as well */
    requests_restart(requests);
    int64_t part_ns = (int64_t)(row->tasks / row->per_s / PARTS * 1e9);
    uint64_t offered = 0;
    uint64_t refused = 0;
    for (int part = 0; part < PARTS; part++) {
        if (requests_run(requests, requests_now_ns(requests) + part_ns, &err) < 0) {
            fprintf(stderr, "bench_sim: %s\n", err.text);
            return false;
        }
        uint64_t now_offered = requests_source_result(requests, 0).offered;
        uint64_t now_refused = requests_station_result(requests, TWO_TIER_EDGE).refused;
        stats_mean_add(&shares, (double)(now_refused - refused) / (double)(now_offered - offered));
        offered = now_offered;
        refused = now_refused;
    }
    if (requests_balanced(requests, &err) < 0) {
        fprintf(stderr, "bench_sim: %s\n", err.text);
        return false;
    }
    struct requests_source_result source = requests_source_result(requests, 0);
    *ret = (struct result){.tasks = warm + source.completed,
                           .hash = requests_hash(requests),
                           .share = (double)refused / (double)offered,
                           .half = stats_mean_interval(&shares, 0.95).half,
                           .median_ms = sketch_quantile(source.latencies, 500000) / 1e3,
                           .late_ms = sketch_quantile(source.latencies, 990000) / 1e3,
                           .own_bytes = (double)requests_bytes(requests)};
    for (int i = 0; i < 2; i++) {
        struct requests_link_result link = requests_link_result(requests, i);
        ret->cpu_s[i] = (double)requests_site_result(requests, i).cpu_ns / 1e9;
        ret->bytes[i] = (double)(link.bytes_out + link.bytes_back);
    }
    requests_destroy(requests);
    return true;
}

static bool run_child(const struct row *row, struct result *ret, struct peer_run *usage)
{
    int ends[2];
    if (pipe(ends) < 0)
        return false;
    fflush(stdout);
    int64_t began_us = clock_mono_now().us;
    pid_t child = fork();
    if (child == 0) {
        struct result result;
        bool done = run_row(row, &result) &&
                    write(ends[1], &result, sizeof result) == (ssize_t)sizeof result;
        _exit(done ? 0 : 1);
    }
    close(ends[1]);
    char bytes[sizeof *ret + 1];
    if (child < 0 || !child_wait(child, ends[0], began_us, bytes, sizeof bytes, usage))
        return false;
    memcpy(ret, bytes, sizeof *ret);
    return true;
}

static void print_row(const char *name, const struct peer_run *run, double share, double half)
{
    printf("%-38s %9llu %8.2f %8.2f %11.0f %8.1f  %.5f", name, (unsigned long long)run->tasks,
           run->cpu_s, run->wall_s, (double)run->tasks / run->cpu_s, run->memory_mb, share);
    if (half > 0)
        printf(" +- %.5f", half);
    printf("\n");
}

/* The fastest peer's tasks per CPU-second; 0 without one. */
static double run_peers(double own_per_s)
{
    struct peers peers;
    double best = 0;
    peers_init(&peers);
    for (int i = 0; i < PEERS; i++) {
        struct peer *peer = &peers.list[i];
        struct peer_run run = {0};
        if (peer->program == NULL) {
            printf("%-38s left out: %s\n", peer->name, peer->missing);
            continue;
        }
        if (!peer_run(peer, 120, 100, &run)) {
            printf("%-38s left out: it failed\n", peer->name);
            continue;
        }
        double per_s = (double)run.tasks / run.cpu_s;
        best = per_s > best ? per_s : best;
        print_row(peer->name, &run, (double)run.to_cloud / (double)run.tasks, 0);
        printf("%-38s berth does %.1f times as many tasks per CPU-second\n", "", own_per_s / per_s);
    }
    peers_done(&peers);
    return best;
}

static int compare(const void *a, const void *b)
{
    const struct peer_run *x = a;
    const struct peer_run *y = b;
    return (x->cpu_s > y->cpu_s) - (x->cpu_s < y->cpu_s);
}
