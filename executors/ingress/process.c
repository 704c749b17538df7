/* process: HAProxy's life: found again, started, replaced while it serves, started again. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executors/ingress/internal.h"

#define DYING_US  (5 * US_PER_MS)
#define DYING_MAX 20

static void start(struct ingress *ingress);
static bool is_taken(const struct ingress *ingress, char *out, size_t capacity);
static bool is_listened(const char *at);
static int spawn(const struct ingress *ingress, const char *old_pid, pid_t *ret_pid);
static void failed(struct ingress *ingress, const char *what);
static bool is_ours(const struct ingress *ingress, pid_t pid);
static pid_t pid_file(const struct ingress *ingress);
static void last_words(const struct ingress *ingress, char *out, size_t capacity);
static void starter_end(struct ingress *ingress);
static void starter_forget(struct ingress *ingress);

int process_find_program(struct ingress *ingress, struct error *err)
{
    const char *named =
        ingress->options.haproxy[0] != 0 ? ingress->options.haproxy : getenv("BERTH_HAPROXY");
    if (named != NULL && named[0] != 0) {
        if (access(named, X_OK) < 0)
            return error_set(err, ERR_NOT_FOUND, errno,
                             "the ingress needs HAProxy, and '%s' cannot be run", named);
        return str_copy(ingress->program, sizeof(ingress->program), named);
    }
    const char *path = getenv("PATH");
    char folders[LIMIT_PATH_BYTES * 4];
    if (str_copy(folders, sizeof(folders) - 32, path != NULL ? path : "") < 0)
        folders[0] = 0;
    memcpy(folders + strlen(folders), ":/usr/sbin:/usr/local/sbin", 27);
    char *rest = folders;
    for (char *folder; (folder = strsep(&rest, ":")) != NULL;) {
        if (folder[0] != '/' || strlen(folder) + 9 > sizeof(ingress->program))
            continue;
        str_format(ingress->program, sizeof(ingress->program), "%s/haproxy", folder);
        if (access(ingress->program, X_OK) == 0)
            return 0;
    }
    return error_set(err, ERR_NOT_FOUND, 0,
                     "the ingress needs HAProxy 2.6 or newer and none was found in $PATH and "
                     "/usr/sbin: install the package haproxy, or set BERTH_HAPROXY");
}

void process_begin(struct ingress *ingress)
{
    if (talk_connect(ingress) == 0) {
        ingress->phase = PHASE_READ;
        return;
    }
    /* One that holds the addresses but cannot be talked to would take half of the connections. */
    pid_t pid = pid_file(ingress);
    if (pid > 0 && is_ours(ingress, pid)) {
        (void)kill(pid, SIGKILL);
        ingress->phase = PHASE_WAIT;
        ingress->start_at = ingress_now() + DYING_US; /* its addresses are free then */
        return;
    }
    start(ingress);
}

bool process_is_there(const struct ingress *ingress)
{
    pid_t pid = pid_file(ingress);
    return pid > 0 && is_ours(ingress, pid);
}

void process_starter_ended(struct ingress *ingress)
{
    starter_forget(ingress);
    if (ingress->phase != PHASE_START)
        return;
    pid_t pid = pid_file(ingress);
    char words[400];
    if (pid <= 0 || pid == ingress->pid || !is_ours(ingress, pid)) {
        last_words(ingress, words, sizeof(words));
        /* A certificate that no HAProxy has taken yet is not kept: the next try reads the file. */
        if (strstr(words, FILE_CERT) != NULL)
            (void)unlinkat(ingress->folder_fd, FILE_CERT, 0);
        failed(ingress, words);
        return;
    }
    if (talk_connect(ingress) < 0) {
        failed(ingress, "it runs but its runtime socket refuses connections");
        return;
    }
    ingress->phase = PHASE_READ;
}

void process_tick(struct ingress *ingress, int64_t now)
{
    if (ingress->phase == PHASE_WAIT && ingress->start_at <= now) {
        process_begin(ingress);
    } else if (ingress->phase == PHASE_START && ingress->deadline <= now) {
        starter_end(ingress);
        failed(ingress, "it did not come up in time");
    }
}

void process_down(struct ingress *ingress, const char *why)
{
    int64_t now = ingress_now();
    bool dying = ingress->phase == PHASE_READ && ingress->pid == 0 && !ingress->replacing &&
                 ++ingress->dying <= DYING_MAX;
    talk_close(ingress);
    if (dying) {
        /* One that is being ended closes its connections before its listeners: what was connected
         * to then is not there, and is not counted as another death. */
        ingress->phase = PHASE_WAIT;
        ingress->start_at = now + DYING_US;
        return;
    }
    /* It may be stuck rather than gone; then it would keep its share of the connections. */
    if (ingress->pid > 0 && is_ours(ingress, ingress->pid))
        (void)kill(ingress->pid, SIGKILL);
    ingress->pid = 0;
    ingress->replacing = false;
    if (ingress->up_since > 0 && now - ingress->up_since >= INGRESS_STEADY_US)
        ingress->backoff_us = 0;
    ingress->start_at = now + (ingress->backoff_us > 0 ? ingress->backoff_us : DYING_US);
    ingress->backoff_us = ingress->backoff_us == 0 ? INGRESS_BACKOFF_US : 2 * ingress->backoff_us;
    if (ingress->backoff_us > INGRESS_BACKOFF_MAX_US)
        ingress->backoff_us = INGRESS_BACKOFF_MAX_US;
    ingress->phase = PHASE_WAIT;
    ingress->up_since = 0;
    sync_forget(ingress);
    metrics_forget(ingress);
    routes_answer_all(ingress, ERR_UNAVAILABLE, why);
    ingress_say(ingress, INGRESS_DOWN, "%s", why);
}

void process_replace(struct ingress *ingress)
{
    talk_close(ingress);
    ingress->replacing = true;
    start(ingress);
}

bool process_adopted(struct ingress *ingress, int64_t pid)
{
    ingress->pid = (pid_t)pid;
    ingress->dying = 0;
    if (ingress->cgroup[0] != 0 && cgroup_join(&ingress->host, ingress->cgroup, ingress->pid) < 0)
        ingress_say(ingress, INGRESS_NOTICE, "HAProxy %d cannot be put into the group %s",
                    (int)ingress->pid, ingress->cgroup);
    if (!ingress->replacing && !config_is_current(ingress)) {
        ingress_say(ingress, INGRESS_NOTICE,
                    "HAProxy %d has another configuration: it is replaced while it serves",
                    (int)ingress->pid);
        process_replace(ingress);
        return false;
    }
    ingress->replacing = false;
    return true;
}

void process_stop(struct ingress *ingress)
{
    pid_t pid = ingress->pid > 0 ? ingress->pid : pid_file(ingress);
    starter_end(ingress);
    if (pid > 0 && is_ours(ingress, pid))
        (void)kill(pid, SIGUSR1);
}

static void start(struct ingress *ingress)
{
    struct error err;
    char old_pid[16] = "";
    char why_taken[LIMIT_TEXT_BYTES];
    pid_t pid = 0;
    ingress->phase = PHASE_START;
    ingress->deadline = ingress_now() + INGRESS_START_US;
    metrics_forget(ingress); /* the new one counts from 0 */
    if (!ingress->replacing && is_taken(ingress, why_taken, sizeof(why_taken))) {
        /* What held it may be on its way out: then nobody need hear of it. */
        if (++ingress->dying <= DYING_MAX) {
            ingress->phase = PHASE_WAIT;
            ingress->start_at = ingress_now() + DYING_US;
        } else {
            failed(ingress, why_taken);
        }
        return;
    }
    if (ingress->replacing)
        str_format(old_pid, sizeof(old_pid), "%d", (int)ingress->pid);
    if (cert_prepare(ingress, &err) < 0 || config_write(ingress, &err) < 0) {
        failed(ingress, err.text);
        return;
    }
    int why = spawn(ingress, old_pid, &pid);
    if (why != 0) {
        failed(ingress, strerrordesc_np(why));
        return;
    }
    /* The starter ends when the daemon has opened everything, or with what is wrong. The caller may
     * reap it: nothing but its end is needed. */
    ingress->starter_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (ingress->starter_fd < 0 ||
        ingress_watch(ingress, ingress->starter_fd, WATCH_STARTER, 0, EPOLLIN) < 0)
        failed(ingress, "its start cannot be watched");
}

/* HAProxy would say no more than "Address already in use". */
static bool is_taken(const struct ingress *ingress, char *out, size_t capacity)
{
    const char *const all[] = {ingress->options.http, ingress->options.https};
    for (int i = 0; i < 2; i++) {
        if (all[i][0] == 0 || !is_listened(all[i]))
            continue;
        str_format(out, capacity,
                   "another process listens at %s, perhaps another Berth's ingress or a web server "
                   "(`ss -ltnp 'sport = :%s'` shows it, as root with its name): end it, or give "
                   "--ingress another port",
                   all[i], strrchr(all[i], ':') + 1);
        return true;
    }
    return false;
}

/* What else may be wrong with the address HAProxy finds and tells. */
static bool is_listened(const char *at)
{
    struct ingress_address address;
    struct error err;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    int one = 1;
    if (ingress_address_parse(at, &address, &err) < 0)
        return false;
    v4.sin_port = v6.sin6_port = htons((uint16_t)address.port);
    if (inet_pton(address.v6 ? AF_INET6 : AF_INET, address.host,
                  address.v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) != 1)
        return false;
    CLEANUP(cleanup_close)
    int fd = socket(address.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Without this a connection that has just ended would look like a listener. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        return false;
    int rc = address.v6 ? bind(fd, (const struct sockaddr *)&v6, sizeof(v6))
                        : bind(fd, (const struct sockaddr *)&v4, sizeof(v4));
    return rc < 0 && errno == EADDRINUSE;
}

/* An errno, or 0. */
static int spawn(const struct ingress *ingress, const char *old_pid, pid_t *ret_pid)
{
    char folder[LIMIT_PATH_BYTES];
    char socket_path[64];
    char link[64];
    str_format(link, sizeof(link), "/proc/self/fd/%d", ingress->folder_fd);
    ssize_t got = readlink(link, folder, sizeof(folder) - 1);
    if (got <= 0)
        return EIO;
    folder[got] = 0;
    /* A socket's path is short by its nature, a folder's is not: it is named through this process.
     */
    str_format(socket_path, sizeof(socket_path), "/proc/%d/fd/%d/" FILE_SOCKET, (int)getpid(),
               ingress->folder_fd);
    int errors = openat(ingress->folder_fd, FILE_ERRORS,
                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    const char *argv[] = {ingress->program, "-C", folder,      "-D",  "-f",    FILE_CONFIG, "-p",
                          FILE_PID,         "-x", socket_path, "-sf", old_pid, NULL};
    if (old_pid[0] == 0)
        argv[8] = NULL;
    const char *envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t nothing;
    sigset_t all;
    (void)sigemptyset(&nothing);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attributes);
    int why = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (why == 0)
        why = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (why == 0)
        why = errors >= 0 ? posix_spawn_file_actions_adddup2(&files, errors, 2)
                          : posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    if (why == 0)
        why = posix_spawn_file_actions_addclosefrom_np(&files, 3);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSID);
    (void)posix_spawnattr_setsigmask(&attributes, &nothing);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    if (why == 0)
        why = posix_spawn(ret_pid, ingress->program, &files, &attributes,
                          (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    cleanup_close(&errors);
    return why;
}

/* A start that came to nothing. The old one, if there is one, serves on as it is. */
static void failed(struct ingress *ingress, const char *what)
{
    char why[LIMIT_TEXT_BYTES * 2];
    str_format(why, sizeof(why), "HAProxy could not be started: %.400s", what);
    if (!ingress->replacing) {
        process_down(ingress, why);
        return;
    }
    ingress_say(ingress, INGRESS_NOTICE, "%s; the one before goes on", why);
    ingress->stat_first = true;
    if (talk_connect(ingress) == 0)
        ingress->phase = PHASE_READ; /* `replacing` stays: it is not tried again */
    else
        process_down(ingress, why);
}

/* A process id may be another's by now: ours was started for this folder. */
static bool is_ours(const struct ingress *ingress, pid_t pid)
{
    char link[64];
    char folder[LIMIT_PATH_BYTES];
    char line[LIMIT_PATH_BYTES * 3];
    str_format(link, sizeof(link), "/proc/self/fd/%d", ingress->folder_fd);
    ssize_t folder_bytes = readlink(link, folder, sizeof(folder) - 1);
    str_format(link, sizeof(link), "/proc/%d/cmdline", (int)pid);
    CLEANUP(cleanup_close) int fd = open(link, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;
    if (folder_bytes <= 0 || got <= 0)
        return false;
    folder[folder_bytes] = 0;
    line[got] = 0;
    bool after = false;
    for (const char *word = line; word < line + got; word += strlen(word) + 1) {
        if (after && str_equal(word, folder))
            return true;
        after = str_equal(word, "-C");
    }
    return false;
}

static pid_t pid_file(const struct ingress *ingress)
{
    char text[16] = "";
    int64_t pid;
    CLEANUP(cleanup_close)
    int fd = openat(ingress->folder_fd, FILE_PID, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return 0;
    text[strcspn(text, "\n")] = 0;
    return str_to_i64(text, &pid) == 0 && pid > 1 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* The first line in which HAProxy says what stopped it. */
static void last_words(const struct ingress *ingress, char *out, size_t capacity)
{
    char text[4096] = "";
    CLEANUP(cleanup_close)
    int fd = openat(ingress->folder_fd, FILE_ERRORS, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    text[got > 0 ? got : 0] = 0;
    const char *alert = strstr(text, "[ALERT]");
    const char *word = alert != NULL ? strstr(alert, " : ") : NULL;
    word = word != NULL ? word + 3 : text;
    str_format(out, capacity, "%.*s",
               (int)strcspn(word, "\n") > 380 ? 380 : (int)strcspn(word, "\n"),
               word[0] != 0 ? word : "it ended without a word");
}

/* One that is still starting has not become a daemon: it ends, and nothing is left. */
static void starter_end(struct ingress *ingress)
{
    if (ingress->starter_fd >= 0)
        (void)syscall(SYS_pidfd_send_signal, ingress->starter_fd, SIGKILL, NULL, 0);
    starter_forget(ingress);
}

static void starter_forget(struct ingress *ingress)
{
    if (ingress->starter_fd >= 0)
        (void)close(ingress->starter_fd);
    ingress->starter_fd = -1;
}
