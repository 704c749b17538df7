#include "tests/bench/reaction/figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool field(const char *line, const char *key, int64_t *ret_value);

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void figures_add(struct figures *figures, int64_t us)
{
    if (figures->count < FIGURES_MAX)
        figures->us[figures->count++] = us;
}

int64_t figures_quantile(const struct figures *figures, int percent)
{
    int64_t sorted[FIGURES_MAX];
    if (figures->count == 0)
        return 0;
    memcpy(sorted, figures->us, (size_t)figures->count * sizeof(sorted[0]));
    qsort(sorted, (size_t)figures->count, sizeof(sorted[0]), compare);
    int at = (figures->count * percent + 99) / 100 - 1;
    return sorted[at < 0 ? 0 : at];
}

bool figures_solved(const char *log, long *at, int64_t from_us, int64_t to_us,
                    struct solved *ret_solved)
{
    char line[2048];
    bool found = false;
    FILE *file = fopen(log, "r");
    if (file == NULL)
        return false;
    if (fseek(file, *at, SEEK_SET) == 0) {
        while (fgets(line, sizeof(line), file) != NULL) {
            struct solved solved;
            if (strstr(line, " plan.solved ") == NULL ||
                !field(line, " told_us=", &solved.told_us) ||
                !field(line, " begin_us=", &solved.begin_us) ||
                !field(line, " input_us=", &solved.input_us) ||
                !field(line, " problem_us=", &solved.problem_us) ||
                !field(line, " encode_us=", &solved.encode_us) ||
                !field(line, " solve_us=", &solved.solve_us) ||
                !field(line, " answer_us=", &solved.answer_us))
                continue;
            int64_t end_us = solved.begin_us + solved.input_us + solved.problem_us +
                             solved.encode_us + solved.solve_us + solved.answer_us;
            if (solved.begin_us >= from_us && end_us <= to_us) {
                *ret_solved = solved;
                found = true;
            }
        }
        *at = ftell(file);
    }
    (void)fclose(file);
    return found;
}

static bool field(const char *line, const char *key, int64_t *ret_value)
{
    const char *text = strstr(line, key);
    return text != NULL && sscanf(text + strlen(key), "%" SCNd64, ret_value) == 1;
}
