#include "tests/bench/solver/peer_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define LINE_BYTES 512

struct lines {
    const char *at;
    const char *end;
    char line[LINE_BYTES];
};

static bool next_line(struct lines *lines);
static bool number_after(const char *line, const char *words, double *ret_number);
static void settle(struct peer_words *words);

/*
 * "+  123: mip =  not found yet >=  -inf  (1; 0)" while it works, ">>>>>" for "mip =" at a new
 * best; in the report "Status:     INTEGER OPTIMAL" and "Objective:  COST = 12.5 (MINimum)".
 */
void peer_read_glpsol(const char *text, size_t bytes, struct peer_words *ret_words)
{
    struct lines lines = {.at = text, .end = text + bytes};
    struct peer_words words = {.bound = -INFINITY};
    while (next_line(&lines)) {
        const char *line = lines.line;
        double number;
        if (line[0] == '+' && (strstr(line, "mip =") != NULL || strstr(line, ">>>>>") != NULL)) {
            if (number_after(line, ">= ", &number) && number > words.bound) {
                words.bound = number;
            }
            if (number_after(line, ">>>>>", &number) || number_after(line, "mip =", &number)) {
                words.cost = number;
                words.placed = true;
            }
        } else if (str_starts(line, "TIME LIMIT EXCEEDED")) {
            words.limit = true;
        } else if (str_starts(line, "Status:")) {
            words.proven = strstr(line, "INTEGER OPTIMAL") != NULL;
            bool empty = strstr(line, "INTEGER EMPTY") != NULL;
            bool undefined = strstr(line, "UNDEFINED") != NULL || empty;
            words.placed = !undefined;
            words.proven = words.proven || empty;
        } else if (str_starts(line, "Objective:") && words.placed &&
                   number_after(line, "= ", &number)) {
            words.cost = number;
        } else if (str_starts(line, "PROBLEM HAS NO") && strstr(line, "FEASIBLE") != NULL) {
            words.proven = true;
            words.placed = false;
        }
    }
    settle(&words);
    *ret_words = words;
}

/* "Result - Optimal solution found", "Objective value:  2.0", "Lower bound:  1.0". */
void peer_read_cbc(const char *text, size_t bytes, struct peer_words *ret_words)
{
    struct lines lines = {.at = text, .end = text + bytes};
    struct peer_words words = {.bound = -INFINITY};
    while (next_line(&lines)) {
        const char *line = lines.line;
        double number;
        if (str_starts(line, "Result - ")) {
            words.proven =
                strstr(line, "Optimal solution") != NULL || strstr(line, "infeasible") != NULL;
            words.limit = strstr(line, "time limit") != NULL;
        } else if (strstr(line, "roblem is infeasible") != NULL ||
                   str_starts(line, "No feasible solution found")) {
            words.proven = words.proven || strstr(line, "infeasible") != NULL;
            words.placed = false;
        } else if (str_starts(line, "Objective value:") && number_after(line, "value:", &number)) {
            words.cost = number;
            words.placed = fabs(number) < 1e49; /* its word for none */
        } else if (str_starts(line, "Lower bound:") && number_after(line, "bound:", &number)) {
            words.bound = number;
        }
    }
    settle(&words);
    *ret_words = words;
}

/* Terminated, without its end; a longer line is cut, since no word of interest is that far. */
static bool next_line(struct lines *lines)
{
    if (lines->at >= lines->end) {
        return false;
    }
    size_t left = (size_t)(lines->end - lines->at);
    const char *end = memchr(lines->at, '\n', left);
    size_t bytes = end == NULL ? left : (size_t)(end - lines->at);
    size_t kept = bytes < LINE_BYTES - 1 ? bytes : LINE_BYTES - 1;
    memcpy(lines->line, lines->at, kept);
    lines->line[kept] = '\0';
    lines->at += end == NULL ? left : bytes + 1;
    return true;
}

/* The finite number that follows the words, after blanks. */
static bool number_after(const char *line, const char *words, double *ret_number)
{
    const char *at = strstr(line, words);
    if (at == NULL) {
        return false;
    }
    at += strlen(words);
    char *end;
    double number = strtod(at, &end);
    if (end == at || !isfinite(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}

static void settle(struct peer_words *words)
{
    if (words->placed && words->proven) {
        words->bound = words->cost;
    }
    if (!words->placed) {
        words->cost = 0;
    }
}
