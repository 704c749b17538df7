/* Stands where berth-solve stands and never answers: it is silent, stops within an answer, or talks
 * without end on one of its outputs. Which, says SOLVER_HANGS. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/str.h"

static void talk(int fd, const char *text, size_t bytes)
{
    while (write(fd, text, bytes) > 0) {
    }
}

int main(void)
{
    static char words[65536];
    const char *how = getenv("SOLVER_HANGS");
    char head[12];
    if (how == NULL || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        read(STDIN_FILENO, head, sizeof(head)) <= 0) {
        return 1;
    }
    memset(words, 'x', sizeof(words));
    if (str_equal(how, "half")) {
        if (write(STDOUT_FILENO, "\x40\0\0\0BRS2", 8) != 8) {
            return 1;
        }
    } else if (str_equal(how, "complains")) {
        talk(STDERR_FILENO, words, sizeof(words));
    } else if (str_equal(how, "answers")) {
        if (write(STDOUT_FILENO, "\0\0\0\x04", 4) != 4) { /* 64 MiB, and more come */
            return 1;
        }
        talk(STDOUT_FILENO, words, sizeof(words));
    } else if (str_equal(how, "boasts")) {
        if (write(STDOUT_FILENO, "\xff\xff\xff\xff", 4) != 4) {
            return 1;
        }
    }
    for (;;) {
        (void)pause();
    }
}
