/* Owners moved there and back at one place: how long nobody owned, as the client saw it, between
 * the last answer of the old one and the first of the new one. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/bench/handoff/rows.h"
#include "tests/bench/handoff/steps.h"

#define SYNCS        200
#define RECORD_BYTES 512

struct quantiles {
    int64_t p50_us;
    int64_t p99_us;
    int64_t max_us;
};

static struct cluster cluster;
static struct stage stage;

static int64_t run(const struct bench *bench, enum stage_kind kind, int64_t must_us,
                   const struct stage_options *options);
static struct quantiles sync_latency(const char *folder);
static struct quantiles quantiles_of(int64_t *list, int count);
static int compare(const void *a, const void *b);

/* At a place without distance the linger of the old one is only in the way of the next (its server
 * prefers it while it is there), so it is none; see docs/handoff.md. */
int64_t row_exclusive(const struct bench *bench)
{
    return run(bench, STAGE_COUNTER, 10 * US_PER_MS,
               &(struct stage_options){.rate = 500, .linger_ms = -1, .silence_ms = 20});
}

int64_t row_stateful(const struct bench *bench)
{
    return run(
        bench, STAGE_STATE, 50 * US_PER_MS,
        &(struct stage_options){
            .rate = 500, .linger_ms = -1, .silence_ms = 20, .state_bytes = INT64_C(64) << 20});
}

static int64_t run(const struct bench *bench, enum stage_kind kind, int64_t must_us,
                   const struct stage_options *options)
{
    static int64_t pauses[MOVES_MAX], unowned[MOVES_MAX];
    int status, count = 0;
    const char *lost = "lost_writes";
    steps_watch();
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = -1});
    stage_open(&stage, &cluster, kind, clouds[CLUSTER_GCP], options);
    stage_ask(&stage);
    int at = CLUSTER_GCP;
    for (int64_t move = 0; move < bench->moves; move++) {
        cluster_pause(REST_US);
        at = at == CLUSTER_GCP ? CLUSTER_AWS : CLUSTER_GCP;
        json_t *handoff = stage_move(&stage, clouds[at]);
        unowned[move] = stage_entered_us(handoff, "held") - stage_entered_us(handoff, "freezing");
        json_decref(handoff);
    }
    cluster_pause(REST_US);
    json_t *line = stage_judge(&stage, &status);
    size_t i;
    const json_t *pause;
    json_array_foreach(json_object_get(line, "pauses_us"), i, pause) if (count < MOVES_MAX)
        pauses[count++] = json_integer_value(pause);
    int64_t broken = stage_number(line, lost) + stage_number(line, "owners_at_once") +
                     (status != 0) + (count != bench->moves);
    struct quantiles sync = sync_latency(cluster.scheduler_dir);
    struct quantiles seen = quantiles_of(pauses, count);
    struct quantiles own = quantiles_of(unowned, (int)bench->moves);
    const char *row = kind == STAGE_COUNTER ? "exclusive" : "stateful";
    printf("%s, %" PRId64 " moves at one place, %s\n\n", row, bench->moves,
           kind == STAGE_COUNTER ? "1 KiB of state handed over inline"
                                 : "64 MiB of which 1 % changes a second");
    printf("%-44s %8s %8s %8s\n", "", "p50 ms", "p99 ms", "max ms");
    const struct {
        const char *name;
        struct quantiles of;
    } lines[] = {{"pause as the client saw it", seen},
                 {"freezing to granted, by the scheduler", own},
                 {"write and fdatasync of 512 B, same disk", sync}};
    for (size_t k = 0; k < sizeof lines / sizeof lines[0]; k++)
        printf("%-44s %8.2f %8.2f %8.2f\n", lines[k].name, (double)lines[k].of.p50_us / 1000,
               (double)lines[k].of.p99_us / 1000, (double)lines[k].of.max_us / 1000);
    steps_print(&stage, line);
    printf("\nmust: no write lost, never two owners: %" PRId64 ": %s\n", broken,
           broken == 0 ? "kept" : "NOT kept");
    printf("must: p99 of the pause < %.0f ms: %s\n", (double)must_us / 1000,
           seen.p99_us < must_us ? "kept" : "NOT kept");
    printf("{\"bench\":\"handoff\",\"row\":\"%s\",\"moves\":%" PRId64 ",\"pause_p50_us\":%" PRId64
           ",\"pause_p99_us\":%" PRId64 ",\"pause_max_us\":%" PRId64 ",\"unowned_p50_us\":%" PRId64
           ",\"sync_p50_us\":%" PRId64 ",\"sync_p99_us\":%" PRId64 ",\"broken\":%" PRId64 "}\n",
           row, bench->moves, seen.p50_us, seen.p99_us, seen.max_us, own.p50_us, sync.p50_us,
           sync.p99_us, broken);
    json_decref(line);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
    cluster_done(&cluster);
    return broken;
}

/* What a commit of the journal cannot be faster than, on the journal's own disk. */
static struct quantiles sync_latency(const char *folder)
{
    static int64_t took[SYNCS];
    char path[800], record[RECORD_BYTES];
    memset(record, 'x', sizeof record);
    str_format(path, sizeof path, "%s/sync", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (int i = 0; i < SYNCS; i++) {
        int64_t begun_us = clock_mono_now().us;
        assert_int_equal(write(fd, record, sizeof record), sizeof record);
        assert_int_equal(fdatasync(fd), 0);
        took[i] = clock_mono_now().us - begun_us;
    }
    close(fd);
    (void)unlink(path);
    return quantiles_of(took, SYNCS);
}

static struct quantiles quantiles_of(int64_t *list, int count)
{
    if (count == 0)
        return (struct quantiles){0};
    qsort(list, (size_t)count, sizeof list[0], compare);
    return (struct quantiles){list[count / 2], list[count * 99 / 100], list[count - 1]};
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
