/* What HAProxy says, line by line: every reader takes every line, and what it gives has bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "executors/ingress/answers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_line(const char *line, struct stat_columns *columns)
{
    struct answer_server server;
    struct answer_entry entry;
    struct answer_stat stat;
    struct answer_log log;
    int64_t pid;
    int held;
    if (answer_server(line, &server) > 0)
        BERTH_ASSERT(server.slot >= 0 && server.slot < LIMIT_ROUTES && server.port > 0 &&
                     server.port < 65536 && server.weight >= 0 &&
                     server.weight <= ROUTE_WEIGHT_MAX && server.name[0] != 0);
    if (answer_entry(line, &entry) > 0)
        BERTH_ASSERT(entry.slot >= 0 && entry.slot < LIMIT_ROUTES && entry.key[0] != 0);
    if (answer_held(line, &held) > 0)
        BERTH_ASSERT(held >= 0 && held < LIMIT_ROUTES);
    if (answer_pid(line, &pid) > 0)
        BERTH_ASSERT(pid > 1);
    int header = answer_stat_header(line, columns);
    if (answer_stat(line, columns, &stat) > 0)
        BERTH_ASSERT(stat.requests >= 0 && stat.errors >= 0 && stat.errors <= stat.requests &&
                     stat.slot < LIMIT_ROUTES && header == 0);
    if (answer_log(line, &log) > 0)
        BERTH_ASSERT(log.latency_us >= 0 && log.status >= 100 && log.slot < LIMIT_ROUTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stat_columns columns;
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    memset(&columns, -1, sizeof(columns)); /* no column is anywhere */
    memcpy(text, data, size);
    text[size] = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;)
        read_line(line, &columns);
    free(text);
    return 0;
}
