/*
 * talk: the shim's three kinds of peers: the agent, the workload's connections, its output.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "executors/shim/shim.h"

static int listen_at(const char *name, struct error *err);
static bool read_peer(struct shim_peer *peer, lines_handler *handler, void *context);
static void agent_line(void *context, const char *text, size_t bytes, bool end);
static void pass_on(struct shim *shim, const char *line);
static void set_lease(struct shim *shim, const char *until);
static void answered(struct shim *shim, const struct contract_line *line);
static void work_line(void *context, const char *text, size_t bytes, bool end);
static void stream_line(struct shim *shim, int index, const char *text, size_t bytes);
static void stdout_line(void *context, const char *text, size_t bytes, bool end);
static void stderr_line(void *context, const char *text, size_t bytes, bool end);
static void tell_work(struct shim *shim, const char *line);
static void close_peer(struct shim_peer *peer);
static void queue(struct shim *shim, const char *text, size_t bytes);

int talk_listen(struct shim *shim, struct error *err)
{
    shim->agent_listen = listen_at(START_AGENT_SOCK, err);
    if (shim->agent_listen < 0)
        return shim->agent_listen;
    shim->work_listen = listen_at(START_WORK_SOCK, err);
    return shim->work_listen < 0 ? shim->work_listen : 0;
}

void talk_accept_agent(struct shim *shim)
{
    int fd = accept4(shim->agent_listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    /* The latest agent is the agent: two never run (they lock their folder). */
    close_peer(&shim->agent);
    shim->agent.fd = fd;
    lines_init(&shim->agent.lines, shim->agent.buffer, sizeof(shim->agent.buffer));
    strbuf_reset(&shim->out);
    shim->out_sent = 0;
    talk_say(shim, "adopt %s %d %s %" PRId64 " %d %" PRId64, shim->ended ? "ended" : "running",
             shim->exit_code, shim->last_word, shim->start.life, (int)shim->pid, shim->lease_us);
    if (shim->answer[0] != 0)
        talk_say(shim, "%s", shim->answer);
    for (int i = SAMPLE_REQUESTS; i <= SAMPLE_LATENCY_US_SUM; i++)
        if (shim->counted[i])
            talk_say(shim, "count %s %" PRId64, sample_kind_words[i], shim->counters[i]);
    talk_flush(shim);
}

void talk_accept_work(struct shim *shim)
{
    int fd = accept4(shim->work_listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (int i = 0; i < SHIM_CONNECTIONS; i++) {
        struct shim_peer *peer = &shim->work[i];
        if (peer->fd >= 0)
            continue;
        peer->fd = fd;
        lines_init(&peer->lines, peer->buffer, sizeof(peer->buffer));
        if (shim->told[0] != 0)
            (void)send(fd, shim->told, strlen(shim->told), MSG_NOSIGNAL);
        if (shim->task[0] != 0)
            (void)send(fd, shim->task, strlen(shim->task), MSG_NOSIGNAL);
        return;
    }
    (void)close(fd); /* more connections than a workload needs */
}

void talk_read_agent(struct shim *shim)
{
    if (!read_peer(&shim->agent, agent_line, shim))
        close_peer(&shim->agent);
}

void talk_read_work(struct shim *shim, int index)
{
    if (!read_peer(&shim->work[index], work_line, shim))
        close_peer(&shim->work[index]);
}

void talk_read_stream(struct shim *shim, int index, bool last)
{
    struct shim_stream *stream = &shim->streams[index];
    lines_handler *handler = index == 0 ? stdout_line : stderr_line;
    while (stream->fd >= 0) {
        size_t room;
        char *at = lines_room(&stream->lines, &room);
        ssize_t got = read(stream->fd, at, room);
        if (got > 0) {
            logfile_write(&stream->log, at, (size_t)got);
            lines_take(&stream->lines, (size_t)got, handler, shim);
            if (last)
                continue;
            return;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN && !last)
            return;
        lines_finish(&stream->lines, handler, shim);
        (void)close(stream->fd);
        stream->fd = -1;
    }
}

void talk_say(struct shim *shim, const char *format, ...)
{
    char line[LIMIT_SOCKET_LINE + 64];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (bytes < 0)
        return;
    size_t length = strlen(line);
    line[length] = '\n';
    queue(shim, line, length + 1);
}

void talk_flush(struct shim *shim)
{
    while (shim->agent.fd >= 0 && shim->out_sent < shim->out.bytes) {
        ssize_t sent = send(shim->agent.fd, shim->out.text + shim->out_sent,
                            shim->out.bytes - shim->out_sent, MSG_NOSIGNAL);
        if (sent > 0) {
            shim->out_sent += (size_t)sent;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            close_peer(&shim->agent);
        }
    }
    if (shim->out_sent == shim->out.bytes) {
        strbuf_reset(&shim->out);
        shim->out_sent = 0;
    }
    if (shim->lines_lost > 0 && shim->out.bytes == 0 && shim->agent.fd >= 0) {
        uint64_t lost = shim->lines_lost;
        shim->lines_lost = 0;
        talk_say(shim, "lost %" PRIu64, lost);
        talk_flush(shim);
    }
}

/* The name is relative to the instance's folder, where the shim is: its full path may be longer
 * than a socket's address can be. */
static int listen_at(const char *name, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (str_copy(address.sun_path, sizeof(address.sun_path), name) < 0)
        return error_set(err, ERR_LIMIT, 0, "socket '%s': the name is too long", name);
    (void)unlink(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 16) < 0) {
        int why = errno;
        if (fd >= 0)
            (void)close(fd);
        return error_set(err, ERR_IO, why, "listen at '%s'", name);
    }
    return fd;
}

/* False when the peer is gone. */
static bool read_peer(struct shim_peer *peer, lines_handler *handler, void *context)
{
    size_t room;
    char *at = lines_room(&peer->lines, &room);
    ssize_t got = recv(peer->fd, at, room, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    lines_take(&peer->lines, (size_t)got, handler, context);
    return true;
}

static void agent_line(void *context, const char *text, size_t bytes, bool end)
{
    struct shim *shim = context;
    char line[LIMIT_SOCKET_LINE];
    if (!end || bytes >= sizeof(line) - 1)
        return;
    memcpy(line, text, bytes);
    line[bytes] = 0;
    if (str_equal(line, "collected")) {
        shim->collected = true;
    } else if (str_equal(line, "kill")) {
        workload_kill(shim);
    } else if (str_equal(line, "term")) {
        if (shim->pid > 0)
            (void)kill(shim->pid, SIGTERM);
    } else if (str_starts(line, "lease ")) {
        set_lease(shim, line + 6);
    } else {
        pass_on(shim, line);
    }
}

/* What the workload is told; what stands is kept for a connection that is made anew. */
static void pass_on(struct shim *shim, const char *line)
{
    if (str_equal(line, "resume")) {
        shim->told[0] = 0;
        tell_work(shim, "resume\n");
        return;
    }
    if (str_starts(line, "snapshot ") || str_starts(line, "restore ")) {
        shim->answer[0] = 0;
        if (strlen(line) + 2 > sizeof(shim->task))
            return;
        str_format(shim->task, sizeof(shim->task), "%s\n", line);
        tell_work(shim, shim->task);
        return;
    }
    bool own = str_starts(line, "own ");
    bool freeze = str_starts(line, "freeze ");
    bool stop = str_starts(line, "stop ");
    if (!own && !freeze && !stop && !str_starts(line, "drain "))
        return; /* a word of a newer agent */
    if (own && shim->lease_us != 0 && clock_boot_now().us >= shim->lease_us) {
        talk_say(shim, "failed the lease has ended");
        return;
    }
    if (own || freeze) {
        shim->answer[0] = 0;
        shim->task[0] = 0;
    }
    shim->owns = shim->owns || own;
    shim->owning = shim->owning || own;
    str_format(shim->told, sizeof(shim->told), "%s\n", line);
    bool heard = false;
    for (int i = 0; i < SHIM_CONNECTIONS; i++)
        heard = heard || shim->work[i].fd >= 0;
    tell_work(shim, shim->told);
    /* A workload that does not listen on its socket still knows this signal. */
    if (!heard && stop && shim->pid > 0)
        (void)kill(shim->pid, SIGTERM);
}

static void set_lease(struct shim *shim, const char *until)
{
    int64_t until_us;
    if (str_to_i64(until, &until_us) < 0 || until_us < 0)
        return;
    shim->lease_us = until_us;
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(until_us / US_PER_S),
                                         .tv_nsec = (long)(until_us % US_PER_S) * 1000}};
    (void)timerfd_settime(shim->lease_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void talk_lease(struct shim *shim)
{
    uint64_t times;
    ssize_t ignored = read(shim->lease_fd, &times, sizeof(times));
    if (ignored < 0 || shim->lease_us == 0 || clock_boot_now().us < shim->lease_us || !shim->owns ||
        shim->ended)
        return; /* renewed meanwhile, or nothing owns */
    talk_say(shim, "log 2 berth: the lease has ended and it had not said frozen: killed");
    workload_kill(shim);
}

static void work_line(void *context, const char *text, size_t bytes, bool end)
{
    struct shim *shim = context;
    struct contract_line line;
    if (!end || contract_line_parse(text, bytes, &line, NULL) < 0) {
        talk_say(shim, "log 2 berth: a line on $BERTH_SOCKET was not understood");
        return;
    }
    switch (line.word) {
    case CONTRACT_READY:
        str_format(shim->last_word, sizeof(shim->last_word), "ready");
        talk_say(shim, "ready");
        return;
    case CONTRACT_RESUMED:
        str_format(shim->last_word, sizeof(shim->last_word), "ready");
        talk_say(shim, "resumed");
        return;
    case CONTRACT_DRAINED:
        str_format(shim->last_word, sizeof(shim->last_word), "drained");
        talk_say(shim, "drained");
        return;
    case CONTRACT_COUNT:
        shim->counters[line.counter] = line.total;
        shim->counted[line.counter] = true;
        talk_say(shim, "count %s %" PRId64, sample_kind_words[line.counter], line.total);
        return;
    case CONTRACT_FROZEN:
    case CONTRACT_OWNED:
    case CONTRACT_SNAPSHOTTED:
    case CONTRACT_RESTORED:
    case CONTRACT_FAILED:
        answered(shim, &line);
        return;
    }
}

static void answered(struct shim *shim, const struct contract_line *line)
{
    size_t room = sizeof(shim->answer);
    switch (line->word) {
    case CONTRACT_FROZEN:
        if (shim->owning)
            return; /* the answer to a freeze that was taken back */
        shim->owns = false;
        str_format(shim->answer, room, "frozen%s%s", line->text[0] != 0 ? " " : "", line->text);
        break;
    case CONTRACT_OWNED:
        shim->owning = false;
        str_format(shim->answer, room, "owned");
        break;
    case CONTRACT_SNAPSHOTTED:
    case CONTRACT_RESTORED:
        shim->task[0] = 0;
        str_format(shim->answer, room, "%s %d",
                   line->word == CONTRACT_RESTORED ? "restored" : "snapshotted", line->round);
        break;
    case CONTRACT_READY:
    case CONTRACT_DRAINED:
    case CONTRACT_RESUMED:
    case CONTRACT_COUNT:
    case CONTRACT_FAILED:
        shim->owning = false;
        shim->task[0] = 0;
        str_format(shim->answer, room, "failed %s", line->text);
        break;
    }
    talk_say(shim, "%s", shim->answer);
}

static void stdout_line(void *context, const char *text, size_t bytes, bool end)
{
    (void)end;
    stream_line(context, 0, text, bytes);
}

static void stderr_line(void *context, const char *text, size_t bytes, bool end)
{
    (void)end;
    stream_line(context, 1, text, bytes);
}

static void stream_line(struct shim *shim, int index, const char *text, size_t bytes)
{
    if (shim->agent.fd < 0)
        return; /* it is on disk */
    if (shim->out.bytes - shim->out_sent > SHIM_BACKLOG) {
        shim->lines_lost++;
        return;
    }
    queue(shim, index == 0 ? "log 1 " : "log 2 ", 6);
    queue(shim, text, bytes);
    queue(shim, "\n", 1);
}

static void tell_work(struct shim *shim, const char *line)
{
    for (int i = 0; i < SHIM_CONNECTIONS; i++)
        if (shim->work[i].fd >= 0)
            (void)send(shim->work[i].fd, line, strlen(line), MSG_NOSIGNAL);
}

static void close_peer(struct shim_peer *peer)
{
    if (peer->fd >= 0)
        (void)close(peer->fd);
    peer->fd = -1;
}

static void queue(struct shim *shim, const char *text, size_t bytes)
{
    if (shim->agent.fd < 0)
        return;
    if (shim->out_sent > SHIM_BACKLOG / 2) {
        shim->out.bytes -= shim->out_sent;
        memmove(shim->out.text, shim->out.text + shim->out_sent, shim->out.bytes + 1);
        shim->out_sent = 0;
    }
    strbuf_append(&shim->out, text, bytes);
    if (shim->out.broken) {
        /* An agent that has not read a megabyte of words is no agent: the next one asks anew. */
        close_peer(&shim->agent);
        strbuf_done(&shim->out);
        strbuf_init(&shim->out, SHIM_BACKLOG_MAX);
        shim->out_sent = 0;
    }
}
