/*
 * web: many HTTP requests at once on one thread: libcurl's multi interface on an epoll descriptor
 * that a larger loop can wait for.
 *
 * The owner waits until web_fd is readable or web_timeout_us has passed, then calls web_dispatch,
 * which runs the transfers and the `done` of those that ended. A transfer is one easy handle, set
 * up by its owner and its again from `done` on. Connections are kept and used again. One thread.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct web;

/* What web_start is given; must stay until `done`. */
struct web_transfer {
    CURL *easy;
    void (*done)(struct web_transfer *transfer, CURLcode result);
};

/* `connections`: how many are kept at most. */
int web_create(long connections, struct web **ret_web, struct error *err) WARN_UNUSED;
void web_destroy(struct web *web); /* transfers under way are dropped without `done` */

int web_fd(const struct web *web);
int64_t web_timeout_us(const struct web *web, int64_t now_us); /* -1: only by web_fd */
int web_start(struct web *web, struct web_transfer *transfer, struct error *err) WARN_UNUSED;
void web_stop(struct web *web, struct web_transfer *transfer); /* without `done` */
void web_dispatch(struct web *web, int64_t now_us);

/* What every request of a probe has: only HTTP and HTTPS, TLS checked unless told otherwise, no
 * proxy, no signals, no redirects. ERR_INVALID with libcurl's words. */
struct web_options {
    const char *url;
    const char *ca_file; /* "": the system's */
    bool insecure_skip_verify;
    int64_t timeout_us;
    char *error; /* CURL_ERROR_SIZE */
};
int web_prepare(CURL *easy, const struct web_options *options, struct error *err) WARN_UNUSED;
/* The code and a sentence for what libcurl says of a transfer that failed. */
int web_error(CURLcode result, const char *detail, int64_t timeout_us, struct error *err);
