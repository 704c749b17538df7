#include "model/problem_frame.h"

#include <endian.h>
#include <string.h>

/* Values that are written at a time. */
#define BATCH  256
#define LITTLE (BYTE_ORDER == LITTLE_ENDIAN) /* numbers here are as in a frame */

static void store(char *out, uint64_t value, size_t bytes);
static int64_t load_long(const unsigned char *at);
static int32_t load_int(const unsigned char *at);

size_t frame_cells(const struct problem *problem, int a, int b)
{
    return (size_t)problem->parts[a].choice_count * (size_t)problem->parts[b].choice_count;
}

void frame_put(struct strbuf *out, uint64_t value, size_t bytes)
{
    char text[8];
    store(text, value, bytes);
    strbuf_append(out, text, bytes);
}

void frame_put_costs(struct strbuf *out, const int64_t *costs, size_t count)
{
    char text[BATCH * 8];
    size_t used = 0;
    if (LITTLE) {
        strbuf_append(out, (const char *)costs, count * sizeof(*costs));
        return;
    }
    for (size_t i = 0; i < count; i++, used += 8) {
        if (used == sizeof(text)) {
            strbuf_append(out, text, used);
            used = 0;
        }
        store(text + used, (uint64_t)costs[i], 8);
    }
    strbuf_append(out, text, used);
}

void frame_put_align(struct strbuf *out, size_t from)
{
    static const char none[8] = {0};
    strbuf_append(out, none, (8 - (out->bytes - from) % 8) % 8);
}

void frame_put_uses(struct strbuf *out, const struct problem_use *use, int use_count, size_t cells)
{
    size_t slots = use == NULL ? 0 : cells * (size_t)use_count;
    uint64_t count = 0;
    for (size_t i = 0; i < slots; i++) {
        count += use[i].meter >= 0;
    }
    frame_put(out, count == 0 ? 0 : (uint64_t)use_count, 4);
    if (count == 0) {
        return;
    }
    frame_put(out, count, 4);
    char text[BATCH * 16];
    size_t used = 0;
    for (size_t i = 0; i < slots; i++) {
        if (use[i].meter < 0) {
            continue;
        }
        if (used == sizeof(text)) {
            strbuf_append(out, text, used);
            used = 0;
        }
        store(text + used, i, 4);
        store(text + used + 4, (uint64_t)use[i].meter, 4);
        store(text + used + 8, (uint64_t)use[i].bytes, 8);
        used += 16;
    }
    strbuf_append(out, text, used);
}

void frame_put_tiers(struct strbuf *out, const struct problem_meter *meter)
{
    frame_put(out, (uint64_t)meter->base_bytes, 8);
    frame_put(out, (uint64_t)meter->per_bytes, 8);
    frame_put(out, (uint64_t)meter->tier_count, 4);
    frame_put_costs(out, meter->up_to_bytes, (size_t)meter->tier_count);
    frame_put_costs(out, meter->price_nusd, (size_t)meter->tier_count);
}

uint64_t frame_get(struct frame_reader *in, size_t bytes)
{
    if (in->failed || in->left < bytes) {
        (void)frame_fail(in, ERR_INVALID, "it ends too early, bytes missing",
                         (long long)bytes - (long long)in->left);
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)in->at[i] << (8 * i);
    }
    in->at += bytes;
    in->left -= bytes;
    return value;
}

/* A signed number of 4 or 8 bytes within [min, max]; min after a failure. */
int64_t frame_get_range(struct frame_reader *in, size_t bytes, const char *what, int64_t min,
                        int64_t max)
{
    uint64_t raw = frame_get(in, bytes);
    int64_t value = bytes == 4 ? (int64_t)(int32_t)(uint32_t)raw : (int64_t)raw;
    if (in->failed || value < min || value > max) {
        (void)frame_fail(in, ERR_INVALID, what, (long long)value);
        return min;
    }
    return value;
}

/* A count at most `max`, of things that take at least bytes_each of the bytes that are left. */
int frame_get_count(struct frame_reader *in, const char *what, int64_t max, size_t bytes_each)
{
    int64_t count = frame_get_range(in, 4, what, 0, max);
    if (!in->failed && (size_t)count > in->left / bytes_each) {
        (void)frame_fail(in, ERR_INVALID, what, (long long)count);
        return 0;
    }
    return (int)count;
}

void *frame_get_memory(struct frame_reader *in, size_t count, size_t bytes_each)
{
    if (in->failed) {
        return NULL;
    }
    void *memory = arena_array(in->arena, count == 0 ? 1 : count, bytes_each);
    if (memory == NULL) {
        (void)frame_fail(in, ERR_NO_MEMORY, "no memory for things of its own count",
                         (long long)count);
    }
    return memory;
}

int64_t *frame_get_costs(struct frame_reader *in, size_t count)
{
    if (!in->failed && in->left / 8 < count) {
        (void)frame_fail(in, ERR_INVALID, "it ends within a table of costs", (long long)count);
    }
    int64_t *costs = frame_get_memory(in, count, sizeof(*costs));
    if (in->failed) {
        return costs;
    }
    for (size_t i = 0; i < count; i++) {
        costs[i] = load_long(in->at + 8 * i);
    }
    in->at += 8 * count;
    in->left -= 8 * count;
    return costs;
}

void frame_get_align(struct frame_reader *in, const void *from)
{
    size_t read = (size_t)(in->at - (const unsigned char *)from);
    size_t bytes = (8 - read % 8) % 8;
    if (bytes > 0 && frame_get(in, bytes) != 0) {
        (void)frame_fail(in, ERR_INVALID, "not 0 between two things, after bytes", (long long)read);
    }
}

int64_t *frame_get_table(struct frame_reader *in, size_t count)
{
    bool aligned = (uintptr_t)in->at % _Alignof(int64_t) == 0;
    if (!LITTLE || !aligned || in->failed || in->left / 8 < count) {
        return frame_get_costs(in, count);
    }
    int64_t *costs = (int64_t *)(uintptr_t)in->at;
    in->at += 8 * count;
    in->left -= 8 * count;
    return costs;
}

struct problem_use *frame_get_uses(struct frame_reader *in, size_t cells, int meter_count,
                                   int *ret_use_count)
{
    int use_count = (int)frame_get_range(in, 4, "uses of a cell", 0, LIMIT_USES);
    if (in->failed || use_count == 0) {
        return NULL;
    }
    size_t slots = cells * (size_t)use_count;
    int count = frame_get_count(in, "uses", slots < INT32_MAX ? (int64_t)slots : INT32_MAX, 16);
    if (!in->failed && count == 0) {
        (void)frame_fail(in, ERR_INVALID, "no use, in cells that have", use_count);
    }
    struct problem_use *use = frame_get_memory(in, slots, sizeof(*use));
    for (size_t i = 0; i < slots && !in->failed; i++) {
        use[i].meter = -1;
    }
    *ret_use_count = use_count;
    for (int i = 0; i < count && !in->failed; i++) { /* get_count has seen that they are there */
        int32_t slot = load_int(in->at);
        int32_t meter = load_int(in->at + 4);
        int64_t bytes = load_long(in->at + 8);
        if (slot < 0 || (size_t)slot >= slots) {
            (void)frame_fail(in, ERR_INVALID, "use's cell", slot);
        } else if (meter < 0 || meter >= meter_count) {
            (void)frame_fail(in, ERR_INVALID, "use's meter", meter);
        } else if (bytes < 0) {
            (void)frame_fail(in, ERR_INVALID, "use's bytes", (long long)bytes);
        } else {
            use[slot] = (struct problem_use){.meter = meter, .bytes = bytes};
        }
        in->at += 16;
        in->left -= 16;
    }
    return use;
}

void frame_get_tiers(struct frame_reader *in, struct problem_meter *meter)
{
    meter->base_bytes = frame_get_range(in, 8, "month to date", 0, INT64_MAX);
    meter->per_bytes = frame_get_range(in, 8, "bytes per price", 1, INT64_MAX);
    meter->tier_count = (int)frame_get_range(in, 4, "tiers", 1, LIMIT_TIERS);
    int64_t low = 0;
    for (int i = 0; i < meter->tier_count && !in->failed; i++) {
        bool last = i == meter->tier_count - 1;
        low = frame_get_range(in, 8, "tier's end", last ? INT64_MAX : low + 1,
                              last ? INT64_MAX : INT64_MAX - 1);
        meter->up_to_bytes[i] = low;
    }
    for (int i = 0; i < meter->tier_count && !in->failed; i++) {
        meter->price_nusd[i] = frame_get_range(in, 8, "price", INT64_MIN, INT64_MAX);
    }
}

/* Only the first failure is reported: what follows it is its consequence. */
int frame_fail(struct frame_reader *in, int code, const char *what, long long value)
{
    if (!in->failed) {
        in->failed = true;
        (void)error_set(in->err, code, 0, "frame: %s: %lld is not allowed here", what, value);
    }
    return code;
}

static void store(char *out, uint64_t value, size_t bytes)
{
    uint64_t little = htole64(value);
    memcpy(out, &little, bytes);
}

/* Of 8 bytes; tables are read by the million. */
static int64_t load_long(const unsigned char *at)
{
    uint64_t little;
    memcpy(&little, at, sizeof(little));
    return (int64_t)le64toh(little);
}

static int32_t load_int(const unsigned char *at)
{
    uint32_t little;
    memcpy(&little, at, sizeof(little));
    return (int32_t)le32toh(little);
}
