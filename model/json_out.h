/*
 * json_out: the canonical JSON that worlds and apps are written as, and hashed from.
 *
 * Fields come in the order of the writer's calls, without blanks, every quantity as a string in its
 * smallest unit, so that equal values give equal bytes. The bytes go to a strbuf, to a hash, or to
 * both; hashing alone uses no memory. A broken strbuf is reported by strbuf_error as usual. One
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/decimal.h"
#include "base/str.h"

struct json_out {
    struct strbuf *text; /* NULL: only the hash is wanted */
    uint64_t hash;
    bool comma; /* the next value needs a comma before it */
};

void json_out_init(struct json_out *json, struct strbuf *text);

/* `key` is NULL inside a list. `bracket` is '{', '[' and their counterparts. */
void json_open(struct json_out *json, const char *key, char bracket);
void json_close(struct json_out *json, char bracket);

/* jansson exports a json_string of its own, and programs link both: to the linker this is another
 * name, or service discovery would call this one. */
void json_string(struct json_out *json, const char *key,
                 const char *text) __asm__("json_out_string");
void json_bool(struct json_out *json, const char *key, bool value);
void json_int(struct json_out *json, const char *key, int64_t value);
void json_price(struct json_out *json, const char *key, struct decimal value);
void json_duration(struct json_out *json, const char *key, int64_t us);           /* "40000us" */
void json_cpu(struct json_out *json, const char *key, int64_t mcpu);              /* "250m" */
void json_rate(struct json_out *json, const char *key, int64_t mhz);              /* "0.250/s" */
void json_millionths(struct json_out *json, const char *key, int64_t millionths); /* "0.900000" */
