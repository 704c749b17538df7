#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "tests/bench/solver/row_internal.h"

#define SIZES 4

static void put_number(const char *key, double value);
static void put_json(const struct row_case *it, const struct row *row);
static int size_of(const char *name, char stem[ROW_NAME_BYTES]);

double row_gap(double cost, double bound)
{
    if (!isfinite(bound) || !isfinite(cost)) {
        return NAN;
    }
    return cost <= bound ? 0 : (cost - bound) / fmax(fabs(cost), 1);
}

void row_head(const struct row_options *options)
{
    if (!options->json) {
        printf("%-26s %-7s %8s %5s %7s %15s %17s %8s %14s %8s %8s %6s  %s\n", "instance", "who",
               "parts", "sites", "links", "cost", "bound", "gap", "best known", "s", "CPU s", "MB",
               "");
    }
}

void row_print(const struct row_options *options, const struct row_case *it, const struct row *row)
{
    char cost[32] = "-";
    char bound[32] = "-";
    char gap[32] = "-";
    char known[32] = "-";
    if (options->json) {
        put_json(it, row);
        return;
    }
    if (row->placed) {
        str_format(cost, sizeof(cost), "%.0f", row->cost);
    }
    if (isfinite(row->bound)) {
        str_format(bound, sizeof(bound), "%.1f", row->bound);
    }
    if (row->placed && isfinite(row->bound)) {
        str_format(gap, sizeof(gap), "%.1e", row_gap(row->cost, row->bound));
    }
    if (it->known) {
        str_format(known, sizeof(known), "%.0f%s", it->known_value, it->known_proven ? "*" : "");
    }
    printf("%-26s %-7s %8d %5d %7d %15s %17s %8s %14s %8.2f %8.2f %6.0f  %s\n", row->name, row->who,
           row->parts, row->sites, row->links, cost, bound, gap, known, row->seconds,
           row->cpu_seconds, row->mb, row->word);
    (void)fflush(stdout);
}

void row_growth(const struct row_options *options, const struct row *rows, int count)
{
    bool headed = false;
    for (int i = 0; i < count && !options->json; i++) {
        char stem[ROW_NAME_BYTES];
        char other[ROW_NAME_BYTES];
        int size = size_of(rows[i].name, stem);
        if (size < 0 || rows[i].seconds <= 0) {
            continue;
        }
        const struct row *before = NULL;
        for (int k = 0; k < count; k++) {
            if (size_of(rows[k].name, other) == size - 1 && str_equal(stem, other) &&
                str_equal(rows[k].who, rows[i].who) && rows[k].seconds > 0) {
                before = &rows[k];
            }
        }
        if (!headed) {
            printf("\ngrowth: how often as much the next size takes (CPU seconds and MB of its "
                   "cells)\n%-26s %-7s %9s %12s %8s %7s %8s %7s %7s %7s %9s\n",
                   "instance", "who", "parts", "cells", "s", "times", "CPU s", "times", "MB",
                   "times", "B / cell");
            headed = true;
        }
        char times[3][16] = {"-", "-", "-"};
        if (before != NULL) {
            str_format(times[0], sizeof(times[0]), "%.1f", rows[i].seconds / before->seconds);
            str_format(times[1], sizeof(times[1]), "%.1f",
                       rows[i].cpu_seconds / fmax(before->cpu_seconds, 1e-3));
            str_format(times[2], sizeof(times[2]), "%.1f", rows[i].mb / fmax(before->mb, 1));
        }
        printf("%-26s %-7s %9d %12.0f %8.2f %7s %8.2f %7s %7.0f %7s %9.1f\n", rows[i].name,
               rows[i].who, rows[i].parts, rows[i].cells, rows[i].seconds, times[0],
               rows[i].cpu_seconds, times[1], rows[i].mb, times[2],
               rows[i].mb * 1048576 / fmax(rows[i].cells, 1));
    }
}

/* One object a line; what is not known is null. */
static void put_json(const struct row_case *it, const struct row *row)
{
    printf("{\"set\":\"%s\",\"instance\":\"%s\",\"who\":\"%s\",\"parts\":%d,\"sites\":%d,"
           "\"links\":%d",
           row->set, row->name, row->who, row->parts, row->sites, row->links);
    put_number("cells", row->cells);
    put_number("cost", row->placed ? row->cost : NAN);
    put_number("bound", row->bound);
    put_number("gap", row->placed ? row_gap(row->cost, row->bound) : NAN);
    put_number("best_known", it->known ? it->known_value : NAN);
    put_number("gap_must", it->gap_must > 0 ? it->gap_must : NAN);
    put_number("seconds", row->seconds);
    put_number("cpu_seconds", row->cpu_seconds);
    put_number("mb", row->mb);
    printf(",\"proven\":%s,\"wrong\":%s,\"word\":\"", row->proven ? "true" : "false",
           row->wrong ? "true" : "false");
    for (const char *at = row->word; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            (void)putchar('\\');
        }
        (void)putchar(*at >= ' ' ? *at : ' ');
    }
    printf("\"}\n");
    (void)fflush(stdout);
}

static void put_number(const char *key, double value)
{
    if (isfinite(value)) {
        printf(",\"%s\":%.15g", key, value);
    } else {
        printf(",\"%s\":null", key);
    }
}

/* The power of ten of a name's size, from 0 for "-1k"; -1: it has none. */
static int size_of(const char *name, char stem[ROW_NAME_BYTES])
{
    static const char *const sizes[SIZES] = {"-1k", "-10k", "-100k", "-1M"};
    size_t bytes = strlen(name);
    for (int i = 0; i < SIZES; i++) {
        size_t end = strlen(sizes[i]);
        if (bytes > end && str_equal(name + bytes - end, sizes[i])) {
            str_format(stem, ROW_NAME_BYTES, "%.*s", (int)(bytes - end), name);
            return i;
        }
    }
    return -1;
}
