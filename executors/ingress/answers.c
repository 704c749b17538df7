/* See answers.h. Nothing is believed: numbers have bounds, names have lengths. */
#include "executors/ingress/answers.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define FIELDS_MAX 512 /* columns of `show stat`: 112 in 2.6, 193 in 3.0 */

struct field {
    const char *text;
    size_t bytes;
};

static const char *const column_names[STAT_COLUMNS] = {
    [STAT_BACKEND] = "pxname",   [STAT_SERVER] = "svname",       [STAT_BYTES_IN] = "bin",
    [STAT_BYTES_OUT] = "bout",   [STAT_1XX] = "hrsp_1xx",        [STAT_2XX] = "hrsp_2xx",
    [STAT_3XX] = "hrsp_3xx",     [STAT_4XX] = "hrsp_4xx",        [STAT_5XX] = "hrsp_5xx",
    [STAT_OTHER] = "hrsp_other", [STAT_CONNECT_ERRORS] = "econ", [STAT_ANSWER_ERRORS] = "eresp",
};

static int split(const char *line, char by, struct field fields[FIELDS_MAX]);
static bool is_text(const struct field *field, const char *text);
static bool copy(const struct field *field, char *out, size_t capacity);
static bool number(const struct field *field, int64_t min, int64_t max, int64_t *ret_value);

int answer_server(const char *line, struct answer_server *ret_server)
{
    /* be_id be_name srv_id srv_name srv_addr op_state admin_state uweight .. [18] srv_port */
    struct field fields[FIELDS_MAX];
    struct answer_server server;
    char backend[16];
    int64_t admin;
    int64_t weight;
    int64_t port;
    unsigned char bytes[16];
    if (line[0] < '0' || line[0] > '9' || split(line, ' ', fields) < 19)
        return 0;
    if (!copy(&fields[1], backend, sizeof(backend)) ||
        !answer_backend(backend, &server.lane, &server.slot) ||
        !copy(&fields[3], server.name, sizeof(server.name)) ||
        !copy(&fields[4], server.host, sizeof(server.host)) ||
        !number(&fields[6], 0, 0xffff, &admin) ||
        !number(&fields[7], 0, ROUTE_WEIGHT_MAX, &weight) || !number(&fields[18], 1, 65535, &port))
        return 0;
    if (inet_pton(strchr(server.host, ':') != NULL ? AF_INET6 : AF_INET, server.host, bytes) != 1)
        return 0;
    server.admin = (int)admin;
    server.weight = (int)weight;
    server.port = (int)port;
    *ret_server = server;
    return 1;
}

int answer_entry(const char *line, struct answer_entry *ret_entry)
{
    struct field fields[FIELDS_MAX];
    struct answer_entry entry;
    int64_t slot;
    if (!str_starts(line, "0x") || split(line, ' ', fields) != 3 ||
        !copy(&fields[1], entry.key, sizeof(entry.key)) ||
        !number(&fields[2], 0, LIMIT_ROUTES - 1, &slot))
        return 0;
    entry.slot = (int)slot;
    *ret_entry = entry;
    return 1;
}

int answer_held(const char *line, int *ret_slot)
{
    struct field fields[FIELDS_MAX];
    int64_t slot;
    if (!str_starts(line, "0x") || split(line, ' ', fields) != 3 ||
        !number(&fields[1], 0, LIMIT_ROUTES - 1, &slot))
        return 0;
    *ret_slot = (int)slot;
    return 1;
}

int answer_pid(const char *line, int64_t *ret_pid)
{
    struct field field = {line, strlen(line)};
    int64_t pid;
    if (!str_starts(line, "Pid: "))
        return 0;
    field.text += 5;
    field.bytes -= 5;
    if (!number(&field, 2, INT32_MAX, &pid))
        return 0;
    *ret_pid = pid;
    return 1;
}

bool answer_backend(const char *name, int *ret_lane, int *ret_slot)
{
    struct field field = {name, strlen(name)};
    int64_t slot;
    if (name[0] != 'r' && name[0] != 'w')
        return false;
    field.text++;
    field.bytes--;
    if (!number(&field, 0, LIMIT_ROUTES - 1, &slot))
        return false;
    *ret_lane = name[0] == 'w';
    *ret_slot = (int)slot;
    return true;
}

int answer_stat_header(const char *line, struct stat_columns *ret_columns)
{
    struct field fields[FIELDS_MAX];
    struct stat_columns columns;
    if (!str_starts(line, "# pxname,"))
        return 0;
    int count = split(line + 2, ',', fields);
    for (int i = 0; i < STAT_COLUMNS; i++) {
        columns.index[i] = -1;
        for (int j = 0; j < count && columns.index[i] < 0; j++)
            if (is_text(&fields[j], column_names[i]))
                columns.index[i] = j;
        if (columns.index[i] < 0)
            return 0;
    }
    *ret_columns = columns;
    return 1;
}

int answer_stat(const char *line, const struct stat_columns *columns, struct answer_stat *ret_stat)
{
    struct field fields[FIELDS_MAX];
    struct answer_stat stat;
    int64_t values[STAT_COLUMNS] = {0};
    char backend[16];
    int count = line[0] == '#' ? 0 : split(line, ',', fields);
    for (int i = 0; i < STAT_COLUMNS; i++)
        if (columns->index[i] < 0 || columns->index[i] >= count)
            return 0;
    if (!copy(&fields[columns->index[STAT_BACKEND]], backend, sizeof(backend)) ||
        !answer_backend(backend, &stat.lane, &stat.slot) ||
        !copy(&fields[columns->index[STAT_SERVER]], stat.name, sizeof(stat.name)) ||
        str_equal(stat.name, "BACKEND"))
        return 0;
    for (int i = STAT_BYTES_IN; i < STAT_COLUMNS; i++) {
        const struct field *field = &fields[columns->index[i]];
        /* An empty field is a counter that this version does not keep for servers. */
        if (field->bytes > 0 && !number(field, 0, INT64_MAX / 16, &values[i]))
            return 0;
    }
    int64_t unanswered = values[STAT_CONNECT_ERRORS] + values[STAT_ANSWER_ERRORS];
    stat.requests = unanswered;
    for (int i = STAT_1XX; i <= STAT_OTHER; i++)
        stat.requests += values[i];
    stat.errors = unanswered + values[STAT_5XX];
    stat.bytes_in = values[STAT_BYTES_IN];
    stat.bytes_out = values[STAT_BYTES_OUT];
    *ret_stat = stat;
    return 1;
}

int answer_log(const char *line, struct answer_log *ret_log)
{
    struct field fields[FIELDS_MAX];
    struct answer_log log;
    char backend[16];
    int64_t status;
    if (split(line, ' ', fields) != 4 || !copy(&fields[0], backend, sizeof(backend)) ||
        !answer_backend(backend, &log.lane, &log.slot) ||
        !copy(&fields[1], log.name, sizeof(log.name)) || !number(&fields[2], 100, 999, &status) ||
        !number(&fields[3], 0, 24 * US_PER_HOUR, &log.latency_us))
        return 0;
    log.status = (int)status;
    *ret_log = log;
    return 1;
}

/* The first fields of a line; those after FIELDS_MAX are none of ours. */
static int split(const char *line, char by, struct field fields[FIELDS_MAX])
{
    int count = 0;
    for (;;) {
        const char *end = strchr(line, by);
        size_t bytes = end != NULL ? (size_t)(end - line) : strcspn(line, "\r\n");
        fields[count++] = (struct field){line, bytes};
        if (end == NULL || count == FIELDS_MAX)
            return count;
        line = end + 1;
    }
}

static bool is_text(const struct field *field, const char *text)
{
    return field->bytes == strlen(text) && memcmp(field->text, text, field->bytes) == 0;
}

static bool copy(const struct field *field, char *out, size_t capacity)
{
    if (field->bytes == 0 || field->bytes >= capacity)
        return false;
    memcpy(out, field->text, field->bytes);
    out[field->bytes] = 0;
    return true;
}

static bool number(const struct field *field, int64_t min, int64_t max, int64_t *ret_value)
{
    char text[24];
    int64_t value;
    if (!copy(field, text, sizeof(text)) || text[0] < '0' || text[0] > '9' ||
        str_to_i64(text, &value) < 0 || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}
