/*
 * Recorded load on the command line: `berth trace check` and `convert`, a simulation under each
 * format, and `berth simulate --replay` of a folder as a scheduler leaves it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/doc.h"
#include "metrics/rollup.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/replay.h"
#include "scheduler/cli/replay_measured.h"
#include "scheduler/service/codec.h"
#include "scheduler/service/journal.h"

#define OUTPUT_BYTES (1 << 20)
#define WORDS_MAX    20
#define BEGIN_US     (INT64_C(1772445600) * US_PER_S) /* 2026-03-02T10:00:00Z */
#define MINUTE_US    (60 * US_PER_S)
#define SOLVER       BERTH_BINARY_DIR "/bin/berth-solve"

static char output[OUTPUT_BYTES];
static char folder[64];
static struct arena arena;

/* Runs `berth WORDS...`; what it printed is in `output`, on standard output alone. */
static int berth(const char *first, ...)
{
    char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "berth", (char *)(uintptr_t)first};
    int argc = 2;
    va_list words;
    va_start(words, first);
    for (char *word = va_arg(words, char *); word != NULL; word = va_arg(words, char *)) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = word;
    }
    va_end(words);
    char path[512];
    str_format(path, sizeof(path), "%s/out", folder);
    assert_int_equal(fflush(stdout), 0);
    assert_int_equal(fflush(stderr), 0);
    int saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    FILE *file = fopen(path, "w+");
    assert_non_null(file);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    int rc = cli_main(argc, argv);
    (void)fflush(stdout);
    (void)fflush(stderr);
    for (int i = 0; i < 2; i++) {
        (void)dup2(saved[i], i == 0 ? STDOUT_FILENO : STDERR_FILENO);
        (void)close(saved[i]);
    }
    assert_int_equal(fseek(file, 0, SEEK_SET), 0);
    size_t bytes = fread(output, 1, sizeof(output) - 1, file);
    output[bytes] = '\0';
    assert_int_equal(fclose(file), 0);
    return rc;
}

static void says(const char *text)
{
    if (strstr(output, text) == NULL)
        fail_msg("\"%s\" is not in:\n%s", text, output);
}

static const char *in_folder(const char *name)
{
    static char path[2][512];
    static int turn;
    turn = 1 - turn;
    str_format(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

/* ---- a folder as a scheduler leaves it ---- */

static void append(struct journal *journal, struct core_event *event, int64_t at_us)
{
    struct strbuf text;
    struct error err;
    strbuf_init(&text, 1 << 22);
    event->at.us = at_us;
    codec_event_write(event, &text);
    struct journal_record record = {.at_us = at_us, .event = strbuf_text(&text), .effects = "[]"};
    if (journal_append(journal, &record, 1, &err) < 0)
        fail_msg("%s", err.text);
    strbuf_done(&text);
}

static void write_journal(void)
{
    struct journal *journal = NULL;
    uint64_t term;
    struct error err;
    struct doc *doc = NULL;
    struct world *world = arena_alloc(&arena, sizeof(*world));
    struct app *app = arena_alloc(&arena, sizeof(*app));
    if (doc_read_file(BERTH_SOURCE_DIR "/examples/worlds/demo.yaml", &doc, &err) < 0 ||
        world_from_doc(doc, &arena, world, &err) < 0)
        fail_msg("%s", err.text);
    cleanup_doc(&doc);
    doc = NULL;
    if (doc_read_file(BERTH_SOURCE_DIR "/examples/apps/shop.yaml", &doc, &err) < 0 ||
        app_from_doc(doc, &arena, app, &err) < 0 ||
        journal_open(in_folder("state/journal.db"), &journal, &term, &err) < 0)
        fail_msg("%s", err.text);
    cleanup_doc(&doc);
    append(journal, &(struct core_event){.kind = CORE_WORLD, .world = world}, BEGIN_US);
    append(journal, &(struct core_event){.kind = CORE_APPLY, .apply = {.app = app}},
           BEGIN_US + US_PER_S);
    struct core_event event = {.kind = CORE_RETAG};
    str_format(event.target.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(event.target.app, LIMIT_NAME_BYTES, "shop");
    str_format(event.target.workload, LIMIT_NAME_BYTES, "source");
    str_format(event.target.key, LIMIT_NAME_BYTES, "cloud");
    str_format(event.target.value, LIMIT_NAME_BYTES, "aws");
    append(journal, &event, BEGIN_US + 90 * MINUTE_US);
    journal_close(journal);
}

/* Of the first hour's 6,000 calls a minute 80 % were hits, of the next hour's 18,000 half; an
 * answer had 130 B all along, with what a few more bytes are that say nothing new. */
static void write_measured(struct rollup *rollup, const struct metrics_key *key, int64_t minute)
{
    static int64_t series[4];
    bool first = minute < 60;
    const struct {
        int kind;
        int64_t sum;
    } told[] = {{SAMPLE_HITS, first ? 4800 : 9000},
                {SAMPLE_MISSES, first ? 1200 : 9000},
                {SAMPLE_BYTES_IN, first ? 6000 * 90 : 18000 * 90},
                {SAMPLE_BYTES_OUT, first ? 6000 * 130 : 18000 * 131}};
    struct rollup_cell cells[4];
    struct error err;
    int64_t left_out;
    for (int i = 0; i < 4; i++)
        cells[i] = (struct rollup_cell){.key = key,
                                        .kind = told[i].kind,
                                        .series = &series[i],
                                        .minute = BEGIN_US / MINUTE_US + minute,
                                        .count = 60,
                                        .sum = told[i].sum,
                                        .min = 1,
                                        .max = told[i].sum};
    assert_int_equal(rollup_write(rollup, cells, 4, &left_out, &err), 0);
}

/* Two hours: 100 calls a second, and 300 in the second hour; and those of an app that is no more.
 */
static void write_rollups(void)
{
    struct rollup *rollup = NULL;
    struct error err;
    static const char *const workloads[] = {"front", "inference", "source"};
    int64_t series[4] = {0};
    if (rollup_open(in_folder("state/metrics.db"), &(struct rollup_options){0}, &rollup, &err) < 0)
        fail_msg("%s", err.text);
    for (int64_t minute = 0; minute < 120; minute++) {
        struct rollup_cell cells[4];
        struct metrics_key keys[4];
        for (int k = 0; k < 4; k++) {
            keys[k] = (struct metrics_key){
                "default", k < 3 ? "shop" : "gone", k < 3 ? workloads[k] : "web", "", "edge/nyc",
                ""};
            int64_t calls = (minute < 60 ? 100 : 300) * 60 / (k == 2 ? 10 : 1);
            cells[k] = (struct rollup_cell){.key = &keys[k],
                                            .kind = SAMPLE_REQUESTS,
                                            .series = &series[k],
                                            .minute = BEGIN_US / MINUTE_US + minute,
                                            .count = 60,
                                            .sum = calls,
                                            .min = 1,
                                            .max = calls};
        }
        int64_t left_out;
        assert_int_equal(rollup_write(rollup, cells, 4, &left_out, &err), 0);
        write_measured(rollup, &keys[1], minute);
    }
    rollup_close(rollup);
}

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    str_format(folder, sizeof(folder), "cli-traces-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mkdir(in_folder("state"), 0777), 0);
    write_journal();
    write_rollups();
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    arena_done(&arena);
    str_format(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

/* ---- what is in a trace ---- */

#define TRACES BERTH_SOURCE_DIR "/examples/scenarios/traces/"

/* The mean of all calls of what `berth trace check` has just said. */
static double mean_calls(void)
{
    double sum = 0;
    json_error_t why;
    json_t *root = json_loads(output, 0, &why);
    if (root == NULL)
        fail_msg("%s in:\n%s", why.text, output);
    const json_t *list = json_object_get(root, "workloads");
    for (size_t i = 0; i < json_array_size(list); i++)
        sum += json_number_value(json_object_get(json_array_get(list, i), "mean")) / 1000;
    json_decref(root);
    return sum;
}

static void a_trace_is_told(void **state)
{
    (void)state;
    assert_int_equal(berth("trace", "check", TRACES "azure.csv", NULL), 0);
    says("azure.csv: azure, 4 rows");
    says("an instant every 1 min in the median; no gap of more than 10 min");
    says("http");
    assert_int_equal(berth("trace", "check", TRACES "services.csv", "--json", NULL), 0);
    says("\"format\":\"wdcloudedge\",\"rows\":861,\"left_out\":0,\"empty\":3,");
    says("\"usual_us\":300000000");
    assert_int_equal(berth("trace", "check", TRACES "pods.csv", "--gap-after", "1h", NULL), 2);
    says("2 gaps of more than 1 h, the longest of 1 h 13 min after 23141");
    assert_int_equal(
        berth("trace", "check", TRACES "pods.csv", "--gap-after", "1h", "--gap", "error", NULL), 1);
    says("pods.csv:");
    says("gap: error allows none");
    assert_int_equal(berth("trace", "check", TRACES "shop.csv", "--map", "nobody=x", NULL), 0);
    says("96 rows left out");
    assert_int_equal(berth("trace", "look", "x", NULL), 1);
    says("there are check and convert");
    assert_int_equal(berth("trace", "check", "x", "--gap", "hodl", NULL), 1);
    says("did you mean hold?");
    assert_int_equal(berth("trace", "check", "x", "--map", "x", NULL), 1);
    says("write NAME=WORKLOAD");
    assert_int_equal(berth("trace", "check", "nowhere.csv", NULL), 1);
    says("nowhere.csv");
}

static void every_format_becomes_ours(void **state)
{
    (void)state;
    static const char *const files[] = {TRACES "shop.csv", TRACES "shop.jsonl", TRACES "azure.csv",
                                        TRACES "services.csv", TRACES "pods.csv"};
    char path[512];
    str_format(path, sizeof(path), "%s", in_folder("ours.csv"));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(berth("trace", "check", files[i], "--measure", "running", "--json", NULL),
                         0);
        double wanted = mean_calls();
        assert_int_equal(berth("trace", "convert", files[i], NULL), 0);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(output, file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_true(berth("trace", "check", path, "--json", NULL) != 1); /* pods have gaps */
        says("\"format\":\"csv\"");
        /* A rate that did not change has no row, so the last row may be a little earlier. */
        assert_true(mean_calls() > 0.99 * wanted && mean_calls() < 1.01 * wanted);
    }
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* What was written before a wrong line came does not pass for the whole. */
static void half_a_conversion_is_no_trace(void **state)
{
    (void)state;
    char path[512];
    struct strbuf text;
    str_format(path, sizeof(path), "%s", in_folder("ours.csv"));
    strbuf_init(&text, OUTPUT_BYTES);
    strbuf_puts(&text, "time,workload,calls\n");
    for (int i = 0; i < 20000; i++)
        strbuf_printf(&text, "%d,shop/front,%d\n", i, i % 7);
    strbuf_puts(&text, "20000,shop/front,many\n");
    write_text(path, strbuf_text(&text));
    strbuf_done(&text);
    assert_int_equal(berth("trace", "convert", path, NULL), 1);
    says("ours.csv:20002: calls \"many\"");
    char *cut = strstr(output, "\ncut: ");
    assert_non_null(cut);
    cut[strcspn(cut + 1, "\n") + 2] = '\0';
    write_text(path, output);
    assert_int_equal(berth("trace", "check", path, NULL), 1);
    says("1 cells where the head line has 3 columns");
}

static void names_that_are_no_text_are_told(void **state)
{
    (void)state;
    assert_int_equal(berth("trace", "check", TRACES "shop.csv", "--stretch", "0", NULL), 1);
    says("--stretch 0: from 0.000001 to 100000");
    char path[512];
    str_format(path, sizeof(path), "%s", in_folder("ours.csv"));
    write_text(path, "time,workload,calls\n0,caf\xe9,1\n60,caf\xe9,2\n");
    assert_int_equal(berth("trace", "check", path, NULL), 0);
    assert_int_equal(berth("trace", "check", path, "--json", NULL), 1);
    says("ours.csv: a name in it is no UTF-8");
}

/* Each format's file drives a day of the shop: as many calls as the file says. */
static void a_simulation_follows_each_format(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *name;
    } traces[] = {{"traces/shop.csv", "shop/front"},
                  {"traces/shop.jsonl", "shop/front"},
                  {"traces/azure.csv", "http"},
                  {"traces/services.csv", "frontend"},
                  {"traces/pods.csv", "LS*"}};
    json_t *runs = NULL;
    assert_int_equal(berth("simulate", BERTH_SOURCE_DIR "/examples/scenarios/traces.yaml",
                           "--policy", "stay", "--json", "--quiet", "--solver", SOLVER, NULL),
                     0);
    json_t *root = json_loads(output, 0, NULL);
    runs = json_object_get(root, "runs");
    assert_int_equal(json_array_size(runs), 5);
    for (int i = 0; i < 5; i++) {
        char path[512];
        char map[64];
        double calls = 0;
        str_format(path, sizeof(path), "%s/examples/scenarios/%s", BERTH_SOURCE_DIR,
                   traces[i].file);
        str_format(map, sizeof(map), "%s=shop", traces[i].name);
        assert_int_equal(berth("trace", "check", path, "--align", "--measure", "running", "--map",
                               map, "--to", i == 4 ? "86400" : "2100-01-01", "--json", NULL),
                         0);
        for (size_t k = 0; k < 5; k++) {
            const json_t *run = json_array_get(runs, k);
            if (str_equal(json_string_value(json_object_get(run, "trace")), traces[i].file))
                calls = json_number_value(json_object_get(run, "calls"));
        }
        double wanted = mean_calls() * 86400;
        if (calls < 0.97 * wanted || calls > 1.03 * wanted)
            fail_msg("%s: %.0f calls, %.0f in the trace", path, calls, wanted);
    }
    json_decref(root);
}

/* ... and by region, from the file to the report, as often as a conversion of it says too. */
static void a_simulation_follows_regions(void **state)
{
    (void)state;
    const char *path = BERTH_SOURCE_DIR "/examples/scenarios/traces/regions.csv";
    assert_int_equal(berth("trace", "check", path, NULL), 0);
    says("chat/api@europe");
    says("chat/api@asia");
    assert_int_equal(berth("simulate", BERTH_SOURCE_DIR "/examples/scenarios/sun.yaml", "--json",
                           "--quiet", "--solver", SOLVER, NULL),
                     0);
    json_t *root = json_loads(output, 0, NULL);
    const json_t *runs = json_object_get(root, "runs");
    assert_int_equal(json_array_size(runs), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *run = json_array_get(runs, i);
        bool stays = str_equal(json_string_value(json_object_get(run, "policy")), "stay");
        json_int_t moves = json_integer_value(json_object_get(run, "moves"));
        if (stays ? moves != 0 : moves < 3)
            fail_msg("%d moves", (int)moves);
    }
    json_decref(root);
    assert_int_equal(berth("trace", "convert", path, NULL), 0);
    says("0,chat/api@europe,10.4");
}

/* ---- what a scheduler recorded ---- */

static json_t *first_run(void)
{
    json_error_t why;
    json_t *root = json_loads(output, 0, &why);
    if (root == NULL)
        fail_msg("%s in:\n%s", why.text, output);
    json_t *run = json_incref(json_array_get(json_object_get(root, "runs"), 0));
    assert_non_null(run);
    json_decref(root);
    return run;
}

static double number(const json_t *run, const char *key)
{
    const json_t *value = json_object_get(run, key);
    if (!json_is_number(value))
        fail_msg("no %s in:\n%s", key, output);
    return json_number_value(value);
}

static void a_record_is_run_again(void **state)
{
    (void)state;
    assert_int_equal(berth("simulate", "--replay", folder, "--policy", "stay", "--json", "--quiet",
                           "--solver", SOLVER, NULL),
                     0);
    json_t *run = first_run();
    /* What was measured: 100 a second for an hour, and 300 for the next. */
    assert_true(number(run, "calls") > 0.99 * 400 * 3600);
    assert_true(number(run, "calls") < 1.01 * 400 * 3600);
    char hash[64];
    str_format(hash, sizeof(hash), "%s", json_string_value(json_object_get(run, "hash")));
    json_decref(run);
    /* The same scenario as files, with the tag that was changed on the way; kept and run again. */
    assert_int_equal(berth("simulate", "--replay", in_folder("state"), "--policy", "stay", "--keep",
                           in_folder("kept"), "--json", "--solver", SOLVER, NULL),
                     0);
    says("replay of 2026-03-02T10:00:00Z to 2026-03-02T12:00:00Z: 1 apps, 0 nodes");
    says("0 worlds and 1 apps were applied within it");
    assert_int_equal(berth("simulate", in_folder("kept/scenario.yaml"), "--policy", "stay",
                           "--json", "--quiet", "--solver", SOLVER, NULL),
                     0);
    run = first_run();
    assert_string_equal(json_string_value(json_object_get(run, "hash")), hash);
    json_decref(run);
    assert_int_equal(berth("simulate", "--replay", folder, "--keep", in_folder("kept"), NULL), 1);
    says("is written to a new folder");
}

static void read_kept(const char *name)
{
    FILE *file = fopen(in_folder(name), "re");
    assert_non_null(file);
    output[fread(output, 1, sizeof(output) - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
}

/* Hit ratios and bytes are what was measured, unless --set says something of them. */
static void what_was_measured_is_in_it(void **state)
{
    (void)state;
    read_kept("kept/scenario.yaml");
    says("  - {at: 0s, set: ['cache.hit.default/shop/inference=0.800000', "
         "'bytes.request.default/shop/inference=90B', "
         "'bytes.response.default/shop/inference=130B']}\n"
         "  - {at: 3600s, set: ['cache.hit.default/shop/inference=0.500000']}\n"
         "  - {at: 5400s, set: 'retag.default/shop/source=cloud:aws'}\n");
    assert_int_equal(berth("simulate", "--replay", folder, "--policy", "stay", "--keep",
                           in_folder("other"), "--set", "cache.hit=0.6", "--set",
                           "bytes.response=x2", "--quiet", "--solver", SOLVER, NULL),
                     0);
    read_kept("other/scenario.yaml");
    says("  - {at: 0s, set: ['bytes.request.default/shop/inference=90B']}\n"
         "  - {at: 0s, set: 'cache.hit=0.6'}\n"
         "  - {at: 0s, set: 'bytes.response=x2'}\n");
}

/* Of few events the windows become longer, and then who is called least is left out. */
static void events_have_their_room(void **state)
{
    (void)state;
    struct past past;
    struct strbuf text;
    struct error err;
    struct replay_time time = {BEGIN_US, BEGIN_US + 2 * US_PER_HOUR};
    int left = -1;
    assert_int_equal(
        past_read(in_folder("state/journal.db"), time.from_us, time.to_us, &arena, &past, &err), 0);
    strbuf_init(&text, 1 << 16);
    assert_int_equal(
        replay_measured(in_folder("state/metrics.db"), &past, &time, NULL, 1, &text, &left, &err),
        0);
    assert_int_equal(left, 0);
    /* 288,000 + 540,000 hits of 1,440,000. */
    assert_non_null(strstr(strbuf_text(&text), "inference=0.575000"));
    assert_null(strstr(strbuf_text(&text), "3600s"));
    strbuf_reset(&text);
    assert_int_equal(
        replay_measured(in_folder("state/metrics.db"), &past, &time, NULL, 0, &text, &left, &err),
        0);
    assert_true(left > 0);
    assert_int_equal(text.bytes, 0);
    strbuf_done(&text);
}

static void a_price_can_be_another(void **state)
{
    (void)state;
    double bills[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(berth("simulate", "--replay", folder, "--policy", "stay", "--last", "1h",
                               "--json", "--quiet", "--solver", SOLVER, i == 0 ? NULL : "--set",
                               "price.cpu=x2", NULL),
                         0);
        json_t *run = first_run();
        assert_true(number(run, "calls") > 0.99 * 300 * 3600);
        assert_true(number(run, "calls") < 1.01 * 300 * 3600);
        const char *bill = json_string_value(json_object_get(run, "bill"));
        assert_non_null(bill);
        bills[i] = strtod(bill, NULL);
        json_decref(run);
    }
    assert_true(bills[1] > 1.2 * bills[0]);
}

/* A scheduler's journal is SQLite too, and has a table of that name: no byte of it changes. */
static void a_journal_is_no_place_for_results(void **state)
{
    (void)state;
    static char before[1 << 20];
    static char after[1 << 20];
    char *const texts[] = {before, after};
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            assert_int_equal(berth("simulate", BERTH_SOURCE_DIR "/examples/scenarios/shop.yaml",
                                   "--out", in_folder("state/journal.db"), "--resume", "--quiet",
                                   "--solver", SOLVER, NULL),
                             1);
            says("holds something else than simulations");
        }
        FILE *file = fopen(in_folder("state/journal.db"), "r");
        assert_non_null(file);
        bytes[i] = fread(texts[i], 1, sizeof(before), file);
        assert_int_equal(fclose(file), 0);
    }
    assert_true(bytes[0] > 0 && bytes[0] < sizeof(before));
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(before, after, bytes[0]);
}

static void what_cannot_be_replayed_is_told(void **state)
{
    (void)state;
    assert_int_equal(berth("simulate", NULL), 1);
    says("one of SCENARIO and --replay FOLDER");
    assert_int_equal(berth("simulate", "x.yaml", "--last", "1h", NULL), 1);
    says("belong to --replay");
    assert_int_equal(berth("simulate", "--replay", BERTH_SOURCE_DIR "/docs", NULL), 1);
    says("holds no journal.db");
    struct replay replay;
    struct error err;
    struct replay_request request = {.folder = "nowhere"};
    assert_int_equal(replay_write(&request, &replay, &err), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_is_told),
        cmocka_unit_test(every_format_becomes_ours),
        cmocka_unit_test(a_simulation_follows_each_format),
        cmocka_unit_test(a_simulation_follows_regions),
        cmocka_unit_test(a_record_is_run_again),
        cmocka_unit_test(a_price_can_be_another),
        cmocka_unit_test(half_a_conversion_is_no_trace),
        cmocka_unit_test(names_that_are_no_text_are_told),
        cmocka_unit_test(a_journal_is_no_place_for_results),
        cmocka_unit_test(what_was_measured_is_in_it),
        cmocka_unit_test(events_have_their_room),
        cmocka_unit_test(what_cannot_be_replayed_is_told),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
