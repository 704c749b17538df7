#include "metrics/probe/web.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"

#define EVENTS       256
#define BUFFER_BYTES 65536L

struct web {
    CURLM *multi;
    int fd;
    int64_t due_us; /* when libcurl wants to be called; INT64_MAX: not */
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known);
static int on_timer(CURLM *multi, long timeout_ms, void *context);
static void collect(struct web *web);

int web_create(long connections, struct web **ret_web, struct error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, ERR_UNSUPPORTED, 0, "libcurl does not start");
    struct web *web = calloc(1, sizeof(*web));
    if (web == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the probe's transfers");
    web->due_us = INT64_MAX;
    web->fd = epoll_create1(EPOLL_CLOEXEC);
    web->multi = curl_multi_init();
    if (web->fd < 0 || web->multi == NULL) {
        int saved = errno;
        web_destroy(web);
        return error_set(err, ERR_IO, saved, "make the probe's transfers");
    }
    (void)curl_multi_setopt(web->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(web->multi, CURLMOPT_SOCKETDATA, web);
    (void)curl_multi_setopt(web->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(web->multi, CURLMOPT_TIMERDATA, web);
    (void)curl_multi_setopt(web->multi, CURLMOPT_MAXCONNECTS, connections);
    *ret_web = web;
    return 0;
}

void web_destroy(struct web *web)
{
    if (web == NULL)
        return;
    if (web->multi != NULL)
        (void)curl_multi_cleanup(web->multi);
    if (web->fd >= 0)
        (void)close(web->fd);
    free(web);
    curl_global_cleanup();
}

int web_fd(const struct web *web)
{
    return web->fd;
}

int64_t web_timeout_us(const struct web *web, int64_t now_us)
{
    if (web->due_us == INT64_MAX)
        return -1;
    return web->due_us > now_us ? web->due_us - now_us : 0;
}

int web_start(struct web *web, struct web_transfer *transfer, struct error *err)
{
    (void)curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    CURLMcode code = curl_multi_add_handle(web->multi, transfer->easy);
    if (code != CURLM_OK)
        return error_set(err, ERR_NO_MEMORY, 0, "start a transfer: %s", curl_multi_strerror(code));
    return 0;
}

void web_stop(struct web *web, struct web_transfer *transfer)
{
    (void)curl_multi_remove_handle(web->multi, transfer->easy);
}

void web_dispatch(struct web *web, int64_t now_us)
{
    struct epoll_event events[EVENTS];
    int running = 0;
    int count = epoll_wait(web->fd, events, EVENTS, 0);
    for (int i = 0; i < count; i++) {
        int mask = (events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0);
        (void)curl_multi_socket_action(web->multi, events[i].data.fd, mask, &running);
    }
    if (web->due_us <= now_us) {
        web->due_us = INT64_MAX;
        (void)curl_multi_socket_action(web->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    collect(web);
}

int web_prepare(CURL *easy, const struct web_options *options, struct error *err)
{
    curl_easy_reset(easy);
    options->error[0] = 0;
    CURLcode codes[] = {
        curl_easy_setopt(easy, CURLOPT_URL, options->url),
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"),
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L),
        curl_easy_setopt(easy, CURLOPT_PROXY, ""), /* not by the environment either */
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, options->error),
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(options->timeout_us / US_PER_MS)),
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES),
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "berth-probe/" BERTH_VERSION),
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, options->insecure_skip_verify ? 0L : 1L),
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options->insecure_skip_verify ? 0L : 2L),
        options->ca_file[0] == 0 ? CURLE_OK
                                 : curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file),
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i] != CURLE_OK)
            return error_set(err, ERR_INVALID, 0, "%s", curl_easy_strerror(codes[i]));
    return 0;
}

int web_error(CURLcode result, const char *detail, int64_t timeout_us, struct error *err)
{
    char text[UNITS_TEXT_BYTES];
    const char *words = detail[0] != 0 ? detail : curl_easy_strerror(result);
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(err, ERR_TIMEOUT, 0, "no whole answer within %s",
                         units_format_duration(timeout_us, text));
    case CURLE_TOO_MANY_REDIRECTS:
        return error_set(err, ERR_INVALID, 0, "it redirects again and again: %s", words);
    case CURLE_UNSUPPORTED_PROTOCOL:
        return error_set(err, ERR_DENIED, 0, "it redirects to another scheme: %s", words);
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WEIRD_SERVER_REPLY:
        return error_set(err, ERR_INVALID, 0, "its answer is not what it says to be: %s", words);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, ERR_DENIED, 0, "it is not who it should be: %s", words);
    case CURLE_OUT_OF_MEMORY:
        return error_set(err, ERR_NO_MEMORY, 0, "%s", words);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
        return error_set(err, ERR_IO, 0, "it ended early: %s", words);
    default:
        return error_set(err, ERR_UNAVAILABLE, 0, "%s", words);
    }
}

/* `known` is not NULL once the descriptor is in the epoll set. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    (void)easy;
    struct web *web = context;
    struct epoll_event event = {.data.fd = fd};
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(web->fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0U) |
                   (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0U);
    int step = known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(web->fd, step, fd, &event) < 0 && errno == EEXIST)
        (void)epoll_ctl(web->fd, EPOLL_CTL_MOD, fd, &event);
    (void)curl_multi_assign(web->multi, fd, web);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct web *web = context;
    web->due_us = timeout_ms < 0 ? INT64_MAX : clock_mono_now().us + timeout_ms * US_PER_MS;
    return 0;
}

static void collect(struct web *web)
{
    int left = 0;
    for (CURLMsg *message = curl_multi_info_read(web->multi, &left); message != NULL;
         message = curl_multi_info_read(web->multi, &left)) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct web_transfer *transfer = NULL;
        CURLcode result = message->data.result; /* the message ends with its handle's removal */
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        (void)curl_multi_remove_handle(web->multi, transfer->easy);
        transfer->done(transfer, result);
    }
}
