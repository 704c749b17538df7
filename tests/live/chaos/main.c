/*
 * chaos: a live Berth in which things break while everything moves, judged by who knows nothing of
 * it.
 *
 *     test_chaos [--seconds 60] [--seed N] [--calm | --plant]
 *
 * A cluster of the real programs (tests/live/cluster.h), its far side in a network namespace where
 * that is permitted; an app of each class with its outside client (stage.h). In rounds: one of them
 * is told to move or gets a new version, a random instant later a random fault begins
 * (chaos/faults.h), and ends. After one round in two all must come to rest again within two
 * minutes.
 *
 * Judged, by the clients and by /proc:
 *   lost         requests that were lost or refused while no fault excuses it
 *   twice        requests that were carried out twice (a GET whose server was cut off or ended
 * under it is sent again, docs/ingress.md: those that a fault excuses are not judged by this);
 * answered twice owners       two owners at once; acknowledged writes that are gone (a stateful
 * owner that died takes its memory with it: that is told before, and not judged) applies      a
 * change that was acknowledged and is not there at the end orphans      processes or cgroups that
 * are left
 *
 * A violation prints the seed and what was done. --calm breaks nothing: it must be judged
 * flawless. --plant kills copies that serve and excuses nothing: it must be found, or the judges
 * are none.
 */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/chaos/faults.h"

#define NOTES     4096
#define WINDOWS   1024
#define REST_US   (120 * US_PER_S) /* in which all must have come to rest */
#define BEFORE_US (6 * US_PER_S)   /* a request sent so long before a fault may be hit by it */

struct note {
    int64_t at_us;
    char text[200];
};

static struct chaos chaos;
static uint64_t seed;
static struct note notes[NOTES];
static int note_count;
static struct history_window excused[STAGE_KINDS][WINDOWS];
static int excused_count[STAGE_KINDS];
static bool open_excuse[STAGE_KINDS];
static int64_t acknowledged[STAGE_KINDS]; /* changes of each app */
static bool pending[STAGE_KINDS];         /* a retag whose outcome is not known */
static int64_t violations, faults_done, changes_done, judged_requests, all_requests, longest_gap_us;
static bool
    parted; /* a fault after which nodes may be found lost has begun since all was at rest */
static int parted_lost; /* ... and so many had been found lost by then */
static bool state_died; /* since the client of the stateful one began */
static bool finished;
static bool planted; /* nothing is excused */

static void round_run(bool calm);
static void round_plant(void);
static void change(struct stage *stage);
static void excuse(const struct fault *fault);
static void come_to_rest(void);
static void judge(struct stage *stage);
static int nodes_lost(void);
static void parted_ends(void);
static void judge_history(struct stage *stage);
static bool is_excused(const struct stage *stage, const struct history_request *request);
static void judge_twice(const struct stage *stage, const struct history *history);
static void applies_are_there(struct stage *stage);
static void violate(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void on_exit_print(void);

int main(int argc, char **argv)
{
    int64_t seconds = 60;
    bool calm = false;
    seed = (uint64_t)clock_wall_now().us;
    for (int i = 1; i < argc; i++) {
        if (str_equal(argv[i], "--calm"))
            calm = true;
        else if (str_equal(argv[i], "--plant"))
            planted = true;
        else if (i + 1 == argc ||
                 !((str_equal(argv[i], "--seconds") && str_to_i64(argv[i + 1], &seconds) == 0) ||
                   (str_equal(argv[i], "--seed") && str_to_u64(argv[i + 1], &seed) == 0))) {
            fprintf(stderr, "usage: test_chaos [--seconds 60] [--seed N] [--calm | --plant]\n");
            return 2;
        } else {
            i++;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 4096);
    printf("chaos: seed %" PRIu64 ", %" PRId64 " s\n", seed, seconds);
    chaos.random = seed | 1;
    chaos.begun_us = clock_mono_now().us;
    atexit(on_exit_print);
    bool disk = chaos_disk_open(&chaos);
    struct cluster_options options = {.delay_ms = 10,
                                      .jitter_ms = 5,
                                      .healthy_min_ms = 300,
                                      .node_timeout_ms = CHAOS_NODE_TIMEOUT_MS,
                                      .scheduler_dir = disk ? chaos.disk : NULL,
                                      .node_disk_mib = disk ? CHAOS_NODE_DISK_MIB : 0,
                                      .ingress = {true, false}};
    if (!cluster_start_apart(&chaos.cluster, &options))
        cluster_start(&chaos.cluster, &options);
    for (int i = 0; i < STAGE_KINDS; i++) {
        stage_open(
            &chaos.stages[i], &chaos.cluster, (enum stage_kind)i, i % 2 == 0 ? "gcp" : "aws",
            &(struct stage_options){.rate = i == STAGE_COUNTER ? 20 : 100, .restarts = 1000});
        acknowledged[i] = 1;
        stage_ask(&chaos.stages[i]);
    }
    int64_t until_us = clock_mono_now().us + seconds * US_PER_S;
    while (clock_mono_now().us < until_us && violations == 0)
        planted ? round_plant() : round_run(calm);
    come_to_rest();
    for (int i = 0; i < STAGE_KINDS; i++) {
        stage_asked(&chaos.stages[i], 20);
        judge(&chaos.stages[i]);
        applies_are_there(&chaos.stages[i]);
    }
    for (int i = 0; i < STAGE_KINDS; i++)
        stage_close(&chaos.stages[i]);
    cluster_no_orphans(&chaos.cluster);
    finished = true;
    printf("chaos: %" PRId64 " faults, %" PRId64 " changes in %" PRId64 " s; %" PRId64
           " of %" PRId64
           " requests without an excuse; of those, longest gap of what overlaps %" PRId64
           " ms; %" PRId64 " violations\n",
           faults_done, changes_done, (clock_mono_now().us - chaos.begun_us) / US_PER_S,
           judged_requests, all_requests, longest_gap_us / US_PER_MS, violations);
    return violations > 0;
}

/* ---- a round ---- */

static void round_run(bool calm)
{
    struct fault_now now = {.node = (int)chaos_random(&chaos, CLUSTER_NODES),
                            .stage = (enum stage_kind)chaos_random(&chaos, STAGE_KINDS)};
    const struct fault *fault = &chaos_faults[chaos_random(&chaos, (uint64_t)chaos_fault_count)];
    now.hold_us =
        fault->hold_min_us +
        (int64_t)chaos_random(&chaos, (uint64_t)(fault->hold_max_us - fault->hold_min_us) + 1);
    struct stage *state = &chaos.stages[STAGE_STATE];
    bool judged_alone = !calm && fault->forgets && state->client_pid > 0;
    if (judged_alone)
        judge(state);
    change(&chaos.stages[now.stage]);
    if (chaos_random(&chaos, 2) == 0)
        change(&chaos.stages[chaos_random(&chaos, STAGE_KINDS)]);
    cluster_pause((int64_t)chaos_random(&chaos, 900) * US_PER_MS);
    if (!calm) {
        excuse(fault);
        if (fault->parts && !parted) {
            parted = true;
            parted_lost = nodes_lost();
        }
        if (fault->begin(&chaos, &now)) {
            faults_done++;
            note("%s: %s%s%s, for %" PRId64 " ms", fault->name, chaos.cluster.nodes[now.node].name,
                 now.text[0] != 0 ? ", " : "", now.text, now.hold_us / US_PER_MS);
            cluster_pause(now.hold_us);
            fault->end(&chaos, &now);
            note("%s is over", fault->name);
        }
    }
    if (judged_alone || chaos_random(&chaos, 2) == 0)
        come_to_rest();
    if (judged_alone) {
        state_died = false;
        stage_ask(state);
    }
}

/* Every copy of what serves without a pause, while none is being moved: a client cannot miss it. */
static void round_plant(void)
{
    static const enum stage_kind kinds[] = {STAGE_WEB, STAGE_SOURCE};
    come_to_rest();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int node = 0; node < CLUSTER_NODES; node++)
            if (chaos_workload_kill(&chaos, &(struct fault_now){.node = node, .stage = kinds[i]})) {
                faults_done++;
                note("%s: %s killed", chaos.cluster.nodes[node].name,
                     chaos.stages[kinds[i]].workload);
            }
    cluster_pause(US_PER_S);
}

/* It may be refused or lost while things are broken; what was acknowledged must hold. */
static void change(struct stage *stage)
{
    char text[256] = "";
    changes_done++;
    bool version = chaos_random(&chaos, 4) == 0;
    const char *cloud = str_equal(stage->cloud, "gcp") ? "aws" : "gcp";
    int rc = version ? stage_next_version(stage, text, sizeof text)
                     : stage_retag_try(stage, cloud, text, sizeof text);
    acknowledged[stage->kind] += rc == 0;
    pending[stage->kind] = pending[stage->kind] || rc != 0;
    note("%s %s%s%s: %s", stage->workload, version ? "has a new version" : "is to be at ",
         version ? "" : cloud, "", rc == 0 ? "acknowledged" : text);
}

/* From a while before, since what was on its way is hit too, until all has come to rest. */
static void excuse(const struct fault *fault)
{
    for (int i = 0; i < STAGE_KINDS; i++) {
        if (!fault->loses[i] || open_excuse[i] || planted)
            continue;
        if (excused_count[i] == WINDOWS)
            violate("more than %d faults", WINDOWS);
        else
            excused[i][excused_count[i]++] = (struct history_window){
                .from_us = clock_wall_now().us - BEFORE_US, .to_us = INT64_MAX};
        open_excuse[i] = true;
    }
}

/* Liveness, and the end of every excuse. */
static void come_to_rest(void)
{
    int64_t until_us = clock_mono_now().us + REST_US;
    cluster_nodes_wait(&chaos.cluster, CLUSTER_NODES);
    for (int i = 0; i < STAGE_KINDS; i++) {
        struct stage *stage = &chaos.stages[i];
        while (pending[i]) {
            char text[256] = "";
            char cloud[16];
            str_format(cloud, sizeof cloud, "%s", stage->cloud);
            if (stage_retag_try(stage, cloud, text, sizeof text) == 0 &&
                stage_next_version(stage, text, sizeof text) == 0) {
                pending[i] = false;
                acknowledged[i]++;
            } else if (clock_mono_now().us > until_us) {
                violate("%s takes no change: %s", stage->workload, text);
                return;
            }
        }
    }
    for (int i = 0; i < STAGE_KINDS; i++)
        while (!stage_is_settled(&chaos.stages[i])) {
            if (clock_mono_now().us > until_us) {
                violate("%s has not come to rest", chaos.stages[i].workload);
                cluster_log_print(&chaos.cluster, "scheduler");
                return;
            }
            cluster_pause(20 * US_PER_MS);
        }
    for (int i = 0; i < STAGE_KINDS; i++) {
        if (chaos.stages[i].client_pid > 0)
            stage_asked(&chaos.stages[i], 5);
        if (open_excuse[i])
            excused[i][excused_count[i] - 1].to_us = clock_wall_now().us;
        open_excuse[i] = false;
    }
    parted_ends();
    parted = false;
    note("at rest");
}

/* ---- judgement ---- */

static void judge(struct stage *stage)
{
    int status;
    if (stage->client_pid <= 0)
        return;
    json_t *line = stage_judge(stage, &status);
    parted_ends();
    bool died = stage->kind == STAGE_STATE && state_died;
    static const char *const safety[] = {"lost_writes",      "written_twice",  "epochs_down",
                                         "unknown_versions", "owners_at_once", "duplicated"};
    for (size_t i = 0; i < sizeof safety / sizeof safety[0]; i++) {
        const json_t *value = json_object_get(line, safety[i]);
        if (died && str_equal(safety[i], "lost_writes"))
            continue;
        if (value != NULL && json_integer_value(value) != 0)
            violate("%s: %s: %" JSON_INTEGER_FORMAT, stage->workload, safety[i],
                    json_integer_value(value));
    }
    json_decref(line);
    judge_history(stage);
}

/* On a machine that is slow enough a node may be found lost in a cut of less than its timeout, and
 * a stateful owner that is replaced then begins with nothing. */
static void parted_ends(void)
{
    if (parted && nodes_lost() > parted_lost) {
        note("a node was found lost: with it went what its stateful owner had");
        state_died = true;
    }
    parted_lost = parted ? nodes_lost() : 0;
}

/* By the scheduler's own word. */
static int nodes_lost(void)
{
    char path[800], line[1024];
    int count = 0;
    str_format(path, sizeof path, "%s/scheduler.log", chaos.cluster.hub.folder);
    CLEANUP(cleanup_file) FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        count += strstr(line, " node.silent ") != NULL;
    return count;
}

static void judge_history(struct stage *stage)
{
    struct history history;
    struct error err = {0};
    int64_t shown = 0, last_us = 0;
    if (history_read(stage->history, &history, &err) < 0) {
        violate("%s", err.text);
        return;
    }
    for (int64_t i = 0; i < history.count; i++) {
        const struct history_request *request = &history.list[i];
        bool excusable = is_excused(stage, request);
        all_requests++;
        judged_requests += !excusable;
        if (excusable) {
            last_us = 0;
            continue;
        }
        if (request->ok && stage->kind <= STAGE_SOURCE) {
            if (last_us != 0 && request->answered_us - last_us > longest_gap_us)
                longest_gap_us = request->answered_us - last_us;
            last_us = request->answered_us > last_us ? request->answered_us : last_us;
        }
        if ((!request->ok || request->answers != 1) && shown++ < 5)
            violate("%s: request %" PRId64 " sent at %.3f s: %d answers%s", stage->workload, i,
                    (double)(request->sent_us - clock_wall_now().us + clock_mono_now().us -
                             chaos.begun_us) /
                        1e6,
                    request->answers, request->ok ? "" : ", none that is right");
    }
    if (stage->kind == STAGE_WEB)
        judge_twice(stage, &history);
    history_done(&history);
}

static bool is_excused(const struct stage *stage, const struct history_request *request)
{
    for (int k = 0; k < excused_count[stage->kind]; k++)
        if (request->sent_us >= excused[stage->kind][k].from_us &&
            request->sent_us < excused[stage->kind][k].to_us)
            return true;
    return false;
}

/* By the lists of the copies, of which each keeps the numbers of all requests that it took. */
static void judge_twice(const struct stage *stage, const struct history *history)
{
    int64_t twice = 0, first = -1;
    struct dirent *entry;
    CLEANUP(cleanup_free) uint8_t *taken = calloc((size_t)history->count + 1, 1);
    DIR *folder = opendir(stage->folder);
    assert_non_null(taken);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char path[1100], line[256];
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || !str_equal(dot, ".ids"))
            continue;
        str_format(path, sizeof path, "%s/%s", stage->folder, entry->d_name);
        CLEANUP(cleanup_file) FILE *file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            int64_t id;
            line[strcspn(line, "\n")] = 0;
            const char *number = strrchr(line, '.'); /* after the name of the client's run */
            if (number == NULL || str_to_i64(number + 1, &id) < 0 || id < 0 || id >= history->count)
                continue;
            if (taken[id] < 2 && ++taken[id] == 2 && !is_excused(stage, &history->list[id])) {
                twice++;
                first = first < 0 || id < first ? id : first;
            }
        }
    }
    closedir(folder);
    if (twice > 0)
        violate("%s: %" PRId64 " requests were carried out twice, the first is %" PRId64,
                stage->workload, twice, first);
}

static void applies_are_there(struct stage *stage)
{
    struct cluster_request request = {.kind = "apps", .app = stage->app};
    json_t *body = cluster_control(&chaos.cluster, "get", &request);
    const json_t *app = json_array_get(json_object_get(body, "items"), 0);
    int64_t version = json_integer_value(json_object_get(app, "version"));
    if (version < acknowledged[stage->kind])
        violate("%s has version %" PRId64 ", and %" PRId64 " changes were acknowledged", stage->app,
                version, acknowledged[stage->kind]);
    json_decref(body);
}

static void violate(const char *format, ...)
{
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    violations++;
    note("VIOLATION: %s", text);
    fprintf(stderr, "VIOLATION: %s\n", text);
}

static void note(const char *format, ...)
{
    va_list arguments;
    if (note_count == NOTES)
        return;
    struct note *at = &notes[note_count++];
    at->at_us = clock_mono_now().us - chaos.begun_us;
    va_start(arguments, format);
    (void)vsnprintf(at->text, sizeof at->text, format, arguments);
    va_end(arguments);
}

/* Also when something has failed in mid-run. */
static void on_exit_print(void)
{
    if (!finished || violations > 0 || getenv("BERTH_CHAOS_NOTES") != NULL) {
        printf("chaos: seed %" PRIu64 "%s; what was done:\n", seed,
               finished ? "" : ": NOT FINISHED");
        for (int i = 0; i < note_count; i++)
            printf("%9.3f s  %s\n", (double)notes[i].at_us / 1e6, notes[i].text);
    }
    for (int i = 0; i < STAGE_KINDS; i++)
        stage_abandon(&chaos.stages[i]);
    cluster_done(&chaos.cluster);
    chaos_disk_close(&chaos);
}
