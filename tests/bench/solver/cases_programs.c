#include "base/str.h"
#include "tests/bench/solver/cases.h"

static const struct {
    const char *name;
    const char *program;
    const char *arguments[4];
} programs[] = {
    {"whatif", "bench_whatif", {NULL}},
    {"graphs", "bench_graphs", {NULL}},
    {"openb", "bench_openb", {NULL}},
};

void cases_programs(struct row_list *list, const struct row_options *options)
{
    (void)options;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        struct row_case it = {.program = programs[i].program};
        str_format(it.set, sizeof(it.set), "%s", programs[i].name);
        str_format(it.name, sizeof(it.name), "%s", programs[i].name);
        for (int k = 0; k < 4; k++) {
            it.arguments[k] = programs[i].arguments[k];
        }
        row_add(list, &it);
    }
}
