#include "executors/contract/contract_line.h"

#include <string.h>

#include "base/str.h"

#define FAILED_BYTES (LIMIT_TEXT_BYTES - 56) /* it is put behind a few words, in one sentence */

static int parse_count(const char *rest, struct contract_line *ret_line, struct error *err);
static int parse_frozen(const char *handed, struct contract_line *ret_line, struct error *err);
static int parse_round(enum contract_word word, const char *rest, struct contract_line *ret_line,
                       struct error *err);
static void parse_failed(const char *why, struct contract_line *ret_line);

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
    static const struct {
        const char *text;
        enum contract_word word;
    } words[] = {
        {"ready", CONTRACT_READY},   {"drained", CONTRACT_DRAINED}, {"resumed", CONTRACT_RESUMED},
        {"frozen", CONTRACT_FROZEN}, {"owned", CONTRACT_OWNED},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!str_equal(line, words[i].text))
            continue;
        *ret_line = (struct contract_line){.word = words[i].word};
        return 0;
    }
    if (str_starts(line, "count "))
        return parse_count(line + 6, ret_line, err);
    if (str_starts(line, "frozen "))
        return parse_frozen(line + 7, ret_line, err);
    if (str_starts(line, "snapshotted "))
        return parse_round(CONTRACT_SNAPSHOTTED, line + 12, ret_line, err);
    if (str_starts(line, "restored "))
        return parse_round(CONTRACT_RESTORED, line + 9, ret_line, err);
    if (str_equal(line, "failed") || str_starts(line, "failed ")) {
        parse_failed(line[6] == 0 ? "" : line + 7, ret_line);
        return 0;
    }
    return error_set(err, ERR_INVALID, 0,
                     "'%.64s': a word is one of ready, drained, resumed, count, frozen, owned, "
                     "snapshotted, restored, failed",
                     line);
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

static int parse_frozen(const char *handed, struct contract_line *ret_line, struct error *err)
{
    struct contract_line parsed = {.word = CONTRACT_FROZEN};
    for (const char *at = handed; *at != 0; at++)
        if (*at <= ' ' || *at > '~')
            return error_set(err, ERR_INVALID, 0,
                             "'frozen': what is handed over has a blank or another byte that is no "
                             "printable ASCII at %d: write it as base64",
                             (int)(at - handed));
    if (str_copy(parsed.text, sizeof(parsed.text), handed) < 0)
        return error_set(err, ERR_LIMIT, 0,
                         "LIMIT_HANDED_BYTES: 'frozen' hands over %zu bytes, at most %d: a "
                         "stateful workload writes them to the file",
                         strlen(handed), LIMIT_HANDED_BYTES);
    *ret_line = parsed;
    return 0;
}

static int parse_round(enum contract_word word, const char *rest, struct contract_line *ret_line,
                       struct error *err)
{
    int64_t round;
    if (str_to_i64(rest, &round) < 0 || round < 1 || round > INT32_MAX)
        return error_set(err, ERR_INVALID, 0, "'%.32s': a round is a number from 1", rest);
    *ret_line = (struct contract_line){.word = word, .round = (int)round};
    return 0;
}

/* It ends in messages and logs: nothing in it can break one. */
static void parse_failed(const char *why, struct contract_line *ret_line)
{
    *ret_line = (struct contract_line){.word = CONTRACT_FAILED};
    for (size_t i = 0; i < FAILED_BYTES && why[i] != 0; i++)
        ret_line->text[i] = why[i];
    for (char *at = ret_line->text; *at != 0; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}
