#include "tests/live/clients/judge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"

static int64_t quantile_us(const struct sketch *sketch, int64_t q_ppm);

int judge_init(struct judge *judge, int64_t requests, struct error *err)
{
    *judge = (struct judge){.room = requests};
    if (requests < 1 || requests > JUDGE_REQUESTS_MAX)
        return error_set(err, ERR_LIMIT, 0, "%" PRId64 " requests: 1 to %d can be judged", requests,
                         JUDGE_REQUESTS_MAX);
    judge->requests = calloc((size_t)requests, sizeof *judge->requests);
    if (judge->requests == NULL)
        return error_set(err, ERR_NO_MEMORY, errno, "%" PRId64 " requests", requests);
    judge->begun_us = clock_mono_now().us;
    judge->wall_offset_us = clock_wall_now().us - judge->begun_us;
    return 0;
}

void judge_done(struct judge *judge)
{
    free(judge->requests);
    sketch_done(&judge->interval);
    sketch_done(&judge->total);
    *judge = (struct judge){0};
}

int64_t judge_send(struct judge *judge, int64_t due_us)
{
    BERTH_ASSERT(judge->sent < judge->room, "%d requests", (int)judge->room);
    judge->requests[judge->sent].sent_us = due_us;
    return judge->sent++;
}

void judge_answer(struct judge *judge, int64_t id, int64_t now_us, bool ok)
{
    if (id < 0 || id >= judge->sent)
        return;
    struct judge_request *request = &judge->requests[id];
    if (request->answers < UINT8_MAX)
        request->answers++;
    if (request->answers > 1) {
        judge->duplicated++;
        return;
    }
    request->answered_us = now_us;
    request->ok = ok;
    if (!ok) {
        judge->refused++;
        return;
    }
    judge->answered++;
    sketch_add(&judge->interval, now_us - request->sent_us);
    sketch_add(&judge->total, now_us - request->sent_us);
    if (judge->last_ok_us != 0 && now_us - judge->last_ok_us > judge->longest_gap_us) {
        judge->longest_gap_us = now_us - judge->last_ok_us;
        judge->gap_at_us = judge->last_ok_us;
    }
    judge->last_ok_us = now_us;
}

int64_t judge_waiting(const struct judge *judge)
{
    return judge->sent - judge->answered - judge->refused;
}

void judge_json(struct judge *judge, bool final, FILE *out)
{
    const struct sketch *sketch = final ? &judge->total : &judge->interval;
    fprintf(out,
            "\"t_us\":%" PRId64 ",\"sent\":%" PRId64 ",\"answered\":%" PRId64
            ",\"refused\":%" PRId64 ",\"%s\":%" PRId64 ",\"duplicated\":%" PRId64
            ",\"longest_gap_us\":%" PRId64 ",\"gap_at_us\":%" PRId64 ",\"latencies\":%" PRIu64
            ",\"p50_us\":%" PRId64 ",\"p90_us\":%" PRId64 ",\"p99_us\":%" PRId64
            ",\"p999_us\":%" PRId64 ",\"max_us\":%" PRId64 ",\"final\":%s",
            clock_mono_now().us - judge->begun_us, judge->sent, judge->answered, judge->refused,
            final ? "lost" : "waiting", judge_waiting(judge), judge->duplicated,
            judge->longest_gap_us, judge->gap_at_us == 0 ? 0 : judge->gap_at_us - judge->begun_us,
            sketch->count, quantile_us(sketch, 500000), quantile_us(sketch, 900000),
            quantile_us(sketch, 990000), quantile_us(sketch, 999000), quantile_us(sketch, 1000000),
            final ? "true" : "false");
    sketch_clear(&judge->interval);
}

void judge_text(struct judge *judge, bool final, FILE *out)
{
    const struct sketch *sketch = final ? &judge->total : &judge->interval;
    fprintf(out,
            "%s%7.1f s  sent %" PRId64 "  answered %" PRId64 "  refused %" PRId64 "  %s %" PRId64
            "  duplicated %" PRId64 "  p50 %.2f ms  p99 %.2f ms  longest gap %.1f ms",
            final ? "all" : "   ", (double)(clock_mono_now().us - judge->begun_us) / 1e6,
            judge->sent, judge->answered, judge->refused, final ? "lost" : "waiting",
            judge_waiting(judge), judge->duplicated, (double)quantile_us(sketch, 500000) / 1e3,
            (double)quantile_us(sketch, 990000) / 1e3, (double)judge->longest_gap_us / 1e3);
    sketch_clear(&judge->interval);
}

int judge_history(const struct judge *judge, const char *path, struct error *err)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return error_set(err, ERR_IO, errno, "open '%s'", path);
    for (int64_t i = 0; i < judge->sent; i++) {
        const struct judge_request *request = &judge->requests[i];
        fprintf(file, "%" PRId64 " %" PRId64 " %" PRId64 " %d %d\n", i,
                request->sent_us + judge->wall_offset_us,
                request->answered_us == 0 ? 0 : request->answered_us + judge->wall_offset_us,
                request->answers, request->ok);
    }
    bool bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad)
        return error_set(err, ERR_IO, errno, "write '%s'", path);
    return 0;
}

static int64_t quantile_us(const struct sketch *sketch, int64_t q_ppm)
{
    return sketch->count == 0 ? 0 : (int64_t)(sketch_quantile(sketch, q_ppm) + 0.5);
}
