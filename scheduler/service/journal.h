/*
 * journal: the record. An event is appended, durably, before its effects leave.
 *
 * One interface, journal_append(term, batch), group-committed; today SQLite (WAL, synchronous=FULL)
 * behind it, later a replicated log. A record has the event, the effects (for people and for the
 * check at replay) and, the last of a batch, the state hash after it. Opening takes an exclusive
 * lock on the journal for the life of the process: a second scheduler on the same file is refused
 * (ERR_LOCKED, naming the holder's pid). Opening gives the next term. A failed append (disk full)
 * leaves the journal as it was, returns ERR_IO, and the caller must not let any effect of the batch
 * leave.
 *
 * Snapshots: journal_snapshot stores the state's bytes with the sequence they stand for; replay
 * starts at the newest. The two newest are kept, and every record. The journal knows which version
 * of Berth wrote which record (journal_foreign), since old events must not run through new logic: a
 * new version starts from a snapshot behind the last record of the old one. Owner's thread only.
 * Measured: see tests/bench/journal.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

struct journal;

struct journal_record {
    uint64_t seq;
    uint64_t term;
    int64_t at_us;
    const char *event; /* JSON texts, terminated */
    const char *effects;
    uint64_t state_hash; /* 0: not taken, since more of its batch follow */
};

int journal_open(const char *path, struct journal **ret_journal, uint64_t *ret_term,
                 struct error *err) WARN_UNUSED;
void journal_close(struct journal *journal);
/* The next term for the same holder, durable before it is returned: for one that had to throw its
 * state away and begins again from the record. */
int journal_raise(struct journal *journal, uint64_t *ret_term, struct error *err) WARN_UNUSED;
/* Appends all or nothing; records[i].seq and .term are set here. */
int journal_append(struct journal *journal, struct journal_record *records, int count,
                   struct error *err) WARN_UNUSED;
/* Makes the log's file so long at once that commits overwrite what is there: to lengthen it for
 * each costs a commit of the file system's own journal beside ours. Where the disk has little room
 * it is left as it is. From then on the caller has the log copied into the database by
 * journal_tidy. */
void journal_reserve(struct journal *journal);
/* Copies the log into the database once it is long: tens of milliseconds, at a time that the caller
 * chooses. Left undone for too long it is done by an append. */
void journal_tidy(struct journal *journal);
int journal_snapshot(struct journal *journal, uint64_t seq, const void *bytes, size_t count,
                     struct error *err) WARN_UNUSED;
/* The newest snapshot of a record before `below`; *ret_bytes malloc'd, NULL and seq 0 when there is
 * none. With ERR_CORRUPT *ret_seq says which one it was, so that an older one can be tried. */
int journal_snapshot_read(struct journal *journal, uint64_t below, uint64_t *ret_seq,
                          void **ret_bytes, size_t *ret_count, struct error *err) WARN_UNUSED;
/* The first record after `seq` that another version wrote, and which; 0 and "" when there is none.
 */
int journal_foreign(struct journal *journal, uint64_t seq, uint64_t *ret_seq,
                    char ret_version[LIMIT_NAME_BYTES], struct error *err) WARN_UNUSED;
typedef int journal_visitor(void *context, const struct journal_record *record, struct error *err);
/* Every record after `seq`, in order, until the visitor returns non-zero (returned). */
int journal_replay(struct journal *journal, uint64_t seq, journal_visitor *visitor, void *context,
                   struct error *err) WARN_UNUSED;
uint64_t journal_last(const struct journal *journal);
