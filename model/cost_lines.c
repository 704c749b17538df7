/* Ledger lines: adding them up, their words, and what several terms write alike. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

static void add(struct cost_sink *sink, nusd *sum, nusd amount);

void cost_sink_add(struct cost_sink *sink, const struct cost_line *line)
{
    if (sink->lines != NULL) {
        sink->lines[sink->count] = *line;
    }
    if (sink->visit != NULL) {
        sink->visit(sink->visitor, line);
    }
    sink->count++;
    add(sink, &sink->total.bill, line->bill);
    add(sink, &sink->total.score, line->score);
    add(sink, &sink->total.bill_term[line->term], line->bill);
    add(sink, &sink->total.score_term[line->term], line->score);
    if (sink->apps != NULL) {
        struct cost_total *total = &sink->apps[line->app];
        add(sink, &total->bill, line->bill);
        add(sink, &total->score, line->score);
        add(sink, &total->bill_term[line->term], line->bill);
        add(sink, &total->score_term[line->term], line->score);
    }
}

static void add(struct cost_sink *sink, nusd *sum, nusd amount)
{
    if (__builtin_add_overflow(*sum, amount, sum)) {
        sink->failed = true;
    }
}

void cost_line_text(const struct cost_sink *sink, struct cost_line *line, const char *format, ...)
{
    if (sink->lines == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line->text, sizeof(line->text), format, arguments);
    va_end(arguments);
}

struct cost_line cost_line_of(const struct cost_context *context, enum cost_term term, int part,
                              int site)
{
    const struct cost_part_info *info = &context->parts[part];
    struct cost_line line; /* not zeroed: its text is long, and most lines are only added up */
    line.term = term;
    line.app = info->app;
    line.workload = info->workload;
    line.link = -1;
    line.custom = -1;
    line.site = site;
    line.peer_site = -1;
    line.bill = 0;
    line.score = 0;
    line.text[0] = '\0';
    return line;
}

int cost_once_score(const struct cost_context *context, int part, nusd once, nusd *ret_score)
{
    nusd monthly;
    if (money_scale(once, MONTH_S * US_PER_S, context->world->policy.horizon_us, &monthly) < 0) {
        return ERR_OVERFLOW;
    }
    return money_scale(monthly, context->parts[part].weights->migration_ppm, PPM, ret_score);
}

const char *cost_amount_text(enum resource resource, int64_t quantity, char out[UNITS_TEXT_BYTES])
{
    if (resource == RESOURCE_MEMORY) {
        return units_format_bytes(quantity, out);
    }
    char number[DECIMAL_TEXT_BYTES];
    str_format(out, UNITS_TEXT_BYTES, "%s vCPU",
               decimal_format((struct decimal){quantity, 3}, number));
    return out;
}

void cost_part_name(const struct cost_context *context, int part, char *out, size_t capacity)
{
    const struct cost_part_info *info = &context->parts[part];
    const char *words[] = {info->owner->namespace_, "/", info->owner->name, "/", info->what->name};
    cost_words(out, capacity, words, 5);
}

void cost_words(char *out, size_t capacity, const char *const *words, int count)
{
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        size_t bytes = strlen(words[i]);
        bytes = bytes < capacity - 1 - at ? bytes : capacity - 1 - at;
        memcpy(out + at, words[i], bytes);
        at += bytes;
    }
    out[at] = '\0';
}

int64_t cost_path_us(const struct cost_context *context, int from, int to, const char **ret_note)
{
    const struct world *world = context->world;
    int cell = from * context->site_count + to;
    *ret_note = context->rtt_measured[cell] ? " (measured)"
                : world->rtt_us[cell] < 0   ? " (estimated from distance)"
                                            : "";
    return context->rtt_us[cell] < 0 ? -1 : context->rtt_us[cell] + world->factor_us[cell];
}
