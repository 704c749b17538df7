#include "scheduler/cli/prices_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "scheduler/cli/prices_store.h"

#define ARGUMENTS_MAX 20
#define LINE_BYTES    2048
#define TOLD_US       (10 * US_PER_S)

struct run {
    struct prices_fetch *fetch;
    const char *url;
    char *etag;
    bool terminal;
    bool told;
    bool ended; /* the last line came */
    bool came;  /* and a new list */
    int64_t told_us;
    int rc;
    struct error *err;
};

static int program_path(const struct prices_fetch *fetch, char out[LIMIT_PATH_BYTES],
                        struct error *err);
static int start(char *const *arguments, pid_t *ret_pid, int *ret_fd, struct error *err);
static void follow(struct run *run, int fd);
static void on_line(struct run *run, const char *line);
static void on_progress(struct run *run, const char *text);

int prices_fetch(struct prices_fetch *fetch, const char *url, char path[LIMIT_PATH_BYTES],
                 char etag[LIMIT_TEXT_BYTES], struct error *err)
{
    char program[LIMIT_PATH_BYTES];
    char timeout[32];
    int rc = program_path(fetch, program, err);
    if (rc == 0)
        rc = prices_store_feed(fetch->folder, url, path, err);
    if (rc < 0)
        return rc;
    prices_store_etag(path, etag);
    str_format(timeout, sizeof(timeout), "%" PRId64 "us", fetch->timeout_us);
    const char *words[ARGUMENTS_MAX + 1] = {program, "fetch",   url,         "--out",
                                            path,    "--lines", "--timeout", timeout};
    int count = 8;
    const char *const optional[][2] = {{"--etag", etag[0] == 0 ? NULL : etag},
                                       {"--header-file", fetch->key_file},
                                       {"--ca-file", fetch->ca_file}};
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
        if (optional[i][1] == NULL)
            continue;
        words[count++] = optional[i][0];
        words[count++] = optional[i][1];
    }
    pid_t pid = 0;
    int fd = -1;
    rc = start((char *const *)(uintptr_t)words, &pid, &fd, err);
    if (rc < 0)
        return rc;
    struct run run = {.fetch = fetch,
                      .url = url,
                      .etag = etag,
                      .terminal = isatty(STDERR_FILENO) == 1,
                      .told_us = clock_mono_now().us,
                      .err = err};
    follow(&run, fd);
    (void)close(fd);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (run.told && run.terminal)
        (void)fputs("\r\033[K", stderr);
    if (!run.ended)
        return error_set(err, ERR_IO, 0,
                         "%.200s: berth-probe ended without a word (status %d); try: %s fetch URL "
                         "--out FILE",
                         url, status, program);
    /* What is here now is another file than the ETag tells of, until it was read to its end. */
    return run.rc == 0 && run.came ? prices_store_keep_etag(path, "", err) : run.rc;
}

static int program_path(const struct prices_fetch *fetch, char out[LIMIT_PATH_BYTES],
                        struct error *err)
{
    static const char name[] = "berth-probe";
    if (fetch->program != NULL)
        return str_copy(out, LIMIT_PATH_BYTES, fetch->program) < 0
                   ? error_set(err, ERR_LIMIT, 0, "the path of berth-probe is too long")
                   : 0;
    ssize_t bytes = readlink("/proc/self/exe", out, LIMIT_PATH_BYTES - sizeof(name) - 1);
    if (bytes < 0)
        return error_set(err, ERR_IO, errno, "/proc/self/exe: where berth-probe is");
    out[bytes] = 0;
    char *slash = strrchr(out, '/');
    str_format(slash + 1, sizeof(name), "%s", name);
    if (access(out, X_OK) < 0)
        return error_set(err, ERR_NOT_FOUND, errno,
                         "%s fetches price lists; install it there, or give the lists as files",
                         out);
    return 0;
}

static int start(char *const *arguments, pid_t *ret_pid, int *ret_fd, struct error *err)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return error_set(err, ERR_IO, errno, "a pipe to berth-probe");
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        int saved = errno;
        (void)close(pipes[0]);
        (void)close(pipes[1]);
        return error_set(err, ERR_IO, saved, "start berth-probe");
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent || dup2(pipes[1], STDOUT_FILENO) < 0)
            _exit(126);
        (void)execv(arguments[0], arguments);
        _exit(127);
    }
    (void)close(pipes[1]);
    *ret_pid = pid;
    *ret_fd = pipes[0];
    return 0;
}

static void follow(struct run *run, int fd)
{
    char text[LINE_BYTES];
    size_t bytes = 0;
    for (;;) {
        ssize_t got = read(fd, text + bytes, sizeof(text) - 1 - bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        bytes += (size_t)got;
        text[bytes] = 0;
        char *line = text;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = 0;
            on_line(run, line);
        }
        bytes -= (size_t)(line - text);
        memmove(text, line, bytes);
        if (bytes == sizeof(text) - 1)
            return; /* no line of berth-probe is that long */
    }
}

static void on_line(struct run *run, const char *line)
{
    struct prices_fetch *fetch = run->fetch;
    char code[32];
    int at = 0;
    if (str_starts(line, "progress ")) {
        on_progress(run, line + 9);
        return;
    }
    run->ended = true;
    if (str_equal(line, "same")) {
        fetch->unchanged++;
        return;
    }
    int64_t bytes = 0;
    if (sscanf(line, "got %" SCNd64 " %*d %*d %n", &bytes, &at) >= 1 && at > 0) {
        run->came = true;
        fetch->fetched++;
        fetch->bytes += bytes;
        if (str_copy(run->etag, LIMIT_TEXT_BYTES, line + at) < 0)
            run->etag[0] = 0;
    } else if (sscanf(line, "failed %31s %n", code, &at) == 1 && at > 0) {
        int known = error_from_name(code);
        run->rc = error_set(run->err, known == 0 ? ERR_IO : known, 0, "%s", line + at);
    } else {
        run->ended = false;
    }
}

static void on_progress(struct run *run, const char *text)
{
    int64_t bytes = 0;
    int64_t total = -1;
    char sizes[2][UNITS_TEXT_BYTES];
    int64_t now_us = clock_mono_now().us;
    if (run->fetch->quiet || sscanf(text, "%" SCNd64 " %" SCNd64, &bytes, &total) != 2)
        return;
    if (!run->terminal && now_us < run->told_us + TOLD_US)
        return;
    run->told = true;
    run->told_us = now_us;
    bool known = total > 0;
    (void)fprintf(stderr, "%s%.60s: %s%s%s%s", run->terminal ? "\r" : "",
                  strrchr(run->url, '/') == NULL ? run->url : strrchr(run->url, '/') + 1,
                  units_format_bytes(bytes, sizes[0]), known ? " of " : "",
                  known ? units_format_bytes(total, sizes[1]) : "",
                  run->terminal ? "\033[K" : "\n");
    (void)fflush(stderr);
}
