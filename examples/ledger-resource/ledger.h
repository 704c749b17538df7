/*
 * ledger: the resource that an exclusive owner writes to: numbers 1, 2, 3, ... each with the epoch
 * of the owner that wrote it and the id of the request that it was written for. It admits by
 * berth_fence, so what is in it is what a single line of owners wrote.
 *
 * The file has a line for each thing: "a <epoch> <number> <id>" and, for an epoch that was raised
 * without writing, "e <epoch>". A raise and the number that it came with are one line, written and
 * made durable (fdatasync) before it is answered. A last line without its end was never answered,
 * and is cut off at the next opening; any other damage is refused.
 *
 * An id is written once: appended again, also by the next owner, it is answered with the number
 * that it has. So an owner that does not know whether its append was carried out may repeat it.
 *
 * One thread at a time. About 70 bytes of memory a number.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "executors/contract/berth_fence.h"

#define LEDGER_ID_BYTES    40 /* terminated; of [A-Za-z0-9._-] */
#define LEDGER_ANSWER_MAX  65536
#define LEDGER_CLAIM_IDS   1024 /* the last ids, told with a claim */
#define LEDGER_READ_LINES  400  /* of one "read" */
#define LEDGER_NUMBERS_MAX 20000000

struct ledger_entry {
    struct berth_epoch epoch;
    char id[LEDGER_ID_BYTES];
};

struct ledger {
    int fd; /* -1: nothing is kept */
    struct berth_fence fence;
    struct ledger_entry *entries; /* number i + 1 */
    int64_t count;
    int64_t room;
    uint32_t *index; /* numbers by their id's hash; 0: free; at most half full */
    uint64_t index_room;
    int64_t refused;   /* requests of owners of before */
    int64_t conflicts; /* appends that did not follow the last number: the owner knew too little */
};

/* Makes the file when it is not there. `path` NULL: in memory alone, for tests. */
int ledger_open(struct ledger *ledger, const char *path, struct error *err) WARN_UNUSED;
void ledger_close(struct ledger *ledger);

/* One request, one answer:
 *     append <epoch> <number> <id>   ok <number> | refused <highest> | again <number> (it has one)
 * | conflict <count> (the number does not follow) claim <epoch>                  ok <count> <id>...
 * (the last ones, in their order) | refused
 * .. fence <epoch>                  ok | refused <highest> (what the owners' key says) read
 * <number> <count>          "<number> <epoch> <id>" a line status                         <count>
 * <highest> <refused> <conflicts> Anything else, and what could not be made durable: error <why>.
 * `out` has LEDGER_ANSWER_MAX. */
void ledger_answer(struct ledger *ledger, const char *request, size_t bytes, char *out);
/* The file's text, as ledger_open reads it; *ret_bytes are those of whole lines. */
int ledger_load(struct ledger *ledger, const char *text, size_t bytes, size_t *ret_bytes,
                struct error *err) WARN_UNUSED;
