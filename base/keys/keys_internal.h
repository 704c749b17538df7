/*
 * keys_internal: what keys.c shows to proof.c: the raw bytes behind the texts. Not for others.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define NKEY_RAW_BYTES 32

/* The Ed25519 pair of a seed file, the secret half in libsodium's form (64 bytes: seed and public
 * key). The caller wipes it. */
int nkey_file_pair(const char *path, uint8_t ret_public[NKEY_RAW_BYTES],
                   uint8_t ret_secret[2 * NKEY_RAW_BYTES], struct error *err) WARN_UNUSED;
/* A public user key's bytes; ERR_INVALID. */
int nkey_public_raw(const char *text, uint8_t ret_public[NKEY_RAW_BYTES],
                    struct error *err) WARN_UNUSED;
