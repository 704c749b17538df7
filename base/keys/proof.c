#include "base/keys/proof.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/keys/keys_internal.h"

#define VERSION    1
#define STAMP_AT   2
#define TAG_AT     10
#define TAG_BYTES  (PROOF_BYTES - TAG_AT)
#define LABEL      "berth proof 1"
#define FILE_MODE  0644
#define LINE_BYTES 128

static int shared_point(const uint8_t secret[2 * NKEY_RAW_BYTES],
                        const uint8_t peer[NKEY_RAW_BYTES], uint8_t out[PROOF_KEY_BYTES]);
static void direction_key(const uint8_t shared[PROOF_KEY_BYTES], bool to_user,
                          const struct proof_options *options, const uint8_t scheduler[],
                          const uint8_t user[], uint8_t out[PROOF_KEY_BYTES]);
static void tag_make(const uint8_t key[PROOF_KEY_BYTES], const char *subject,
                     const uint8_t stamp[8], const void *body, size_t bytes,
                     uint8_t out[TAG_BYTES]);

int proof_link_open(const struct proof_options *options, struct proof_link *ret_link,
                    struct error *err)
{
    uint8_t own[NKEY_RAW_BYTES];
    uint8_t peer[NKEY_RAW_BYTES];
    uint8_t secret[2 * NKEY_RAW_BYTES];
    uint8_t shared[PROOF_KEY_BYTES];
    int rc = keys_init(err);
    if (rc == 0)
        rc = nkey_public_raw(options->peer_public, peer, err);
    if (rc == 0)
        rc = nkey_file_pair(options->seed_path, own, secret, err);
    if (rc < 0)
        return rc;
    rc = shared_point(secret, peer, shared);
    sodium_memzero(secret, sizeof(secret));
    if (rc < 0)
        return error_set(err, ERR_INVALID, 0,
                         "the public key '%s' is no point that keys are made of",
                         options->peer_public);
    bool scheduler = options->at == PROOF_AT_SCHEDULER;
    struct proof_link link = {.proven = true, .sent = (uint64_t)clock_wall_now().us};
    direction_key(shared, scheduler, options, scheduler ? own : peer, scheduler ? peer : own,
                  link.out);
    direction_key(shared, !scheduler, options, scheduler ? own : peer, scheduler ? peer : own,
                  link.in);
    sodium_memzero(shared, sizeof(shared));
    *ret_link = link;
    return 0;
}

int proof_link_open_user(const char *kind, const char *name, const char *seed_path,
                         const char *scheduler_path, struct proof_link *ret_link, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    char public_key[NKEY_TEXT_BYTES];
    int rc = scheduler_path[0] == 0 ? proof_beside(seed_path, PROOF_SCHEDULER_FILE, path, err)
                                    : str_copy(path, sizeof(path), scheduler_path);
    if (rc < 0)
        return scheduler_path[0] == 0
                   ? rc
                   : error_set(err, rc, 0, "the path '%.64s...' is too long", scheduler_path);
    rc = proof_public_read(path, public_key, err);
    if (rc < 0)
        return error_prefix(err, "the scheduler's public key");
    return proof_link_open(&(struct proof_options){.at = PROOF_AT_USER,
                                                   .kind = kind,
                                                   .name = name,
                                                   .seed_path = seed_path,
                                                   .peer_public = public_key},
                           ret_link, err);
}

uint64_t proof_next(struct proof_link *link)
{
    uint64_t now = (uint64_t)clock_wall_now().us;
    link->sent = now > link->sent ? now : link->sent + 1;
    return link->sent;
}

void proof_catch_up(struct proof_link *link, uint64_t stamp)
{
    if (stamp > link->sent)
        link->sent = stamp;
}

void proof_begin(const struct proof_link *link, struct strbuf *text)
{
    static const char room[PROOF_BYTES];
    if (link->proven)
        strbuf_append(text, room, sizeof(room));
}

void proof_end(const struct proof_link *link, const char *subject, uint64_t stamp,
               struct strbuf *text)
{
    if (strbuf_error(text, NULL) == 0)
        proof_seal(link, subject, stamp, text->text, text->bytes);
}

void proof_seal(const struct proof_link *link, const char *subject, uint64_t stamp, char *message,
                size_t bytes)
{
    if (!link->proven)
        return;
    BERTH_ASSERT(bytes >= PROOF_BYTES, "a text of %zu bytes has no room for a proof", bytes);
    uint8_t *frame = (uint8_t *)message;
    frame[0] = PROOF_MARK;
    frame[1] = VERSION;
    for (int i = 0; i < 8; i++)
        frame[STAMP_AT + i] = (uint8_t)(stamp >> (56 - 8 * i));
    tag_make(link->out, subject, frame + STAMP_AT, frame + PROOF_BYTES, bytes - PROOF_BYTES,
             frame + TAG_AT);
}

bool proof_check(const struct proof_link *link, const char *subject, const char *data, size_t bytes,
                 uint64_t *ret_stamp)
{
    if (!link->proven) {
        *ret_stamp = 0;
        return true;
    }
    const uint8_t *frame = (const uint8_t *)data;
    uint8_t tag[TAG_BYTES];
    if (bytes < PROOF_BYTES || frame[0] != PROOF_MARK || frame[1] != VERSION)
        return false;
    tag_make(link->in, subject, frame + STAMP_AT, frame + PROOF_BYTES, bytes - PROOF_BYTES, tag);
    if (sodium_memcmp(tag, frame + TAG_AT, TAG_BYTES) != 0)
        return false;
    uint64_t stamp = 0;
    for (int i = 0; i < 8; i++)
        stamp = stamp << 8 | frame[STAMP_AT + i];
    *ret_stamp = stamp;
    return true;
}

size_t proof_bytes(const struct proof_link *link)
{
    return link->proven ? PROOF_BYTES : 0;
}

int proof_publish(const char *seed_path, const char *public_path, struct error *err)
{
    char public_key[NKEY_TEXT_BYTES];
    char known[NKEY_TEXT_BYTES];
    char line[NKEY_TEXT_BYTES + 1];
    char beside[LIMIT_PATH_BYTES];
    char id[LIMIT_ID_BYTES];
    int rc = nkey_file_public(seed_path, public_key, err);
    if (rc < 0)
        return rc;
    if (proof_public_read(public_path, known, NULL) == 0 && str_equal(known, public_key))
        return 0;
    /* Beside its place and renamed: who reads it meanwhile sees the old key or the new one. */
    id_random(id);
    if ((size_t)snprintf(beside, sizeof(beside), "%s.%s", public_path, id) >= sizeof(beside))
        return error_set(err, ERR_LIMIT, 0, "the path '%.64s...' is too long", public_path);
    str_format(line, sizeof(line), "%s\n", public_key);
    CLEANUP(cleanup_close)
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "cannot create '%s'", beside);
    if (write(fd, line, strlen(line)) != (ssize_t)strlen(line) || fsync(fd) < 0 ||
        rename(beside, public_path) < 0) {
        rc = error_set(err, ERR_IO, errno, "cannot write '%s'", public_path);
        (void)unlink(beside); /* what cannot be removed is read by nobody */
        return rc;
    }
    return 0;
}

int proof_public_read(const char *path, char ret_public[NKEY_TEXT_BYTES], struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                         "cannot open the public key '%s'", path);
    char line[LINE_BYTES];
    uint8_t raw[NKEY_RAW_BYTES];
    ssize_t got = read(fd, line, sizeof(line) - 1);
    if (got < 0)
        return error_set(err, ERR_IO, errno, "cannot read the public key '%s'", path);
    line[got] = 0;
    line[strcspn(line, " \t\r\n")] = 0;
    int rc = nkey_public_raw(line, raw, err);
    if (rc < 0)
        return error_prefix(err, "%s", path);
    str_format(ret_public, NKEY_TEXT_BYTES, "%s", line);
    return 0;
}

int proof_beside(const char *path, const char *name, char out[LIMIT_PATH_BYTES], struct error *err)
{
    const char *slash = strrchr(path, '/');
    int folder = slash == NULL ? 0 : (int)(slash - path) + 1;
    if ((size_t)folder + strlen(name) >= LIMIT_PATH_BYTES)
        return error_set(err, ERR_LIMIT, 0, "the path of '%.64s' beside '%.64s...' is too long",
                         name, path);
    str_format(out, LIMIT_PATH_BYTES, "%.*s%s", folder, path, name);
    return 0;
}

static int shared_point(const uint8_t secret[2 * NKEY_RAW_BYTES],
                        const uint8_t peer[NKEY_RAW_BYTES], uint8_t out[PROOF_KEY_BYTES])
{
    uint8_t scalar[crypto_scalarmult_SCALARBYTES];
    uint8_t point[crypto_scalarmult_BYTES];
    bool made = crypto_sign_ed25519_pk_to_curve25519(point, peer) == 0 &&
                crypto_sign_ed25519_sk_to_curve25519(scalar, secret) == 0 &&
                crypto_scalarmult(out, scalar, point) == 0;
    sodium_memzero(scalar, sizeof(scalar));
    return made ? 0 : ERR_INVALID;
}

/* "berth proof 1", the direction, kind and name with a zero behind each, both public keys. */
static void direction_key(const uint8_t shared[PROOF_KEY_BYTES], bool to_user,
                          const struct proof_options *options, const uint8_t scheduler[],
                          const uint8_t user[], uint8_t out[PROOF_KEY_BYTES])
{
    crypto_generichash_state state;
    uint8_t direction = to_user ? 1 : 0;
    (void)crypto_generichash_init(&state, shared, PROOF_KEY_BYTES, PROOF_KEY_BYTES);
    (void)crypto_generichash_update(&state, (const uint8_t *)LABEL, sizeof(LABEL));
    (void)crypto_generichash_update(&state, &direction, 1);
    (void)crypto_generichash_update(&state, (const uint8_t *)options->kind,
                                    strlen(options->kind) + 1);
    (void)crypto_generichash_update(&state, (const uint8_t *)options->name,
                                    strlen(options->name) + 1);
    (void)crypto_generichash_update(&state, scheduler, NKEY_RAW_BYTES);
    (void)crypto_generichash_update(&state, user, NKEY_RAW_BYTES);
    (void)crypto_generichash_final(&state, out, PROOF_KEY_BYTES);
    sodium_memzero(&state, sizeof(state));
}

static void tag_make(const uint8_t key[PROOF_KEY_BYTES], const char *subject,
                     const uint8_t stamp[8], const void *body, size_t bytes, uint8_t out[TAG_BYTES])
{
    crypto_generichash_state state;
    size_t subject_bytes = strlen(subject);
    uint8_t length[2] = {(uint8_t)(subject_bytes >> 8), (uint8_t)subject_bytes};
    (void)crypto_generichash_init(&state, key, PROOF_KEY_BYTES, TAG_BYTES);
    (void)crypto_generichash_update(&state, length, sizeof(length));
    (void)crypto_generichash_update(&state, (const uint8_t *)subject, subject_bytes);
    (void)crypto_generichash_update(&state, stamp, 8);
    (void)crypto_generichash_update(&state, body, bytes);
    (void)crypto_generichash_final(&state, out, TAG_BYTES);
}
