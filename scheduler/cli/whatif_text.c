/* A what-if's report as people read it. */
#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"
#include "scheduler/cli/whatif.h"

#define APPS_SHOWN  20 /* those whose bills change most */
#define MOVES_SHOWN 30
#define BARS_SHOWN  20

static int write_terms(const struct whatif_report *report, bool color, struct strbuf *out,
                       struct error *err);
static void write_head(const struct whatif_report *report, bool color, struct strbuf *out);
static int write_conflict(const struct whatif_report *report, bool color, struct strbuf *out);
static void write_latency(const struct whatif_report *report, struct strbuf *out);
static int write_apps(const struct whatif_report *report, bool color, struct strbuf *out,
                      struct error *err);
static int next_app(const struct whatif_report *report, bool *told);
static void write_app(const struct whatif_report *report, int app, struct table *table);
static int write_moves(const struct whatif_report *report, bool color, struct strbuf *out,
                       struct error *err);
static void write_proof(const struct whatif_report *report, bool color, struct strbuf *out);
static int write_sweep(const struct whatif_report *report, bool color, struct strbuf *out,
                       struct error *err);
static int write_grid(const struct whatif_report *report, bool color, struct strbuf *out,
                      struct error *err);
static void write_even(const struct whatif_report *report, int which, bool color,
                       struct strbuf *out);
static void write_change(const struct whatif_report *report, const struct sweep_even *even,
                         const struct sweep_change *change, struct strbuf *out);
static int write_bars(const struct whatif_report *report, bool color, struct strbuf *out,
                      struct error *err);
static int write_spread(const struct whatif_report *report, bool color, struct strbuf *out,
                        struct error *err);
static int write_attribute(const struct whatif_report *report, bool color, struct strbuf *out,
                           struct error *err);
static int write_meter(const struct whatif_report *report, const struct attribute_meter *meter,
                       bool color, struct strbuf *out, struct error *err);
static const char *dollars(nusd amount, char out[MONEY_TEXT_BYTES]);
static const char *change(nusd amount, char out[MONEY_TEXT_BYTES + 1]);
static void cell_change(struct table *table, nusd amount);
static const char *milliseconds(int64_t us, char out[SHOW_BYTES]);
static bool placed(const struct sweep_point *point);

int whatif_text(const struct whatif_report *report, bool color, struct strbuf *out,
                struct error *err)
{
    if (!report->sides[SIDE_BEST].known)
        return write_conflict(report, color, out);
    write_head(report, color, out);
    int rc = write_terms(report, color, out, err);
    if (rc == 0) {
        write_latency(report, out);
        rc = write_apps(report, color, out, err);
    }
    if (rc == 0)
        rc = write_moves(report, color, out, err);
    if (rc == 0)
        write_proof(report, color, out);
    if (rc == 0 && report->axis_count == 1)
        rc = write_sweep(report, color, out, err);
    if (rc == 0 && report->axis_count == 2)
        rc = write_grid(report, color, out, err);
    for (int i = 0; i < report->even_count && rc == 0; i++)
        write_even(report, i, color, out);
    if (rc == 0 && report->bars != NULL)
        rc = write_bars(report, color, out, err);
    if (rc == 0 && report->spread != NULL)
        rc = write_spread(report, color, out, err);
    if (rc == 0 && report->attribute != NULL)
        rc = write_attribute(report, color, out, err);
    return rc;
}

static void write_head(const struct whatif_report *report, bool color, struct strbuf *out)
{
    char today[MONEY_TEXT_BYTES];
    char same[MONEY_TEXT_BYTES];
    char best[MONEY_TEXT_BYTES];
    char by[MONEY_TEXT_BYTES + 1];
    const struct report_view *sides = report->sides;
    nusd before = whatif_bill(&sides[SIDE_TODAY].total);
    nusd after = whatif_bill(&sides[SIDE_BEST].total);
    int moves = whatif_moves(&report->answer.input, report->state->at, report->answer.best);
    for (int i = 0; i < report->said_count; i++)
        strbuf_printf(out, "%s %s\n", i == 0 ? "What if" : "    and", report->said[i]);
    if (report->said_count > 0)
        strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "%s → %s a month", dollars(before, today),
                dollars(after, best));
    strbuf_puts(out, " (");
    text_styled(out, color, after > before ? STYLE_YELLOW : STYLE_GREEN, "%s",
                change(after - before, by));
    strbuf_printf(out, ") with %d move%s", moves, moves == 1 ? "" : "s");
    if (moves > 0)
        strbuf_printf(out, "; %s if everything stays",
                      dollars(whatif_bill(&sides[SIDE_SAME].total), same));
    strbuf_puts(out, ".\n");
    if (report->assumed)
        text_styled(out, color, STYLE_DIM,
                    "Nothing runs yet: today is the best placement under today's inputs.\n");
    if (report->answer.broken[0] != 0)
        text_styled(out, color, STYLE_YELLOW, "Nothing can stay as it is: %s.\n",
                    report->answer.broken);
}

static int write_conflict(const struct whatif_report *report, bool color, struct strbuf *out)
{
    const struct whatif_answer *answer = &report->answer;
    if (answer->status != SOLVE_INFEASIBLE) {
        text_styled(out, color, STYLE_RED, "No answer: %s\n", answer->text);
        return 0;
    }
    text_styled(out, color, STYLE_RED, "No placement keeps all rules then.");
    strbuf_printf(out, " These cannot hold together%s:\n",
                  answer->text[0] == 0 ? "; without any one of them the others could" : "");
    for (int i = 0; i < answer->conflict_count && i < WHATIF_CONFLICT; i++)
        strbuf_printf(out, "  %s\n", answer->conflict[i]);
    if (answer->conflict_count > WHATIF_CONFLICT)
        strbuf_printf(out, "  and %d more\n", answer->conflict_count - WHATIF_CONFLICT);
    return 0;
}

static int write_terms(const struct whatif_report *report, bool color, struct strbuf *out,
                       struct error *err)
{
    struct table table;
    char text[MONEY_TEXT_BYTES];
    const struct report_view *sides = report->sides;
    table_init(&table,
               "BILL A MONTH|>TODAY|>IF ALL STAYS|>BEST|>CHANGE|>SCORE TODAY|>BEST|>CHANGE");
    table.indent = 1;
    for (int term = 0; term <= TERM_COUNT; term++) {
        bool sum = term == TERM_COUNT;
        nusd bill[SIDE_COUNT];
        nusd score[SIDE_COUNT];
        bool any = sum;
        for (int i = 0; i < SIDE_COUNT; i++) {
            const struct cost_total *total = &sides[i].total;
            bill[i] = sum ? whatif_bill(total) : total->bill_term[term];
            score[i] = sum ? total->score : total->score_term[term];
            any = any || bill[i] != 0 || score[i] != 0;
        }
        if (!any)
            continue;
        table_cell(&table, sum ? STYLE_BOLD : STYLE_PLAIN, "%s%s",
                   sum ? "total" : cost_term_words[term], term == TERM_MIGRATION ? " (once)" : "");
        for (int i = 0; i < SIDE_COUNT; i++)
            table_cell(&table, sum ? STYLE_BOLD : STYLE_PLAIN, "%s", dollars(bill[i], text));
        cell_change(&table, bill[SIDE_BEST] - bill[SIDE_TODAY]);
        table_cell(&table, STYLE_DIM, "%s", dollars(score[SIDE_TODAY], text));
        table_cell(&table, STYLE_DIM, "%s", dollars(score[SIDE_BEST], text));
        cell_change(&table, score[SIDE_BEST] - score[SIDE_TODAY]);
    }
    strbuf_puts(out, "\n");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static void write_latency(const struct whatif_report *report, struct strbuf *out)
{
    const struct report_view *today = &report->sides[SIDE_TODAY];
    const struct report_view *same = &report->sides[SIDE_SAME];
    const struct report_view *best = &report->sides[SIDE_BEST];
    char texts[6][SHOW_BYTES];
    if (today->mean_us < 0 || best->mean_us < 0)
        return;
    strbuf_printf(out,
                  "\n A call of users waits %s → %s (mean), %s → %s (p95), %s → %s with the calls "
                  "behind it",
                  milliseconds(today->mean_us, texts[0]), milliseconds(best->mean_us, texts[1]),
                  milliseconds(today->p95_us, texts[2]), milliseconds(best->p95_us, texts[3]),
                  milliseconds(today->whole_us, texts[4]), milliseconds(best->whole_us, texts[5]));
    if (same->mean_us >= 0 && same->mean_us != best->mean_us)
        strbuf_printf(out, "; %s if all stays", milliseconds(same->mean_us, texts[0]));
    strbuf_puts(out, ".\n");
}

/* Apps by how much their bills change. */
static int write_apps(const struct whatif_report *report, bool color, struct strbuf *out,
                      struct error *err)
{
    struct table table;
    int count = report->answer.input.app_count;
    struct arena scratch;
    int shown = 0;
    if (count < 2)
        return 0;
    arena_init(&scratch, (size_t)1 << 24);
    bool *told = arena_array(&scratch, (size_t)count, sizeof(bool));
    table_init(&table, "APP|>TODAY|>IF ALL STAYS|>BEST|>CHANGE|WHERE IT CHANGES");
    table.indent = 1;
    for (int app = 0; shown < APPS_SHOWN && told != NULL; shown++) {
        app = next_app(report, told);
        if (app < 0)
            break;
        told[app] = true;
        write_app(report, app, &table);
    }
    strbuf_puts(out, "\n");
    int rc = told == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for a list of apps")
             : shown > 0  ? table_write(&table, color, out, err)
                          : 0;
    if (rc == 0 && shown < count)
        strbuf_printf(out, " %s%d app%s %s.\n", shown == 0 ? "" : "and ", count - shown,
                      count - shown == 1 ? "" : "s",
                      shown == APPS_SHOWN ? "more (--json has all)" : "cost what they cost today");
    table_done(&table);
    arena_done(&scratch);
    return rc;
}

static int next_app(const struct whatif_report *report, bool *told)
{
    int best = -1;
    nusd most = 0;
    for (int i = 0; i < report->answer.input.app_count; i++) {
        nusd before = whatif_bill(&report->sides[SIDE_TODAY].apps[i]);
        nusd by = whatif_bill(&report->sides[SIDE_BEST].apps[i]) - before;
        nusd stays = whatif_bill(&report->sides[SIDE_SAME].apps[i]) - before;
        by = by < 0 ? -by : by;
        stays = stays < 0 ? -stays : stays;
        by = by > stays ? by : stays;
        if (!told[i] && by > most) {
            most = by;
            best = i;
        }
    }
    return best;
}

static void write_app(const struct whatif_report *report, int app, struct table *table)
{
    const struct app *what = report->answer.input.apps[app].app;
    const struct cost_total *today = &report->sides[SIDE_TODAY].apps[app];
    const struct cost_total *best = &report->sides[SIDE_BEST].apps[app];
    char text[MONEY_TEXT_BYTES];
    char terms[LIMIT_TEXT_BYTES * 2] = "";
    table_cell(table, STYLE_PLAIN, "%s/%s", what->namespace_, what->name);
    for (int i = 0; i < SIDE_COUNT; i++)
        table_cell(table, STYLE_PLAIN, "%s",
                   dollars(whatif_bill(&report->sides[i].apps[app]), text));
    cell_change(table, whatif_bill(best) - whatif_bill(today));
    for (int term = 0; term < TERM_COUNT; term++) {
        nusd by = best->bill_term[term] - today->bill_term[term];
        char amount[MONEY_TEXT_BYTES + 1];
        size_t used = strlen(terms);
        if (by != 0 && used < LIMIT_TEXT_BYTES)
            str_format(terms + used, sizeof(terms) - used, "%s%s %s%s", used == 0 ? "" : ", ",
                       cost_term_words[term], change(by, amount),
                       term == TERM_MIGRATION ? " once" : "");
    }
    table_cell(table, STYLE_DIM, "%s", terms);
}

static int write_moves(const struct whatif_report *report, bool color, struct strbuf *out,
                       struct error *err)
{
    const struct cost_input *input = &report->answer.input;
    struct table table;
    int moves = 0;
    bool variants = false;
    for (int i = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++)
            variants = variants || input->apps[i].app->workloads[k].variant_count > 1;
    table_init(&table, variants ? "MOVES|FROM|TO|VARIANT" : "MOVES|FROM|TO");
    table.indent = 1;
    for (int i = 0, part = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            struct placement from = report->state->at[part];
            struct placement to = report->answer.best[part];
            const struct workload *what = &input->apps[i].app->workloads[k];
            char name[LIMIT_TEXT_BYTES];
            if (from.site == to.site && from.variant == to.variant)
                continue;
            if (moves++ >= MOVES_SHOWN)
                continue;
            report_part_name(input, i, k, name);
            table_cell(&table, STYLE_YELLOW, "%s", name);
            table_cell(&table, STYLE_PLAIN, "%s", report_site(report, from.site));
            table_cell(&table, STYLE_PLAIN, "%s", report_site(report, to.site));
            if (!variants)
                continue;
            table_cell(&table, STYLE_PLAIN, "%s",
                       what->variant_count > 1 && to.variant < what->variant_count
                           ? what->variants[to.variant].name
                           : "");
        }
    strbuf_puts(out, moves > 0 ? "\n" : "\n Nothing moves.\n");
    int rc = moves > 0 ? table_write(&table, color, out, err) : 0;
    if (rc == 0 && moves > MOVES_SHOWN)
        strbuf_printf(out, " and %d more (--json has all)\n", moves - MOVES_SHOWN);
    table_done(&table);
    return rc;
}

static void write_proof(const struct whatif_report *report, bool color, struct strbuf *out)
{
    const struct whatif_answer *answer = &report->answer;
    char bound[MONEY_TEXT_BYTES];
    char score[MONEY_TEXT_BYTES];
    int64_t gap = whatif_gap_ppm(answer);
    nusd stay = whatif_stay(answer);
    strbuf_puts(out, "\n");
    if (gap == 0)
        text_styled(out, color, STYLE_DIM,
                    "Proven: no placement that keeps the rules has a lower score than %s",
                    dollars(answer->score, score));
    else
        text_styled(out, color, STYLE_DIM,
                    "Within %" PRId64 ".%03" PRId64 " %% of the best possible: it scores %s, no "
                    "placement below %s",
                    gap / 10000, gap % 10000 / 10, dollars(answer->score, score),
                    dollars(answer->bound, bound));
    if (stay != 0)
        text_styled(out, color, STYLE_DIM, ",\nof which %s is the policy's preference to stay",
                    dollars(stay, score));
    strbuf_puts(out, ".\n");
}

static int write_sweep(const struct whatif_report *report, bool color, struct strbuf *out,
                       struct error *err)
{
    struct table table;
    char text[MONEY_TEXT_BYTES];
    char value[LIMIT_NAME_BYTES];
    const struct sweep_point *last = NULL;
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "Sweep of %s\n", report->axes[0].path);
    table_init(&table, ">VALUE|>IF ALL STAYS|>BEST|>MOVES|>GAP|");
    table.indent = 1;
    for (int i = 0; i < report->axes[0].count; i++) {
        const struct sweep_point *point = &report->points[i];
        sweep_axis_value(&report->axes[0], i, value);
        bool changes = last != NULL && last->at != NULL && point->at != NULL &&
                       whatif_moves(&report->answer.input, last->at, point->at) > 0;
        table_cell(&table, STYLE_PLAIN, "%s", value);
        table_cell(&table, STYLE_PLAIN, "%s", dollars(point->same_bill, text));
        table_cell(&table, STYLE_PLAIN, "%s",
                   placed(point) ? dollars(point->bill, text) : solve_status_words[point->status]);
        if (placed(point)) {
            table_cell(&table, STYLE_PLAIN, "%d", point->moves);
            table_cell(&table, STYLE_DIM, "%.3f %%", (double)point->gap_ppm / 10000);
        } else {
            table_cell(&table, STYLE_PLAIN, "-");
            table_cell(&table, STYLE_DIM, "-");
        }
        table_cell(&table, STYLE_YELLOW, "%s", changes ? "another placement" : "");
        last = point;
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

/* Bills of two inputs: one down, one across. */
static int write_grid(const struct whatif_report *report, bool color, struct strbuf *out,
                      struct error *err)
{
    struct table table;
    char text[MONEY_TEXT_BYTES];
    char value[LIMIT_NAME_BYTES];
    int across = report->axes[1].count;
    int shown = across < TABLE_COLUMNS_MAX - 1 ? across : TABLE_COLUMNS_MAX - 1;
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "Best bill by %s (down) and %s (across)\n",
                report->axes[0].path, report->axes[1].path);
    table_init_plain(&table, shown + 1);
    table.indent = 1;
    table_cell(&table, STYLE_PLAIN, "%s", "");
    for (int k = 0; k < shown; k++) {
        sweep_axis_value(&report->axes[1], k, value);
        table_cell(&table, STYLE_BOLD, "%s", value);
    }
    for (int i = 0; i < report->axes[0].count; i++) {
        sweep_axis_value(&report->axes[0], i, value);
        table_cell(&table, STYLE_BOLD, "%s", value);
        for (int k = 0; k < shown; k++) {
            const struct sweep_point *point = &report->points[i * across + k];
            table_cell(&table, point->moves > 0 ? STYLE_YELLOW : STYLE_PLAIN, "%s%s",
                       placed(point) ? dollars(point->bill, text)
                                     : solve_status_words[point->status],
                       point->moves > 0 ? "*" : "");
        }
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    strbuf_printf(out, " * something moves%s\n",
                  shown < across ? "; --json has the columns that are left out" : "");
    return rc;
}

static void write_even(const struct whatif_report *report, int which, bool color,
                       struct strbuf *out)
{
    const struct sweep_even *even = &report->evens[which];
    char present[DECIMAL_TEXT_BYTES];
    char from[DECIMAL_TEXT_BYTES];
    char to[DECIMAL_TEXT_BYTES];
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "Break-even of %s", report->even_paths[which]);
    strbuf_printf(out, ": %s is %s %s now", even->present.name,
                  decimal_format(even->present.value, present), even->present.unit);
    if (even->present.matched > 1)
        strbuf_printf(out, ", and %d more turn with it", even->present.matched - 1);
    strbuf_puts(out, "\n");
    for (int i = 0; i < even->change_count; i++)
        write_change(report, even, &even->changes[i], out);
    if (even->change_count == 0)
        strbuf_printf(out, "  nothing moves between %s and %s times its value\n",
                      decimal_format(even->from, from), decimal_format(even->to, to));
    text_styled(out, color, STYLE_DIM, "  %d solves%s\n", even->solves,
                even->proven
                    ? ", each proven best"
                    : ", not each proven best: a point may be off a little (--gap 0 proves each)");
}

static void write_change(const struct whatif_report *report, const struct sweep_even *even,
                         const struct sweep_change *change_, struct strbuf *out)
{
    char value[DECIMAL_TEXT_BYTES];
    char factor[DECIMAL_TEXT_BYTES];
    char before[MONEY_TEXT_BYTES];
    char after[MONEY_TEXT_BYTES];
    strbuf_printf(out, "  %s %s %s (x%s) ", change_->up ? "above" : "below",
                  decimal_format(change_->value, value), even->present.unit,
                  decimal_format(change_->factor, factor));
    if (change_->move_count == 0)
        strbuf_puts(out, "no placement keeps all rules");
    for (int i = 0; i < change_->move_count && i < 3; i++) {
        const struct sweep_move *move = &change_->moves[i];
        char name[LIMIT_TEXT_BYTES];
        report_part_name(&report->answer.input, move->app, move->workload, name);
        strbuf_printf(out, "%s%s goes from %s to %s", i == 0 ? "" : ", ", name,
                      report_site(report, move->from.site), report_site(report, move->to.site));
    }
    if (change_->move_count > 3)
        strbuf_printf(out, " and %d more", change_->move_count - 3);
    if (change_->move_count > 0)
        strbuf_printf(out, " (%s → %s a month)", dollars(change_->bill_before, before),
                      dollars(change_->bill_after, after));
    strbuf_puts(out, "\n");
}

static int write_bars(const struct whatif_report *report, bool color, struct strbuf *out,
                      struct error *err)
{
    struct table table;
    char text[MONEY_TEXT_BYTES];
    char part[UNITS_TEXT_BYTES];
    char heads[LIMIT_TEXT_BYTES];
    units_format_ratio(report->bar_part_ppm, part);
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "Sensitivity: each input by %s, best placements\n", part);
    str_format(heads, sizeof(heads), "INPUT|>NOW|UNIT|>-%s|>+%s|>BILL MOVES BY|>SCORE BY|MOVES",
               part, part);
    table_init(&table, heads);
    table.indent = 1;
    for (int i = 0; i < report->bar_count && i < BARS_SHOWN; i++) {
        const struct sweep_bar *bar = &report->bars[i];
        char number[DECIMAL_TEXT_BYTES];
        bool both = placed(&bar->low) && placed(&bar->high);
        nusd score = both ? bar->high.score - bar->low.score : 0;
        table_cell(&table, STYLE_PLAIN, "%s", bar->path);
        table_cell(&table, STYLE_PLAIN, "%s", decimal_format(bar->present.value, number));
        table_cell(&table, STYLE_DIM, "%s", bar->present.unit);
        table_cell(&table, STYLE_PLAIN, "%s",
                   placed(&bar->low) ? dollars(bar->low.bill, text) : "no placement");
        table_cell(&table, STYLE_PLAIN, "%s",
                   placed(&bar->high) ? dollars(bar->high.bill, text) : "no placement");
        table_cell(&table, STYLE_BOLD, "%s", dollars(sweep_bar_width(bar), text));
        table_cell(&table, STYLE_DIM, "%s", dollars(score < 0 ? -score : score, text));
        table_cell(
            &table, STYLE_YELLOW, "%s%s%s", bar->low.moves != report->bar_base.moves ? "less" : "",
            bar->low.moves != report->bar_base.moves && bar->high.moves != report->bar_base.moves
                ? ", "
                : "",
            bar->high.moves != report->bar_base.moves ? "more" : "");
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    if (rc == 0 && report->bar_count > BARS_SHOWN)
        strbuf_printf(out, " and %d more (--json has all)\n", report->bar_count - BARS_SHOWN);
    return rc;
}

static int write_spread(const struct whatif_report *report, bool color, struct strbuf *out,
                        struct error *err)
{
    const struct spread_result *spread = report->spread;
    const struct cost_input *input = &report->answer.input;
    struct table table;
    char text[MONEY_TEXT_BYTES];
    int shown = 0;
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "%d draws of %d uncertain inputs (seed %" PRIu64 ")\n",
                spread->draws, spread->inputs, report->seed);
    table_init(&table, "BILL A MONTH|>P5|>P25|>MEDIAN|>P75|>P95|>MEAN");
    table.indent = 1;
    for (int row = 0; row < 2; row++) {
        table_cell(&table, STYLE_PLAIN, "%s", row == 0 ? "if all stays" : "best placement");
        for (int i = 0; i < SPREAD_QUANTILES; i++)
            table_cell(&table, STYLE_PLAIN, "%s",
                       dollars(row == 0 ? spread->same_bill[i] : spread->bill[i], text));
        table_cell(&table, STYLE_PLAIN, "%s",
                   dollars(row == 0 ? spread->same_mean : spread->mean, text));
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    if (spread->unplaced > 0)
        strbuf_printf(out, " %d draws have no placement that keeps all rules.\n", spread->unplaced);
    table_init(&table, "WHERE|SITE|>DRAWS");
    table.indent = 1;
    for (int i = 0, app = 0, first = 0; i < spread->place_count && shown < MOVES_SHOWN; i++) {
        const struct spread_place *place = &spread->places[i];
        char name[LIMIT_TEXT_BYTES];
        while (place->part >= first + input->apps[app].app->workload_count)
            first += input->apps[app++].app->workload_count;
        if (place->count == spread->draws)
            continue; /* it is there whatever comes */
        report_part_name(input, app, place->part - first, name);
        table_cell(&table, STYLE_PLAIN, "%s", name);
        table_cell(&table, STYLE_PLAIN, "%s", report_site(report, place->at.site));
        table_cell(&table, STYLE_PLAIN, "%.1f %%", 100.0 * place->count / spread->draws);
        shown++;
    }
    if (rc == 0 && shown > 0) {
        strbuf_puts(out, "\n");
        rc = table_write(&table, color, out, err);
    } else if (rc == 0) {
        strbuf_puts(out, " Every workload is at the same place in every draw.\n");
    }
    table_done(&table);
    return rc;
}

static int write_attribute(const struct whatif_report *report, bool color, struct strbuf *out,
                           struct error *err)
{
    const struct attribute *attribute = report->attribute;
    int rc = 0;
    if (attribute->meter_count == 0)
        strbuf_puts(out, "\nNo egress is billed: there is nothing to share.\n");
    for (int i = 0; i < attribute->meter_count && rc == 0; i++)
        rc = write_meter(report, &attribute->meters[i], color, out, err);
    return rc == 0 && attribute->meter_count > 1
               ? write_meter(report, &attribute->all, color, out, err)
               : rc;
}

static int write_meter(const struct whatif_report *report, const struct attribute_meter *meter,
                       bool color, struct strbuf *out, struct error *err)
{
    const struct cost_input *input = &report->answer.input;
    struct table table;
    char text[MONEY_TEXT_BYTES];
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "Egress %s%s%s: %s a month\n",
                meter->account < 0 ? "of all meters" : input->world->accounts[meter->account].name,
                meter->account < 0 ? "" : ", ",
                meter->account < 0 ? "" : input->world->egress[meter->rule].name,
                dollars(meter->total, text));
    table_init(&table, "APP|>BYTES|>FAIR SHARE|>+-|>BY BYTES|>SAVED WITHOUT IT");
    table.indent = 1;
    for (int i = 0; i < meter->share_count && i < MOVES_SHOWN; i++) {
        const struct attribute_share *share = &meter->shares[i];
        const struct app *app = input->apps[share->app].app;
        char bytes[SHOW_BYTES];
        table_cell(&table, STYLE_PLAIN, "%s/%s", app->namespace_, app->name);
        table_cell(&table, STYLE_PLAIN, "%s", show_bytes(share->bytes, bytes));
        table_cell(&table, STYLE_BOLD, "%s", dollars(share->share.shapley, text));
        table_cell(&table, STYLE_DIM, "%s",
                   meter->exact ? "exact" : dollars(share->share.spread, text));
        table_cell(&table, STYLE_PLAIN, "%s", dollars(share->share.proportional, text));
        table_cell(&table, STYLE_PLAIN, "%s", dollars(share->share.marginal, text));
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    if (rc == 0 && meter->share_count > MOVES_SHOWN)
        strbuf_printf(out, " and %d more (--json has all)\n", meter->share_count - MOVES_SHOWN);
    return rc;
}

/* Two decimals, four below a dollar. */
static const char *dollars(nusd amount, char out[MONEY_TEXT_BYTES])
{
    bool small = amount < NUSD_PER_USD && amount > -NUSD_PER_USD && amount != 0;
    return money_format(amount, small ? 4 : 2, out);
}

static const char *change(nusd amount, char out[MONEY_TEXT_BYTES + 1])
{
    char text[MONEY_TEXT_BYTES];
    str_format(out, MONEY_TEXT_BYTES + 1, "%s%s", amount > 0 ? "+" : "", dollars(amount, text));
    return out;
}

static void cell_change(struct table *table, nusd amount)
{
    char text[MONEY_TEXT_BYTES + 1];
    table_cell(table,
               amount < 0   ? STYLE_GREEN
               : amount > 0 ? STYLE_YELLOW
                            : STYLE_DIM,
               "%s", change(amount, text));
}

static const char *milliseconds(int64_t us, char out[SHOW_BYTES])
{
    return us < 0 ? "?" : show_duration(us, out);
}

static bool placed(const struct sweep_point *point)
{
    return point->status == SOLVE_OPTIMAL || point->status == SOLVE_FEASIBLE;
}
