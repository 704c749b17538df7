#include "tests/bench/handoff/steps.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"

#define MOVES_MAX_ 256
#define LOG_BYTES  ((size_t)64 << 20)
#define MISSING    INT64_MIN

enum source { SCHEDULER, FROM, TO, CLIENT };
enum about { HANDOFF, OLD, NEW }; /* whose id the line names */

/* In the order in which they are to happen. A step that is not there (an exclusive owner restores
 * nothing) is left out. */
static const struct step {
    const char *what;
    enum source source;
    enum about about;
    const char *event;
    const char *words; /* in the same line, too */
} steps[] = {
    {"freeze on the record", SCHEDULER, HANDOFF, " handoff.step ", " state=freezing "},
    {"... taken by the old node", FROM, OLD, " command.take ", " verb=drain "},
    {"... on its disk, told to the workload", FROM, OLD, " workload.told ", " word=freeze"},
    {"client: the last answer of the old owner", CLIENT, OLD, "", ""},
    {"workload has frozen", FROM, OLD, " workload.said ", " word=frozen"},
    {"last change of the state is stored", FROM, OLD, " state.shipped ", ""},
    {"its node reports that", FROM, OLD, " instance.state ", " state=held "},
    {"... to the scheduler", SCHEDULER, OLD, " node.report ", " state=held"},
    {"new node takes the last change", TO, NEW, " command.take ", " verb=restore "},
    {"... has it", TO, NEW, " state.fetched ", ""},
    {"... and the workload has read it", TO, NEW, " workload.said ", " word=restored"},
    {"fence on the record", SCHEDULER, HANDOFF, " handoff.step ", " state=fencing "},
    {"fence set", SCHEDULER, NEW, " fence.set ", ""},
    {"grant on the record", SCHEDULER, HANDOFF, " handoff.step ", " state=granting "},
    {"... taken by the new node", TO, NEW, " command.take ", " verb=resume "},
    {"... on its disk, told to the workload", TO, NEW, " workload.told ", " word=own"},
    {"workload owns, and listens", TO, NEW, " workload.said ", " word=owned"},
    {"client: the first answer of the new owner", CLIENT, NEW, "", ""},
    {"its node reports that", TO, NEW, " instance.state ", " state=ready "},
    {"end of the pause on the record", SCHEDULER, HANDOFF, " handoff.step ", " state=held "},
};

#define STEPS       (int)(sizeof steps / sizeof steps[0])
#define TOLD_FREEZE 2

struct move {
    char handoff[64];
    char old[64];
    char new[64];
    char from[32];
    char to[32];
    int64_t begun_us;
    int64_t ended_us;
    int64_t at_us[sizeof steps / sizeof steps[0]];
};

static int moves_find(const char *scheduler, struct move *moves);
static void move_fill(struct move *move, char *const logs[CLUSTER_NODES + 1], const json_t *line,
                      int64_t wall_less_mono_us);
static int64_t find(const char *log, const char *event, const char *words, const char *name,
                    int64_t from_us, int64_t to_us);
static bool line_has(const char *line, size_t bytes, const char *text);
static bool line_value(const char *line, size_t bytes, const char *key, char *out, size_t capacity);
static int64_t line_us(const char *line);
static char *load(const struct stage *stage, const char *name);
static int compare(const void *a, const void *b);
static int64_t middle(int64_t *list, int count);

void steps_watch(void)
{
    setenv("BERTH_LOG", "debug", 1);
}

void steps_print(const struct stage *stage, const json_t *line)
{
    static struct move moves[MOVES_MAX_];
    char *logs[CLUSTER_NODES + 1] = {load(stage, "gcp"), load(stage, "aws"),
                                     load(stage, "scheduler")};
    int64_t wall_less_mono_us = clock_wall_now().us - clock_mono_now().us;
    int count = moves_find(logs[CLUSTER_NODES], moves);
    for (int i = 0; i < count; i++)
        move_fill(&moves[i], logs, line, wall_less_mono_us);
    printf("\n%-44s %9s %9s %9s\n", "median of the moves", "since ms", "step ms", "longest");
    for (int i = 0; i < STEPS; i++) {
        int64_t since[MOVES_MAX_], took[MOVES_MAX_];
        int known = 0;
        for (int k = 0; k < count; k++) {
            const int64_t *at = moves[k].at_us;
            int64_t before = MISSING;
            for (int m = i - 1; m >= 0 && before == MISSING; m--)
                if (steps[m].source != CLIENT || m == TOLD_FREEZE)
                    before = at[m];
            if (at[i] == MISSING || at[TOLD_FREEZE] == MISSING)
                continue;
            since[known] = at[i] - at[TOLD_FREEZE];
            took[known++] = before == MISSING ? 0 : at[i] - before;
        }
        if (known == 0)
            continue;
        int64_t since_us = middle(since, known), took_us = middle(took, known);
        printf("%-44s %9.2f %9.2f %9.2f\n", steps[i].what, (double)since_us / 1000,
               (double)took_us / 1000, (double)took[known - 1] / 1000);
    }
    printf("\"since\": since the old owner was told to freeze; a \"step\" is since the line above "
           "(the client's apart)\n");
    for (int i = 0; i <= CLUSTER_NODES; i++)
        free(logs[i]);
}

/* Handoffs that froze somebody and were granted. */
static int moves_find(const char *scheduler, struct move *moves)
{
    int count = 0;
    for (const char *line = scheduler, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        size_t bytes = (size_t)(end - line);
        char id[64];
        struct move *last = count > 0 ? &moves[count - 1] : NULL;
        bool step = line_has(line, bytes, " handoff.step ") &&
                    line_value(line, bytes, " handoff=", id, sizeof id);
        if (step && line_has(line, bytes, " state=freezing ") && count < MOVES_MAX_) {
            struct move *move = &moves[count++];
            *move = (struct move){.begun_us = line_us(line), .ended_us = INT64_MAX};
            str_format(move->handoff, sizeof move->handoff, "%s", id);
            (void)line_value(line, bytes, " instance=", move->new, sizeof move->new);
        } else if (step && last != NULL && str_equal(id, last->handoff) &&
                   line_has(line, bytes, " state=held ")) {
            last->ended_us = line_us(line);
        } else if (last != NULL && line_has(line, bytes, " command.send ") &&
                   last->ended_us == INT64_MAX) {
            bool drain = line_has(line, bytes, " verb=drain ");
            if (drain)
                (void)line_value(line, bytes, " instance=", last->old, sizeof last->old);
            if (drain)
                (void)line_value(line, bytes, " node=", last->from, sizeof last->from);
            if (line_has(line, bytes, " verb=resume "))
                (void)line_value(line, bytes, " node=", last->to, sizeof last->to);
        }
    }
    return count;
}

static void move_fill(struct move *move, char *const logs[CLUSTER_NODES + 1], const json_t *line,
                      int64_t wall_less_mono_us)
{
    size_t i;
    const json_t *turn;
    int64_t ends_us[2] = {MISSING, MISSING};
    json_array_foreach(json_object_get(line, "turns_us"), i, turn)
    {
        int64_t first_us = json_integer_value(json_array_get(turn, 1)) + wall_less_mono_us;
        if (first_us < move->begun_us || first_us > move->ended_us + US_PER_S)
            continue;
        ends_us[0] = json_integer_value(json_array_get(turn, 0)) + wall_less_mono_us;
        ends_us[1] = first_us;
        break;
    }
    for (int k = 0; k < STEPS; k++) {
        const struct step *step = &steps[k];
        const char *name = step->about == HANDOFF ? move->handoff
                           : step->about == OLD   ? move->old
                                                  : move->new;
        const char *node = step->source == FROM ? move->from : move->to;
        const char *log =
            step->source == SCHEDULER ? logs[CLUSTER_NODES] : logs[str_equal(node, "aws") ? 1 : 0];
        move->at_us[k] = step->source == CLIENT ? ends_us[step->about == NEW]
                                                : find(log, step->event, step->words, name,
                                                       move->begun_us, move->ended_us + US_PER_MS);
    }
}

/* The first such line in that time. */
static int64_t find(const char *log, const char *event, const char *words, const char *name,
                    int64_t from_us, int64_t to_us)
{
    char named[80], value[64];
    str_format(named, sizeof named, "=%s", name);
    for (const char *line = log, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        size_t bytes = (size_t)(end - line);
        if (!line_has(line, bytes, event) || !line_has(line, bytes, named))
            continue;
        bool same =
            (line_value(line, bytes, " instance=", value, sizeof value) &&
             str_equal(value, name)) ||
            (line_value(line, bytes, " handoff=", value, sizeof value) && str_equal(value, name));
        int64_t at_us = line_us(line);
        if (same && at_us >= from_us && at_us <= to_us && line_has(line, bytes, words))
            return at_us;
    }
    return MISSING;
}

static bool line_has(const char *line, size_t bytes, const char *text)
{
    return memmem(line, bytes, text, strlen(text)) != NULL;
}

static bool line_value(const char *line, size_t bytes, const char *key, char *out, size_t capacity)
{
    const char *at = memmem(line, bytes, key, strlen(key));
    if (at == NULL)
        return false;
    at += strlen(key);
    str_format(out, capacity, "%.*s", (int)strcspn(at, " \n"), at);
    return true;
}

/* Of "2026-11-22T10:03:27.884054Z": microseconds since 1970. */
static int64_t line_us(const char *line)
{
    struct tm tm = {0};
    const char *rest = strptime(line, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL || *rest != '.')
        return 0;
    return (int64_t)timegm(&tm) * US_PER_S + strtol(rest + 1, NULL, 10);
}

static char *load(const struct stage *stage, const char *name)
{
    char path[800];
    str_format(path, sizeof path, "%s/%s.log", stage->cluster->hub.folder, name);
    FILE *file = fopen(path, "re");
    char *text = malloc(LOG_BYTES + 1);
    assert_non_null(text);
    size_t bytes = file == NULL ? 0 : fread(text, 1, LOG_BYTES, file);
    text[bytes] = 0;
    if (file != NULL)
        fclose(file);
    return text;
}

static int64_t middle(int64_t *list, int count)
{
    qsort(list, (size_t)count, sizeof list[0], compare);
    return list[count / 2];
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
