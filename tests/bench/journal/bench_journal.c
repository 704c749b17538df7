/* What a commit of the journal costs, and what batching saves: records per second one by one and in
 * batches, against the same bytes appended to a plain file with an fdatasync each (what a commit
 * cannot beat), and the time to read them all back.
 *
 *     bench_journal [folder]      (default: the present one; it must be on the disk that is meant)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "scheduler/service/journal.h"

#define SINGLES    2000
#define BATCH      100
#define BATCHES    500
#define PATH_BYTES 4096

static const char event[] =
    "{\"v\":1,\"type\":\"core.event\",\"kind\":\"report\",\"at_us\":1700000000000000,\"report\":{"
    "\"node\":\"n1\",\"boot_id\":\"0d9c1a52-7d0e-4a51-9bb1-0a4c5c0d3f11\",\"seq\":12,\"boot_us\":"
    "123456789,\"instance\":{\"instance\":\"source-0-1\",\"namespace\":\"default\",\"app\":"
    "\"shop\","
    "\"workload\":\"source\",\"state\":\"ready\",\"epoch\":{\"term\":1,\"n\":7}}}}";
static const char effects[] =
    "[{\"v\":1,\"type\":\"core.effect\",\"kind\":\"publish\",\"event\":{\"seq\":0,\"wall_us\":"
    "1700000000000000,\"name\":\"handoff.step\",\"namespace\":\"default\",\"app\":\"shop\","
    "\"workload\":\"source\",\"state\":\"ready\"}}]";

static void die(const char *what, const struct error *err)
{
    fprintf(stderr, "bench_journal: %s: %s\n", what, err == NULL ? strerror(errno) : err->text);
    exit(1);
}

static void append(struct journal *journal, int count)
{
    struct journal_record records[BATCH] = {0};
    struct error err;
    for (int i = 0; i < count; i++)
        records[i] = (struct journal_record){
            .at_us = 1700000000000000 + i, .event = event, .effects = effects, .state_hash = 42};
    if (journal_append(journal, records, count, &err) < 0)
        die("append", &err);
}

static double rate(int64_t records, int64_t from_us)
{
    int64_t took_us = clock_mono_now().us - from_us;
    return (double)records * 1e6 / (double)(took_us > 0 ? took_us : 1);
}

static double plain_file(const char *folder)
{
    char path[PATH_BYTES];
    str_format(path, sizeof(path), "%s/bench.plain", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path, NULL);
    int64_t from_us = clock_mono_now().us;
    for (int i = 0; i < SINGLES; i++)
        if (write(fd, event, sizeof(event)) < 0 || write(fd, effects, sizeof(effects)) < 0 ||
            fdatasync(fd) < 0)
            die(path, NULL);
    double per_second = rate(SINGLES, from_us);
    close(fd);
    (void)unlink(path);
    return per_second;
}

static int count_one(void *context, const struct journal_record *record, struct error *err)
{
    (void)record;
    (void)err;
    ++*(int64_t *)context;
    return 0;
}

static void measure(const char *folder, const char *path)
{
    struct journal *journal = NULL;
    struct error err;
    uint64_t term;
    if (journal_open(path, &journal, &term, &err) < 0)
        die("open", &err);
    double plain = plain_file(folder);
    int64_t from_us = clock_mono_now().us;
    for (int i = 0; i < SINGLES; i++)
        append(journal, 1);
    double single = rate(SINGLES, from_us);
    from_us = clock_mono_now().us;
    for (int i = 0; i < BATCHES; i++)
        append(journal, BATCH);
    double batched = rate((int64_t)BATCH * BATCHES, from_us);
    int64_t seen = 0;
    from_us = clock_mono_now().us;
    if (journal_replay(journal, 0, count_one, &seen, &err) != 0)
        die("replay", &err);
    double replayed = rate(seen, from_us);
    journal_close(journal);
    printf("plain file, write and fdatasync each  %10.0f records/s  (baseline)\n", plain);
    printf("journal, one record per commit        %10.0f records/s  ratio %.2f\n", single,
           single / plain);
    printf("journal, %d records per commit       %10.0f records/s  ratio %.2f\n", BATCH, batched,
           batched / plain);
    printf("replay (read and checksum only)       %10.0f records/s  ratio %.2f\n", replayed,
           replayed / plain);
}

int main(int argc, char **argv)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
    char folder[PATH_BYTES];
    char path[PATH_BYTES + 16];
    str_format(folder, sizeof(folder), "%s/bench-journal-XXXXXX", argc > 1 ? argv[1] : ".");
    if (mkdtemp(folder) == NULL)
        die(folder, NULL);
    str_format(path, sizeof(path), "%s/journal.db", folder);
    measure(folder, path);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char file[PATH_BYTES + 32];
        str_format(file, sizeof(file), "%s%s", path, endings[i]);
        (void)unlink(file);
    }
    return rmdir(folder) == 0 ? 0 : 1;
}
