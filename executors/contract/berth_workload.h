/*
 * berth_workload: the workload contract for programs in C, over $BERTH_SOCKET. Apache-2.0, no
 * dependencies but libc: copy berth_workload.{h,c} into a program, or link libberth_workload.a.
 *
 * The contract is lines over a Unix stream socket whose path is in $BERTH_SOCKET; any language can
 * speak it (docs/workload-contract.md). Berth -> workload: "drain <deadline_ms>", "resume",
 * "stop <deadline_ms>". Workload -> Berth: "ready", "drained", "resumed", "count <name> <total>",
 * where name is one of requests errors hits misses bytes_in bytes_out latency_us_sum and total is a
 * counter since the process began (never a ratio). Without $BERTH_SOCKET every call is a no-op that
 * succeeds, so the same program runs by hand.
 *
 * Environment that Berth sets: BERTH_SOCKET, BERTH_INSTANCE, BERTH_NAMESPACE, BERTH_APP,
 * BERTH_WORKLOAD, BERTH_REPLICA, BERTH_SITE, BERTH_NATS_URL, BERTH_NATS_SEED_FILE,
 * BERTH_INBOX_PREFIX, BERTH_AT_SUBJECT (subscribe to it after the service's own subjects, answer
 * every request with the text of $BERTH_INSTANCE: that answer proves where traffic goes).
 *
 * One thread, or several with the caller's lock.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct berth_workload;

enum berth_told { BERTH_NOTHING, BERTH_DRAIN, BERTH_RESUME, BERTH_STOP };

/* NULL only when $BERTH_SOCKET is set and cannot be reached (errno). */
struct berth_workload *berth_workload_open(void);
void berth_workload_close(struct berth_workload *workload);
/* To be watched for reading; -1 without Berth. */
int berth_workload_fd(const struct berth_workload *workload);
/* The next thing told, without waiting; *deadline_ms (may be NULL) is how long it may take. When
 * Berth's side closes: BERTH_NOTHING, and the library connects again by itself. */
enum berth_told berth_workload_poll(struct berth_workload *workload, int64_t *deadline_ms);
/* Each returns 0, or -1 with errno. */
int berth_workload_ready(struct berth_workload *workload);
int berth_workload_drained(struct berth_workload *workload);
int berth_workload_resumed(struct berth_workload *workload);
int berth_workload_count(struct berth_workload *workload, const char *name, int64_t total);

#ifdef __cplusplus
}
#endif
