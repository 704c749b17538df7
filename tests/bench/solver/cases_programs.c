#include "base/str.h"
#include "tests/bench/solver/cases.h"

static const struct {
    const char *name;
    const char *program;
    bool data; /* it reads the folder of public instances */
} programs[] = {
    {"whatif", "bench_whatif", false},
    {"graphs", "bench_graphs", true},
    {"openb", "bench_openb", true},
};

void cases_programs(struct row_list *list, const struct row_options *options)
{
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        struct row_case it = {.program = programs[i].program};
        str_format(it.set, sizeof(it.set), "%s", programs[i].name);
        str_format(it.name, sizeof(it.name), "%s", programs[i].name);
        if (programs[i].data) {
            it.arguments[0] = "--data";
            it.arguments[1] = options->data;
        }
        row_add(list, &it);
    }
}
