#include "examples/web/http.h"

#include <string.h>
#include <strings.h>

static enum http_parsed split_line(const char **at, const char *end, struct http_text *ret_line);
static bool parse_request_line(struct http_text line, struct http_head *head);
static bool parse_status_line(struct http_text line, struct http_head *head);
static bool parse_version(struct http_text text, int *ret_minor);
static bool parse_header(struct http_text line, struct http_head *head);
static bool apply_header(const struct http_header *header, struct http_head *head);
static enum http_parsed parse(const char *data, size_t bytes, bool request,
                              struct http_head *ret_head);
static bool is_token(struct http_text text);
static struct http_text trim(struct http_text text);
static bool equal_nocase(struct http_text text, const char *word);

enum http_parsed http_request_parse(const char *data, size_t bytes, struct http_head *ret_head)
{
    return parse(data, bytes, true, ret_head);
}

enum http_parsed http_response_parse(const char *data, size_t bytes, struct http_head *ret_head)
{
    return parse(data, bytes, false, ret_head);
}

const struct http_text *http_header(const struct http_head *head, const char *name)
{
    for (int i = 0; i < head->header_count; i++)
        if (equal_nocase(head->headers[i].name, name))
            return &head->headers[i].value;
    return NULL;
}

bool http_text_is(struct http_text text, const char *word)
{
    return text.bytes == strlen(word) && memcmp(text.at, word, text.bytes) == 0;
}

bool http_list_has(struct http_text list, const char *word)
{
    const char *end = list.at + list.bytes;
    for (const char *at = list.at; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma == NULL ? end : comma;
        if (equal_nocase(trim((struct http_text){at, (size_t)(stop - at)}), word))
            return true;
        at = stop + 1;
    }
    return false;
}

bool http_query(struct http_text target, const char *name, struct http_text *ret_value)
{
    const char *end = target.at + target.bytes;
    const char *at = memchr(target.at, '?', target.bytes);
    size_t bytes = strlen(name);
    while (at != NULL && ++at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        size_t length = (size_t)((next == NULL ? end : next) - at);
        if (length > bytes && at[bytes] == '=' && memcmp(at, name, bytes) == 0) {
            *ret_value = (struct http_text){at + bytes + 1, length - bytes - 1};
            return true;
        }
        at = next;
    }
    return false;
}

bool http_number(struct http_text text, int64_t most, int64_t *ret_value)
{
    int64_t value = 0;
    if (text.bytes == 0 || text.bytes > 18)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (text.at[i] - '0');
    }
    if (value > most)
        return false;
    *ret_value = value;
    return true;
}

static enum http_parsed parse(const char *data, size_t bytes, bool request,
                              struct http_head *ret_head)
{
    size_t within = bytes < HTTP_HEAD_MAX ? bytes : HTTP_HEAD_MAX;
    const char *at = data;
    const char *end = data + within;
    enum http_parsed unfinished = bytes >= HTTP_HEAD_MAX ? HTTP_WRONG : HTTP_MORE;
    struct http_text line;
    struct http_head *head = ret_head;
    head->header_count = 0;
    head->status = 0;
    head->method = head->target = (struct http_text){"", 0};
    head->body_bytes = -1;
    head->chunked = head->close = head->upgrade = false;
    enum http_parsed got = split_line(&at, end, &line);
    /* Empty lines before a request are passed over, RFC 9112 section 2.2. */
    while (got == HTTP_WHOLE && line.bytes == 0 && request)
        got = split_line(&at, end, &line);
    if (got != HTTP_WHOLE)
        return got == HTTP_MORE ? unfinished : got;
    if (!(request ? parse_request_line(line, head) : parse_status_line(line, head)))
        return HTTP_WRONG;
    head->close = head->minor == 0;
    while ((got = split_line(&at, end, &line)) == HTTP_WHOLE && line.bytes > 0)
        if (!parse_header(line, head))
            return HTTP_WRONG;
    if (got != HTTP_WHOLE)
        return got == HTTP_MORE ? unfinished : got;
    if (head->chunked && head->body_bytes >= 0)
        return HTTP_WRONG;
    if (request && head->body_bytes < 0)
        head->body_bytes = 0;
    head->head_bytes = (size_t)(at - data);
    return HTTP_WHOLE;
}

/* A line without its end, which is CR LF or LF. */
static enum http_parsed split_line(const char **at, const char *end, struct http_text *ret_line)
{
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    if (stop == NULL)
        return HTTP_MORE;
    size_t bytes = (size_t)(stop - *at);
    if (bytes > 0 && stop[-1] == '\r')
        bytes--;
    *ret_line = (struct http_text){*at, bytes};
    if (memchr(*at, '\r', bytes) != NULL || memchr(*at, 0, bytes) != NULL)
        return HTTP_WRONG;
    *at = stop + 1;
    return HTTP_WHOLE;
}

static bool parse_request_line(struct http_text line, struct http_head *head)
{
    const char *first = memchr(line.at, ' ', line.bytes);
    if (first == NULL)
        return false;
    head->method = (struct http_text){line.at, (size_t)(first - line.at)};
    size_t left = line.bytes - head->method.bytes - 1;
    const char *second = memchr(first + 1, ' ', left);
    if (second == NULL)
        return false;
    head->target = (struct http_text){first + 1, (size_t)(second - first) - 1};
    for (size_t i = 0; i < head->target.bytes; i++)
        if ((unsigned char)head->target.at[i] <= ' ' || head->target.at[i] == 0x7f)
            return false;
    struct http_text version = {second + 1, left - head->target.bytes - 1};
    return is_token(head->method) && head->target.bytes > 0 && parse_version(version, &head->minor);
}

static bool parse_status_line(struct http_text line, struct http_head *head)
{
    int64_t status;
    if (line.bytes < 12 || line.at[8] != ' ' || (line.bytes > 12 && line.at[12] != ' ') ||
        !parse_version((struct http_text){line.at, 8}, &head->minor) ||
        !http_number((struct http_text){line.at + 9, 3}, 599, &status) || status < 100)
        return false;
    head->status = (int)status;
    return true;
}

static bool parse_version(struct http_text text, int *ret_minor)
{
    if (!http_text_is(text, "HTTP/1.1") && !http_text_is(text, "HTTP/1.0"))
        return false;
    *ret_minor = text.at[7] - '0';
    return true;
}

static bool parse_header(struct http_text line, struct http_head *head)
{
    const char *colon = memchr(line.at, ':', line.bytes);
    if (colon == NULL || head->header_count == HTTP_HEADERS_MAX)
        return false;
    struct http_header *header = &head->headers[head->header_count];
    size_t bytes = (size_t)(colon - line.at);
    header->name = (struct http_text){line.at, bytes};
    header->value = trim((struct http_text){colon + 1, line.bytes - bytes - 1});
    if (!is_token(header->name)) /* a folded line begins with a blank, which is no name either */
        return false;
    head->header_count++;
    return apply_header(header, head);
}

static bool apply_header(const struct http_header *header, struct http_head *head)
{
    if (equal_nocase(header->name, "Content-Length")) {
        int64_t bytes;
        if (!http_number(header->value, INT64_MAX, &bytes) ||
            (head->body_bytes >= 0 && head->body_bytes != bytes))
            return false;
        head->body_bytes = bytes;
    } else if (equal_nocase(header->name, "Transfer-Encoding")) {
        head->chunked = true;
    } else if (equal_nocase(header->name, "Connection")) {
        if (http_list_has(header->value, "close"))
            head->close = true;
        else if (head->minor == 0 && http_list_has(header->value, "keep-alive"))
            head->close = false;
        head->upgrade = head->upgrade || http_list_has(header->value, "upgrade");
    }
    return true;
}

static bool is_token(struct http_text text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == 0 || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return text.bytes > 0;
}

static struct http_text trim(struct http_text text)
{
    while (text.bytes > 0 && (*text.at == ' ' || *text.at == '\t')) {
        text.at++;
        text.bytes--;
    }
    while (text.bytes > 0 && (text.at[text.bytes - 1] == ' ' || text.at[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

static bool equal_nocase(struct http_text text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp(text.at, word, text.bytes) == 0;
}
