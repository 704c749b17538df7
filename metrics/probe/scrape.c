#include "metrics/probe/scrape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "metrics/openmetrics.h"

#define REDIRECTS_MAX 3L
#define TOKEN_BYTES   16384
#define REST_BEATS    10 /* intervals until a page over the limit is asked for again */
#define ACCEPT \
    "Accept: " \
    "application/openmetrics-text;version=1.0.0;q=1,text/plain;version=0.0.4;q=0.7,*/*;q=0.1"

struct job {
    struct web_transfer transfer; /* first: a transfer is its job */
    struct scraper *scraper;
    struct job *next_free;
    int target;
    struct openmetrics_reader *reader;
    struct ingest_page *page;
    bool reading;                            /* a body with status 200 has begun */
    const struct openmetrics_result *result; /* of a page that counts */
    int64_t began_us;
    int64_t bytes;
    struct error err; /* what was found while it came */
    char detail[CURL_ERROR_SIZE];
};

struct state {
    int64_t due_us;
    struct target_health health;
};

struct scraper {
    struct scraper_options options;
    struct state *states;
    int *heap; /* targets by due_us, those under way left out */
    int heap_count;
    struct job *jobs;
    struct job *free_jobs;
    int job_count;
    int under_way;
    struct curl_slist *headers;
};

static int job_start(struct scraper *scraper, struct job *job, int target, int64_t now_us,
                     struct error *err);
static int set_token(CURL *easy, const char *path, struct error *err);
static size_t on_body(char *data, size_t size, size_t count, void *context);
static int body_begin(struct job *job);
static void on_done(struct web_transfer *transfer, CURLcode result);
static int judge(struct job *job, CURLcode result, struct error *err);
static void finish(struct job *job, CURLcode result, int64_t now_us);
static void tame(char *text);
static void heap_push(struct scraper *scraper, int target);
static int heap_pop(struct scraper *scraper);

int scraper_create(const struct scraper_options *options, struct scraper **ret_scraper,
                   struct error *err)
{
    const struct probe_config *config = options->config;
    struct scraper *scraper = calloc(1, sizeof(*scraper));
    if (scraper == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the probe's targets");
    scraper->options = *options;
    size_t count = (size_t)config->target_count;
    size_t jobs = count < (size_t)config->concurrency ? count : (size_t)config->concurrency;
    scraper->states = calloc(count + 1, sizeof(*scraper->states));
    scraper->heap = calloc(count + 1, sizeof(*scraper->heap));
    scraper->jobs = calloc(jobs + 1, sizeof(*scraper->jobs));
    scraper->headers = curl_slist_append(NULL, ACCEPT);
    bool made = scraper->states != NULL && scraper->heap != NULL && scraper->jobs != NULL &&
                scraper->headers != NULL;
    for (size_t i = 0; made && i < jobs; i++) {
        struct job *job = &scraper->jobs[i];
        struct error ignored;
        job->scraper = scraper;
        job->transfer.done = on_done;
        job->transfer.easy = curl_easy_init();
        made = job->transfer.easy != NULL && openmetrics_reader_create(&job->reader, &ignored) == 0;
        job->next_free = scraper->free_jobs;
        scraper->free_jobs = job;
        scraper->job_count++;
    }
    if (!made) {
        scraper_destroy(scraper);
        return error_set(err, ERR_NO_MEMORY, 0, "the probe's targets");
    }
    for (int i = 0; i < config->target_count; i++) {
        const struct probe_target *target = &config->targets[i];
        uint64_t hash =
            hash_u64(hash_str(hash_str(HASH_SEED, config->name), target->url), (uint64_t)i);
        scraper->states[i].due_us =
            options->now_us + (options->once ? 0 : (int64_t)(hash % (uint64_t)target->interval_us));
        heap_push(scraper, i);
    }
    *ret_scraper = scraper;
    return 0;
}

void scraper_destroy(struct scraper *scraper)
{
    if (scraper == NULL)
        return;
    for (int i = 0; i < scraper->job_count; i++) {
        struct job *job = &scraper->jobs[i];
        if (job->page != NULL) {
            web_stop(scraper->options.web, &job->transfer);
            ingest_abort(job->page);
        }
        curl_easy_cleanup(job->transfer.easy);
        openmetrics_reader_destroy(job->reader);
    }
    curl_slist_free_all(scraper->headers);
    free(scraper->states);
    free(scraper->heap);
    free(scraper->jobs);
    free(scraper);
}

void scraper_tick(struct scraper *scraper, int64_t now_us)
{
    while (scraper->heap_count > 0 && scraper->free_jobs != NULL &&
           scraper->states[scraper->heap[0]].due_us <= now_us) {
        int target = heap_pop(scraper);
        struct job *job = scraper->free_jobs;
        scraper->free_jobs = job->next_free;
        scraper->under_way++;
        job->target = target;
        job->began_us = now_us;
        job->bytes = 0;
        job->reading = false;
        job->err = (struct error){.code = 0};
        job->page = NULL;
        if (job_start(scraper, job, target, now_us, &job->err) < 0)
            finish(job, CURLE_OK, now_us);
    }
}

int64_t scraper_timeout_us(const struct scraper *scraper, int64_t now_us)
{
    if (scraper->heap_count == 0 || scraper->free_jobs == NULL)
        return -1;
    int64_t due_us = scraper->states[scraper->heap[0]].due_us;
    return due_us > now_us ? due_us - now_us : 0;
}

bool scraper_idle(const struct scraper *scraper)
{
    return scraper->under_way == 0 && scraper->heap_count == 0;
}

const struct target_health *scraper_health(const struct scraper *scraper, int target)
{
    return &scraper->states[target].health;
}

static int job_start(struct scraper *scraper, struct job *job, int target, int64_t now_us,
                     struct error *err)
{
    const struct probe_target *config = &scraper->options.config->targets[target];
    CURL *easy = job->transfer.easy;
    struct web_options options = {.url = config->url,
                                  .ca_file = config->ca_file,
                                  .insecure_skip_verify = config->insecure_skip_verify,
                                  .timeout_us = config->timeout_us,
                                  .error = job->detail};
    int rc = web_prepare(easy, &options, err);
    if (rc == 0 && config->bearer_token_file[0] != 0)
        rc = set_token(easy, config->bearer_token_file, err);
    if (rc < 0)
        return rc;
    bool secure = str_starts(config->url, "https:");
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, scraper->headers);
    (void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    (void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http");
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    struct ingest_begin begin = {
        .target = (uint32_t)target,
        .names = &config->names,
        .instance = config->instance,
        .now_us = now_us,
        .wall_ms = clock_wall_now().us / US_PER_MS,
    };
    rc = ingest_begin(scraper->options.ingest, &begin, &job->page, err);
    if (rc == 0)
        rc = web_start(scraper->options.web, &job->transfer, err);
    return rc;
}

/* The file is small, and may be replaced at any time by whoever renews the token. */
static int set_token(CURL *easy, const char *path, struct error *err)
{
    char token[TOKEN_BYTES];
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, token, sizeof(token) - 1);
    if (bytes < 0)
        return error_set(err, ERR_NOT_FOUND, errno, "read the token of %s", path);
    token[bytes] = 0;
    token[strcspn(token, "\r\n")] = 0;
    for (const char *at = token; *at != 0; at++)
        if (*at <= ' ' || *at > '~')
            return error_set(err, ERR_INVALID, 0, "%s is no token: it has blanks or other letters",
                             path);
    if (token[0] == 0 || bytes == (ssize_t)sizeof(token) - 1)
        return error_set(err, ERR_INVALID, 0, "%s is no token: it is empty, or over %d bytes", path,
                         TOKEN_BYTES - 2);
    CURLcode code = curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, token);
    explicit_bzero(token, sizeof(token));
    return code == CURLE_OK ? 0 : error_set(err, ERR_NO_MEMORY, 0, "%s", curl_easy_strerror(code));
}

/* Anything but the whole count ends the transfer; why is in job->err. */
static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct job *job = context;
    size_t bytes = size * count;
    if (!job->reading && body_begin(job) < 0)
        return CURL_WRITEFUNC_ERROR;
    job->bytes += (int64_t)bytes;
    if (job->bytes > LIMIT_PAGE_BYTES) {
        (void)error_set(&job->err, ERR_LIMIT, 0, "the page has more than %d MiB (LIMIT_PAGE_BYTES)",
                        LIMIT_PAGE_BYTES >> 20);
        return CURL_WRITEFUNC_ERROR;
    }
    if (openmetrics_feed(job->reader, data, bytes, &job->err) < 0)
        return CURL_WRITEFUNC_ERROR;
    return bytes;
}

static int body_begin(struct job *job)
{
    long status = 0;
    char *type = NULL;
    (void)curl_easy_getinfo(job->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(job->transfer.easy, CURLINFO_CONTENT_TYPE, &type);
    if (status != 200)
        return error_set(&job->err, ERR_UNAVAILABLE, 0, "it answers with status %ld", status);
    if (type != NULL &&
        (strncasecmp(type, "text/html", 9) == 0 || strncasecmp(type, "application/json", 16) == 0 ||
         strncasecmp(type, "application/vnd.google.protobuf", 31) == 0))
        return error_set(&job->err, ERR_INVALID, 0,
                         "its page is %.40s, which is no text format of metrics", type);
    openmetrics_begin(job->reader, openmetrics_format_of(type), ingest_sample, job->page);
    job->reading = true;
    return 0;
}

static void on_done(struct web_transfer *transfer, CURLcode result)
{
    struct job *job = (struct job *)transfer;
    finish(job, result, clock_mono_now().us);
}

static int judge(struct job *job, CURLcode result, struct error *err)
{
    const struct probe_target *target = &job->scraper->options.config->targets[job->target];
    if (job->err.code != 0) {
        *err = job->err;
        return err->code;
    }
    if (result != CURLE_OK)
        return web_error(result, job->detail, target->timeout_us, err);
    if (!job->reading && body_begin(job) < 0) { /* an answer without a body */
        *err = job->err;
        return err->code;
    }
    const struct openmetrics_result *page = openmetrics_end(job->reader);
    const struct openmetrics_problem *first = page->problem_count > 0 ? &page->problems[0] : NULL;
    if (page->samples == 0)
        return error_set(err, ERR_INVALID, 0, "no series on the page%s%s",
                         first == NULL ? "; is it empty?" : ": ", first == NULL ? "" : first->text);
    if (page->cut)
        return error_set(err, ERR_IO, 0, "the page is cut after line %llu",
                         (unsigned long long)page->lines);
    job->result = page;
    return 0;
}

static void finish(struct job *job, CURLcode result, int64_t now_us)
{
    struct scraper *scraper = job->scraper;
    struct state *state = &scraper->states[job->target];
    struct target_health *health = &state->health;
    const struct probe_target *target = &scraper->options.config->targets[job->target];
    struct error err = {.code = 0};
    int rc = judge(job, result, &err);
    bool was_up = health->up;
    bool first = health->tries == 0;
    health->tries++;
    health->bytes = job->bytes;
    health->duration_us = now_us - job->began_us;
    health->up = rc == 0;
    health->code = rc;
    if (rc < 0) {
        health->failures++;
        str_format(health->text, sizeof(health->text), "%.*s", (int)sizeof(health->text) - 1,
                   err.text);
        if (job->page != NULL)
            ingest_abort(job->page);
    } else {
        const struct openmetrics_result *page = job->result;
        health->good_us = now_us;
        health->problems = (int64_t)page->problem_count;
        health->counts = ingest_commit(job->page, now_us);
        health->text[0] = 0;
        if (page->problem_count > 0)
            str_format(health->text, sizeof(health->text), "line %llu: %s",
                       (unsigned long long)page->problems[0].line, page->problems[0].text);
        else if (health->counts.first[0] != 0)
            str_format(health->text, sizeof(health->text), "%s", health->counts.first);
    }
    tame(health->text);
    job->page = NULL;
    job->next_free = scraper->free_jobs;
    scraper->free_jobs = job;
    scraper->under_way--;
    /* The beat is kept; what was missed is not made up for. A page that is far too large has cost
     * the others more time than is fair. */
    int64_t late_us = now_us - state->due_us;
    int64_t beats = late_us / target->interval_us + (rc == ERR_LIMIT ? REST_BEATS : 1);
    state->due_us += beats * target->interval_us;
    if (!scraper->options.once)
        heap_push(scraper, job->target);
    if (scraper->options.on_page != NULL)
        scraper->options.on_page(scraper->options.context, job->target, health,
                                 first || was_up != health->up);
}

/* What others wrote goes to logs and terminals: no line ends, quotes or control sequences. */
static void tame(char *text)
{
    for (; *text != 0; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
        else if (*text == '"')
            *text = '\'';
}

static void heap_push(struct scraper *scraper, int target)
{
    int at = scraper->heap_count++;
    const struct state *states = scraper->states;
    for (; at > 0; at = (at - 1) / 2) {
        int parent = scraper->heap[(at - 1) / 2];
        if (states[parent].due_us <= states[target].due_us)
            break;
        scraper->heap[at] = parent;
    }
    scraper->heap[at] = target;
}

static int heap_pop(struct scraper *scraper)
{
    int top = scraper->heap[0];
    int last = scraper->heap[--scraper->heap_count];
    const struct state *states = scraper->states;
    int at = 0;
    for (int child = 1; child < scraper->heap_count; child = 2 * at + 1) {
        if (child + 1 < scraper->heap_count &&
            states[scraper->heap[child + 1]].due_us < states[scraper->heap[child]].due_us)
            child++;
        if (states[last].due_us <= states[scraper->heap[child]].due_us)
            break;
        scraper->heap[at] = scraper->heap[child];
        at = child;
    }
    if (scraper->heap_count > 0)
        scraper->heap[at] = last;
    return top;
}
