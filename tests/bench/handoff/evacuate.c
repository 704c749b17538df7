/*
 * A provider is emptied by `berth evacuate`: many workloads, three at a time, while a client asks
 * each of them for what it declares; what runs where is counted in /proc, without Berth's word.
 *
 * Each has a subject of its own. All in one queue group would be asked as one service, and NATS
 * gives a request to a subscriber behind a leaf only where it has no nearer one: the last copy at
 * the near side got the rate of all, many times what its share of a processor answers, and what was
 * still queued in it when the drain's deadline came was lost (1,431 of 67,183 at 3,000/s for 30
 * workloads, all sent to the last copies within 0.6 s, whose answers took 11 s by then).
 */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/bench/handoff/rows.h"

#define AT_ONCE    3
#define OFFER      4000           /* mcpu of each node (cluster.c) */
#define WORKLOAD   38             /* mcpu: a hundred fill a node to 95 % */
#define CALLS      10             /* a second, of each workload, as it declares */
#define SILENCE_US (6 * US_PER_S) /* base/bus/server_config.c: pings of 2 s, two may be missed */
#define SUBJECT    "svc.default.row"

static struct cluster cluster;

/* What was seen on the machine while it was under way. */
struct seen {
    int64_t workloads;
    int64_t took_us;
    int64_t looks;
    int64_t most[CLUSTER_NODES]; /* running at each node */
    int64_t together;            /* running at both */
};

static void print(const struct seen *seen, const struct history_figures *all, int64_t broken);
static void apply(int64_t workloads);
static bool all_at(const char *site, int64_t workloads);
static void running(int64_t ret_count[CLUSTER_NODES]);
static void load_start(int64_t workloads, char history[760]);

int64_t row_evacuate(const struct bench *bench)
{
    static struct outcome outcome;
    char program[700], seed[700], history[760];
    struct seen seen = {.workloads = bench->workloads};
    memset(&outcome, 0, sizeof outcome);
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = 10});
    apply(bench->workloads);
    load_start(bench->workloads, history);
    cluster_user_seed(&cluster, CLUSTER_USER_OPERATOR, seed);
    const char *const argv[] = {cluster_program("berth", program),
                                "evacuate",
                                "gcp",
                                "--to",
                                "aws",
                                "--at-once",
                                "3",
                                "--yes",
                                "--url",
                                cluster.hub.url,
                                "--seed",
                                seed,
                                "--user",
                                "me",
                                NULL};
    int64_t begun_us = clock_mono_now().us;
    pid_t pid = cluster_spawn(&cluster, "evacuate", argv);
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int64_t count[CLUSTER_NODES];
        running(count);
        seen.looks++;
        for (int i = 0; i < CLUSTER_NODES; i++)
            seen.most[i] = count[i] > seen.most[i] ? count[i] : seen.most[i];
        seen.together = count[0] + count[1] > seen.together ? count[0] + count[1] : seen.together;
        cluster_pause(20 * US_PER_MS);
        if (clock_mono_now().us - begun_us > 20 * 60 * US_PER_S)
            cluster_kill(&pid);
    }
    seen.took_us = clock_mono_now().us - begun_us;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        cluster_log_print(&cluster, "evacuate");
        cluster_log_print(&cluster, "scheduler");
        fail_msg("berth evacuate ended with status %d", status);
    }
    bool moved = all_at("aws/us-east-1", bench->workloads);
    cluster_load_end(&cluster);
    outcome_judge(&outcome, history);
    int64_t exceeded = 0;
    for (int i = 0; i < CLUSTER_NODES; i++)
        exceeded += seen.most[i] * WORKLOAD > OFFER;
    int64_t broken = outcome.all.lost + outcome.all.refused + outcome.all.duplicated + exceeded +
                     !moved + (seen.together > bench->workloads + AT_ONCE);
    print(&seen, &outcome.all, broken);
    cluster_done(&cluster);
    return broken;
}

static void print(const struct seen *seen, const struct history_figures *all, int64_t broken)
{
    printf("evacuate: %" PRId64 " workloads, %d at a time, in %.1f s; %" PRId64
           " looks at what runs\n",
           seen->workloads, AT_ONCE, (double)seen->took_us / 1e6, seen->looks);
    printf("  sent %" PRId64 ", lost %" PRId64 ", refused %" PRId64 ", duplicated %" PRId64
           "; %d requests/s to each; p50 %.1f ms, p99 %.1f ms, longest %.1f ms\n",
           all->sent, all->lost, all->refused, all->duplicated, CALLS, (double)all->p50_us / 1000,
           (double)all->p99_us / 1000, (double)all->max_us / 1000);
    if (all->max_us > SILENCE_US)
        printf("  the machine could not keep up: answers took longer than the servers wait before "
               "they cut a silent connection, and what is cut loses what it had\n");
    printf("  running at once: at most %" PRId64 " in all; %" PRId64 " and %" PRId64
           " mcpu of %d reserved at the two nodes\n",
           seen->together, seen->most[0] * WORKLOAD, seen->most[1] * WORKLOAD, OFFER);
    printf("must: 0 lost; no capacity exceeded at any instant: %s\n",
           broken == 0 ? "kept" : "NOT kept");
    printf("{\"bench\":\"handoff\",\"row\":\"evacuate\",\"workloads\":%" PRId64
           ",\"took_us\":%" PRId64 ",\"sent\":%" PRId64 ",\"lost\":%" PRId64
           ",\"duplicated\":%" PRId64 ",\"p99_us\":%" PRId64 ",\"most_running\":%" PRId64
           ",\"broken\":%" PRId64 "}\n",
           seen->workloads, seen->took_us, all->sent, all->lost + all->refused, all->duplicated,
           all->p99_us, seen->together, broken);
}

static void apply(int64_t workloads)
{
    char program[700], digest[LIMIT_DIGEST_BYTES];
    struct error err = {0};
    struct strbuf text;
    cluster_program("shop-source", program);
    if (digest_file(program, digest, &err) < 0)
        fail_msg("%s", err.text);
    strbuf_init(&text, 1 << 20);
    strbuf_printf(&text, "app: row\nnamespace: default\nmoves: off\nworkloads:\n");
    for (int64_t i = 0; i < workloads; i++)
        strbuf_printf(&text,
                      "  - name: w%" PRId64 "\n"
                      "    run: {driver: process, artifact: \"file:%s\", digest: \"%s\",\n"
                      "          args: [\"--subject\", \"" SUBJECT ".%" PRId64 "\"]}\n"
                      "    contract: true\n"
                      "    resources: {cpu: %dm, memory: 48MiB, pids: 16}\n"
                      "    pin: gcp/us-central1\n"
                      "    calls: %d/s\n"
                      "    timeouts: {start: 60s, drain: 10s, stop: 5s}\n",
                      i, program, digest, i, WORKLOAD, CALLS);
    if (strbuf_error(&text, &err) < 0)
        fail_msg("%s", err.text);
    /* Pinned until all are there, then free to go. */
    char *document = strdup(strbuf_text(&text));
    strbuf_done(&text);
    assert_non_null(document);
    cluster_apply_document(&cluster, document);
    int64_t until_us = clock_mono_now().us + 5 * CLUSTER_WAIT_US;
    while (!all_at("gcp/us-central1", workloads)) {
        if (clock_mono_now().us > until_us) {
            cluster_log_print(&cluster, "scheduler");
            fail_msg("not all of the workloads run");
        }
        cluster_pause(100 * US_PER_MS);
    }
    for (char *pin; (pin = strstr(document, "    pin: gcp/us-central1\n")) != NULL;)
        memmove(pin, pin + strlen("    pin: gcp/us-central1\n"),
                strlen(pin + strlen("    pin: gcp/us-central1\n")) + 1);
    cluster_apply_document(&cluster, document);
    free(document);
}

/* Each is ready there, and nothing else is anywhere. */
static bool all_at(const char *site, int64_t workloads)
{
    struct cluster_request request = {.kind = "instances"};
    json_t *body = cluster_control(&cluster, "get", &request);
    json_t *items = json_object_get(body, "items");
    int64_t there = 0, all = (int64_t)json_array_size(items);
    size_t i;
    const json_t *item;
    json_array_foreach(items, i, item) there +=
        str_equal(json_string_value(json_object_get(item, "state")), "ready") &&
        str_equal(json_string_value(json_object_get(item, "site")), site);
    json_decref(body);
    return there == workloads && all == workloads;
}

/* Processes of the workloads' program by the node in whose folder they run. */
static void running(int64_t ret_count[CLUSTER_NODES])
{
    char path[600], target[1024], folders[CLUSTER_NODES][600];
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    for (int i = 0; i < CLUSTER_NODES; i++) {
        str_format(folders[i], sizeof folders[i], "%s/%s/instances/", cluster.hub.folder,
                   clouds[i]);
        ret_count[i] = 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        char comm[32] = "";
        int64_t pid;
        if (str_to_i64(entry->d_name, &pid) < 0)
            continue;
        str_format(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        bool ours = fgets(comm, sizeof comm, file) != NULL && !str_starts(comm, "berth-");
        fclose(file);
        str_format(path, sizeof path, "/proc/%" PRId64 "/cwd", pid);
        ssize_t bytes = ours ? readlink(path, target, sizeof target - 1) : 0;
        target[bytes > 0 ? bytes : 0] = 0;
        for (int i = 0; i < CLUSTER_NODES; i++)
            ret_count[i] += str_starts(target, folders[i]);
    }
    closedir(dir);
}

static void load_start(int64_t workloads, char history[760])
{
    char program[700], seed[700], inbox[LIMIT_SUBJECT_BYTES], rate[24], subjects[24];
    cluster_user_seed(&cluster, CLUSTER_USER_CLIENT, seed);
    server_user_inbox(&cluster.users[CLUSTER_USER_CLIENT], inbox);
    str_format(history, 760, "%s/history.txt", cluster.hub.folder);
    str_format(rate, sizeof rate, "%" PRId64, CALLS * workloads);
    str_format(subjects, sizeof subjects, "%" PRId64, workloads);
    const char *const argv[] = {cluster_program("shop-load", program),
                                "--url",
                                cluster.hub.url,
                                "--seed",
                                seed,
                                "--inbox",
                                inbox,
                                "--subject",
                                SUBJECT,
                                "--subjects",
                                subjects,
                                "--rate",
                                rate,
                                "--seconds",
                                "3000",
                                "--history",
                                history,
                                NULL};
    cluster.load_pid = cluster_spawn(&cluster, "load", argv);
    cluster_pause(2 * US_PER_S);
}
