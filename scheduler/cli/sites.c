/* `berth sites`: the places there are, what they cost and how far away they are. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/distance.h"
#include "model/json_out.h"
#include "model/measures.h"
#include "model/world.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/places.h"
#include "scheduler/cli/table.h"

struct sites_options {
    const char *provider;
    const char *tier;
    const char *near;
    const char *world;
    bool live;
    bool sources;
};

/* A site of the answer, and how far it is from where --near says. */
struct found {
    int site;
    int64_t distance_m; /* -1: not asked for, or not known */
    int64_t rtt_us;     /* -1 */
    const char *how;    /* the round trip is known */
};

static int run_sites(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err);
static int check_filters(const struct sites_options *given, const struct world *world,
                         struct error *err);
static int filter(const struct sites_options *given, const struct option_words *words,
                  const struct world *world, struct found *found, int *ret_count,
                  struct error *err);
static bool matches(const char *pattern, const struct site *site);
static int measure_near(const struct places *places, const char *near, struct found *found,
                        int count, struct error *err);
static int parse_position(const char *text, struct site *ret_site, struct error *err);
static int by_distance(const void *a, const void *b);
static int write_table(const struct sites_options *given, const struct world *world,
                       const struct found *found, int count, bool color, struct strbuf *out,
                       struct error *err);
static void write_row(const struct sites_options *given, const struct site *site,
                      const struct found *found, struct table *table);
static void write_json(const struct places *places, const struct found *found, int count,
                       struct strbuf *out);
static void write_json_site(const struct site *site, const struct found *found,
                            struct json_out *json);

static const struct option_row rows[] = {
    {"provider", 0, OPTION_TEXT, "NAME", "only that provider's: aws, azure, gcp, edge, client",
     offsetof(struct sites_options, provider), 0, 0},
    {"tier", 0, OPTION_TEXT, "TIER", "only those of tier client, edge or cloud",
     offsetof(struct sites_options, tier), 0, 0},
    {"near", 0, OPTION_TEXT, "SITE|LAT,LON", "the nearest first, with distance and round trip",
     offsetof(struct sites_options, near), 0, 0},
    {"world", 'w', OPTION_TEXT, "FILE", "the sites of a world document instead of the catalogue's",
     offsetof(struct sites_options, world), 0, 0},
    {"live", 0, OPTION_FLAG, NULL, "the sites of the running scheduler's world",
     offsetof(struct sites_options, live), 0, 0},
    {"sources", 0, OPTION_FLAG, NULL, "where each site's figures come from, as well",
     offsetof(struct sites_options, sources), 0, 0},
};

const struct command command_sites = {
    .name = "sites",
    .synopsis = "[PATTERN...] [--near SITE|LAT,LON] [--world FILE | --live]",
    .summary = "The places that Berth knows: prices, carbon, distances, round trips",
    .text = "Without --world or --live these are the sites of the built-in catalogue, which a "
            "world\n"
            "takes from with `use:` (docs/catalogue.md); no scheduler is needed. PATTERN is a "
            "name,\n"
            "a pattern as in a shell (\"aws/eu-*\"), or a tag (tag:continent=europe). A round "
            "trip is\n"
            "measured (by nodes, or by whom the catalogue names), declared by the world, or "
            "estimated\n"
            "from the distance.\n",
    .examples = "  berth sites 'aws/eu-*'\n"
                "  berth sites --tier cloud --near 40.71,-74.01\n"
                "  berth sites tag:country=de --near azure/germanywestcentral --sources\n"
                "  berth sites --live --json | jq '.sites[] | {name, cpu_price}'\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct sites_options),
    .words_max = OPTION_WORDS_MAX,
    .words = {WORD_SITE, WORD_SITE},
    .run = run_sites,
};

static int run_sites(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err)
{
    const struct sites_options *given = options;
    struct found found[LIMIT_SITES];
    int count = 0;
    if (given->live && given->world != NULL)
        return error_set(err, ERR_INVALID, 0, "one of --world and --live, not both");
    CLEANUP(cleanup_places) struct places places = {.app_count = 0};
    int rc = places_open(cli, given->live ? "live" : given->world, &places, err);
    if (rc == 0)
        rc = check_filters(given, &places.world, err);
    if (rc == 0)
        rc = filter(given, words, &places.world, found, &count, err);
    if (rc == 0 && given->near != NULL)
        rc = measure_near(&places, given->near, found, count, err);
    if (rc < 0)
        return rc;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json)
        write_json(&places, found, count, &out);
    else if (count == 0)
        strbuf_puts(&out, "no sites\n");
    else
        rc = write_table(given, &places.world, found, count, cli->color, &out, err);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int check_filters(const struct sites_options *given, const struct world *world,
                         struct error *err)
{
    const char *providers[LIMIT_SITES];
    bool known = given->provider == NULL;
    for (int i = 0; i < world->site_count; i++) {
        providers[i] = world->sites[i].provider;
        known = known || str_equal(given->provider, providers[i]);
    }
    if (!known) {
        const char *nearest = str_nearest(given->provider, providers, (size_t)world->site_count);
        return error_set(err, ERR_INVALID, 0, "no site of %s is of provider \"%.64s\"%s%s%s",
                         world->name, given->provider, nearest == NULL ? "" : "; did you mean ",
                         nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
    }
    known = given->tier == NULL;
    for (int i = 0; i < TIER_COUNT; i++)
        known = known || str_equal(given->tier, tier_words[i]);
    if (!known)
        return error_set(err, ERR_INVALID, 0, "--tier \"%.32s\": there are client, edge and cloud",
                         given->tier);
    return 0;
}

/* Every word must mean some site: else it is a mistake, even where others mean one. */
static int filter(const struct sites_options *given, const struct option_words *words,
                  const struct world *world, struct found *found, int *ret_count, struct error *err)
{
    bool wanted[LIMIT_SITES] = {false};
    for (int w = 0; w < words->count; w++) {
        bool any = false;
        for (int i = 0; i < world->site_count; i++)
            if (matches(words->items[w], &world->sites[i]))
                wanted[i] = any = true;
        if (!any)
            return places_site(world, words->items[w], err);
    }
    int count = 0;
    for (int i = 0; i < world->site_count; i++) {
        const struct site *site = &world->sites[i];
        if ((words->count == 0 || wanted[i]) &&
            (given->provider == NULL || str_equal(given->provider, site->provider)) &&
            (given->tier == NULL || str_equal(given->tier, tier_words[site->tier])))
            found[count++] = (struct found){.site = i, .distance_m = -1, .rtt_us = -1, .how = ""};
    }
    *ret_count = count;
    return 0;
}

static bool matches(const char *pattern, const struct site *site)
{
    return world_selects(pattern, site) >= 0 || fnmatch(pattern, site->name, 0) == 0;
}

static int measure_near(const struct places *places, const char *near, struct found *found,
                        int count, struct error *err)
{
    const struct world *world = &places->world;
    struct site position = {.located = false};
    int from = -1;
    if (strchr(near, ',') != NULL) {
        int rc = parse_position(near, &position, err);
        if (rc < 0)
            return rc;
    } else {
        from = places_site(world, near, err);
        if (from < 0)
            return error_prefix(err, "--near");
    }
    const struct site *here = from < 0 ? &position : &world->sites[from];
    for (int i = 0; i < count; i++) {
        const struct site *site = &world->sites[found[i].site];
        if (here->located && site->located)
            found[i].distance_m = cost_distance_m(here, site);
        if (from >= 0) {
            found[i].rtt_us = places_rtt_us(places, from, found[i].site, &found[i].how);
        } else {
            found[i].rtt_us = cost_distance_rtt_us(here, site);
            found[i].how = found[i].rtt_us < 0 ? "unknown" : "estimated";
        }
    }
    qsort(found, (size_t)count, sizeof(found[0]), by_distance);
    return 0;
}

static int parse_position(const char *text, struct site *ret_site, struct error *err)
{
    static const int64_t degrees_max[] = {90, 180};
    char words[2][LIMIT_NAME_BYTES];
    int64_t udeg[2] = {0, 0};
    size_t bytes = strcspn(text, ",");
    bool good = bytes < LIMIT_NAME_BYTES && strlen(text + bytes + 1) < LIMIT_NAME_BYTES;
    if (good) {
        str_format(words[0], LIMIT_NAME_BYTES, "%.*s", (int)bytes, text);
        str_format(words[1], LIMIT_NAME_BYTES, "%s", text + bytes + 1);
    }
    for (int i = 0; good && i < 2; i++) {
        struct decimal degrees;
        good = decimal_parse(words[i], &degrees, NULL) == 0 &&
               decimal_scaled(degrees, 6, &udeg[i]) == 0 && udeg[i] >= -degrees_max[i] * PPM &&
               udeg[i] <= degrees_max[i] * PPM;
    }
    if (!good)
        return error_set(err, ERR_INVALID, 0,
                         "--near \"%.64s\": a site, or latitude and longitude in degrees, as in "
                         "40.71,-74.01",
                         text);
    *ret_site = (struct site){.located = true, .latitude_udeg = udeg[0], .longitude_udeg = udeg[1]};
    return 0;
}

/* Those whose place is not known come last; then by their order in the world. */
static int by_distance(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;
    uint64_t near_x = (uint64_t)x->distance_m;
    uint64_t near_y = (uint64_t)y->distance_m;
    return near_x != near_y ? (near_x < near_y ? -1 : 1) : x->site - y->site;
}

static int write_table(const struct sites_options *given, const struct world *world,
                       const struct found *found, int count, bool color, struct strbuf *out,
                       struct error *err)
{
    char heads[LIMIT_TEXT_BYTES];
    struct table table;
    str_format(heads, sizeof(heads), "SITE|TIER|CITY|>$/VCPU-H|>$/GIB-H|>$/GIB-MONTH|>CARBON%s%s",
               given->near != NULL ? "|>DISTANCE|>ROUND TRIP|" : "",
               given->sources ? "|SOURCE" : "");
    table_init(&table, heads);
    for (int i = 0; i < count; i++)
        write_row(given, &world->sites[found[i].site], &found[i], &table);
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static void write_row(const struct sites_options *given, const struct site *site,
                      const struct found *found, struct table *table)
{
    char text[DECIMAL_TEXT_BYTES];
    const char *city = NULL;
    for (int i = 0; i < site->tags.count; i++)
        if (str_equal(site->tags.list[i].key, "city"))
            city = site->tags.list[i].value;
    const struct measure *carbon = measures_find(&site->measures, "carbon");
    const struct decimal prices[] = {site->cpu_price, site->memory_price, site->storage_price};
    table_cell(table, STYLE_PLAIN, "%s", site->name);
    table_cell(table, STYLE_PLAIN, "%s", tier_words[site->tier]);
    table_cell(table, STYLE_PLAIN, "%s", city == NULL ? "-" : city);
    for (int i = 0; i < 3; i++)
        table_cell(table, STYLE_PLAIN, "%s",
                   site->tier == TIER_CLIENT ? "-" : decimal_format(prices[i], text));
    table_cell(table, STYLE_PLAIN, "%s%s%s",
               carbon == NULL ? "-" : decimal_format(carbon->value, text),
               carbon == NULL ? "" : " ", carbon == NULL ? "" : carbon->unit);
    if (given->near != NULL) {
        if (found->distance_m < 0)
            table_cell(table, STYLE_DIM, "-");
        else
            table_cell(table, STYLE_PLAIN, "%" PRId64 " km", found->distance_m / 1000);
        if (found->rtt_us < 0)
            table_cell(table, STYLE_DIM, "-");
        else
            table_cell(table, STYLE_PLAIN, "%" PRId64 ".%" PRId64 " ms", found->rtt_us / 1000,
                       found->rtt_us % 1000 / 100);
        table_cell(table, STYLE_DIM, "%s", found->how);
    }
    if (given->sources)
        table_cell(table, STYLE_DIM, "%s", site->source);
}

static void write_json(const struct places *places, const struct found *found, int count,
                       struct strbuf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_open(&json, NULL, '{');
    json_string(&json, "world", places->world.name);
    json_string(&json, "from", places_from_words[places->from]);
    json_open(&json, "sites", '[');
    for (int i = 0; i < count; i++)
        write_json_site(&places->world.sites[found[i].site], &found[i], &json);
    json_close(&json, ']');
    json_close(&json, '}');
    strbuf_puts(out, "\n");
}

static void write_json_site(const struct site *site, const struct found *found,
                            struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "name", site->name);
    json_string(json, "tier", tier_words[site->tier]);
    json_string(json, "provider", site->provider);
    json_string(json, "region", site->region);
    if (site->located) {
        json_open(json, "geo", '[');
        json_millionths(json, NULL, site->latitude_udeg);
        json_millionths(json, NULL, site->longitude_udeg);
        json_close(json, ']');
    }
    json_open(json, "tags", '{');
    for (int i = 0; i < site->tags.count; i++)
        json_string(json, site->tags.list[i].key, site->tags.list[i].value);
    json_close(json, '}');
    if (site->tier != TIER_CLIENT) {
        json_price(json, "cpu_price", site->cpu_price);
        json_price(json, "memory_price", site->memory_price);
        json_price(json, "storage_price", site->storage_price);
    }
    json_millionths(json, "overhead", site->overhead_ppm);
    json_millionths(json, "speed", site->speed_ppm);
    if (site->has_cpu_weight)
        json_price(json, "cpu_weight", site->cpu_weight);
    measures_write(json, "measures", &site->measures);
    if (found->distance_m >= 0)
        json_int(json, "distance_m", found->distance_m);
    if (found->rtt_us >= 0)
        json_int(json, "rtt_us", found->rtt_us);
    if (found->how[0] != 0)
        json_string(json, "rtt", found->how);
    json_string(json, "source", site->source);
    json_close(json, '}');
}
