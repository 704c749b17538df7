#include "examples/counter/tally.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"

bool tally_id_is_valid(const char *id)
{
    size_t bytes = strlen(id);
    return bytes > 0 && bytes < TALLY_ID_BYTES &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == bytes;
}

int64_t tally_find(const struct tally *tally, const char *id)
{
    for (int i = 0; i < tally->kept; i++) {
        int64_t number = tally->count - i;
        if (str_equal(tally->ids[number % TALLY_IDS], id))
            return number;
    }
    return 0;
}

void tally_add(struct tally *tally, const char *id)
{
    tally->count++;
    tally->kept += tally->kept < TALLY_IDS;
    str_format(tally->ids[tally->count % TALLY_IDS], TALLY_ID_BYTES, "%s", id);
}

void tally_write(const struct tally *tally, size_t bytes_max, char *out, size_t capacity)
{
    size_t most = bytes_max < capacity ? bytes_max : capacity - 1;
    str_format(out, capacity, "%" PRId64, tally->count);
    size_t bytes = strlen(out);
    int fitting = 0;
    while (fitting < tally->kept) {
        bytes += 1 + strlen(tally->ids[(tally->count - fitting) % TALLY_IDS]);
        if (bytes > most)
            break;
        fitting++;
    }
    size_t at = strlen(out);
    for (int i = fitting - 1; i >= 0; i--, at += strlen(out + at))
        str_format(out + at, capacity - at, ",%s", tally->ids[(tally->count - i) % TALLY_IDS]);
}

int tally_read(struct tally *tally, const char *text, char separator)
{
    struct tally read = {0};
    char word[TALLY_ID_BYTES];
    const char *found[TALLY_IDS];
    int count = 0;
    size_t bytes = strcspn(text, (char[]){separator, 0});
    if (bytes >= sizeof word)
        return -1;
    str_format(word, sizeof word, "%.*s", (int)bytes, text);
    if (str_to_i64(word, &read.count) < 0 || read.count < 0)
        return -1;
    for (const char *at = text + bytes; *at != 0; at += bytes) {
        at++;
        bytes = strcspn(at, (char[]){separator, 0});
        if (bytes >= sizeof word || count == TALLY_IDS)
            return -1;
        str_format(word, sizeof word, "%.*s", (int)bytes, at);
        if (!tally_id_is_valid(word))
            return -1;
        found[count++] = at;
    }
    if (count > read.count)
        return -1;
    int64_t total = read.count;
    read.count -= count;
    for (int i = 0; i < count; i++) {
        bytes = strcspn(found[i], (char[]){separator, 0});
        str_format(word, sizeof word, "%.*s", (int)bytes, found[i]);
        tally_add(&read, word);
    }
    read.count = total;
    *tally = read;
    return 0;
}
