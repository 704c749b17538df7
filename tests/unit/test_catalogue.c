/*
 * The catalogue: its documents read, say what they claim, and a world takes from them field by
 * field. Where the data that it was made from are there, every price and every pair of the egress
 * grid is compared with them; where not, those tests say that they were skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/doc.h"
#include "model/catalogue.h"
#include "model/egress.h"
#include "model/measures.h"
#include "model_fixture.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define LINE_BYTES  512
#define DATA        BERTH_SOURCE_DIR "/../shared/data/"

static void parse(const char *document, struct arena *arena, struct world *world)
{
    struct error err = {0};
    arena_init(arena, ARENA_BYTES);
    if (world_parse("w.yaml", document, strlen(document), arena, world, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static void refuse(const char *document, const char *wanted)
{
    struct arena arena;
    struct world world;
    struct error err = {0};
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(world_parse("w.yaml", document, strlen(document), &arena, &world, &err),
                     ERR_INVALID);
    if (strstr(err.text, wanted) == NULL) {
        fail_msg("\"%s\" is not in: %s", wanted, err.text);
    }
    arena_done(&arena);
}

static const struct site *site_of(const struct world *world, const char *name)
{
    int site = world_site(world, name);
    if (site < 0) {
        fail_msg("there is no %s", name);
    }
    return &world->sites[site];
}

static void assert_price(struct decimal price, const char *wanted)
{
    char text[DECIMAL_TEXT_BYTES];
    assert_string_equal(decimal_format(price, text), wanted);
}

/* The price of the first byte from one site to another; NULL: nothing is billed. */
static const struct decimal *first_price(const struct world *world, int from, int to)
{
    struct egress_match match = egress_between(world, from, to);
    assert_int_equal(match.receiver_rule, -1);
    return match.sender_rule < 0 ? NULL : &world->egress[match.sender_rule].tiers[0].price;
}

static int64_t rtt_us(const struct world *world, const char *from, const char *to)
{
    int a = world_site(world, from);
    int b = world_site(world, to);
    assert_true(a >= 0 && b >= 0);
    return world->rtt_us[a * world->site_count + b];
}

static void test_parts(void **state)
{
    (void)state;
    for (int part = 0; part < CATALOGUE_PARTS; part++) {
        struct arena arena;
        struct world world;
        struct error err = {0};
        arena_init(&arena, ARENA_BYTES);
        if (catalogue_read(part, &arena, &world, &err) < 0) {
            fail_msg("%s", err.text);
        }
        assert_true(world.site_count > 0);
        for (int i = 0; i < world.site_count; i++) {
            const struct site *site = &world.sites[i];
            assert_int_equal(catalogue_part_of(site->provider), part);
            assert_true(site->source[0] != '\0');
            assert_int_equal(site->located, part != CATALOGUE_GENERIC);
            if (site->tier != TIER_CLIENT) {
                assert_true(site->cpu_price.coefficient > 0 && site->memory_price.coefficient > 0);
                assert_true(site->storage_price.coefficient > 0);
            }
            if (part != CATALOGUE_GENERIC) {
                assert_int_equal(site->tier, TIER_CLOUD);
                assert_non_null(tags_get(&site->tags, "continent"));
                assert_non_null(tags_get(&site->tags, "country"));
                assert_non_null(tags_get(&site->tags, "tariff"));
            }
        }
        for (int i = 0; i < world.egress_count; i++) {
            assert_true(world.egress[i].source[0] != '\0');
        }
        arena_done(&arena);
    }
    assert_int_equal(catalogue_part_of("gpc"), -1);
}

static void test_whole(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    struct error err = {0};
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(catalogue_world(&arena, &world, &err), 0);
    int tiers[TIER_COUNT] = {0};
    int of[CATALOGUE_PARTS] = {0};
    for (int i = 0; i < world.site_count; i++) {
        tiers[world.sites[i].tier]++;
        of[catalogue_part_of(world.sites[i].provider)]++;
    }
    assert_int_equal(of[CATALOGUE_AWS], 22);
    assert_int_equal(of[CATALOGUE_AZURE], 57);
    assert_int_equal(of[CATALOGUE_GCP], 40);
    assert_int_equal(tiers[TIER_CLOUD], 119);
    assert_int_equal(tiers[TIER_EDGE] + tiers[TIER_CLIENT], of[CATALOGUE_GENERIC]);
    /* An installed scheduler gets it over the bus, resolved. */
    struct strbuf text;
    strbuf_init(&text, LIMIT_DOC_BYTES);
    world_write(&world, &text);
    assert_int_equal(strbuf_error(&text, NULL), 0);
    assert_true(text.bytes < LIMIT_WIRE_BYTES);
    assert_null(strstr(strbuf_text(&text), "\"use\""));
    struct arena again;
    struct world read;
    arena_init(&again, ARENA_BYTES);
    if (world_parse("w.json", strbuf_text(&text), text.bytes, &again, &read, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_true(world_hash(&read) == world_hash(&world));
    strbuf_done(&text);
    arena_done(&again);
    arena_done(&arena);
}

static void test_figures(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    parse("world: w\naccounts: [{name: a, provider: aws}, {name: g, provider: gcp}]\n"
          "use: [aws/us-east-1, aws/us-east-2, aws/eu-west-2, gcp/us-central1]\n",
          &arena, &world);
    assert_int_equal(world.site_count, 4);
    const struct site *site = site_of(&world, "aws/us-east-1");
    assert_price(site->cpu_price, "0.031248");
    assert_price(site->memory_price, "0.004188");
    assert_price(site->storage_price, "0.04");
    assert_int_equal(site->overhead_ppm, 120000);
    assert_string_equal(world.accounts[site->account].name, "a");
    assert_price(measures_find(&site->measures, "carbon")->value, "323.05");
    assert_non_null(strstr(site->source, "estimated, as gcp/us-east4"));
    assert_price(site_of(&world, "gcp/us-central1")->cpu_price, "0.021811");
    /* Measured one way and the other; between providers there is nothing to know. */
    assert_int_equal(rtt_us(&world, "aws/us-east-1", "aws/us-east-2"), 13970);
    assert_int_equal(rtt_us(&world, "aws/us-east-2", "aws/us-east-1"), 15030);
    assert_int_equal(rtt_us(&world, "aws/us-east-1", "gcp/us-central1"), -1);
    int a = world_site(&world, "aws/us-east-1");
    assert_price(*first_price(&world, a, world_site(&world, "aws/us-east-2")), "0.01");
    assert_price(*first_price(&world, a, world_site(&world, "aws/eu-west-2")), "0.02");
    int g = world_site(&world, "gcp/us-central1");
    struct egress_match match = egress_between(&world, a, g);
    const struct egress_rule *rule = &world.egress[match.sender_rule];
    assert_string_equal(rule->name, "aws-west-out");
    assert_int_equal(rule->tier_count, 4);
    assert_int_equal(rule->tiers[0].up_to_bytes, INT64_C(10240) << 30);
    assert_int_equal(rule->tiers[1].up_to_bytes, INT64_C(51200) << 30);
    assert_int_equal(rule->tiers[2].up_to_bytes, INT64_C(153600) << 30);
    assert_price(rule->tiers[0].price, "0.09");
    assert_price(rule->tiers[1].price, "0.085");
    assert_price(rule->tiers[2].price, "0.07");
    assert_price(rule->tiers[3].price, "0.05");
    assert_price(*first_price(&world, g, a), "0.12");
    /* What prices nothing here is left out. */
    for (int i = 0; i < world.egress_count; i++) {
        assert_null(strstr(world.egress[i].name, "azure"));
        assert_null(strstr(world.egress[i].name, "seoul"));
    }
    arena_done(&arena);
}

static void test_override(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    parse(
        "world: w\n"
        "accounts: [{name: a, provider: aws}, {name: b, provider: aws}, {name: e, provider: "
        "edge}]\n"
        "use: [\"tag:city=ashburn\", aws/us-east-2]\n"
        "sites:\n"
        "  - {name: aws/us-east-1, account: b, price: {cpu: 0.02}, tags: {tier-of: gold, country: "
        "xx}, measures: {power: 4 W/vCPU}}\n"
        "  - {name: aws/us-east-2, account: a}\n"
        "  - {name: gcp/us-east4, account: a, overhead: 20%}\n"
        "  - {name: edge/nyc, like: edge/pop, geo: [40.71, -74.01]}\n"
        "  - {name: client/nyc, like: client/phone, geo: [40.71, -74.01], speed: 0.5}\n"
        "egress:\n"
        "  - {name: aws-west-out, month_to_date: 3GiB}\n"
        "  - {name: edge-out, tiers: [{price: 0.5}]}\n"
        "latency: {pairs: [{from: aws/us-east-1, to: aws/us-east-2, rtt: 9ms, factor: 1ms}]}\n",
        &arena, &world);
    assert_int_equal(world.site_count, 5); /* Ashburn has two, both with entries of their own */
    const struct site *site = site_of(&world, "aws/us-east-1");
    assert_price(site->cpu_price, "0.02");
    assert_price(site->memory_price, "0.004188");
    assert_string_equal(world.accounts[site->account].name, "b");
    assert_string_equal(tags_get(&site->tags, "country"), "xx");
    assert_string_equal(tags_get(&site->tags, "tier-of"), "gold");
    assert_string_equal(tags_get(&site->tags, "city"), "ashburn");
    assert_price(measures_find(&site->measures, "power")->value, "4");
    assert_price(measures_find(&site->measures, "carbon")->value, "323.05");
    assert_int_equal(site_of(&world, "gcp/us-east4")->overhead_ppm, 200000);
    site = site_of(&world, "edge/nyc");
    assert_int_equal(site->tier, TIER_EDGE);
    assert_string_equal(site->region, "nyc");
    assert_string_equal(tags_get(&site->tags, "region"), "nyc");
    assert_price(site->cpu_price, "0.062496");
    site = site_of(&world, "client/nyc");
    assert_int_equal(site->speed_ppm, 500000);
    assert_true(site->has_cpu_weight);
    assert_price(site->cpu_weight, "0.00004");
    assert_int_equal(site->account, -1);
    assert_int_equal(rtt_us(&world, "aws/us-east-1", "aws/us-east-2"), 9000);
    assert_int_equal(rtt_us(&world, "aws/us-east-2", "aws/us-east-1"), 15030);
    int a = world_site(&world, "aws/us-east-1");
    int e = world_site(&world, "edge/nyc");
    const struct egress_rule *rule = &world.egress[egress_between(&world, a, e).sender_rule];
    assert_string_equal(rule->name, "aws-west-out");
    assert_int_equal(rule->month_to_date_bytes, INT64_C(3) << 30);
    assert_int_equal(rule->tier_count, 4);
    assert_price(*first_price(&world, e, a), "0.5");
    arena_done(&arena);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char aws[] = "accounts: [{name: a, provider: aws}]\n";
    char document[LINE_BYTES];
    str_format(document, sizeof(document), "world: w\n%suse: [aws/us-east-9]\n", aws);
    refuse(document, "did you mean \"aws/us-east-1\"");
    str_format(document, sizeof(document), "world: w\n%suse: [azure/eastus]\n", aws);
    refuse(document, "no account pays for azure/eastus");
    refuse("world: w\naccounts: [{name: a, provider: aws}, {name: b, provider: aws}]\n"
           "use: [aws/*]\n",
           "2 accounts are of provider aws");
    refuse("world: w\nuse: [\"tag:continent=atlantis\"]\n", "no site of the catalogue");
    str_format(document, sizeof(document),
               "world: w\n%ssites: [{name: aws/x, like: aws/us-est-1}]\n", aws);
    refuse(document, "did you mean \"aws/us-east-1\"");
    refuse("world: w\nuse: [client/phone]\nsites: [{name: client/phone, price: {cpu: 1}}]\n",
           "has no price");
    str_format(document, sizeof(document),
               "world: w\n%suse: [aws/us-east-1]\negress: [{name: x, from: \"tag:colour=red\", "
               "to: \"*\", per: GiB, tiers: [{price: 1}]}]\n",
               aws);
    refuse(document, "selects no site");
    refuse("world: w\nsites: [{name: client/a, tier: client}, {name: client/b, tier: client}]\n"
           "latency: {tables: [{sites: [client/a, client/b], rtt_ms: [[~, 3]]}]}\n",
           "1 rows for 2 sites");
    refuse("world: w\nsites: [{name: client/a, tier: client}, {name: client/b, tier: client}]\n"
           "latency: {tables: [{sites: [client/a, client/b], rtt_ms: [[~, -3], [1]]}]}\n",
           "no round trip");
    refuse("world: w\nsites: [{name: client/a, tier: client}, {name: client/b, tier: client}]\n"
           "latency: {tables: [{sites: [client/a, client/b], rtt_ms: [[~, 3], [1, ~]]}], "
           "pairs: [{between: [client/a, client/b], rtt: 1ms}]}\n",
           "given twice");
    /* A rule of the catalogue that is taken up must still mean something here. */
    refuse("world: w\naccounts: [{name: g, provider: gcp}]\nuse: [gcp/us-west1]\n"
           "egress: [{name: gcp-from-jakarta, month_to_date: 1GiB}]\n",
           "\"gcp/asia-southeast2\" selects no site");
}

/* The example takes what it says: two regions of AWS, Germany's of each, and its own. */
static void test_example(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    struct error err = {0};
    struct doc *doc = NULL;
    arena_init(&arena, ARENA_BYTES);
    if (doc_read_file(BERTH_SOURCE_DIR "/examples/worlds/clouds.yaml", &doc, &err) < 0 ||
        world_from_doc(doc, &arena, &world, &err) < 0) {
        fail_msg("%s", err.text);
    }
    doc_destroy(doc);
    assert_int_equal(world.site_count, 10);
    assert_price(site_of(&world, "aws/us-east-1")->cpu_price, "0.02");
    assert_true(rtt_us(&world, "aws/us-east-1", "aws/eu-central-1") > 0);
    for (int i = 0; i < world.site_count; i++) {
        struct site *site = &world.sites[i];
        assert_true(site->tier == TIER_CLIENT || site->account >= 0);
        assert_non_null(measures_find(&site->measures, "carbon"));
    }
    arena_done(&arena);
}

/* Running out of memory at any allocation is an error, never half a world. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char document[] = "world: w\naccounts: [{name: a, provider: aws}]\n"
                                   "use: [aws/us-east-1, aws/us-east-2]\n";
    bool done = false;
    for (int64_t after = 0; !done; after++) {
        struct arena arena;
        struct world world = {.name = "untouched"};
        struct error err = {0};
        arena_init(&arena, ARENA_BYTES);
        arena.fail_after = after;
        int rc = world_parse("w.yaml", document, sizeof(document) - 1, &arena, &world, &err);
        done = rc == 0;
        if (!done) {
            assert_int_equal(rc, ERR_NO_MEMORY);
            assert_string_equal(world.name, "untouched");
        }
        arena_done(&arena);
    }
}

/* ---- against the data that it was made from ---- */

static FILE *open_data(const char *name)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s%s", DATA, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        print_message("%s is not there: not compared with it\n", path);
        skip();
    }
    return file;
}

/* Divides a line at its commas, in place; the count. */
static int fields_of(char *line, char *fields[], int max)
{
    int count = 0;
    char *rest = line;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *field = strsep(&rest, ","); field != NULL && count < max;
         field = strsep(&rest, ",")) {
        fields[count++] = field;
    }
    return count;
}

/* "gcp:us-west1-a" -> "gcp/us-west1": the zone is left out. */
static int grid_site(const struct world *world, const char *text)
{
    char name[LIMIT_REF_BYTES];
    str_format(name, sizeof(name), "%s", text);
    char *colon = strchr(name, ':');
    assert_non_null(colon);
    *colon = '/';
    size_t length = strlen(name);
    if (str_starts(name, "gcp/") && length > 2 && name[length - 2] == '-') {
        name[length - 2] = '\0';
    }
    int site = world_site(world, name);
    if (site < 0) {
        fail_msg("the grid's %s is no site", text);
    }
    return site;
}

/* São Paulo has a tariff in the catalogue but no known price: the test's world adds the site. */
static void test_egress_grid(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    char line[LINE_BYTES];
    FILE *file = open_data("egress/skyplane_cost_grid.csv");
    parse("world: grid\n"
          "accounts: [{name: aws, provider: aws}, {name: az, provider: azure}, {name: g, provider: "
          "gcp}]\n"
          "use: [aws/*, azure/*, gcp/*]\n"
          "sites:\n"
          "  - {name: aws/sa-east-1, like: aws/us-east-1,\n"
          "     tags: {tariff: aws-sao-paulo, continent: south-america, country: br}}\n",
          &arena, &world);
    int compared = 0;
    assert_non_null(fgets(line, sizeof(line), file));
    while (fgets(line, sizeof(line), file) != NULL) {
        char *fields[5];
        assert_int_equal(fields_of(line, fields, 5), 5);
        int from = grid_site(&world, fields[0]);
        int to = grid_site(&world, fields[1]);
        struct decimal wanted;
        assert_int_equal(decimal_parse(fields[4], &wanted, NULL), 0);
        const struct decimal *price = first_price(&world, from, to);
        if (price == NULL ? wanted.coefficient != 0 : decimal_compare(*price, wanted) != 0) {
            char text[DECIMAL_TEXT_BYTES];
            fail_msg("%s to %s: %s in the grid, %s here", fields[0], fields[1], fields[4],
                     price == NULL ? "nothing" : decimal_format(*price, text));
        }
        compared++;
    }
    (void)fclose(file);
    assert_int_equal(compared, 63 * 63);
    arena_done(&arena);
}

/* A VM's price is exactly its vCPUs and GiBs at the catalogue's prices. */
static void compare_vm(const struct world *world, const char *name, int vcpus, int gib,
                       const char *price)
{
    const struct site *site = site_of(world, name);
    struct decimal wanted;
    int64_t cpu = 0;
    int64_t memory = 0;
    int64_t whole = 0;
    assert_int_equal(decimal_parse(price, &wanted, NULL), 0);
    assert_int_equal(decimal_scaled(site->cpu_price, 12, &cpu), 0);
    assert_int_equal(decimal_scaled(site->memory_price, 12, &memory), 0);
    assert_int_equal(decimal_scaled(wanted, 12, &whole), 0);
    if (vcpus * cpu + gib * memory != whole) {
        fail_msg("%s: %d vCPUs and %d GiB are not %s", name, vcpus, gib, price);
    }
}

static void test_prices(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    struct error err = {0};
    char line[LINE_BYTES];
    char name[LIMIT_REF_BYTES];
    char *fields[8];
    int compared = 0;
    FILE *file = open_data("prices/aws_m6i.xlarge_by_region.csv");
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(catalogue_world(&arena, &world, &err), 0);
    assert_non_null(fgets(line, sizeof(line), file));
    for (; fgets(line, sizeof(line), file) != NULL; compared++) {
        assert_true(fields_of(line, fields, 8) >= 4);
        str_format(name, sizeof(name), "aws/%s", fields[0]);
        compare_vm(&world, name, 4, 16, fields[3]);
    }
    (void)fclose(file);
    assert_int_equal(compared, 22);
    file = open_data("prices/azure_subset.csv");
    compared = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        assert_int_equal(fields_of(line, fields, 8), 3);
        if (str_equal(fields[1], "Standard_D4s_v5")) {
            str_format(name, sizeof(name), "azure/%s", fields[0]);
            compare_vm(&world, name, 4, 16, fields[2]);
            compared++;
        }
    }
    (void)fclose(file);
    assert_int_equal(compared, 57);
    arena_done(&arena);
}

static void test_gcp_index(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    struct error err = {0};
    struct doc *doc = NULL;
    (void)fclose(open_data("prices/gcp_region_price_index.json"));
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(catalogue_world(&arena, &world, &err), 0);
    assert_int_equal(doc_read_file(DATA "prices/gcp_region_price_index.json", &doc, &err), 0);
    const struct doc_node *root = doc_root(doc);
    assert_int_equal(doc_count(root), 40);
    for (size_t i = 0; i < doc_count(root); i++) {
        char name[LIMIT_REF_BYTES];
        struct decimal price;
        str_format(name, sizeof(name), "gcp/%s", doc_key(root, i));
        assert_true(doc_price(doc, doc_item(root, i), "gce", DOC_REQUIRED, &price));
        assert_int_equal(decimal_compare(site_of(&world, name)->cpu_price, price), 0);
    }
    doc_destroy(doc);
    arena_done(&arena);
}

/* All of it: what the script would make of the data is what is there. */
static void test_made_by_script(void **state)
{
    (void)state;
    (void)fclose(open_data("latency/azure_rtt_p50_ms.csv"));
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("python3 is not there: script/catalogue was not run\n");
        skip();
    }
    assert_int_equal(system("PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 '" BERTH_SOURCE_DIR
                            "/script/catalogue' --check '" BERTH_SOURCE_DIR "/../shared/data'"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),          cmocka_unit_test(test_whole),
        cmocka_unit_test(test_figures),        cmocka_unit_test(test_override),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_example),        cmocka_unit_test(test_egress_grid),
        cmocka_unit_test(test_prices),         cmocka_unit_test(test_gcp_index),
        cmocka_unit_test(test_made_by_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
