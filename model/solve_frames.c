#include "model/solve_frames.h"

#include <endian.h>
#include <math.h>
#include <string.h>

#define NEWS_MAGIC    UINT32_C(0x314e5242) /* "BRN1" */
#define SESSION_MAGIC UINT32_C(0x314f5242) /* "BRO1" */

#define THREADS_MAX 64

static void put(char *out, uint64_t value);
static uint64_t get(const unsigned char *at);
static bool is_zero(const unsigned char *at);
static uint64_t bits_of(double value);
static double double_of(uint64_t bits);

void solve_limits_encode(const struct solve_limits *limits, char out[SOLVE_LIMITS_BYTES])
{
    put(out, (uint64_t)limits->nodes_max);
    put(out + 8, (uint64_t)limits->time_max_us);
    put(out + 16, (uint64_t)limits->memory_max_bytes);
    put(out + 24, bits_of(limits->gap));
    memset(out + 32, 0, 4);
}

int solve_limits_decode(const void *bytes, size_t count, struct solve_limits *ret_limits,
                        struct error *err)
{
    const unsigned char *at = bytes;
    if (count < SOLVE_LIMITS_BYTES) {
        return error_set(err, ERR_INVALID, 0, "a request of %zu bytes ends within its limits",
                         count);
    }
    if (!is_zero(at + 32)) {
        return error_set(err, ERR_INVALID, 0, "the limits of a request do not end with 0");
    }
    struct solve_limits limits = {.nodes_max = (int64_t)get(at),
                                  .time_max_us = (int64_t)get(at + 8),
                                  .memory_max_bytes = (int64_t)get(at + 16),
                                  .gap = double_of(get(at + 24))};
    if (limits.nodes_max < 0 || limits.time_max_us < 0 || limits.time_max_us > SOLVE_TIME_MAX_US ||
        limits.memory_max_bytes < 0) {
        return error_set(err, ERR_INVALID, 0,
                         "the limits of a request are out of range: nodes %lld, time %lld us, "
                         "memory %lld bytes",
                         (long long)limits.nodes_max, (long long)limits.time_max_us,
                         (long long)limits.memory_max_bytes);
    }
    if (!(limits.gap >= 0 && limits.gap <= 1)) {
        return error_set(err, ERR_INVALID, 0, "the gap of a request is %g: from 0 to 1 is allowed",
                         limits.gap);
    }
    *ret_limits = limits;
    return 0;
}

void solve_session_encode(const struct solve_session *session, char out[SOLVE_SESSION_BYTES])
{
    uint32_t head[2] = {htole32(SESSION_MAGIC), htole32((uint32_t)session->kind)};
    uint32_t threads = htole32((uint32_t)session->threads);
    memcpy(out, head, sizeof(head));
    put(out + 8, session->id);
    put(out + 16, session->seed);
    memcpy(out + 24, &threads, sizeof(threads));
    put(out + 28, bits_of(session->gap_poor));
    memset(out + 36, 0, 4);
}

bool solve_session_is(const void *bytes, size_t count)
{
    uint32_t magic = 0;
    if (count >= sizeof(magic)) {
        memcpy(&magic, bytes, sizeof(magic));
    }
    return le32toh(magic) == SESSION_MAGIC;
}

int solve_session_decode(const void *bytes, size_t count, struct solve_session *ret_session,
                         struct error *err)
{
    const unsigned char *at = bytes;
    uint32_t kind = 0;
    uint32_t threads = 0;
    if (count < SOLVE_SESSION_BYTES || !solve_session_is(bytes, count)) {
        return error_set(err, ERR_INVALID, 0, "a request of a session ends within its head");
    }
    if (!is_zero(at + 36)) {
        return error_set(err, ERR_INVALID, 0, "the head of a session does not end with 0");
    }
    memcpy(&kind, at + 4, sizeof(kind));
    memcpy(&threads, at + 24, sizeof(threads));
    kind = le32toh(kind);
    threads = le32toh(threads);
    struct solve_session session = {.kind = (enum session_kind)kind,
                                    .id = get(at + 8),
                                    .seed = get(at + 16),
                                    .threads = (int)threads,
                                    .gap_poor = double_of(get(at + 28))};
    if (kind > SESSION_CLOSE || threads > THREADS_MAX ||
        !(session.gap_poor >= 0 && session.gap_poor <= 1)) {
        return error_set(err, ERR_INVALID, 0,
                         "the head of a session is out of range: kind %u, threads %u of %d, poor "
                         "gap %g of 1",
                         kind, threads, THREADS_MAX, session.gap_poor);
    }
    *ret_session = session;
    return 0;
}

void solve_news_encode(const struct solve_news *news, char out[SOLVE_NEWS_BYTES])
{
    uint32_t magic = htole32(NEWS_MAGIC);
    memcpy(out, &magic, sizeof(magic));
    put(out + 4, bits_of(news->bound));
    put(out + 12, bits_of(news->best));
    put(out + 20, (uint64_t)news->elapsed_us);
}

bool solve_news_decode(const void *bytes, size_t count, struct solve_news *ret_news)
{
    const unsigned char *at = bytes;
    uint32_t magic = 0;
    if (count != SOLVE_NEWS_BYTES) {
        return false;
    }
    memcpy(&magic, at, sizeof(magic));
    struct solve_news news = {.bound = double_of(get(at + 4)),
                              .best = double_of(get(at + 12)),
                              .elapsed_us = (int64_t)get(at + 20)};
    if (le32toh(magic) != NEWS_MAGIC || isnan(news.bound) || isnan(news.best) ||
        news.elapsed_us < 0) {
        return false;
    }
    *ret_news = news;
    return true;
}

double solve_news_gap(const struct solve_news *news)
{
    if (!isfinite(news->bound) || !isfinite(news->best)) {
        return -1;
    }
    double over = fmax(news->best - news->bound, 0);
    return over == 0 ? 0 : over / fmax(fabs(news->best), 1);
}

static void put(char *out, uint64_t value)
{
    uint64_t little = htole64(value);
    memcpy(out, &little, sizeof(little));
}

static uint64_t get(const unsigned char *at)
{
    uint64_t little;
    memcpy(&little, at, sizeof(little));
    return le64toh(little);
}

/* Of 4 bytes. */
static bool is_zero(const unsigned char *at)
{
    return (at[0] | at[1] | at[2] | at[3]) == 0;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
