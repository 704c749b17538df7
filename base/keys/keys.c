#include "base/keys/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/keys/keys_internal.h"
#include "base/str.h"

/* NATS's text form: two prefix bytes for a seed and one for a public key, 32 bytes, CRC-16. The
 * prefixes are chosen so that base32 starts with a letter that says what it is: "SU..." and "U...".
 */
#define PREFIX_SEED     (18 << 3)
#define PREFIX_USER     (20 << 3)
#define KEY_BYTES       32
#define SEED_BYTES      (2 + KEY_BYTES + 2)
#define PUBLIC_BYTES    (1 + KEY_BYTES + 2)
#define SEED_TEXT       58
#define PUBLIC_TEXT     56
#define READ_BYTES      65536
#define SEED_LINE_BYTES 128 /* what is read of a seed's file */

struct digest_state {
    crypto_hash_sha256_state sha;
};

static const char base32_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static uint16_t crc16(const uint8_t *bytes, size_t count);
static void text_of(uint8_t *bytes, size_t count, char *out);
static int bytes_of(const char *text, uint8_t *out, size_t count);
static void public_text(int type, const uint8_t public_key[KEY_BYTES], char out[NKEY_TEXT_BYTES]);
static int seed_load(int fd, const char *path, char ret_public[NKEY_TEXT_BYTES], struct error *err);
static int seed_read(int fd, const char *path, char seed[SEED_LINE_BYTES], struct error *err);
static int seed_pair(const char *seed, int *ret_type, uint8_t ret_public[KEY_BYTES],
                     uint8_t ret_secret[2 * KEY_BYTES], struct error *err);
static int seed_store(const char *path, char ret_public[NKEY_TEXT_BYTES], struct error *err);
static int seed_write(const char *path, const char *seed, struct error *err);

int keys_init(struct error *err)
{
    if (sodium_init() < 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "libsodium found no source of random bytes");
    return 0;
}

int nkey_create_user(char ret_seed[NKEY_TEXT_BYTES], char ret_public[NKEY_TEXT_BYTES],
                     struct error *err)
{
    int rc = keys_init(err);
    if (rc < 0)
        return rc;
    uint8_t raw[SEED_BYTES];
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
    raw[0] = PREFIX_SEED | (PREFIX_USER >> 5);
    raw[1] = (PREFIX_USER & 31) << 3;
    randombytes_buf(raw + 2, KEY_BYTES);
    crypto_sign_seed_keypair(public_key, secret_key, raw + 2);
    text_of(raw, SEED_BYTES, ret_seed);
    public_text(PREFIX_USER, public_key, ret_public);
    sodium_memzero(raw, sizeof(raw));
    sodium_memzero(secret_key, sizeof(secret_key));
    return 0;
}

int nkey_public_of(const char *seed, char ret_public[NKEY_TEXT_BYTES], struct error *err)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
    int type = 0;
    int rc = seed_pair(seed, &type, public_key, secret_key, err);
    if (rc < 0)
        return rc;
    sodium_memzero(secret_key, sizeof(secret_key));
    public_text(type, public_key, ret_public);
    return 0;
}

int nkey_public_raw(const char *text, uint8_t ret_public[NKEY_RAW_BYTES], struct error *err)
{
    uint8_t raw[PUBLIC_BYTES];
    if (bytes_of(text, raw, PUBLIC_BYTES) < 0 || raw[0] != PREFIX_USER)
        return error_set(
            err, ERR_INVALID, 0,
            "not a public user nkey: %d letters starting with 'U' and a right checksum "
            "are wanted",
            PUBLIC_TEXT);
    memcpy(ret_public, raw + 1, KEY_BYTES);
    return 0;
}

int nkey_file_pair(const char *path, uint8_t ret_public[NKEY_RAW_BYTES],
                   uint8_t ret_secret[2 * NKEY_RAW_BYTES], struct error *err)
{
    char seed[SEED_LINE_BYTES];
    int type = 0;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                         "cannot open the key '%s'", path);
    int rc = seed_read(fd, path, seed, err);
    if (rc < 0)
        return rc;
    rc = seed_pair(seed, &type, ret_public, ret_secret, err);
    sodium_memzero(seed, sizeof(seed));
    return rc < 0 ? error_prefix(err, "%s", path) : 0;
}

int nkey_file_ensure(const char *path, char ret_public[NKEY_TEXT_BYTES], struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return seed_load(fd, path, ret_public, err);
    if (errno != ENOENT)
        return error_set(err, ERR_IO, errno, "cannot open the key '%s'", path);
    return seed_store(path, ret_public, err);
}

int nkey_file_public(const char *path, char ret_public[NKEY_TEXT_BYTES], struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                         "cannot open the key '%s'", path);
    return seed_load(fd, path, ret_public, err);
}

static int seed_load(int fd, const char *path, char ret_public[NKEY_TEXT_BYTES], struct error *err)
{
    char seed[SEED_LINE_BYTES];
    int rc = seed_read(fd, path, seed, err);
    if (rc < 0)
        return rc;
    rc = nkey_public_of(seed, ret_public, err);
    sodium_memzero(seed, sizeof(seed));
    return rc < 0 ? error_prefix(err, "%s", path) : 0;
}

static int seed_read(int fd, const char *path, char seed[SEED_LINE_BYTES], struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(err, ERR_IO, errno, "cannot look at the key '%s'", path);
    if ((status.st_mode & 077) != 0)
        return error_set(err, ERR_DENIED, 0,
                         "the key '%s' has mode %03o: others may read it. Make a new one, or "
                         "'chmod 600' it if nobody did",
                         path, (unsigned)(status.st_mode & 0777));
    ssize_t got = read(fd, seed, SEED_LINE_BYTES - 1);
    if (got < 0)
        return error_set(err, ERR_IO, errno, "cannot read the key '%s'", path);
    seed[got] = 0;
    seed[strcspn(seed, " \t\r\n")] = 0;
    return 0;
}

static int seed_pair(const char *seed, int *ret_type, uint8_t ret_public[KEY_BYTES],
                     uint8_t ret_secret[2 * KEY_BYTES], struct error *err)
{
    int rc = keys_init(err);
    if (rc < 0)
        return rc;
    uint8_t raw[SEED_BYTES];
    if (strnlen(seed, SEED_TEXT + 1) != SEED_TEXT || bytes_of(seed, raw, SEED_BYTES) < 0 ||
        (raw[0] & 0xf8) != PREFIX_SEED) {
        sodium_memzero(raw, sizeof(raw));
        return error_set(err, ERR_INVALID, 0,
                         "not an nkey seed: %d letters starting with 'S' and a right checksum are "
                         "wanted (the text is not shown)",
                         SEED_TEXT);
    }
    crypto_sign_seed_keypair(ret_public, ret_secret, raw + 2);
    *ret_type = ((raw[0] & 7) << 5) | (raw[1] >> 3);
    sodium_memzero(raw, sizeof(raw));
    return 0;
}

/* Written beside its place and linked there, so that a crash never leaves half a key and of two
 * programs that start together one wins and both use its key. */
static int seed_store(const char *path, char ret_public[NKEY_TEXT_BYTES], struct error *err)
{
    char seed[NKEY_TEXT_BYTES];
    char public_key[NKEY_TEXT_BYTES];
    char id[LIMIT_ID_BYTES];
    char beside[LIMIT_PATH_BYTES];
    int rc = nkey_create_user(seed, public_key, err);
    if (rc < 0)
        return rc;
    id_random(id);
    if ((size_t)snprintf(beside, sizeof(beside), "%s.%s", path, id) >= sizeof(beside)) {
        sodium_memzero(seed, sizeof(seed));
        return error_set(err, ERR_LIMIT, 0, "the path '%.64s...' is longer than %zu bytes", path,
                         sizeof(beside) - LIMIT_ID_BYTES);
    }
    rc = seed_write(beside, seed, err);
    sodium_memzero(seed, sizeof(seed));
    if (rc == 0 && link(beside, path) < 0 && errno != EEXIST)
        rc = error_set(err, ERR_IO, errno, "cannot create the key '%s'", path);
    (void)unlink(beside); /* when it was never made there is nothing to remove */
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "cannot open the key '%s'", path);
    return seed_load(fd, path, ret_public, err);
}

static int seed_write(const char *path, const char *seed, struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "cannot create '%s'", path);
    char line[NKEY_TEXT_BYTES + 1];
    str_format(line, sizeof(line), "%s\n", seed);
    size_t bytes = strlen(line);
    ssize_t written = write(fd, line, bytes);
    sodium_memzero(line, sizeof(line));
    if (written != (ssize_t)bytes || fsync(fd) < 0)
        return error_set(err, ERR_IO, errno, "cannot write '%s'", path);
    return 0;
}

int digest_begin(struct digest_state **ret_state, struct error *err)
{
    int rc = keys_init(err);
    if (rc < 0)
        return rc;
    struct digest_state *state = malloc(sizeof(*state));
    if (state == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a digest");
    crypto_hash_sha256_init(&state->sha);
    *ret_state = state;
    return 0;
}

void digest_add(struct digest_state *state, const void *bytes, size_t count)
{
    crypto_hash_sha256_update(&state->sha, bytes, count);
}

void digest_end(struct digest_state *state, char ret_text[LIMIT_DIGEST_BYTES])
{
    uint8_t raw[crypto_hash_sha256_BYTES];
    char hex[crypto_hash_sha256_BYTES * 2 + 1];
    crypto_hash_sha256_final(&state->sha, raw);
    free(state);
    if (ret_text == NULL)
        return;
    sodium_bin2hex(hex, sizeof(hex), raw, sizeof(raw));
    str_format(ret_text, LIMIT_DIGEST_BYTES, "sha256:%s", hex);
}

/* From the file's first byte, wherever its offset stands: what is checked is what is run. */
int digest_fd(int fd, char ret_text[LIMIT_DIGEST_BYTES], struct error *err)
{
    CLEANUP(cleanup_free) char *block = malloc(READ_BYTES);
    if (block == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a digest");
    struct digest_state *state = NULL;
    int rc = digest_begin(&state, err);
    if (rc < 0)
        return rc;
    off_t at = 0;
    for (;;) {
        ssize_t got = pread(fd, block, READ_BYTES, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rc = error_set(err, ERR_IO, errno, "cannot read the file to be digested");
            digest_end(state, NULL);
            return rc;
        }
        if (got == 0)
            break;
        digest_add(state, block, (size_t)got);
        at += got;
    }
    digest_end(state, ret_text);
    return 0;
}

int digest_file(const char *path, char ret_text[LIMIT_DIGEST_BYTES], struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot open '%s'",
                         path);
    int rc = digest_fd(fd, ret_text, err);
    return rc < 0 ? error_prefix(err, "%s", path) : 0;
}

/* 26 letters out of 36 hold 134 bits. */
void id_random(char out[LIMIT_ID_BYTES])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    BERTH_ASSERT(sodium_init() >= 0, "no source of random bytes");
    for (int i = 0; i < 26; i++)
        out[i] = letters[randombytes_uniform(36)];
    out[26] = 0;
}

static void public_text(int type, const uint8_t public_key[KEY_BYTES], char out[NKEY_TEXT_BYTES])
{
    uint8_t raw[PUBLIC_BYTES];
    raw[0] = (uint8_t)type;
    memcpy(raw + 1, public_key, KEY_BYTES);
    text_of(raw, PUBLIC_BYTES, out);
}

/* Fills in the checksum, the last two of `count` bytes, and writes base32 without padding. */
static void text_of(uint8_t *bytes, size_t count, char *out)
{
    uint16_t crc = crc16(bytes, count - 2);
    bytes[count - 2] = (uint8_t)(crc & 0xff);
    bytes[count - 1] = (uint8_t)(crc >> 8);
    uint32_t window = 0;
    int bits = 0;
    for (size_t i = 0; i < count; i++) {
        window = (window << 8) | bytes[i];
        for (bits += 8; bits >= 5; bits -= 5)
            *out++ = base32_letters[(window >> (bits - 5)) & 31];
    }
    if (bits > 0)
        *out++ = base32_letters[(window << (5 - bits)) & 31];
    *out = 0;
}

static int bytes_of(const char *text, uint8_t *out, size_t count)
{
    uint32_t window = 0;
    int bits = 0;
    size_t made = 0;
    for (; *text != 0; text++) {
        const char *letter = strchr(base32_letters, *text);
        if (letter == NULL)
            return ERR_INVALID;
        window = (window << 5) | (uint32_t)(letter - base32_letters);
        bits += 5;
        if (bits < 8)
            continue;
        bits -= 8;
        if (made == count)
            return ERR_INVALID;
        out[made++] = (uint8_t)(window >> bits);
    }
    if (made != count || (window & ((1u << bits) - 1)) != 0)
        return ERR_INVALID;
    uint16_t crc = crc16(out, count - 2);
    bool right = out[count - 2] == (crc & 0xff) && out[count - 1] == (crc >> 8);
    return right ? 0 : ERR_INVALID;
}

/* CRC-16 with polynomial 0x1021 from 0 (XMODEM), as nkeys defines it. */
static uint16_t crc16(const uint8_t *bytes, size_t count)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < count; i++) {
        crc = (uint16_t)(crc ^ (bytes[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc;
}
