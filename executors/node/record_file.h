/*
 * record_file: one record in a file of two slots, written in turn. A save overwrites the older slot
 * and syncs: one write of data to disk and none of the file system's own, where a new file and its
 * rename take two commits of the file system's journal (and wait for what others have in them).
 *
 *     slot    "berth-record 1 <number> <bytes> <sum>\n", the text, to half of the file's length
 *
 * The slot with the higher number holds, if its sum is right: a save that a crash cut short leaves
 * the other slot as it was. The file is made, and made anew when a text has outgrown its slots, by
 * a new file and a rename. A file that begins with '{' is one text, as earlier versions wrote it.
 * Texts are up to RECORD_FILE_TEXT_MAX bytes and hold no zero byte. One thread a file.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/limits.h"

#define RECORD_FILE_TEXT_MAX LIMIT_WIRE_BYTES

/* Durable when it returns. */
int record_file_save(int folder_fd, const char *name, const char *text, size_t bytes,
                     struct error *err) WARN_UNUSED;
/* The caller frees *ret_text, which is terminated. ERR_NOT_FOUND; ERR_CORRUPT when neither slot
 * holds. */
int record_file_load(int folder_fd, const char *name, char **ret_text, size_t *ret_bytes,
                     struct error *err) WARN_UNUSED;
