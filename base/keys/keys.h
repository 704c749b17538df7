/*
 * keys: nkeys (Ed25519 seeds and public keys in NATS's text form) and SHA-256 digests, on
 * libsodium.
 *
 * Text is base32 without padding of prefix, 32 bytes and CRC-16. Seeds are written to files of mode
 * 0600 and wiped from memory after use. Any thread after keys_init.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

#define NKEY_TEXT_BYTES 64 /* 58 for a seed, 56 for a public key, terminated */

int keys_init(struct error *err) WARN_UNUSED; /* sodium_init; any number of times */

/* A new user key pair. */
int nkey_create_user(char ret_seed[NKEY_TEXT_BYTES], char ret_public[NKEY_TEXT_BYTES],
                     struct error *err) WARN_UNUSED;
int nkey_public_of(const char *seed, char ret_public[NKEY_TEXT_BYTES],
                   struct error *err) WARN_UNUSED;
/* Loads the seed file, or creates it (0600, O_EXCL) with a new user key. */
int nkey_file_ensure(const char *path, char ret_public[NKEY_TEXT_BYTES],
                     struct error *err) WARN_UNUSED;
/* As nkey_file_ensure, of a file that must be there: ERR_NOT_FOUND. */
int nkey_file_public(const char *path, char ret_public[NKEY_TEXT_BYTES],
                     struct error *err) WARN_UNUSED;

struct digest_state;
int digest_begin(struct digest_state **ret_state, struct error *err) WARN_UNUSED;
void digest_add(struct digest_state *state, const void *bytes, size_t count);
/* Ends and frees; "sha256:<64 hex>". */
void digest_end(struct digest_state *state, char ret_text[LIMIT_DIGEST_BYTES]);
int digest_fd(int fd, char ret_text[LIMIT_DIGEST_BYTES], struct error *err) WARN_UNUSED;
int digest_file(const char *path, char ret_text[LIMIT_DIGEST_BYTES], struct error *err) WARN_UNUSED;
/* 128 random bits as 26 characters of [0-9a-z]: ids. */
void id_random(char out[LIMIT_ID_BYTES]);
