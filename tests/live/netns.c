#include "tests/live/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

static bool hear(struct netns *netns, const char *word);
static void tell(struct netns *netns, const char *line);

bool netns_open(struct netns *netns)
{
    static int number;
    int to[2], from[2];
    char program[1024], device[16];
    *netns = (struct netns){0};
    /* One of 16,384 pairs of addresses: clusters at one time are of different programs. */
    int place = (int)((unsigned)getpid() * 4 + (unsigned)number) & 0x3fff;
    str_format(netns->near, sizeof netns->near, "10.%d.%d.%d", 192 + (place >> 12),
               (place >> 4) & 0xff, ((place & 15) << 2) + 1);
    str_format(netns->far, sizeof netns->far, "10.%d.%d.%d", 192 + (place >> 12),
               (place >> 4) & 0xff, ((place & 15) << 2) + 2);
    str_format(device, sizeof device, "bw%d-%d", (int)getpid() % 1000000, number++ % 1000);
    str_format(program, sizeof program, "%s/bin/test-wire", BERTH_BINARY_DIR);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    netns->pid = fork();
    assert_true(netns->pid >= 0);
    if (netns->pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execl(program, program, netns->near, netns->far, device, (char *)NULL);
        _exit(126);
    }
    close(to[0]);
    close(from[1]);
    netns->to = to[1];
    netns->from = from[0];
    if (hear(netns, "up"))
        return true;
    int status = 0;
    waitpid(netns->pid, &status, 0);
    close(netns->to);
    close(netns->from);
    *netns = (struct netns){0};
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 77)
        fail_msg("test-wire ended with status %d", status);
    print_message(
        "skipped: network namespaces with TUN devices are not permitted here; run as root "
        "with CAP_NET_ADMIN and CAP_SYS_ADMIN\n");
    return false;
}

void netns_close(struct netns *netns)
{
    if (netns->pid <= 0)
        return;
    close(netns->to);
    close(netns->from);
    kill(netns->pid, SIGKILL);
    waitpid(netns->pid, NULL, 0);
    *netns = (struct netns){0};
}

void netns_delay(struct netns *netns, int64_t to_far_us, int64_t to_near_us, int64_t jitter_us)
{
    char line[128];
    str_format(line, sizeof line, "delay %" PRId64 " %" PRId64 " %" PRId64 "\n", to_far_us,
               to_near_us, jitter_us);
    tell(netns, line);
}

void netns_cut(struct netns *netns, enum netns_cut cut)
{
    static const char *const lines[] = {
        [NETNS_WHOLE] = "cut none\n",
        [NETNS_CUT_BOTH] = "cut both\n",
        [NETNS_CUT_TO_FAR] = "cut far\n",
        [NETNS_CUT_TO_NEAR] = "cut near\n",
    };
    tell(netns, lines[cut]);
}

int netns_enter(const struct netns *netns)
{
    char path[64];
    str_format(path, sizeof path, "/proc/%d/ns/net", (int)netns->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = setns(fd, CLONE_NEWNET);
    close(fd);
    return rc;
}

static void tell(struct netns *netns, const char *line)
{
    size_t bytes = strlen(line);
    assert_int_equal(write(netns->to, line, bytes), bytes);
    if (!hear(netns, "ok"))
        fail_msg("the wire did not take '%s'", line);
}

/* One line; each answer is one. */
static bool hear(struct netns *netns, const char *word)
{
    char line[16];
    size_t used = 0;
    while (used < sizeof line - 1) {
        ssize_t got = read(netns->from, line + used, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        if (line[used] == '\n')
            break;
        used++;
    }
    line[used] = 0;
    return str_equal(line, word);
}
