/* `berth prices diff`: every figure that two worlds differ in, and whose bill it changes. */
#include <inttypes.h>
#include <string.h>

#include "base/doc.h"
#include "model/app.h"
#include "model/json_out.h"
#include "model/solver.h"
#include "model/world.h"
#include "scheduler/cli/places.h"
#include "scheduler/cli/prices.h"
#include "scheduler/cli/prices_command.h"
#include "scheduler/cli/table.h"

#define DIFF_BYTES ((size_t)1 << 30)

struct difference {
    struct places old;
    struct places now;
    struct arena arena;
    struct cost_app *apps; /* with their placements, by the old world's indices */
    int app_count;
    struct price_changes changes;
    struct price_impacts impacts;
};

static int compare(struct cli *cli, const struct prices_options *given, const char *const names[2],
                   struct difference *difference, struct error *err);
static int gather_apps(const struct prices_options *given, struct difference *difference,
                       struct error *err);
static int read_app(const char *path, const struct world *world, struct arena *arena,
                    struct app *ret_app, struct error *err);
static int solve(const struct difference *difference, struct cost_app *apps, int count,
                 struct error *err);
static int solve_problem(const struct cost_input *input, const struct difference *difference,
                         struct arena *arena, struct error *err);
static int print(struct cli *cli, const struct difference *difference, struct error *err);
static int write_text(const struct difference *difference, bool color, struct strbuf *out,
                      struct error *err);
static int write_changes(const struct price_changes *changes, bool color, struct strbuf *out,
                         struct error *err);
static int write_impacts(const struct price_impacts *impacts, bool color, struct strbuf *out,
                         struct error *err);
static void write_json(const struct difference *difference, struct strbuf *out);
static void write_json_impact(const struct price_impact *impact, struct json_out *json);
static const char *percent_text(int64_t ppm, char out[LIMIT_NAME_BYTES]);
static const char *dollars(nusd amount, char out[MONEY_TEXT_BYTES]);
static const char *signed_dollars(nusd amount, char out[MONEY_TEXT_BYTES + 1]);
static const char *growth(nusd before, nusd after, char out[LIMIT_NAME_BYTES]);

int prices_diff(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, struct error *err)
{
    if (words->count != 3)
        return error_set(err, ERR_INVALID, 0,
                         "two worlds are compared: berth prices diff OLD NEW, each a file, "
                         "`catalogue` or `live`");
    if (given->world != NULL || given->live || given->to != NULL)
        return error_set(err, ERR_INVALID, 0,
                         "--world, --live and --to do not go with diff: write OLD and NEW as "
                         "words, as in berth prices diff live new.yaml");
    struct difference difference = {.app_count = 0};
    arena_init(&difference.arena, DIFF_BYTES);
    int rc = compare(cli, given, (const char *const[]){words->items[1], words->items[2]},
                     &difference, err);
    if (rc == 0)
        rc = print(cli, &difference, err);
    places_done(&difference.old);
    places_done(&difference.now);
    arena_done(&difference.arena);
    if (rc < 0)
        return rc;
    return difference.changes.count > 0 ? CLI_CHANGES : 0;
}

static int compare(struct cli *cli, const struct prices_options *given, const char *const names[2],
                   struct difference *difference, struct error *err)
{
    int rc = places_open(cli, names[0], &difference->old, err);
    if (rc == 0)
        rc = places_open(cli, names[1], &difference->now, err);
    if (rc == 0)
        rc = gather_apps(given, difference, err);
    const struct world *old = &difference->old.world;
    const struct world *now = &difference->now.world;
    if (rc == 0)
        rc = price_changes(old, now, &difference->arena, &difference->changes, err);
    if (rc == 0)
        rc =
            price_impacts(old, now, difference->apps, difference->app_count,
                          difference->old.estimates, &difference->arena, &difference->impacts, err);
    return rc;
}

/* Those that run, and those of the documents given, placed as the old world would have them. */
static int gather_apps(const struct prices_options *given, struct difference *difference,
                       struct error *err)
{
    const struct places *old = &difference->old;
    int running = old->app_count;
    size_t count = (size_t)(running + given->apps.count) + 1;
    struct app *apps = arena_array(&difference->arena, count, sizeof(struct app));
    difference->apps = arena_array(&difference->arena, count, sizeof(struct cost_app));
    if (apps == NULL || difference->apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the apps");
    if (difference->now.from == PLACES_LIVE && old->from != PLACES_LIVE)
        running = 0; /* they run in NEW: nothing says where OLD had them */
    if (running > 0)
        memcpy(difference->apps, old->running, (size_t)running * sizeof(struct cost_app));
    difference->app_count = running;
    for (int i = 0; i < given->apps.count; i++) {
        int rc = read_app(given->apps.items[i], &old->world, &difference->arena, &apps[i], err);
        if (rc < 0)
            return rc;
        struct cost_app *placed = &difference->apps[difference->app_count++];
        placed->app = &apps[i];
        placed->states = arena_array(&difference->arena, (size_t)apps[i].workload_count + 1,
                                     sizeof(struct workload_state));
        if (placed->states == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the apps");
        for (int k = 0; k < apps[i].workload_count; k++)
            placed->states[k] = (struct workload_state){
                .now = {.site = -1, .variant = 0, .lead = k}, .may_move = true};
    }
    return given->apps.count == 0
               ? 0
               : solve(difference, difference->apps + running, given->apps.count, err);
}

static int read_app(const char *path, const struct world *world, struct arena *arena,
                    struct app *ret_app, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(path, &doc, err);
    if (rc == 0)
        rc = app_from_doc(doc, arena, ret_app, err);
    if (rc == 0) {
        /* Digests are of no interest here: nothing is started. */
        for (int i = 0; i < ret_app->segment_count; i++)
            if (world_site(world, ret_app->segments[i].site) < 0)
                return error_set(err, ERR_INVALID, 0,
                                 "%s: its users \"%s\" are at %s, which the old world %s has not",
                                 path, ret_app->segments[i].name, ret_app->segments[i].site,
                                 world->name);
    }
    return rc;
}

static int solve(const struct difference *difference, struct cost_app *apps, int count,
                 struct error *err)
{
    struct arena arena;
    arena_init(&arena, DIFF_BYTES);
    struct cost_input input = {.world = &difference->old.world, .apps = apps, .app_count = count};
    int rc = solve_problem(&input, difference, &arena, err);
    arena_done(&arena);
    return rc;
}

static int solve_problem(const struct cost_input *input, const struct difference *difference,
                         struct arena *arena, struct error *err)
{
    struct problem problem;
    struct solution solution = {.status = SOLVE_NONE};
    struct solver *solver = NULL;
    const char *name = difference->old.world.name;
    int rc = cost_problem(input, arena, &problem, err);
    if (rc == 0)
        rc = solver_open(&(struct solver_options){.workers = 1}, &solver, err);
    if (rc == 0)
        rc = solver_call(solver, &problem, arena, &solution, err);
    solver_close(solver);
    if (rc < 0)
        return error_prefix(err, "placing the apps in %s", name);
    if (solution.status == SOLVE_INFEASIBLE)
        return error_set(err, ERR_INVALID, 0,
                         "the apps cannot be placed in %s: %.200s; berth plan -f tells all of it",
                         name,
                         solution.conflict_count > 0 ? problem.rules[solution.conflict[0]].text
                                                     : "their rules cannot hold together");
    if (solution.status == SOLVE_NONE)
        return error_set(err, ERR_UNAVAILABLE, 0, "no placement of the apps in %s was found: %s",
                         name, solution.text);
    int part = 0;
    for (int i = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++)
            input->apps[i].states[k].now =
                cost_placement(input, &problem, part, solution.choice[part]);
    return 0;
}

static int print(struct cli *cli, const struct difference *difference, struct error *err)
{
    struct strbuf out;
    int rc = 0;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json)
        write_json(difference, &out);
    else
        rc = write_text(difference, cli->color, &out, err);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int write_text(const struct difference *difference, bool color, struct strbuf *out,
                      struct error *err)
{
    const struct price_impacts *impacts = &difference->impacts;
    int rc = 0;
    if (difference->changes.count == 0) {
        strbuf_printf(out, "No differences between %s and %s.\n", difference->old.world.name,
                      difference->now.world.name);
        return 0;
    }
    rc = write_changes(&difference->changes, color, out, err);
    for (int i = 0; i < impacts->hole_count; i++)
        text_styled(out, color, STYLE_RED, "%s! %s\n", i == 0 ? "\n" : "", impacts->holes[i]);
    if (rc == 0 && difference->app_count > 0)
        rc = write_impacts(impacts, color, out, err);
    if (difference->app_count == 0 && difference->old.from == PLACES_LIVE)
        text_styled(out, color, STYLE_DIM, "\nNothing runs: nobody's bill changes.\n");
    else if (difference->app_count == 0)
        text_styled(out, color, STYLE_DIM,
                    "\nNo apps to compare: --app FILE says whose bill to compute, or `live` as OLD "
                    "takes those that run.\n");
    return rc;
}

static int write_changes(const struct price_changes *changes, bool color, struct strbuf *out,
                         struct error *err)
{
    struct table table;
    char text[LIMIT_NAME_BYTES];
    table_init(&table, "WHAT|FIGURE|>BEFORE|>AFTER|>CHANGE");
    for (int i = 0; i < changes->count; i++) {
        const struct price_change *change = &changes->list[i];
        bool repeats = i > 0 && str_equal(changes->list[i - 1].what, change->what);
        table_cell(&table, STYLE_PLAIN, "%s", repeats ? "" : change->what);
        table_cell(&table, STYLE_PLAIN, "%s", change->field);
        table_cell(&table, STYLE_PLAIN, "%s", change->before[0] == 0 ? "-" : change->before);
        table_cell(&table, str_equal(change->after, "gone") ? STYLE_RED : STYLE_PLAIN, "%s",
                   change->after[0] == 0 ? "-" : change->after);
        table_cell(&table, change->ppm > 0 ? STYLE_YELLOW : STYLE_GREEN, "%s",
                   change->comparable ? percent_text(change->ppm, text) : "");
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static int write_impacts(const struct price_impacts *impacts, bool color, struct strbuf *out,
                         struct error *err)
{
    struct table table;
    char money[MONEY_TEXT_BYTES + 1];
    char text[LIMIT_NAME_BYTES];
    strbuf_puts(out, "\n");
    if (impacts->count == 0) {
        strbuf_printf(out, "No workload is touched: the bill stays at %s a month.\n",
                      dollars(impacts->bill_after, money));
        return 0;
    }
    table_init(&table, "WORKLOAD|SITE|>BILL/MONTH BEFORE|>AFTER|>CHANGE||>SCORE");
    for (int i = 0; i < impacts->count; i++) {
        const struct price_impact *impact = &impacts->list[i];
        table_cell(&table, STYLE_PLAIN, "%s", impact->workload);
        table_cell(&table, STYLE_PLAIN, "%s", impact->site[0] == 0 ? "-" : impact->site);
        table_cell(&table, STYLE_PLAIN, "%s", dollars(impact->bill_before, money));
        if (!impact->costed) {
            table_cell(&table, STYLE_RED, "cannot be told");
            for (int k = 0; k < 3; k++)
                table_cell(&table, STYLE_PLAIN, "%s", "");
            continue;
        }
        nusd change = impact->bill_after - impact->bill_before;
        enum style style = change > 0 ? STYLE_YELLOW : change < 0 ? STYLE_GREEN : STYLE_DIM;
        table_cell(&table, STYLE_PLAIN, "%s", dollars(impact->bill_after, money));
        table_cell(&table, style, "%s", signed_dollars(change, money));
        table_cell(&table, style, "%s", growth(impact->bill_before, impact->bill_after, text));
        table_cell(&table, STYLE_DIM, "%s",
                   signed_dollars(impact->score_after - impact->score_before, money));
    }
    table_cell(&table, STYLE_BOLD, "all that can be told");
    table_cell(&table, STYLE_BOLD, "%s", "");
    table_cell(&table, STYLE_BOLD, "%s", dollars(impacts->bill_before, money));
    table_cell(&table, STYLE_BOLD, "%s", dollars(impacts->bill_after, money));
    table_cell(&table, STYLE_BOLD, "%s",
               signed_dollars(impacts->bill_after - impacts->bill_before, money));
    table_cell(&table, STYLE_BOLD, "%s", growth(impacts->bill_before, impacts->bill_after, text));
    table_cell(&table, STYLE_BOLD, "%s", "");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    strbuf_puts(out, "If everything stays where it is; berth plan tells what would move.\n");
    return rc;
}

static void write_json(const struct difference *difference, struct strbuf *out)
{
    const struct price_impacts *impacts = &difference->impacts;
    char money[MONEY_TEXT_BYTES];
    struct json_out json;
    json_out_init(&json, out);
    json_open(&json, NULL, '{');
    json_string(&json, "old", difference->old.world.name);
    json_string(&json, "new", difference->now.world.name);
    json_open(&json, "changes", '[');
    for (int i = 0; i < difference->changes.count; i++) {
        const struct price_change *change = &difference->changes.list[i];
        json_open(&json, NULL, '{');
        json_string(&json, "what", change->what);
        json_string(&json, "figure", change->field);
        json_string(&json, "before", change->before);
        json_string(&json, "after", change->after);
        if (change->comparable)
            json_millionths(&json, "change", change->ppm);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_open(&json, "holes", '[');
    for (int i = 0; i < impacts->hole_count; i++)
        json_string(&json, NULL, impacts->holes[i]);
    json_close(&json, ']');
    json_int(&json, "apps", difference->app_count);
    json_open(&json, "workloads", '[');
    for (int i = 0; i < impacts->count; i++)
        write_json_impact(&impacts->list[i], &json);
    json_close(&json, ']');
    json_string(&json, "bill_before", money_exact(impacts->bill_before, money));
    json_string(&json, "bill_after", money_exact(impacts->bill_after, money));
    json_close(&json, '}');
    strbuf_puts(out, "\n");
}

static void write_json_impact(const struct price_impact *impact, struct json_out *json)
{
    char money[MONEY_TEXT_BYTES];
    json_open(json, NULL, '{');
    json_string(json, "workload", impact->workload);
    json_string(json, "site", impact->site);
    json_string(json, "bill_before", money_exact(impact->bill_before, money));
    json_string(json, "score_before", money_exact(impact->score_before, money));
    if (impact->costed) {
        json_string(json, "bill_after", money_exact(impact->bill_after, money));
        json_string(json, "score_after", money_exact(impact->score_after, money));
    }
    json_close(json, '}');
}

/* "+12.5 %", rounded half away from zero to a tenth. */
static const char *percent_text(int64_t ppm, char out[LIMIT_NAME_BYTES])
{
    int64_t size = ppm < 0 ? -ppm : ppm;
    int64_t tenths = size / 1000 + (size % 1000 >= 500 ? 1 : 0);
    str_format(out, LIMIT_NAME_BYTES, "%s%" PRId64 ".%" PRId64 " %%", ppm < 0 ? "-" : "+",
               tenths / 10, tenths % 10);
    return out;
}

static const char *dollars(nusd amount, char out[MONEY_TEXT_BYTES])
{
    bool small = amount > -NUSD_PER_USD && amount < NUSD_PER_USD && amount != 0;
    return money_format(amount, small ? 4 : 2, out);
}

static const char *signed_dollars(nusd amount, char out[MONEY_TEXT_BYTES + 1])
{
    char text[MONEY_TEXT_BYTES];
    str_format(out, MONEY_TEXT_BYTES + 1, "%s%s", amount > 0 ? "+" : "", dollars(amount, text));
    return out;
}

static const char *growth(nusd before, nusd after, char out[LIMIT_NAME_BYTES])
{
    nusd ppm = before > 0 ? (after - before) * PPM / before : 0;
    if (before <= 0 || ppm > INT64_MAX || ppm < INT64_MIN)
        return "";
    return percent_text((int64_t)ppm, out);
}
