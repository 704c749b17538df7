#include "tests/live/by_hand.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"

static bool next_line(struct by_hand *self, int64_t until_us, char line[8192]);
static void run(const struct by_hand *self, const struct by_hand_options *options);

void by_hand_start(struct by_hand *self, const char *within, const struct by_hand_options *options)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static int number;
    char here[1024];
    *self = (struct by_hand){.fd = -1};
    str_format(self->instance, sizeof self->instance, "%s", options->instance);
    str_format(self->folder, sizeof self->folder, "%s/%s-%d", within, options->instance, ++number);
    assert_int_equal(mkdir(self->folder, 0700), 0);
    /* A socket's name has 107 letters at most: it is bound from its own folder. */
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(self->folder), 0);
    str_format(address.sun_path, sizeof address.sun_path, "./berth.sock");
    self->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = bind(self->listener, (const struct sockaddr *)&address, sizeof address);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(listen(self->listener, 8), 0);
    pid_t parent = getpid();
    self->pid = fork();
    assert_true(self->pid >= 0);
    if (self->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            run(self, options);
        _exit(126);
    }
    by_hand_hear(self, "ready", NULL, 0);
}

void by_hand_say(struct by_hand *self, const char *format, ...)
{
    char line[8192];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    assert_in_range(bytes, 1, sizeof line - 2);
    line[bytes++] = '\n';
    assert_true(self->fd >= 0);
    assert_int_equal(send(self->fd, line, (size_t)bytes, MSG_NOSIGNAL), bytes);
}

void by_hand_hear(struct by_hand *self, const char *word, char *rest, size_t capacity)
{
    char line[8192];
    int64_t until_us = clock_mono_now().us + BY_HAND_WAIT_US;
    size_t bytes = strlen(word);
    while (next_line(self, until_us, line)) {
        if (str_starts(line, "failed"))
            fail_msg("%s: %s, %s was waited for; see %s/log", self->instance, line, word,
                     self->folder);
        if (!str_starts(line, word) || (line[bytes] != 0 && line[bytes] != ' '))
            continue;
        if (rest != NULL)
            str_format(rest, capacity, "%s", line + bytes + (line[bytes] == ' '));
        return;
    }
    fail_msg("%s does not say %s", self->instance, word);
}

bool by_hand_hears(struct by_hand *self, const char *word, int64_t limit_us)
{
    char line[8192];
    int64_t until_us = clock_mono_now().us + limit_us;
    size_t bytes = strlen(word);
    while (next_line(self, until_us, line))
        if (str_starts(line, word) && (line[bytes] == 0 || line[bytes] == ' '))
            return true;
    return false;
}

void by_hand_done(struct by_hand *self)
{
    if (self->pid > 0) {
        kill(self->pid, SIGKILL);
        waitpid(self->pid, NULL, 0);
        close(self->listener);
        if (self->fd >= 0)
            close(self->fd);
    }
    *self = (struct by_hand){.fd = -1};
}

/* False when the time is over. */
static bool next_line(struct by_hand *self, int64_t until_us, char line[8192])
{
    for (;;) {
        char *end = memchr(self->words, '\n', self->bytes);
        if (end != NULL) {
            size_t bytes = (size_t)(end - self->words);
            memcpy(line, self->words, bytes);
            line[bytes] = 0;
            self->bytes -= bytes + 1;
            memmove(self->words, end + 1, self->bytes);
            return true;
        }
        int64_t left_us = until_us - clock_mono_now().us;
        struct pollfd fd = {.fd = self->fd >= 0 ? self->fd : self->listener, .events = POLLIN};
        if (left_us <= 0)
            return false;
        if (poll(&fd, 1, (int)(left_us / US_PER_MS) + 1) <= 0)
            continue;
        if (self->fd < 0) {
            self->fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
            continue;
        }
        ssize_t got = recv(self->fd, self->words + self->bytes, sizeof self->words - self->bytes,
                           MSG_DONTWAIT);
        if (got <= 0) {
            close(self->fd);
            self->fd = -1;
            return false;
        }
        self->bytes += (size_t)got;
    }
}

static void run(const struct by_hand *self, const struct by_hand_options *options)
{
    int log = open("/dev/null", O_WRONLY);
    if (chdir(self->folder) == 0)
        log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    setenv("BERTH_SOCKET", "./berth.sock", 1);
    setenv("BERTH_INSTANCE", self->instance, 1);
    if (options->nats_url != NULL)
        setenv("BERTH_NATS_URL", options->nats_url, 1);
    if (options->address != NULL)
        setenv("BERTH_ADDRESS", options->address, 1);
    execv(options->argv[0], (char *const *)(uintptr_t)options->argv);
}
