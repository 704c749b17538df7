/*
 * workload: what the live tests of the node run, through the contract's own library.
 *
 *     test_workload [mute] [orphan] [crash-once] [crash] [eat] [chatter] [stubborn] [at]
 *
 * Writes its pid to "pid" in its folder. mute: never says ready. orphan: leaves a grandchild in a
 * session of its own ("orphan" has its pid). crash-once: ends with 7 unless the file "crashed" is
 * there. crash: ends with 7. eat: takes memory without end. chatter: writes 64 KiB to stdout.
 * stubborn: ignores SIGTERM and every word.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "executors/contract/berth_workload.h"

static bool asked(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

static void note(const char *name, int value)
{
    char beside[64];
    (void)snprintf(beside, sizeof(beside), "%s.new", name);
    FILE *file = fopen(beside, "w");
    if (file == NULL)
        exit(9);
    (void)fprintf(file, "%d\n", value);
    (void)fclose(file);
    (void)rename(beside, name);
}

static void leave_orphan(void)
{
    pid_t child = fork();
    if (child != 0)
        return;
    (void)setsid();
    if (fork() != 0)
        _exit(0);
    note("orphan", (int)getpid());
    for (;;)
        (void)pause();
}

static void serve(struct berth_workload *workload, bool stubborn)
{
    int64_t requests = 0;
    for (;;) {
        struct pollfd one = {.fd = berth_workload_fd(workload), .events = POLLIN};
        (void)poll(&one, 1, 20);
        (void)berth_workload_count(workload, "requests", ++requests);
        if (stubborn)
            continue;
        switch (berth_workload_poll(workload, NULL)) {
        case BERTH_NOTHING:
            break;
        case BERTH_DRAIN:
            (void)printf("draining\n");
            (void)fflush(stdout);
            (void)berth_workload_drained(workload);
            break;
        case BERTH_RESUME:
            (void)berth_workload_resumed(workload);
            break;
        case BERTH_FREEZE:
            (void)berth_workload_frozen(workload, NULL);
            break;
        case BERTH_OWN:
            (void)berth_workload_owned(workload);
            break;
        case BERTH_SNAPSHOT:
        case BERTH_RESTORE:
            (void)berth_workload_failed(workload, "it has no state");
            break;
        case BERTH_STOP:
            exit(0);
        }
    }
}

int main(int argc, char **argv)
{
    note("pid", (int)getpid());
    if (asked(argc, argv, "stubborn"))
        (void)signal(SIGTERM, SIG_IGN);
    if (asked(argc, argv, "orphan"))
        leave_orphan();
    if (asked(argc, argv, "crash"))
        return 7;
    if (asked(argc, argv, "crash-once") && access("crashed", F_OK) < 0) {
        note("crashed", 1);
        return 7;
    }
    for (int i = 0; i < 1024 && asked(argc, argv, "chatter"); i++)
        (void)printf("%063d\n", i);
    (void)fflush(stdout);
    while (asked(argc, argv, "eat")) {
        char *block = malloc(1 << 20);
        if (block == NULL)
            return 3;
        memset(block, 1, 1 << 20);
    }
    struct berth_workload *workload = berth_workload_open();
    if (workload == NULL)
        return 8;
    if (!asked(argc, argv, "mute"))
        (void)berth_workload_ready(workload);
    serve(workload, asked(argc, argv, "stubborn"));
    return 0;
}
