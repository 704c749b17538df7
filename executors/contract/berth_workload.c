#include "executors/contract/berth_workload.h"

/* Copied into programs of others as it is: libc only, nothing of this project's base. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_BYTES 4608
#define SEND_MS    1000 /* a word that Berth's side does not take within this fails */

struct berth_workload {
    int fd; /* -1: without Berth, or between two connections */
    struct sockaddr_un address;
    bool is_ready; /* said again on a new connection: the other side may have forgotten */
    char line[LINE_BYTES];
    size_t bytes;
    int round; /* of what was told last, like the texts below */
    char epoch[48];
    char path[256];
    char handed[BERTH_HANDED_BYTES + 1];
};

static int reach(struct berth_workload *workload);
static void lose(struct berth_workload *workload);
static int say(struct berth_workload *workload, const char *text, size_t bytes);
static enum berth_told next_told(struct berth_workload *workload, int64_t *deadline_ms);
static enum berth_told parse(struct berth_workload *workload, const char *line,
                             int64_t *deadline_ms);
static bool take_word(const char **rest, char *out, size_t capacity);
static bool take_number(const char **rest, int64_t *ret_value);
static int say_round(struct berth_workload *workload, const char *word, int round);

struct berth_workload *berth_workload_open(void)
{
    struct berth_workload *workload = calloc(1, sizeof(*workload));
    if (workload == NULL)
        return NULL;
    workload->fd = -1;
    const char *path = getenv("BERTH_SOCKET");
    if (path == NULL || path[0] == 0)
        return workload;
    if (strlen(path) >= sizeof(workload->address.sun_path)) {
        free(workload);
        errno = ENAMETOOLONG;
        return NULL;
    }
    workload->address.sun_family = AF_UNIX;
    memcpy(workload->address.sun_path, path, strlen(path) + 1);
    if (reach(workload) < 0) {
        int why = errno;
        free(workload);
        errno = why;
        return NULL;
    }
    return workload;
}

void berth_workload_close(struct berth_workload *workload)
{
    if (workload == NULL)
        return;
    if (workload->fd >= 0)
        (void)close(workload->fd);
    free(workload);
}

int berth_workload_fd(const struct berth_workload *workload)
{
    return workload->fd;
}

const char *berth_workload_epoch(const struct berth_workload *workload)
{
    return workload->epoch;
}

const char *berth_workload_handed(const struct berth_workload *workload)
{
    return workload->handed;
}

const char *berth_workload_path(const struct berth_workload *workload)
{
    return workload->path;
}

int berth_workload_round(const struct berth_workload *workload)
{
    return workload->round;
}

enum berth_told berth_workload_poll(struct berth_workload *workload, int64_t *deadline_ms)
{
    int64_t ignored;
    if (deadline_ms == NULL)
        deadline_ms = &ignored;
    if (workload->address.sun_family == 0)
        return BERTH_NOTHING;
    for (;;) {
        enum berth_told told = next_told(workload, deadline_ms);
        if (told != BERTH_NOTHING)
            return told;
        if (workload->fd < 0 && reach(workload) < 0)
            return BERTH_NOTHING;
        if (workload->bytes == sizeof(workload->line))
            workload->bytes = 0; /* a line past the limit is nothing that we know */
        ssize_t got = recv(workload->fd, workload->line + workload->bytes,
                           sizeof(workload->line) - workload->bytes, MSG_DONTWAIT);
        if (got > 0) {
            workload->bytes += (size_t)got;
            continue;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            lose(workload);
        return BERTH_NOTHING;
    }
}

int berth_workload_ready(struct berth_workload *workload)
{
    workload->is_ready = true;
    return say(workload, "ready\n", 6);
}

int berth_workload_drained(struct berth_workload *workload)
{
    workload->is_ready = false;
    return say(workload, "drained\n", 8);
}

int berth_workload_resumed(struct berth_workload *workload)
{
    workload->is_ready = true;
    return say(workload, "resumed\n", 8);
}

int berth_workload_count(struct berth_workload *workload, const char *name, int64_t total)
{
    char text[LINE_BYTES];
    int bytes = snprintf(text, sizeof(text), "count %s %" PRId64 "\n", name, total);
    if (bytes < 0 || (size_t)bytes >= sizeof(text)) {
        errno = EINVAL;
        return -1;
    }
    return say(workload, text, (size_t)bytes);
}

int berth_workload_owned(struct berth_workload *workload)
{
    return say(workload, "owned\n", 6);
}

int berth_workload_frozen(struct berth_workload *workload, const char *handed)
{
    char text[LINE_BYTES];
    bool some = handed != NULL && handed[0] != 0;
    for (const char *at = handed; some && *at != 0; at++) {
        if (*at > ' ' && *at <= '~' && at - handed < BERTH_HANDED_BYTES)
            continue;
        errno = EINVAL;
        return -1;
    }
    int bytes = snprintf(text, sizeof(text), "frozen%s%s\n", some ? " " : "", some ? handed : "");
    return say(workload, text, (size_t)bytes);
}

int berth_workload_snapshotted(struct berth_workload *workload, int round)
{
    return say_round(workload, "snapshotted", round);
}

int berth_workload_restored(struct berth_workload *workload, int round)
{
    return say_round(workload, "restored", round);
}

int berth_workload_failed(struct berth_workload *workload, const char *why)
{
    char text[256];
    int bytes = snprintf(text, sizeof(text) - 1, "failed %s", why == NULL ? "" : why);
    if (bytes < 0 || (size_t)bytes >= sizeof(text) - 1)
        bytes = (int)sizeof(text) - 2;
    for (int i = 0; i < bytes; i++)
        if (text[i] == '\n')
            text[i] = ' '; /* it is one line */
    text[bytes] = '\n';
    return say(workload, text, (size_t)bytes + 1);
}

static int say_round(struct berth_workload *workload, const char *word, int round)
{
    char text[64];
    int bytes = snprintf(text, sizeof(text), "%s %d\n", word, round);
    return say(workload, text, (size_t)bytes);
}

static int reach(struct berth_workload *workload)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&workload->address, sizeof(workload->address)) < 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    workload->fd = fd;
    workload->bytes = 0;
    if (workload->is_ready)
        (void)say(workload, "ready\n", 6);
    return 0;
}

static void lose(struct berth_workload *workload)
{
    (void)close(workload->fd);
    workload->fd = -1;
    workload->bytes = 0;
}

/* Whole or not at all as far as the caller sees: a line cut by a lost connection is worth nothing
 * to the other side, which reads line by line. Never raises SIGPIPE. */
static int say(struct berth_workload *workload, const char *text, size_t bytes)
{
    if (workload->address.sun_family == 0)
        return 0;
    if (workload->fd < 0 && reach(workload) < 0)
        return -1;
    while (bytes > 0) {
        ssize_t sent = send(workload->fd, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            text += sent;
            bytes -= (size_t)sent;
            continue;
        }
        if (errno == EINTR)
            continue;
        struct pollfd room = {.fd = workload->fd, .events = POLLOUT};
        if ((errno == EAGAIN || errno == EWOULDBLOCK) && poll(&room, 1, SEND_MS) > 0)
            continue;
        int why = errno == EAGAIN ? ETIMEDOUT : errno;
        lose(workload);
        errno = why;
        return -1;
    }
    return 0;
}

static enum berth_told next_told(struct berth_workload *workload, int64_t *deadline_ms)
{
    char *end;
    while ((end = memchr(workload->line, '\n', workload->bytes)) != NULL) {
        *end = 0;
        enum berth_told told = parse(workload, workload->line, deadline_ms);
        size_t used = (size_t)(end - workload->line) + 1;
        workload->bytes -= used;
        memmove(workload->line, workload->line + used, workload->bytes);
        if (told != BERTH_NOTHING)
            return told; /* a word from a newer Berth is passed over */
    }
    return BERTH_NOTHING;
}

static enum berth_told parse(struct berth_workload *workload, const char *line,
                             int64_t *deadline_ms)
{
    static const struct {
        const char *word;
        enum berth_told told;
    } words[] = {{"drain ", BERTH_DRAIN},       {"stop ", BERTH_STOP},
                 {"freeze ", BERTH_FREEZE},     {"own ", BERTH_OWN},
                 {"snapshot ", BERTH_SNAPSHOT}, {"restore ", BERTH_RESTORE}};
    *deadline_ms = 0;
    if (strcmp(line, "resume") == 0)
        return BERTH_RESUME;
    enum berth_told told = BERTH_NOTHING;
    const char *rest = line;
    for (size_t i = 0; told == BERTH_NOTHING && i < sizeof(words) / sizeof(words[0]); i++)
        if (strncmp(line, words[i].word, strlen(words[i].word)) == 0) {
            told = words[i].told;
            rest = line + strlen(words[i].word);
        }
    int64_t number = 0;
    char epoch[sizeof(workload->epoch)] = "";
    char path[sizeof(workload->path)] = "";
    char handed[sizeof(workload->handed)] = "";
    bool fine = told == BERTH_OWN ? take_word(&rest, epoch, sizeof(epoch)) && epoch[0] != 0
                                  : take_number(&rest, &number);
    if (told == BERTH_OWN)
        fine = fine && take_word(&rest, handed, sizeof(handed));
    else if (told == BERTH_FREEZE || told == BERTH_SNAPSHOT || told == BERTH_RESTORE)
        fine = fine && take_word(&rest, path, sizeof(path));
    bool files = told == BERTH_SNAPSHOT || told == BERTH_RESTORE;
    if (files && (path[0] == 0 || number < 1 || number > INT32_MAX))
        fine = false;
    if (told == BERTH_NOTHING || !fine || *rest != 0)
        return BERTH_NOTHING;
    *deadline_ms = files || told == BERTH_OWN ? 0 : number;
    workload->round = files ? (int)number : 0;
    memcpy(workload->epoch, epoch, sizeof(epoch));
    memcpy(workload->path, path, sizeof(path));
    memcpy(workload->handed, handed, sizeof(handed));
    return told;
}

/* Up to the next blank, which is passed over; "" at the end of the line. */
static bool take_word(const char **rest, char *out, size_t capacity)
{
    size_t bytes = strcspn(*rest, " ");
    if (bytes >= capacity)
        return false;
    memcpy(out, *rest, bytes);
    out[bytes] = 0;
    *rest += bytes;
    if (**rest == ' ')
        (*rest)++;
    return true;
}

static bool take_number(const char **rest, int64_t *ret_value)
{
    char word[24];
    char *end;
    if (!take_word(rest, word, sizeof(word)) || word[0] == 0)
        return false;
    errno = 0;
    long long value = strtoll(word, &end, 10);
    if (errno != 0 || *end != 0 || value < 0)
        return false;
    *ret_value = value;
    return true;
}
