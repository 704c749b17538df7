#include "tests/bench/solver/row_peer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "tests/bench/solver/peer_read.h"
#include "tests/bench/solver/programme.h"

#define TEXT_BYTES ((size_t)64 << 20)
/* Neither looks at the clock everywhere: what is spent past the limit shows in its row. */
#define GRACE(limit) ((limit)*1.5 + 10)

static void path_of(const char *folder, const char *name, char out[LIMIT_PATH_BYTES]);
static size_t append_file(const char *path, char *text, size_t at);

bool row_peer_there(const char *program)
{
    char path[LIMIT_PATH_BYTES];
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        size_t bytes = strcspn(at, ":");
        if (bytes + strlen(program) + 2 < sizeof(path)) {
            str_format(path, sizeof(path), "%.*s/%s", (int)bytes, at, program);
            if (access(path, X_OK) == 0) {
                return true;
            }
        }
        at += bytes + (at[bytes] == ':');
    }
    return false;
}

bool row_peer_export(const struct row_case *it, const struct row_options *options,
                     const char *folder, struct row_answer *ret_answer)
{
    char path[LIMIT_PATH_BYTES];
    struct row_end end;
    path_of(folder, "programme.mps", path);
    row_child(row_export, it, options, path, 600, ret_answer, &end);
    if (!ret_answer->whole) {
        row_end_text(&end, ret_answer->word);
    }
    return ret_answer->whole && ret_answer->word[0] == '\0';
}

void row_export(const struct row_case *it, const struct row_options *options, const char *path,
                struct row_answer *answer)
{
    struct arena arena;
    struct grid grid;
    struct error err = {0};
    arena_init(&arena, (size_t)8 << 30);
    if (it->build(it, &arena, &grid, &err) < 0) {
        str_format(answer->word, sizeof(answer->word), "not built: %.200s", err.text);
        return;
    }
    int64_t columns = programme_columns(&grid);
    answer->parts = grid.parts;
    answer->sites = grid.sites;
    answer->links = grid.links;
    answer->cells = row_cells(&grid);
    if (columns > options->columns_max) {
        str_format(answer->word, sizeof(answer->word), "not tried: %lld columns",
                   (long long)columns);
        return;
    }
    FILE *file = fopen(path, "we");
    int rc = file == NULL ? error_set(&err, ERR_IO, 0, "%.100s cannot be written", path)
                          : programme_write(&grid, &arena, file, &err);
    if (file != NULL && fclose(file) != 0 && rc == 0) {
        rc = error_set(&err, ERR_IO, 0, "%.100s cannot be written", path);
    }
    if (rc < 0) {
        str_format(answer->word, sizeof(answer->word), "no programme: %.200s", err.text);
    }
}

void row_peer_run(const char *who, const struct row_options *options, const char *folder,
                  struct row *row)
{
    char model[LIMIT_PATH_BYTES];
    char log[LIMIT_PATH_BYTES];
    char report[LIMIT_PATH_BYTES];
    char seconds[32];
    char threads[32];
    struct row_end end;
    struct peer_words words;
    bool glpsol = str_equal(who, "glpsol");
    path_of(folder, "programme.mps", model);
    path_of(folder, "log", log);
    path_of(folder, "report", report);
    str_format(seconds, sizeof(seconds), "%.0f", ceil(options->limit_s));
    str_format(threads, sizeof(threads), "%d", options->engine.threads);
    (void)unlink(report);
    char program[16];
    str_format(program, sizeof(program), "%s", who);
    char words_of_glpsol[3][16] = {"--mps", "--tmlim", "-o"};
    char words_of_cbc[6][16] = {"-timeMode", "elapsed", "-seconds", "-threads", "-solve", "-quit"};
    char *const of_glpsol[] = {program, words_of_glpsol[0], model,  words_of_glpsol[1],
                               seconds, words_of_glpsol[2], report, NULL};
    char *const of_cbc[] = {
        program, model,           words_of_cbc[0], words_of_cbc[1], words_of_cbc[2],
        seconds, words_of_cbc[3], threads,         words_of_cbc[4], words_of_cbc[5],
        NULL};
    row_program(glpsol ? of_glpsol : of_cbc, log, GRACE(options->limit_s), &end);
    char *text = malloc(TEXT_BYTES);
    if (text == NULL) {
        perror("row: memory for a log");
        exit(1);
    }
    size_t bytes = append_file(log, text, 0);
    if (glpsol) {
        bytes = append_file(report, text, bytes);
        peer_read_glpsol(text, bytes, &words);
    } else {
        peer_read_cbc(text, bytes, &words);
    }
    free(text);
    row->placed = words.placed;
    row->proven = words.proven;
    row->cost = words.cost;
    row->bound = words.bound;
    row->seconds = end.seconds;
    row->cpu_seconds = end.cpu_seconds;
    row->mb = end.mb;
    row_end_text(&end, row->word);
    if (row->word[0] == '\0' && !words.placed && !words.proven) {
        str_format(row->word, sizeof(row->word), "no plan%s", words.limit ? " in time" : "");
    } else if (row->word[0] == '\0' && words.limit) {
        str_format(row->word, sizeof(row->word), "cut at the limit");
    }
}

void row_peer_clean(const char *folder)
{
    static const char *const names[] = {"programme.mps", "log", "report"};
    char path[LIMIT_PATH_BYTES];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path_of(folder, names[i], path);
        (void)unlink(path);
    }
}

static void path_of(const char *folder, const char *name, char out[LIMIT_PATH_BYTES])
{
    str_format(out, LIMIT_PATH_BYTES, "%s/%s", folder, name);
}

/* What is there, up to the room; a long log is cut in its middle lines, never in its last. */
static size_t append_file(const char *path, char *text, size_t at)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return at;
    }
    size_t room = TEXT_BYTES / 2;
    if (fseek(file, 0, SEEK_END) == 0) {
        long bytes = ftell(file);
        long from = bytes > (long)room ? bytes - (long)room : 0;
        (void)fseek(file, from, SEEK_SET);
    }
    size_t got = fread(text + at, 1, room, file);
    (void)fclose(file);
    return at + got;
}
