#include "tests/live/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"

#define POLL_US   (10 * US_PER_MS)
#define LINE_MAX_ (64 << 10)
#define ARGS_MAX  44
#define HANDOFFS  "8"

struct kind {
    const char *app;
    const char *workload;
    const char *program;
    const char *class;
    const char *client;
    const char *resources;
};

static const struct kind kinds[STAGE_KINDS] = {
    [STAGE_WEB] = {"site", "web", "web", "overlap", "http-load",
                   "{cpu: 500m, memory: 64MiB, pids: 16}"},
    [STAGE_SOURCE] = {"sources", "source", "shop-source", "overlap", "shop-load",
                      "{cpu: 500m, memory: 256MiB, pids: 64}"},
    [STAGE_COUNTER] = {"ledgers", "counter", "counter", "exclusive", "owner-load",
                       "{cpu: 250m, memory: 64MiB, pids: 64}"},
    [STAGE_STATE] = {"states", "kvstate", "kvstate", "stateful", "state-load",
                     "{cpu: 500m, memory: 512MiB, pids: 64}"},
};

static void ledger_start(struct stage *stage);
static json_t *items(struct stage *stage, const char *kind);
static const char *address_of(const struct cluster *cluster);
static const char *site_of(const char *cloud);
static uint64_t number_of(const char *handoff);
static uint64_t newest(struct stage *stage);
static json_t *ended_after(struct stage *stage, uint64_t after);
static json_t *last_line(const struct stage *stage, const char *log);
static json_t *end_client(struct stage *stage, pid_t *pid, const char *log, int *ret_status);
static int web_argv(struct stage *stage, const char **argv, char text[8][64], char url[800]);
static void web_url(const struct stage *stage, const char *path, char url[800]);

void stage_open(struct stage *stage, struct cluster *cluster, enum stage_kind kind,
                const char *cloud, const struct stage_options *options)
{
    static int number;
    *stage = (struct stage){
        .cluster = cluster, .kind = kind, .app = kinds[kind].app, .workload = kinds[kind].workload};
    if (options != NULL)
        stage->options = *options;
    if (stage->options.rate == 0)
        stage->options.rate = 300;
    if (stage->options.connections == 0)
        stage->options.connections = 32;
    if (stage->options.state_bytes == 0)
        stage->options.state_bytes = 4 << 20;
    str_format(stage->cloud, sizeof stage->cloud, "%s", cloud);
    str_format(stage->folder, sizeof stage->folder, "%s/stage-%d", cluster->hub.folder, ++number);
    assert_int_equal(mkdir(stage->folder, 0700), 0);
    if (kind == STAGE_COUNTER)
        ledger_start(stage);
    CLEANUP(cleanup_free) char *document = stage_document(stage);
    cluster_apply_document(cluster, document);
    stage_settled(stage);
}

void stage_close(struct stage *stage)
{
    if (stage->cluster == NULL)
        return;
    struct cluster_request request = {.app = stage->app};
    stage_abandon(stage);
    json_decref(cluster_control(stage->cluster, "delete", &request));
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (bool gone = false; !gone; cluster_pause(POLL_US)) {
        json_t *apps = items(stage, "apps");
        json_t *instances = items(stage, "instances");
        gone = json_array_size(apps) == 0 && json_array_size(instances) == 0;
        json_decref(apps);
        json_decref(instances);
        if (!gone && clock_mono_now().us > until_us) {
            cluster_log_print(stage->cluster, "scheduler");
            fail_msg("the app %s is still there", stage->app);
        }
    }
}

void stage_abandon(struct stage *stage)
{
    cluster_kill(&stage->client_pid);
    cluster_kill(&stage->pages_pid);
    cluster_kill(&stage->ledger_pid);
}

char *stage_document(const struct stage *stage)
{
    const struct kind *kind = &kinds[stage->kind];
    char program[700], digest[LIMIT_DIGEST_BYTES], args[900] = "", update[300] = "",
                                                   checkpoint[64] = "";
    struct error err = {0};
    struct strbuf out;
    int64_t linger_ms = stage->options.linger_ms > 0 ? stage->options.linger_ms : 0;
    if (stage->options.linger_ms == 0)
        linger_ms = 100;
    cluster_program(kind->program, program);
    if (digest_file(program, digest, &err) < 0)
        fail_msg("%s", err.text);
    if (stage->kind == STAGE_WEB && !stage->options.no_ids)
        str_format(args, sizeof args, ", args: [\"--ids\", \"%s\", \"--owner\", \"%s\"%s]",
                   stage->folder, stage->options.owner ? "yes" : "no",
                   stage->options.args != NULL ? stage->options.args : "");
    if (stage->options.update != NULL)
        str_format(update, sizeof update, "    update: %s\n", stage->options.update);
    if (stage->options.checkpoint != NULL)
        str_format(checkpoint, sizeof checkpoint, "    checkpoint: %s\n",
                   stage->options.checkpoint);
    if (stage->kind == STAGE_SOURCE)
        str_format(args, sizeof args,
                   ", args: [\"--subject\", \"svc.default.source\", \"--bytes\", \"256\", "
                   "\"--cpu-us\", \"20\"]");
    if (stage->kind == STAGE_STATE)
        str_format(args, sizeof args,
                   ", args: [\"--bytes\", \"%" PRId64 "\", \"--change\", \"1%%\", "
                   "\"--linger-ms\", \"%" PRId64 "\"]",
                   stage->options.state_bytes, linger_ms);
    if (stage->kind == STAGE_COUNTER)
        str_format(args, sizeof args, ", args: [\"--linger-ms\", \"%" PRId64 "\"]", linger_ms);
    strbuf_init(&out, 65536);
    strbuf_printf(&out,
                  "app: %s\n"
                  "namespace: default\n"
                  "moves: off\n"
                  "workloads:\n"
                  "  - name: %s\n"
                  "    handoff: %s\n"
                  "    run: {driver: process, artifact: \"file:%s\", digest: \"%s\"%s,\n"
                  "          env: {STAGE_VERSION: \"%" PRId64 "\"}}\n"
                  "    contract: true\n"
                  "    ready: {kind: contract}\n"
                  "%s%s%s"
                  "    resources: %s\n"
                  "    require: {cloud: %s}\n"
                  "    calls: 20/s\n"
                  "    restarts: %d\n"
                  "    timeouts: {start: 20s, drain: 10s, stop: 5s}\n",
                  stage->app, stage->workload, stage->options.owner ? "exclusive" : kind->class,
                  program, digest, args, stage->options.version,
                  stage->kind == STAGE_WEB ? "    http: {host: web.test, path: /, probe: /berth}\n"
                                           : "",
                  update, checkpoint, kind->resources, stage->cloud,
                  stage->options.restarts > 0 ? stage->options.restarts : 5);
    if (strbuf_error(&out, &err) < 0)
        fail_msg("%s", err.text);
    char *text = strdup(strbuf_text(&out));
    assert_non_null(text);
    strbuf_done(&out);
    return text;
}

int stage_next_version(struct stage *stage, char *text, size_t capacity)
{
    stage->options.version++;
    stage->before = newest(stage);
    CLEANUP(cleanup_free) char *document = stage_document(stage);
    struct cluster_request request = {.document = document};
    return cluster_control_try(stage->cluster, "apply", &request, text, capacity, NULL);
}

int stage_retag_try(struct stage *stage, const char *cloud, char *text, size_t capacity)
{
    struct cluster_request request = {
        .app = stage->app, .workload = stage->workload, .key = "cloud", .value = cloud};
    str_format(stage->cloud, sizeof stage->cloud, "%s", cloud);
    return cluster_control_try(stage->cluster, "retag", &request, text, capacity, NULL);
}

json_t *stage_move(struct stage *stage, const char *cloud)
{
    struct cluster_request request = {
        .app = stage->app, .workload = stage->workload, .key = "cloud", .value = cloud};
    uint64_t before = newest(stage);
    str_format(stage->cloud, sizeof stage->cloud, "%s", cloud);
    json_decref(cluster_control(stage->cluster, "retag", &request));
    json_t *handoff = ended_after(stage, before);
    if (!str_equal(json_string_value(json_object_get(handoff, "state")), "done")) {
        cluster_log_print(stage->cluster, "scheduler");
        cluster_log_print(stage->cluster, "gcp");
        cluster_log_print(stage->cluster, "aws");
        fail_msg("the move of %s to %s went back: %s", stage->workload, cloud,
                 json_string_value(json_object_get(handoff, "text")));
    }
    stage_settled(stage);
    return handoff;
}

json_t *stage_version_ended(struct stage *stage)
{
    return ended_after(stage, stage->before);
}

bool stage_is_settled(struct stage *stage)
{
    json_t *handoffs = items(stage, "handoffs");
    bool moving = false;
    size_t i;
    const json_t *item;
    json_array_foreach(handoffs, i, item)
    {
        const char *state = json_string_value(json_object_get(item, "state"));
        moving = moving || (!str_equal(state, "done") && !str_equal(state, "back"));
    }
    json_decref(handoffs);
    json_t *instances = items(stage, "instances");
    int there = 0;
    json_array_foreach(instances, i, item) there +=
        str_equal(json_string_value(json_object_get(item, "state")), "ready") &&
        str_equal(json_string_value(json_object_get(item, "site")), site_of(stage->cloud));
    bool one = there == 1 && json_array_size(instances) == 1;
    json_decref(instances);
    return one && !moving;
}

void stage_settled(struct stage *stage)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (!stage_is_settled(stage)) {
        if (clock_mono_now().us > until_us) {
            json_t *instances = items(stage, "instances");
            char *text = json_dumps(instances, JSON_COMPACT);
            cluster_log_print(stage->cluster, "scheduler");
            cluster_log_print(stage->cluster, "gcp");
            cluster_log_print(stage->cluster, "aws");
            fail_msg("%s does not run at %s: %s", stage->workload, stage->cloud, text);
        }
        cluster_pause(POLL_US);
    }
}

/* ---- clients ---- */

void stage_ask(struct stage *stage)
{
    static int number;
    struct cluster *cluster = stage->cluster;
    char program[700], seed[700], inbox[LIMIT_SUBJECT_BYTES], url[800], text[8][64];
    const char *argv[ARGS_MAX] = {cluster_program(kinds[stage->kind].client, program)};
    int count = 1;
    str_format(stage->log, sizeof stage->log, "%s-%d", kinds[stage->kind].client, ++number);
    str_format(stage->history, sizeof stage->history, "%s/history-%d", stage->folder, number);
    str_format(text[0], sizeof text[0], "%" PRId64, stage->options.rate);
    str_format(text[1], sizeof text[1], "%" PRId64, INT64_C(50000000) / stage->options.rate);
    const char *const common[] = {"--rate", text[0],     "--seconds",
                                  text[1],  "--history", stage->history};
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        argv[count++] = common[i];
    if (stage->kind == STAGE_WEB) {
        count += web_argv(stage, argv + count, text, url);
    } else {
        cluster_user_seed(cluster, CLUSTER_USER_CLIENT, seed);
        server_user_inbox(&cluster->users[CLUSTER_USER_CLIENT], inbox);
        const char *const nats[] = {"--url", cluster->hub.url, "--seed", seed, "--inbox", inbox};
        for (size_t i = 0; i < sizeof nats / sizeof nats[0]; i++)
            argv[count++] = nats[i];
    }
    if (stage->kind == STAGE_SOURCE) {
        argv[count++] = "--subject";
        argv[count++] = "svc.default.source";
    } else {
        argv[count++] = "--json";
        argv[count++] = "--every-ms";
        argv[count++] = "100";
    }
    if ((stage->kind == STAGE_WEB || stage->kind == STAGE_SOURCE) && stage->options.group_us > 0) {
        str_format(text[4], sizeof text[4], "%" PRId64, stage->options.group_us);
        argv[count++] = "--group-us";
        argv[count++] = text[4];
    }
    if ((stage->kind == STAGE_COUNTER || stage->kind == STAGE_STATE) &&
        stage->options.silence_ms > 0) {
        str_format(text[5], sizeof text[5], "%" PRId64, stage->options.silence_ms);
        argv[count++] = "--silence-ms";
        argv[count++] = text[5];
    }
    argv[count] = NULL;
    stage->client_pid = cluster_spawn(cluster, stage->log, argv);
    if (stage->kind == STAGE_WEB && stage->options.pages > 0) {
        char pages[24];
        str_format(pages, sizeof pages, "%d", stage->options.pages);
        str_format(stage->pages_log, sizeof stage->pages_log, "ws-client-%d", number);
        web_url(stage, "/ws", url);
        const char *const ws[] = {cluster_program("ws-client", program),
                                  "--json",
                                  "--url",
                                  url,
                                  "--host",
                                  "web.test",
                                  "--pages",
                                  pages,
                                  "--seconds",
                                  "86400",
                                  "--every-ms",
                                  "100",
                                  cluster->options.tls ? "--ca" : NULL,
                                  cluster->ca,
                                  NULL};
        stage->pages_pid = cluster_spawn(cluster, stage->pages_log, ws);
    }
    stage_asked(stage, 10);
}

static int web_argv(struct stage *stage, const char **argv, char text[8][64], char url[800])
{
    int count = 0;
    web_url(stage, "/", url);
    str_format(text[2], sizeof text[2], "%" PRId64, stage->options.connections);
    const char *const web[] = {"--url", url, "--host", "web.test", "--connections", text[2]};
    for (size_t i = 0; i < sizeof web / sizeof web[0]; i++)
        argv[count++] = web[i];
    if (stage->cluster->options.tls) {
        argv[count++] = "--ca";
        argv[count++] = stage->cluster->ca;
    }
    if (!stage->options.no_ids) {
        argv[count++] = "--ids";
        argv[count++] = stage->folder;
    }
    if (stage->options.timeout_ms > 0) {
        str_format(text[3], sizeof text[3], "%" PRId64, stage->options.timeout_ms);
        argv[count++] = "--timeout-ms";
        argv[count++] = text[3];
    }
    if (stage->options.newest)
        argv[count++] = "--newest";
    if (stage->options.fresh)
        argv[count++] = "--fresh";
    if (stage->options.post_bytes > 0) {
        str_format(text[4], sizeof text[4], "%" PRId64, stage->options.post_bytes);
        argv[count++] = "--post-bytes";
        argv[count++] = text[4];
    }
    return count;
}

static void web_url(const struct stage *stage, const char *path, char url[800])
{
    const struct cluster_node *node = &stage->cluster->nodes[CLUSTER_GCP];
    bool tls = stage->cluster->options.tls;
    str_format(url, 800, "%s://%s:%d%s", tls ? "https" : "http", address_of(stage->cluster),
               tls ? node->https_port : node->http_port, path);
}

void stage_asked(struct stage *stage, int64_t more)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    int64_t begun = -1;
    for (;;) {
        json_t *line = last_line(stage, stage->log);
        int64_t answered = line == NULL ? 0 : stage_number(line, "answered");
        begun = begun < 0 ? answered : begun;
        json_decref(line);
        if (answered >= begun + more)
            return;
        if (clock_mono_now().us > until_us) {
            cluster_log_print(stage->cluster, stage->log);
            cluster_log_print(stage->cluster, "scheduler");
            fail_msg("%s: %" PRId64 " answers, %" PRId64 " more were waited for", stage->log,
                     answered, more);
        }
        cluster_pause(POLL_US);
    }
}

json_t *stage_line(const struct stage *stage)
{
    return last_line(stage, stage->log);
}

json_t *stage_judge(struct stage *stage, int *ret_status)
{
    return end_client(stage, &stage->client_pid, stage->log, ret_status);
}

json_t *stage_judge_pages(struct stage *stage, int *ret_status)
{
    return end_client(stage, &stage->pages_pid, stage->pages_log, ret_status);
}

static json_t *end_client(struct stage *stage, pid_t *pid, const char *log, int *ret_status)
{
    assert_true(*pid > 0);
    int status = cluster_stop(pid);
    json_t *line = last_line(stage, log);
    if (!WIFEXITED(status) || line == NULL || !json_is_true(json_object_get(line, "final"))) {
        cluster_log_print(stage->cluster, log);
        fail_msg("%s ended with status %d and without its last line", log, status);
    }
    *ret_status = WEXITSTATUS(status);
    return line;
}

int64_t stage_number(const json_t *line, const char *key)
{
    const json_t *value = json_object_get(line, key);
    if (!json_is_integer(value))
        fail_msg("no number '%s' in a client's line", key);
    return json_integer_value(value);
}

int64_t stage_entered_us(const json_t *handoff, const char *state)
{
    size_t i;
    const json_t *step;
    json_array_foreach(
        json_object_get(handoff, "steps"), i,
        step) if (str_equal(json_string_value(json_object_get(step, "state")),
                            state)) return json_integer_value(json_object_get(step, "at_us"));
    return 0;
}

/* The last whole line that is JSON; NULL when there is none yet. */
static json_t *last_line(const struct stage *stage, const char *log)
{
    static char data[LINE_MAX_ + 1];
    char path[800];
    str_format(path, sizeof path, "%s/%s.log", stage->cluster->hub.folder, log);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NULL;
    if (fseek(file, -LINE_MAX_, SEEK_END) < 0)
        rewind(file);
    size_t bytes = fread(data, 1, LINE_MAX_, file);
    fclose(file);
    data[bytes] = 0;
    json_t *line = NULL;
    char *end = strrchr(data, '\n');
    while (line == NULL && end != NULL) {
        *end = 0;
        char *begin = strrchr(data, '\n');
        line = json_loads(begin == NULL ? data : begin + 1, 0, NULL);
        end = begin;
    }
    return line;
}

/* ---- its parts ---- */

/* The resource is no workload of Berth's: it stays, whatever is moved or killed. */
static void ledger_start(struct stage *stage)
{
    char program[700], seed[700], key[128], inbox[LIMIT_SUBJECT_BYTES];
    struct cluster *cluster = stage->cluster;
    str_format(stage->ledger, sizeof stage->ledger, "%s/ledger.txt", stage->folder);
    cluster_user_seed(cluster, CLUSTER_USER_WORKLOADS, seed);
    server_user_inbox(&cluster->users[CLUSTER_USER_WORKLOADS], inbox);
    str_format(key, sizeof key, "default.%s.%s.0", stage->app, stage->workload);
    const char *const argv[] = {
        cluster_program("ledger-resource", program), "--file", stage->ledger, "--key", key, NULL};
    setenv("BERTH_NATS_URL", cluster->hub.url, 1);
    setenv("BERTH_NATS_SEED_FILE", seed, 1);
    setenv("BERTH_INBOX_PREFIX", inbox, 1);
    stage->ledger_pid = cluster_spawn(cluster, "ledger", argv);
    unsetenv("BERTH_NATS_URL");
    unsetenv("BERTH_NATS_SEED_FILE");
    unsetenv("BERTH_INBOX_PREFIX");
}

static json_t *items(struct stage *stage, const char *kind)
{
    /* Of handoffs, the last few: the rest would be sent a hundred times a second. */
    bool handoffs = str_equal(kind, "handoffs");
    struct cluster_request request = {
        .kind = kind, .app = stage->app, .key = handoffs ? HANDOFFS : NULL};
    json_t *body = cluster_control(stage->cluster, "get", &request);
    json_t *list = json_object_get(body, "items");
    assert_true(json_is_array(list));
    json_incref(list);
    json_decref(body);
    return list;
}

/* Of the near side's ingress. */
static const char *address_of(const struct cluster *cluster)
{
    return cluster->netns.pid > 0 ? cluster->netns.near : "127.0.0.1";
}

static const char *site_of(const char *cloud)
{
    return str_equal(cloud, "gcp") ? "gcp/us-central1" : "aws/us-east-1";
}

/* "h1z" is 1 * 36 + 35. */
static uint64_t number_of(const char *handoff)
{
    uint64_t number = 0;
    for (const char *at = handoff[0] == 'h' ? handoff + 1 : ""; *at != 0; at++)
        number = number * 36 + (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return number;
}

static uint64_t newest(struct stage *stage)
{
    json_t *handoffs = items(stage, "handoffs");
    uint64_t newest_number = 0;
    size_t i;
    const json_t *item;
    json_array_foreach(handoffs, i, item)
    {
        uint64_t number = number_of(json_string_value(json_object_get(item, "id")));
        newest_number = number > newest_number ? number : newest_number;
    }
    json_decref(handoffs);
    return newest_number;
}

static json_t *ended_after(struct stage *stage, uint64_t after)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (;; cluster_pause(POLL_US)) {
        json_t *handoffs = items(stage, "handoffs");
        json_t *found = NULL;
        const char *state = "not there";
        size_t i;
        json_t *item;
        json_array_foreach(handoffs, i, item)
        {
            if (number_of(json_string_value(json_object_get(item, "id"))) <= after)
                continue;
            state = json_string_value(json_object_get(item, "state"));
            if (str_equal(state, "done") || str_equal(state, "back"))
                found = json_incref(item);
        }
        if (found == NULL && clock_mono_now().us > until_us) {
            cluster_log_print(stage->cluster, "scheduler");
            cluster_log_print(stage->cluster, "gcp");
            cluster_log_print(stage->cluster, "aws");
            fail_msg("the handoff of %s is %s", stage->workload, state);
        }
        json_decref(handoffs);
        if (found != NULL)
            return found;
    }
}
