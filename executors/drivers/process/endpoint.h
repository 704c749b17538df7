/*
 * endpoint: where a readiness probe goes: "host:port" or "http://host:port/path", the host a
 * literal address ("127.0.0.1", "[::1]") or "localhost", so that no name is looked up in an event
 * loop; and the status line of what comes back. Any thread.
 */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/limits.h"

struct endpoint {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char host[LIMIT_TEXT_BYTES]; /* as written, with the port */
    char path[LIMIT_TEXT_BYTES]; /* "/" at least */
};

int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error *err) WARN_UNUSED;
int endpoint_parse_http(const char *text, struct endpoint *ret_endpoint,
                        struct error *err) WARN_UNUSED;
/* 100..999, or -1 when the bytes do not begin with an HTTP/1 status line. */
int endpoint_http_status(const char *text, size_t bytes);
