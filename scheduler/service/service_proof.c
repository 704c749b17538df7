/*
 * Who wrote it: every message that the scheduler acts upon proves its sender (base/keys/proof.h).
 *
 * The public keys of users are files <kind>-<name>.pub in one folder; a file that is changed counts
 * within PEER_LOOK_US, one that is removed ends its user's say. What a user has been heard to say
 * is not taken again: of each kind of message its stamps grow. Nothing that was written before the
 * start of this scheduler is taken either, so what was heard before need not be remembered; a node
 * whose clock is behind is told so in the answer to its hello, and goes on above that.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "scheduler/service/service_internal.h"

#define PEERS_FIRST      64 /* places of the table; it doubles */
#define PEER_LOOK_US     US_PER_S
#define PEER_ASK_US      US_PER_S
#define OPERATOR_SKEW_US (600 * US_PER_S)

/* A user of the bus whose key is known. */
struct service_peer {
    char kind[16];
    char name[LIMIT_NAME_BYTES]; /* "": a free place */
    struct proof_link link;      /* without keys: its file is gone */
    uint64_t seen[SERVICE_SEEN];
    uint64_t seen_most; /* of all kinds */
    struct mono looked;
    struct timespec changed; /* of its file */
    ino_t inode;
    struct mono asked;
    uint64_t refused_there; /* that the node says it has refused */
};

static struct service_peer *peer_of(struct service *service, const char *kind, const char *name);
static struct service_peer *place_of(struct service_peer *peers, int capacity, const char *kind,
                                     const char *name);
static bool peers_grow(struct service *service);
static void key_path(const struct service *service, const char *kind, const char *name,
                     char out[LIMIT_PATH_BYTES]);
static bool key_load(struct service *service, struct service_peer *peer, const char *path);
static void refuse(struct service *service, uint64_t *counter, const char *what,
                   const char *subject);

int service_proof_open(struct service *service, const struct service_options *options,
                       struct error *err)
{
    service->proven = options->seed_path != NULL;
    if (!service->proven)
        return 0;
    int rc = str_copy(service->seed_path, sizeof(service->seed_path), options->seed_path);
    if (rc == 0 && options->keys_dir != NULL) {
        size_t bytes = strlen(options->keys_dir);
        if (bytes + 2 > sizeof(service->keys_dir))
            rc = ERR_LIMIT;
        else
            str_format(service->keys_dir, sizeof(service->keys_dir), "%s/", options->keys_dir);
    }
    if (rc < 0)
        return error_set(err, rc, 0, "the path of the keys is longer than %d bytes",
                         LIMIT_PATH_BYTES - 1);
    if (options->keys_dir == NULL) {
        rc = proof_beside(options->seed_path, "", service->keys_dir, err);
        if (rc < 0)
            return rc;
    }
    service->proof_since = (uint64_t)service->epoch_us;
    return peers_grow(service) ? 0 : error_set(err, ERR_NO_MEMORY, 0, "no memory for the keys");
}

void service_proof_close(struct service *service)
{
    free(service->peers);
}

enum service_proof service_proof(struct service *service, const char *kind, const char *name,
                                 enum service_seen what, const struct bus_message *message,
                                 struct bus_message *ret_inner)
{
    *ret_inner = *message;
    if (!service->proven)
        return SERVICE_PROVEN;
    struct service_peer *peer = peer_of(service, kind, name);
    uint64_t stamp = 0;
    if (peer == NULL ||
        !proof_check(&peer->link, message->subject, message->data, message->bytes, &stamp)) {
        refuse(service, &service->counts.unproven, peer == NULL ? "no key" : "not proven",
               message->subject);
        return SERVICE_UNPROVEN;
    }
    ret_inner->data += PROOF_BYTES;
    ret_inner->bytes -= PROOF_BYTES;
    if (stamp <= peer->seen[what] || stamp < service->proof_since) {
        refuse(service, &service->counts.replayed, "said before", message->subject);
        return SERVICE_REPLAYED;
    }
    peer->seen[what] = stamp;
    if (stamp > peer->seen_most)
        peer->seen_most = stamp;
    return SERVICE_PROVEN;
}

bool service_proof_node(struct service *service, enum service_seen what,
                        const struct bus_message *message, struct bus_message *ret_inner,
                        bool *ret_ask)
{
    char name[LIMIT_NAME_BYTES];
    *ret_ask = false;
    if (subject_token(message->subject, 3, name, sizeof(name)) < 0 || !name_is_valid(name)) {
        refuse(service, &service->counts.unproven, "no node's name", message->subject);
        return false;
    }
    enum service_proof proof = service_proof(service, "node", name, what, message, ret_inner);
    if (proof != SERVICE_REPLAYED || (what != SERVICE_SEEN_HELLO && what != SERVICE_SEEN_BEAT))
        return proof == SERVICE_PROVEN;
    /* A node whose clock went back says new things with old stamps: it learns where to go on. To
     * who merely repeats what a node said it is of no use: the answer is the node's own. */
    if (message->reply[0] != 0) {
        struct strbuf nothing;
        strbuf_init(&nothing, PROOF_BYTES + 1);
        service_proof_begin(service, &nothing);
        (void)!service_proof_answer(service, name, message->reply, &nothing, NULL);
        strbuf_done(&nothing);
        return false;
    }
    struct service_peer *peer = peer_of(service, "node", name);
    struct mono now = clock_mono_now();
    if (peer != NULL && now.us - peer->asked.us >= PEER_ASK_US) {
        peer->asked = now;
        *ret_ask = true;
    }
    return false;
}

void service_proof_begin(const struct service *service, struct strbuf *text)
{
    static const char room[PROOF_BYTES];
    if (service->proven)
        strbuf_append(text, room, sizeof(room));
}

int service_proof_seal(struct service *service, const char *node, const char *subject, bool answer,
                       char *message, size_t bytes, struct error *err)
{
    if (!service->proven)
        return 0;
    struct service_peer *peer = peer_of(service, "node", node);
    if (peer == NULL)
        return error_set(err, ERR_NOT_FOUND, 0, "%snode-%s.pub: there is no such public key",
                         service->keys_dir, node);
    uint64_t seen = peer->seen_most > service->proof_since ? peer->seen_most : service->proof_since;
    proof_seal(&peer->link, subject, answer ? seen : proof_next(&peer->link), message, bytes);
    return 0;
}

int service_proof_answer(struct service *service, const char *node, const char *reply,
                         struct strbuf *text, struct error *err)
{
    /* Where it goes is the asker's choice: to an inbox, and nowhere else that we may write. */
    if (!str_starts(reply, "_INBOX."))
        return error_set(err, ERR_DENIED, 0, "the answer is wanted at '%.64s', which is no inbox",
                         reply);
    int rc = strbuf_error(text, err);
    if (rc == 0)
        rc = service_proof_seal(service, node, reply, true, text->text, text->bytes, err);
    return rc < 0 ? rc
                  : bus_publish(service->bus, reply, NULL, strbuf_text(text), text->bytes, err);
}

bool service_proof_answered(struct service *service, const char *node,
                            const struct bus_message *message, struct bus_message *ret_inner)
{
    uint64_t stamp = 0;
    *ret_inner = *message;
    if (!service->proven)
        return true;
    struct service_peer *peer = peer_of(service, "node", node);
    if (peer == NULL ||
        !proof_check(&peer->link, message->subject, message->data, message->bytes, &stamp)) {
        refuse(service, &service->counts.unproven, "not proven", message->subject);
        return false;
    }
    ret_inner->data += PROOF_BYTES;
    ret_inner->bytes -= PROOF_BYTES;
    /* One without words: the node had seen a later stamp than the command's, of the scheduler
     * before this one perhaps. The command comes again, above it. */
    proof_catch_up(&peer->link, stamp);
    return ret_inner->bytes > 0;
}

int service_proof_operator(struct service *service, const struct bus_message *message,
                           struct bus_message *ret_inner, bool *ret_proven, struct error *err)
{
    char name[LIMIT_NAME_BYTES];
    uint64_t stamp = 0;
    *ret_inner = *message;
    *ret_proven = !service->proven;
    if (!service->proven || message->bytes == 0 || (uint8_t)message->data[0] != PROOF_MARK)
        return 0;
    bool named = str_starts(message->reply, "_INBOX.o.") &&
                 subject_token(message->reply, 2, name, sizeof(name)) == 0 && name_is_valid(name);
    struct service_peer *peer = named ? peer_of(service, "operator", name) : NULL;
    if (peer == NULL ||
        !proof_check(&peer->link, message->subject, message->data, message->bytes, &stamp)) {
        refuse(service, &service->counts.unproven, "not proven", message->subject);
        return error_set(err, ERR_DENIED, 0,
                         "the request does not prove who wrote it: the key of operator '%s' is not "
                         "the one whose public half the scheduler has",
                         named ? name : "");
    }
    int64_t now_us = clock_wall_now().us;
    if (stamp > INT64_MAX || (int64_t)stamp < now_us - OPERATOR_SKEW_US ||
        (int64_t)stamp > now_us + OPERATOR_SKEW_US) {
        refuse(service, &service->counts.replayed, "of another time", message->subject);
        return error_set(err, ERR_STALE, 0,
                         "the request is of another time than the scheduler's clock says, by more "
                         "than %d minutes: set this machine's clock",
                         (int)(OPERATOR_SKEW_US / US_PER_S / 60));
    }
    ret_inner->data += PROOF_BYTES;
    ret_inner->bytes -= PROOF_BYTES;
    *ret_proven = true;
    return 0;
}

void service_proof_told(struct service *service, const char *node, uint64_t refused)
{
    struct service_peer *peer = service->proven ? peer_of(service, "node", node) : NULL;
    if (peer != NULL)
        peer->refused_there = refused;
}

uint64_t service_proof_refused_at(struct service *service, const char *node)
{
    struct service_peer *peer = service->proven ? peer_of(service, "node", node) : NULL;
    return peer == NULL ? 0 : peer->refused_there;
}

/* NULL: there is no usable key of that user. The pointer holds until the next call. */
static struct service_peer *peer_of(struct service *service, const char *kind, const char *name)
{
    struct service_peer *peer = place_of(service->peers, service->peer_capacity, kind, name);
    struct mono now = clock_mono_now();
    if (peer->name[0] != 0 && now.us - peer->looked.us < PEER_LOOK_US)
        return peer->link.proven ? peer : NULL;
    char path[LIMIT_PATH_BYTES];
    struct stat status;
    key_path(service, kind, name, path);
    if (stat(path, &status) < 0) {
        if (peer->name[0] != 0) {
            peer->link = (struct proof_link){.proven = false};
            peer->looked = now;
            peer->inode = 0;
        }
        return NULL;
    }
    if (peer->name[0] == 0) {
        /* Only of users who have a file: what strangers call themselves fills no table. */
        if (2 * (service->peer_count + 1) > service->peer_capacity) {
            if (!peers_grow(service))
                return NULL;
            peer = place_of(service->peers, service->peer_capacity, kind, name);
        }
        str_format(peer->kind, sizeof(peer->kind), "%s", kind);
        str_format(peer->name, sizeof(peer->name), "%s", name);
        service->peer_count++;
    }
    peer->looked = now;
    bool same = peer->link.proven && peer->inode == status.st_ino &&
                peer->changed.tv_sec == status.st_mtim.tv_sec &&
                peer->changed.tv_nsec == status.st_mtim.tv_nsec;
    if (same)
        return peer;
    peer->inode = status.st_ino;
    peer->changed = status.st_mtim;
    return key_load(service, peer, path) ? peer : NULL;
}

/* Open addressing; at most half of the places are used, so there is always a free one. */
static struct service_peer *place_of(struct service_peer *peers, int capacity, const char *kind,
                                     const char *name)
{
    uint64_t at = hash_str(hash_str(HASH_SEED, kind), name);
    for (;; at++) {
        struct service_peer *peer = &peers[at % (uint64_t)capacity];
        if (peer->name[0] == 0 || (str_equal(peer->name, name) && str_equal(peer->kind, kind)))
            return peer;
    }
}

static bool peers_grow(struct service *service)
{
    int capacity = service->peer_capacity == 0 ? PEERS_FIRST : 2 * service->peer_capacity;
    struct service_peer *grown = calloc((size_t)capacity, sizeof(*grown));
    if (grown == NULL)
        return false;
    for (int i = 0; i < service->peer_capacity; i++)
        if (service->peers[i].name[0] != 0)
            *place_of(grown, capacity, service->peers[i].kind, service->peers[i].name) =
                service->peers[i];
    free(service->peers);
    service->peers = grown;
    service->peer_capacity = capacity;
    return true;
}

/* The first operator has no name in its file, as it has none in its seed's. */
static void key_path(const struct service *service, const char *kind, const char *name,
                     char out[LIMIT_PATH_BYTES])
{
    bool bare = str_equal(kind, "operator") && str_equal(name, "operator");
    int bytes = snprintf(out, LIMIT_PATH_BYTES, "%s%s%s%s.pub", service->keys_dir, kind,
                         bare ? "" : "-", bare ? "" : name);
    if (bytes < 0 || bytes >= LIMIT_PATH_BYTES)
        out[0] = 0; /* no file has that path */
}

static bool key_load(struct service *service, struct service_peer *peer, const char *path)
{
    char public_key[NKEY_TEXT_BYTES];
    struct error err;
    uint64_t sent = peer->link.sent;
    peer->link = (struct proof_link){.proven = false, .sent = sent};
    struct proof_options options = {.at = PROOF_AT_SCHEDULER,
                                    .kind = peer->kind,
                                    .name = peer->name,
                                    .seed_path = service->seed_path,
                                    .peer_public = public_key};
    if (proof_public_read(path, public_key, &err) < 0 ||
        proof_link_open(&options, &peer->link, &err) < 0) {
        log_event(LOG_WARN, "proof.key", "kind=%s name=%s reason=\"%s\"", peer->kind, peer->name,
                  err.text);
        return false;
    }
    proof_catch_up(&peer->link, sent);
    log_event(LOG_INFO, "proof.key", "kind=%s name=%s public=%s", peer->kind, peer->name,
              public_key);
    return true;
}

/* Whoever sends them chooses how many there are: one line a second. */
static void refuse(struct service *service, uint64_t *counter, const char *what,
                   const char *subject)
{
    (*counter)++;
    service->refused_untold++;
    struct mono now = clock_mono_now();
    if (now.us - service->refused_told.us < US_PER_S && service->refused_told.us != 0)
        return;
    log_event(LOG_WARN, "message.unproven", "count=%" PRIu64 " subject=%.200s reason=\"%s\"",
              service->refused_untold, subject, what);
    service->refused_told = now;
    service->refused_untold = 0;
}
