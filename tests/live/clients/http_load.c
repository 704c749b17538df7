/* The program: options, the open loop, and what is said of it. See --help. */
#include "tests/live/clients/http_load.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/clients/options.h"
#include "tests/live/clients/pace.h"

#define SWEEP_EVERY_US (10 * US_PER_MS)
#define STEP_US        (2 * US_PER_MS)

static const char about[] =
    "Asks an HTTP service at a fixed rate over keep-alive connections and judges every answer: "
    "its\n"
    "status is 200 and its Request-Id the request's. Exit status: 0 nothing was lost, refused or\n"
    "duplicated; 1 something was; 2 it could not be run.";

struct run {
    const char *url;
    const char *host;
    const char *ca;
    const char *history;
    const char *ids_dir;
    int64_t rate;
    int64_t seconds;
    int64_t connections;
    int64_t timeout_ms;
    int64_t every_ms;
    int64_t group_us;
    int64_t post_bytes;
    bool fresh;
    bool newest;
    bool json;
    char host_of_url[256];
    char path[512];
    int64_t twice; /* carried out more than once, by the servers' own lists */
};

static volatile sig_atomic_t ended;

static int check(const struct run *run);
static int resolve(struct run *run, struct sockaddr_in *ret_address);
static void drive(struct run *run, struct http_clients *clients);
static int64_t lost_of(const struct http_clients *clients);
static void print_line(const struct run *run, struct http_clients *clients, bool final);
static int count_twice(struct run *run, const struct http_clients *clients);
static void count_file(struct run *run, const struct http_clients *clients, const char *path,
                       uint8_t *seen);
static void on_signal(int number);

int main(int argc, char **argv)
{
    struct run run = {.url = "http://127.0.0.1:8080/",
                      .rate = 1000,
                      .seconds = 10,
                      .connections = 32,
                      .timeout_ms = 5000,
                      .every_ms = 1000};
    const struct client_option options[] = {
        {"--url", "http://HOST:PORT/PATH, or https:// with --ca", .word = &run.url},
        {"--ca", "FILE: who is to have signed the server's certificate, PEM", .word = &run.ca},
        {"--host", "the Host header, when it is another", .word = &run.host},
        {"--rate", "requests a second", .number = &run.rate},
        {"--group-us", "what is due within so long is sent at once", .number = &run.group_us},
        {"--seconds", "how long", .number = &run.seconds},
        {"--connections", "kept alive at once", .number = &run.connections},
        {"--newest", "the connection that was used last first, as pools do", .flag = &run.newest},
        {"--fresh", "a connection of its own for each request", .flag = &run.fresh},
        {"--post-bytes", "every second request is a POST with so many", .number = &run.post_bytes},
        {"--timeout-ms", "an answer later than that is lost", .number = &run.timeout_ms},
        {"--every-ms", "between two lines", .number = &run.every_ms},
        {"--history", "FILE: every request, for a judge", .word = &run.history},
        {"--ids", "DIR of the servers' lists (web --ids): finds what was done twice",
         .word = &run.ids_dir},
        {0}};
    int rc = client_options(argc, argv, about, options, &run.json);
    if (rc != 0)
        return rc < 0 ? 2 : 0;
    struct judge judge;
    struct error err = {0};
    struct http_clients clients = {.judge = &judge,
                                   .epoll = -1,
                                   .fresh = run.fresh,
                                   .newest = run.newest && !run.fresh,
                                   .path = run.path,
                                   .post_bytes = run.post_bytes,
                                   .timeout_us = run.timeout_ms * US_PER_MS,
                                   .count = (int)run.connections};
    if (check(&run) < 0 || resolve(&run, &clients.address) < 0)
        return 2;
    clients.host = run.host != NULL ? run.host : run.host_of_url;
    if (run.ca != NULL && tls_trust_open(run.ca, clients.host, &clients.trust, &err) < 0) {
        fprintf(stderr, "http-load: %s\n", err.text);
        return 2;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (keys_init(&err) < 0 || judge_init(&judge, run.rate * run.seconds, &err) < 0 ||
        http_clients_open(&clients, &err) < 0) {
        fprintf(stderr, "http-load: %s\n", err.text);
        return 2;
    }
    drive(&run, &clients);
    rc = run.ids_dir != NULL ? count_twice(&run, &clients) : 0;
    print_line(&run, &clients, true);
    if (run.history != NULL && judge_history(&judge, run.history, &err) < 0) {
        fprintf(stderr, "http-load: %s\n", err.text);
        rc = -1;
    }
    bool good = judge_waiting(&judge) + judge.refused + judge.duplicated + run.twice == 0;
    http_clients_close(&clients);
    tls_trust_close(clients.trust);
    judge_done(&judge);
    return rc < 0 ? 2 : good ? 0 : 1;
}

static int check(const struct run *run)
{
    if (run->rate < 1 || run->seconds < 1 || run->every_ms < 1 || run->connections < 1 ||
        run->connections > HTTP_CLIENT_CONNECTIONS_MAX) {
        fprintf(stderr, "http-load: --rate, --seconds, --every-ms from 1; --connections 1 to %d\n",
                HTTP_CLIENT_CONNECTIONS_MAX);
        return -1;
    }
    if (run->post_bytes < 0 || run->post_bytes > HTTP_CLIENT_POST_MAX) {
        fprintf(stderr, "http-load: --post-bytes 0 to %d\n", HTTP_CLIENT_POST_MAX);
        return -1;
    }
    return 0;
}

static int resolve(struct run *run, struct sockaddr_in *ret_address)
{
    const char *scheme = run->ca != NULL ? "https://" : "http://";
    const char *rest = str_starts(run->url, scheme) ? run->url + strlen(scheme) : NULL;
    size_t host_bytes = rest == NULL ? 0 : strcspn(rest, "/");
    if (host_bytes == 0 || host_bytes >= sizeof run->host_of_url) {
        fprintf(stderr,
                "http-load: --url %s: must be http://HOST:PORT/PATH, or with --ca "
                "https://HOST:PORT/PATH\n",
                run->url);
        return -1;
    }
    str_format(run->host_of_url, sizeof run->host_of_url, "%.*s", (int)host_bytes, rest);
    str_format(run->path, sizeof run->path, "%.500s",
               rest[host_bytes] == 0 ? "/" : rest + host_bytes);
    char host[256];
    str_format(host, sizeof host, "%s", run->host_of_url);
    char *colon = strrchr(host, ':');
    if (colon != NULL)
        *colon++ = 0;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int why = getaddrinfo(host,
                          colon != NULL     ? colon
                          : run->ca != NULL ? "443"
                                            : "80",
                          &hints, &found);
    if (why != 0) {
        fprintf(stderr, "http-load: --url %s: %s\n", run->url, gai_strerror(why));
        return -1;
    }
    memcpy(ret_address, found->ai_addr, sizeof *ret_address);
    freeaddrinfo(found);
    return 0;
}

static void drive(struct run *run, struct http_clients *clients)
{
    struct judge *judge = clients->judge;
    int64_t now_us = clock_mono_now().us;
    struct pace pace = {.begun_us = now_us + 20 * US_PER_MS, /* connections are open by then */
                        .rate = run->rate,
                        .most = run->rate * run->seconds,
                        .group_us = run->group_us};
    int64_t line_us = pace.begun_us + run->every_ms * US_PER_MS;
    int64_t sweep_us = now_us, end_us = 0;
    while (judge->sent < pace.most || judge_waiting(judge) > 0) {
        now_us = clock_mono_now().us;
        int64_t due = ended ? judge->sent : pace_due(&pace, now_us);
        while (judge->sent < due && http_clients_ask(clients, pace_due_us(&pace, judge->sent)))
            continue;
        /* What found no connection in all its time is lost as well. */
        while (judge->sent < due &&
               now_us - pace_due_us(&pace, judge->sent) > clients->timeout_us) {
            judge_send(judge, pace_due_us(&pace, judge->sent));
            clients->lost[LOSS_CONNECT]++;
        }
        if (now_us >= sweep_us) {
            http_clients_sweep(clients, now_us);
            sweep_us = now_us + SWEEP_EVERY_US;
        }
        if (now_us >= line_us) {
            print_line(run, clients, false);
            line_us += run->every_ms * US_PER_MS;
        }
        bool over = ended || judge->sent == pace.most;
        if (over && end_us == 0)
            end_us = now_us + clients->timeout_us;
        if (over && (judge_waiting(judge) == lost_of(clients) || now_us > end_us))
            break;
        /* While no connection is free there is nothing to send, however much is due: not waiting
         * for an answer then would take the processor from those who are to give it. */
        int64_t next_us = pace_due_us(&pace, judge->sent) - now_us;
        bool waits = over || clients->ready_count == 0 || next_us > STEP_US;
        http_clients_step(clients, waits ? STEP_US : next_us < 0 ? 0 : next_us);
    }
}

static int64_t lost_of(const struct http_clients *clients)
{
    return clients->lost[LOSS_CONNECT] + clients->lost[LOSS_CLOSED] + clients->lost[LOSS_TIMEOUT];
}

static void print_line(const struct run *run, struct http_clients *clients, bool final)
{
    if (!run->json) {
        judge_text(clients->judge, final, stdout);
        for (int i = 0; final && i < clients->server_count; i++)
            printf("\n    %s answered %" PRId64 ", from %.3f s to %.3f s",
                   clients->servers[i].instance, clients->servers[i].count,
                   (double)clients->servers[i].first_us / 1e6,
                   (double)clients->servers[i].last_us / 1e6);
        if (final && run->ids_dir != NULL)
            printf("\n    carried out twice: %" PRId64, run->twice);
        printf("\n");
        fflush(stdout);
        return;
    }
    printf("{");
    judge_json(clients->judge, final, stdout);
    printf(",\"lost_connect\":%" PRId64 ",\"lost_closed\":%" PRId64 ",\"lost_timeout\":%" PRId64
           ",\"refused_wrong\":%" PRId64 ",\"refused_4xx\":%" PRId64 ",\"refused_5xx\":%" PRId64
           ",\"connects\":%" PRId64 ",\"closed_idle\":%" PRId64 ",\"twice\":%" PRId64
           ",\"servers\":[",
           clients->lost[LOSS_CONNECT], clients->lost[LOSS_CLOSED], clients->lost[LOSS_TIMEOUT],
           clients->refused_status[0], clients->refused_status[4], clients->refused_status[5],
           clients->connects, clients->closed_idle, run->twice);
    for (int i = 0; i < clients->server_count; i++)
        printf("%s{\"instance\":\"%s\",\"answered\":%" PRId64 ",\"first_us\":%" PRId64
               ",\"last_us\":%" PRId64 "}",
               i > 0 ? "," : "", clients->servers[i].instance, clients->servers[i].count,
               clients->servers[i].first_us, clients->servers[i].last_us);
    printf("]}\n");
    fflush(stdout);
}

/* ---- what the servers have written down ---- */

static int count_twice(struct run *run, const struct http_clients *clients)
{
    uint8_t *seen = calloc((size_t)clients->judge->sent + 1, 1);
    DIR *dir = opendir(run->ids_dir);
    if (seen == NULL || dir == NULL) {
        fprintf(stderr, "http-load: --ids %s: %s\n", run->ids_dir, strerror(errno));
        free(seen);
        if (dir != NULL)
            closedir(dir);
        return -1;
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const char *dot = strrchr(entry->d_name, '.');
        char path[1200];
        if (dot == NULL || !str_equal(dot, ".ids"))
            continue;
        str_format(path, sizeof path, "%.800s/%s", run->ids_dir, entry->d_name);
        count_file(run, clients, path, seen);
    }
    closedir(dir);
    free(seen);
    return 0;
}

static void count_file(struct run *run, const struct http_clients *clients, const char *path,
                       uint8_t *seen)
{
    char line[256];
    CLEANUP(cleanup_file) FILE *file = fopen(path, "re");
    size_t run_bytes = strlen(clients->run);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        int64_t id;
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, clients->run, run_bytes) != 0 || line[run_bytes] != '.' ||
            str_to_i64(line + run_bytes + 1, &id) < 0 || id < 0 || id >= clients->judge->sent)
            continue;
        run->twice += seen[id] == 1; /* counted once, however often */
        if (seen[id] < 2)
            seen[id]++;
    }
}

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}
