/* What `berth simulate` prints. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "model/json_out.h"
#include "scheduler/cli/simulate.h"
#include "scheduler/cli/table.h"

#define MEANS_BYTES ((size_t)512 << 20)
#define MOVES_SHOWN 40
#define NOTES_SHOWN 30

struct writing {
    struct strbuf *out;
    struct json_out *json;
    struct store *store;
    struct table *table;
    int runs;
    int moves;
    char key[STORE_KEY_BYTES];
};

static void write_group(const struct experiment_mean *mean, const struct experiment_mean *before,
                        bool color, struct strbuf *out);
static void write_mean(const struct experiment_mean *mean, struct table *table);
static void write_precision(const struct experiment_mean *means, int count, int64_t precision_ppm,
                            struct strbuf *out);
static int write_notes(void *context, const struct store_run *run, struct error *err);
static int count_runs(void *context, const struct store_run *run, struct error *err);
static int write_move(void *context, const struct run_move *move, struct error *err);
static int json_run(void *context, const struct store_run *run, struct error *err);
static int json_move(void *context, const struct run_move *move, struct error *err);
static void json_mean(const struct experiment_mean *mean, struct json_out *json);
static int csv_run(void *context, const struct store_run *run, struct error *err);
static void csv_text(struct strbuf *out, const char *text);
static bool same_group(const struct experiment_mean *a, const struct experiment_mean *b);
static void put_double(struct json_out *json, const char *key, double value);
static void put_money(struct json_out *json, const char *key, nusd amount);
static double above(const struct experiment_mean *mean);
static void dollars(double amount, char out[MONEY_TEXT_BYTES]);

int simulate_write_text(struct store *store, int64_t precision_ppm, bool color, struct strbuf *out,
                        struct error *err)
{
    struct arena arena;
    struct experiment_mean *means = NULL;
    int count = 0;
    arena_init(&arena, MEANS_BYTES);
    int rc = experiment_means(store, &arena, &means, &count, err);
    for (int from = 0; rc == 0 && from < count;) {
        struct table table;
        int to = from;
        write_group(&means[from], from > 0 ? &means[from - 1] : NULL, color, out);
        table_init(&table,
                   "POLICY|>SEEDS|>BILL|>SCORE|>LOWER BOUND|>ABOVE|>MOVES|>SLOW|>LOST|>RTT");
        for (; to < count && same_group(&means[from], &means[to]); to++)
            write_mean(&means[to], &table);
        rc = table_write(&table, color, out, err);
        table_done(&table);
        if (rc == 0 && precision_ppm > 0)
            write_precision(&means[from], to - from, precision_ppm, out);
        from = to;
    }
    arena_done(&arena);
    if (rc < 0)
        return rc;
    struct writing writing = {.out = out};
    rc = store_runs(store, write_notes, &writing, err);
    if (rc == 0 && writing.runs > NOTES_SHOWN)
        strbuf_printf(out, "and %d notes more (--json has all)\n", writing.runs - NOTES_SHOWN);
    return rc;
}

static void write_group(const struct experiment_mean *mean, const struct experiment_mean *before,
                        bool color, struct strbuf *out)
{
    char from[WALL_TEXT_BYTES];
    char to[WALL_TEXT_BYTES];
    if (before != NULL)
        strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "%s", mean->of.scenario);
    strbuf_printf(out, ": %.16s to %.16s", wall_format((struct wall){mean->of.from_us}, from),
                  wall_format((struct wall){mean->of.to_us}, to));
    strbuf_printf(out, ", world %s, apps %s%s%s\n\n", mean->of.world, mean->of.apps,
                  mean->of.trace[0] != 0 ? ", trace " : "", mean->of.trace);
}

static void write_mean(const struct experiment_mean *mean, struct table *table)
{
    char text[3][MONEY_TEXT_BYTES];
    char half[MONEY_TEXT_BYTES] = "";
    dollars(mean->bill, text[0]);
    dollars(mean->score, text[1]);
    dollars(mean->bound, text[2]);
    if (mean->seeds > 1)
        dollars(mean->score_half, half);
    table_cell(table, STYLE_PLAIN, "%s", mean->of.policy);
    table_cell(table, STYLE_PLAIN, "%d", mean->seeds);
    table_cell(table, STYLE_PLAIN, "%s", text[0]);
    table_cell(table, STYLE_PLAIN, "%s%s%s", text[1], half[0] != 0 ? " +- " : "", half);
    table_cell(table, STYLE_PLAIN, "%s", mean->bound > 0 || mean->bound_score > 0 ? text[2] : "-");
    if (mean->bound > 0)
        table_cell(table, STYLE_PLAIN, "%.1f %%", 100 * above(mean));
    else
        table_cell(table, STYLE_DIM, "-");
    table_cell(table, STYLE_PLAIN, "%.1f", mean->moves);
    table_cell(table, mean->slow_ppm > 0 ? STYLE_YELLOW : STYLE_PLAIN, "%.2f %%",
               mean->slow_ppm / 1e4);
    table_cell(table, mean->lost_ppm > 0 ? STYLE_RED : STYLE_PLAIN, "%.4f %%",
               mean->lost_ppm / 1e4);
    table_cell(table, STYLE_PLAIN, "%.1f ms", mean->rtt_ms);
}

/* Whether the seeds were enough: told of the mean that is known least. */
static void write_precision(const struct experiment_mean *means, int count, int64_t precision_ppm,
                            struct strbuf *out)
{
    const struct experiment_mean *worst = &means[0];
    double widest = 0;
    for (int i = 0; i < count; i++) {
        double part = means[i].score > 0 ? means[i].score_half / means[i].score : 0;
        if (part <= widest)
            continue;
        widest = part;
        worst = &means[i];
    }
    bool enough = widest * (double)PPM <= (double)precision_ppm;
    strbuf_printf(
        out,
        "\nAfter %d seeds the mean of %s is known to +- %.2f %%: %s the %.2f %% of precision%s\n",
        worst->seeds, worst->of.policy, 100 * widest, enough ? "within" : "more than",
        (double)precision_ppm / 1e4, enough ? "." : "; experiment.seeds allows no more of them.");
}

/* How far the score is above the bound, over the time for which a bound is known. */
static double above(const struct experiment_mean *mean)
{
    return mean->bound > 0 ? mean->bound_score / mean->bound - 1 : 0;
}

static void dollars(double amount, char out[MONEY_TEXT_BYTES])
{
    double cents = amount * 1e9;
    (void)money_format(cents > -1e30 && cents < 1e30 ? (nusd)cents : 0, 2, out);
}

static int write_notes(void *context, const struct store_run *run, struct error *err)
{
    struct writing *writing = context;
    (void)err;
    for (const char *at = run->result.notes; *at != 0;) {
        int bytes = (int)strcspn(at, "\n");
        if (writing->runs++ < NOTES_SHOWN)
            strbuf_printf(writing->out, "%s%s, seed %" PRId64 ": %.*s\n",
                          writing->runs == 1 ? "\n" : "", run->policy, run->seed, bytes, at);
        at += bytes + (at[bytes] == '\n');
    }
    return 0;
}

static bool same_group(const struct experiment_mean *a, const struct experiment_mean *b)
{
    return str_equal(a->of.world, b->of.world) && str_equal(a->of.apps, b->of.apps) &&
           str_equal(a->of.trace, b->of.trace) && str_equal(a->of.scenario, b->of.scenario);
}

/* ---- moves ---- */

int simulate_write_moves(struct store *store, bool color, struct strbuf *out, struct error *err)
{
    struct table table;
    struct writing writing = {.store = store, .table = &table};
    int rc = store_runs(store, count_runs, &writing, err);
    if (rc < 0 || writing.runs != 1)
        return rc;
    strbuf_puts(out, "\n");
    table_init(&table, "AT|WORKLOAD|FROM|TO|WHY|STATE|>TOOK");
    rc = store_moves(store, writing.key, write_move, &writing, err);
    if (rc == 0 && writing.moves == 0)
        strbuf_puts(out, "Nothing moved.\n");
    else if (rc == 0)
        rc = table_write(&table, color, out, err);
    if (rc == 0 && writing.moves > MOVES_SHOWN)
        strbuf_printf(out, "... and %d more; --json lists all of them.\n",
                      writing.moves - MOVES_SHOWN);
    table_done(&table);
    return rc;
}

static int count_runs(void *context, const struct store_run *run, struct error *err)
{
    struct writing *writing = context;
    (void)err;
    writing->runs++;
    memcpy(writing->key, run->key, sizeof(writing->key));
    return 0;
}

static int write_move(void *context, const struct run_move *move, struct error *err)
{
    struct writing *writing = context;
    char at[WALL_TEXT_BYTES];
    (void)err;
    if (writing->moves++ >= MOVES_SHOWN)
        return 0;
    table_cell(writing->table, STYLE_PLAIN, "%.19s", wall_format((struct wall){move->at_us}, at));
    table_cell(writing->table, STYLE_PLAIN, "%s/%s", move->app, move->workload);
    table_cell(writing->table, STYLE_PLAIN, "%s", move->from[0] != 0 ? move->from : "-");
    table_cell(writing->table, STYLE_PLAIN, "%s", move->to[0] != 0 ? move->to : "-");
    table_cell(writing->table, STYLE_PLAIN, "%s", move->reason);
    table_cell(writing->table, str_equal(move->state, "done") ? STYLE_PLAIN : STYLE_RED, "%s",
               move->state);
    table_cell(writing->table, STYLE_PLAIN, "%.1f s", (double)move->took_us / 1e6);
    return 0;
}

/* ---- JSON ---- */

int simulate_write_json(struct store *store, struct strbuf *out, struct error *err)
{
    struct json_out json;
    struct arena arena;
    struct experiment_mean *means = NULL;
    int count = 0;
    json_out_init(&json, out);
    arena_init(&arena, MEANS_BYTES);
    int rc = experiment_means(store, &arena, &means, &count, err);
    json_open(&json, NULL, '{');
    json_open(&json, "means", '[');
    for (int i = 0; rc == 0 && i < count; i++)
        json_mean(&means[i], &json);
    json_close(&json, ']');
    json_open(&json, "runs", '[');
    struct writing writing = {.json = &json, .store = store};
    if (rc == 0)
        rc = store_runs(store, json_run, &writing, err);
    json_close(&json, ']');
    json_close(&json, '}');
    strbuf_puts(out, "\n");
    arena_done(&arena);
    return rc;
}

static void put_money(struct json_out *json, const char *key, nusd amount)
{
    char text[MONEY_TEXT_BYTES];
    json_string(json, key, money_exact(amount, text));
}

static void put_double(struct json_out *json, const char *key, double value)
{
    char text[64];
    struct decimal decimal;
    str_format(text, sizeof(text), "%.6f", isfinite(value) ? value : 0.0);
    if (decimal_parse(text, &decimal, NULL) == 0)
        json_price(json, key, decimal);
}

static void json_mean(const struct experiment_mean *mean, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "policy", mean->of.policy);
    json_string(json, "world", mean->of.world);
    json_string(json, "apps", mean->of.apps);
    json_string(json, "trace", mean->of.trace);
    json_int(json, "seeds", mean->seeds);
    put_double(json, "bill", mean->bill);
    put_double(json, "bill_half", mean->bill_half);
    put_double(json, "score", mean->score);
    put_double(json, "score_half", mean->score_half);
    put_double(json, "bound", mean->bound);
    put_double(json, "bound_score", mean->bound_score);
    put_double(json, "above_bound", above(mean));
    put_double(json, "ledger", mean->ledger);
    put_double(json, "moves", mean->moves);
    put_double(json, "slow_ppm", mean->slow_ppm);
    put_double(json, "lost_ppm", mean->lost_ppm);
    put_double(json, "rtt_ms", mean->rtt_ms);
    put_double(json, "down_h", mean->down_h);
    json_close(json, '}');
}

static int json_run(void *context, const struct store_run *run, struct error *err)
{
    struct writing *writing = context;
    const struct run_result *result = &run->result;
    struct json_out *json = writing->json;
    char hash[STORE_KEY_BYTES];
    str_format(hash, sizeof(hash), "%016" PRIx64, result->hash);
    json_open(json, NULL, '{');
    json_string(json, "key", run->key);
    json_string(json, "scenario", run->scenario);
    json_string(json, "world", run->world);
    json_string(json, "apps", run->apps);
    json_string(json, "policy", run->policy);
    json_string(json, "trace", run->trace);
    json_int(json, "seed", run->seed);
    json_int(json, "from_us", run->from_us);
    json_int(json, "to_us", run->to_us);
    json_int(json, "step_us", run->step_us);
    put_money(json, "bill", result->bill);
    put_money(json, "score", result->score);
    put_money(json, "bound", result->bound);
    put_money(json, "bound_score", result->bound_score);
    json_int(json, "bound_ppm", result->bound_ppm);
    put_money(json, "ledger", result->ledger);
    put_money(json, "moves_bill", result->moves_bill);
    json_int(json, "moves", result->moves);
    json_int(json, "moves_back", result->moves_back);
    json_int(json, "calls", result->calls);
    json_int(json, "slow", result->slow);
    json_int(json, "lost", result->lost);
    json_int(json, "down_us", result->down_us);
    json_int(json, "rtt_us", result->rtt_us);
    json_int(json, "steps", result->steps);
    json_int(json, "solves", result->counts.solves);
    json_int(json, "wall_us", run->wall_us);
    json_int(json, "cpu_us", run->cpu_us);
    json_string(json, "hash", hash);
    json_string(json, "notes", result->notes);
    json_open(json, "moved", '[');
    int rc = store_moves(writing->store, run->key, json_move, writing, err);
    json_close(json, ']');
    if (rc == 0)
        rc = simulate_json_requests(writing->store, run->key, json, err);
    json_close(json, '}');
    return rc;
}

static int json_move(void *context, const struct run_move *move, struct error *err)
{
    struct writing *writing = context;
    struct json_out *json = writing->json;
    (void)err;
    json_open(json, NULL, '{');
    json_int(json, "at_us", move->at_us);
    json_int(json, "took_us", move->took_us);
    json_string(json, "namespace", move->namespace_);
    json_string(json, "app", move->app);
    json_string(json, "workload", move->workload);
    json_int(json, "replica", move->replica);
    json_string(json, "from", move->from);
    json_string(json, "to", move->to);
    json_string(json, "reason", move->reason);
    json_string(json, "state", move->state);
    json_string(json, "text", move->text);
    json_close(json, '}');
    return 0;
}

/* ---- CSV ---- */

int simulate_write_csv(struct store *store, struct strbuf *out, struct error *err)
{
    struct writing writing = {.out = out};
    strbuf_puts(out, "scenario,world,apps,trace,policy,seed,bill,score,bound,bound_score,bound_ppm,"
                     "ledger,moves,moves_back,moves_bill,calls,slow,lost,down_us,rtt_us,steps,"
                     "solves,wall_us,cpu_us,hash\r\n");
    return store_runs(store, csv_run, &writing, err);
}

static int csv_run(void *context, const struct store_run *run, struct error *err)
{
    struct writing *writing = context;
    struct strbuf *out = writing->out;
    const struct run_result *result = &run->result;
    char money[MONEY_TEXT_BYTES];
    (void)err;
    const char *const texts[] = {run->scenario, run->world, run->apps, run->trace, run->policy};
    for (int i = 0; i < 5; i++)
        csv_text(out, texts[i]);
    strbuf_printf(out, "%" PRId64, run->seed);
    const nusd amounts[] = {result->bill, result->score, result->bound, result->bound_score};
    for (int i = 0; i < 4; i++)
        strbuf_printf(out, ",%s", money_exact(amounts[i], money));
    strbuf_printf(out, ",%" PRId64 ",%s", result->bound_ppm, money_exact(result->ledger, money));
    strbuf_printf(out, ",%" PRId64 ",%" PRId64 ",%s", result->moves, result->moves_back,
                  money_exact(result->moves_bill, money));
    const int64_t counts[] = {result->calls,         result->slow,   result->lost,
                              result->down_us,       result->rtt_us, result->steps,
                              result->counts.solves, run->wall_us,   run->cpu_us};
    for (int i = 0; i < 9; i++)
        strbuf_printf(out, ",%" PRId64, counts[i]);
    strbuf_printf(out, ",%016" PRIx64 "\r\n", result->hash);
    return 0;
}

static void csv_text(struct strbuf *out, const char *text)
{
    strbuf_puts(out, "\"");
    for (; *text != 0; text++)
        strbuf_printf(out, "%s%c", *text == '"' ? "\"" : "", *text);
    strbuf_puts(out, "\",");
}
