#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "tests/bench/solver/row_internal.h"
#include "tests/bench/solver/row_peer.h"

struct row_list {
    struct row_case *cases;
    int count;
    int room;
};

struct table {
    const struct row_options *options;
    const char *folder; /* of the peers' files */
    struct row *rows;
    int count;
    int room;
    int failures;
    int proven;
    int solved;
};

static bool read_options(int argc, char **argv, struct row_options *options);
static bool read_option(const char *name, const char *value, struct row_options *options);
static bool read_peers(const char *text, struct row_options *options);
static void help(const char *program, const char *what, const struct row_set *sets, int set_count);
static void drop_missing_peers(struct row_options *options);
static bool wanted(const struct row_options *options, const struct row_list *list, int index);
static void solve_case(struct table *table, const struct row_case *it);
static void solve_peers(struct table *table, const struct row_case *it, int ours);
static void run_program(struct table *table, const struct row_case *it);
static struct row *new_row(struct table *table, const struct row_case *it, const char *who);
static void take(struct row *row, const struct row_answer *answer, const struct row_end *end);
static void judge(struct table *table, const struct row_case *it, struct row *row);
static void compare(struct table *table, const struct row *ours, struct row *theirs);

int row_main(int argc, char **argv, const char *what, const struct row_set *sets, int set_count)
{
    struct row_options options = {.only = "",
                                  .data = BERTH_SOURCE_DIR "/../shared/data",
                                  .glpsol = true,
                                  .cbc = true,
                                  .greedy = true,
                                  .limit_s = 60,
                                  .columns_max = 400000,
                                  .engine = {.threads = 2, .seed = 1}};
    if (argc == 2 && str_equal(argv[1], "--help")) {
        help(argv[0], what, sets, set_count);
        return 0;
    }
    if (!read_options(argc, argv, &options)) {
        return 2;
    }
    drop_missing_peers(&options);
    char folder[] = BERTH_BINARY_DIR "/bench_rows-XXXXXX";
    struct table table = {.options = &options, .folder = mkdtemp(folder)};
    if (table.folder == NULL) {
        perror("a folder for programmes");
        return 1;
    }
    struct row_list list = {0};
    for (int i = 0; i < set_count; i++) {
        sets[i].list(&list, &options);
    }
    row_head(&options);
    int programs = 0;
    for (int i = 0; i < list.count; i++) {
        programs += list.cases[i].program != NULL;
        if (list.cases[i].program == NULL && wanted(&options, &list, i)) {
            solve_case(&table, &list.cases[i]);
        }
    }
    row_growth(&options, table.rows, table.count);
    for (int i = 0; i < list.count && programs > 0; i++) {
        if (list.cases[i].program != NULL && wanted(&options, &list, i)) {
            run_program(&table, &list.cases[i]);
        }
    }
    if (!options.json) {
        printf("\n%d instances, %d proven, %d contradictions\n", table.solved, table.proven,
               table.failures);
    }
    row_peer_clean(table.folder);
    (void)rmdir(table.folder);
    free(table.rows);
    free(list.cases);
    return table.failures > 0;
}

void row_add(struct row_list *list, const struct row_case *it)
{
    if (list->count == list->room) {
        list->room = list->room == 0 ? 64 : 2 * list->room;
        list->cases = realloc(list->cases, (size_t)list->room * sizeof(*list->cases));
        if (list->cases == NULL) {
            perror("row: memory for cases");
            exit(1);
        }
    }
    list->cases[list->count++] = *it;
}

static bool read_options(int argc, char **argv, struct row_options *options)
{
    for (int i = 1; i < argc; i++) {
        if (str_equal(argv[i], "--json")) {
            options->json = true;
        } else if (i + 1 == argc || !read_option(argv[i], argv[i + 1], options)) {
            fprintf(stderr, "%s: '%s%s%s' is no option of it; see --help\n", argv[0], argv[i],
                    i + 1 < argc ? " " : "", i + 1 < argc ? argv[i + 1] : "");
            return false;
        } else {
            i++;
        }
    }
    return true;
}

static bool read_option(const char *name, const char *value, struct row_options *options)
{
    int64_t number = 0;
    char *end;
    double real = strtod(value, &end);
    bool is_real = end != value && *end == '\0' && real >= 0 && isfinite(real);
    bool whole = str_to_i64(value, &number) == 0 && number >= 0;
    if (str_equal(name, "--only")) {
        options->only = value;
    } else if (str_equal(name, "--data")) {
        options->data = value;
    } else if (str_equal(name, "--peers")) {
        return read_peers(value, options);
    } else if (str_equal(name, "--limit") && is_real && real > 0 && real < 1e6) {
        options->limit_s = real;
    } else if (str_equal(name, "--columns") && whole) {
        options->columns_max = number;
    } else if (str_equal(name, "--threads") && whole && number >= 1 && number <= 64) {
        options->engine.threads = (int)number;
    } else if (str_equal(name, "--seed") && whole) {
        options->engine.seed = (uint64_t)number;
    } else if (str_equal(name, "--work") && whole) {
        options->engine.work_max = number;
    } else if (str_equal(name, "--moves") && is_real) {
        options->engine.moves_max = real;
    } else if (str_equal(name, "--gap") && is_real) {
        options->engine.gap = real;
    } else {
        return false;
    }
    return true;
}

/* "glpsol,cbc,greedy", some of them, or "none". */
static bool read_peers(const char *text, struct row_options *options)
{
    options->glpsol = false;
    options->cbc = false;
    options->greedy = false;
    while (!str_equal(text, "none") && *text != '\0') {
        size_t bytes = strcspn(text, ",");
        if (bytes == 6 && strncmp(text, "glpsol", bytes) == 0) {
            options->glpsol = true;
        } else if (bytes == 3 && strncmp(text, "cbc", bytes) == 0) {
            options->cbc = true;
        } else if (bytes == 6 && strncmp(text, "greedy", bytes) == 0) {
            options->greedy = true;
        } else {
            return false;
        }
        text += bytes + (text[bytes] == ',');
    }
    return true;
}

static void help(const char *program, const char *what, const struct row_set *sets, int set_count)
{
    const char *name = strrchr(program, '/');
    printf("usage: %s [OPTION...]\n\n%s\n\n", name != NULL ? name + 1 : program, what);
    printf("  --only TEXT        the row of this name, or all that have it in theirs, or of this "
           "set:");
    for (int i = 0; i < set_count; i++) {
        printf(" %s", sets[i].name);
    }
    printf("\n"
           "  --peers LIST       of glpsol, cbc, greedy; or none (default: all)\n"
           "  --limit SECONDS    of every solver (60)\n"
           "  --columns N        the largest programme that glpsol and cbc are given (400000)\n"
           "  --data DIR         folder of the public instances (../shared/data)\n"
           "  --threads N, --seed N, --moves N, --work N, --gap GAP\n"
           "                     of the engine (model/solve/engine.h)\n"
           "  --json             one object a line instead of the table\n"
           "  --help             this\n"
           "\n"
           "MB is the peak of a process that solves this row alone. Exit code 1 when answers\n"
           "contradict: each other, a proven optimum, or their own plan.\n");
}

static void drop_missing_peers(struct row_options *options)
{
    static const char *const packages[] = {"glpk-utils", "coinor-cbc"};
    const char *const names[] = {"glpsol", "cbc"};
    bool *const flags[] = {&options->glpsol, &options->cbc};
    for (int i = 0; i < 2; i++) {
        if (*flags[i] && !row_peer_there(names[i])) {
            fprintf(stderr, "%s is not installed (Debian: %s): its rows are left out\n", names[i],
                    packages[i]);
            *flags[i] = false;
        }
    }
}

/* The one of that name, or else all whose name has it, or whose set is it. */
static bool wanted(const struct row_options *options, const struct row_list *list, int index)
{
    const struct row_case *it = &list->cases[index];
    for (int i = 0; i < list->count; i++) {
        if (str_equal(list->cases[i].name, options->only)) {
            return str_equal(it->name, options->only);
        }
    }
    return strstr(it->name, options->only) != NULL || str_equal(it->set, options->only);
}

static void solve_case(struct table *table, const struct row_case *it)
{
    const struct row_options *options = table->options;
    struct row_answer answer;
    struct row_end end;
    int ours = table->count;
    struct row *row = new_row(table, it, "berth");
    /* The engine ends by itself at the limit; what does not is ended. */
    row_child(row_solve, it, options, NULL, 2 * options->limit_s + 30, &answer, &end);
    take(row, &answer, &end);
    judge(table, it, row);
    row_print(options, it, row);
    if (options->greedy && (it->gap_must > 0 || it->peers)) {
        row = new_row(table, it, "greedy");
        row_child(row_greedy, it, options, NULL, options->limit_s, &answer, &end);
        take(row, &answer, &end);
        row->bound = table->rows[ours].bound; /* its gap is to ours: it has none of its own */
        compare(table, &table->rows[ours], row);
        row_print(options, it, row);
    }
    if (it->peers && (options->glpsol || options->cbc)) {
        solve_peers(table, it, ours);
    }
}

static void solve_peers(struct table *table, const struct row_case *it, int ours)
{
    static const char *const names[] = {"glpsol", "cbc"};
    const bool asked[] = {table->options->glpsol, table->options->cbc};
    struct row_answer answer;
    bool there = row_peer_export(it, table->options, table->folder, &answer);
    for (int i = 0; i < 2; i++) {
        if (!asked[i]) {
            continue;
        }
        struct row *row = new_row(table, it, names[i]);
        row->parts = answer.parts;
        row->sites = answer.sites;
        row->links = answer.links;
        row->cells = answer.cells;
        if (there) {
            row_peer_run(names[i], table->options, table->folder, row);
            compare(table, &table->rows[ours], row);
        } else {
            str_format(row->word, sizeof(row->word), "%s", answer.word);
        }
        row_print(table->options, it, row);
    }
    row_peer_clean(table->folder);
}

/* A benchmark with a table of its own, beside this program; how it went is a row, what it said
 * follows. */
static void run_program(struct table *table, const struct row_case *it)
{
    char here[LIMIT_PATH_BYTES];
    char path[LIMIT_PATH_BYTES];
    char log[LIMIT_PATH_BYTES];
    struct row_end end;
    ssize_t bytes = readlink("/proc/self/exe", here, sizeof(here) - 1);
    here[bytes > 0 ? bytes : 0] = '\0';
    char *slash = strrchr(here, '/');
    str_format(path, sizeof(path), "%.*s/%.80s", slash != NULL ? (int)(slash - here) : 0, here,
               it->program);
    if (access(path, X_OK) != 0) {
        printf("\n== %s: %s is not built\n", it->name, it->program);
        return;
    }
    str_format(log, sizeof(log), "%s/log", table->folder);
    static char words[4][LIMIT_PATH_BYTES];
    char *arguments[6] = {path};
    for (int i = 0; i < 4 && it->arguments[i] != NULL; i++) {
        str_format(words[i], sizeof(words[i]), "%s", it->arguments[i]);
        arguments[i + 1] = words[i];
    }
    struct row *row = new_row(table, it, "berth");
    row_program(arguments, log, 1800, &end);
    row->seconds = end.seconds;
    row->cpu_seconds = end.cpu_seconds;
    row->mb = end.mb;
    row->bound = -HUGE_VAL;
    row_end_text(&end, row->word);
    row->wrong = row->word[0] != '\0';
    table->failures += row->wrong;
    if (table->options->json) {
        row_print(table->options, it, row);
        return;
    }
    printf("\n== %s: %.2f s, %.2f CPU s, %.0f MB%s%s\n", it->name, end.seconds, end.cpu_seconds,
           end.mb, row->wrong ? ", " : "", row->word);
    FILE *file = fopen(log, "re");
    char line[1024];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)fputs(line, stdout);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    (void)fflush(stdout);
}

static struct row *new_row(struct table *table, const struct row_case *it, const char *who)
{
    if (table->count == table->room) {
        table->room = table->room == 0 ? 64 : 2 * table->room;
        table->rows = realloc(table->rows, (size_t)table->room * sizeof(*table->rows));
        if (table->rows == NULL) {
            perror("row: memory for rows");
            exit(1);
        }
    }
    struct row *row = &table->rows[table->count++];
    *row = (struct row){.bound = -HUGE_VAL};
    str_format(row->set, sizeof(row->set), "%s", it->set);
    str_format(row->name, sizeof(row->name), "%s", it->name);
    str_format(row->who, sizeof(row->who), "%s", who);
    return row;
}

static void take(struct row *row, const struct row_answer *answer, const struct row_end *end)
{
    row->mb = end->mb;
    if (!answer->whole) {
        row_end_text(end, row->word);
        row->seconds = end->seconds;
        row->cpu_seconds = end->cpu_seconds;
        return;
    }
    row->parts = answer->parts;
    row->sites = answer->sites;
    row->links = answer->links;
    row->cells = answer->cells;
    row->placed = answer->placed;
    row->proven = answer->proven;
    row->wrong = answer->wrong;
    row->cost = answer->cost;
    row->bound = answer->bound;
    row->seconds = answer->seconds;
    row->cpu_seconds = answer->cpu_seconds;
    str_format(row->word, sizeof(row->word), "%s", answer->word);
}

/* Against what is known, and what must be reached. */
static void judge(struct table *table, const struct row_case *it, struct row *row)
{
    table->solved++;
    table->proven += row->proven;
    bool contradicts =
        it->known_proven && ((row->placed && row->cost < it->known_value) ||
                             (row->placed && row->proven && row->cost != it->known_value) ||
                             row->bound > it->known_value || (row->proven && !row->placed));
    if (contradicts) {
        row->wrong = true;
        str_format(row->word, sizeof(row->word), "WRONG: the optimum is known");
    }
    table->failures += row->wrong;
    if (row->word[0] != '\0' || !row->placed) {
        return;
    }
    double gap = row_gap(row->cost, row->bound);
    char known[LIMIT_TEXT_BYTES] = "";
    const char *word = row->proven ? "optimum" : "";
    if (it->known && row->cost < it->known_value) {
        str_format(known, sizeof(known), "%s", row->proven ? ", better" : "better");
    } else if (it->known && row->cost > it->known_value) {
        str_format(known, sizeof(known), "%.3f %% above the best known",
                   100 * (row->cost - it->known_value) / fabs(it->known_value));
    }
    if (it->gap_must > 0) {
        word = gap <= it->gap_moonshot ? "moonshot" : gap <= it->gap_must ? "must" : "NOT REACHED";
    }
    bool late = it->seconds_must > 0 && row->seconds > it->seconds_must;
    bool large = it->mb_must > 0 && row->mb > it->mb_must;
    str_format(row->word, sizeof(row->word), "%s%.100s%s%s", word, known, late ? ", late" : "",
               large ? ", too much memory" : "");
}

/* Two that prove must agree, up to the peers' tolerance of a millionth. */
static void compare(struct table *table, const struct row *ours, struct row *theirs)
{
    double little = 1e-6 * (1 + fabs(theirs->cost));
    bool below = theirs->placed && isfinite(ours->bound) && theirs->cost < ours->bound - little;
    bool above = ours->placed && !str_equal(theirs->who, "greedy") && isfinite(theirs->bound) &&
                 theirs->bound > ours->cost + 1e-6 * (1 + fabs(ours->cost));
    bool none = ours->placed && theirs->proven && !theirs->placed;
    if (below || above || none) {
        theirs->wrong = true;
        table->failures++;
        str_format(theirs->word, sizeof(theirs->word), "WRONG: one of the two, ours or this");
    }
}
