/*
 * drive: the users' side of an example: an open loop of requests from several groups of users at
 * once, each to the instance that serves them, which judges every answer.
 *
 * Group k asks the subject svc.default.<workload>--<group>. When nobody serves it ("no responders",
 * which NATS says at once), its calls are served by the first part that shares its instances, and
 * the subjects of the other groups are tried in their order. A workload that is not split has one
 * subject, svc.default.<workload>.
 *
 * SIGUSR1 sets drive->later, which `make` may look at: the one thing that changes. It ends after
 * --seconds or at SIGTERM. One JSON line a second on standard output, and one with "final":true:
 * what was sent, answered, wrong, refused and lost, and how many each group got from which site in
 * the last second. The exit status is 0 when nothing was wrong, refused or lost.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DRIVE_GROUPS     4
#define DRIVE_BYTES_MAX  (1 << 20)
#define DRIVE_SITE_BYTES 64

struct drive {
    const char *workload;
    bool split;
    const char *groups[DRIVE_GROUPS];
    int group_count;
    int64_t rate_mhz; /* of each group, unless --rate says otherwise */
    /* Writes the request number `index` of a group; returns its bytes. */
    int (*make)(const struct drive *drive, int group, int64_t index, char *out);
    /* Whether that is its answer; the site that it names goes to `ret_site`. */
    bool (*judge)(const struct drive *drive, int group, int64_t index, const char *data, int bytes,
                  char ret_site[DRIVE_SITE_BYTES]);
    bool later; /* set by drive_run */
};

/* The program's exit status. Options: --url URL --seed FILE --inbox PREFIX --seconds N --rate
 * REQUESTS_PER_SECOND --groups A,B,... --workload NAME. */
int drive_run(struct drive *drive, int argc, char **argv);
