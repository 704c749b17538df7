#include "scheduler/cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool terminal_asks(const struct cli *cli)
{
    return !cli->common.json && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
}

int terminal_confirm(const char *refusal, struct error *err)
{
    char answer[16];
    if (fgets(answer, sizeof(answer), stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
        return error_set(err, ERR_DENIED, 0, "%s: the answer was not y", refusal);
    return 0;
}

int terminal_signals(int *ret_signals, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    int fd = sigprocmask(SIG_BLOCK, &set, NULL) < 0
                 ? -1
                 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "watch signals");
    *ret_signals = fd;
    return 0;
}

bool terminal_signalled(int signals)
{
    struct signalfd_siginfo info;
    return signals >= 0 && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info);
}
