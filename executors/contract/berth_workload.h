/*
 * berth_workload: the workload contract for programs in C, over $BERTH_SOCKET. Apache-2.0, no
 * dependencies but libc: copy berth_workload.{h,c} into a program, or link libberth_workload.a.
 *
 * The contract is lines over a Unix stream socket whose path is in $BERTH_SOCKET; any language can
 * speak it (docs/workload-contract.md). Berth -> workload: "drain <deadline_ms>", "resume",
 * "stop <deadline_ms>"; to an owner "own <epoch> [<handed>]", "freeze <deadline_ms> [<path>]",
 * "snapshot <round> <path>", "restore <round> <path>". Workload -> Berth: "ready", "drained",
 * "resumed", "count <name> <total>", where name is one of requests errors hits misses bytes_in
 * bytes_out latency_us_sum and total is a counter since the process began (never a ratio); an owner
 * "owned", "frozen [<handed>]", "snapshotted <round>", "restored <round>", "failed <text>". Without
 * $BERTH_SOCKET every call is a no-op that succeeds, so the same program runs by hand.
 *
 * An owner (handoff: exclusive or stateful) serves from BERTH_OWN on and never before: its "ready"
 * means "I could own". BERTH_OWN may come again, with the same epoch or a later one: say "owned"
 * each time. From BERTH_FREEZE on it serves nothing and writes nothing, until another BERTH_OWN.
 *
 * Environment that Berth sets: BERTH_SOCKET, BERTH_INSTANCE, BERTH_NAMESPACE, BERTH_APP,
 * BERTH_WORKLOAD, BERTH_REPLICA, BERTH_SITE, BERTH_NATS_URL, BERTH_NATS_SEED_FILE,
 * BERTH_INBOX_PREFIX, BERTH_ADDRESS (of an http workload: where to listen, "address:port"),
 * BERTH_AT_SUBJECT (subscribe to it after the service's own subjects, answer
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

enum berth_told {
    BERTH_NOTHING,
    BERTH_DRAIN,
    BERTH_RESUME,
    BERTH_STOP,
    BERTH_FREEZE,   /* stop serving; berth_workload_path: write the last delta there, unless "" */
    BERTH_OWN,      /* serve: berth_workload_epoch, berth_workload_handed */
    BERTH_SNAPSHOT, /* while it serves: berth_workload_round, berth_workload_path */
    BERTH_RESTORE,  /* before it owns: the same two */
};

#define BERTH_HANDED_BYTES 4095 /* text that "frozen" may hand over */

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

/* About what berth_workload_poll told last, until it tells the next thing. Never NULL. */
const char *berth_workload_epoch(const struct berth_workload *workload);  /* "<term>.<n>" */
const char *berth_workload_handed(const struct berth_workload *workload); /* "": nothing */
const char *berth_workload_path(const struct berth_workload *workload);   /* in its own folder */
int berth_workload_round(
    const struct berth_workload *workload); /* from 1: everything; then deltas */

/* An owner's answers. `handed`: printable ASCII without blanks, NULL or "": nothing. */
int berth_workload_owned(struct berth_workload *workload);
int berth_workload_frozen(struct berth_workload *workload, const char *handed);
int berth_workload_snapshotted(struct berth_workload *workload, int round);
int berth_workload_restored(struct berth_workload *workload, int round);
/* What was asked last could not be done: freeze, own, snapshot or restore. */
int berth_workload_failed(struct berth_workload *workload, const char *why);

#ifdef __cplusplus
}
#endif
