/*
 * `berth prices import`: price lists become the price book. Everything is fetched and read before
 * anything is judged, and the book is replaced once, at the end: an import that fails changes
 * nothing.
 */
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "model/catalogue.h"
#include "model/json_out.h"
#include "model/world.h"
#include "scheduler/cli/prices_command.h"
#include "scheduler/cli/prices_feed.h"
#include "scheduler/cli/prices_store.h"
#include "scheduler/cli/table.h"

#define CATALOGUE_BYTES ((size_t)256 << 20)
#define FETCH_US        (6 * US_PER_HOUR)
#define FACTOR_PPM      (3 * PPM)
#define FACTOR_PPM_MAX  (INT64_C(1000000) * PPM)

#define OUTCOME_GONE (BOOK_HELD + 1) /* after those of enum book_outcome */
#define OUTCOMES     (OUTCOME_GONE + 1)

/* What became of one figure; SAME ones are only counted. */
struct outcome {
    const struct book_figure *figure;
    int what; /* enum book_outcome, or OUTCOME_GONE */
    struct price_step before[LIMIT_TIERS];
    int before_count; /* 0: it is new */
    char why[LIMIT_TEXT_BYTES * 2];
};

struct import {
    struct cli *cli;
    const struct prices_options *given;
    struct prices_request request;
    struct prices_fetch fetch;
    char folder[LIMIT_PATH_BYTES];
    struct figures *figures;
    struct figures_options options;
    struct prices_totals totals;
    struct book *book;
    struct arena arena; /* of the catalogue and the outcomes */
    struct world catalogue;
    regex_t accept[OPTION_LIST_MAX];
    int accept_count;
    int64_t factor_ppm;
    struct outcome **outcomes;
    int outcome_count;
    int counts[OUTCOMES];
    struct wall now;
};

static int prepare(struct import *import, const struct option_words *words, struct error *err);
static int read_factor(struct import *import, struct error *err);
static int compile_accept(struct import *import, struct error *err);
static int run(struct import *import, struct error *err);
static int merge(struct import *import, const struct figure *const *list, int count,
                 struct error *err);
static int merge_one(struct import *import, const struct figure *figure,
                     const struct book_policy *policy, struct error *err);
static int keep_outcome(struct import *import, const struct outcome *outcome, struct error *err);
static int merge_gone(struct import *import, struct error *err);
static bool was_read(void *context, const char *site);
static int tell_gone(void *context, const struct book_figure *figure, struct error *err);
static bool accepts(void *context, const char *name);
static int print(const struct import *import, struct error *err);
static int write_text(const struct import *import, struct strbuf *out, struct error *err);
static int write_changes(const struct import *import, struct strbuf *out, struct error *err);
static int write_held(const struct import *import, struct strbuf *out, struct error *err);
static int write_gone(const struct import *import, struct strbuf *out, struct error *err);
static void write_json(const struct import *import, struct strbuf *out);
static void done(struct import *import);

int prices_import(struct cli *cli, const struct prices_options *given,
                  const struct option_words *words, struct error *err)
{
    struct import *import = calloc(1, sizeof(*import));
    int lock = -1;
    if (import == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an import");
    import->cli = cli;
    import->given = given;
    arena_init(&import->arena, CATALOGUE_BYTES);
    int rc = prepare(import, words, err);
    if (rc == 0)
        rc = prices_store_lock(import->folder, &lock, err);
    if (rc == 0)
        rc = run(import, err);
    if (rc == 0)
        rc = print(import, err);
    if (rc == 0 && import->counts[BOOK_HELD] + import->counts[OUTCOME_GONE] > 0)
        rc = CLI_CHANGES;
    done(import);
    if (lock >= 0)
        (void)close(lock);
    return rc;
}

static int prepare(struct import *import, const struct option_words *words, struct error *err)
{
    const struct prices_options *given = import->given;
    if (words->count < 2)
        return error_set(
            err, ERR_INVALID, 0,
            "which list? berth prices import aws|azure|gcp|opencost|skypilot [FILE...]");
    import->request = (struct prices_request){.feed = words->items[1],
                                              .files = words->items + 2,
                                              .file_count = words->count - 2,
                                              .from = given->from,
                                              .regions = &given->regions,
                                              .provider = given->provider,
                                              .site = given->site,
                                              .family = given->family,
                                              .savings = given->savings};
    import->fetch = (struct prices_fetch){
        .folder = import->folder,
        .key_file = given->key_file,
        .ca_file = given->ca_file,
        .quiet = import->cli->common.json,
        .timeout_us = given->fetch_timeout_us > 0 ? given->fetch_timeout_us : FETCH_US};
    if (import->request.file_count > 0 && given->from != NULL)
        return error_set(err, ERR_INVALID, 0, "files or --from, not both");
    int rc = prices_feed_check(&import->request, &import->options, err);
    if (rc == 0)
        rc = read_factor(import, err);
    if (rc == 0)
        rc = compile_accept(import, err);
    if (rc == 0)
        rc = prices_store_folder(import->cli, given->book, import->folder, err);
    if (rc == 0)
        rc = catalogue_world(&import->arena, &import->catalogue, err);
    return rc;
}

static int read_factor(struct import *import, struct error *err)
{
    struct decimal factor;
    struct error why;
    import->factor_ppm = FACTOR_PPM;
    if (import->given->factor == NULL)
        return 0;
    if (decimal_parse(import->given->factor, &factor, &why) < 0 ||
        decimal_scaled(factor, 6, &import->factor_ppm) < 0 || import->factor_ppm <= PPM ||
        import->factor_ppm > FACTOR_PPM_MAX)
        return error_set(err, ERR_INVALID, 0,
                         "--factor \"%.40s\": a number above 1, at most 1000000; 3 holds back what "
                         "is more than three times, or less than a third of, what it was",
                         import->given->factor);
    return 0;
}

static int compile_accept(struct import *import, struct error *err)
{
    const struct option_list *accept = &import->given->accept;
    for (int i = 0; i < accept->count; i++) {
        char words[LIMIT_TEXT_BYTES];
        int rc = regcomp(&import->accept[i], accept->items[i], REG_EXTENDED | REG_NOSUB);
        if (rc != 0) {
            (void)regerror(rc, &import->accept[i], words, sizeof(words));
            return error_set(err, ERR_INVALID, 0, "--accept \"%.80s\" is no regular expression: %s",
                             accept->items[i], words);
        }
        import->accept_count++;
    }
    return 0;
}

static int run(struct import *import, struct error *err)
{
    const struct figure *const *list = NULL;
    int count = 0;
    int rc = prices_store_read(import->folder, &import->book, err);
    if (rc == 0)
        rc = figures_create(&import->options, &import->figures, err);
    if (rc == 0)
        rc = prices_feed_read(&import->request, &import->fetch, import->figures, &import->totals,
                              err);
    if (rc == 0)
        rc = figures_finish(import->figures, &list, &count, err);
    if (rc == 0)
        rc = merge(import, list, count, err);
    if (rc == 0 && !import->given->dry_run)
        rc = prices_store_write(import->folder, import->book, err);
    return rc;
}

static int merge(struct import *import, const struct figure *const *list, int count,
                 struct error *err)
{
    import->now = clock_wall_now();
    const struct book_policy policy = {.now = import->now,
                                       .factor_ppm = import->factor_ppm,
                                       .accept = accepts,
                                       .context = import,
                                       .reference = &import->catalogue};
    import->outcomes =
        calloc((size_t)count + (size_t)book_count(import->book) + 1, sizeof(import->outcomes[0]));
    if (import->outcomes == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for what an import changes");
    int rc = 0;
    for (int i = 0; rc == 0 && i < count; i++)
        rc = merge_one(import, list[i], &policy, err);
    return rc < 0 ? rc : merge_gone(import, err);
}

static int merge_one(struct import *import, const struct figure *figure,
                     const struct book_policy *policy, struct error *err)
{
    struct outcome outcome = {.before_count = 0};
    const struct book_figure *entry =
        book_find(import->book, figure->site, figure->kind, figure->term, figure->to);
    const struct book_version *before = entry == NULL ? NULL : book_now(entry);
    if (before != NULL) {
        outcome.before_count = before->step_count;
        memcpy(outcome.before, before->steps, (size_t)before->step_count * sizeof(*before->steps));
    }
    enum book_outcome what;
    int rc = book_take(import->book, figure, policy, &what, outcome.why, err);
    if (rc < 0)
        return rc;
    outcome.what = (int)what;
    import->counts[outcome.what]++;
    if (outcome.what == BOOK_SAME)
        return 0;
    outcome.figure = book_find(import->book, figure->site, figure->kind, figure->term, figure->to);
    return keep_outcome(import, &outcome, err);
}

static int keep_outcome(struct import *import, const struct outcome *outcome, struct error *err)
{
    struct outcome *kept = malloc(sizeof(*kept));
    if (kept == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for what an import changes");
    *kept = *outcome;
    import->outcomes[import->outcome_count++] = kept;
    return 0;
}

/* What was in the list the last time, and is not now: its price stays, and is told once. */
static int merge_gone(struct import *import, struct error *err)
{
    const struct book_scope scope = {.provider = import->options.provider,
                                     .list = import->options.list,
                                     .whole = was_read,
                                     .tell = tell_gone,
                                     .context = import,
                                     .now = import->now};
    return book_gone(import->book, &scope, err);
}

/* Over the web a region's lists are all read; which of them files are, nobody says. */
static bool was_read(void *context, const char *site)
{
    const struct import *import = context;
    const struct option_list *regions = import->request.regions;
    const char *region = strchr(site, '/') + 1;
    bool wanted = regions->count == 0;
    for (int i = 0; i < regions->count && !wanted; i++)
        wanted = str_equal(regions->items[i], region);
    return wanted && import->request.file_count == 0;
}

static int tell_gone(void *context, const struct book_figure *figure, struct error *err)
{
    struct import *import = context;
    const struct book_version *last = book_now(figure);
    struct outcome outcome = {
        .figure = figure, .what = OUTCOME_GONE, .before_count = last->step_count};
    memcpy(outcome.before, last->steps, (size_t)last->step_count * sizeof(*last->steps));
    import->counts[OUTCOME_GONE]++;
    return keep_outcome(import, &outcome, err);
}

static bool accepts(void *context, const char *name)
{
    const struct import *import = context;
    for (int i = 0; i < import->accept_count; i++)
        if (regexec(&import->accept[i], name, 0, NULL, 0) == 0)
            return true;
    return false;
}

static int print(const struct import *import, struct error *err)
{
    struct strbuf out;
    int rc = 0;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (import->cli->common.json)
        write_json(import, &out);
    else
        rc = write_text(import, &out, err);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int write_text(const struct import *import, struct strbuf *out, struct error *err)
{
    char size[UNITS_TEXT_BYTES];
    const struct prices_totals *totals = &import->totals;
    strbuf_printf(out, "%s: %d list%s, %s, %" PRId64 " offers, of which %" PRId64 " count",
                  import->options.list, totals->lists, totals->lists == 1 ? "" : "s",
                  units_format_bytes(totals->bytes, size), totals->offers, totals->items);
    if (import->fetch.unchanged > 0)
        strbuf_printf(out, "; %d unchanged since the last time", import->fetch.unchanged);
    if (figures_counts(import->figures).unplaced > 0)
        strbuf_printf(out,
                      "; %" PRId64 " lead to a place that no region of the list is called, and are "
                      "left out",
                      figures_counts(import->figures).unplaced);
    strbuf_printf(out, "\n%d figures are new, %d changed, %d the same, %d held back, %d gone%s\n",
                  import->counts[BOOK_NEW], import->counts[BOOK_CHANGED], import->counts[BOOK_SAME],
                  import->counts[BOOK_HELD], import->counts[OUTCOME_GONE],
                  import->given->dry_run ? " (a dry run: the price book is as it was)" : "");
    int rc = write_changes(import, out, err);
    if (rc == 0 && import->counts[BOOK_HELD] > 0)
        rc = write_held(import, out, err);
    if (rc == 0 && import->counts[OUTCOME_GONE] > 0)
        rc = write_gone(import, out, err);
    return rc;
}

static int write_changes(const struct import *import, struct strbuf *out, struct error *err)
{
    struct table table;
    char name[BOOK_NAME_BYTES];
    char price[BOOK_PRICE_BYTES];
    if (import->counts[BOOK_NEW] + import->counts[BOOK_CHANGED] == 0)
        return 0;
    strbuf_puts(out, "\n");
    table_init(&table, "FIGURE|>BEFORE|>NOW|SOURCE");
    for (int i = 0; i < import->outcome_count; i++) {
        const struct outcome *outcome = import->outcomes[i];
        if (outcome->what == BOOK_HELD || outcome->what == OUTCOME_GONE)
            continue;
        const struct book_version *now = book_now(outcome->figure);
        table_cell(&table, STYLE_PLAIN, "%s", book_name(outcome->figure, name));
        table_cell(&table, STYLE_PLAIN, "%s",
                   outcome->before_count == 0
                       ? "-"
                       : book_price(outcome->before, outcome->before_count, price));
        table_cell(&table, STYLE_GREEN, "%s", book_price(now->steps, now->step_count, price));
        table_cell(&table, STYLE_DIM, "%s", now->source);
    }
    int rc = table_write(&table, import->cli->color, out, err);
    table_done(&table);
    return rc;
}

static int write_held(const struct import *import, struct strbuf *out, struct error *err)
{
    struct table table;
    char name[BOOK_NAME_BYTES];
    char price[BOOK_PRICE_BYTES];
    strbuf_puts(out, "\n");
    table_init(&table, "HELD BACK|WHY|>STAYS AT");
    for (int i = 0; i < import->outcome_count; i++) {
        const struct outcome *outcome = import->outcomes[i];
        if (outcome->what != BOOK_HELD)
            continue;
        table_cell(&table, STYLE_RED, "%s", book_name(outcome->figure, name));
        table_cell(&table, STYLE_PLAIN, "%s", outcome->why);
        table_cell(&table, STYLE_PLAIN, "%s",
                   outcome->before_count == 0
                       ? "nothing yet"
                       : book_price(outcome->before, outcome->before_count, price));
    }
    int rc = table_write(&table, import->cli->color, out, err);
    table_done(&table);
    strbuf_puts(out, "Look at them; --accept REGEX takes those whose name matches.\n");
    return rc;
}

static int write_gone(const struct import *import, struct strbuf *out, struct error *err)
{
    struct table table;
    char name[BOOK_NAME_BYTES];
    char price[BOOK_PRICE_BYTES];
    char last[WALL_TEXT_BYTES];
    strbuf_puts(out, "\n");
    table_init(&table, "GONE FROM THE LIST|>STAYS AT|LAST SAID");
    for (int i = 0; i < import->outcome_count; i++) {
        const struct outcome *outcome = import->outcomes[i];
        if (outcome->what != OUTCOME_GONE)
            continue;
        table_cell(&table, STYLE_RED, "%s", book_name(outcome->figure, name));
        table_cell(&table, STYLE_PLAIN, "%s",
                   book_price(outcome->before, outcome->before_count, price));
        table_cell(&table, STYLE_PLAIN, "%.10s", wall_format(outcome->figure->checked, last));
    }
    int rc = table_write(&table, import->cli->color, out, err);
    table_done(&table);
    strbuf_puts(out, "Is it sold no more, or was the list short? berth prices show marks them.\n");
    return rc;
}

static void write_json(const struct import *import, struct strbuf *out)
{
    static const char *const words[OUTCOMES] = {"same", "new", "changed", "held", "gone"};
    struct json_out json;
    char name[BOOK_NAME_BYTES];
    char price[BOOK_PRICE_BYTES];
    json_out_init(&json, out);
    json_open(&json, NULL, '{');
    json_string(&json, "feed", import->request.feed);
    json_string(&json, "book", import->folder);
    json_bool(&json, "dry_run", import->given->dry_run);
    json_int(&json, "lists", import->totals.lists);
    json_int(&json, "unchanged_lists", import->fetch.unchanged);
    json_int(&json, "bytes", import->totals.bytes);
    json_int(&json, "fetched_bytes", import->fetch.bytes);
    json_int(&json, "offers", import->totals.offers);
    json_int(&json, "counted_offers", import->totals.items);
    json_int(&json, "unplaced", figures_counts(import->figures).unplaced);
    for (int i = 0; i < OUTCOMES; i++)
        json_int(&json, words[i], import->counts[i]);
    json_open(&json, "figures", '[');
    for (int i = 0; i < import->outcome_count; i++) {
        const struct outcome *outcome = import->outcomes[i];
        const struct book_version *now = book_now(outcome->figure);
        json_open(&json, NULL, '{');
        json_string(&json, "figure", book_name(outcome->figure, name));
        json_string(&json, "outcome", words[outcome->what]);
        if (outcome->before_count > 0)
            json_string(&json, "before", book_price(outcome->before, outcome->before_count, price));
        if (now != NULL) {
            json_string(&json, "now", book_price(now->steps, now->step_count, price));
            json_string(&json, "source", now->source);
        }
        if (outcome->why[0] != 0)
            json_string(&json, "why", outcome->why);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    strbuf_puts(out, "\n");
}

static void done(struct import *import)
{
    for (int i = 0; i < import->outcome_count; i++)
        free(import->outcomes[i]);
    for (int i = 0; i < import->accept_count; i++)
        regfree(&import->accept[i]);
    free(import->outcomes);
    figures_destroy(import->figures);
    book_destroy(import->book);
    arena_done(&import->arena);
    free(import);
}
