/* `berth prices`: what a site's resources and its bytes cost, and what a new price list changes. */
#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "model/egress.h"
#include "model/json_out.h"
#include "model/measures.h"
#include "model/world.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/places.h"
#include "scheduler/cli/prices_command.h"
#include "scheduler/cli/table.h"

#define NAMES_SHOWN 3 /* destinations of one price that are named, not counted */

static int run_prices(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err);
static int show(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, struct error *err);
static int write_site(const struct places *places, int site, int to, bool color, struct strbuf *out,
                      struct error *err);
static void write_figures(const struct site *site, bool color, struct strbuf *out);
static int write_egress(const struct places *places, int site, int to, bool color,
                        struct strbuf *out, struct error *err);
static void write_rule(const struct world *world, const struct egress_rule *rule, const char *to,
                       struct table *table);
static int write_rules(const struct world *world, bool color, struct strbuf *out,
                       struct error *err);
static const char *destinations(const struct world *world, const bool *reached,
                                char out[LIMIT_TEXT_BYTES]);
static void write_json(const struct places *places, const int *sites, int count, int to,
                       struct strbuf *out);
static void write_json_egress(const struct world *world, int site, int to, struct json_out *json);
static void write_json_rule(const struct egress_rule *rule, struct json_out *json);
static const char *per_text(int64_t per_bytes);

static const struct option_row rows[] = {
    {"to", 0, OPTION_TEXT, "SITE", "only the price of bytes that leave for that site",
     offsetof(struct prices_options, to), 0, 0},
    {"world", 'w', OPTION_TEXT, "FILE", "the prices of a world document instead of the catalogue's",
     offsetof(struct prices_options, world), 0, 0},
    {"live", 0, OPTION_FLAG, NULL, "the prices of the running scheduler's world",
     offsetof(struct prices_options, live), 0, 0},
    {"app", 'a', OPTION_LIST, "FILE",
     "diff: an app document whose bill is compared; may be repeated",
     offsetof(struct prices_options, apps), 0, 0},
    {"book", 0, OPTION_TEXT, "FOLDER", "the price book (default: $BERTH_PRICES, Berth's folder)",
     offsetof(struct prices_options, book), 0, 0},
    {"from", 0, OPTION_TEXT, "URL", "import: the base URL of the lists instead of the provider's",
     offsetof(struct prices_options, from), 0, 0},
    {"region", 0, OPTION_LIST, "NAME", "import: only this region; may be repeated",
     offsetof(struct prices_options, regions), 0, 0},
    {"provider", 0, OPTION_TEXT, "NAME", "import skypilot: whose list it is",
     offsetof(struct prices_options, provider), 0, 0},
    {"site", 0, OPTION_TEXT, "SITE", "import opencost: the site that it prices",
     offsetof(struct prices_options, site), 0, 0},
    {"family", 0, OPTION_TEXT, "NAME", "import gcp: the machine family whose core counts (E2)",
     offsetof(struct prices_options, family), 0, 0},
    {"savings", 0, OPTION_FLAG, NULL, "import aws: Compute Savings Plans too",
     offsetof(struct prices_options, savings), 0, 0},
    {"key-file", 0, OPTION_TEXT, "FILE", "import: a line \"Name: value\" sent with each request",
     offsetof(struct prices_options, key_file), 0, 0},
    {"ca-file", 0, OPTION_TEXT, "FILE", "import: certificates to trust instead of the system's",
     offsetof(struct prices_options, ca_file), 0, 0},
    {"fetch-timeout", 0, OPTION_DURATION, "TIME", "import: for one list (6h)",
     offsetof(struct prices_options, fetch_timeout_us), 0, 0},
    {"factor", 0, OPTION_TEXT, "N", "import: hold back what grew or fell more than N times (3)",
     offsetof(struct prices_options, factor), 0, 0},
    {"accept", 0, OPTION_LIST, "REGEX", "import: take what was held back, of figures that match",
     offsetof(struct prices_options, accept), 0, 0},
    {"dry-run", 0, OPTION_FLAG, NULL, "import: say what would change, and change nothing",
     offsetof(struct prices_options, dry_run), 0, 0},
    {"term", 0, OPTION_TEXT, "TERM",
     "export: prices of on-demand, spot, 1y or 3y, at each SITE named, else at all",
     offsetof(struct prices_options, term), 0, 0},
};

const struct command command_prices = {
    .name = "prices",
    .synopsis = "[SITE...] [--to SITE] [--world FILE | --live] | diff OLD NEW [--app FILE...] |\n"
                "       berth prices import FEED [FILE...] | show [SITE...] | history [SITE...] |\n"
                "       berth prices export [--term TERM [SITE...]] [--world FILE]",
    .summary = "What sites and their bytes cost, with sources; price lists, and what they change",
    .text =
        "Without SITE: every egress rule. With --to, the rule that holds from each SITE to that "
        "one.\n"
        "Without --world or --live the prices are those of the built-in catalogue.\n\n"
        "`prices diff` compares two worlds (files, `catalogue`, or `live`: the running "
        "scheduler's):\n"
        "every figure that differs, and for the apps given (with `live`, all that run) what each\n"
        "workload's bill becomes if everything stays where it is; an app of a document is placed "
        "as\n"
        "it would be under OLD. What NEW lacks that a placement uses is called out. Exit code 2 "
        "when\n"
        "there are differences, as `plan` does; 0 when there are none.\n\n"
        "`prices import` reads price lists into the price book: FEED is aws, azure, gcp, opencost\n"
        "or skypilot, from files (gzip too) or over the web. What cannot be believed (a price of "
        "0,\n"
        "two prices of one offer, three times yesterday's) is held back, and the last good value\n"
        "stays, as it does of what the list has no more: exit code 2. An import that fails\n"
        "changes nothing. `prices show` has every figure with its age, `prices history` what it\n"
        "was, `prices export` all of it as a world document, with --term spot at spot prices;\n"
        "`imported` is that world wherever a FILE of a world is asked for here. docs/prices.md.\n",
    .examples = "  berth prices aws/us-east-1\n"
                "  berth prices aws/us-east-1 gcp/us-central1 --to aws/eu-west-1\n"
                "  berth prices --world examples/worlds/us.yaml --json | jq '.egress'\n"
                "  berth prices diff live new-prices.yaml\n"
                "  berth prices diff old.yaml new.yaml --app examples/apps/shop.yaml\n"
                "  berth prices import aws --region us-east-1 --region eu-west-1\n"
                "  berth prices import azure page1.json page2.json --dry-run\n"
                "  berth prices import gcp --key-file key --accept 'gcp/.* storage'\n"
                "  berth prices history aws/us-east-1\n"
                "  berth prices export --term spot aws/us-east-1 --world mine.yaml >spot.json\n"
                "  berth prices diff catalogue imported\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct prices_options),
    .words_max = OPTION_WORDS_MAX,
    .words = {WORD_PRICES, WORD_SITE},
    .run = run_prices,
};

static int run_prices(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err)
{
    const struct prices_options *given = options;
    static const struct {
        const char *word;
        int (*run)(struct cli *cli, const struct prices_options *given,
                   const struct option_words *words, struct error *err);
    } parts[] = {
        {"diff", prices_diff},       {"import", prices_import}, {"show", prices_show},
        {"history", prices_history}, {"export", prices_export},
    };
    for (size_t i = 0; words->count > 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
        if (str_equal(words->items[0], parts[i].word))
            return parts[i].run(cli, given, words, err);
    if (given->apps.count > 0)
        return error_set(err, ERR_INVALID, 0,
                         "--app belongs to a comparison: berth prices diff OLD NEW --app %.80s",
                         given->apps.items[0]);
    if (given->live && given->world != NULL)
        return error_set(err, ERR_INVALID, 0, "one of --world and --live, not both");
    if (given->to != NULL && words->count == 0)
        return error_set(err, ERR_INVALID, 0, "--to %.140s: from which SITE?", given->to);
    return show(cli, given, words, err);
}

static int show(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, struct error *err)
{
    int sites[OPTION_WORDS_MAX];
    int to = -1;
    CLEANUP(cleanup_places) struct places places = {.app_count = 0};
    int rc = places_open(cli, given->live ? "live" : given->world, &places, err);
    for (int i = 0; rc >= 0 && i < words->count; i++)
        rc = sites[i] = places_site(&places.world, words->items[i], err);
    if (rc >= 0 && given->to != NULL)
        rc = to = places_site(&places.world, given->to, err);
    if (rc < 0)
        return rc;
    rc = 0;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json)
        write_json(&places, sites, words->count, to, &out);
    else if (words->count == 0)
        rc = write_rules(&places.world, cli->color, &out, err);
    for (int i = 0; rc == 0 && !cli->common.json && i < words->count; i++) {
        strbuf_puts(&out, i == 0 ? "" : "\n");
        rc = write_site(&places, sites[i], to, cli->color, &out, err);
    }
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int write_site(const struct places *places, int site, int to, bool color, struct strbuf *out,
                      struct error *err)
{
    text_styled(out, color, STYLE_BOLD, "%s", places->world.sites[site].name);
    strbuf_printf(out, " (%s)\n", tier_words[places->world.sites[site].tier]);
    if (to < 0)
        write_figures(&places->world.sites[site], color, out);
    return write_egress(places, site, to, color, out, err);
}

static void write_figures(const struct site *site, bool color, struct strbuf *out)
{
    char text[DECIMAL_TEXT_BYTES];
    char ratio[UNITS_TEXT_BYTES];
    if (site->tier != TIER_CLIENT) {
        strbuf_printf(out, "  vCPU     $%s an hour\n", decimal_format(site->cpu_price, text));
        strbuf_printf(out, "  memory   $%s per GiB-hour\n",
                      decimal_format(site->memory_price, text));
        strbuf_printf(out, "  storage  $%s per GiB-month\n",
                      decimal_format(site->storage_price, text));
    }
    if (site->tier == TIER_CLOUD)
        strbuf_printf(out, "  overhead %s\n", units_format_ratio(site->overhead_ppm, ratio));
    if (site->speed_ppm != PPM)
        strbuf_printf(out, "  speed    %s of a server's core\n",
                      units_format_ratio(site->speed_ppm, ratio));
    if (site->has_cpu_weight)
        strbuf_printf(out, "  CPU      counts $%s a second in the score, billed by nobody\n",
                      decimal_format(site->cpu_weight, text));
    for (int i = 0; i < site->measures.count; i++)
        strbuf_printf(out, "  %-8s %s %s\n", site->measures.list[i].name,
                      decimal_format(site->measures.list[i].value, text),
                      site->measures.list[i].unit);
    if (site->source[0] != 0) {
        strbuf_puts(out, "  ");
        text_styled(out, color, STYLE_DIM, "%s", site->source);
        strbuf_puts(out, "\n");
    }
}

/* A rule for each way of being billed from here, with where it leads. */
static int write_egress(const struct places *places, int site, int to, bool color,
                        struct strbuf *out, struct error *err)
{
    const struct world *world = &places->world;
    struct table table;
    char text[LIMIT_TEXT_BYTES];
    bool any = false;
    table_init(&table, "BYTES TO|PAID BY|UP TO|>PRICE|PER|RULE|SOURCE");
    table.indent = 2;
    for (int i = 0; i < world->egress_count; i++) {
        bool reached[LIMIT_SITES] = {false};
        bool here = false;
        for (int other = 0; other < world->site_count; other++) {
            struct egress_match match = egress_between(world, site, other);
            reached[other] =
                (to < 0 || other == to) && (match.sender_rule == i || match.receiver_rule == i);
            here = here || reached[other];
        }
        if (here)
            write_rule(world, &world->egress[i], destinations(world, reached, text), &table);
        any = any || here;
    }
    int rc = 0;
    if (any)
        rc = table_write(&table, color, out, err);
    else
        strbuf_printf(out, "  bytes%s%s cost nothing\n", to < 0 ? "" : " to ",
                      to < 0 ? "" : world->sites[to].name);
    if (rc == 0 && to >= 0) {
        const char *how;
        int64_t rtt_us = places_rtt_us(places, site, to, &how);
        if (rtt_us >= 0)
            strbuf_printf(out, "  round trip %" PRId64 ".%" PRId64 " ms (%s)\n", rtt_us / 1000,
                          rtt_us % 1000 / 100, how);
    }
    table_done(&table);
    return rc;
}

static void write_rule(const struct world *world, const struct egress_rule *rule, const char *to,
                       struct table *table)
{
    char price[DECIMAL_TEXT_BYTES];
    char bytes[UNITS_TEXT_BYTES];
    (void)world;
    for (int i = 0; i < rule->tier_count; i++) {
        table_cell(table, STYLE_PLAIN, "%s", i == 0 ? to : "");
        table_cell(table, STYLE_PLAIN, "%s",
                   i > 0                          ? ""
                   : rule->payer == EGRESS_SENDER ? "sender"
                                                  : "receiver");
        table_cell(table, STYLE_PLAIN, "%s",
                   rule->tier_count == 1 ? "any"
                   : rule->tiers[i].up_to_bytes == INT64_MAX
                       ? "beyond"
                       : units_format_bytes(rule->tiers[i].up_to_bytes, bytes));
        table_cell(table, STYLE_PLAIN, "$%s", decimal_format(rule->tiers[i].price, price));
        table_cell(table, STYLE_PLAIN, "%s", per_text(rule->per_bytes));
        table_cell(table, STYLE_PLAIN, "%s", i == 0 ? rule->name : "");
        table_cell(table, STYLE_DIM, "%s", i == 0 ? rule->source : "");
    }
}

static int write_rules(const struct world *world, bool color, struct strbuf *out, struct error *err)
{
    struct table table;
    char ends[EGRESS_TO_BYTES + LIMIT_REF_BYTES + 8];
    char to[EGRESS_TO_BYTES];
    table_init(&table, "FROM AND TO|PAID BY|UP TO|>PRICE|PER|RULE|SOURCE");
    for (int i = 0; i < world->egress_count; i++) {
        str_format(ends, sizeof(ends), "%s to %s", world->egress[i].from,
                   egress_to_text(&world->egress[i], to));
        write_rule(world, &world->egress[i], ends, &table);
    }
    int rc = 0;
    if (world->egress_count == 0)
        strbuf_printf(out, "%s has no egress rules: bytes cost nothing\n", world->name);
    else
        rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

/* "aws/us-east-2", "aws/a, aws/b", or "21 of aws, 57 of azure". */
static const char *destinations(const struct world *world, const bool *reached,
                                char out[LIMIT_TEXT_BYTES])
{
    struct strbuf text;
    strbuf_init(&text, LIMIT_TEXT_BYTES - 1);
    int count = 0;
    for (int i = 0; i < world->site_count; i++)
        count += reached[i] ? 1 : 0;
    bool counted[LIMIT_SITES] = {false};
    for (int i = 0; i < world->site_count; i++) {
        if (!reached[i] || counted[i])
            continue;
        const char *comma = text.bytes == 0 ? "" : ", ";
        if (count <= NAMES_SHOWN) {
            strbuf_printf(&text, "%s%s", comma, world->sites[i].name);
            continue;
        }
        int same = 0;
        for (int k = i; k < world->site_count; k++) {
            if (reached[k] && str_equal(world->sites[k].provider, world->sites[i].provider)) {
                counted[k] = true;
                same++;
            }
        }
        strbuf_printf(&text, "%s%d of %s", comma, same, world->sites[i].provider);
    }
    str_format(out, LIMIT_TEXT_BYTES, "%s",
               strbuf_error(&text, NULL) < 0 ? "many sites" : strbuf_text(&text));
    strbuf_done(&text);
    return out;
}

static void write_json(const struct places *places, const int *sites, int count, int to,
                       struct strbuf *out)
{
    const struct world *world = &places->world;
    struct json_out json;
    json_out_init(&json, out);
    json_open(&json, NULL, '{');
    json_string(&json, "world", world->name);
    json_string(&json, "from", places_from_words[places->from]);
    if (count == 0) {
        json_open(&json, "egress", '[');
        for (int i = 0; i < world->egress_count; i++)
            write_json_rule(&world->egress[i], &json);
        json_close(&json, ']');
    } else {
        json_open(&json, "sites", '[');
        for (int i = 0; i < count; i++) {
            const struct site *site = &world->sites[sites[i]];
            json_open(&json, NULL, '{');
            json_string(&json, "name", site->name);
            json_string(&json, "tier", tier_words[site->tier]);
            if (site->tier != TIER_CLIENT) {
                json_price(&json, "cpu_price", site->cpu_price);
                json_price(&json, "memory_price", site->memory_price);
                json_price(&json, "storage_price", site->storage_price);
            }
            json_millionths(&json, "overhead", site->overhead_ppm);
            measures_write(&json, "measures", &site->measures);
            json_string(&json, "source", site->source);
            json_open(&json, "egress", '[');
            for (int other = 0; other < world->site_count; other++)
                if (other != sites[i] && (to < 0 || other == to))
                    write_json_egress(world, sites[i], other, &json);
            json_close(&json, ']');
            json_close(&json, '}');
        }
        json_close(&json, ']');
    }
    json_close(&json, '}');
    strbuf_puts(out, "\n");
}

static void write_json_egress(const struct world *world, int site, int to, struct json_out *json)
{
    struct egress_match match = egress_between(world, site, to);
    const int rules[] = {match.sender_rule, match.receiver_rule};
    json_open(json, NULL, '{');
    json_string(json, "to", world->sites[to].name);
    json_open(json, "rules", '[');
    for (int i = 0; i < 2; i++)
        if (rules[i] >= 0)
            write_json_rule(&world->egress[rules[i]], json);
    json_close(json, ']');
    json_close(json, '}');
}

static void write_json_rule(const struct egress_rule *rule, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "name", rule->name);
    json_string(json, "from", rule->from);
    egress_to_write(rule, json);
    json_string(json, "payer", rule->payer == EGRESS_SENDER ? "sender" : "receiver");
    json_int(json, "per_bytes", rule->per_bytes);
    json_open(json, "tiers", '[');
    for (int i = 0; i < rule->tier_count; i++) {
        json_open(json, NULL, '{');
        if (rule->tiers[i].up_to_bytes != INT64_MAX)
            json_int(json, "up_to_bytes", rule->tiers[i].up_to_bytes);
        json_price(json, "price", rule->tiers[i].price);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_string(json, "source", rule->source);
    json_close(json, '}');
}

static const char *per_text(int64_t per_bytes)
{
    return per_bytes == INT64_C(1000000000) ? "GB" : "GiB";
}
