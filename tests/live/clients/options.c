#include "tests/live/clients/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static void help(const char *program, const char *about, const struct client_option *options);

int client_options(int argc, char **argv, const char *about, const struct client_option *options,
                   bool *ret_json)
{
    const char *slash = strrchr(argv[0], '/');
    const char *program = slash == NULL ? argv[0] : slash + 1;
    *ret_json = false;
    for (int i = 1; i < argc; i++) {
        const struct client_option *option = options;
        if (str_equal(argv[i], "--help")) {
            help(program, about, options);
            return 1;
        }
        if (str_equal(argv[i], "--json")) {
            *ret_json = true;
            continue;
        }
        while (option->name != NULL && !str_equal(option->name, argv[i]))
            option++;
        if (option->name == NULL || (option->flag == NULL && i + 1 == argc)) {
            fprintf(stderr, "%s: %s: %s; see --help\n", program, argv[i],
                    option->name == NULL ? "not an option" : "a value is to follow");
            return -1;
        }
        if (option->flag != NULL)
            *option->flag = true;
        else if (option->word != NULL)
            *option->word = argv[++i];
        else if (str_to_i64(argv[++i], option->number) < 0 || *option->number < 0) {
            fprintf(stderr, "%s: %s %s: a number of 0 or more is wanted\n", program, argv[i - 1],
                    argv[i]);
            return -1;
        }
    }
    return 0;
}

static void help(const char *program, const char *about, const struct client_option *options)
{
    printf("usage: %s [OPTION VALUE]...\n%s\n\n", program, about);
    for (const struct client_option *option = options; option->name != NULL; option++) {
        char usual[64] = "";
        if (option->number != NULL)
            str_format(usual, sizeof usual, " (%" PRId64 ")", *option->number);
        else if (option->word != NULL && *option->word != NULL)
            str_format(usual, sizeof usual, " (%.56s)", *option->word);
        printf("  %-16s %s%s\n", option->name, option->text, usual);
    }
    printf("  %-16s %s\n", "--json", "one JSON object a line, for programs");
}
