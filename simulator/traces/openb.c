/* Pods with creation and deletion times, sorted by creation, in the shape of the cluster trace
 * openb: each is an arrival and, where it has an end, a departure. Named by its class and whether
 * it has a GPU: "LS/gpu", "BE/cpu". Those that live wait in a heap by their end. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "simulator/traces/trace_internal.h"

#define COLUMNS_MAX 64
#define PODS_MAX    (1 << 24)
#define QOS_BYTES   32

enum column {
    COLUMN_CPU,
    COLUMN_MEMORY,
    COLUMN_GPUS,
    COLUMN_GPU,
    COLUMN_QOS,
    COLUMN_CREATION,
    COLUMN_DELETION,
    COLUMNS
};
static const char *const column_words[] = {
    "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "qos", "creation_time", "deletion_time"};

struct pod {
    int64_t created_us;
    int64_t deleted_us; /* INT64_MAX: has no end */
    int64_t line;
    int64_t mcpu;
    int64_t memory_bytes;
    int64_t gpu_milli;
    char name[QOS_BYTES + 4];
};

struct openb {
    int column[COLUMNS];
    int columns;
    struct pod next; /* read, not told */
    bool has_next;
    bool ended;
    struct pod told; /* whose name a raw row points to */
    struct pod *heap;
    int count;
    int room;
};

static int openb_begin(struct trace *trace, char *line, struct error *err);
static int openb_next(struct trace *trace, struct trace_raw *raw, struct error *err);
static void openb_close(void *state);
static int read_pod(struct trace *trace, struct openb *openb, struct error *err);
static int take_pod(struct trace *trace, const struct openb *openb, char **cells, struct pod *pod,
                    struct error *err);
static int push(struct openb *openb, const struct pod *pod, struct error *err);
static void pop(struct openb *openb);
static bool ends_before(const struct pod *a, const struct pod *b);

const struct trace_format trace_openb = {"openb", openb_begin, openb_next, openb_close};

static int openb_begin(struct trace *trace, char *line, struct error *err)
{
    char *cells[COLUMNS_MAX];
    int count = 0;
    void **state = trace_state(trace);
    if (*state == NULL && (*state = calloc(1, sizeof(struct openb))) == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a trace");
    struct openb *openb = *state;
    int rc = trace_split(trace, line, cells, COLUMNS_MAX, &count, err);
    if (rc < 0)
        return rc;
    openb->columns = count;
    openb->ended = false;
    for (int k = 0; k < COLUMNS; k++) {
        openb->column[k] = -1;
        for (int i = 0; i < count; i++)
            if (str_equal(cells[i], column_words[k]))
                openb->column[k] = i;
        if (openb->column[k] < 0)
            return trace_wrong(trace, err,
                               "the head line has no column %s; an openb file lists pods with "
                               "cpu_milli, memory_mib, num_gpu, gpu_milli, qos, creation_time and "
                               "deletion_time",
                               column_words[k]);
    }
    return 1;
}

static int openb_next(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    struct openb *openb = *trace_state(trace);
    if (!openb->has_next && !openb->ended) {
        int rc = read_pod(trace, openb, err);
        if (rc < 0)
            return rc;
    }
    bool leave = openb->count > 0 &&
                 (!openb->has_next || openb->heap[0].deleted_us <= openb->next.created_us);
    if (!leave && !openb->has_next)
        return 0;
    openb->told = leave ? openb->heap[0] : openb->next;
    const struct pod *pod = &openb->told;
    if (leave) {
        pop(openb);
    } else {
        openb->has_next = false;
        int rc = pod->deleted_us == INT64_MAX ? 0 : push(openb, pod, err);
        if (rc < 0)
            return rc;
    }
    raw->kind = leave ? TRACE_LEAVE : TRACE_ARRIVE;
    raw->at_us = leave ? pod->deleted_us : pod->created_us;
    raw->name = pod->name;
    raw->value = pod->mcpu;
    raw->memory_bytes = pod->memory_bytes;
    raw->gpu_milli = pod->gpu_milli;
    raw->line = pod->line;
    return 1;
}

static void openb_close(void *state)
{
    struct openb *openb = state;
    if (openb == NULL)
        return;
    free(openb->heap);
    free(openb);
}

static int read_pod(struct trace *trace, struct openb *openb, struct error *err)
{
    char *cells[COLUMNS_MAX];
    char *line;
    int count = 0;
    int rc = trace_line(trace, &line, err);
    openb->ended = rc == 0;
    if (rc <= 0)
        return rc;
    rc = trace_split(trace, line, cells, COLUMNS_MAX, &count, err);
    if (rc < 0)
        return rc;
    if (count != openb->columns)
        return trace_wrong(trace, err, "%d cells where the head line has %d columns", count,
                           openb->columns);
    struct pod pod = {.line = lines_number(trace_lines(trace)), .deleted_us = INT64_MAX};
    rc = take_pod(trace, openb, cells, &pod, err);
    if (rc < 0)
        return rc;
    openb->next = pod;
    openb->has_next = true;
    return 0;
}

static int take_pod(struct trace *trace, const struct openb *openb, char **cells, struct pod *pod,
                    struct error *err)
{
    int64_t mib;
    int64_t gpus;
    int64_t each;
    const char *qos = cells[openb->column[COLUMN_QOS]];
    const char *deletion = cells[openb->column[COLUMN_DELETION]];
    int rc = trace_take_number(trace, "cpu_milli", cells[openb->column[COLUMN_CPU]], 0, 1000000000,
                               &pod->mcpu, err);
    if (rc == 0)
        rc = trace_take_number(trace, "memory_mib", cells[openb->column[COLUMN_MEMORY]], 0,
                               INT64_C(1) << 40, &mib, err);
    if (rc == 0)
        rc = trace_take_number(trace, "num_gpu", cells[openb->column[COLUMN_GPUS]], 0, 1000000,
                               &gpus, err);
    if (rc == 0)
        rc = trace_take_number(trace, "gpu_milli", cells[openb->column[COLUMN_GPU]], 0, 1000000,
                               &each, err);
    if (rc == 0)
        rc = trace_take_time(trace, cells[openb->column[COLUMN_CREATION]], &pod->created_us, err);
    if (rc == 0 && deletion[0] != 0)
        rc = trace_take_time(trace, deletion, &pod->deleted_us, err);
    if (rc < 0)
        return rc;
    if (pod->deleted_us < pod->created_us)
        return trace_wrong(trace, err, "deletion_time %.40s is before creation_time %.40s",
                           deletion, cells[openb->column[COLUMN_CREATION]]);
    if (strlen(qos) >= QOS_BYTES)
        return trace_wrong(trace, err, "qos \"%.40s...\" is too long: at most %d bytes", qos,
                           QOS_BYTES - 1);
    pod->memory_bytes = mib << 20;
    pod->gpu_milli = gpus * each;
    str_format(pod->name, sizeof(pod->name), "%s/%s", qos, gpus > 0 ? "gpu" : "cpu");
    return 0;
}

/* ---- those that live, the first to end on top ---- */

static bool ends_before(const struct pod *a, const struct pod *b)
{
    return a->deleted_us != b->deleted_us ? a->deleted_us < b->deleted_us : a->line < b->line;
}

static int push(struct openb *openb, const struct pod *pod, struct error *err)
{
    if (openb->count == openb->room) {
        int room = openb->room * 2 + 256;
        struct pod *heap =
            room > PODS_MAX ? NULL : realloc(openb->heap, (size_t)room * sizeof(*heap));
        if (heap == NULL)
            return error_set(err, ERR_LIMIT, 0, "%d pods live at one time: too many to follow",
                             openb->count);
        openb->heap = heap;
        openb->room = room;
    }
    int at = openb->count++;
    for (; at > 0 && ends_before(pod, &openb->heap[(at - 1) / 2]); at = (at - 1) / 2)
        openb->heap[at] = openb->heap[(at - 1) / 2];
    openb->heap[at] = *pod;
    return 0;
}

static void pop(struct openb *openb)
{
    struct pod last = openb->heap[--openb->count];
    int at = 0;
    for (;;) {
        int child = 2 * at + 1;
        if (child >= openb->count)
            break;
        if (child + 1 < openb->count && ends_before(&openb->heap[child + 1], &openb->heap[child]))
            child++;
        if (!ends_before(&openb->heap[child], &last))
            break;
        openb->heap[at] = openb->heap[child];
        at = child;
    }
    if (openb->count > 0)
        openb->heap[at] = last;
}
