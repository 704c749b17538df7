#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/find_dir.h"

#define STOP_US (120 * US_PER_S) /* longer than any child of `up` is given */
#define POLL_US (50 * US_PER_MS)

static int run_down(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);

const struct command command_down = {
    .name = "down",
    .synopsis = "[--dir DIR]",
    .summary = "Stop what `berth up` started, in order",
    .text = "Waits until everything has ended. Keys and journal stay for the next `berth up`.\n",
    .examples = "  berth down\n  berth down --dir /var/lib/berth\n",
    .run = run_down,
};

static int run_down(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    (void)options;
    (void)words;
    char folder[LIMIT_PATH_BYTES];
    int rc = folder_find(cli->common.dir, folder, err);
    if (rc < 0)
        return rc;
    pid_t pid = folder_holder(folder);
    if (pid == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "nothing runs in %s", folder);
    if (kill(pid, SIGTERM) < 0)
        return error_set(err, ERR_DENIED, errno, "stop the `berth up` of %s (pid %d)", folder,
                         (int)pid);
    struct mono began = clock_mono_now();
    while (folder_holder(folder) == pid) {
        if (clock_mono_now().us - began.us > STOP_US)
            return error_set(err, ERR_TIMEOUT, 0,
                             "the `berth up` of %s (pid %d) has not ended after 2 minutes; its log "
                             "is %s/log/up.log",
                             folder, (int)pid, folder);
        nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
    }
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    strbuf_printf(&out, "stopped what ran in %s\n", folder);
    rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}
