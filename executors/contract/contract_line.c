#include "executors/contract/contract_line.h"

#include <string.h>

#include "base/str.h"

static int parse_count(const char *rest, struct contract_line *ret_line, struct error *err);

int contract_line_parse(const char *text, size_t bytes, struct contract_line *ret_line,
                        struct error *err)
{
    char line[LIMIT_SOCKET_LINE];
    if (bytes >= sizeof(line))
        return error_set(err, ERR_LIMIT, 0, "LIMIT_SOCKET_LINE: a line of %zu bytes, at most %d",
                         bytes, LIMIT_SOCKET_LINE - 1);
    if (memchr(text, 0, bytes) != NULL)
        return error_set(err, ERR_INVALID, 0, "a line with a zero byte");
    memcpy(line, text, bytes);
    line[bytes] = 0;
    if (bytes > 0 && line[bytes - 1] == '\r')
        line[bytes - 1] = 0;
    struct contract_line parsed = {0};
    if (str_equal(line, "ready"))
        parsed.word = CONTRACT_READY;
    else if (str_equal(line, "drained"))
        parsed.word = CONTRACT_DRAINED;
    else if (str_equal(line, "resumed"))
        parsed.word = CONTRACT_RESUMED;
    else if (str_starts(line, "count "))
        return parse_count(line + 6, ret_line, err);
    else
        return error_set(err, ERR_INVALID, 0,
                         "'%.64s': a word is one of ready, drained, resumed, count", line);
    *ret_line = parsed;
    return 0;
}

static int parse_count(const char *rest, struct contract_line *ret_line, struct error *err)
{
    const char *blank = strchr(rest, ' ');
    char name[LIMIT_NAME_BYTES];
    if (blank == NULL || (size_t)(blank - rest) >= sizeof(name))
        return error_set(err, ERR_INVALID, 0, "'count %.64s': must be count <name> <total>", rest);
    memcpy(name, rest, (size_t)(blank - rest));
    name[blank - rest] = 0;
    struct contract_line parsed = {.word = CONTRACT_COUNT, .counter = -1};
    for (int kind = SAMPLE_REQUESTS; kind <= SAMPLE_LATENCY_US_SUM; kind++)
        if (str_equal(name, sample_kind_words[kind]))
            parsed.counter = kind;
    if (parsed.counter < 0)
        return error_set(err, ERR_INVALID, 0,
                         "'count %s': a counter is one of requests, errors, hits, misses, "
                         "bytes_in, bytes_out, latency_us_sum",
                         name);
    if (str_to_i64(blank + 1, &parsed.total) < 0 || parsed.total < 0)
        return error_set(err, ERR_INVALID, 0, "'count %s %.64s': a total is a number of 0 or more",
                         name, blank + 1);
    *ret_line = parsed;
    return 0;
}
