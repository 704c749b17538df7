/*
 * talk: the runtime socket, in its interactive mode: one command at a time, its answer ends with a
 * prompt. A command takes some tens of microseconds there; nothing here waits for it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "executors/ingress/internal.h"

#define OUT_BYTES_MAX (64 << 10)

static void say(struct ingress *ingress, enum word word, const char *text);
static bool flush(struct ingress *ingress);
static bool feed(struct ingress *ingress, const char *bytes, size_t count);
static void take_line(struct ingress *ingress);
static void take_end(struct ingress *ingress);

int talk_connect(struct ingress *ingress)
{
    struct talk *talk = &ingress->talk;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    talk_close(ingress);
    str_format(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" FILE_SOCKET,
               ingress->folder_fd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        ingress_watch(ingress, fd, WATCH_TALK, 0, EPOLLIN) < 0) {
        int why = errno;
        (void)close(fd);
        return -why;
    }
    talk->fd = fd;
    say(ingress, WORD_PROMPT, "prompt\n");
    return 0;
}

void talk_close(struct ingress *ingress)
{
    struct talk *talk = &ingress->talk;
    if (talk->fd >= 0)
        (void)close(talk->fd);
    talk->fd = -1;
    talk->word = WORD_NONE;
    talk->bytes = talk->sent = 0;
    talk->overlong = false;
    talk->answer_bytes = 0;
    talk->answer[0] = 0;
    talk->deadline = INT64_MAX;
    strbuf_reset(&talk->out);
}

void talk_io(struct ingress *ingress, unsigned events)
{
    struct talk *talk = &ingress->talk;
    char bytes[16384];
    if (talk->fd < 0)
        return;
    if ((events & EPOLLOUT) != 0 && !flush(ingress))
        return;
    ssize_t got = recv(talk->fd, bytes, sizeof(bytes), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        process_down(ingress, "HAProxy has ended, or closed its runtime socket");
    else if (feed(ingress, bytes, (size_t)got))
        talk_next(ingress);
}

void talk_tick(struct ingress *ingress, int64_t now)
{
    if (ingress->talk.fd >= 0 && ingress->talk.word != WORD_NONE && ingress->talk.deadline <= now)
        process_down(ingress, "HAProxy does not answer on its runtime socket");
}

void talk_next(struct ingress *ingress)
{
    struct talk *talk = &ingress->talk;
    struct strbuf text;
    if (talk->fd < 0 || talk->word != WORD_NONE || ingress->phase != PHASE_UP)
        return;
    if (ingress->read_again) {
        ingress->read_again = false;
        sync_forget(ingress);
        say(ingress, WORD_SERVERS, "show servers state\n");
        return;
    }
    if (sync_next(ingress, ingress_now(), &talk->change)) {
        strbuf_init(&text, OUT_BYTES_MAX);
        sync_write(&talk->change, &text);
        say(ingress, WORD_CHANGE, strbuf_text(&text));
        strbuf_done(&text);
        return;
    }
    if (ingress->up_since == 0) {
        ingress->up_since = ingress_now();
        ingress_say(ingress, INGRESS_UP, "HAProxy %d serves %s", (int)ingress->pid, ingress->url);
    }
    if (talk->fd < 0 || talk->word != WORD_NONE)
        return;
    if (ingress->cert_pending != NULL) {
        strbuf_init(&text, OUT_BYTES_MAX);
        strbuf_printf(&text, "set ssl cert " FILE_CERT " <<\n%s\n", ingress->cert_pending);
        say(ingress, WORD_CERT_SET, strbuf_text(&text));
        strbuf_done(&text);
    } else if (ingress->stat_wanted) {
        ingress->stat_wanted = false;
        metrics_stat_begin(ingress);
        say(ingress, WORD_STAT, "show stat -1 4 -1\n");
    }
}

static void say(struct ingress *ingress, enum word word, const char *text)
{
    struct talk *talk = &ingress->talk;
    strbuf_reset(&talk->out);
    strbuf_puts(&talk->out, text);
    talk->sent = 0;
    talk->word = word;
    talk->answer_bytes = 0;
    talk->answer[0] = 0;
    talk->deadline = ingress_now() + INGRESS_WORD_US;
    (void)flush(ingress);
}

/* False when the conversation ended over it. */
static bool flush(struct ingress *ingress)
{
    struct talk *talk = &ingress->talk;
    while (talk->sent < talk->out.bytes) {
        ssize_t put =
            send(talk->fd, talk->out.text + talk->sent, talk->out.bytes - talk->sent, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            break; /* full: EPOLLOUT tells; broken: the read that follows says so */
        talk->sent += (size_t)put;
    }
    unsigned events = talk->sent < talk->out.bytes ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (ingress_rewatch(ingress, talk->fd, WATCH_TALK, 0, events) < 0) {
        process_down(ingress, "the runtime socket of HAProxy cannot be watched");
        return false;
    }
    return true;
}

/* False when the conversation is over. */
static bool feed(struct ingress *ingress, const char *bytes, size_t count)
{
    struct talk *talk = &ingress->talk;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            talk->line[talk->bytes] = 0;
            if (!talk->overlong)
                take_line(ingress);
            talk->bytes = 0;
            talk->overlong = false;
        } else if (talk->bytes + 1 < sizeof(talk->line)) {
            talk->line[talk->bytes++] = bytes[i];
        } else {
            talk->overlong = true;
        }
        /* A prompt has no end of line, and nothing follows it: one command at a time. */
        if (i + 1 == count && talk->bytes == 2 && memcmp(talk->line, "> ", 2) == 0) {
            talk->bytes = 0;
            take_end(ingress);
            return talk->fd >= 0;
        }
    }
    return true;
}

static void take_line(struct ingress *ingress)
{
    struct talk *talk = &ingress->talk;
    struct answer_server server;
    struct answer_entry entry;
    int64_t pid;
    int slot;
    char *line = talk->line;
    switch (talk->word) {
    case WORD_INFO:
        if (answer_pid(line, &pid) > 0)
            str_format(talk->answer, sizeof(talk->answer), "%lld", (long long)pid);
        return;
    case WORD_SERVERS:
        if (answer_server(line, &server) > 0)
            sync_server(ingress, &server);
        return;
    case WORD_MAP:
        if (answer_entry(line, &entry) > 0)
            sync_entry(ingress, &entry);
        return;
    case WORD_HELD:
        if (answer_held(line, &slot) > 0)
            sync_held(ingress, slot);
        return;
    case WORD_STAT:
        metrics_stat_line(ingress, line);
        return;
    case WORD_NONE:
    case WORD_PROMPT:
    case WORD_CHANGE:
    case WORD_CERT_SET:
    case WORD_CERT_COMMIT:
        break;
    }
    while (str_starts(line, "+ ")) /* it asks so for each line of a certificate */
        line += 2;
    size_t left = sizeof(talk->answer) - talk->answer_bytes;
    size_t bytes = strlen(line);
    if (bytes == 0 || left < bytes + 2)
        return; /* what was said first says what is wrong */
    if (talk->answer_bytes > 0)
        talk->answer[talk->answer_bytes++] = ' ';
    memcpy(talk->answer + talk->answer_bytes, line, bytes + 1);
    talk->answer_bytes += bytes;
}

static void take_end(struct ingress *ingress)
{
    struct talk *talk = &ingress->talk;
    enum word word = talk->word;
    int64_t pid;
    talk->word = WORD_NONE;
    talk->deadline = INT64_MAX;
    switch (word) {
    case WORD_NONE:
        return;
    case WORD_PROMPT:
        say(ingress, WORD_INFO, "show info\n");
        return;
    case WORD_INFO:
        if (str_to_i64(talk->answer, &pid) < 0) {
            process_down(ingress, "what answers on the runtime socket is no HAProxy");
        } else if (process_adopted(ingress, pid)) {
            sync_forget(ingress);
            say(ingress, WORD_SERVERS, "show servers state\n");
        }
        return;
    case WORD_SERVERS:
        say(ingress, WORD_MAP, "show map " FILE_MAP "\n");
        return;
    case WORD_MAP:
        if (ingress->options.hold_us > 0) {
            say(ingress, WORD_HELD, "show map " FILE_HELD "\n");
            return;
        }
        ingress->phase = PHASE_UP;
        sync_begin(ingress);
        return;
    case WORD_HELD:
        ingress->phase = PHASE_UP;
        sync_begin(ingress);
        return;
    case WORD_CHANGE: {
        struct change change = talk->change;
        sync_done(ingress, &change, talk->answer);
        return;
    }
    case WORD_STAT:
        metrics_stat_end(ingress);
        return;
    case WORD_CERT_SET:
        if (strstr(talk->answer, "Transaction created") != NULL ||
            strstr(talk->answer, "Transaction updated") != NULL)
            say(ingress, WORD_CERT_COMMIT, "commit ssl cert " FILE_CERT "\n");
        else
            cert_answered(ingress, word, talk->answer);
        return;
    case WORD_CERT_COMMIT:
        cert_answered(ingress, word, talk->answer);
        return;
    }
}
