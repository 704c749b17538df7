#include "metrics/probe/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "metrics/probe/web.h"

#define PATH_BYTES         (LIMIT_PATH_BYTES + 16)
#define REDIRECTS_MAX      5L
#define WAIT_FIRST_US      (INT64_C(200) * US_PER_MS)
#define CONNECT_TIMEOUT_MS 15000L
#define PROGRESS_US        (INT64_C(100) * US_PER_MS)
#define TRIES_MAX          1000 /* that bring something, each time a little */

struct transfer {
    const struct fetch_options *options;
    struct fetch_result result;
    CURL *easy;
    char part[PATH_BYTES];
    char tag_path[PATH_BYTES];
    char shown[LIMIT_TEXT_BYTES]; /* the URL without its query */
    char tag[FETCH_TAG_BYTES];    /* strong, of what is in part; "": it cannot be resumed */
    int fd;
    int64_t offset;  /* bytes in part */
    int64_t began;   /* of them when this try began */
    int64_t due_us;  /* when all of it has taken too long */
    int64_t told_us; /* progress, last */
    /* Of the answer being read: */
    long status;
    bool body; /* its first byte was judged */
    int64_t total;
    int64_t range_from;
    int64_t range_total;
    int64_t retry_us; /* -1: it says nothing */
    char etag[FETCH_TAG_BYTES];
    char encoding[32];
    bool restart; /* what is in part is not what the server has: begin anew */
    struct error err;
    char detail[CURL_ERROR_SIZE];
};

enum verdict { DONE, AGAIN, FAILED };

static int begin(struct transfer *transfer, struct error *err);
static void load_part(struct transfer *transfer);
static int run(struct transfer *transfer, struct error *err);
static int try_once(struct transfer *transfer, enum verdict *ret_verdict, struct error *err);
static int prepare(struct transfer *transfer, struct curl_slist **headers, struct error *err);
static int add_header(struct curl_slist **headers, const char *text, struct error *err);
static int add_secret(struct curl_slist **headers, const char *path, struct error *err);
static size_t on_header(char *data, size_t size, size_t count, void *context);
static const char *header_value(const char *line, const char *name);
static size_t on_body(char *data, size_t size, size_t count, void *context);
static int body_begin(struct transfer *transfer);
static enum verdict judge(struct transfer *transfer, CURLcode result, struct error *err);
static enum verdict judge_status(struct transfer *transfer, struct error *err);
static bool passes(CURLcode result);
static int finish(struct transfer *transfer, struct error *err);
static int restart(struct transfer *transfer);
static void tell(struct transfer *transfer, bool now);
static void wait_us(int64_t us);

void fetch_defaults(struct fetch_options *options)
{
    *options = (struct fetch_options){.etag = "",
                                      .header_file = "",
                                      .ca_file = "",
                                      .bytes_max = INT64_C(16) << 30,
                                      .timeout_us = US_PER_HOUR,
                                      .stall_us = 30 * US_PER_S,
                                      .wait_max_us = 60 * US_PER_S,
                                      .tries = 6};
}

int fetch(const struct fetch_options *options, struct fetch_result *ret_result, struct error *err)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (transfer == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a transfer");
    transfer->options = options;
    transfer->fd = -1;
    int rc = begin(transfer, err);
    if (rc == 0)
        rc = run(transfer, err);
    if (rc == 0)
        *ret_result = transfer->result;
    else
        (void)error_prefix(err, "%s", transfer->shown);
    if (transfer->fd >= 0)
        (void)close(transfer->fd);
    curl_easy_cleanup(transfer->easy);
    free(transfer);
    return rc;
}

int64_t fetch_retry_after_us(const char *text, int64_t now_s)
{
    int64_t seconds = 0;
    if (str_to_i64(text, &seconds) == 0)
        return seconds < 0 || seconds > INT64_C(10000000) ? -1 : seconds * US_PER_S;
    time_t at = curl_getdate(text, NULL);
    if (at < 0)
        return -1;
    return at <= now_s ? 0 : ((int64_t)at - now_s) * US_PER_S;
}

static int begin(struct transfer *transfer, struct error *err)
{
    const struct fetch_options *options = transfer->options;
    int bytes = (int)strcspn(options->url, "?#");
    str_format(transfer->shown, sizeof(transfer->shown), "%.*s", bytes < 200 ? bytes : 200,
               options->url);
    if (!str_starts(options->url, "http://") && !str_starts(options->url, "https://"))
        return error_set(err, ERR_INVALID, 0, "a URL begins with https:// or http://");
    if (strlen(options->out) >= LIMIT_PATH_BYTES)
        return error_set(err, ERR_LIMIT, 0, "the path of its file has more than %d bytes",
                         LIMIT_PATH_BYTES - 1);
    str_format(transfer->part, sizeof(transfer->part), "%s.part", options->out);
    str_format(transfer->tag_path, sizeof(transfer->tag_path), "%s.tag", options->out);
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "libcurl does not start");
    transfer->fd = open(transfer->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (transfer->fd < 0)
        return error_set(err, ERR_IO, errno, "open '%s'", transfer->part);
    load_part(transfer);
    transfer->due_us = clock_mono_now().us + options->timeout_us;
    return 0;
}

/* What an earlier call left, if it can be known again. */
static void load_part(struct transfer *transfer)
{
    struct stat status;
    CLEANUP(cleanup_close) int fd = open(transfer->tag_path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, transfer->tag, sizeof(transfer->tag) - 1);
    transfer->tag[bytes < 0 ? 0 : bytes] = 0;
    if (transfer->tag[0] == '"' && fstat(transfer->fd, &status) == 0)
        transfer->offset = status.st_size;
    if (transfer->offset == 0)
        (void)restart(transfer);
}

static int run(struct transfer *transfer, struct error *err)
{
    const struct fetch_options *options = transfer->options;
    int64_t pause_us = WAIT_FIRST_US;
    int idle = 0;
    for (;;) {
        enum verdict verdict = FAILED;
        int64_t before = transfer->offset;
        int rc = try_once(transfer, &verdict, err);
        if (rc < 0 || verdict == DONE)
            return rc < 0 ? rc : finish(transfer, err);
        if (verdict == FAILED)
            return err->code;
        bool gained = transfer->offset > before;
        if (gained)
            pause_us = WAIT_FIRST_US;
        idle = gained ? 0 : idle + 1;
        if (transfer->restart && restart(transfer) < 0)
            return error_set(err, ERR_IO, errno, "write '%s'", transfer->part);
        int64_t wait = transfer->retry_us >= 0 ? transfer->retry_us : pause_us;
        pause_us *= 2;
        if (wait > options->wait_max_us)
            wait = options->wait_max_us;
        if (idle >= options->tries || transfer->result.tries >= TRIES_MAX) {
            (void)error_prefix(err, "after %d tries", transfer->result.tries);
            return err->code;
        }
        if (clock_mono_now().us + wait >= transfer->due_us)
            return error_prefix(err, "there is no time left for one more try");
        wait_us(wait);
    }
}

static int try_once(struct transfer *transfer, enum verdict *ret_verdict, struct error *err)
{
    struct curl_slist *headers = NULL;
    transfer->began = transfer->offset;
    transfer->body = transfer->restart = false;
    transfer->err.code = 0;
    transfer->result.tries++;
    transfer->result.resumed += transfer->offset > 0 ? 1 : 0;
    int rc = prepare(transfer, &headers, err);
    if (rc == 0)
        *ret_verdict = judge(transfer, curl_easy_perform(transfer->easy), err);
    curl_slist_free_all(headers);
    return rc;
}

static int prepare(struct transfer *transfer, struct curl_slist **headers, struct error *err)
{
    const struct fetch_options *options = transfer->options;
    CURL *easy = transfer->easy;
    char text[FETCH_TAG_BYTES + 32];
    int64_t left_us = transfer->due_us - clock_mono_now().us;
    const struct web_options web = {.url = options->url,
                                    .ca_file = options->ca_file,
                                    .timeout_us = left_us < US_PER_MS ? US_PER_MS : left_us,
                                    .error = transfer->detail};
    int rc = web_prepare(easy, &web, err);
    if (rc == 0)
        rc = add_header(headers, "Accept-Encoding: gzip", err);
    if (rc == 0 && transfer->offset > 0) {
        str_format(text, sizeof(text), "Range: bytes=%" PRId64 "-", transfer->offset);
        rc = add_header(headers, text, err);
        str_format(text, sizeof(text), "If-Range: %s", transfer->tag);
        if (rc == 0)
            rc = add_header(headers, text, err);
    } else if (rc == 0 && options->etag[0] != 0) {
        str_format(text, sizeof(text), "If-None-Match: %.*s", FETCH_TAG_BYTES - 1, options->etag);
        rc = add_header(headers, text, err);
    }
    bool secret = options->header_file[0] != 0;
    if (rc == 0 && secret)
        rc = add_secret(headers, options->header_file, err);
    if (rc < 0)
        return rc;
    bool tls = str_starts(options->url, "https://");
    long stall_s = (long)(options->stall_us / US_PER_S);
    CURLcode codes[] = {
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers),
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, secret ? 0L : 1L),
        curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX),
        curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https"),
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS),
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L),
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall_s < 1 ? 1L : stall_s),
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header),
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer),
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body),
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer),
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i] != CURLE_OK)
            return error_set(err, ERR_INVALID, 0, "%s", curl_easy_strerror(codes[i]));
    return 0;
}

static int add_header(struct curl_slist **headers, const char *text, struct error *err)
{
    struct curl_slist *longer = curl_slist_append(*headers, text);
    if (longer == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a request");
    *headers = longer;
    return 0;
}

/* A key goes into a header and not into the URL: URLs end up in logs. */
static int add_secret(struct curl_slist **headers, const char *path, struct error *err)
{
    char text[4096];
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (bytes < 0)
        return error_set(err, ERR_NOT_FOUND, errno, "read the header of '%s'", path);
    text[bytes] = 0;
    text[strcspn(text, "\r\n")] = 0;
    const char *colon = strchr(text, ':');
    int rc = 0;
    if (colon == NULL || colon == text || bytes == (ssize_t)sizeof(text) - 1)
        rc = error_set(err, ERR_INVALID, 0, "%s holds no header: one line, \"Name: value\"", path);
    if (rc == 0)
        rc = add_header(headers, text, err);
    explicit_bzero(text, sizeof(text));
    return rc;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    char line[1024];
    size_t bytes = size * count;
    size_t length = bytes < sizeof(line) ? bytes : sizeof(line) - 1;
    memcpy(line, data, length);
    line[length] = 0;
    line[strcspn(line, "\r\n")] = 0;
    const char *value;
    if (str_starts(line, "HTTP/")) { /* the next answer begins */
        transfer->status = 0;
        transfer->total = transfer->range_from = transfer->range_total = -1;
        transfer->retry_us = -1;
        transfer->etag[0] = transfer->encoding[0] = 0;
    } else if ((value = header_value(line, "etag:")) != NULL) {
        if (str_copy(transfer->etag, sizeof(transfer->etag), value) < 0)
            transfer->etag[0] = 0;
    } else if ((value = header_value(line, "retry-after:")) != NULL) {
        transfer->retry_us = fetch_retry_after_us(value, clock_wall_now().us / US_PER_S);
    } else if ((value = header_value(line, "content-length:")) != NULL) {
        if (str_to_i64(value, &transfer->total) < 0)
            transfer->total = -1;
    } else if ((value = header_value(line, "content-encoding:")) != NULL) {
        (void)!str_copy(transfer->encoding, sizeof(transfer->encoding), value);
    } else if ((value = header_value(line, "content-range:")) != NULL) {
        if (sscanf(value, "bytes %" SCNd64 "-%*d/%" SCNd64, &transfer->range_from,
                   &transfer->range_total) < 1)
            transfer->range_from = -1;
    }
    return bytes;
}

static const char *header_value(const char *line, const char *name)
{
    size_t bytes = strlen(name);
    if (strncasecmp(line, name, bytes) != 0)
        return NULL;
    return line + bytes + strspn(line + bytes, " \t");
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t bytes = size * count;
    if (!transfer->body && body_begin(transfer) < 0)
        return CURL_WRITEFUNC_ERROR;
    if (transfer->status != 200 && transfer->status != 206)
        return bytes; /* words of an error page */
    if (transfer->offset + (int64_t)bytes > transfer->options->bytes_max) {
        (void)error_set(&transfer->err, ERR_LIMIT, 0,
                        "it has more than %" PRId64 " bytes; --max-bytes allows more",
                        transfer->options->bytes_max);
        return CURL_WRITEFUNC_ERROR;
    }
    for (size_t at = 0; at < bytes;) {
        ssize_t wrote =
            pwrite(transfer->fd, data + at, bytes - at, (off_t)(transfer->offset + (int64_t)at));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            (void)error_set(&transfer->err, ERR_IO, errno, "write '%s'", transfer->part);
            return CURL_WRITEFUNC_ERROR;
        }
        at += (size_t)wrote;
    }
    transfer->offset += (int64_t)bytes;
    tell(transfer, false);
    return bytes;
}

/* The answer's head is whole: is what follows the rest of what is here, or all of it? */
static int body_begin(struct transfer *transfer)
{
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->status);
    transfer->body = true;
    if (transfer->status == 206 &&
        (transfer->range_from != transfer->offset || !str_equal(transfer->etag, transfer->tag))) {
        transfer->restart = true;
        return error_set(&transfer->err, ERR_INVALID, 0,
                         "the rest that it sends is not the rest of what is here");
    }
    if (transfer->status == 200) {
        if (restart(transfer) < 0)
            return error_set(&transfer->err, ERR_IO, errno, "write '%s'", transfer->part);
        if (transfer->encoding[0] != 0 && strcasecmp(transfer->encoding, "gzip") != 0 &&
            strcasecmp(transfer->encoding, "identity") != 0)
            return error_set(&transfer->err, ERR_UNSUPPORTED, 0,
                             "it is packed as %.30s; gzip was asked for", transfer->encoding);
        /* A weak tag says that the meaning is the same, not the bytes. */
        CLEANUP(cleanup_close)
        int fd = transfer->etag[0] != '"'
                     ? -1
                     : open(transfer->tag_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        size_t bytes = strlen(transfer->etag);
        if (fd >= 0 && write(fd, transfer->etag, bytes) == (ssize_t)bytes)
            str_format(transfer->tag, sizeof(transfer->tag), "%s", transfer->etag);
    }
    return 0;
}

static enum verdict judge(struct transfer *transfer, CURLcode result, struct error *err)
{
    if (transfer->err.code != 0) {
        *err = transfer->err;
        return transfer->restart ? AGAIN : FAILED;
    }
    if (result == CURLE_OK)
        return judge_status(transfer, err);
    char text[UNITS_TEXT_BYTES];
    if (result == CURLE_OPERATION_TIMEDOUT && clock_mono_now().us < transfer->due_us)
        (void)error_set(err, ERR_TIMEOUT, 0, "nothing came for %s",
                        units_format_duration(transfer->options->stall_us, text));
    else
        (void)web_error(result, transfer->detail, transfer->options->timeout_us, err);
    if (!passes(result))
        return FAILED;
    if (transfer->tag[0] == 0)
        transfer->restart = true;
    transfer->retry_us = -1;
    return AGAIN;
}

static enum verdict judge_status(struct transfer *transfer, struct error *err)
{
    if (!transfer->body && body_begin(transfer) < 0) { /* an answer without a body */
        *err = transfer->err;
        return transfer->restart ? AGAIN : FAILED;
    }
    long status = transfer->status;
    if (status == 206 && transfer->range_total >= 0 && transfer->offset != transfer->range_total) {
        (void)error_set(err, ERR_IO, 0, "it ended after %" PRId64 " of %" PRId64 " bytes",
                        transfer->offset, transfer->range_total);
        return AGAIN;
    }
    if (status == 200 || status == 206 || (status == 304 && transfer->options->etag[0] != 0)) {
        transfer->result.modified = status != 304;
        return DONE;
    }
    if (status == 416 || status == 412) {
        transfer->restart = true;
        (void)error_set(err, ERR_IO, 0, "it has no such rest (status %ld)", status);
        return AGAIN;
    }
    if (status == 429 || status == 500 || (status >= 502 && status <= 504)) {
        (void)error_set(err, ERR_UNAVAILABLE, 0, "it answers with status %ld%s", status,
                        status == 429 ? ": it is asked too often; come back later" : "");
        return AGAIN;
    }
    const char *step = status == 401 || status == 403 ? "; does it want a key (--header-file)?"
                       : status == 404                ? "; is the base URL right?"
                       : status >= 300 && status < 400
                           ? "; redirects are not followed with a secret header"
                           : "";
    (void)error_set(err, status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, 0,
                    "it answers with status %ld%s", status, step);
    return FAILED;
}

/* What a network does now and then. */
static bool passes(CURLcode result)
{
    switch (result) {
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static int finish(struct transfer *transfer, struct error *err)
{
    tell(transfer, true);
    transfer->result.bytes = transfer->offset;
    if (!transfer->result.modified) {
        str_format(transfer->result.etag, FETCH_TAG_BYTES, "%.*s", FETCH_TAG_BYTES - 1,
                   transfer->options->etag);
        (void)unlink(transfer->part);
        (void)unlink(transfer->tag_path);
        return 0;
    }
    str_format(transfer->result.etag, FETCH_TAG_BYTES, "%s", transfer->etag);
    if (fsync(transfer->fd) < 0 || rename(transfer->part, transfer->options->out) < 0)
        return error_set(err, ERR_IO, errno, "keep '%s'", transfer->options->out);
    (void)unlink(transfer->tag_path);
    return 0;
}

static int restart(struct transfer *transfer)
{
    transfer->offset = 0;
    transfer->tag[0] = 0;
    (void)unlink(transfer->tag_path);
    return ftruncate(transfer->fd, 0);
}

static void tell(struct transfer *transfer, bool now)
{
    int64_t now_us = clock_mono_now().us;
    if (transfer->options->progress == NULL || (!now && now_us < transfer->told_us + PROGRESS_US))
        return;
    transfer->told_us = now_us;
    int64_t total = transfer->range_total >= 0 ? transfer->range_total : transfer->total;
    transfer->options->progress(transfer->options->context, transfer->offset,
                                transfer->status == 304 ? -1 : total);
}

static void wait_us(int64_t us)
{
    struct timespec time = {.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000};
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        continue;
}
