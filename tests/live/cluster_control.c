/* The cluster's control interface as tests use it, and the outside client that judges. */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "base/wire/messages.h"
#include "tests/live/cluster_internal.h"
#include "tests/live/history.h"

#define POLL_US (5 * US_PER_MS)

static json_t *items_of(struct cluster *cluster, const char *kind);
static uint64_t number_of(const char *handoff);
static const char *text_of(const json_t *item, const char *key);
static void app_write(const struct cluster_app *app, struct strbuf *out);

/* ---- requests ---- */

int cluster_control_try(struct cluster *cluster, const char *verb,
                        const struct cluster_request *request, char *text, size_t capacity,
                        json_t **ret_body)
{
    static const struct cluster_request nothing;
    const struct cluster_request *ask = request != NULL ? request : &nothing;
    struct error err = {0};
    char subject[LIMIT_SUBJECT_BYTES];
    struct message_request message = {.document = ask->document};
    id_random(message.id);
    if (ask->kind != NULL)
        str_format(message.kind, sizeof(message.kind), "%s", ask->kind);
    str_format(message.namespace_, sizeof(message.namespace_), "default");
    if (ask->app != NULL)
        str_format(message.app, sizeof(message.app), "%s", ask->app);
    if (ask->workload != NULL)
        str_format(message.workload, sizeof(message.workload), "%s", ask->workload);
    if (ask->key != NULL)
        str_format(message.key, sizeof(message.key), "%s", ask->key);
    if (ask->value != NULL)
        str_format(message.value, sizeof(message.value), "%s", ask->value);
    struct strbuf out;
    struct arena arena;
    strbuf_init(&out, LIMIT_WIRE_BYTES);
    arena_init(&arena, (size_t)16 << 20);
    subject_ctl(verb, subject);
    proof_begin(&cluster->operator_link, &out);
    wire_encode(&message_request_shape, &message, &out);
    proof_end(&cluster->operator_link, subject, proof_next(&cluster->operator_link), &out);
    CLEANUP(cleanup_free) char *data = NULL;
    size_t bytes = 0;
    struct message_reply reply = {0};
    int rc = bus_call(cluster->operator_bus, subject, strbuf_text(&out), out.bytes, 10 * US_PER_S,
                      &data, &bytes, &err);
    if (rc == 0)
        rc = wire_decode(&message_reply_shape, data, bytes, 0, &arena, &reply, &err);
    const char *said = rc < 0 ? err.text : reply.text != NULL ? reply.text : "";
    if (rc == 0)
        rc = reply.code;
    if (capacity > 0)
        (void)snprintf(text, capacity, "%s", said);
    if (rc == 0 && ret_body != NULL) {
        *ret_body =
            json_loads(reply.body == NULL || reply.body[0] == 0 ? "{}" : reply.body, 0, NULL);
        assert_non_null(*ret_body);
    }
    arena_done(&arena);
    strbuf_done(&out);
    return rc;
}

json_t *cluster_control(struct cluster *cluster, const char *verb,
                        const struct cluster_request *request)
{
    char text[1024];
    json_t *body = NULL;
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (;;) {
        int rc = cluster_control_try(cluster, verb, request, text, sizeof(text), &body);
        if (rc == 0)
            return body;
        /* Nobody there, or a connection that comes back: a restart is under way. */
        if ((rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT) || clock_mono_now().us > until_us) {
            cluster_log_print(cluster, "scheduler");
            fail_msg("%s: %s: %s", verb, error_name(rc), text);
        }
        cluster_pause(20 * US_PER_MS);
    }
}

void cluster_nodes_wait(struct cluster *cluster, int count)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    int ingresses =
        (cluster->nodes[CLUSTER_GCP].http_port != 0) + (cluster->nodes[CLUSTER_AWS].http_port != 0);
    for (;;) {
        json_t *items = items_of(cluster, "nodes");
        int up = 0, live = 0;
        for (size_t i = 0; i < json_array_size(items); i++) {
            const json_t *node = json_array_get(items, i);
            const char *ingress = json_string_value(json_object_get(node, "ingress"));
            up += json_is_true(json_object_get(node, "up"));
            live += json_is_true(json_object_get(node, "up")) && ingress != NULL && ingress[0] != 0;
        }
        json_decref(items);
        if (up == count && (live == ingresses || count < CLUSTER_NODES))
            return;
        if (clock_mono_now().us > until_us) {
            cluster_log_print(cluster, "scheduler");
            cluster_log_print(cluster, "gcp");
            cluster_log_print(cluster, "aws");
            fail_msg("%d nodes are up, %d are wanted; %d of %d ingresses", up, count, live,
                     ingresses);
        }
        cluster_pause(20 * US_PER_MS);
    }
}

int cluster_apply_try(struct cluster *cluster, const struct cluster_app *app, char *text,
                      size_t capacity)
{
    struct strbuf document;
    strbuf_init(&document, 65536);
    app_write(app, &document);
    struct cluster_request request = {.document = strbuf_text(&document)};
    int rc = cluster_control_try(cluster, "apply", &request, text, capacity, NULL);
    strbuf_done(&document);
    return rc;
}

void cluster_apply(struct cluster *cluster, const struct cluster_app *app)
{
    char text[1024];
    int rc = cluster_apply_try(cluster, app, text, sizeof(text));
    if (rc < 0)
        fail_msg("apply: %s: %s", error_name(rc), text);
}

void cluster_apply_document(struct cluster *cluster, const char *document)
{
    struct cluster_request request = {.document = document};
    json_decref(cluster_control(cluster, "apply", &request));
}

static void app_write(const struct cluster_app *app, struct strbuf *out)
{
    char program[700], digest[LIMIT_DIGEST_BYTES];
    struct error err = {0};
    cluster_program(app->program, program);
    if (digest_file(program, digest, &err) < 0)
        fail_msg("%s", err.text);
    strbuf_printf(out,
                  "app: t\n"
                  "namespace: default\n"
                  "workloads:\n"
                  "  - name: w\n"
                  "    run: {driver: process, artifact: \"file:%s\",\n"
                  "          digest: \"%s\"%s%s}\n"
                  "    contract: true\n"
                  "    ready: {kind: contract}\n"
                  "    resources: {cpu: 1, memory: 1GiB, pids: 256}\n"
                  "    require: {cloud: %s}\n"
                  "    calls: 20/s\n"
                  "    restarts: %d\n"
                  "    timeouts: {start: %" PRId64 "ms, drain: 10s, stop: 5s}\n",
                  program, app->digest != NULL ? app->digest : digest,
                  app->args != NULL ? ", args: " : "", app->args != NULL ? app->args : "",
                  app->cloud,
                  app->restarts < 0   ? 0
                  : app->restarts > 0 ? app->restarts
                                      : 5,
                  app->start_ms > 0 ? app->start_ms : 20000);
    if (strbuf_error(out, &err) < 0)
        fail_msg("%s", err.text);
}

void cluster_retag(struct cluster *cluster, const char *cloud)
{
    struct cluster_request request = {.app = "t", .workload = "w", .key = "cloud", .value = cloud};
    json_decref(cluster_control(cluster, "retag", &request));
}

void cluster_delete(struct cluster *cluster)
{
    struct cluster_request request = {.app = "t"};
    json_decref(cluster_control(cluster, "delete", &request));
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (;;) {
        json_t *apps = items_of(cluster, "apps");
        json_t *instances = items_of(cluster, "instances");
        bool gone = json_array_size(apps) == 0 && json_array_size(instances) == 0;
        json_decref(apps);
        json_decref(instances);
        if (gone)
            return;
        if (clock_mono_now().us > until_us) {
            cluster_log_print(cluster, "scheduler");
            fail_msg("the app is still there");
        }
        cluster_pause(POLL_US);
    }
}

bool cluster_is_settled(struct cluster *cluster, const char *site)
{
    json_t *handoffs = items_of(cluster, "handoffs");
    bool moving = false;
    for (size_t i = 0; i < json_array_size(handoffs); i++) {
        const char *state = text_of(json_array_get(handoffs, i), "state");
        moving = moving || (!str_equal(state, "done") && !str_equal(state, "back"));
    }
    json_decref(handoffs);
    json_t *instances = items_of(cluster, "instances");
    int there = 0;
    for (size_t i = 0; i < json_array_size(instances); i++) {
        const json_t *instance = json_array_get(instances, i);
        there += str_equal(text_of(instance, "state"), "ready") &&
                 str_equal(text_of(instance, "site"), site);
    }
    json_decref(instances);
    return there == 1 && !moving;
}

void cluster_settled(struct cluster *cluster, const char *site)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (!cluster_is_settled(cluster, site)) {
        if (clock_mono_now().us > until_us) {
            cluster_log_print(cluster, "scheduler");
            cluster_log_print(cluster, "gcp");
            cluster_log_print(cluster, "aws");
            fail_msg("the workload does not run at %s", site);
        }
        cluster_pause(POLL_US);
    }
}

/* ---- handoffs ---- */

json_t *cluster_handoff(struct cluster *cluster, const char *after)
{
    json_t *items = items_of(cluster, "handoffs");
    json_t *found = NULL;
    uint64_t past = after == NULL ? 0 : number_of(after);
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        if (text_of(item, "from")[0] == 0 || text_of(item, "to")[0] == 0)
            continue; /* a first start or a removal */
        uint64_t number = number_of(text_of(item, "id"));
        if (number > past && (found == NULL || number < number_of(text_of(found, "id"))))
            found = item;
    }
    json_incref(found);
    json_decref(items);
    return found;
}

void cluster_handoff_newest(struct cluster *cluster, char out[LIMIT_ID_BYTES])
{
    json_t *items = items_of(cluster, "handoffs");
    out[0] = 0;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *id = text_of(json_array_get(items, i), "id");
        if (number_of(id) > number_of(out))
            str_format(out, LIMIT_ID_BYTES, "%s", id);
    }
    json_decref(items);
}

int64_t cluster_handoff_count(struct cluster *cluster)
{
    json_t *items = items_of(cluster, "handoffs");
    int64_t count = 0;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        count += text_of(item, "from")[0] != 0 && text_of(item, "to")[0] != 0;
    }
    json_decref(items);
    return count;
}

json_t *cluster_handoff_wait(struct cluster *cluster, const char *after, const char *state)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (;;) {
        json_t *handoff = cluster_handoff(cluster, after);
        const char *now = handoff == NULL ? "none" : text_of(handoff, "state");
        if (str_equal(now, state))
            return handoff;
        bool ended = str_equal(now, "done") || str_equal(now, "back");
        if (ended || clock_mono_now().us > until_us) {
            cluster_log_print(cluster, "scheduler");
            fail_msg("the handoff is %s (%s), %s was waited for", now,
                     handoff == NULL ? "" : text_of(handoff, "text"), state);
        }
        json_decref(handoff);
        cluster_pause(US_PER_MS);
    }
}

json_t *cluster_handoff_ended(struct cluster *cluster, const char *after)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (;;) {
        json_t *handoff = cluster_handoff(cluster, after);
        const char *now = handoff == NULL ? "none" : text_of(handoff, "state");
        if (str_equal(now, "done") || str_equal(now, "back"))
            return handoff;
        if (clock_mono_now().us > until_us) {
            cluster_log_print(cluster, "scheduler");
            fail_msg("the handoff is still %s", now);
        }
        json_decref(handoff);
        cluster_pause(POLL_US);
    }
}

/* ---- the outside client ---- */

void cluster_load_start(struct cluster *cluster, int64_t rate)
{
    cluster_load_start_grouped(cluster, rate, 200);
}

void cluster_load_start_grouped(struct cluster *cluster, int64_t rate, int64_t group_us)
{
    char program[700], seed[700], rate_text[24], group[24], seconds[24], inbox[LIMIT_SUBJECT_BYTES];
    cluster_user_seed(cluster, CLUSTER_USER_CLIENT, seed);
    server_user_inbox(&cluster->users[CLUSTER_USER_CLIENT], inbox);
    str_format(cluster->load_history, sizeof(cluster->load_history), "%s/history.txt",
               cluster->hub.folder);
    (void)unlink(cluster->load_history);
    str_format(rate_text, sizeof(rate_text), "%" PRId64, rate);
    str_format(seconds, sizeof(seconds), "%" PRId64, INT64_C(10000000) / rate);
    str_format(group, sizeof(group), "%" PRId64, group_us);
    char log[64], path[700], line[1024];
    static int run;
    str_format(log, sizeof(log), "load-%d", ++run);
    const char *const argv[] = {cluster_program("shop-load", program),
                                "--url",
                                cluster->hub.url,
                                "--seed",
                                seed,
                                "--inbox",
                                inbox,
                                "--subject",
                                "svc.default.w",
                                "--rate",
                                rate_text,
                                "--group-us",
                                group,
                                "--seconds",
                                seconds,
                                "--history",
                                cluster->load_history,
                                NULL};
    cluster->load_pid = cluster_spawn(cluster, log, argv);
    /* Its first line comes a second after its first request. */
    str_format(path, sizeof(path), "%s/%s.log", cluster->hub.folder, log);
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (bool seen = false; !seen; cluster_pause(10 * US_PER_MS)) {
        FILE *file = fopen(path, "re");
        seen = file != NULL && fgets(line, sizeof(line), file) != NULL && line[0] == '{';
        if (file != NULL)
            fclose(file);
        if (!seen && clock_mono_now().us > until_us) {
            cluster_log_print(cluster, log);
            fail_msg("the client does not send");
        }
    }
}

void cluster_load_end(struct cluster *cluster)
{
    int status = cluster_stop(&cluster->load_pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        fail_msg("the client ended with status %d", status);
}

void cluster_load_judge(struct cluster *cluster)
{
    struct error err = {0};
    struct history history;
    struct history_figures figures;
    const struct history_window all = {.from_us = 0, .to_us = INT64_MAX};
    cluster_load_end(cluster);
    if (history_read(cluster->load_history, &history, &err) < 0 ||
        history_figures(&history, &all, 1, &figures, &err) < 0)
        fail_msg("%s", err.text);
    print_message("sent %" PRId64 ", lost %" PRId64 ", refused %" PRId64 ", duplicated %" PRId64
                  ", longest gap %" PRId64 " ms\n",
                  figures.sent, figures.lost, figures.refused, figures.duplicated,
                  figures.longest_gap_us / US_PER_MS);
    for (int64_t i = 0, shown = 0; i < history.count && shown < 10; i++)
        if (!history.list[i].ok || history.list[i].answers != 1) {
            shown++;
            print_error("request %" PRId64 " of %" PRId64 ": sent at %" PRId64 ", %d answers%s\n",
                        i, history.count, history.list[i].sent_us, history.list[i].answers,
                        history.list[i].ok ? "" : ", refused or wrong");
        }
    history_done(&history);
    if (figures.lost + figures.refused + figures.duplicated > 0)
        cluster_log_print(cluster, "scheduler");
    assert_true(figures.sent > 0);
    assert_int_equal(figures.lost, 0);
    assert_int_equal(figures.refused, 0);
    assert_int_equal(figures.duplicated, 0);
}

/* ---- JSON ---- */

static json_t *items_of(struct cluster *cluster, const char *kind)
{
    struct cluster_request request = {.kind = kind};
    json_t *body = cluster_control(cluster, "get", &request);
    json_t *items = json_object_get(body, "items");
    assert_true(json_is_array(items));
    json_incref(items);
    json_decref(body);
    return items;
}

/* "h1z" is 1 * 36 + 35. */
static uint64_t number_of(const char *handoff)
{
    uint64_t number = 0;
    for (const char *at = handoff[0] == 'h' ? handoff + 1 : ""; *at != 0; at++)
        number = number * 36 + (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return number;
}

static const char *text_of(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));
    assert_non_null(text);
    return text;
}
