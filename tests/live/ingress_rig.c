/* See ingress_rig.h. */
#include "tests/live/ingress_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

static void on_routed(void *context, const char *id, int code, const char *text);
static void on_probed(void *context, const struct ingress_probed *probed);
static void on_happened(void *context, enum ingress_event event, const char *text);
static void find_haproxy(void);
static bool is_alive(int64_t pid);
static void remove_folder(const char *path);
static int route_say(struct ingress_rig *rig, const char *name, const char *host, const char *path,
                     const struct ingress_rig_server *servers, int count, bool paused);
static int route_wait(struct ingress_rig *rig, const struct message_route *route);

void ingress_rig_make(struct ingress_rig *rig, const char *more)
{
    char text[512];
    struct error err;
    (void)signal(SIGPIPE, SIG_IGN);
    find_haproxy();
    memset(rig, 0, sizeof(*rig));
    str_format(rig->folder, sizeof(rig->folder), BERTH_BINARY_DIR "/ingress-XXXXXX");
    BERTH_ASSERT(mkdtemp(rig->folder) != NULL, "a folder");
    rig->port = ingress_rig_free_port();
    rig->tls_port = ingress_rig_free_port();
    str_format(text, sizeof(text), "http=127.0.0.1:%d%s", rig->port, more);
    const char *mark = strstr(more, "PORT");
    if (mark != NULL) /* of TLS */
        str_format(text, sizeof(text), "http=127.0.0.1:%d%.*s%d%s", rig->port, (int)(mark - more),
                   more, rig->tls_port, mark + 4);
    BERTH_ASSERT(ingress_options_parse(text, &rig->options, &err) == 0, "%s", err.text);
}

void ingress_rig_open(struct ingress_rig *rig)
{
    int ups = rig->ups;
    ingress_rig_begin(rig);
    INGRESS_RIG_WAIT(rig, rig->ups > ups);
}

void ingress_rig_begin(struct ingress_rig *rig)
{
    struct error err = {.text = ""};
    struct ingress_callbacks callbacks = {rig, on_routed, on_probed, on_happened};
    BERTH_ASSERT(ingress_open(&rig->options, rig->folder, rig->host, rig->cgroup, &callbacks,
                              &rig->ingress, &err) == 0,
                 "%s", err.text);
}

void ingress_rig_done(struct ingress_rig *rig)
{
    int64_t pid = ingress_rig_pid(rig);
    ingress_close(rig->ingress, INGRESS_STOP);
    /* What is still open there has half a minute; a test does not. */
    if (pid > 1)
        (void)kill((pid_t)pid, SIGKILL);
    for (int i = 0; pid > 1 && is_alive(pid) && i < 5000; i++)
        (void)usleep(1000);
    remove_folder(rig->folder);
}

void ingress_rig_turn(struct ingress_rig *rig, int timeout_ms)
{
    struct pollfd wanted = {.fd = ingress_fd(rig->ingress), .events = POLLIN};
    if (poll(&wanted, 1, timeout_ms) <= 0)
        return;
    struct timespec at;
    struct timespec done;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    ingress_dispatch(rig->ingress);
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &done);
    int64_t took_us = (done.tv_sec - at.tv_sec) * US_PER_S + (done.tv_nsec - at.tv_nsec) / 1000;
    if (took_us > rig->longest_us)
        rig->longest_us = took_us;
}

int ingress_rig_route(struct ingress_rig *rig, const char *name, const char *host, const char *path,
                      const struct ingress_rig_server *servers, int count)
{
    return route_say(rig, name, host, path, servers, count, false);
}

int ingress_rig_pause(struct ingress_rig *rig, const char *name, const char *host, const char *path,
                      const struct ingress_rig_server *servers, int count)
{
    return route_say(rig, name, host, path, servers, count, true);
}

static int route_say(struct ingress_rig *rig, const char *name, const char *host, const char *path,
                     const struct ingress_rig_server *servers, int count, bool paused)
{
    struct message_server list[INGRESS_ROUTE_SERVERS + 1];
    struct message_route route = {.servers = list, .server_count = count, .paused = paused};
    memset(list, 0, sizeof(list));
    str_format(route.namespace_, sizeof(route.namespace_), "default");
    str_format(route.app, sizeof(route.app), "shop");
    str_format(route.workload, sizeof(route.workload), "%s", name);
    str_format(route.host, sizeof(route.host), "%s", host);
    str_format(route.path, sizeof(route.path), "%s", path);
    for (int i = 0; i < count; i++) {
        str_format(list[i].instance, sizeof(list[i].instance), "%s", servers[i].instance);
        str_format(list[i].endpoint, sizeof(list[i].endpoint), "127.0.0.1:%d", servers[i].port);
        list[i].mode = servers[i].mode;
        list[i].weight = servers[i].weight;
    }
    return route_wait(rig, &route);
}

int ingress_rig_gone(struct ingress_rig *rig, const char *name)
{
    struct message_route route = {.gone = true};
    str_format(route.namespace_, sizeof(route.namespace_), "default");
    str_format(route.app, sizeof(route.app), "shop");
    str_format(route.workload, sizeof(route.workload), "%s", name);
    return route_wait(rig, &route);
}

int ingress_rig_probe(struct ingress_rig *rig, const char *host, const char *path,
                      const char *instance, int count)
{
    struct error err = {.text = ""};
    struct ingress_probe probe = {.id = "p",
                                  .instance = instance,
                                  .host = host,
                                  .path = path,
                                  .count = count,
                                  .timeout_us = 5 * US_PER_S};
    int before = rig->probed;
    BERTH_ASSERT(ingress_probe(rig->ingress, &probe, &err) == 0, "%s", err.text);
    BERTH_ASSERT(rig->probed == before, "told from within");
    INGRESS_RIG_WAIT(rig, rig->probed > before);
    return rig->probe.answered;
}

int64_t ingress_rig_pid(const struct ingress_rig *rig)
{
    char path[300];
    char text[32] = "";
    int64_t pid = 0;
    str_format(path, sizeof(path), "%s/haproxy.pid", rig->folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0)
        (void)close(fd);
    text[got > 0 ? strcspn(text, "\n") : 0] = 0;
    return str_to_i64(text, &pid) == 0 ? pid : 0;
}

void ingress_rig_say(const struct ingress_rig *rig, const char *command, char *out, size_t capacity)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t count = 0;
    int folder = open(rig->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    str_format(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/haproxy.sock", folder);
    BERTH_ASSERT(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s",
                 strerror(errno));
    BERTH_ASSERT(send(fd, command, strlen(command), 0) == (ssize_t)strlen(command), "send");
    for (ssize_t got;
         count + 1 < capacity && (got = recv(fd, out + count, capacity - 1 - count, 0)) > 0;)
        count += (size_t)got;
    out[count] = 0;
    (void)close(fd);
    (void)close(folder);
}

int ingress_rig_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BERTH_ASSERT(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                     getsockname(fd, (struct sockaddr *)&address, &bytes) == 0,
                 "a free port");
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void on_routed(void *context, const char *id, int code, const char *text)
{
    struct ingress_rig *rig = context;
    rig->routed++;
    rig->routed_code = code;
    str_format(rig->routed_id, sizeof(rig->routed_id), "%s", id);
    str_format(rig->routed_text, sizeof(rig->routed_text), "%s", text);
}

static void on_probed(void *context, const struct ingress_probed *probed)
{
    struct ingress_rig *rig = context;
    rig->probed++;
    rig->probe = *probed;
    str_format(rig->probe_text, sizeof(rig->probe_text), "%s", probed->text);
    rig->probe.id = rig->probe.instance = rig->probe.text = NULL; /* the callback's only */
}

static void on_happened(void *context, enum ingress_event event, const char *text)
{
    struct ingress_rig *rig = context;
    rig->ups += event == INGRESS_UP;
    rig->downs += event == INGRESS_DOWN;
    str_format(rig->last_event, sizeof(rig->last_event), "%.250s", text);
    if (getenv("BERTH_TEST_VERBOSE") != NULL)
        (void)fprintf(stderr, "ingress: %s\n", text);
}

/* The machine's, the one that is named, or an unpacked one. */
static void find_haproxy(void)
{
    char path[512] = "";
    FILE *script = popen(BERTH_SOURCE_DIR "/script/haproxy", "re");
    BERTH_ASSERT(script != NULL && fgets(path, sizeof(path), script) != NULL,
                 "script/haproxy found none");
    path[strcspn(path, "\n")] = 0;
    (void)pclose(script);
    (void)setenv("BERTH_HAPROXY", path, 1);
}

/* Not dead, and not dead but for a parent that has not looked. */
static bool is_alive(int64_t pid)
{
    char path[64];
    char byte;
    str_format(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool alive = fd >= 0 && read(fd, &byte, 1) == 1;
    if (fd >= 0)
        (void)close(fd);
    return alive;
}

static void remove_folder(const char *path)
{
    char command[400];
    str_format(command, sizeof(command), "rm -rf '%s'", path);
    BERTH_ASSERT(system(command) == 0, "%s", command);
}

static int route_wait(struct ingress_rig *rig, const struct message_route *route)
{
    struct error err = {.text = ""};
    int before = rig->routed;
    int rc = ingress_route(rig->ingress, "r", route, &err);
    if (rc < 0) {
        str_format(rig->routed_text, sizeof(rig->routed_text), "%.250s", err.text);
        return rc;
    }
    BERTH_ASSERT(rig->routed == before, "told from within");
    INGRESS_RIG_WAIT(rig, rig->routed > before);
    return rig->routed_code;
}
