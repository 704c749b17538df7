#include "metrics/probe/latency.h"

#include <stdlib.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/clock.h"

#define TRIES_MAX 100 /* of a round; the configuration allows no more */

struct path {
    struct web_transfer transfer; /* first: a transfer is its path */
    struct latency *latency;
    int index;
    int64_t due_us; /* of the next round; INT64_MAX: none */
    bool trying;
    bool fresh; /* a round ended that was not taken */
    int sent;
    int answered;
    int64_t sent_us;
    int64_t tries_us[TRIES_MAX];
    int64_t first_byte_us;
    struct path_health health;
    char detail[CURL_ERROR_SIZE];
    char text[LIMIT_TEXT_BYTES];
};

/* Who asked over NATS: the answer may come when the path is gone. */
struct asked {
    struct latency *latency;
    int path;
};

struct latency {
    struct latency_options options;
    struct path *paths;
    int count;
    int asked; /* requests without an answer yet */
};

static void try_start(struct path *path, int64_t now_us);
static int try_web(struct path *path, const struct probe_path *config, struct error *err);
static int try_nats(struct path *path, const struct probe_path *config, struct error *err);
static size_t on_body(char *data, size_t size, size_t count, void *context);
static void on_done(struct web_transfer *transfer, CURLcode result);
static void on_echo(void *context, const struct bus_message *message);
static void try_ended(struct path *path, int64_t rtt_us, const char *why);
static void round_ended(struct path *path, int64_t now_us);
static int compare(const void *a, const void *b);

int latency_create(const struct latency_options *options, struct latency **ret_latency,
                   struct error *err)
{
    const struct probe_config *config = options->config;
    struct latency *latency = calloc(1, sizeof(*latency));
    if (latency == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the probe's paths");
    latency->options = *options;
    latency->paths = calloc((size_t)config->path_count + 1, sizeof(*latency->paths));
    if (latency->paths == NULL) {
        latency_destroy(latency);
        return error_set(err, ERR_NO_MEMORY, 0, "the probe's paths");
    }
    for (int i = 0; i < config->path_count; i++) {
        struct path *path = &latency->paths[i];
        uint64_t hash =
            hash_u64(hash_str(hash_str(HASH_SEED, config->name), "latency"), (uint64_t)i);
        path->latency = latency;
        path->index = i;
        path->transfer.done = on_done;
        path->transfer.easy = curl_easy_init();
        latency->count++;
        if (path->transfer.easy == NULL) {
            latency_destroy(latency);
            return error_set(err, ERR_NO_MEMORY, 0, "the probe's paths");
        }
        path->due_us =
            options->now_us +
            (options->once ? 0 : (int64_t)(hash % (uint64_t)config->paths[i].interval_us));
    }
    *ret_latency = latency;
    return 0;
}

/* The bus, and with it the requests under way, must be closed before. */
void latency_destroy(struct latency *latency)
{
    if (latency == NULL)
        return;
    for (int i = 0; i < latency->count; i++) {
        struct path *path = &latency->paths[i];
        if (path->trying && path->transfer.easy != NULL &&
            latency->options.config->paths[i].kind != PROBE_PATH_NATS)
            web_stop(latency->options.web, &path->transfer);
        curl_easy_cleanup(path->transfer.easy);
    }
    free(latency->paths);
    free(latency);
}

void latency_tick(struct latency *latency, int64_t now_us)
{
    for (int i = 0; i < latency->count; i++) {
        struct path *path = &latency->paths[i];
        if (path->trying || path->due_us > now_us)
            continue;
        path->sent = path->answered = 0;
        path->first_byte_us = 0;
        path->text[0] = 0;
        try_start(path, now_us);
    }
}

int64_t latency_timeout_us(const struct latency *latency, int64_t now_us)
{
    int64_t due_us = INT64_MAX;
    for (int i = 0; i < latency->count; i++)
        if (!latency->paths[i].trying && latency->paths[i].due_us < due_us)
            due_us = latency->paths[i].due_us;
    if (due_us == INT64_MAX)
        return -1;
    return due_us > now_us ? due_us - now_us : 0;
}

bool latency_idle(const struct latency *latency)
{
    for (int i = 0; i < latency->count; i++)
        if (latency->paths[i].trying || latency->paths[i].due_us != INT64_MAX)
            return false;
    return true;
}

const struct path_health *latency_health(const struct latency *latency, int path)
{
    return &latency->paths[path].health;
}

int latency_take(struct latency *latency, struct message_sample *samples, int max)
{
    int count = 0;
    for (int i = 0; i < latency->count && count < max; i++) {
        struct path *path = &latency->paths[i];
        const struct probe_path *config = &latency->options.config->paths[i];
        if (!path->fresh)
            continue;
        path->fresh = false;
        samples[count++] = (struct message_sample){
            .kind = SAMPLE_RTT_US,
            .namespace_ = "",
            .app = "",
            .workload = "",
            .instance = "",
            .segment = "",
            .peer = config->to,
            .site = latency->options.config->site,
            .value = path->health.min_us,
        };
    }
    return count;
}

static void try_start(struct path *path, int64_t now_us)
{
    const struct probe_path *config = &path->latency->options.config->paths[path->index];
    struct error err;
    path->trying = true;
    path->sent++;
    path->sent_us = now_us;
    int rc = config->kind == PROBE_PATH_NATS ? try_nats(path, config, &err)
                                             : try_web(path, config, &err);
    if (rc < 0)
        try_ended(path, 0, err.text);
}

static int try_web(struct path *path, const struct probe_path *config, struct error *err)
{
    CURL *easy = path->transfer.easy;
    struct web_options options = {.url = config->url,
                                  .ca_file = config->ca_file,
                                  .insecure_skip_verify = config->insecure_skip_verify,
                                  .timeout_us = config->timeout_us,
                                  .error = path->detail};
    int rc = web_prepare(easy, &options, err);
    if (rc < 0)
        return rc;
    (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    if (config->kind == PROBE_PATH_TCP)
        (void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    return web_start(path->latency->options.web, &path->transfer, err);
}

static int try_nats(struct path *path, const struct probe_path *config, struct error *err)
{
    struct latency *latency = path->latency;
    char subject[LIMIT_SUBJECT_BYTES];
    if (latency->options.bus == NULL || !bus_connected(latency->options.bus))
        return error_set(err, ERR_UNAVAILABLE, 0, "there is no connection to NATS");
    struct asked *asked = malloc(sizeof(*asked));
    if (asked == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "a request");
    *asked = (struct asked){.latency = latency, .path = path->index};
    subject_node(config->node, "echo", subject);
    path->sent_us = clock_mono_now().us;
    int rc =
        bus_request(latency->options.bus, subject, "", 0, config->timeout_us, on_echo, asked, err);
    if (rc < 0)
        free(asked);
    return rc;
}

/* The first byte is all that was asked for. */
static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)size;
    (void)count;
    (void)context;
    return CURL_WRITEFUNC_ERROR;
}

static void on_done(struct web_transfer *transfer, CURLcode result)
{
    struct path *path = (struct path *)transfer;
    const struct probe_path *config = &path->latency->options.config->paths[path->index];
    curl_off_t name_us = 0;
    curl_off_t connect_us = 0;
    curl_off_t sent_us = 0;
    curl_off_t first_us = 0;
    struct error err;
    if (result == CURLE_WRITE_ERROR)
        result = CURLE_OK; /* our own word */
    if (result != CURLE_OK) {
        (void)web_error(result, path->detail, config->timeout_us, &err);
        try_ended(path, 0, err.text);
        return;
    }
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_NAMELOOKUP_TIME_T, &name_us);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_us);
    if (config->kind == PROBE_PATH_HTTP && first_us > sent_us &&
        (path->first_byte_us == 0 || first_us - sent_us < path->first_byte_us))
        path->first_byte_us = first_us - sent_us;
    /* Never 0, which would be no answer: what is faster than the clock counts as its step. */
    try_ended(path, connect_us > name_us ? connect_us - name_us : 1, NULL);
}

static void on_echo(void *context, const struct bus_message *message)
{
    struct asked *asked = context;
    struct path *path = &asked->latency->paths[asked->path];
    int64_t rtt_us = clock_mono_now().us - path->sent_us;
    free(asked);
    if (message->status == 0)
        try_ended(path, rtt_us > 0 ? rtt_us : 1, NULL);
    else
        try_ended(path, 0, message->status == 503 ? "no such node answers" : "no answer in time");
}

static void try_ended(struct path *path, int64_t rtt_us, const char *why)
{
    const struct probe_path *config = &path->latency->options.config->paths[path->index];
    int64_t now_us = clock_mono_now().us;
    if (rtt_us > 0)
        path->tries_us[path->answered++] = rtt_us;
    else
        str_format(path->text, sizeof(path->text), "%.*s", LIMIT_TEXT_BYTES - 1, why);
    if (path->sent < config->count && rtt_us > 0)
        try_start(path, now_us);
    else
        round_ended(path, now_us); /* whoever did not answer once is not asked again and again */
}

static void round_ended(struct path *path, int64_t now_us)
{
    const struct latency_options *options = &path->latency->options;
    const struct probe_path *config = &options->config->paths[path->index];
    struct path_health *health = &path->health;
    bool changed = health->rounds == 0 || (health->answered > 0) != (path->answered > 0);
    path->trying = false;
    health->rounds++;
    health->sent = path->sent;
    health->answered = path->answered;
    health->first_byte_us = path->first_byte_us;
    str_format(health->text, sizeof(health->text), "%s", path->text);
    health->min_us = health->median_us = 0;
    if (path->answered > 0) {
        qsort(path->tries_us, (size_t)path->answered, sizeof(path->tries_us[0]), compare);
        health->min_us = path->tries_us[0];
        health->median_us = path->tries_us[path->answered / 2];
        health->good_us = now_us;
        path->fresh = true;
    }
    int64_t late_us = now_us - path->due_us;
    path->due_us = options->once
                       ? INT64_MAX
                       : path->due_us + (late_us / config->interval_us + 1) * config->interval_us;
    if (options->on_round != NULL)
        options->on_round(options->context, path->index, health, changed);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
