#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "tests/bench/solver/cases.h"

static const struct {
    const char *name;
    const char *program;
    const char *arguments[2];
    const char *data; /* what it reads below the folder of public instances; NULL: nothing */
} programs[] = {
    {"whatif", "bench_whatif", {NULL}, NULL},
    {"session", "bench_session", {"--scenarios", "200"}, NULL},
    {"graphs", "bench_graphs", {NULL}, "microservices"},
    {"openb", "bench_openb", {NULL}, "trace_openb"},
};

void cases_programs(struct row_list *list, const struct row_options *options)
{
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        struct row_case it = {.program = programs[i].program,
                              .arguments = {programs[i].arguments[0], programs[i].arguments[1]}};
        char data[LIMIT_PATH_BYTES];
        str_format(it.set, sizeof(it.set), "%s", programs[i].name);
        str_format(it.name, sizeof(it.name), "%s", programs[i].name);
        if (programs[i].data != NULL) {
            str_format(data, sizeof(data), "%.900s/%s", options->data, programs[i].data);
            if (access(data, R_OK) != 0) {
                fprintf(stderr, "no %s: %s is left out\n", data, programs[i].name);
                continue;
            }
            it.arguments[0] = "--data";
            it.arguments[1] = options->data;
        }
        row_add(list, &it);
    }
}
