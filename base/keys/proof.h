/*
 * proof: a message between the scheduler and a user of the bus (a node, a probe, an operator's
 * tool) proves who wrote it.
 *
 * Permissions say on which subjects a user may publish, but not where a responder of its choosing
 * answers: JetStream delivers what a user has stored to whatever subject the request names. So a
 * subject alone proves no sender. A proven message begins with a frame of PROOF_BYTES:
 *
 *     byte 0       PROOF_MARK: begins neither JSON, UTF-8 nor a packed message
 *     byte 1       the frame's version, 1
 *     bytes 2..9   the stamp, the highest byte first
 *     bytes 10..25 the tag: keyed BLAKE2b-128 of the subject's length (2 bytes, the highest first),
 *                  the subject, the 8 bytes of the stamp, and the body
 *
 * The key comes from the two nkeys that both ends have anyway: Ed25519 keys converted to X25519,
 * their shared point, and from it by keyed BLAKE2b-256 one key for each direction, over "berth
 * proof 1", the direction, the user's kind and name, and both public keys (proof.c has the bytes).
 * Nobody but these two can make or check a tag, and it holds for one direction, one user, one
 * subject (an answer's is the inbox of its request, which never comes again), one stamp and one
 * body.
 *
 * The stamp grows with every message that a link sends: what has been seen is not taken again. An
 * answer bears the highest stamp that its sender had seen of the link instead, so that an end whose
 * clock was set back goes on from there (proof_catch_up).
 *
 * A link without keys (`proven` false: a server without users) adds nothing and takes everything.
 * One thread per link.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/keys/keys.h"
#include "base/limits.h"
#include "base/str.h"

#define PROOF_BYTES     26
#define PROOF_MARK      0xB9
#define PROOF_KEY_BYTES 32

struct proof_link {
    bool proven;
    uint8_t out[PROOF_KEY_BYTES]; /* of what this end sends */
    uint8_t in[PROOF_KEY_BYTES];  /* of what it takes */
    uint64_t sent;                /* the last stamp */
};

enum proof_end { PROOF_AT_SCHEDULER, PROOF_AT_USER };

struct proof_options {
    enum proof_end at;
    const char *kind;        /* the user's: "node", "probe", "operator" */
    const char *name;        /* the user's */
    const char *seed_path;   /* this end's */
    const char *peer_public; /* the other end's */
};

/* Stamps begin with the wall clock's microseconds. */
int proof_link_open(const struct proof_options *options, struct proof_link *ret_link,
                    struct error *err) WARN_UNUSED;
/* At a user's end: the scheduler's public key is in `scheduler_path`, or when that is "" in the
 * file PROOF_SCHEDULER_FILE beside the seed. */
#define PROOF_SCHEDULER_FILE "scheduler.pub"
int proof_link_open_user(const char *kind, const char *name, const char *seed_path,
                         const char *scheduler_path, struct proof_link *ret_link,
                         struct error *err) WARN_UNUSED;

/* The stamp of the next message. */
uint64_t proof_next(struct proof_link *link);
/* The other end has seen `stamp` of this link: the next one is above it. */
void proof_catch_up(struct proof_link *link, uint64_t stamp);

/* Around the writing of a body: room for the frame at the begin of an empty `text`, and the frame
 * itself when the body stands. A broken `text` stays what it is. */
void proof_begin(const struct proof_link *link, struct strbuf *text);
void proof_end(const struct proof_link *link, const char *subject, uint64_t stamp,
               struct strbuf *text);
/* The frame alone: its room are the first PROOF_BYTES of `message`. */
void proof_seal(const struct proof_link *link, const char *subject, uint64_t stamp, char *message,
                size_t bytes);

/* True: the message was written by the other end, for this subject. Its body is what follows
 * PROOF_BYTES, or all of it when the link has no keys (then *ret_stamp is 0). */
bool proof_check(const struct proof_link *link, const char *subject, const char *data, size_t bytes,
                 uint64_t *ret_stamp) WARN_UNUSED;
/* How many bytes of a message on this link are the frame. */
size_t proof_bytes(const struct proof_link *link);

/* ---- the files ----
 * A public key's file is its text in one line. Anybody may read it, and who may write it decides
 * whom its reader believes. */

/* Writes the public key of a seed file beside it (0644), unless the file already says it. */
int proof_publish(const char *seed_path, const char *public_path, struct error *err) WARN_UNUSED;
/* ERR_NOT_FOUND; ERR_INVALID for what is no public key. */
int proof_public_read(const char *path, char ret_public[NKEY_TEXT_BYTES],
                      struct error *err) WARN_UNUSED;
/* The file `name` beside `path`. */
int proof_beside(const char *path, const char *name, char out[LIMIT_PATH_BYTES],
                 struct error *err) WARN_UNUSED;
