/*
 * ws-client: websockets that behave as a browser's page does: each sends a text now and then,
 * expects it back, and when its connection is closed opens a new one: after a 1012 ("service
 * restart") at a random instant of a short time, so that not all come at once; after anything else
 * with a back-off. See --help.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "examples/web/bytes.h"
#include "examples/web/http.h"
#include "examples/web/websocket.h"
#include "tests/live/clients/judge.h"
#include "tests/live/clients/options.h"
#include "tests/live/clients/tls.h"

#define PAGES_MAX      4096
#define IN_MAX         (1 << 20)
#define EVENTS         128
#define BACK_OFF_US    (100 * US_PER_MS) /* doubles up to sixteen times that */
#define BACK_OFF_STEPS 4
#define OPEN_US        (5 * US_PER_S) /* for the connection and the handshake */
#define INSTANCE_BYTES 130

static const char about[] =
    "Websockets that echo, as many pages of browsers have them. A page whose connection is closed\n"
    "opens a new one by itself. Judges texts that did not come back (lost) and closures other "
    "than\n"
    "1012; reports how long pages were without a connection. Exit status: 0 no text was lost and\n"
    "nothing but 1012 closed a connection; 1 otherwise; 2 it could not be run.";

/* SHAKING: of TLS; HANDSHAKE: of the websocket. */
enum page_state { PAGE_CLOSED, PAGE_CONNECTING, PAGE_SHAKING, PAGE_HANDSHAKE, PAGE_OPEN };

struct page {
    int fd;
    enum page_state state;
    int64_t open_at_us; /* CLOSED: when it tries again */
    int64_t begun_us;   /* of this try */
    int64_t lost_at_us; /* when the last connection ended; 0: there was none */
    int64_t send_at_us; /* OPEN: the next text */
    int64_t waiting;    /* the number of the text that is to come back; -1: none */
    int failures;       /* tries in a row */
    char instance[INSTANCE_BYTES];
    char accept[WEBSOCKET_ACCEPT_BYTES];
    struct tls *tls; /* NULL: none, or none yet */
    struct bytes in;
    struct bytes out;
};

struct client {
    const char *url;
    const char *host;
    const char *ca;
    int64_t page_count;
    int64_t seconds;
    int64_t period_ms;
    int64_t jitter_ms;
    int64_t every_ms;
    bool json;
    char path[512];
    char host_of_url[256];
    struct sockaddr_in address;
    struct tls_trust *trust; /* NULL: no TLS */
    int epoll;
    uint64_t random;
    struct page *pages;
    struct judge judge; /* of texts */
    int64_t opened;
    int64_t moved; /* opened at another instance than before */
    int64_t closed_restart;
    int64_t closed_other;
    int64_t refused;    /* tries that did not become a websocket */
    int64_t tls_failed; /* handshakes; the first is told on standard error */
    struct sketch gaps; /* without a connection, after one has ended */
    int64_t longest_gap_us;
};

static volatile sig_atomic_t ended;

static int read_options(struct client *client, int argc, char **argv);
static int resolve(struct client *client);
static void run(struct client *client);
static void tick(struct client *client, struct page *page, int64_t now_us, bool over);
static void begin(struct client *client, struct page *page, int64_t now_us);
static void connected(struct client *client, struct page *page);
static void shake(struct client *client, struct page *page);
static void upgrade(struct client *client, struct page *page);
static void watch(struct client *client, struct page *page, uint32_t events);
static void hear(struct client *client, struct page *page);
static bool take_handshake(struct client *client, struct page *page);
static bool take_frame(struct client *client, struct page *page);
static void take_text(struct client *client, struct page *page, const char *text, size_t bytes);
static void say_waiting(struct client *client, struct page *page);
static void say(struct client *client, struct page *page, int opcode, const char *text,
                size_t bytes);
static void drop(struct client *client, struct page *page, int code);
static void print(struct client *client, bool final);
static uint64_t next_random(struct client *client);
static void on_signal(int number);

int main(int argc, char **argv)
{
    static struct client client = {.url = "http://127.0.0.1:8080/ws",
                                   .page_count = 10,
                                   .seconds = 10,
                                   .period_ms = 100,
                                   .jitter_ms = 500,
                                   .every_ms = 1000};
    int rc = read_options(&client, argc, argv);
    if (rc != 0)
        return rc < 0 ? 2 : 0;
    struct error err = {0};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    client.random = (uint64_t)clock_wall_now().us;
    client.pages = calloc((size_t)client.page_count, sizeof *client.pages);
    client.epoll = epoll_create1(EPOLL_CLOEXEC);
    int64_t texts = client.page_count * (client.seconds * 1000 / client.period_ms + 2);
    if (client.pages == NULL || client.epoll < 0 || judge_init(&client.judge, texts, &err) < 0) {
        fprintf(stderr, "ws-client: %s\n", err.code != 0 ? err.text : strerror(errno));
        return 2;
    }
    run(&client);
    print(&client, true);
    bool good = judge_waiting(&client.judge) + client.judge.refused + client.closed_other == 0 &&
                client.opened > 0;
    for (int64_t i = 0; i < client.page_count; i++) {
        tls_close(client.pages[i].tls);
        if (client.pages[i].fd >= 0)
            (void)close(client.pages[i].fd);
        bytes_done(&client.pages[i].in);
        bytes_done(&client.pages[i].out);
    }
    (void)close(client.epoll);
    tls_trust_close(client.trust);
    free(client.pages);
    sketch_done(&client.gaps);
    judge_done(&client.judge);
    return good ? 0 : 1;
}

static int read_options(struct client *client, int argc, char **argv)
{
    const struct client_option options[] = {
        {"--url", "http://IP:PORT/PATH, or https:// with --ca", .word = &client->url},
        {"--ca", "FILE: who is to have signed the server's certificate, PEM", .word = &client->ca},
        {"--host", "the Host header, when it is another", .word = &client->host},
        {"--pages", "websockets at once", .number = &client->page_count},
        {"--seconds", "how long", .number = &client->seconds},
        {"--period-ms", "between two texts of a page", .number = &client->period_ms},
        {"--jitter-ms", "within which a page comes back after 1012", .number = &client->jitter_ms},
        {"--every-ms", "between two lines", .number = &client->every_ms},
        {0}};
    int rc = client_options(argc, argv, about, options, &client->json);
    if (rc != 0)
        return rc;
    if (client->page_count < 1 || client->page_count > PAGES_MAX || client->seconds < 1 ||
        client->period_ms < 1 || client->jitter_ms < 1 || client->every_ms < 1) {
        fprintf(stderr, "ws-client: every number from 1, --pages up to %d\n", PAGES_MAX);
        return -1;
    }
    return resolve(client);
}

static int resolve(struct client *client)
{
    const char *scheme = client->ca != NULL ? "https://" : "http://";
    const char *rest = str_starts(client->url, scheme) ? client->url + strlen(scheme) : "";
    size_t bytes = strcspn(rest, "/");
    char host[256];
    int64_t port = client->ca != NULL ? 443 : 80;
    str_format(host, sizeof host, "%.*s", (int)(bytes < 200 ? bytes : 200), rest);
    str_format(client->host_of_url, sizeof client->host_of_url, "%s", host);
    str_format(client->path, sizeof client->path, "%.500s",
               rest[bytes] == 0 ? "/ws" : rest + bytes);
    char *colon = strrchr(host, ':');
    if (colon != NULL)
        *colon++ = 0;
    client->address.sin_family = AF_INET;
    if ((colon != NULL && (str_to_i64(colon, &port) < 0 || port < 1 || port > 65535)) ||
        inet_pton(AF_INET, host, &client->address.sin_addr) != 1) {
        fprintf(stderr,
                "ws-client: --url %s: must be http://IP:PORT/PATH, or with --ca "
                "https://IP:PORT/PATH\n",
                client->url);
        return -1;
    }
    client->address.sin_port = htons((uint16_t)port);
    if (client->host == NULL)
        client->host = client->host_of_url;
    struct error err = {0};
    if (client->ca != NULL && tls_trust_open(client->ca, client->host, &client->trust, &err) < 0) {
        fprintf(stderr, "ws-client: %s\n", err.text);
        return -1;
    }
    return 0;
}

static void run(struct client *client)
{
    struct epoll_event events[EVENTS];
    int64_t now_us = clock_mono_now().us;
    int64_t end_us = now_us + client->seconds * US_PER_S;
    int64_t line_us = now_us + client->every_ms * US_PER_MS;
    for (int64_t i = 0; i < client->page_count; i++) /* not all in the same instant */
        client->pages[i] = (struct page){
            .fd = -1,
            .waiting = -1,
            .open_at_us = now_us + (int64_t)(next_random(client) %
                                             (uint64_t)(client->period_ms * US_PER_MS))};
    /* The last texts get the time to come back. */
    int64_t last_us = end_us + US_PER_S;
    while (now_us < last_us && !(ended && judge_waiting(&client->judge) == 0)) {
        bool over = ended || now_us >= end_us;
        if (over && last_us > now_us + US_PER_S)
            last_us = now_us + US_PER_S;
        if (over && judge_waiting(&client->judge) == 0)
            break;
        int count = epoll_wait(client->epoll, events, EVENTS, 1);
        for (int i = 0; i < count; i++) {
            struct page *page = &client->pages[events[i].data.u64];
            if (page->fd >= 0 && page->state == PAGE_CONNECTING)
                connected(client, page);
            else if (page->fd >= 0 && page->state == PAGE_SHAKING)
                shake(client, page);
            else if (page->fd >= 0)
                hear(client, page);
        }
        now_us = clock_mono_now().us;
        for (int64_t i = 0; i < client->page_count; i++)
            tick(client, &client->pages[i], now_us, over);
        if (now_us >= line_us) {
            print(client, false);
            line_us += client->every_ms * US_PER_MS;
        }
    }
}

static void tick(struct client *client, struct page *page, int64_t now_us, bool over)
{
    if (page->state == PAGE_CLOSED) {
        if ((!over || page->waiting >= 0) && now_us >= page->open_at_us)
            begin(client, page, now_us);
    } else if (page->state != PAGE_OPEN) {
        if (now_us - page->begun_us > OPEN_US)
            drop(client, page, WEBSOCKET_LOST);
    } else if (!over && page->waiting < 0 && now_us >= page->send_at_us &&
               client->judge.sent < client->judge.room) {
        page->waiting = judge_send(&client->judge, now_us);
        page->send_at_us = now_us + client->period_ms * US_PER_MS;
        say_waiting(client, page);
    }
}

/* ---- a connection ---- */

static void begin(struct client *client, struct page *page, int64_t now_us)
{
    static const int on = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT,
                                .data.u64 = (uint64_t)(page - client->pages)};
    page->begun_us = now_us;
    page->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (page->fd < 0) {
        drop(client, page, WEBSOCKET_LOST);
        return;
    }
    page->state = PAGE_CONNECTING;
    (void)setsockopt(page->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if ((connect(page->fd, (const struct sockaddr *)&client->address, sizeof client->address) < 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(client->epoll, EPOLL_CTL_ADD, page->fd, &event) < 0)
        drop(client, page, WEBSOCKET_LOST);
}

static void connected(struct client *client, struct page *page)
{
    int why = 0;
    socklen_t bytes = sizeof why;
    if (getsockopt(page->fd, SOL_SOCKET, SO_ERROR, &why, &bytes) < 0 || why != 0) {
        drop(client, page, WEBSOCKET_LOST);
        return;
    }
    if (client->trust == NULL) {
        upgrade(client, page);
        return;
    }
    page->state = PAGE_SHAKING;
    page->tls = tls_open(client->trust, page->fd);
    if (page->tls == NULL)
        drop(client, page, WEBSOCKET_LOST);
    else
        shake(client, page);
}

static void shake(struct client *client, struct page *page)
{
    struct error err = {0};
    int rc = tls_shake(page->tls, &err);
    if (rc > 0) {
        upgrade(client, page);
    } else if (rc == 0) {
        watch(client, page, (uint32_t)(tls_writes(page->tls) ? EPOLLOUT : EPOLLIN));
    } else {
        if (client->tls_failed++ == 0)
            fprintf(stderr, "ws-client: %s\n", err.text);
        drop(client, page, WEBSOCKET_LOST);
    }
}

static void upgrade(struct client *client, struct page *page)
{
    char text[1024];
    char key[25];
    /* Any 24 letters of base64 that stand for 16 bytes. */
    str_format(key, sizeof key, "%011" PRIu64 "%011" PRIu64, next_random(client) % 100000000000,
               next_random(client) % 100000000000);
    str_format(key + 21, 4, "A==");
    websocket_accept(key, 24, page->accept);
    str_format(
        text, sizeof text,
        "GET %.500s HTTP/1.1\r\nHost: %.200s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
        client->path, client->host, key);
    watch(client, page, EPOLLIN);
    page->state = PAGE_HANDSHAKE;
    if (!bytes_add(&page->out, text, strlen(text), sizeof text) ||
        tls_send(page->tls, &page->out, page->fd) < 0)
        drop(client, page, WEBSOCKET_LOST);
}

static void watch(struct client *client, struct page *page, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)(page - client->pages)};
    (void)epoll_ctl(client->epoll, EPOLL_CTL_MOD, page->fd, &event);
}

static void hear(struct client *client, struct page *page)
{
    while (page->fd >= 0) {
        ssize_t got = tls_receive(page->tls, &page->in, page->fd, IN_MAX);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            drop(client, page, WEBSOCKET_LOST);
            return;
        }
        bool more = true;
        while (more && page->fd >= 0 && page->in.count > 0)
            more =
                page->state == PAGE_OPEN ? take_frame(client, page) : take_handshake(client, page);
    }
}

static bool take_handshake(struct client *client, struct page *page)
{
    struct http_head head;
    enum http_parsed parsed = http_response_parse(bytes_at(&page->in), page->in.count, &head);
    if (parsed == HTTP_MORE)
        return false;
    const struct http_text *accept =
        parsed == HTTP_WHOLE ? http_header(&head, "Sec-WebSocket-Accept") : NULL;
    if (parsed == HTTP_WRONG || head.status != 101 || accept == NULL ||
        !http_text_is(*accept, page->accept)) {
        client->refused++;
        drop(client, page, WEBSOCKET_LOST);
        return false;
    }
    const struct http_text *instance = http_header(&head, "Berth-Instance");
    char name[INSTANCE_BYTES] = "";
    if (instance != NULL)
        str_format(name, sizeof name, "%.*s",
                   (int)(instance->bytes < sizeof name ? instance->bytes : sizeof name - 1),
                   instance->at);
    int64_t now_us = clock_mono_now().us;
    if (page->lost_at_us != 0) {
        int64_t gap_us = now_us - page->lost_at_us;
        sketch_add(&client->gaps, gap_us);
        client->longest_gap_us = gap_us > client->longest_gap_us ? gap_us : client->longest_gap_us;
        client->moved += !str_equal(name, page->instance);
    }
    str_format(page->instance, sizeof page->instance, "%s", name);
    client->opened++;
    page->failures = 0;
    page->state = PAGE_OPEN;
    page->send_at_us = now_us;
    bytes_take(&page->in, head.head_bytes);
    if (page->waiting >= 0)
        say_waiting(client, page);
    return page->fd >= 0;
}

static bool take_frame(struct client *client, struct page *page)
{
    struct websocket_frame frame;
    const char *data = bytes_at(&page->in);
    int parsed = websocket_parse((const uint8_t *)data, page->in.count, false, &frame);
    if (parsed < 0 || (parsed > 0 && frame.payload_bytes > IN_MAX / 2)) {
        drop(client, page, WEBSOCKET_WRONG);
        return false;
    }
    if (parsed == 0 || page->in.count < frame.head_bytes + frame.payload_bytes)
        return false;
    const char *payload = data + frame.head_bytes;
    size_t bytes = (size_t)frame.payload_bytes;
    if (frame.opcode == WEBSOCKET_CLOSE) {
        say(client, page, WEBSOCKET_CLOSE, payload, bytes >= 2 ? 2 : 0);
        if (page->fd >= 0)
            drop(client, page, websocket_close_code((const uint8_t *)payload, bytes));
        return false;
    }
    if (frame.opcode == WEBSOCKET_PING)
        say(client, page, WEBSOCKET_PONG, payload, bytes);
    else if (frame.opcode == WEBSOCKET_TEXT)
        take_text(client, page, payload, bytes);
    if (page->fd >= 0)
        bytes_take(&page->in, frame.head_bytes + bytes);
    return true;
}

/* The first text of a connection is the server's greeting, its instance. */
static void take_text(struct client *client, struct page *page, const char *text, size_t bytes)
{
    char line[64], wanted[64];
    if (bytes >= sizeof line || bytes < 5 || memcmp(text, "text ", 5) != 0)
        return;
    str_format(line, sizeof line, "%.*s", (int)bytes, text);
    str_format(wanted, sizeof wanted, "text %" PRId64, page->waiting);
    if (page->waiting < 0 || !str_equal(line, wanted)) {
        client->judge.duplicated++;
        return;
    }
    judge_answer(&client->judge, page->waiting, clock_mono_now().us, true);
    page->waiting = -1;
}

static void say_waiting(struct client *client, struct page *page)
{
    char text[64];
    str_format(text, sizeof text, "text %" PRId64, page->waiting);
    say(client, page, WEBSOCKET_TEXT, text, strlen(text));
}

static void say(struct client *client, struct page *page, int opcode, const char *text,
                size_t bytes)
{
    uint8_t head[WEBSOCKET_HEAD_MAX], mask[4], masked[128];
    uint64_t random = next_random(client);
    memcpy(mask, &random, sizeof mask);
    bytes = bytes < sizeof masked ? bytes : sizeof masked;
    memcpy(masked, text, bytes);
    websocket_mask(masked, bytes, mask);
    if (!bytes_add(&page->out, head, websocket_head(opcode, bytes, mask, head), IN_MAX) ||
        !bytes_add(&page->out, masked, bytes, IN_MAX) ||
        tls_send(page->tls, &page->out, page->fd) < 0)
        drop(client, page, WEBSOCKET_LOST);
}

/* The page is without a connection; when it tries again depends on why. A text under way is said
 * again on the next connection after a 1012, as nothing is heard any more past a closing frame;
 * after anything else it stays without an answer, and is lost. */
static void drop(struct client *client, struct page *page, int code)
{
    int64_t now_us = clock_mono_now().us;
    if (page->state == PAGE_OPEN) {
        client->closed_restart += code == WEBSOCKET_RESTART;
        client->closed_other += code != WEBSOCKET_RESTART;
        page->lost_at_us = now_us;
    } else {
        page->failures += page->failures < BACK_OFF_STEPS;
    }
    tls_close(page->tls);
    page->tls = NULL;
    if (page->fd >= 0)
        (void)close(page->fd);
    bytes_done(&page->in);
    bytes_done(&page->out);
    page->fd = -1;
    if (code != WEBSOCKET_RESTART && page->state == PAGE_OPEN)
        page->waiting = -1;
    page->open_at_us =
        now_us + (code == WEBSOCKET_RESTART
                      ? (int64_t)(next_random(client) % (uint64_t)(client->jitter_ms * US_PER_MS))
                      : BACK_OFF_US << page->failures);
    page->state = PAGE_CLOSED;
}

/* ---- */

static void print(struct client *client, bool final)
{
    int64_t open = 0;
    for (int64_t i = 0; i < client->page_count; i++)
        open += client->pages[i].state == PAGE_OPEN;
    int64_t gap_us = client->gaps.count == 0 ? 0 : (int64_t)sketch_quantile(&client->gaps, 500000);
    if (client->json) {
        printf("{");
        judge_json(&client->judge, final, stdout);
        printf(",\"open\":%" PRId64 ",\"opened\":%" PRId64 ",\"moved\":%" PRId64
               ",\"closed_1012\":%" PRId64 ",\"closed_other\":%" PRId64 ",\"not_opened\":%" PRId64
               ",\"gap_p50_us\":%" PRId64 ",\"gap_max_us\":%" PRId64 "}\n",
               open, client->opened, client->moved, client->closed_restart, client->closed_other,
               client->refused, gap_us, client->longest_gap_us);
    } else {
        judge_text(&client->judge, final, stdout);
        printf("  open %" PRId64 "  closed with 1012 %" PRId64 ", otherwise %" PRId64
               "  away p50 %.0f ms, max %.0f ms\n",
               open, client->closed_restart, client->closed_other, (double)gap_us / 1e3,
               (double)client->longest_gap_us / 1e3);
    }
    fflush(stdout);
}

static uint64_t next_random(struct client *client)
{
    uint64_t x = client->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}
