/*
 * test_workload: a service under the workload contract whose start and life a test chooses. It
 * answers svc.default.w with the request's own line.
 *
 *     test-workload [--ready-after-ms N] [--never-ready-at SITE] [--die-dir DIR]
 *
 * --ready-after-ms   it connects that much later, so that a handoff stays in `starting`
 * --never-ready-at   at that site ($BERTH_SITE) it never connects and says nothing
 * --die-dir          it ends, without a word, when DIR/die.$BERTH_INSTANCE appears
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "examples/shop/service.h"

static void answer(struct service *service, natsMsg *request, void *context);
static void *watch_file(void *path);
static void sleep_ms(int64_t ms);

int main(int argc, char **argv)
{
    int64_t ready_after_ms = 0;
    const char *never_ready_at = "";
    const char *die_dir = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--ready-after-ms") && str_to_i64(argv[i + 1], &ready_after_ms) == 0)
            continue;
        if (str_equal(argv[i], "--never-ready-at"))
            never_ready_at = argv[i + 1];
        else if (str_equal(argv[i], "--die-dir"))
            die_dir = argv[i + 1];
        else {
            fprintf(stderr, "test-workload: what is %s %s?\n", argv[i], argv[i + 1]);
            return 2;
        }
    }
    const char *site = getenv("BERTH_SITE");
    const char *instance = getenv("BERTH_INSTANCE");
    while (site != NULL && str_equal(site, never_ready_at))
        sleep_ms(1000);
    if (die_dir != NULL && instance != NULL) {
        static char path[1024];
        pthread_t thread;
        str_format(path, sizeof(path), "%s/die.%s", die_dir, instance);
        if (pthread_create(&thread, NULL, watch_file, path) != 0)
            return 1;
        pthread_detach(thread);
    }
    sleep_ms(ready_after_ms);
    struct service_options options = {.subject = "svc.default.w", .handler = answer};
    return service_run(&options);
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    (void)context;
    service_reply(service, request, service_now_us(), natsMsg_GetData(request),
                  natsMsg_GetDataLength(request));
}

static void *watch_file(void *path)
{
    while (access(path, F_OK) != 0)
        sleep_ms(1);
    _exit(3);
}

static void sleep_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}
