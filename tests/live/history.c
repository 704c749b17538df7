#include "tests/live/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool in_window(const struct history_request *request, const struct history_window *window);
static int64_t longest_gap(int64_t *instants, int64_t count, const struct history_window *window);
static int compare_i64(const void *a, const void *b);

int history_read(const char *path, struct history *ret_history, struct error *err)
{
    CLEANUP(cleanup_file) FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(err, ERR_NOT_FOUND, errno, "history '%s'", path);
    struct history history = {0};
    int64_t capacity = 0;
    for (;;) {
        struct history_request request;
        int64_t id;
        int ok;
        int got = fscanf(file, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %d %d\n", &id, &request.sent_us,
                         &request.answered_us, &request.answers, &ok);
        if (got != 5) {
            if (got == EOF)
                break;
            history_done(&history);
            return error_set(err, ERR_CORRUPT, 0,
                             "history '%s', request %" PRId64 ": five numbers are wanted", path,
                             history.count);
        }
        request.ok = ok != 0;
        if (history.count == capacity) {
            capacity = capacity == 0 ? 65536 : capacity * 2;
            struct history_request *list = realloc(history.list, (size_t)capacity * sizeof(*list));
            if (list == NULL) {
                history_done(&history);
                return error_set(err, ERR_NO_MEMORY, 0, "history '%s'", path);
            }
            history.list = list;
        }
        history.list[history.count++] = request;
    }
    *ret_history = history;
    return 0;
}

void history_done(struct history *history)
{
    free(history->list);
    *history = (struct history){0};
}

int history_figures(const struct history *history, const struct history_window *windows, int count,
                    struct history_figures *ret_figures, struct error *err)
{
    struct history_figures figures = {0};
    size_t room = (size_t)history->count + 1;
    CLEANUP(cleanup_free) int64_t *latencies = calloc(room, sizeof(*latencies));
    CLEANUP(cleanup_free) int64_t *instants = calloc(room, sizeof(*instants));
    if (latencies == NULL || instants == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "figures of %" PRId64 " requests", history->count);
    int64_t answered = 0;
    for (int w = 0; w < count; w++) {
        int64_t here = 0;
        for (int64_t i = 0; i < history->count; i++) {
            const struct history_request *request = &history->list[i];
            if (!in_window(request, &windows[w]))
                continue;
            figures.sent++;
            figures.lost += request->answers == 0;
            figures.refused += request->answers > 0 && !request->ok;
            figures.duplicated += request->answers > 1;
            if (!request->ok)
                continue;
            latencies[answered++] = request->answered_us - request->sent_us;
            instants[here++] = request->answered_us;
        }
        int64_t gap_us = longest_gap(instants, here, &windows[w]);
        figures.longest_gap_us = gap_us > figures.longest_gap_us ? gap_us : figures.longest_gap_us;
    }
    if (answered > 0) {
        qsort(latencies, (size_t)answered, sizeof(*latencies), compare_i64);
        figures.p50_us = latencies[answered / 2];
        figures.p99_us = latencies[answered * 99 / 100];
        figures.max_us = latencies[answered - 1];
    }
    *ret_figures = figures;
    return 0;
}

static bool in_window(const struct history_request *request, const struct history_window *window)
{
    return request->sent_us >= window->from_us && request->sent_us < window->to_us;
}

/* Answers come in another order than requests went. A window with a single answer has no gap, one
 * without any is a gap as a whole. */
static int64_t longest_gap(int64_t *instants, int64_t count, const struct history_window *window)
{
    if (count == 0)
        return window->to_us - window->from_us;
    int64_t longest_us = 0;
    qsort(instants, (size_t)count, sizeof(*instants), compare_i64);
    for (int64_t i = 1; i < count; i++)
        if (instants[i] - instants[i - 1] > longest_us)
            longest_us = instants[i] - instants[i - 1];
    return longest_us;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
