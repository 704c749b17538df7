#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "tests/bench/solver/cases.h"
#include "tests/bench/solver/formats.h"

#define TEXT_BYTES ((size_t)64 << 20)

/* The peers are asked for a few of each kind: each may take the whole limit. */
static const char *const with_peers[] = {
    "gap1-0", "gap12-0",    "c05100",      "c10200",      "d05100",        "d10100",
    "e05100", "tass1003Aa", "tassc1003Aa", "tassc2005Ca", "tassnu_10_3_1", "404"};

static const struct {
    const char *set;
    const char *folder;
    const char *under;
    const char *ending;
    const char *format;
} folders[] = {
    {"gap", "gap", "cattrysse1994", "", "gap"},
    {"gap", "gap", "chu1997", "", "gap"},
    {"ctap", "ctap_tap", "CTAP", ".dat", "ctap"},
    {"tap", "ctap_tap", "TAP", ".dat", "tap"},
    {"qsap", "qsap_silva2021", "", "_theta.txt", "qsap"},
    {"wcsp", "mrf_toulbar2", "", ".wcsp", "wcsp"},
    {"wcsp", "mrf_toulbar2", "", ".wcsp.gz", "wcsp"},
    {"wcsp", "mrf_toulbar2", "", ".wcsp.xz", "wcsp"},
};

static void list_folder(struct row_list *list, const struct row_options *options, size_t index);
static void list_file(struct row_list *list, const struct row_options *options, size_t index,
                      const char *file);
static void read_known(const struct row_options *options, const char *set, const char *name,
                       struct row_case *it);
static int read_case(const struct row_case *it, struct arena *arena, struct grid *ret_grid,
                     struct error *err);
static size_t read_text(const char *path, const char *format, char *text);
static size_t append(const char *path, char *text, size_t at);

void cases_public(struct row_list *list, const struct row_options *options)
{
    if (access(options->data, R_OK) != 0) {
        fprintf(stderr, "no public instances at %s (see --data): their rows are left out\n",
                options->data);
        return;
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        list_folder(list, options, i);
    }
}

/* Its files that end so, by name. */
static void list_folder(struct row_list *list, const struct row_options *options, size_t index)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%.600s/%s/%s", options->data, folders[index].folder,
               folders[index].under);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        size_t bytes = strlen(name);
        size_t end = strlen(folders[index].ending);
        bool fits =
            name[0] != '.' && bytes > end && str_equal(name + bytes - end, folders[index].ending);
        /* The task assignment's folder holds a file that is not an instance. */
        if (fits && !str_equal(name, "tass.dat")) {
            list_file(list, options, index, name);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
}

static void list_file(struct row_list *list, const struct row_options *options, size_t index,
                      const char *file)
{
    struct row_case it = {.build = read_case, .format = folders[index].format};
    const char *slash = folders[index].under[0] == '\0' ? "" : "/";
    size_t bytes = strlen(file);
    size_t stem = str_equal(it.format, "wcsp") ? bytes : bytes - strlen(folders[index].ending);
    char known[LIMIT_PATH_BYTES]; /* as the folder's own list calls it */
    str_format(known, sizeof(known), "%s%s%.*s", folders[index].under, slash, (int)stem, file);
    str_format(it.set, sizeof(it.set), "%s", folders[index].set);
    str_format(it.name, sizeof(it.name), "%.63s", known);
    str_format(it.path, sizeof(it.path), "%.600s/%s/%s%s%.255s", options->data,
               folders[index].folder, folders[index].under, slash, file);
    read_known(options, folders[index].folder, known, &it);
    for (size_t i = 0; i < sizeof(with_peers) / sizeof(with_peers[0]); i++) {
        const char *found = strstr(it.name, with_peers[i]);
        it.peers = it.peers || (found != NULL && (found == it.name || found[-1] == '/') &&
                                strcspn(found, ".") == strlen(with_peers[i]));
    }
    row_add(list, &it);
}

/* "instance,value,proven,..." */
static void read_known(const struct row_options *options, const char *set, const char *name,
                       struct row_case *it)
{
    char path[LIMIT_PATH_BYTES];
    char line[1024];
    str_format(path, sizeof(path), "%.600s/%s/best_known.csv", options->data, set);
    FILE *file = fopen(path, "re");
    size_t bytes = strlen(name);
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, bytes) == 0 && line[bytes] == ',') {
            char *end;
            it->known_value = strtod(line + bytes + 1, &end);
            it->known = true;
            it->known_proven = strncmp(end, ",y", 2) == 0;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

static int read_case(const struct row_case *it, struct arena *arena, struct grid *ret_grid,
                     struct error *err)
{
    char *text = malloc(TEXT_BYTES);
    if (text == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the text of %s", it->name);
    }
    size_t bytes = read_text(it->path, it->format, text);
    int rc = format_read(it->format, text, bytes, arena, ret_grid, err);
    free(text);
    return rc;
}

/* The quadratic ones are four files, one after the other. */
static size_t read_text(const char *path, const char *format, char *text)
{
    if (!str_equal(format, "qsap")) {
        return append(path, text, 0);
    }
    static const char *const parts[] = {"theta", "A", "D", "T"};
    size_t bytes = 0;
    size_t stem = strlen(path) - strlen("theta.txt");
    for (size_t i = 0; i < 4; i++) {
        char file[LIMIT_PATH_BYTES];
        str_format(file, sizeof(file), "%.*s%s.txt", (int)stem, path, parts[i]);
        bytes = append(file, text, bytes);
    }
    return bytes;
}

static size_t append(const char *path, char *text, size_t at)
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
