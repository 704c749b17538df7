/* Reading a world document; docs/world.md describes its fields. */
#include <string.h>

#include "base/str.h"
#include "model/measures.h"
#include "model/weights.h"
#include "model/world_read.h"

static void read_accounts(struct reader *reader, const struct doc_node *root, struct world *world);
static void read_sites(struct reader *reader, const struct doc_node *root, struct world_use *use,
                       struct world *world);
static void read_site(struct reader *reader, const struct doc_node *node, struct world *world,
                      struct world_use *use, struct site *site);
static const struct site *begin_site(struct reader *reader, const struct doc_node *node,
                                     struct world_use *use, struct site *site);
static void read_site_account(struct reader *reader, const struct doc_node *node,
                              struct world *world, struct world_use *use, bool based,
                              struct site *site);
static void read_geo(struct reader *reader, const struct doc_node *node, struct site *site);
static void read_price(struct reader *reader, const struct doc_node *node, bool based,
                       struct site *site);
static void read_speed(struct reader *reader, const struct doc_node *node, struct site *site);
static void read_capacity(struct reader *reader, const struct doc_node *node, struct site *site);
static void read_site_tags(struct reader *reader, const struct doc_node *node,
                           const struct site *base, struct site *site);
static void read_latency(struct reader *reader, const struct doc_node *root,
                         const struct world_use *use, struct world *world);
static void read_latency_pair(struct reader *reader, const struct doc_node *node,
                              struct world *world);

static const struct weights weights_default = {
    .latency_usd_per_second = {1, 6},    /* 0.000001: 1,000 hours of waiting for $3.60 */
    .device_cpu_usd_per_second = {1, 5}, /* 0.00001: about a cloud's vCPU */
    .compute_ppm = PPM,
    .storage_ppm = PPM,
    .egress_ppm = PPM,
    .migration_ppm = PPM,
};
static const char *const mode_words[] = {"declared", "measured"};

int world_from_doc(struct doc *doc, struct arena *arena, struct world *ret_world, struct error *err)
{
    struct reader reader = {doc, arena, false};
    const struct doc_node *root = doc_root(doc);
    struct world world = {.currency = "USD"};
    doc_name(doc, root, "world", DOC_REQUIRED, world.name);
    if (doc_string(doc, root, "currency", 0, world.currency, sizeof(world.currency)) &&
        !str_equal(world.currency, "USD")) {
        doc_problem(doc, doc_get(doc, root, "currency", 0),
                    "\"%s\": prices are in USD; convert them when you write the world",
                    world.currency);
    }
    read_accounts(&reader, root, &world);
    struct world_use use;
    world_use_init(&use);
    world_use_read(&reader, root, &use);
    read_sites(&reader, root, &use, &world);
    world_read_egress(&reader, root, &use, &world);
    read_latency(&reader, root, &use, &world);
    world_use_done(&use);
    world_read_terms(&reader, root, &world);
    world.weights = weights_default;
    (void)weights_read(&reader, root, &world.weights); /* those left out have their defaults */
    world_read_policy(&reader, root, &world.policy);
    doc_close(doc, root);
    int rc = read_finish(&reader, err);
    if (rc < 0) {
        return rc;
    }
    *ret_world = world;
    return 0;
}

static void read_accounts(struct reader *reader, const struct doc_node *root, struct world *world)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, root, "accounts", 0, LIMIT_ACCOUNTS, &count);
    world->accounts = read_array(reader, count, sizeof(struct account));
    for (int i = 0; world->accounts != NULL && i < count; i++) {
        const struct doc_node *node = doc_item(list, (size_t)i);
        struct account *account = &world->accounts[i];
        doc_name(reader->doc, node, "name", DOC_REQUIRED, account->name);
        doc_name(reader->doc, node, "provider", DOC_REQUIRED, account->provider);
        doc_close(reader->doc, node);
        for (int k = 0; k < i && account->name[0] != '\0'; k++) {
            if (str_equal(world->accounts[k].name, account->name)) {
                doc_problem(reader->doc, node, "account \"%s\" is declared twice; names are unique",
                            account->name);
            }
        }
        world->account_count = i + 1;
    }
}

static void read_sites(struct reader *reader, const struct doc_node *root, struct world_use *use,
                       struct world *world)
{
    int count = 0;
    const struct doc_node *list =
        read_list(reader, root, "sites", use->stated ? 0 : DOC_REQUIRED, LIMIT_SITES, &count);
    if (doc_kind(list) == DOC_LIST && count == 0 && use->count == 0) {
        doc_problem(reader->doc, list, "a world has at least one site");
    }
    int room = count + use->count;
    world->sites = read_array(reader, room < LIMIT_SITES ? room : LIMIT_SITES, sizeof(struct site));
    for (int i = 0; world->sites != NULL && i < count; i++) {
        const struct doc_node *node = doc_item(list, (size_t)i);
        read_site(reader, node, world, use, &world->sites[i]);
        if (world->sites[i].name[0] != '\0' && world_site(world, world->sites[i].name) >= 0) {
            doc_problem(reader->doc, node, "site \"%s\" is declared twice; names are unique",
                        world->sites[i].name);
        }
        world->site_count = i + 1;
    }
    if (world->sites != NULL) {
        world_use_sites(reader, root, use, world);
    }
}

static void read_site(struct reader *reader, const struct doc_node *node, struct world *world,
                      struct world_use *use, struct site *site)
{
    struct doc *doc = reader->doc;
    const struct site *base = begin_site(reader, node, use, site);
    bool based = base != NULL;
    int tier = based ? (int)base->tier : TIER_CLOUD;
    doc_word(doc, node, "tier", based ? 0 : DOC_REQUIRED, tier_words, TIER_COUNT, &tier);
    site->tier = (enum tier)tier;
    doc_name(doc, node, "provider", 0, site->provider);
    doc_name(doc, node, "region", 0, site->region);
    read_site_account(reader, node, world, use, based, site);
    read_geo(reader, node, site);
    read_price(reader, node, based, site);
    read_speed(reader, node, site);
    doc_ratio(doc, node, "overhead", 0, &site->overhead_ppm);
    read_capacity(reader, node, site);
    doc_string(doc, node, "source", 0, site->source, sizeof(site->source));
    read_site_tags(reader, node, base, site);
    measures_read(reader, node, "measures", &site->measures);
    if (based) {
        world_use_measures(reader, base, site);
    }
    doc_close(doc, node);
}

/* The name, and what the entry has of a site of the catalogue before it is read itself. */
static const struct site *begin_site(struct reader *reader, const struct doc_node *node,
                                     struct world_use *use, struct site *site)
{
    char name[LIMIT_REF_BYTES] = "";
    bool named = read_site_name(reader, node, "name", DOC_REQUIRED, name);
    const struct site *base = world_use_base(reader, node, name, use);
    if (base != NULL) {
        *site = *base;
    } else {
        site->capacity[RESOURCE_CPU] = -1;
        site->capacity[RESOURCE_MEMORY] = -1;
        site->speed_ppm = PPM;
    }
    site->account = -1;
    str_format(site->name, sizeof(site->name), "%s", name);
    if (named) {
        const char *slash = strchr(name, '/');
        str_format(site->provider, sizeof(site->provider), "%.*s", (int)(slash - name), name);
        str_format(site->region, sizeof(site->region), "%s", slash + 1);
    }
    return base;
}

static void read_site_account(struct reader *reader, const struct doc_node *node,
                              struct world *world, struct world_use *use, bool based,
                              struct site *site)
{
    char name[LIMIT_NAME_BYTES] = "";
    int flags = site->tier == TIER_CLIENT || based ? 0 : DOC_REQUIRED;
    if (!doc_name(reader->doc, node, "account", flags, name)) {
        if (based && site->tier != TIER_CLIENT) {
            world_use_account(reader, node, world, use, site);
        }
        return;
    }
    const struct doc_node *scalar = doc_get(reader->doc, node, "account", 0);
    if (site->tier == TIER_CLIENT) {
        doc_problem(reader->doc, scalar,
                    "\"%s\": a site of tier client has no account, it pays nobody", name);
        return;
    }
    const char *names[LIMIT_ACCOUNTS];
    for (int i = 0; i < world->account_count; i++) {
        names[i] = world->accounts[i].name;
        if (str_equal(names[i], name)) {
            site->account = i;
            return;
        }
    }
    const char *nearest = str_nearest(name, names, (size_t)world->account_count);
    doc_problem(reader->doc, scalar, "\"%s\" is not among the accounts%s%s%s", name,
                nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                nearest != NULL ? "\"?" : "");
}

static void read_geo(struct reader *reader, const struct doc_node *node, struct site *site)
{
    static const int64_t degrees_max[] = {90, 180};
    const struct doc_node *list = doc_list(reader->doc, node, "geo", 0);
    if (doc_kind(list) != DOC_LIST) {
        return;
    }
    if (doc_count(list) != 2) {
        doc_problem(reader->doc, list, "a position is [latitude, longitude] in degrees");
        return;
    }
    int64_t udeg[2] = {0, 0};
    for (size_t i = 0; i < 2; i++) {
        const struct doc_node *item = doc_item(list, i);
        const char *text = doc_text(item);
        struct decimal degrees;
        if (text == NULL || decimal_parse(text, &degrees, NULL) < 0 ||
            decimal_scaled(degrees, 6, &udeg[i]) < 0 || udeg[i] < -degrees_max[i] * PPM ||
            udeg[i] > degrees_max[i] * PPM) {
            doc_problem(reader->doc, item, "\"%.64s\" is no %s: a number from %lld to %lld",
                        text == NULL ? "" : text, i == 0 ? "latitude" : "longitude",
                        (long long)-degrees_max[i], (long long)degrees_max[i]);
            return;
        }
    }
    site->located = true;
    site->latitude_udeg = udeg[0];
    site->longitude_udeg = udeg[1];
}

static void read_price(struct reader *reader, const struct doc_node *node, bool based,
                       struct site *site)
{
    struct doc *doc = reader->doc;
    int flags = based ? 0 : DOC_REQUIRED;
    if (site->tier == TIER_CLIENT) {
        const struct doc_node *price = doc_get(doc, node, "price", 0);
        if (price != NULL) {
            doc_problem(doc, price,
                        "a site of tier client has no price; weights.device_cpu says what its CPU "
                        "time is worth");
        }
        site->cpu_price = site->memory_price = site->storage_price = (struct decimal){0, 0};
        return;
    }
    const struct doc_node *price = doc_map(doc, node, "price", flags);
    if (price != NULL) {
        doc_price(doc, price, "cpu", flags, &site->cpu_price);
        doc_price(doc, price, "memory", flags, &site->memory_price);
        doc_price(doc, price, "storage", 0, &site->storage_price);
        doc_close(doc, price);
    }
}

/* What its CPUs do in a second, and what a second of them is worth to their owner. */
static void read_speed(struct reader *reader, const struct doc_node *node, struct site *site)
{
    struct doc *doc = reader->doc;
    if (doc_ratio(doc, node, "speed", 0, &site->speed_ppm) && site->speed_ppm <= 0) {
        doc_problem(doc, doc_get(doc, node, "speed", 0),
                    "a speed is above 0; 1 is the CPU that cpu_per_call was measured on");
    }
    bool weighed = doc_price(doc, node, "cpu_weight", 0, &site->cpu_weight);
    site->has_cpu_weight = (weighed || site->has_cpu_weight) && site->tier == TIER_CLIENT;
    if (weighed && site->tier != TIER_CLIENT) {
        doc_problem(doc, doc_get(doc, node, "cpu_weight", 0),
                    "only a site of tier client has a cpu_weight; here price.cpu is paid");
    }
}

static void read_capacity(struct reader *reader, const struct doc_node *node, struct site *site)
{
    const struct doc_node *capacity = doc_map(reader->doc, node, "capacity", 0);
    if (capacity != NULL) {
        doc_cpu(reader->doc, capacity, "cpu", 0, &site->capacity[RESOURCE_CPU]);
        doc_bytes(reader->doc, capacity, "memory", 0, &site->capacity[RESOURCE_MEMORY]);
        doc_close(reader->doc, capacity);
    }
}

static void read_site_tags(struct reader *reader, const struct doc_node *node,
                           const struct site *base, struct site *site)
{
    enum { IMPLIED = 3 };
    read_tags(reader, node, "tags", IMPLIED + (base != NULL ? base->tags.count : 0), &site->tags);
    if (site->tags.list == NULL || site->name[0] == '\0') {
        return;
    }
    if (base != NULL) {
        world_use_tags(reader, node, base, site);
    }
    tags_add(&site->tags, "cloud", site->provider);
    tags_add(&site->tags, "region", site->region);
    tags_add(&site->tags, "tier", tier_words[site->tier]);
}

static void read_latency(struct reader *reader, const struct doc_node *root,
                         const struct world_use *use, struct world *world)
{
    struct doc *doc = reader->doc;
    int cells = world->site_count * world->site_count;
    world->rtt_us = read_array(reader, cells, sizeof(int64_t));
    world->factor_us = read_array(reader, cells, sizeof(int64_t));
    world->us_per_mib = read_array(reader, cells, sizeof(int64_t));
    if (world->rtt_us == NULL || world->factor_us == NULL || world->us_per_mib == NULL) {
        return;
    }
    for (int i = 0; i < cells; i++) {
        world->rtt_us[i] = i % (world->site_count + 1) == 0 ? 0 : -1;
        world->factor_us[i] = i % (world->site_count + 1) == 0 ? 0 : -1;
    }
    const struct doc_node *latency = doc_map(doc, root, "latency", 0);
    if (latency != NULL) {
        int mode = 0;
        int count = 0;
        doc_word(doc, latency, "mode", 0, mode_words, 2, &mode);
        world->latency_measured = mode == 1;
        const struct doc_node *list =
            read_list(reader, latency, "pairs", 0, LIMIT_LATENCY_PAIRS, &count);
        for (int i = 0; i < count; i++) {
            read_latency_pair(reader, doc_item(list, (size_t)i), world);
        }
        world_read_tables(reader, latency, world);
        doc_close(doc, latency);
    }
    world_use_latencies(use, world);
    for (int i = 0; i < cells; i++) {
        world->factor_us[i] = world->factor_us[i] < 0 ? 0 : world->factor_us[i];
    }
}

/* `between: [a, b]` holds both ways; `from: a` with `to: b` one way. */
static void read_latency_pair(struct reader *reader, const struct doc_node *node,
                              struct world *world)
{
    struct doc *doc = reader->doc;
    const struct doc_node *between = doc_list(doc, node, "between", 0);
    const struct doc_node *scalars[2] = {NULL, NULL};
    if (between == NULL) {
        scalars[0] = doc_get(doc, node, "from", DOC_REQUIRED);
        scalars[1] = doc_get(doc, node, "to", DOC_REQUIRED);
    } else if (doc_kind(between) == DOC_LIST && doc_count(between) == 2) {
        scalars[0] = doc_item(between, 0);
        scalars[1] = doc_item(between, 1);
    } else {
        doc_problem(doc, between, "a pair is two sites, as in [aws/us-east-1, gcp/us-central1]");
    }
    int64_t figures[PATH_FIGURES] = {[PATH_RTT] = -1};
    char source[LIMIT_TEXT_BYTES];
    doc_duration(doc, node, "rtt", DOC_REQUIRED, &figures[PATH_RTT]);
    doc_duration(doc, node, "factor", 0, &figures[PATH_FACTOR]);
    doc_duration(doc, node, "per_mib", 0, &figures[PATH_PER_MIB]);
    doc_string(doc, node, "source", 0, source, sizeof(source));
    doc_close(doc, node);
    if (scalars[0] == NULL || scalars[1] == NULL) {
        return;
    }
    int ends[2] = {world_read_end(reader, scalars[0], world),
                   world_read_end(reader, scalars[1], world)};
    if (ends[0] < 0 || ends[1] < 0) {
        return;
    }
    if (ends[0] == ends[1]) {
        doc_problem(doc, node, "\"%s\" twice; calls within one site wait for nothing",
                    world->sites[ends[0]].name);
        return;
    }
    world_read_path(reader, node, world, ends, figures);
    if (between != NULL) {
        world_read_path(reader, node, world, (const int[]){ends[1], ends[0]}, figures);
    }
}

int world_read_end(struct reader *reader, const struct doc_node *scalar, const struct world *world)
{
    char name[LIMIT_REF_BYTES] = "";
    if (!doc_node_string(reader->doc, scalar, name, sizeof(name))) {
        return -1;
    }
    int site = world_site(world, name);
    if (site < 0) {
        const char *nearest = world_nearest_site(world, name);
        doc_problem(reader->doc, scalar, "\"%s\" is not among the sites%s%s%s", name,
                    nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                    nearest != NULL ? "\"?" : "");
    }
    return site;
}

void world_read_path(struct reader *reader, const struct doc_node *node, struct world *world,
                     const int ends[2], const int64_t figures[PATH_FIGURES])
{
    int cell = ends[0] * world->site_count + ends[1];
    if (world->factor_us[cell] >= 0) {
        doc_problem(reader->doc, node, "the latency from %s to %s is given twice",
                    world->sites[ends[0]].name, world->sites[ends[1]].name);
        return;
    }
    world->rtt_us[cell] = figures[PATH_RTT];
    world->factor_us[cell] = figures[PATH_FACTOR];
    world->us_per_mib[cell] = figures[PATH_PER_MIB];
}

const char *world_nearest_site(const struct world *world, const char *name)
{
    const char *names[LIMIT_SITES];
    for (int i = 0; i < world->site_count; i++) {
        names[i] = world->sites[i].name;
    }
    return str_nearest(name, names, (size_t)world->site_count);
}
