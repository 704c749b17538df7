#include "model/json_out.h"

#include <inttypes.h>
#include <string.h>

static void put(struct json_out *json, const char *bytes, size_t count);
static void begin(struct json_out *json, const char *key);
static void put_quoted(struct json_out *json, const char *text);

#define NUMBER_BYTES 64

void json_out_init(struct json_out *json, struct strbuf *text)
{
    *json = (struct json_out){.text = text, .hash = HASH_SEED, .comma = false};
}

void json_open(struct json_out *json, const char *key, char bracket)
{
    begin(json, key);
    put(json, &bracket, 1);
    json->comma = false;
}

void json_close(struct json_out *json, char bracket)
{
    put(json, &bracket, 1);
    json->comma = true;
}

void json_string(struct json_out *json, const char *key, const char *text)
{
    begin(json, key);
    put_quoted(json, text);
}

void json_bool(struct json_out *json, const char *key, bool value)
{
    begin(json, key);
    put(json, value ? "true" : "false", value ? 4 : 5);
}

void json_int(struct json_out *json, const char *key, int64_t value)
{
    char number[NUMBER_BYTES];
    str_format(number, sizeof(number), "%" PRId64, value);
    begin(json, key);
    put(json, number, strlen(number));
}

void json_price(struct json_out *json, const char *key, struct decimal value)
{
    char number[DECIMAL_TEXT_BYTES];
    json_string(json, key, decimal_format(value, number));
}

void json_duration(struct json_out *json, const char *key, int64_t us)
{
    char number[NUMBER_BYTES];
    str_format(number, sizeof(number), "%" PRId64 "us", us);
    json_string(json, key, number);
}

void json_cpu(struct json_out *json, const char *key, int64_t mcpu)
{
    char number[NUMBER_BYTES];
    str_format(number, sizeof(number), "%" PRId64 "m", mcpu);
    json_string(json, key, number);
}

void json_rate(struct json_out *json, const char *key, int64_t mhz)
{
    char number[NUMBER_BYTES];
    str_format(number, sizeof(number), "%" PRId64 ".%03" PRId64 "/s", mhz / 1000, mhz % 1000);
    json_string(json, key, number);
}

void json_millionths(struct json_out *json, const char *key, int64_t millionths)
{
    char number[NUMBER_BYTES];
    uint64_t magnitude = millionths < 0 ? -(uint64_t)millionths : (uint64_t)millionths;
    str_format(number, sizeof(number), "%s%" PRIu64 ".%06" PRIu64, millionths < 0 ? "-" : "",
               magnitude / 1000000, magnitude % 1000000);
    json_string(json, key, number);
}

static void put(struct json_out *json, const char *bytes, size_t count)
{
    json->hash = hash_bytes(json->hash, bytes, count);
    if (json->text != NULL) {
        strbuf_append(json->text, bytes, count);
    }
}

static void begin(struct json_out *json, const char *key)
{
    if (json->comma) {
        put(json, ",", 1);
    }
    json->comma = true;
    if (key != NULL) {
        put_quoted(json, key);
        put(json, ":", 1);
    }
}

static void put_quoted(struct json_out *json, const char *text)
{
    put(json, "\"", 1);
    const char *from = text;
    for (const char *at = text;; at++) {
        unsigned char c = (unsigned char)*at;
        if (c != '\0' && c != '"' && c != '\\' && c >= 0x20 && c != 0x7f) {
            continue;
        }
        put(json, from, (size_t)(at - from));
        if (c == '\0') {
            break;
        }
        char escape[NUMBER_BYTES];
        if (c == '"' || c == '\\') {
            str_format(escape, sizeof(escape), "\\%c", c);
        } else {
            str_format(escape, sizeof(escape), "\\u%04x", (unsigned)c);
        }
        put(json, escape, strlen(escape));
        from = at + 1;
    }
    put(json, "\"", 1);
}
