#include "examples/ledger-resource/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define LINE_MAX_BYTES 160
#define WORDS_MAX      4

/* A request or a line, cut at its blanks. */
struct words {
    char text[LINE_MAX_BYTES];
    const char *at[WORDS_MAX];
    int count;
};

static bool split(const char *text, size_t bytes, struct words *ret_words);
static int load_line(struct ledger *ledger, const struct words *words);
static bool id_is_valid(const char *id);
static int64_t find(const struct ledger *ledger, const char *id);
static void put_index(struct ledger *ledger, int64_t number);
static int grow_index(struct ledger *ledger, int64_t room);
static int add(struct ledger *ledger, struct berth_epoch epoch, const char *id);
static int keep(struct ledger *ledger, const char *line);
static void append(struct ledger *ledger, const struct words *words, char *out);
static void raise_to(struct ledger *ledger, const struct words *words, bool claim, char *out);
static void read_some(const struct ledger *ledger, const struct words *words, char *out);
static void refuse(struct ledger *ledger, char *out);

int ledger_open(struct ledger *ledger, const char *path, struct error *err)
{
    *ledger = (struct ledger){.fd = -1};
    if (path == NULL)
        return 0;
    struct stat info;
    CLEANUP(cleanup_close)
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &info) < 0)
        return error_set(err, ERR_IO, errno, "open '%s'", path);
    size_t bytes = (size_t)info.st_size, whole = 0;
    if (bytes > 0) {
        void *text = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (text == MAP_FAILED)
            return error_set(err, ERR_IO, errno, "read '%s'", path);
        int rc = ledger_load(ledger, text, bytes, &whole, err);
        munmap(text, bytes);
        if (rc < 0) {
            ledger_close(ledger);
            return rc;
        }
        if (whole < bytes && ftruncate(fd, (off_t)whole) < 0) {
            ledger_close(ledger);
            return error_set(err, ERR_IO, errno, "cut '%s' to its %zu whole bytes", path, whole);
        }
    }
    ledger->fd = fd;
    fd = -1;
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger->fd >= 0)
        (void)close(ledger->fd);
    free(ledger->entries);
    free(ledger->index);
    *ledger = (struct ledger){.fd = -1};
}

int ledger_load(struct ledger *ledger, const char *text, size_t bytes, size_t *ret_bytes,
                struct error *err)
{
    size_t at = 0;
    for (int64_t line = 1;; line++) {
        const char *end = bytes > at ? memchr(text + at, '\n', bytes - at) : NULL;
        struct words words;
        if (end == NULL)
            break;
        size_t length = (size_t)(end - (text + at));
        if (!split(text + at, length, &words) || load_line(ledger, &words) < 0)
            return error_set(err, ERR_CORRUPT, 0,
                             "line %" PRId64 " of the ledger: '%.*s' cannot follow what is before "
                             "it",
                             line, (int)(length < 80 ? length : 80), text + at);
        at += length + 1;
    }
    *ret_bytes = at;
    return 0;
}

void ledger_answer(struct ledger *ledger, const char *request, size_t bytes, char *out)
{
    struct words words;
    if (!split(request, bytes, &words))
        str_format(out, LEDGER_ANSWER_MAX, "error a request is one to four words");
    else if (str_equal(words.at[0], "append") && words.count == 4)
        append(ledger, &words, out);
    else if (str_equal(words.at[0], "claim") && words.count == 2)
        raise_to(ledger, &words, true, out);
    else if (str_equal(words.at[0], "fence") && words.count == 2)
        raise_to(ledger, &words, false, out);
    else if (str_equal(words.at[0], "read") && words.count == 3)
        read_some(ledger, &words, out);
    else if (str_equal(words.at[0], "status") && words.count == 1)
        str_format(out, LEDGER_ANSWER_MAX,
                   "%" PRId64 " %" PRIu64 ".%" PRIu64 " %" PRId64 " %" PRId64, ledger->count,
                   ledger->fence.highest.term, ledger->fence.highest.n, ledger->refused,
                   ledger->conflicts);
    else
        str_format(out, LEDGER_ANSWER_MAX,
                   "error a request is append, claim, fence, read or status with its words");
}

static bool split(const char *text, size_t bytes, struct words *ret_words)
{
    if (bytes == 0 || bytes >= sizeof ret_words->text || memchr(text, 0, bytes) != NULL)
        return false;
    memcpy(ret_words->text, text, bytes);
    ret_words->text[bytes] = 0;
    ret_words->count = 0;
    for (char *at = ret_words->text; at != NULL;) {
        char *blank = strchr(at, ' ');
        if (blank != NULL)
            *blank++ = 0;
        if (*at == 0 || ret_words->count == WORDS_MAX)
            return false;
        ret_words->at[ret_words->count++] = at;
        at = blank;
    }
    return true;
}

static int load_line(struct ledger *ledger, const struct words *words)
{
    struct berth_epoch epoch;
    int64_t number;
    if (words->count < 2 || berth_epoch_parse(words->at[1], &epoch) < 0)
        return -1;
    if (str_equal(words->at[0], "e") && words->count == 2)
        return berth_fence_admit(&ledger->fence, epoch) == BERTH_FENCE_REFUSED ? -1 : 0;
    if (!str_equal(words->at[0], "a") || words->count != 4 ||
        str_to_i64(words->at[2], &number) < 0 || number != ledger->count + 1 ||
        !id_is_valid(words->at[3]) || find(ledger, words->at[3]) != 0 ||
        berth_fence_admit(&ledger->fence, epoch) == BERTH_FENCE_REFUSED)
        return -1;
    int rc = add(ledger, epoch, words->at[3]);
    if (rc == 0)
        put_index(ledger, ledger->count);
    return rc;
}

static bool id_is_valid(const char *id)
{
    size_t bytes = strlen(id);
    return bytes > 0 && bytes < LEDGER_ID_BYTES &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == bytes;
}

static int64_t find(const struct ledger *ledger, const char *id)
{
    if (ledger->index_room == 0)
        return 0;
    uint64_t at = hash_str(HASH_SEED, id);
    for (;; at++) {
        int64_t number = ledger->index[at & (ledger->index_room - 1)];
        if (number == 0 || str_equal(ledger->entries[number - 1].id, id))
            return number;
    }
}

static void put_index(struct ledger *ledger, int64_t number)
{
    uint64_t at = hash_str(HASH_SEED, ledger->entries[number - 1].id);
    while (ledger->index[at & (ledger->index_room - 1)] != 0)
        at++;
    ledger->index[at & (ledger->index_room - 1)] = (uint32_t)number;
}

/* Twice as large as the entries have room, so that half of it is always free. */
static int grow_index(struct ledger *ledger, int64_t room)
{
    uint32_t *index = calloc((size_t)room * 2, sizeof *index);
    if (index == NULL)
        return -1;
    free(ledger->index);
    ledger->index = index;
    ledger->index_room = (uint64_t)room * 2;
    for (int64_t number = 1; number <= ledger->count; number++)
        put_index(ledger, number);
    return 0;
}

/* The entry is there, but not known by its id before it is durable: the caller then puts it into
 * the index. */
static int add(struct ledger *ledger, struct berth_epoch epoch, const char *id)
{
    if (ledger->count == ledger->room) {
        int64_t room = ledger->room == 0 ? 1024 : ledger->room * 2;
        struct ledger_entry *entries =
            room > LEDGER_NUMBERS_MAX * 2
                ? NULL
                : realloc(ledger->entries, (size_t)room * sizeof *entries);
        if (entries == NULL)
            return -1;
        ledger->entries = entries;
        if (grow_index(ledger, room) < 0)
            return -1;
        ledger->room = room;
    }
    struct ledger_entry *entry = &ledger->entries[ledger->count++];
    *entry = (struct ledger_entry){.epoch = epoch};
    return str_copy(entry->id, sizeof entry->id, id);
}

/* Durable when it returns 0. After a write that failed, nobody knows what the file has: nothing
 * more is taken (the descriptor is closed), until it was opened again. */
static int keep(struct ledger *ledger, const char *line)
{
    if (ledger->fd == -1)
        return 0;
    size_t bytes = strlen(line);
    if (ledger->fd >= 0 && write(ledger->fd, line, bytes) == (ssize_t)bytes &&
        fdatasync(ledger->fd) == 0)
        return 0;
    if (ledger->fd >= 0)
        (void)close(ledger->fd);
    ledger->fd = -2;
    return -1;
}

static void append(struct ledger *ledger, const struct words *words, char *out)
{
    struct berth_epoch epoch;
    char text[BERTH_EPOCH_BYTES], line[LINE_MAX_BYTES + BERTH_EPOCH_BYTES];
    int64_t number;
    struct berth_fence fence = ledger->fence;
    if (berth_epoch_parse(words->at[1], &epoch) < 0 || str_to_i64(words->at[2], &number) < 0 ||
        !id_is_valid(words->at[3])) {
        str_format(out, LEDGER_ANSWER_MAX, "error append <epoch> <number> <id>");
        return;
    }
    if (berth_fence_admit(&fence, epoch) == BERTH_FENCE_REFUSED) {
        refuse(ledger, out);
        return;
    }
    int64_t has = find(ledger, words->at[3]);
    if (has != 0) {
        str_format(out, LEDGER_ANSWER_MAX, "again %" PRId64, has);
        return;
    }
    if (number != ledger->count + 1) {
        ledger->conflicts++;
        str_format(out, LEDGER_ANSWER_MAX, "conflict %" PRId64, ledger->count);
        return;
    }
    str_format(line, sizeof line, "a %s %" PRId64 " %s\n", berth_epoch_format(epoch, text), number,
               words->at[3]);
    bool added = ledger->count < LEDGER_NUMBERS_MAX && add(ledger, epoch, words->at[3]) == 0;
    if (!added || keep(ledger, line) < 0) {
        ledger->count -= added;
        str_format(out, LEDGER_ANSWER_MAX, "error it could not be kept");
        return;
    }
    ledger->fence = fence;
    put_index(ledger, ledger->count);
    str_format(out, LEDGER_ANSWER_MAX, "ok %" PRId64, ledger->count);
}

static void raise_to(struct ledger *ledger, const struct words *words, bool claim, char *out)
{
    struct berth_epoch epoch;
    char text[BERTH_EPOCH_BYTES], line[LINE_MAX_BYTES];
    struct berth_fence fence = ledger->fence;
    if (berth_epoch_parse(words->at[1], &epoch) < 0) {
        str_format(out, LEDGER_ANSWER_MAX, "error an epoch is <term>.<n>");
        return;
    }
    enum berth_fence_verdict verdict = berth_fence_admit(&fence, epoch);
    if (verdict == BERTH_FENCE_REFUSED) {
        refuse(ledger, out);
        return;
    }
    str_format(line, sizeof line, "e %s\n", berth_epoch_format(epoch, text));
    if (verdict == BERTH_FENCE_RAISED && keep(ledger, line) < 0) {
        str_format(out, LEDGER_ANSWER_MAX, "error it could not be kept");
        return;
    }
    ledger->fence = fence;
    if (!claim) {
        str_format(out, LEDGER_ANSWER_MAX, "ok");
        return;
    }
    int64_t from = ledger->count > LEDGER_CLAIM_IDS ? ledger->count - LEDGER_CLAIM_IDS : 0;
    str_format(out, LEDGER_ANSWER_MAX, "ok %" PRId64, ledger->count);
    for (size_t at = strlen(out); from < ledger->count; from++, at += strlen(out + at))
        str_format(out + at, LEDGER_ANSWER_MAX - at, " %s", ledger->entries[from].id);
}

static void read_some(const struct ledger *ledger, const struct words *words, char *out)
{
    int64_t number, count;
    size_t at = 0;
    char text[BERTH_EPOCH_BYTES];
    if (str_to_i64(words->at[1], &number) < 0 || str_to_i64(words->at[2], &count) < 0 ||
        number < 1 || count < 1) {
        str_format(out, LEDGER_ANSWER_MAX, "error read <number> <count>, both from 1");
        return;
    }
    out[0] = 0;
    if (count > LEDGER_READ_LINES)
        count = LEDGER_READ_LINES;
    for (; count > 0 && number <= ledger->count && at + LINE_MAX_BYTES < LEDGER_ANSWER_MAX;
         number++, count--, at += strlen(out + at)) {
        const struct ledger_entry *entry = &ledger->entries[number - 1];
        str_format(out + at, LEDGER_ANSWER_MAX - at, "%" PRId64 " %s %s\n", number,
                   berth_epoch_format(entry->epoch, text), entry->id);
    }
}

static void refuse(struct ledger *ledger, char *out)
{
    char text[BERTH_EPOCH_BYTES];
    ledger->refused++;
    str_format(out, LEDGER_ANSWER_MAX, "refused %s",
               berth_epoch_format(ledger->fence.highest, text));
}
