/* See response.h. */
#include "executors/ingress/response.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

static int head_parse(const char *bytes, size_t count, struct response *ret_response);
static int header_parse(const char *line, size_t bytes, struct response *response);
static bool header_take(const char *line, size_t name_bytes, size_t bytes, const char *name,
                        char out[LIMIT_ID_BYTES]);

int response_parse(const char *bytes, size_t count, struct response *ret_response)
{
    size_t total = count;
    for (;;) {
        /* What cannot become an answer is refused early: nobody waits for the end of it. */
        static const char begin[] = "HTTP/1.";
        size_t known = count < sizeof(begin) - 1 ? count : sizeof(begin) - 1;
        if (memcmp(bytes, begin, known) != 0)
            return ERR_INVALID;
        const char *end = memmem(bytes, count, "\r\n\r\n", 4);
        if (end == NULL)
            return total >= RESPONSE_BYTES_MAX ? ERR_LIMIT : 0;
        size_t head = (size_t)(end - bytes) + 4;
        struct response response;
        int rc = head_parse(bytes, head - 2, &response);
        if (rc < 0)
            return rc;
        if (response.status >= 200 || response.status == 101) {
            *ret_response = response;
            return 1;
        }
        bytes += head;
        count -= head;
    }
}

/* Lines, each with its CR LF. */
static int head_parse(const char *bytes, size_t count, struct response *ret_response)
{
    struct response response = {0};
    for (int i = 0; i < 3; i++) {
        if (count < 14 || bytes[9 + i] < '0' || bytes[9 + i] > '9')
            return ERR_INVALID;
        response.status = response.status * 10 + bytes[9 + i] - '0';
    }
    if (bytes[7] < '0' || bytes[7] > '9' || bytes[8] != ' ' ||
        (bytes[12] != ' ' && bytes[12] != '\r') || response.status < 100)
        return ERR_INVALID;
    bool first = true;
    while (count > 0) {
        const char *end = memmem(bytes, count, "\r\n", 2);
        if (end == NULL)
            return ERR_INVALID;
        size_t line = (size_t)(end - bytes);
        if (memchr(bytes, 0, line) != NULL || memchr(bytes, '\n', line) != NULL)
            return ERR_INVALID;
        if (!first && header_parse(bytes, line, &response) < 0)
            return ERR_INVALID;
        first = false;
        bytes += line + 2;
        count -= line + 2;
    }
    *ret_response = response;
    return 0;
}

static int header_parse(const char *line, size_t bytes, struct response *response)
{
    const char *colon = memchr(line, ':', bytes);
    if (colon == NULL || colon == line)
        return ERR_INVALID;
    size_t name_bytes = (size_t)(colon - line);
    if (!header_take(line, name_bytes, bytes, "Berth-Instance", response->instance) ||
        !header_take(line, name_bytes, bytes, "Berth-Server", response->server))
        return ERR_INVALID;
    return 0;
}

/* False when it is that header, and its value cannot be an id: two of them, or too long a one. */
static bool header_take(const char *line, size_t name_bytes, size_t bytes, const char *name,
                        char out[LIMIT_ID_BYTES])
{
    if (name_bytes != strlen(name) || strncasecmp(line, name, name_bytes) != 0)
        return true;
    const char *value = line + name_bytes + 1;
    size_t left = bytes - name_bytes - 1;
    while (left > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        left--;
    }
    while (left > 0 && (value[left - 1] == ' ' || value[left - 1] == '\t'))
        left--;
    if (out[0] != 0 || left >= LIMIT_ID_BYTES)
        return false;
    memcpy(out, value, left);
    out[left] = 0;
    return true;
}
