#include "tests/bench/solver/openb.h"

#include <string.h>

#include "base/str.h"

#define AMOUNT_MAX 1000000000
#define LINES_MAX  ((int64_t)1 << 20)

struct csv {
    const char *file;
    const char *at;
    const char *end;
    int line;
    int commas; /* of the line so far */
};

struct field {
    const char *text;
    size_t bytes;
};

static int read_nodes(struct csv *csv, struct arena *arena, struct openb *openb, struct error *err);
static int alike_of(const struct openb *openb, int index);
static int read_node(struct csv *csv, struct openb *openb, struct openb_node *node,
                     struct error *err);
static int read_tasks(struct csv *csv, struct arena *arena, struct openb *openb, struct error *err);
static int read_task(struct csv *csv, struct arena *arena, struct openb *openb,
                     struct openb_task *task, struct error *err);
static int begin(struct csv *csv, const char *header, int *ret_lines, struct error *err);
static struct field next(struct csv *csv);
static int end_line(struct csv *csv, int fields, struct error *err);
static int number(struct csv *csv, const char *what, int most, int *ret_value, struct error *err);
static int type_of(struct csv *csv, struct openb *openb, struct field name, int *ret_type,
                   struct error *err);

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace");
}

int openb_read(const char *nodes, size_t nodes_bytes, const char *tasks, size_t tasks_bytes,
               struct arena *arena, struct openb *ret_openb, struct error *err)
{
    struct openb openb = {0};
    struct csv csv = {.file = "nodes", .at = nodes, .end = nodes + nodes_bytes, .line = 1};
    int rc = read_nodes(&csv, arena, &openb, err);
    csv = (struct csv){.file = "tasks", .at = tasks, .end = tasks + tasks_bytes, .line = 1};
    rc = rc == 0 ? read_tasks(&csv, arena, &openb, err) : rc;
    if (rc == 0) {
        *ret_openb = openb;
    }
    return rc;
}

static int read_nodes(struct csv *csv, struct arena *arena, struct openb *openb, struct error *err)
{
    int rc = begin(csv, "sn,cpu_milli,memory_mib,gpu,model", &openb->nodes, err);
    if (rc == 0 && (openb->nodes < 1 || openb->nodes >= GRID_SITES_MAX)) {
        rc = error_set(err, ERR_INVALID, 0, "nodes: there are %d: 1 to %d can be read",
                       openb->nodes, GRID_SITES_MAX - 1);
    }
    if (rc < 0) {
        return rc;
    }
    openb->node = arena_array(arena, (size_t)openb->nodes, sizeof(*openb->node));
    if (openb->node == NULL) {
        return no_memory(err);
    }
    for (int i = 0; i < openb->nodes && rc == 0; i++) {
        rc = read_node(csv, openb, &openb->node[i], err);
        openb->node[i].alike = rc == 0 ? alike_of(openb, i) : i;
    }
    return rc;
}

/* The first node that is like this one. */
static int alike_of(const struct openb *openb, int index)
{
    const struct openb_node *node = &openb->node[index];
    for (int i = 0; i < index; i++) {
        const struct openb_node *other = &openb->node[i];
        if (other->alike == i && other->cpu_milli == node->cpu_milli &&
            other->memory_mib == node->memory_mib && other->gpus == node->gpus &&
            other->type == node->type) {
            return i;
        }
    }
    return index;
}

static int read_node(struct csv *csv, struct openb *openb, struct openb_node *node,
                     struct error *err)
{
    (void)next(csv); /* its name: nodes are known by their place */
    int rc = number(csv, "cpu_milli", AMOUNT_MAX, &node->cpu_milli, err);
    rc = rc == 0 ? number(csv, "memory_mib", AMOUNT_MAX, &node->memory_mib, err) : rc;
    rc = rc == 0 ? number(csv, "gpu", OPENB_GPUS_MAX, &node->gpus, err) : rc;
    if (rc < 0) {
        return rc;
    }
    struct field model = next(csv);
    node->type = -1;
    if ((node->gpus > 0) != (model.bytes > 0)) {
        return error_set(err, ERR_INVALID, 0, "nodes, line %d: %d GPUs of model '%.*s'", csv->line,
                         node->gpus, (int)(model.bytes < 16 ? model.bytes : 16), model.text);
    }
    if (node->gpus > 0) {
        rc = type_of(csv, openb, model, &node->type, err);
    }
    return rc == 0 ? end_line(csv, 5, err) : rc;
}

static int read_tasks(struct csv *csv, struct arena *arena, struct openb *openb, struct error *err)
{
    int rc = begin(csv,
                   "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,"
                   "creation_time,deletion_time,scheduled_time",
                   &openb->tasks, err);
    if (rc < 0) {
        return rc;
    }
    openb->task = arena_array(arena, (size_t)openb->tasks + 1, sizeof(*openb->task));
    if (openb->task == NULL) {
        return no_memory(err);
    }
    for (int i = 0; i < openb->tasks && rc == 0; i++) {
        rc = read_task(csv, arena, openb, &openb->task[i], err);
    }
    return rc;
}

static int read_task(struct csv *csv, struct arena *arena, struct openb *openb,
                     struct openb_task *task, struct error *err)
{
    struct field name = next(csv);
    task->name = arena_strndup(arena, name.text, name.bytes < 63 ? name.bytes : 63);
    if (task->name == NULL) {
        return no_memory(err);
    }
    int rc = number(csv, "cpu_milli", AMOUNT_MAX, &task->cpu_milli, err);
    rc = rc == 0 ? number(csv, "memory_mib", AMOUNT_MAX, &task->memory_mib, err) : rc;
    rc = rc == 0 ? number(csv, "num_gpu", OPENB_GPUS_MAX, &task->gpus, err) : rc;
    rc = rc == 0 ? number(csv, "gpu_milli", OPENB_GPU, &task->gpu_milli, err) : rc;
    if (rc < 0) {
        return rc;
    }
    if ((task->gpus == 0) != (task->gpu_milli == 0) ||
        (task->gpus > 1 && task->gpu_milli != OPENB_GPU)) {
        return error_set(err, ERR_INVALID, 0,
                         "tasks, line %d: %d GPUs of %d thousandths: none has 0, one has 1 to %d, "
                         "several have %d",
                         csv->line, task->gpus, task->gpu_milli, OPENB_GPU, OPENB_GPU);
    }
    struct field spec = next(csv);
    while (spec.bytes > 0 && rc == 0) {
        const char *bar = memchr(spec.text, '|', spec.bytes);
        size_t bytes = bar != NULL ? (size_t)(bar - spec.text) : spec.bytes;
        int type = 0;
        rc = type_of(csv, openb, (struct field){spec.text, bytes}, &type, err);
        task->types |= rc == 0 ? UINT32_C(1) << type : 0;
        spec.text += bytes + (bar != NULL);
        spec.bytes -= bytes + (bar != NULL);
    }
    for (int i = 0; i < 4; i++) {
        (void)next(csv); /* quality of service, phase, times: all tasks are there at once */
    }
    if (rc == 0) {
        (void)next(csv);
        rc = end_line(csv, 11, err);
    }
    return rc;
}

/* ---- text ---------------------------------------------------------------------------------- */

/* Past the header; counts the lines below it. */
static int begin(struct csv *csv, const char *header, int *ret_lines, struct error *err)
{
    size_t bytes = strlen(header);
    size_t given = (size_t)(csv->end - csv->at);
    bool same = given >= bytes && memcmp(csv->at, header, bytes) == 0 &&
                (given == bytes || csv->at[bytes] == '\n' || csv->at[bytes] == '\r');
    if (!same) {
        return error_set(err, ERR_INVALID, 0, "%s, line 1: the header is not '%s'", csv->file,
                         header);
    }
    while (csv->at < csv->end && *csv->at != '\n') {
        csv->at++;
    }
    csv->at += csv->at < csv->end;
    csv->line = 2;
    int64_t lines = csv->at < csv->end && csv->end[-1] != '\n';
    for (const char *at = csv->at; at < csv->end; at++) {
        lines += *at == '\n';
    }
    if (lines > LINES_MAX) {
        return error_set(err, ERR_LIMIT, 0, "%s: %lld lines: at most %lld can be read", csv->file,
                         (long long)lines, (long long)LINES_MAX);
    }
    *ret_lines = (int)lines;
    return 0;
}

/* The next field of the line; where the line has ended, an empty one. */
static struct field next(struct csv *csv)
{
    const char *first = csv->at;
    while (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n' && *csv->at != '\r') {
        csv->at++;
    }
    struct field field = {first, (size_t)(csv->at - first)};
    if (csv->at < csv->end && *csv->at == ',') {
        csv->at++;
        csv->commas++;
    }
    return field;
}

static int end_line(struct csv *csv, int fields, struct error *err)
{
    if (csv->at < csv->end && *csv->at == '\r') {
        csv->at++;
    }
    if (csv->commas != fields - 1 || (csv->at < csv->end && *csv->at != '\n')) {
        return error_set(err, ERR_INVALID, 0, "%s, line %d: a line has %d fields", csv->file,
                         csv->line, fields);
    }
    csv->at += csv->at < csv->end;
    csv->line++;
    csv->commas = 0;
    return 0;
}

/* A whole number from 0 on; an empty field is 0. */
static int number(struct csv *csv, const char *what, int most, int *ret_value, struct error *err)
{
    struct field field = next(csv);
    int64_t value = 0;
    for (size_t i = 0; i < field.bytes; i++) {
        char digit = field.text[i];
        if (digit < '0' || digit > '9' || value > most) {
            return error_set(err, ERR_INVALID, 0, "%s, line %d: %s is '%.*s', not 0 to %d",
                             csv->file, csv->line, what, (int)(field.bytes < 32 ? field.bytes : 32),
                             field.text, most);
        }
        value = value * 10 + (digit - '0');
    }
    if (value > most) {
        return error_set(err, ERR_INVALID, 0, "%s, line %d: %s is %lld, not 0 to %d", csv->file,
                         csv->line, what, (long long)value, most);
    }
    *ret_value = (int)value;
    return 0;
}

static int type_of(struct csv *csv, struct openb *openb, struct field name, int *ret_type,
                   struct error *err)
{
    if (name.bytes == 0 || name.bytes >= sizeof(openb->type_name[0])) {
        return error_set(err, ERR_INVALID, 0, "%s, line %d: a GPU's type has 1 to %zu letters",
                         csv->file, csv->line, sizeof(openb->type_name[0]) - 1);
    }
    for (int type = 0; type < openb->types; type++) {
        if (strlen(openb->type_name[type]) == name.bytes &&
            memcmp(openb->type_name[type], name.text, name.bytes) == 0) {
            *ret_type = type;
            return 0;
        }
    }
    if (openb->types == OPENB_TYPES_MAX || memchr(name.text, '\0', name.bytes) != NULL) {
        return error_set(err, ERR_INVALID, 0, "%s, line %d: one more type of GPU than %d",
                         csv->file, csv->line, OPENB_TYPES_MAX);
    }
    memcpy(openb->type_name[openb->types], name.text, name.bytes);
    *ret_type = openb->types++;
    return 0;
}
