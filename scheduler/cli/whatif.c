/* berth whatif: what changed inputs would cost, and what would move. */
#include "scheduler/cli/whatif.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "scheduler/cli/plan_call.h"
#include "scheduler/cli/terminal.h"

#define MEMORY_BYTES ((size_t)8 << 30)
#define GAP_DEFAULT                                                              \
    500 /* ppm: placements nearer to the best possible than that are good enough \
         */
#define TELL_US       (500 * US_PER_MS)
#define TELL_PLAIN_US (5 * US_PER_S)

struct whatif_given {
    struct option_list set;
    struct option_list remove_providers;
    struct option_list remove_sites;
    struct option_list add_sites;
    struct option_list retags;
    struct option_list moves;
    struct option_list objectives;
    struct option_list sweeps;
    struct option_list evens;
    bool sensitivity;
    const char *by;
    int64_t draws;
    struct option_list spreads;
    int64_t seed;
    bool attribute;
    int64_t orders;
    const char *html;
    const char *world;
    const char *state;
    const char *save;
    const char *gap;
    int64_t time_limit_us;
    int64_t workers;
};

/* A command under way. */
struct asking {
    const struct cli *cli;
    const struct whatif_given *given;
    struct arena arena;
    struct cost_state state;
    struct override *list;
    const char **said;
    int count;
    struct whatif *whatif;
    struct whatif_report report;
    int signals;
    bool terminal;
    int64_t told_us;
    int64_t began_us;
};

static int run_whatif(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err);
static int load(struct asking *asking, const struct option_words *words, struct error *err);
static int overrides_of(struct asking *asking, const struct option_words *words, struct error *err);
static int add(struct asking *asking, const char *before, const char *text, struct error *err);
static int add_retags(struct asking *asking, const struct option_words *words, struct error *err);
static int add_objective(struct asking *asking, const char *text, struct error *err);
static int open_solver(struct asking *asking, struct error *err);
static int ask(struct asking *asking, struct error *err);
static int ask_sweeps(struct asking *asking, const struct sweep_base *base, struct error *err);
static int ask_sensitivity(struct asking *asking, const struct sweep_base *base, struct error *err);
static int ask_spread(struct asking *asking, const struct sweep_base *base, struct error *err);
static int ask_attribute(struct asking *asking, struct error *err);
static int show(struct asking *asking, struct error *err);
static bool on_tick(void *context, int done, int count);

#define AT(member) offsetof(struct whatif_given, member)
static const struct option_row rows[] = {
    {"set", 's', OPTION_LIST, "PATH=VALUE",
     "change an input: price.egress.aws*=x2, cache.hit=0.6, calls.shop/web=+20% (docs/whatif.md)",
     AT(set), 0, 0},
    {"remove-provider", 0, OPTION_LIST, "NAME", "nothing may be there any more",
     AT(remove_providers), 0, 0},
    {"remove-site", 0, OPTION_LIST, "SITE", "the same of sites; * stands for anything",
     AT(remove_sites), 0, 0},
    {"add-site", 0, OPTION_LIST, "FILE|YAML",
     "one entry of a world's sites: '{name: aws/eu-west-1, like: aws/eu-west-1}'", AT(add_sites), 0,
     0},
    {"retag", 0, OPTION_LIST, "APP/WORKLOAD", "as if retagged; KEY=VALUE follows", AT(retags), 0,
     0},
    {"move", 0, OPTION_LIST, "APP=FROM:TO", "what is at one provider or site goes to another",
     AT(moves), 0, 0},
    {"slo", 0, OPTION_LIST, "[APP:]p95<TIME", "no call of users may take longer", AT(objectives), 0,
     0},
    {"sweep", 0, OPTION_LIST, "PATH=LO:HI:STEP", "solve each value; twice for a grid of two",
     AT(sweeps), 0, 0},
    {"break-even", 0, OPTION_LIST, "PATH[=xLO:xHI]",
     "where along an input something moves (from a tenth to ten times)", AT(evens), 0, 0},
    {"sensitivity", 0, OPTION_FLAG, NULL, "every price and measure less and more, widest first",
     AT(sensitivity), 0, 0},
    {"by", 0, OPTION_TEXT, "PART", "how much less and more (default: 10%)", AT(by), 0, 0},
    {"monte-carlo", 0, OPTION_INT, "N", "N draws of all that is uncertain", AT(draws), 1,
     SPREAD_DRAWS_MAX},
    {"spread", 0, OPTION_LIST, "PATH=PART", "draw these instead, with that standard deviation",
     AT(spreads), 0, 0},
    {"random-seed", 0, OPTION_INT, "N", "of draws and orders (default: 1)", AT(seed), 0, INT64_MAX},
    {"attribute", 0, OPTION_FLAG, NULL, "what each app pays of the egress tiers that all share",
     AT(attribute), 0, 0},
    {"orders", 0, OPTION_INT, "N", "pairs of orders drawn where apps are many (default: 1000)",
     AT(orders), 1, 10000000},
    {"html", 0, OPTION_TEXT, "FILE",
     "the same as one page with pictures, nothing loaded from elsewhere", AT(html), 0, 0},
    {"world", 0, OPTION_TEXT, "FILE", "ask documents, not the scheduler; APP files follow",
     AT(world), 0, 0},
    {"state", 0, OPTION_TEXT, "FILE", "ask a state that --save kept", AT(state), 0, 0},
    {"save", 0, OPTION_TEXT, "FILE", "keep the state that was asked", AT(save), 0, 0},
    {"gap", 0, OPTION_TEXT, "RATIO",
     "stop a solve that near to the best possible (default: 0.05%; 0: prove it)", AT(gap), 0, 0},
    {"time-limit", 0, OPTION_DURATION, "TIME", "end each solve then, with the best so far",
     AT(time_limit_us), 0, 0},
    {"workers", 0, OPTION_INT, "N", "solves at once (default: one per processor)", AT(workers), 1,
     64},
};

const struct command command_whatif = {
    .name = "whatif",
    .synopsis = "[--set PATH=VALUE]... [--sweep|--break-even PATH...] [--world FILE APP...]",
    .summary = "What changed prices, traffic, hits or places would cost, and what would move",
    .text =
        "Nothing is changed: the scheduler's state is copied and asked here, with the code that\n"
        "places and bills. Three figures: today; today's placement under the changed inputs; the\n"
        "best placement under them, with its bound. Exit code: 0 nothing would move, 2 something\n"
        "would, 1 an error (also when no placement keeps all rules: they are named), 130 Ctrl-C.\n",
    .examples =
        "  berth whatif --set 'price.egress.aws*=x2' --set cache.hit=0.6\n"
        "  berth whatif --remove-provider gcp --slo 'p95<80ms' --html leave.html\n"
        "  berth whatif --set calls.shop=x3 --attribute\n"
        "  berth whatif --sweep price.egress.aws*=0.05:0.15:0.01\n"
        "  berth whatif --break-even 'price.egress.aws*' --sensitivity\n"
        "  berth whatif --monte-carlo 500 --spread 'price.*=10%' --json | jq .monte_carlo\n"
        "  berth whatif --world world.yaml shop.yaml --move shop=gcp:aws\n"
        "  berth whatif --save today.state && berth whatif --state today.state --set calls=x2\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct whatif_given),
    .words_max = OPTION_WORDS_MAX,
    .words = {WORD_FILE, WORD_FILE},
    .run = run_whatif,
};

static int run_whatif(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err)
{
    struct asking asking = {.cli = cli, .given = options, .signals = -1};
    arena_init(&asking.arena, MEMORY_BYTES);
    asking.terminal = isatty(STDERR_FILENO) == 1;
    asking.began_us = clock_mono_now().us;
    int rc = terminal_signals(&asking.signals, err);
    if (rc == 0)
        rc = load(&asking, words, err);
    if (rc == 0)
        rc = overrides_of(&asking, words, err);
    if (rc == 0)
        rc = open_solver(&asking, err);
    if (rc == 0)
        rc = ask(&asking, err);
    if (rc == 0)
        rc = show(&asking, err);
    whatif_close(asking.whatif);
    const struct whatif_report *report = &asking.report;
    int code =
        !report->sides[SIDE_BEST].known ? 1
        : rc == 0 && whatif_moves(&report->answer.input, asking.state.at, report->answer.best) > 0
            ? CLI_CHANGES
            : 0;
    arena_done(&asking.arena);
    cleanup_close(&asking.signals);
    if (rc == ERR_STALE) {
        fprintf(stderr, "berth whatif: %s\n", err->text);
        return CLI_CANCELLED;
    }
    return rc < 0 ? rc : code;
}

static int load(struct asking *asking, const struct option_words *words, struct error *err)
{
    const struct whatif_given *given = asking->given;
    struct whatif_source source = {
        .world = given->world, .state = given->state, .save = given->save};
    if (given->world != NULL && given->state != NULL)
        return error_set(err, ERR_INVALID, 0, "--world or --state, not both");
    const char **apps = arena_array(&asking->arena, OPTION_WORDS_MAX, sizeof(*apps));
    if (apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the names of files");
    for (int i = 0; i < words->count; i++) {
        bool tag = strchr(words->items[i], '=') != NULL;
        if (given->world == NULL && !tag)
            return error_set(err, ERR_INVALID, 0,
                             "\"%.100s\": apps are given with --world FILE; without it the "
                             "scheduler's own are asked",
                             words->items[i]);
        if (!tag)
            apps[source.app_count++] = words->items[i];
    }
    source.apps = apps;
    if (given->world != NULL && source.app_count == 0)
        return error_set(err, ERR_INVALID, 0, "--world %.200s: the files of its apps are missing",
                         given->world);
    return whatif_load(asking->cli, &source, &asking->arena, &asking->state, err);
}

/* In the order of the table, as their order counts: places come and go before prices change. */
static int overrides_of(struct asking *asking, const struct option_words *words, struct error *err)
{
    const struct whatif_given *given = asking->given;
    size_t room = OPTION_LIST_MAX * 8;
    int rc = 0;
    asking->list = arena_array(&asking->arena, room, sizeof(struct override));
    asking->said = arena_array(&asking->arena, room, sizeof(char *));
    if (asking->list == NULL || asking->said == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for overrides");
    for (int i = 0; i < given->add_sites.count && rc == 0; i++) {
        char *text = NULL;
        rc = whatif_add_site(given->add_sites.items[i], &asking->arena, &text, err);
        if (rc == 0)
            rc = add(asking, "", text, err);
    }
    for (int i = 0; i < given->remove_providers.count && rc == 0; i++)
        rc = add(asking, "remove.provider=", given->remove_providers.items[i], err);
    for (int i = 0; i < given->remove_sites.count && rc == 0; i++)
        rc = add(asking, "remove.site=", given->remove_sites.items[i], err);
    for (int i = 0; i < given->set.count && rc == 0; i++)
        rc = add(asking, "", given->set.items[i], err);
    if (rc == 0)
        rc = add_retags(asking, words, err);
    for (int i = 0; i < given->moves.count && rc == 0; i++)
        rc = add(asking, "move.", given->moves.items[i], err);
    for (int i = 0; i < given->objectives.count && rc == 0; i++)
        rc = add_objective(asking, given->objectives.items[i], err);
    return rc;
}

static int add(struct asking *asking, const char *before, const char *text, struct error *err)
{
    const char *whole = arena_printf(&asking->arena, "%s%s", before, text);
    if (whole == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an override");
    asking->said[asking->count] = whole;
    return override_parse(whole, &asking->list[asking->count++], err);
}

/* "--retag app/workload key=value", as `berth plan` has it, or all in one word. */
static int add_retags(struct asking *asking, const struct option_words *words, struct error *err)
{
    const struct option_list *retags = &asking->given->retags;
    int word = 0;
    int rc = 0;
    for (int i = 0; i < retags->count && rc == 0; i++) {
        const char *tag = NULL;
        if (strchr(retags->items[i], '=') != NULL) {
            rc = add(asking, "retag.", retags->items[i], err);
            continue;
        }
        while (word < words->count && tag == NULL) {
            tag = strchr(words->items[word], '=') != NULL ? words->items[word] : NULL;
            word++;
        }
        const char *text =
            tag == NULL ? NULL : arena_printf(&asking->arena, "%s=%s", retags->items[i], tag);
        rc = tag == NULL
                 ? error_set(err, ERR_INVALID, 0, "--retag %.140s: KEY=VALUE is missing behind it",
                             retags->items[i])
             : text == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for an override")
                            : add(asking, "retag.", text, err);
    }
    for (; word < words->count && rc == 0; word++)
        if (strchr(words->items[word], '=') != NULL)
            rc = error_set(err, ERR_INVALID, 0, "\"%.100s\": an input is changed with --set %.100s",
                           words->items[word], words->items[word]);
    return rc;
}

/* "p95<80ms", or "shop:p95<80ms". */
static int add_objective(struct asking *asking, const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');
    const char *whole = colon == NULL ? arena_printf(&asking->arena, "slo=%s", text)
                                      : arena_printf(&asking->arena, "slo.%.*s=%s",
                                                     (int)(colon - text), text, colon + 1);
    if (whole == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an override");
    return add(asking, "", whole, err);
}

static int open_solver(struct asking *asking, struct error *err)
{
    const struct whatif_given *given = asking->given;
    struct whatif_options options = {.workers = (int)given->workers};
    int64_t gap_ppm = GAP_DEFAULT;
    if (given->gap != NULL && units_ratio(given->gap, &gap_ppm, err) < 0)
        return error_prefix(err, "--gap");
    if (gap_ppm > PPM)
        return error_set(err, ERR_INVALID, 0, "--gap \"%.64s\": at most 100%%", given->gap);
    options.limits.gap = (double)gap_ppm / PPM;
    options.limits.time_max_us = given->time_limit_us;
    int rc = whatif_open(&options, &asking->whatif, err);
    if (rc == 0)
        whatif_on_tick(asking->whatif, on_tick, asking);
    return rc;
}

static int ask(struct asking *asking, struct error *err)
{
    struct whatif_report *report = &asking->report;
    struct sweep_base base = {
        .input = &asking->state.input, .list = asking->list, .count = asking->count};
    report->assumed = !asking->state.placed;
    report->said = asking->said;
    report->said_count = asking->count;
    report->seed = asking->given->seed == 0 ? 1 : (uint64_t)asking->given->seed;
    int rc = whatif_place(asking->whatif, &asking->state, &asking->arena, err);
    base.at = asking->state.at;
    if (rc == 0)
        rc = report_begin(asking->whatif, &asking->state, asking->list, asking->count,
                          &asking->arena, report, err);
    if (rc < 0 || !report->sides[SIDE_BEST].known)
        return rc;
    rc = ask_sweeps(asking, &base, err);
    if (rc == 0)
        rc = ask_sensitivity(asking, &base, err);
    if (rc == 0)
        rc = ask_spread(asking, &base, err);
    return rc < 0 ? rc : ask_attribute(asking, err);
}

static int ask_sweeps(struct asking *asking, const struct sweep_base *base, struct error *err)
{
    const struct whatif_given *given = asking->given;
    struct whatif_report *report = &asking->report;
    int rc = 0;
    if (given->sweeps.count > SWEEP_AXES)
        return error_set(err, ERR_INVALID, 0, "--sweep: one input, or two for a grid");
    for (int i = 0; i < given->sweeps.count && rc == 0; i++) {
        rc = sweep_axis_parse(given->sweeps.items[i], &report->axes[i], err);
        rc = rc < 0 ? error_prefix(err, "--sweep") : 0;
    }
    if (rc == 0 && given->sweeps.count > 0) {
        report->axis_count = given->sweeps.count;
        rc = sweep_run(asking->whatif, base, report->axes, report->axis_count, &asking->arena,
                       &report->points, err);
    }
    report->evens = arena_array(&asking->arena, OPTION_LIST_MAX, sizeof(struct sweep_even));
    if (rc == 0 && report->evens == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for break-even points");
    report->even_paths = given->evens.items;
    for (int i = 0; i < given->evens.count && rc == 0; i++) {
        rc = sweep_even(asking->whatif, base, given->evens.items[i], &asking->arena,
                        &report->evens[i], err);
        if (rc < 0 && rc != ERR_STALE)
            return error_prefix(err, "--break-even");
        report->even_count += rc == 0;
    }
    return rc;
}

static int ask_sensitivity(struct asking *asking, const struct sweep_base *base, struct error *err)
{
    struct whatif_report *report = &asking->report;
    const char *by = asking->given->by;
    report->bar_part_ppm = PPM / 10;
    if (by != NULL && units_ratio(by, &report->bar_part_ppm, err) < 0)
        return error_prefix(err, "--by");
    return asking->given->sensitivity || by != NULL
               ? sweep_tornado(asking->whatif, base, report->bar_part_ppm, &asking->arena,
                               &report->bars, &report->bar_count, &report->bar_base, err)
               : 0;
}

static int ask_spread(struct asking *asking, const struct sweep_base *base, struct error *err)
{
    const struct option_list *given = &asking->given->spreads;
    struct spread_input *inputs =
        arena_array(&asking->arena, OPTION_LIST_MAX, sizeof(struct spread_input));
    struct spread_result *result = arena_alloc(&asking->arena, sizeof(*result));
    if (inputs == NULL || result == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for draws");
    for (int i = 0; i < given->count; i++) {
        int rc = spread_input_parse(given->items[i], &inputs[i], err);
        if (rc < 0)
            return rc;
    }
    struct spread_options options = {.draws = (int)asking->given->draws,
                                     .seed = asking->report.seed,
                                     .inputs = inputs,
                                     .input_count = given->count};
    if (options.draws == 0 && given->count == 0)
        return 0;
    options.draws = options.draws == 0 ? 200 : options.draws;
    int rc = spread_run(asking->whatif, base, &options, &asking->arena, result, err);
    asking->report.spread = rc == 0 ? result : NULL;
    return rc;
}

static int ask_attribute(struct asking *asking, struct error *err)
{
    struct whatif_report *report = &asking->report;
    struct share_options options = {.orders = (int)asking->given->orders, .seed = report->seed};
    struct attribute *attribute = arena_alloc(&asking->arena, sizeof(*attribute));
    if (!asking->given->attribute)
        return 0;
    if (attribute == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for shares");
    int rc = attribute_egress(&report->answer.input, report->sides[SIDE_BEST].at, &options,
                              &asking->arena, attribute, err);
    report->attribute = rc == 0 ? attribute : NULL;
    return rc;
}

static int show(struct asking *asking, struct error *err)
{
    const struct whatif_given *given = asking->given;
    struct strbuf out;
    int rc = 0;
    strbuf_init(&out, CLI_TEXT_BYTES * 4);
    if (asking->terminal && asking->told_us > 0)
        fputs("\r\033[K", stderr);
    if (given->html != NULL) {
        char title[LIMIT_TEXT_BYTES];
        str_format(title, sizeof(title), "What if: %.200s",
                   asking->count > 0         ? asking->said[0]
                   : given->sweeps.count > 0 ? given->sweeps.items[0]
                   : given->evens.count > 0  ? given->evens.items[0]
                                             : "nothing changes");
        report_html(&asking->report, title, &out);
        rc = whatif_write(given->html, &out, err);
        strbuf_reset(&out);
    }
    if (rc == 0 && asking->cli->common.json)
        report_json(&asking->report, &out);
    else if (rc == 0)
        rc = whatif_text(&asking->report, asking->cli->color, &out, err);
    if (rc == 0 && given->html != NULL && !asking->cli->common.json)
        strbuf_printf(&out, "\nWith pictures: %s\n", given->html);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

/* How far it is, once it takes long; and whether it is to end. */
static bool on_tick(void *context, int done, int count)
{
    struct asking *asking = context;
    int64_t now_us = clock_mono_now().us;
    int64_t since_us = now_us - (asking->told_us > 0 ? asking->told_us : asking->began_us);
    if (count > 1 && since_us > (asking->terminal ? TELL_US : TELL_PLAIN_US)) {
        fprintf(stderr, asking->terminal ? "\r\033[K%d of %d scenarios" : "%d of %d scenarios\n",
                done, count);
        asking->told_us = now_us;
    }
    return terminal_signalled(asking->signals);
}
