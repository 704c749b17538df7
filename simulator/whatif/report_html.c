/* A report as one HTML page: its pictures are SVG inside it, and nothing comes from elsewhere. The
 * colours are those of Okabe and Ito (2008), which colour-blind people tell apart; what a colour
 * says is also said in words. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "simulator/whatif/report.h"

#define BLUE        "#0072B2"
#define ORANGE      "#E69F00"
#define GREEN       "#009E73"
#define RED         "#D55E00"
#define WIDTH       760 /* of a picture */
#define NAMES       260 /* of it, for what bars are called */
#define TERM_NAMES  130 /* for those of terms */
#define BAR         14
#define BARS_SHOWN  25
#define APPS_SHOWN  50
#define MOVES_MANY  200
#define TABLE       "<div class=\"scroll\" tabindex=\"0\"><table>"
#define PICTURE_END "</svg></div>\n"
#define TABLE_END   "</table></div>\n"

/* An axis of dollars: from..to over the pixels left..right. */
struct scale {
    double from;
    double to;
    double left;
    double right;
};

static void escape(struct strbuf *out, const char *text);
static void write_summary(const struct whatif_report *report, struct strbuf *out);
static void write_terms(const struct whatif_report *report, struct strbuf *out);
static void write_term_table(const struct whatif_report *report, struct strbuf *out);
static void write_apps(const struct whatif_report *report, struct strbuf *out);
static void write_moves(const struct whatif_report *report, struct strbuf *out);
static void write_move(const struct whatif_report *report, int app, int workload, int from, int to,
                       struct strbuf *out);
static void write_sweep(const struct whatif_report *report, struct strbuf *out);
static void write_line(const struct whatif_report *report, const struct scale *x,
                       const struct scale *y, bool best, struct strbuf *out);
static void write_grid(const struct whatif_report *report, struct strbuf *out);
static void write_sweep_marks(const struct whatif_report *report, const struct scale *x,
                              struct strbuf *out);
static void write_even(const struct whatif_report *report, int which, struct strbuf *out);
static void write_tornado(const struct whatif_report *report, struct strbuf *out);
static void write_spread(const struct whatif_report *report, struct strbuf *out);
static void write_attribute(const struct whatif_report *report, struct strbuf *out);
static void picture(struct strbuf *out, int height, const char *label);
static void text_at(struct strbuf *out, double x, double y, const char *anchor, const char *text);
static void axis(struct strbuf *out, const struct scale *scale, double top, double bottom,
                 const char *unit);
static void legend(struct strbuf *out, int x, const char *color, const char *text);
static double place(const struct scale *scale, double value);
static double usd(nusd amount);
static void money(struct strbuf *out, nusd amount);
static bool placed(const struct sweep_point *point);

/* Light and dark as the reader's system has it; what is wider than a small screen scrolls by
 * itself. */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n<style>\n"
    ":root{color-scheme:light "
    "dark;--ink:#1a1a1a;--page:#fff;--line:#ddd;--faint:#555;--code:#f3f3f3;"
    "--rule:#bbb}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--page:#16181a;--line:#3a3d40;"
    "--faint:#a8a8a8;--code:#26292c;--rule:#5a5d60}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;"
    "color:var(--ink);background:var(--page)}\n"
    "h1{font-size:1.6rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin-top:2.2rem;"
    "overflow-wrap:anywhere}\n"
    ".scroll{overflow-x:auto;margin:.8rem 0}table{border-collapse:collapse}"
    "td,th{padding:.2rem .8rem;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}\n"
    "td.w,th.w{text-align:left}tr.sum td{font-weight:bold}td.other{background:#E69F0055}\n"
    "svg{display:block;width:100%;max-width:760px;min-width:640px;height:auto}"
    "svg text{font:12px system-ui,sans-serif;fill:var(--ink);"
    "paint-order:stroke;stroke:var(--page);stroke-width:3px}svg .rule{stroke:var(--rule)}"
    "svg .cut{stroke:var(--faint);stroke-dasharray:4 3}\n"
    ".note{color:var(--faint)}code{background:var(--code);padding:.1rem .3rem}\n"
    "</style>\n";

void report_html(const struct whatif_report *report, const char *title, struct strbuf *out)
{
    strbuf_puts(out, head);
    strbuf_puts(out, "<title>");
    escape(out, title);
    strbuf_puts(out, "</title></head><body>\n<h1>");
    escape(out, title);
    strbuf_puts(out, "</h1>\n");
    write_summary(report, out);
    if (report->sides[SIDE_BEST].known) {
        write_terms(report, out);
        write_term_table(report, out);
        write_moves(report, out);
        write_apps(report, out);
        if (report->axis_count == 1)
            write_sweep(report, out);
        if (report->axis_count == 2)
            write_grid(report, out);
        for (int i = 0; i < report->even_count; i++)
            write_even(report, i, out);
        if (report->bars != NULL)
            write_tornado(report, out);
        if (report->spread != NULL)
            write_spread(report, out);
        if (report->attribute != NULL)
            write_attribute(report, out);
    }
    strbuf_puts(out, "<p class=\"note\">Bills in US dollars a month of 730 hours, without the "
                     "one-off cost of moving. Written by berth whatif.</p>\n</body></html>\n");
}

static void write_summary(const struct whatif_report *report, struct strbuf *out)
{
    const struct report_view *sides = report->sides;
    const struct whatif_answer *answer = &report->answer;
    if (report->said_count > 0)
        strbuf_puts(out, "<ul>\n");
    for (int i = 0; i < report->said_count; i++) {
        strbuf_puts(out, "<li><code>");
        escape(out, report->said[i]);
        strbuf_puts(out, "</code></li>\n");
    }
    strbuf_puts(out, report->said_count > 0 ? "</ul>\n<p>" : "<p>");
    if (!sides[SIDE_BEST].known) {
        strbuf_puts(out, "<strong>No placement keeps all rules then.</strong> ");
        escape(out, answer->text);
        strbuf_puts(out, "</p>\n<ul>\n");
        for (int i = 0; i < answer->conflict_count && i < WHATIF_CONFLICT; i++) {
            strbuf_puts(out, "<li>");
            escape(out, answer->conflict[i]);
            strbuf_puts(out, "</li>\n");
        }
        strbuf_puts(out, "</ul>\n");
        return;
    }
    strbuf_puts(out, "The bill is <strong>");
    money(out, whatif_bill(&sides[SIDE_TODAY].total));
    strbuf_puts(out, "</strong> a month today, <strong>");
    money(out, whatif_bill(&sides[SIDE_SAME].total));
    strbuf_puts(out, "</strong> if everything stays where it is, and <strong>");
    money(out, whatif_bill(&sides[SIDE_BEST].total));
    strbuf_printf(out, "</strong> with the best placement, which takes %d moves.",
                  whatif_moves(&answer->input, report->state->at, answer->best));
    if (sides[SIDE_TODAY].mean_us >= 0 && sides[SIDE_BEST].mean_us >= 0)
        strbuf_printf(
            out,
            " A call of users waits %.1f ms today and %.1f ms then (mean); %.1f and "
            "%.1f ms (95th percentile).",
            (double)sides[SIDE_TODAY].mean_us / 1000, (double)sides[SIDE_BEST].mean_us / 1000,
            (double)sides[SIDE_TODAY].p95_us / 1000, (double)sides[SIDE_BEST].p95_us / 1000);
    if (whatif_gap_ppm(answer) == 0)
        strbuf_puts(
            out, " That is proven: with the cost of moving and the policy's preference to stay no "
                 "placement scores less.</p>\n");
    else
        strbuf_printf(out, " It is within %.3f&nbsp;%% of the best possible.</p>\n",
                      (double)whatif_gap_ppm(answer) / 10000);
}

/* Three bars for each term. */
static void write_terms(const struct whatif_report *report, struct strbuf *out)
{
    static const char *const colors[] = {BLUE, ORANGE, GREEN};
    static const char *const names[] = {"today", "if all stays", "best placement"};
    struct scale scale = {.left = TERM_NAMES, .right = WIDTH - 90};
    int rows = 0;
    for (int term = 0; term < TERM_COUNT; term++) {
        bool any = false;
        for (int i = 0; i < SIDE_COUNT; i++) {
            double value = usd(report->sides[i].total.bill_term[term]);
            any = any || value != 0;
            scale.to = value > scale.to ? value : scale.to;
            scale.from = value < scale.from ? value : scale.from;
        }
        rows += any;
    }
    if (rows == 0)
        return;
    strbuf_puts(out, "<h2>Cost by term</h2>\n");
    double y = 30;
    double bottom = y + rows * (SIDE_COUNT * BAR + 10);
    picture(out, (int)bottom + 42,
            "Bars: the bill by term in dollars a month, today, if all stays, and with the best "
            "placement; the table below has the same figures");
    for (int i = 0; i < SIDE_COUNT; i++)
        legend(out, TERM_NAMES + i * 140, colors[i], names[i]);
    axis(out, &scale, 26, bottom, "USD a month");
    for (int term = 0; term < TERM_COUNT; term++) {
        const struct report_view *sides = report->sides;
        if (sides[0].total.bill_term[term] == 0 && sides[1].total.bill_term[term] == 0 &&
            sides[2].total.bill_term[term] == 0)
            continue;
        text_at(out, TERM_NAMES - 8, y + SIDE_COUNT * BAR / 2.0 + 4, "end",
                term == TERM_MIGRATION ? "migration (once)" : cost_term_words[term]);
        for (int i = 0; i < SIDE_COUNT; i++, y += BAR) {
            double zero = place(&scale, 0);
            double end = place(&scale, usd(sides[i].total.bill_term[term]));
            char amount[MONEY_TEXT_BYTES];
            strbuf_printf(out,
                          "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>",
                          fmin(zero, end), y, fabs(end - zero), BAR - 2, colors[i]);
            text_at(out, fmax(zero, end) + 4, y + BAR - 3, "start",
                    money_format(sides[i].total.bill_term[term], 2, amount));
        }
        y += 10;
    }
    strbuf_puts(out, PICTURE_END);
}

static void write_term_table(const struct whatif_report *report, struct strbuf *out)
{
    strbuf_puts(out, TABLE "<tr><th>USD a month</th><th>today</th><th>if all stays</th>"
                           "<th>best</th><th>change</th></tr>\n");
    for (int term = 0; term <= TERM_COUNT; term++) {
        nusd bill[SIDE_COUNT];
        for (int i = 0; i < SIDE_COUNT; i++)
            bill[i] = term == TERM_COUNT ? whatif_bill(&report->sides[i].total)
                                         : report->sides[i].total.bill_term[term];
        if (term < TERM_COUNT && bill[0] == 0 && bill[1] == 0 && bill[2] == 0)
            continue;
        strbuf_printf(out, "<tr%s><td>%s</td>", term == TERM_COUNT ? " class=\"sum\"" : "",
                      term == TERM_COUNT       ? "total a month"
                      : term == TERM_MIGRATION ? "migration (once)"
                                               : cost_term_words[term]);
        for (int i = 0; i < SIDE_COUNT; i++) {
            strbuf_puts(out, "<td>");
            money(out, bill[i]);
            strbuf_puts(out, "</td>");
        }
        strbuf_puts(out, bill[SIDE_BEST] > bill[SIDE_TODAY] ? "<td>+" : "<td>");
        money(out, bill[SIDE_BEST] - bill[SIDE_TODAY]);
        strbuf_puts(out, "</td></tr>\n");
    }
    strbuf_puts(out, TABLE_END);
}

static void write_apps(const struct whatif_report *report, struct strbuf *out)
{
    const struct cost_input *input = &report->answer.input;
    int shown = 0;
    strbuf_puts(out, "<h2>By app</h2>\n" TABLE
                     "<tr><th>USD a month</th><th>today</th><th>if all stays</th>"
                     "<th>best</th></tr>\n");
    for (int app = 0; app < input->app_count && shown < APPS_SHOWN; app++, shown++) {
        strbuf_puts(out, "<tr><td>");
        escape(out, input->apps[app].app->namespace_);
        strbuf_puts(out, "/");
        escape(out, input->apps[app].app->name);
        strbuf_puts(out, "</td>");
        for (int i = 0; i < SIDE_COUNT; i++) {
            strbuf_puts(out, "<td>");
            money(out, whatif_bill(&report->sides[i].apps[app]));
            strbuf_puts(out, "</td>");
        }
        strbuf_puts(out, "</tr>\n");
    }
    strbuf_puts(out, TABLE_END);
    if (shown < input->app_count)
        strbuf_printf(out, "<p class=\"note\">and %d more</p>\n", input->app_count - shown);
}

static void write_moves(const struct whatif_report *report, struct strbuf *out)
{
    const struct cost_input *input = &report->answer.input;
    int moves = whatif_moves(input, report->state->at, report->answer.best);
    int shown = 0;
    if (moves == 0)
        return;
    strbuf_puts(out, "<h2>Moves</h2>\n" TABLE "<tr><th>workload</th><th class=\"w\">from</th>"
                     "<th class=\"w\">to</th></tr>\n");
    for (int i = 0, part = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            struct placement from = report->state->at[part];
            struct placement to = report->answer.best[part];
            if ((from.site != to.site || from.variant != to.variant) && shown++ < MOVES_MANY)
                write_move(report, i, k, from.site, to.site, out);
        }
    strbuf_puts(out, TABLE_END);
    if (moves > MOVES_MANY)
        strbuf_printf(out, "<p class=\"note\">and %d more</p>\n", moves - MOVES_MANY);
}

static void write_move(const struct whatif_report *report, int app, int workload, int from, int to,
                       struct strbuf *out)
{
    char name[LIMIT_TEXT_BYTES];
    report_part_name(&report->answer.input, app, workload, name);
    strbuf_puts(out, "<tr><td>");
    escape(out, name);
    strbuf_puts(out, "</td><td class=\"w\">");
    escape(out, report_site(report, from));
    strbuf_puts(out, "</td><td class=\"w\">");
    escape(out, report_site(report, to));
    strbuf_puts(out, "</td></tr>\n");
}

static void write_sweep(const struct whatif_report *report, struct strbuf *out)
{
    const struct sweep_axis *along = &report->axes[0];
    struct scale x = {sweep_axis_number(along, 0), sweep_axis_number(along, along->count - 1), 90,
                      WIDTH - 30};
    struct scale y = {.from = 0, .to = 0, .left = 290, .right = 30};
    char label[LIMIT_NAME_BYTES];
    for (int i = 0; i < along->count; i++) {
        const struct sweep_point *point = &report->points[i];
        y.to = fmax(y.to, fmax(usd(point->same_bill), placed(point) ? usd(point->bill) : 0));
        y.from = fmin(y.from, fmin(usd(point->same_bill), placed(point) ? usd(point->bill) : 0));
    }
    strbuf_puts(out, "<h2>Sweep of ");
    escape(out, along->path);
    strbuf_puts(out, "</h2>\n");
    picture(out, 350,
            "Lines: the bill in dollars a month over the swept input, where everything stays and "
            "with the best placement");
    text_at(out, 4, 15, "start", "USD a month");
    for (int i = 0; i <= 4; i++) {
        char amount[MONEY_TEXT_BYTES];
        double value = y.from + (y.to - y.from) * i / 4;
        strbuf_printf(out, "<line class=\"rule\" x1=\"90\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>",
                      WIDTH - 30, place(&y, value), place(&y, value));
        text_at(out, 84, place(&y, value) + 4, "end", money_format((nusd)(value * 1e9), 2, amount));
    }
    for (int i = 0; i < 5; i++) {
        int index = (along->count - 1) * i / 4;
        sweep_axis_value(along, index, label);
        text_at(out, place(&x, sweep_axis_number(along, index)), 310, "middle", label);
    }
    text_at(out, (90 + WIDTH - 30) / 2.0, 335, "middle", along->path);
    write_sweep_marks(report, &x, out);
    write_line(report, &x, &y, false, out);
    write_line(report, &x, &y, true, out);
    legend(out, 130, ORANGE, "if all stays");
    legend(out, 250, GREEN, "best placement (at a dashed line it becomes another)");
    strbuf_puts(out, PICTURE_END);
}

static void write_line(const struct whatif_report *report, const struct scale *x,
                       const struct scale *y, bool best, struct strbuf *out)
{
    strbuf_printf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2.5\" points=\"",
                  best ? GREEN : ORANGE);
    for (int i = 0; i < report->axes[0].count; i++) {
        const struct sweep_point *point = &report->points[i];
        if (!best || placed(point))
            strbuf_printf(out, "%.1f,%.1f ", place(x, sweep_axis_number(&report->axes[0], i)),
                          place(y, usd(best ? point->bill : point->same_bill)));
    }
    strbuf_puts(out, "\"/>");
}

static void write_sweep_marks(const struct whatif_report *report, const struct scale *x,
                              struct strbuf *out)
{
    const struct sweep_axis *along = &report->axes[0];
    for (int i = 1; i < along->count; i++) {
        const struct sweep_point *a = &report->points[i - 1];
        const struct sweep_point *b = &report->points[i];
        if (a->at == NULL || b->at == NULL ||
            whatif_moves(&report->answer.input, a->at, b->at) == 0)
            continue;
        double at = place(x, (sweep_axis_number(along, i - 1) + sweep_axis_number(along, i)) / 2);
        strbuf_printf(out, "<line class=\"cut\" x1=\"%.1f\" x2=\"%.1f\" y1=\"30\" y2=\"290\"/>", at,
                      at);
    }
}

/* A grid of two inputs as a table of best bills, coloured where something is not where it is today.
 */
static void write_grid(const struct whatif_report *report, struct strbuf *out)
{
    const struct sweep_axis *down = &report->axes[0];
    const struct sweep_axis *across = &report->axes[1];
    char label[LIMIT_NAME_BYTES];
    strbuf_puts(out, "<h2>Sweep of ");
    escape(out, down->path);
    strbuf_puts(out, " and ");
    escape(out, across->path);
    strbuf_puts(out, "</h2>\n<p>The best bill in dollars a month, coloured and with the number of "
                     "its moves in brackets where something moves. Down: ");
    escape(out, down->path);
    strbuf_puts(out, ". Across: ");
    escape(out, across->path);
    strbuf_puts(out, ".</p>\n" TABLE "<tr><th></th>");
    for (int k = 0; k < across->count; k++) {
        sweep_axis_value(across, k, label);
        strbuf_printf(out, "<th>%s</th>", label);
    }
    for (int i = 0; i < down->count; i++) {
        sweep_axis_value(down, i, label);
        strbuf_printf(out, "</tr>\n<tr><td>%s</td>", label);
        for (int k = 0; k < across->count; k++) {
            const struct sweep_point *point = &report->points[i * across->count + k];
            strbuf_puts(out, point->moves > 0 && placed(point) ? "<td class=\"other\">" : "<td>");
            if (placed(point))
                money(out, point->bill);
            else
                strbuf_puts(out, "none");
            if (point->moves > 0 && placed(point))
                strbuf_printf(out, " (%d)", point->moves);
            strbuf_puts(out, "</td>");
        }
    }
    strbuf_puts(out, "</tr>\n" TABLE_END);
}

/* A ruler of factors, a mark where something moves. */
static void write_even(const struct whatif_report *report, int which, struct strbuf *out)
{
    const struct sweep_even *even = &report->evens[which];
    struct scale x = {log10((double)even->from.coefficient / 1e6),
                      log10((double)even->to.coefficient / 1e6), 40, WIDTH - 40};
    char text[LIMIT_TEXT_BYTES];
    char number[DECIMAL_TEXT_BYTES];
    strbuf_puts(out, "<h2>Break-even of ");
    escape(out, report->even_paths[which]);
    strbuf_puts(out, "</h2>\n");
    picture(out, 70,
            "A ruler, from the least to the largest value that was asked, with a mark where "
            "something moves; the list below says what");
    strbuf_printf(out, "<line class=\"rule\" x1=\"40\" x2=\"%d\" y1=\"35\" y2=\"35\"/>",
                  WIDTH - 40);
    strbuf_printf(out, "<circle cx=\"%.1f\" cy=\"35\" r=\"5\" fill=\"%s\"/>", place(&x, 0), BLUE);
    text_at(out, place(&x, 0), 60, "middle", "now");
    for (int i = 0; i < even->change_count; i++) {
        double at = place(&x, log10((double)even->changes[i].factor.coefficient / 1e6));
        strbuf_printf(out,
                      "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"20\" y2=\"50\" stroke=\"%s\" "
                      "stroke-width=\"3\"/>",
                      at, at, RED);
        text_at(out, at, i % 2 == 0 ? 14 : 64, "middle",
                decimal_format(even->changes[i].value, number));
    }
    strbuf_puts(out, PICTURE_END "<ul>\n");
    for (int i = 0; i < even->change_count; i++) {
        const struct sweep_change *change = &even->changes[i];
        strbuf_printf(out, "<li>%s %s ", change->up ? "above" : "below",
                      decimal_format(change->value, number));
        escape(out, even->present.unit);
        for (int k = 0; k < change->move_count && k < SWEEP_MOVES; k++) {
            const struct sweep_move *move = &change->moves[k];
            report_part_name(&report->answer.input, move->app, move->workload, text);
            strbuf_puts(out, k == 0 ? ": " : "; ");
            escape(out, text);
            strbuf_puts(out, " goes from ");
            escape(out, report_site(report, move->from.site));
            strbuf_puts(out, " to ");
            escape(out, report_site(report, move->to.site));
        }
        strbuf_puts(out,
                    change->move_count == 0 ? ": no placement keeps all rules</li>\n" : "</li>\n");
    }
    if (even->change_count == 0)
        strbuf_puts(out, "<li>nothing moves in that range</li>\n");
    strbuf_puts(out, "</ul>\n");
}

static void write_tornado(const struct whatif_report *report, struct strbuf *out)
{
    int count = 0; /* the widest come first, and what changes nothing last */
    while (count < report->bar_count && count < BARS_SHOWN &&
           (report->bars[count].low.bill != report->bar_base.bill ||
            report->bars[count].high.bill != report->bar_base.bill))
        count++;
    double base = usd(report->bar_base.bill);
    double reach = 1e-9;
    for (int i = 0; i < count; i++) {
        const struct sweep_bar *bar = &report->bars[i];
        reach = fmax(reach, placed(&bar->low) ? fabs(usd(bar->low.bill) - base) : 0);
        reach = fmax(reach, placed(&bar->high) ? fabs(usd(bar->high.bill) - base) : 0);
    }
    struct scale scale = {base - reach, base + reach, NAMES + 10, WIDTH - 40};
    strbuf_printf(
        out,
        "<h2>Sensitivity</h2>\n<p>What the best bill becomes when one input is %.4g&nbsp;%% "
        "less (blue) or more (orange). Around ",
        (double)report->bar_part_ppm / 10000);
    money(out, report->bar_base.bill);
    strbuf_puts(out, ".</p>\n");
    double y = 30;
    double bottom = y + count * (BAR + 6);
    picture(out, (int)bottom + 42,
            "A tornado: what the best bill in dollars a month becomes when one input is less or "
            "more, the widest first");
    legend(out, NAMES + 10, BLUE, "less");
    legend(out, NAMES + 80, ORANGE, "more");
    axis(out, &scale, 26, bottom, "USD a month");
    for (int i = 0; i < count; i++, y += BAR + 6) {
        const struct sweep_bar *bar = &report->bars[i];
        const struct sweep_point *ends[] = {&bar->low, &bar->high};
        char name[48];
        bool longer = strlen(bar->path) > 40;
        str_format(name, sizeof(name), "%.40s%s", bar->path, longer ? "…" : "");
        text_at(out, NAMES, y + BAR - 3, "end", name);
        for (int k = 0; k < 2; k++) {
            double end = place(&scale, placed(ends[k]) ? usd(ends[k]->bill) : base);
            double zero = place(&scale, base);
            strbuf_printf(out,
                          "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\">"
                          "<title>%s</title></rect>",
                          fmin(zero, end), y + k * BAR / 2.0, fabs(end - zero), BAR / 2,
                          k == 0 ? BLUE : ORANGE, k == 0 ? "less" : "more");
        }
    }
    strbuf_puts(out, PICTURE_END);
    if (count < report->bar_count)
        strbuf_printf(out, "<p class=\"note\">%d more %s it by less, or by nothing.</p>\n",
                      report->bar_count - count,
                      report->bar_count - count == 1 ? "changes" : "change");
}

static void write_spread(const struct whatif_report *report, struct strbuf *out)
{
    enum { BINS = 40 };
    const struct spread_result *spread = report->spread;
    int count = spread->draws - spread->unplaced;
    int bins[BINS] = {0};
    int most = 1;
    if (count == 0)
        return;
    struct scale x = {usd(spread->bills[0]), usd(spread->bills[count - 1]), 80, WIDTH - 60};
    for (int i = 0; i < count; i++) {
        double width = x.to - x.from;
        int bin = width <= 0 ? 0 : (int)((usd(spread->bills[i]) - x.from) / width * BINS);
        bin = bin < BINS ? bin : BINS - 1;
        bins[bin]++;
        most = bins[bin] > most ? bins[bin] : most;
    }
    strbuf_printf(out,
                  "<h2>How the bill spreads</h2>\n<p>%d draws of %d uncertain inputs (seed %" PRIu64
                  "). Half of the best bills lie between ",
                  spread->draws, spread->inputs, report->seed);
    money(out, spread->bill[1]);
    strbuf_puts(out, " and ");
    money(out, spread->bill[3]);
    strbuf_puts(out, ", nine of ten between ");
    money(out, spread->bill[0]);
    strbuf_puts(out, " and ");
    money(out, spread->bill[SPREAD_QUANTILES - 1]);
    strbuf_puts(out, ".</p>\n");
    picture(out, 210, "A histogram: how many draws have which best bill in dollars a month");
    axis(out, &x, 20, 162, "USD a month");
    strbuf_printf(out, "<text x=\"4\" y=\"24\">%d draws</text>", most);
    for (int i = 0; i < BINS; i++) {
        double wide = (x.right - x.left) / BINS;
        double high = 140.0 * bins[i] / most;
        strbuf_printf(out,
                      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>",
                      x.left + i * wide, 160 - high, wide - 1, high, BLUE);
    }
    strbuf_puts(out, PICTURE_END);
}

static void write_attribute(const struct whatif_report *report, struct strbuf *out)
{
    const struct cost_input *input = &report->answer.input;
    const struct attribute_meter *all = &report->attribute->all;
    strbuf_puts(out, "<h2>Who pays for egress</h2>\n<p>The tiers of an account add up over its "
                     "apps. The fair share (Shapley) is the mean of what an app adds, over all "
                     "orders in which they may have come.</p>\n" TABLE "<tr><th>USD a month</th>"
                     "<th>fair share</th><th>by bytes</th><th>saved without it</th></tr>\n");
    for (int i = 0; i < all->share_count && i < APPS_SHOWN; i++) {
        const struct share *share = &all->shares[i].share;
        const nusd amounts[] = {share->shapley, share->proportional, share->marginal};
        strbuf_puts(out, "<tr><td>");
        escape(out, input->apps[all->shares[i].app].app->namespace_);
        strbuf_puts(out, "/");
        escape(out, input->apps[all->shares[i].app].app->name);
        strbuf_puts(out, "</td>");
        for (int k = 0; k < 3; k++) {
            strbuf_puts(out, "<td>");
            money(out, amounts[k]);
            strbuf_puts(out, "</td>");
        }
        strbuf_puts(out, "</tr>\n");
    }
    strbuf_puts(out, TABLE_END);
}

static void picture(struct strbuf *out, int height, const char *label)
{
    strbuf_printf(out,
                  "<div class=\"scroll\" tabindex=\"0\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
                  "aria-label=\"%s\"><title>%s</title>\n",
                  WIDTH, height, label, label);
}

static void text_at(struct strbuf *out, double x, double y, const char *anchor, const char *text)
{
    strbuf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    escape(out, text);
    strbuf_puts(out, "</text>");
}

static void axis(struct strbuf *out, const struct scale *scale, double top, double bottom,
                 const char *unit)
{
    for (int i = 0; i <= 2; i++) {
        char amount[MONEY_TEXT_BYTES];
        double value = scale->from + (scale->to - scale->from) * i / 2;
        double x = place(scale, value);
        strbuf_printf(out, "<line class=\"rule\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                      x, x, top, bottom);
        text_at(out, x, bottom + 15, "middle", money_format((nusd)(value * 1e9), 2, amount));
    }
    text_at(out, (scale->left + scale->right) / 2, bottom + 34, "middle", unit);
}

static void legend(struct strbuf *out, int x, const char *color, const char *text)
{
    strbuf_printf(out, "<rect x=\"%d\" y=\"4\" width=\"12\" height=\"12\" fill=\"%s\"/>", x, color);
    text_at(out, x + 17, 15, "start", text);
}

static double place(const struct scale *scale, double value)
{
    double wide = scale->to - scale->from;
    double part = wide <= 0 ? 0.5 : (value - scale->from) / wide;
    return scale->left + (scale->right - scale->left) * part;
}

static double usd(nusd amount)
{
    return (double)amount / 1e9;
}

static void money(struct strbuf *out, nusd amount)
{
    char text[MONEY_TEXT_BYTES];
    strbuf_puts(out, money_format(amount, 2, text));
}

static void escape(struct strbuf *out, const char *text)
{
    for (const char *at = text; *at != 0; at++) {
        const char *safe = *at == '&'   ? "&amp;"
                           : *at == '<' ? "&lt;"
                           : *at == '>' ? "&gt;"
                           : *at == '"' ? "&quot;"
                                        : NULL;
        if (safe != NULL)
            strbuf_puts(out, safe);
        else
            strbuf_append(out, at, 1);
    }
}

static bool placed(const struct sweep_point *point)
{
    return point->status == SOLVE_OPTIMAL || point->status == SOLVE_FEASIBLE;
}
