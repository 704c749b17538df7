/* berth simulate: months of the production scheduler in a virtual world, policies compared. */
#include "scheduler/cli/simulate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/doc.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/document.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/replay.h"
#include "scheduler/cli/scratch.h"

#define SCENARIO_BYTES ((size_t)64 << 20)

struct simulate_options {
    const char *policy;
    const char *out;
    const char *solver;
    const char *replay;
    const char *keep;
    int64_t last_us;
    struct option_list sets;
    int64_t jobs;
    bool csv;
    bool focus;
    bool requests;
    bool resume;
    bool quiet;
};

struct watching {
    const struct scenario *scenario;
    bool terminal;
    bool quiet;
    int64_t begun_us;
    int64_t shown_us;
};

static int run_simulate_command(struct cli *cli, void *options, const struct option_words *words,
                                struct error *err);
static int prepare(const struct simulate_options *given, const struct option_words *words,
                   struct replay *replay, struct error *err);
static int simulate(struct cli *cli, const struct simulate_options *given, const char *file,
                    struct error *err);
static int add_policy(struct scenario *scenario, const char *name, struct arena *arena,
                      struct error *err);
static int check(const struct cli *cli, const struct simulate_options *given, struct error *err);
static int read_scenario(const char *path, struct arena *arena, struct scenario *ret_scenario,
                         struct error *err);
static int open_results(const struct simulate_options *given, struct scratch *scratch,
                        char out[LIMIT_PATH_BYTES], struct error *err);
static int print(struct cli *cli, const struct simulate_options *given,
                 const struct scenario *scenario, const char *path, struct error *err);
static int print_focus(void *context, const struct strbuf *text, struct error *err);
static void on_news(void *context, const struct experiment_news *news);

static const struct option_row rows[] = {
    {"policy", 'p', OPTION_TEXT, "NAME",
     "only that one of the scenario's policies, or any of "
     "Berth's own: solver, forecast, optimum, stay, all-cloud, all-edge, one-provider, greedy, "
     "nearest",
     offsetof(struct simulate_options, policy), 0, 0},
    {"out", 'o', OPTION_TEXT, "FILE", "keep everything in this SQLite file (docs/simulator.md)",
     offsetof(struct simulate_options, out), 0, 0},
    {"resume", 0, OPTION_FLAG, NULL, "keep the runs that FILE has, and add those that are missing",
     offsetof(struct simulate_options, resume), 0, 0},
    {"jobs", 'j', OPTION_INT, "N", "runs at a time (default: one for each processor)",
     offsetof(struct simulate_options, jobs), 1, 64},
    {"csv", 0, OPTION_FLAG, NULL, "one line for each run, as CSV",
     offsetof(struct simulate_options, csv), 0, 0},
    {"focus", 0, OPTION_FLAG, NULL, "the ledger's rows, as CSV with the columns of FOCUS 1.2",
     offsetof(struct simulate_options, focus), 0, 0},
    {"requests", 0, OPTION_FLAG, NULL,
     "the spans of single requests, a line for each caller and each station, as CSV",
     offsetof(struct simulate_options, requests), 0, 0},
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress on standard error",
     offsetof(struct simulate_options, quiet), 0, 0},
    {"replay", 0, OPTION_TEXT, "FOLDER",
     "instead of SCENARIO: what a scheduler recorded in its folder, run again",
     offsetof(struct simulate_options, replay), 0, 0},
    {"last", 0, OPTION_DURATION, "TIME", "of --replay: so much, up to its end (default: 7d)",
     offsetof(struct simulate_options, last_us), 0, 0},
    {"set", 0, OPTION_LIST, "WHAT=VALUE",
     "of --replay: otherwise than it was, as in `berth whatif --set` (repeat)",
     offsetof(struct simulate_options, sets), 0, 0},
    {"keep", 0, OPTION_TEXT, "FOLDER",
     "of --replay: write the scenario and its documents to this new folder",
     offsetof(struct simulate_options, keep), 0, 0},
    {"solver", 0, OPTION_TEXT, "FILE", "the solver (default: berth-solve beside this program)",
     offsetof(struct simulate_options, solver), 0, 0},
};

const struct command command_simulate = {
    .name = "simulate",
    .synopsis = "SCENARIO [--policy NAME] [--out FILE.db] [--jobs N] [--resume] [--csv]\n"
                "       berth simulate SCENARIO --focus|--requests\n"
                "       berth simulate --replay FOLDER [--last TIME] [--set WHAT=VALUE...] [--keep "
                "FOLDER]",
    .summary = "Months of the scheduler in a virtual world: what policies cost, and the bound",
    .text =
        "SCENARIO is a document (YAML or JSON, docs/simulator.md): worlds, apps, load, events and\n"
        "policies. The scheduler's own core, cost model, solver and ledger run in it, in virtual\n"
        "time; nothing is started and no scheduler is asked. Beside every policy stands the lower\n"
        "bound: no placement of anybody could have cost less in those hours, moves left aside.\n"
        "Equal seeds give equal results, told by the run hash, with any number of jobs.\n\n"
        "--replay makes the scenario of a scheduler's own record: its apps, its world and its\n"
        "nodes by the journal, calls by what was measured. So last week is run again under other\n"
        "policies (solver, stay and optimum, or --policy) or, with --set, other prices.\n",
    .examples = "  berth simulate examples/scenarios/shop.yaml\n"
                "  berth simulate examples/scenarios/policies.yaml --out policies.db --jobs 4\n"
                "  berth simulate examples/scenarios/policies.yaml --out policies.db --resume\n"
                "  berth simulate examples/scenarios/shop.yaml --policy stay --json | jq .runs\n"
                "  berth simulate examples/scenarios/shop.yaml --focus > costs.csv\n"
                "  berth simulate examples/scenarios/two-tier.yaml --requests > requests.csv\n"
                "  berth simulate --replay .berth --last 2d\n"
                "  berth simulate --replay .berth --set 'price.egress.aws*=x2' --policy greedy\n"
                "  berth simulate --replay .berth --keep last-week\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct simulate_options),
    .words_max = 1,
    .words = {WORD_FILE},
    .run = run_simulate_command,
};

static int run_simulate_command(struct cli *cli, void *options, const struct option_words *words,
                                struct error *err)
{
    const struct simulate_options *given = options;
    struct replay replay = {.folder = ""};
    int rc = check(cli, given, err);
    if (rc == 0)
        rc = prepare(given, words, &replay, err);
    if (rc == 0)
        rc = simulate(cli, given, given->replay == NULL ? words->items[0] : replay.scenario, err);
    replay_remove(&replay);
    return rc;
}

/* SCENARIO, or one made of a record. */
static int prepare(const struct simulate_options *given, const struct option_words *words,
                   struct replay *replay, struct error *err)
{
    bool parts = given->keep != NULL || given->last_us != 0 || given->sets.count > 0;
    if (given->replay == NULL && parts)
        return error_set(err, ERR_INVALID, 0,
                         "--last, --set and --keep belong to --replay FOLDER; in a SCENARIO write "
                         "for: and events:");
    if ((given->replay != NULL) == (words->count > 0))
        return error_set(err, ERR_INVALID, 0,
                         "one of SCENARIO and --replay FOLDER: berth simulate "
                         "examples/scenarios/shop.yaml, or berth simulate --replay .berth");
    if (given->replay == NULL)
        return 0;
    struct replay_request request = {.folder = given->replay,
                                     .keep = given->keep,
                                     .last_us = given->last_us,
                                     .sets = &given->sets};
    int rc = replay_write(&request, replay, err);
    if (rc == 0 && !given->quiet)
        (void)fputs(replay->told, stderr);
    return rc;
}

static int simulate(struct cli *cli, const struct simulate_options *given, const char *file,
                    struct error *err)
{
    struct arena arena;
    struct scenario scenario;
    char path[LIMIT_PATH_BYTES];
    arena_init(&arena, SCENARIO_BYTES);
    int rc = read_scenario(file, &arena, &scenario, err);
    if (rc == 0 && given->policy != NULL)
        rc = add_policy(&scenario, given->policy, &arena, err);
    struct scratch scratch = {.folder = ""};
    if (rc == 0)
        rc = open_results(given, &scratch, path, err);
    if (rc < 0) {
        scratch_close(&scratch);
        arena_done(&arena);
        return rc;
    }
    struct watching watching = {.scenario = &scenario,
                                .terminal = isatty(STDERR_FILENO) == 1,
                                .quiet = given->quiet,
                                .begun_us = clock_mono_now().us};
    struct experiment_options run = {.out = path,
                                     .resume = given->resume || given->out == NULL,
                                     .jobs = (int)given->jobs,
                                     .policy = given->policy,
                                     .solver = given->solver,
                                     .told = on_news,
                                     .context = &watching};
    struct experiment_outcome outcome;
    rc = experiment_run(&scenario, &run, &outcome, err);
    if (rc == 0 && outcome.failed < outcome.runs)
        rc = print(cli, given, &scenario, path, err);
    if (rc == 0 && outcome.failed > 0)
        rc = outcome.runs == 1
                 ? error_set(err, outcome.first.code, 0, "%s", outcome.first.text)
                 : error_set(err, outcome.first.code, 0, "%d of %d runs failed, first: %.600s",
                             outcome.failed, outcome.runs, outcome.first.text);
    scratch_close(&scratch);
    arena_done(&arena);
    return rc;
}

/* One of Berth's own that the scenario does not list comes behind those that it does. */
static int add_policy(struct scenario *scenario, const char *name, struct arena *arena,
                      struct error *err)
{
    size_t count = (size_t)scenario->policy_count;
    for (size_t i = 0; i < count; i++)
        if (str_equal(scenario->policies[i].name, name))
            return 0;
    char words[LIMIT_TEXT_BYTES];
    int kind = policy_kind(name);
    if (kind < 0 || kind == POLICY_PROGRAM)
        return error_set(err, ERR_INVALID, 0,
                         "--policy %.60s: the scenario has none of that name, and Berth has %s",
                         name, policy_list(words));
    struct scenario_policy *policies = arena_array(arena, count + 1, sizeof(*policies));
    if (policies == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a policy more");
    memcpy(policies, scenario->policies, count * sizeof(*policies));
    str_format(policies[count].name, sizeof(policies[count].name), "%s", name);
    scenario->policies = policies;
    scenario->policy_count++;
    return 0;
}

static int check(const struct cli *cli, const struct simulate_options *given, struct error *err)
{
    if (given->resume && given->out == NULL)
        return error_set(err, ERR_INVALID, 0, "--resume goes on with the runs of --out FILE");
    if (given->csv + given->focus + given->requests + cli->common.json > 1)
        return error_set(
            err, ERR_INVALID, 0,
            "one of --csv, --focus, --requests and --json, not several; with --out FILE the others "
            "are in FILE");
    return 0;
}

static int read_scenario(const char *path, struct arena *arena, struct scenario *ret_scenario,
                         struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(path, &doc, err);
    if (rc < 0)
        return rc;
    rc = scenario_from_doc(doc, path, arena, ret_scenario, err);
    return rc < 0 ? document_problems(doc, rc, err) : 0;
}

/* The results' file: --out, or one that goes with the command. */
static int open_results(const struct simulate_options *given, struct scratch *scratch,
                        char out[LIMIT_PATH_BYTES], struct error *err)
{
    if (given->out != NULL)
        return str_copy(out, LIMIT_PATH_BYTES, given->out) < 0
                   ? error_set(err, ERR_LIMIT, 0, "--out: the path is too long")
                   : 0;
    int rc = scratch_open("simulate", scratch, err);
    if (rc < 0)
        return error_prefix(err, "the results (--out FILE says where they go)");
    return folder_path(scratch->folder, "results.db", out, err);
}

static int print(struct cli *cli, const struct simulate_options *given,
                 const struct scenario *scenario, const char *path, struct error *err)
{
    struct store *store = NULL;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    int rc = store_open(path, true, &store, err);
    if (rc == 0)
        rc = experiment_choose(scenario, store, err);
    if (rc == 0 && given->focus)
        rc = store_focus(store, print_focus, NULL, err);
    else if (rc == 0 && given->requests)
        rc = simulate_write_requests_csv(store, &out, err);
    else if (rc == 0 && given->csv)
        rc = simulate_write_csv(store, &out, err);
    else if (rc == 0 && cli->common.json)
        rc = simulate_write_json(store, &out, err);
    else if (rc == 0)
        rc = simulate_write_text(store, scenario->precision_ppm, cli->color, &out, err);
    bool text = !given->focus && !given->csv && !given->requests && !cli->common.json;
    if (rc == 0 && text)
        rc = simulate_write_moves(store, cli->color, &out, err);
    if (rc == 0 && text)
        rc = simulate_write_requests(store, cli->color, &out, err);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    store_close(store);
    return rc;
}

static int print_focus(void *context, const struct strbuf *text, struct error *err)
{
    (void)context;
    return cli_print(text, err);
}

/* A line that is written over on a terminal; elsewhere one for each run that has ended. */
static void on_news(void *context, const struct experiment_news *news)
{
    struct watching *watching = context;
    int64_t now_us = clock_mono_now().us;
    if (watching->quiet)
        return;
    if (news->failure != NULL)
        (void)fprintf(stderr, "%s%s, seed %" PRId64 ": %s\n", watching->terminal ? "\r\033[K" : "",
                      watching->scenario->policies[news->ended->policy].name, news->ended->seed,
                      news->failure);
    else if (news->ended != NULL && !watching->terminal && news->runs > 1)
        (void)fprintf(stderr, "%d of %d runs: %s, seed %" PRId64 "\n", news->done, news->runs,
                      watching->scenario->policies[news->ended->policy].name, news->ended->seed);
    if (!watching->terminal || now_us - watching->begun_us < US_PER_S)
        return;
    bool over = news->running == 0 && news->done == news->runs;
    if (!over && now_us - watching->shown_us < 100 * US_PER_MS)
        return;
    watching->shown_us = now_us;
    if (over)
        (void)fprintf(stderr, "\r\033[K");
    else
        (void)fprintf(stderr, "\r\033[K%d of %d runs, %d under way: step %" PRId64 " of %" PRId64,
                      news->done, news->runs, news->running, news->steps_done, news->steps);
}
