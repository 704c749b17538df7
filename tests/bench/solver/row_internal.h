/* What row_*.c share: a row as it is printed, and how a child is run. */
#pragma once

#include <sys/types.h>

#include "tests/bench/solver/row.h"

struct row {
    char set[ROW_NAME_BYTES];
    char name[ROW_NAME_BYTES];
    char who[16]; /* "berth", "greedy", "glpsol", "cbc" */
    int parts;
    int sites;
    int links;
    double cells;
    bool placed; /* cost holds */
    bool proven; /* cost is the optimum; without `placed`, there is no plan */
    bool wrong;
    double cost;
    double bound; /* -INFINITY: none */
    double seconds;
    double cpu_seconds;
    double mb;
    char word[LIMIT_TEXT_BYTES]; /* what is to be said of it */
};

/* What a child says of its work, through a pipe. */
struct row_answer {
    bool whole; /* it came to its end */
    bool placed;
    bool proven;
    bool wrong;
    int parts;
    int sites;
    int links;
    double cells;
    double cost;
    double bound;
    double seconds;
    double cpu_seconds;
    char word[LIMIT_TEXT_BYTES];
};

struct row_end {
    int status; /* of waitpid */
    bool killed;
    double seconds;
    double cpu_seconds;
    double mb;
};

/* Runs `work` in a child that is killed after limit_s; `answer` is what the child left. */
typedef void row_work(const struct row_case *it, const struct row_options *options,
                      const char *path, struct row_answer *answer);
void row_child(row_work *work, const struct row_case *it, const struct row_options *options,
               const char *path, double limit_s, struct row_answer *ret_answer,
               struct row_end *ret_end);
/* Runs a program, its output to a file; killed after limit_s. Status 127 << 8: it is not there. */
void row_program(char *const arguments[], const char *output, double limit_s,
                 struct row_end *ret_end);
/* How a process ended, when not with 0; "" then. */
void row_end_text(const struct row_end *end, char out[LIMIT_TEXT_BYTES]);

/* The works of children. `path`: where the programme goes. */
void row_solve(const struct row_case *it, const struct row_options *options, const char *path,
               struct row_answer *answer);
void row_greedy(const struct row_case *it, const struct row_options *options, const char *path,
                struct row_answer *answer);
void row_export(const struct row_case *it, const struct row_options *options, const char *path,
                struct row_answer *answer);

/* Gap of a cost to a bound, relative; NAN when one is missing. */
double row_gap(double cost, double bound);

void row_head(const struct row_options *options);
void row_print(const struct row_options *options, const struct row_case *it, const struct row *row);
/* Seconds and MB against size, of the cases whose names end in 1k, 10k, 100k, 1M. */
void row_growth(const struct row_options *options, const struct row *rows, int count);
