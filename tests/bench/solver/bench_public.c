/*
 * bench_public: the engine on public instances with known optima: what it finds, what it proves,
 * and how long it takes, beside the best that is known.
 *
 *     bench_public [--data DIR] [--only TEXT] [--threads N] [--work ADDITIONS] [--moves N]
 *                  [--gap GAP]
 *
 * DIR holds the folders gap, ctap_tap, qsap_silva2021 and mrf_toulbar2, each with a best_known.csv
 * ("instance,value,proven,..."). TEXT: only instances whose name has it. A row ends in "optimum"
 * where the answer is proven, and in "better" where it is below the best that is known. Exit code 1
 * when an answer contradicts a value that is known to be the optimum.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "tests/bench/solver/formats.h"

#define TEXT_BYTES ((size_t)64 << 20)

struct known {
    double value;
    bool given;
    bool proven;
};

static const char *data = BERTH_SOURCE_DIR "/../shared/data";
static const char *only = "";
static struct engine_options options = {.threads = 2, .seed = 1};
static char *text;
static int failures;
static int solved;
static int proven;

static void folder(const char *set, const char *under, const char *ending, const char *format);
static void instance(const char *set, const char *name, const char *path, const char *format);
static size_t read_text(const char *path, const char *format);
static size_t append(const char *path, size_t at);
static struct known known_of(const char *set, const char *name);
static void judge(const char *set, const char *name, const struct grid *grid,
                  const struct engine_result *result, double seconds, double cpu_seconds);
static double cpu_now(void);

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t number = 0;
        bool whole = str_to_i64(argv[i + 1], &number) == 0;
        if (str_equal(argv[i], "--data")) {
            data = argv[i + 1];
        } else if (str_equal(argv[i], "--only")) {
            only = argv[i + 1];
        } else if (str_equal(argv[i], "--threads") && whole) {
            options.threads = (int)number;
        } else if (str_equal(argv[i], "--work") && whole) {
            options.work_max = number;
        } else if (str_equal(argv[i], "--moves")) {
            options.moves_max = strtod(argv[i + 1], NULL);
        } else if (str_equal(argv[i], "--gap")) {
            options.gap = strtod(argv[i + 1], NULL);
        } else {
            fprintf(stderr, "bench_public: %s %s: see the head of the file\n", argv[i],
                    argv[i + 1]);
            return 2;
        }
    }
    if (access(data, R_OK) != 0) {
        printf("no public instances at %s (see --data): nothing was measured\n", data);
        return 0;
    }
    mip_quiet();
    text = malloc(TEXT_BYTES);
    if (text == NULL) {
        return 1;
    }
    printf("%-26s %6s %5s %6s %14s %14s %9s %14s %8s %8s %6s\n", "instance", "parts", "sites",
           "links", "cost", "bound", "gap", "best known", "s", "CPU s", "MB");
    folder("gap", "cattrysse1994", "", "gap");
    folder("gap", "chu1997", "", "gap");
    folder("ctap_tap", "CTAP", ".dat", "ctap");
    folder("ctap_tap", "TAP", ".dat", "tap");
    folder("qsap_silva2021", "", "_theta.txt", "qsap");
    folder("mrf_toulbar2", "", ".wcsp", "wcsp");
    folder("mrf_toulbar2", "", ".wcsp.gz", "wcsp");
    folder("mrf_toulbar2", "", ".wcsp.xz", "wcsp");
    printf("\n%d instances, %d proven, %d answers that contradict a known optimum\n", solved,
           proven, failures);
    free(text);
    return failures > 0;
}

/* The files of a folder that end so, by name. */
static void folder(const char *set, const char *under, const char *ending, const char *format)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/%s/%s", data, set, under);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        size_t bytes = strlen(name);
        size_t end = strlen(ending);
        bool fits = name[0] != '.' && bytes > end && str_equal(name + bytes - end, ending);
        /* The task assignment's folder holds a file that is not an instance. */
        if (fits && !str_equal(name, "tass.dat")) {
            char file[LIMIT_PATH_BYTES];
            char shown[LIMIT_PATH_BYTES];
            str_format(file, sizeof(file), "%s%s%s", path, under[0] == '\0' ? "" : "/", name);
            int stem = str_equal(format, "wcsp") ? (int)bytes : (int)(bytes - end);
            str_format(shown, sizeof(shown), "%s%s%.*s", under, under[0] == '\0' ? "" : "/", stem,
                       name);
            if (strstr(shown, only) != NULL) {
                instance(set, shown, file, format);
            }
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
}

static void instance(const char *set, const char *name, const char *path, const char *format)
{
    struct arena arena;
    struct grid grid;
    struct engine_result result;
    struct error err = {0};
    arena_init(&arena, (size_t)8 << 30);
    size_t bytes = read_text(path, format);
    int rc = format_read(format, text, bytes, &arena, &grid, &err);
    int64_t start = clock_mono_now().us;
    double cpu = cpu_now();
    rc = rc == 0 ? engine_solve(&grid, &options, &arena, &result, &err) : rc;
    if (rc < 0) {
        printf("%-26s %s\n", name, err.text);
        failures++;
    } else {
        double seconds = (double)(clock_mono_now().us - start) / 1e6;
        judge(set, name, &grid, &result, seconds, cpu_now() - cpu);
    }
    fflush(stdout);
    arena_done(&arena);
}

/* The quadratic ones are four files, one after the other. */
static size_t read_text(const char *path, const char *format)
{
    if (!str_equal(format, "qsap")) {
        return append(path, 0);
    }
    static const char *const parts[] = {"theta", "A", "D", "T"};
    size_t bytes = 0;
    size_t stem = strlen(path) - strlen("theta.txt");
    for (size_t i = 0; i < 4; i++) {
        char file[LIMIT_PATH_BYTES];
        str_format(file, sizeof(file), "%.*s%s.txt", (int)stem, path, parts[i]);
        bytes = append(file, bytes);
    }
    return bytes;
}

static size_t append(const char *path, size_t at)
{
    char command[LIMIT_PATH_BYTES + 32];
    size_t bytes = strlen(path);
    const char *tool = "cat";
    if (bytes > 3 && str_equal(path + bytes - 3, ".gz")) {
        tool = "gzip -dc";
    } else if (bytes > 3 && str_equal(path + bytes - 3, ".xz")) {
        tool = "xz -dc";
    }
    str_format(command, sizeof(command), "%s '%s'", tool, path);
    FILE *pipe = popen(command, "re");
    size_t got = pipe == NULL ? 0 : fread(text + at, 1, TEXT_BYTES - at, pipe);
    if (pipe != NULL) {
        (void)pclose(pipe);
    }
    return at + got;
}

static struct known known_of(const char *set, const char *name)
{
    struct known known = {0};
    char path[LIMIT_PATH_BYTES];
    char line[1024];
    str_format(path, sizeof(path), "%s/%s/best_known.csv", data, set);
    FILE *file = fopen(path, "re");
    size_t bytes = strlen(name);
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        /* The folders' names in the file may leave out the last one's ending. */
        if (strncmp(line, name, bytes) == 0 && line[bytes] == ',') {
            char *end;
            known.value = strtod(line + bytes + 1, &end);
            known.given = true;
            known.proven = strncmp(end, ",y", 2) == 0;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return known;
}

static void judge(const char *set, const char *name, const struct grid *grid,
                  const struct engine_result *result, double seconds, double cpu_seconds)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    struct known known = known_of(set, name);
    bool placed = result->status == SOLVE_OPTIMAL || result->status == SOLVE_FEASIBLE;
    double cost = placed ? (double)result->cost : NAN;
    const char *word = "";
    bool optimal = result->status == SOLVE_OPTIMAL;
    solved++;
    proven += optimal;
    bool wrong = known.proven && ((optimal && cost != known.value) || cost < known.value ||
                                  result->bound > known.value);
    if (wrong) {
        failures++;
        word = "WRONG";
    } else if (known.given && cost < known.value) {
        word = optimal ? "optimum, better" : "better";
    } else if (optimal) {
        word = "optimum";
    } else if (!placed) {
        word = solve_status_words[result->status];
    }
    printf("%-26s %6d %5d %6d %14.0f %14.1f %9.2g ", name, grid->parts, grid->sites, grid->links,
           cost, result->bound, placed ? result->gap : NAN);
    if (known.given) {
        printf("%13.0f%c", known.value, known.proven ? '*' : ' ');
    } else {
        printf("%14s", "-");
    }
    printf(" %8.2f %8.2f %6.0f %s\n", seconds, cpu_seconds, (double)usage.ru_maxrss / 1024, word);
}

static double cpu_now(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
