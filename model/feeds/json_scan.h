/*
 * json_scan: JSON as it streams by: each value with the way to it, nothing kept.
 *
 * It is fed pieces of any size and calls back when an object or a list opens and closes and for
 * each scalar, whose text is unescaped and terminated (a number's as it is written). The way is the
 * keys and places from the root: json_key(scan, 0) is "Items" and json_key(scan, 2) "skuName" at
 * $.Items[4].skuName, whose depth is 3. Memory is one string (LIMIT_FEED_TEXT_BYTES) and the keys
 * of LIMIT_DOC_DEPTH levels, however long the text. Whatever the pieces, the calls are the same.
 *
 * Strict: what jansson refuses is refused here, but for keys that come twice and invalid UTF-8. A
 * text that ends early is ERR_INVALID in json_scan_end. A trailing comma is refused: real files
 * have none. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct json_scan;

enum json_event { JSON_OPEN_MAP, JSON_OPEN_LIST, JSON_CLOSE, JSON_TEXT, JSON_NUMBER, JSON_WORD };

/* `text` is "" but for scalars ("true", "null", ... for JSON_WORD). The way is that of the value;
 * for JSON_CLOSE of what closes. A negative code ends the scan with it. */
typedef int json_sink(void *context, const struct json_scan *scan, enum json_event event,
                      const char *text, struct error *err);

int json_scan_create(json_sink *sink, void *context, struct json_scan **ret_scan,
                     struct error *err) WARN_UNUSED;
void json_scan_destroy(struct json_scan *scan);
int json_scan_feed(struct json_scan *scan, const char *text, size_t bytes,
                   struct error *err) WARN_UNUSED;
int json_scan_end(struct json_scan *scan, struct error *err) WARN_UNUSED;

/* For the sink: how many objects and lists the value is within, the key that leads into level
 * `level` ("" in a list, or past the depth), and the place in a list (-1 in an object). */
int json_depth(const struct json_scan *scan);
const char *json_key(const struct json_scan *scan, int level);
int64_t json_place(const struct json_scan *scan, int level);
bool json_key_is(const struct json_scan *scan, int level, const char *key);
