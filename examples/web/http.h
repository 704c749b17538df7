/*
 * http: heads of HTTP/1.1 messages, read in place. A head points into the bytes that it was parsed
 * from and lives as long as they do; nothing is copied or changed.
 *
 * It is strict where laxness has let requests be smuggled: one Content-Length, digits only; never
 * together with Transfer-Encoding; no blank before a colon; no folded lines; no bare carriage
 * return or zero byte. A bare newline ends a line, as RFC 9112 permits. Bodies are counted, not
 * chunked: a chunked message is recognised (and refused by those who use this). Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX    16384 /* bytes of a head */
#define HTTP_HEADERS_MAX 64

struct http_text {
    const char *at;
    size_t bytes;
};

struct http_header {
    struct http_text name;
    struct http_text value; /* without blanks around it */
};

struct http_head {
    struct http_text method; /* of a request */
    struct http_text target;
    int status;         /* of a response, 100 to 599 */
    int minor;          /* HTTP/1.<minor>, 0 or 1 */
    size_t head_bytes;  /* the empty line included */
    int64_t body_bytes; /* Content-Length; without one 0 for a request, -1 for a response */
    bool chunked;       /* Transfer-Encoding is there, whichever */
    bool close;         /* the connection ends after this message */
    bool upgrade;       /* Connection: upgrade */
    int header_count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

enum http_parsed { HTTP_WRONG = -1, HTTP_MORE = 0, HTTP_WHOLE = 1 };

/* WHOLE: *ret_head is written. MORE: the head has not ended yet (and is not too long so far). */
enum http_parsed http_request_parse(const char *data, size_t bytes, struct http_head *ret_head);
enum http_parsed http_response_parse(const char *data, size_t bytes, struct http_head *ret_head);

/* The first header of that name, without regard to case; NULL when there is none. */
const struct http_text *http_header(const struct http_head *head, const char *name);
bool http_text_is(struct http_text text, const char *word); /* exactly */
/* True when a comma-separated list has the word, without regard to case. */
bool http_list_has(struct http_text list, const char *word);
/* The value of a name in the query of a target ("/x?a=1&b=2"), as it stands; false without it. */
bool http_query(struct http_text target, const char *name, struct http_text *ret_value);
/* The digits of a text as a number up to `most`; false for anything else. */
bool http_number(struct http_text text, int64_t most, int64_t *ret_value);
