/* berth-probe as it runs: against a real nats-server and HTTP servers that behave, and that do not.
 * What is judged is what it publishes, and what it says of each target. */
#include <curl/curl.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/bus/server_config.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/proof.h"
#include "base/str.h"
#include "base/wire/messages.h"
#include "tests/live/probe_targets.h"
#include "tests/live/server.h"

#define WAIT_US  (60 * US_PER_S) /* generous: no wait of a healthy run comes near it */
#define SEEN_MAX 4096

enum { SCHEDULER, NODE, PROBE, USERS };

/* A sample as it came, with its texts. */
struct seen {
    int kind;
    char workload[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char peer[LIMIT_REF_BYTES];
    char instance[LIMIT_ID_BYTES];
    uint64_t life;
    int64_t value;
};

static struct test_server server;
static struct probe_targets targets;
static struct server_user users[USERS] = {
    [SCHEDULER] = {.role = SERVER_SCHEDULER, .name = "main"},
    [NODE] = {.role = SERVER_NODE, .name = "n1"},
    [PROBE] = {.role = SERVER_PROBE, .name = "p1"},
};
static struct bus *buses[USERS];
static struct seen list[SEEN_MAX];
static int count;
static int batches;
static int sketches;
static struct proof_link link_to_probe;
static pid_t probe_pid;
static int otlp_port;
static struct error err;

static void must(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", error_name(rc), err.text);
}

static struct bus *connect_as(int user)
{
    char seed[700];
    char inbox[LIMIT_SUBJECT_BYTES];
    str_format(seed, sizeof(seed), "%s/%s.seed", server.folder, users[user].name);
    server_user_inbox(&users[user], inbox);
    struct bus_options options = {.url = server.url, .seed_path = seed, .inbox_prefix = inbox};
    struct bus *bus = NULL;
    must(bus_open(&options, &bus, &err));
    return bus;
}

/* What was asked just before the server died has no answer: who asked is away as well. */
static void on_echo(void *context, const struct bus_message *message)
{
    int rc = bus_publish(context, message->reply, NULL, message->data, message->bytes, &err);
    if (rc != ERR_UNAVAILABLE)
        must(rc);
}

static void on_batch(void *context, const struct bus_message *message)
{
    (void)context;
    struct arena arena;
    struct message_batch batch;
    assert_string_equal(message->subject, "berth.v1.probe.p1.metrics");
    arena_init(&arena, 64 << 20);
    uint64_t stamp = 0;
    assert_true(
        proof_check(&link_to_probe, message->subject, message->data, message->bytes, &stamp));
    must(wire_decode(&message_batch_shape, message->data + PROOF_BYTES,
                     message->bytes - PROOF_BYTES, 0, &arena, &batch, &err));
    assert_string_equal(batch.node, "p1");
    assert_string_equal(batch.site, "edge/nyc");
    batches++;
    sketches += batch.sketch_count;
    for (int i = 0; i < batch.sample_count && count < SEEN_MAX; i++) {
        const struct message_sample *sample = &batch.samples[i];
        struct seen *seen = &list[count++];
        *seen = (struct seen){.kind = sample->kind, .life = sample->life, .value = sample->value};
        if (sample->workload != NULL)
            str_format(seen->workload, sizeof(seen->workload), "%s", sample->workload);
        if (sample->site != NULL)
            str_format(seen->site, sizeof(seen->site), "%s", sample->site);
        if (sample->peer != NULL)
            str_format(seen->peer, sizeof(seen->peer), "%s", sample->peer);
        if (sample->instance != NULL)
            str_format(seen->instance, sizeof(seen->instance), "%s", sample->instance);
    }
    arena_done(&arena);
}

/* What users[SCHEDULER] and users[NODE] hear, for a short while. */
static void listen_on(void)
{
    struct pollfd fds[2] = {{.fd = bus_fd(buses[SCHEDULER]), .events = POLLIN},
                            {.fd = bus_fd(buses[NODE]), .events = POLLIN}};
    (void)poll(fds, 2, 50);
    (void)bus_dispatch(buses[SCHEDULER], 1000);
    (void)bus_dispatch(buses[NODE], 1000);
}

static int number_of(int kind, const char *workload, const struct seen **ret_last)
{
    int number = 0;
    for (int i = 0; i < count; i++)
        if (list[i].kind == kind && str_equal(list[i].workload, workload)) {
            number++;
            if (ret_last != NULL)
                *ret_last = &list[i];
        }
    return number;
}

static void await(int kind, const char *workload, int number)
{
    int64_t until = clock_mono_now().us + WAIT_US;
    while (number_of(kind, workload, NULL) < number && clock_mono_now().us < until)
        listen_on();
    if (number_of(kind, workload, NULL) < number)
        fail_msg("%d samples of %s of %s, wanted %d", number_of(kind, workload, NULL),
                 sample_kind_words[kind], workload, number);
}

static const struct seen *rtt_to(const char *site)
{
    for (int i = 0; i < count; i++)
        if (list[i].kind == SAMPLE_RTT_US && str_equal(list[i].peer, site))
            return &list[i];
    return NULL;
}

static void write_file(const char *name, const char *text, char path[700])
{
    str_format(path, 700, "%s/%s", server.folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Its standard output goes to `output`, or nowhere. */
static pid_t probe_start(const char *config, const char *flags[2], const char *output)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(output == NULL ? "/dev/null" : output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        (void)dup2(fd, STDOUT_FILENO);
        (void)execl(BERTH_BINARY_DIR "/bin/berth-probe", "berth-probe", "--config", config,
                    flags[0], flags[0] == NULL ? NULL : flags[1], (char *)NULL);
        _exit(127);
    }
    return pid;
}

static int probe_end(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int setup(void **state)
{
    (void)state;
    struct strbuf text;
    must(keys_init(&err));
    test_server_init(&server);
    probe_targets_start(&targets, server.folder); /* a fork: before any thread */
    for (int i = 0; i < USERS; i++) {
        char path[700];
        str_format(path, sizeof(path), "%s/%s.seed", server.folder, users[i].name);
        must(nkey_file_ensure(path, users[i].public_key, &err));
        char public_path[700];
        str_format(public_path, sizeof(public_path), "%s/%s.pub", server.folder,
                   users[i].role == SERVER_SCHEDULER ? "scheduler" : users[i].name);
        must(proof_publish(path, public_path, &err));
    }
    char seed[700];
    str_format(seed, sizeof(seed), "%s/%s.seed", server.folder, users[SCHEDULER].name);
    must(proof_link_open(
        &(struct proof_options){PROOF_AT_SCHEDULER, "probe", "p1", seed, users[PROBE].public_key},
        &link_to_probe, &err));
    struct server_config config = {
        .server_name = "t", .port = server.port, .users = users, .user_count = USERS};
    strbuf_init(&text, 1 << 20);
    must(server_config_write(&config, &text, &err));
    test_server_start(&server, strbuf_text(&text));
    strbuf_done(&text);
    for (int i = 0; i < USERS; i++)
        buses[i] = connect_as(i);
    struct bus_subscription *subscription = NULL;
    char echo[LIMIT_SUBJECT_BYTES];
    subject_node("n1", "echo", echo);
    must(bus_subscribe(buses[SCHEDULER], SUBJECT_METRICS_PROBES, NULL, on_batch, NULL,
                       &subscription, &err));
    must(bus_subscribe(buses[NODE], echo, NULL, on_echo, buses[NODE], &subscription, &err));
    must(bus_flush(buses[SCHEDULER], WAIT_US, &err));
    must(bus_flush(buses[NODE], WAIT_US, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (probe_pid > 0) {
        (void)kill(probe_pid, SIGKILL);
        (void)waitpid(probe_pid, NULL, 0);
    }
    for (int i = 0; i < USERS; i++)
        bus_close(buses[i]);
    probe_targets_stop(&targets);
    test_server_done(&server);
    return 0;
}

/* ---- each target once ---- */
struct expected {
    const char *path;
    const char *more;  /* of its configuration */
    const char *code;  /* "": it is up */
    const char *words; /* of what is said */
};

static const struct expected expectations[] = {
    {"/good", "", "", ""},
    {"/zip", "", "", ""},
    {"/partly", "", "", "line 2"},
    {"/hang", ", timeout: 2s", "TIMEOUT", "within 2 s"},
    {"/slow", ", timeout: 2s", "TIMEOUT", "within 2 s"},
    {"/loop", "", "INVALID", "again and again"},
    {"/scheme", "", "DENIED", "another scheme"},
    {"/huge", ", timeout: 60s", "LIMIT", "LIMIT_PAGE_BYTES"},
    {"/bomb", ", timeout: 60s", "LIMIT", "LIMIT_PAGE_BYTES"},
    {"/garbage", "", "INVALID", "no series"},
    {"/lies", "", "INVALID", "not what it says"},
    {"/early", "", "IO", "ended early"},
    {"/cut", "", "IO", "cut after line"},
    {"/html", "", "INVALID", "text/html"},
    {"/broken", "", "UNAVAILABLE", "status 500"},
    {"/empty", "", "INVALID", "empty"},
    {"/missing", "", "UNAVAILABLE", "status 404"},
    {"/token", "", "UNAVAILABLE", "status 401"},
    {"/token", ", bearer_token_file: %s/token", "", ""},
    {"/token", ", bearer_token_file: %s/no-token", "NOT_FOUND", "token"},
    {"https", "", "DENIED", "not who it should be"},
    {"https", ", ca_file: %s/cert.pem", "", ""},
    {"https", ", insecure_skip_verify: true", "", ""},
};
#define EXPECTED ((int)(sizeof(expectations) / sizeof(expectations[0])))

static void every_target_by_itself(void **state)
{
    (void)state;
    char config[700];
    char output[700];
    char token[700];
    struct strbuf text;
    write_file("token", "secret\n", token);
    strbuf_init(&text, 1 << 20);
    strbuf_puts(&text, "name: p1\nsite: edge/nyc\ninterval: 60s\ntimeout: 30s\ntargets:\n");
    for (int i = 0; i < EXPECTED; i++) {
        char more[700];
        const char *mark = strstr(expectations[i].more, "%s");
        str_format(
            more, sizeof(more), "%.*s%s%s",
            mark == NULL ? (int)strlen(expectations[i].more) : (int)(mark - expectations[i].more),
            expectations[i].more, mark == NULL ? "" : server.folder, mark == NULL ? "" : mark + 2);
        if (expectations[i].path[0] != '/')
            strbuf_printf(&text, "  - {url: \"https://127.0.0.1:%d/%d\", workload: w%d%s}\n",
                          targets.tls_port, i, i, more);
        else
            strbuf_printf(&text, "  - {url: \"http://127.0.0.1:%d%s\", workload: w%d%s}\n",
                          targets.port, expectations[i].path, i, more);
    }
    strbuf_printf(&text, "  - {url: \"http://127.0.0.1:%d/\", workload: nobody}\n",
                  test_port_free());
    write_file("once.yaml", strbuf_text(&text), config);
    strbuf_done(&text);
    str_format(output, sizeof(output), "%s/once.json", server.folder);
    const char *flags[2] = {"--once", "--json"};
    assert_int_equal(probe_end(probe_start(config, flags, output)), 1); /* some are down */
    json_error_t problem;
    json_t *report = json_load_file(output, 0, &problem);
    assert_non_null(report);
    json_t *rows = json_object_get(report, "targets");
    assert_int_equal(json_array_size(rows), EXPECTED + 1);
    for (int i = 0; i < EXPECTED; i++) {
        const json_t *row = json_array_get(rows, (size_t)i);
        const char *code = json_string_value(json_object_get(row, "code"));
        const char *said = json_string_value(json_object_get(row, "text"));
        if (!str_equal(code, expectations[i].code) ||
            json_is_true(json_object_get(row, "up")) != (expectations[i].code[0] == 0) ||
            strstr(said == NULL ? "" : said, expectations[i].words) == NULL)
            fail_msg("%s%s: %s '%s'", expectations[i].path, expectations[i].more, code,
                     said == NULL ? "" : said);
    }
    const json_t *nobody = json_array_get(rows, EXPECTED);
    assert_string_equal(json_string_value(json_object_get(nobody, "code")), "UNAVAILABLE");
    json_decref(report);
}

/* ---- running ---- */
static void runs_beside_bad_neighbours(void **state)
{
    (void)state;
    char config[700];
    char text[4096];
    const char *flags[2] = {NULL, NULL};
    otlp_port = test_port_free();
    str_format(text, sizeof(text),
               "name: p1\nsite: edge/nyc\nbus: {url: \"%s\", seed: %s/p1.seed}\n"
               "interval: 200ms\nconcurrency: 16\ntargets:\n"
               "  - {url: \"http://127.0.0.1:%d/good\", workload: web, site: aws/us-east-1}\n"
               "  - {url: \"http://127.0.0.1:%d/hang\", workload: hang}\n"
               "  - {url: \"http://127.0.0.1:%d/loop\", workload: loop}\n"
               "  - {url: \"http://127.0.0.1:%d/early\", workload: early}\n"
               "  - {url: \"http://127.0.0.1:%d/cut\", workload: cut}\n"
               "  - {url: \"http://127.0.0.1:%d/broken\", workload: broken}\n"
               "listen: {otlp: \"127.0.0.1:%d\"}\n"
               "latency:\n"
               "  - {to: aws/a, tcp: \"127.0.0.1:%d\", interval: 200ms}\n"
               "  - {to: aws/b, url: \"http://127.0.0.1:%d/good\", interval: 500ms}\n"
               "  - {to: aws/c, nats: n1, interval: 200ms}\n"
               "  - {to: aws/d, nats: n2, interval: 200ms}\n",
               server.url, server.folder, targets.port, targets.port, targets.port, targets.port,
               targets.port, targets.port, otlp_port, targets.port, targets.port);
    write_file("run.yaml", text, config);
    probe_pid = probe_start(config, flags, NULL);
    await(SAMPLE_REQUESTS, "web", 5);
    await(SAMPLE_MEMORY_BYTES, "web", 5);
    const struct seen *last = NULL;
    int64_t requests = -1;
    int64_t hits = -1;
    uint64_t life = 0;
    for (int i = 0; i < count; i++) {
        const struct seen *seen = &list[i];
        if (seen->kind == SAMPLE_RTT_US)
            continue;
        /* Nothing of those that never gave a whole page. */
        assert_string_equal(seen->workload, "web");
        assert_string_equal(seen->site, "aws/us-east-1");
        if (seen->kind == SAMPLE_REQUESTS) {
            /* The latency probe asks for the same page: each page adds 10. */
            assert_true(seen->value > requests);
            assert_int_equal(seen->value % 10, 0);
            assert_true(life == 0 || seen->life == life);
            requests = seen->value;
            life = seen->life;
        } else if (seen->kind == SAMPLE_HITS) {
            hits = seen->value;
        } else if (seen->kind == SAMPLE_MEMORY_BYTES) {
            assert_int_equal(seen->value, 4096);
        }
    }
    assert_true(hits >= 0 && hits % 8 == 0);
    (void)number_of(SAMPLE_ERRORS, "web", &last);
    assert_true(last->value > 0);
    int64_t until = clock_mono_now().us + WAIT_US;
    while ((rtt_to("aws/a") == NULL || rtt_to("aws/b") == NULL || rtt_to("aws/c") == NULL) &&
           clock_mono_now().us < until)
        listen_on();
    assert_non_null(rtt_to("aws/a"));
    assert_non_null(rtt_to("aws/b"));
    assert_non_null(rtt_to("aws/c"));
    assert_true(rtt_to("aws/c")->value > 0);
    assert_string_equal(rtt_to("aws/a")->site, "edge/nyc");
    assert_null(rtt_to("aws/d")); /* no node of that name: nothing is said */
}

/* ---- OTLP ---- */
static size_t keep(char *data, size_t size, size_t items, void *context)
{
    strbuf_append(context, data, size * items);
    return size * items;
}

static long post(const char *path, const char *type, const char *encoding, const void *body,
                 size_t bytes, struct strbuf *answer)
{
    char url[200];
    char header[200];
    long status = 0;
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = NULL;
    str_format(url, sizeof(url), "http://127.0.0.1:%d%s", otlp_port, path);
    str_format(header, sizeof(header), "Content-Type: %s", type);
    headers = curl_slist_append(headers, header);
    if (encoding != NULL) {
        str_format(header, sizeof(header), "Content-Encoding: %s", encoding);
        headers = curl_slist_append(headers, header);
    }
    headers = curl_slist_append(headers, "Expect:");
    strbuf_reset(answer);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    if (body != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)bytes);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    }
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
    assert_int_equal(curl_easy_perform(easy), CURLE_OK);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    return status;
}

static const char request_form[] =
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
    "\"stringValue\":\"pushed\"}},{\"key\":\"service.instance.id\",\"value\":{\"stringValue\":"
    "\"i1\"}}]},\"scopeMetrics\":[{\"metrics\":[{\"name\":\"http.server.request.duration\","
    "\"unit\":\"s\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"count\":\"%d\","
    "\"sum\":%d,\"bucketCounts\":[\"%d\",\"0\"],\"explicitBounds\":[1]}]}}%s]}]}]}";

static void takes_otlp(void **state)
{
    (void)state;
    char request[2048];
    char packed[2048];
    struct strbuf answer;
    const struct seen *last = NULL;
    static const char wrong[] = ",{\"name\":\"x\",\"gauge\":{\"dataPoints\":[{}]}}";
    strbuf_init(&answer, 1 << 20);
    count = 0;
    str_format(request, sizeof(request), request_form, 100, 10, 100, "");
    assert_int_equal(
        post("/v1/metrics", "application/json", NULL, request, strlen(request), &answer), 200);
    assert_string_equal(strbuf_text(&answer), "{}");
    await(SAMPLE_REQUESTS, "pushed", 1);
    str_format(request, sizeof(request), request_form, 130, 13, 130, wrong);
    z_stream stream = {.next_in = (Bytef *)request,
                       .avail_in = (uInt)strlen(request),
                       .next_out = (Bytef *)packed,
                       .avail_out = sizeof(packed)};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t bytes = stream.total_out;
    (void)deflateEnd(&stream);
    assert_int_equal(
        post("/v1/metrics", "application/json; charset=utf-8", "gzip", packed, bytes, &answer),
        200);
    assert_non_null(strstr(strbuf_text(&answer), "\"rejectedDataPoints\":\"1\""));
    assert_non_null(strstr(strbuf_text(&answer), "without a number"));
    await(SAMPLE_REQUESTS, "pushed", 2);
    (void)number_of(SAMPLE_REQUESTS, "pushed", &last);
    assert_int_equal(last->value, 30);
    assert_string_equal(last->instance, "i1");
    (void)number_of(SAMPLE_LATENCY_US_SUM, "pushed", &last);
    assert_int_equal(last->value, 3000000);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (sketches == 0 && clock_mono_now().us < until)
        listen_on();
    assert_true(sketches > 0);
    /* What is none is told so, and nothing of it counts. */
    assert_int_equal(post("/v1/metrics", "application/json", NULL, "{", 1, &answer), 400);
    assert_non_null(strstr(strbuf_text(&answer), "not JSON"));
    assert_int_equal(post("/v1/metrics", "application/json", "gzip", "{}", 2, &answer), 400);
    assert_int_equal(post("/v1/metrics", "application/json", "br", "{}", 2, &answer), 415);
    assert_int_equal(post("/v1/metrics", "application/x-protobuf", NULL, "x", 1, &answer), 415);
    assert_int_equal(post("/v1/traces", "application/json", NULL, "{}", 2, &answer), 404);
    char *large = calloc(1, LIMIT_OTLP_BYTES + 1);
    memset(large, ' ', LIMIT_OTLP_BYTES + 1);
    assert_int_equal(
        post("/v1/metrics", "application/json", NULL, large, LIMIT_OTLP_BYTES + 1, &answer), 413);
    free(large);
    /* What it knows of itself. */
    assert_int_equal(post("/metrics", "text/plain", NULL, NULL, 0, &answer), 200);
    char line[300];
    str_format(line, sizeof(line), "berth_probe_target_up{url=\"http://127.0.0.1:%d/good\"} 1\n",
               targets.port);
    assert_non_null(strstr(strbuf_text(&answer), line));
    str_format(line, sizeof(line), "berth_probe_target_up{url=\"http://127.0.0.1:%d/hang\"} 0\n",
               targets.port);
    assert_non_null(strstr(strbuf_text(&answer), line));
    assert_non_null(strstr(strbuf_text(&answer), "# EOF\n"));
    strbuf_done(&answer);
}

/* ---- the bus goes and comes back ---- */
static void survives_the_bus(void **state)
{
    (void)state;
    const struct seen *last = NULL;
    count = 0;
    await(SAMPLE_REQUESTS, "web", 1);
    (void)number_of(SAMPLE_REQUESTS, "web", &last);
    uint64_t life = last->life;
    int64_t value = last->value;
    test_server_kill(&server);
    test_server_restart(&server);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (!bus_connected(buses[SCHEDULER]) && clock_mono_now().us < until)
        listen_on();
    count = 0;
    await(SAMPLE_REQUESTS, "web", 2);
    (void)number_of(SAMPLE_REQUESTS, "web", &last);
    /* The same counter, further on: what was counted meanwhile is in it. */
    assert_true(last->life == life);
    assert_true(last->value > value);
    assert_int_equal(kill(probe_pid, SIGTERM), 0);
    assert_int_equal(probe_end(probe_pid), 0);
    probe_pid = 0;
}

static void may_say_only_its_own(void **state)
{
    (void)state;
    static const char *const subjects[] = {"berth.v1.metrics.n1", "berth.v1.probe.p2.metrics",
                                           "berth.v1.node.n1.cmd", "berth.v1.ctl.apply"};
    /* Every connection comes back by itself, and each in its own time. */
    int64_t back = clock_mono_now().us + WAIT_US;
    while (!bus_connected(buses[PROBE]) && clock_mono_now().us < back)
        (void)bus_dispatch(buses[PROBE], 100);
    uint64_t before = bus_stats(buses[PROBE]).denied;
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        must(bus_publish(buses[PROBE], subjects[i], NULL, "x", 1, &err));
    int64_t until = clock_mono_now().us + WAIT_US;
    while (bus_stats(buses[PROBE]).denied < before + 4 && clock_mono_now().us < until) {
        must(bus_flush(buses[PROBE], 10 * US_PER_S, &err));
        (void)bus_dispatch(buses[PROBE], 100);
    }
    assert_int_equal(bus_stats(buses[PROBE]).denied, before + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_target_by_itself),
        cmocka_unit_test(runs_beside_bad_neighbours),
        cmocka_unit_test(takes_otlp),
        cmocka_unit_test(survives_the_bus),
        cmocka_unit_test(may_say_only_its_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
