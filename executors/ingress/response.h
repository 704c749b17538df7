/*
 * response: the head of an HTTP/1 answer, of which a probe needs the status and two headers. The
 * bytes are a stranger's. Any thread; no state.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/limits.h"

#define RESPONSE_BYTES_MAX 8192 /* a head that is longer is no answer to a probe */

struct response {
    int status;                    /* 200..999, or 101 */
    char instance[LIMIT_ID_BYTES]; /* Berth-Instance: the workload's word; "": none */
    char server[LIMIT_ID_BYTES];   /* Berth-Server: the ingress's */
};

/* 1: the head is complete and *ret_response is it (interim answers are skipped); 0: more bytes are
 * needed; ERR_INVALID: no HTTP, or a header that cannot be; ERR_LIMIT: RESPONSE_BYTES_MAX bytes and
 * no end. */
int response_parse(const char *bytes, size_t count, struct response *ret_response) WARN_UNUSED;
