/*
 * `berth prices import`, `show`, `history` and `export` as people run them: from files, and from a
 * server on the loopback through the real berth-probe, with what servers do: pages, ETags, gzip,
 * cuts, 429, silence, redirects and pages in circles, links elsewhere, damaged lists. After every
 * failure the price book is byte for byte what it was.
 */
#include <fcntl.h>
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
#include <zlib.h>

#include "base/str.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/completion.h"
#include "scheduler/cli/prices_command.h"
#include "scheduler/cli/prices_feed.h"
#include "scheduler/cli/prices_fetch.h"
#include "scheduler/cli/prices_store.h"
#include "tests/live/feed_server.h"

#define OUTPUT_BYTES (1 << 20)
#define WORDS_MAX    24
#define ROUTES_MAX   12
#define FILES        BERTH_SOURCE_DIR "/tests/unit/feeds/"

static char output[OUTPUT_BYTES];
static char folder[256];
static char book[300];
static char base[64];
static struct feed_route routes[ROUTES_MAX + 1];
static char *texts[ROUTES_MAX];

/* Runs `berth prices WORDS... --book BOOK`; what it printed is in `output`. */
static int prices(const char *first, ...)
{
    char *argv[WORDS_MAX + 4] = {(char *)(uintptr_t) "berth", (char *)(uintptr_t) "prices",
                                 (char *)(uintptr_t)first};
    int argc = 3;
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
    output[bytes] = 0;
    assert_int_equal(fclose(file), 0);
    return rc;
}

static void says(const char *wanted)
{
    if (strstr(output, wanted) == NULL)
        fail_msg("\"%s\" is not in:\n%s", wanted, output);
}

static void is_code(int code, int wanted)
{
    if (code != wanted)
        fail_msg("ended with %d instead of %d:\n%s", code, wanted, output);
}

static char *file_text(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return strdup("");
    char *text = calloc(1, OUTPUT_BYTES);
    assert_non_null(text);
    (void)!fread(text, 1, OUTPUT_BYTES - 1, file);
    (void)fclose(file);
    return text;
}

static char *book_text(void)
{
    char path[400];
    str_format(path, sizeof(path), "%s/book.json", book);
    return file_text(path);
}

/* A list of tests/unit/feeds with one piece of its text replaced, as a file. */
static const char *edited(const char *name, const char *from, const char *to)
{
    static char path[512];
    char *text = NULL;
    str_format(path, sizeof(path), FILES "%s", name);
    text = file_text(path);
    const char *at = strstr(text, from);
    assert_non_null(at);
    str_format(path, sizeof(path), "%s/edited", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    assert_int_equal(fclose(file), 0);
    free(text);
    return path;
}

/* The next route serves a list, with BASE replaced by the server's address. */
static struct feed_route *serve(const char *path, const char *name, const char *etag)
{
    int at = 0;
    while (routes[at].path != NULL)
        at++;
    assert_true(at < ROUTES_MAX);
    char file[512];
    str_format(file, sizeof(file), FILES "%s", name);
    char *text = name[0] == '{' ? strdup(name) : file_text(file);
    char *place = strstr(text, "BASE");
    if (place != NULL) {
        size_t bytes = strlen(text) + sizeof(base);
        char *full = malloc(bytes);
        assert_non_null(full);
        str_format(full, bytes, "%.*s%s%s", (int)(place - text), text, base, place + 4);
        free(text);
        text = full;
    }
    texts[at] = text;
    routes[at] = (struct feed_route){.path = path, .body = text, .etag = etag};
    return &routes[at];
}

static int setup(void **state)
{
    (void)state;
    memset(routes, 0, sizeof(routes));
    str_format(folder, sizeof(folder), "%s/prices-XXXXXX", BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(folder));
    str_format(book, sizeof(book), "%s/a/book", folder);
    assert_int_equal(setenv("BERTH_PRICES", book, 1), 0);
    str_format(base, sizeof(base), "http://127.0.0.1:%d", feed_server_start(routes));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[600];
    feed_server_stop();
    for (int i = 0; i < ROUTES_MAX; i++) {
        free(texts[i]);
        texts[i] = NULL;
    }
    str_format(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

static void test_files(void **state)
{
    (void)state;
    is_code(prices("show", NULL), 1);
    says("berth prices import FEED makes one");
    is_code(prices("import", "aws", FILES "aws_ec2.csv", FILES "aws_dt.csv", NULL), 0);
    says("AWS price list: 2 lists");
    says("8 figures are new, 0 changed, 0 the same, 0 held back, 0 gone");
    is_code(prices("import", "aws", FILES "aws_ec2.csv", FILES "aws_dt.csv", NULL), 0);
    says("0 figures are new, 0 changed, 8 the same");
    is_code(prices("import", "azure", FILES "azure_p1.json", FILES "azure_p2.json", NULL), 0);
    is_code(prices("import", "gcp", FILES "gcp_p1.json", FILES "gcp_p2.json", NULL), 0);
    is_code(prices("import", "opencost", FILES "opencost.json", "--site", "own/berlin", NULL), 0);
    is_code(prices("import", "skypilot", FILES "sky_azure.csv", "--provider", "azure", "--dry-run",
                   NULL),
            0);
    says("a dry run");
    is_code(prices("show", "own/berlin", NULL), 0);
    says("own/berlin egress internet");
    says("$0.12");
    is_code(prices("show", "aws/us-east-2", "--json", NULL), 0);
    json_t *json = json_loads(output, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_array_size(json_object_get(json, "figures")), 8);
    json_decref(json);
    is_code(prices("show", "aws/nowhere", NULL), 1);
    says("no figure of \"aws/nowhere\"");
    is_code(prices("show", "gcp/*", NULL), 0);
    says("gcp/us-central1 egress emea");
    is_code(prices("diff", "catalogue", "imported", NULL), CLI_CHANGES);
    says("aws-us-east-2-to-internet");
    says("0.031248");
    assert_null(strstr(output, "gone"));
    is_code(prices("aws/us-east-2", "--world", "imported", NULL), 0);
    says("vCPU     $0.0315 an hour");
}

/* What a regular import keeps away from the book, and a person's look at it. */
static void test_held(void **state)
{
    (void)state;
    is_code(prices("import", "aws", FILES "aws_dt.csv", NULL), 0);
    const char *wild = edited("aws_dt.csv", "\"0.0900000000\"", "\"90\"");
    is_code(prices("import", "aws", wild, NULL), CLI_CHANGES);
    says("0 figures are new, 0 changed, 2 the same, 1 held back");
    says("$90 is more than 3 times above $0.09, the last good one");
    is_code(prices("show", NULL), 0);
    says("aws/us-east-2 egress internet !");
    says("$0.09, $0.085 from 10240");
    says("is held back since");
    is_code(prices("import", "aws", wild, "--accept", "zone", NULL), CLI_CHANGES);
    is_code(prices("import", "aws", wild, "--accept", "egress internet$", "--json", NULL), 0);
    json_t *json = json_loads(output, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(json, "changed")), 1);
    json_decref(json);
    is_code(prices("history", "aws/us-east-2", NULL), 0);
    says("$0.09, $0.085 from 10240");
    says("$90, $0.085 from 10240");
    is_code(prices("import", "aws", FILES "aws_dt.csv", "--factor", "1001", NULL), 0);
    is_code(prices("import", "aws", edited("aws_dt.csv", "\"0.0200000000\"", "\"0.00\""), NULL),
            CLI_CHANGES);
    says("it would cost nothing; it was $0.02");
    is_code(prices("import", "aws",
                   edited("aws_dt.csv", "\"10240\",\"51200\"", "\"20480\",\"51200\""), NULL),
            CLI_CHANGES);
    says("its steps do not meet");
    is_code(prices("import", "aws", edited("aws_dt.csv", "\"GB\",\"0.02", "\"\",\"0.02"), NULL),
            CLI_CHANGES);
    says("its unit is not GB");
}

static void test_words(void **state)
{
    (void)state;
    static const char *const cases[][6] = {
        {"import", NULL, NULL, NULL, NULL, "which list?"},
        {"import", "oracle", NULL, NULL, NULL, "there is no feed \"oracle\""},
        {"import", "aws", NULL, NULL, NULL, "--region us-east-1"},
        {"import", "opencost", FILES "opencost.json", NULL, NULL, "--site provider/region"},
        {"import", "skypilot", FILES "sky_aws.csv", NULL, NULL, "--provider aws"},
        {"import", "aws", FILES "aws_dt.csv", "--factor", "1", "a number above 1"},
        {"import", "aws", FILES "aws_dt.csv", "--accept", "(", "no regular expression"},
        {"import", "aws", FILES "aws_dt.csv", "--from", "http://x", "files or --from"},
        {"import", "aws", "/nonexistent.csv", NULL, NULL, "/nonexistent.csv"},
        {"import", "azure", FILES "gcp_p1.json", NULL, NULL, "another format"},
        {"import", "aws", FILES "opencost.json", NULL, NULL, "another format"},
        {"import", "aws", "--region", "US East", NULL, "no name of a region"},
        {"export", "--term", "weekly", NULL, NULL, "one of on-demand, spot"},
        {"export", "x", NULL, NULL, NULL, "too much"},
        {"export", "--term", "spot", NULL, NULL, "has no spot price"},
        {"export", "aws/us-east-2", "--term", "3y", NULL, "no 3y price of aws/us-east-2"},
        {"export", NULL, NULL, NULL, NULL, "no site of the price book"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        is_code(prices(cases[i][0], cases[i][1], cases[i][2], cases[i][3], cases[i][4], NULL), 1);
        says(cases[i][5]);
    }
    struct strbuf out;
    strbuf_init(&out, 65536);
    completion_words(NULL, (const char *const[]){"berth", "prices", "im"}, 3, 2, &out);
    assert_non_null(strstr(strbuf_text(&out), "import"));
    strbuf_done(&out);
}

static void serve_aws(void)
{
    (void)serve("/offers/v1.0/aws/AmazonEC2/current/region_index.json",
                "{\"regions\":{\"us-east-2\":{\"regionCode\":\"us-east-2\",\"currentVersionUrl\":"
                "\"/offers/v1.0/aws/AmazonEC2/7/us-east-2/index.json\"}}}",
                NULL);
    (void)serve("/offers/v1.0/aws/AmazonEC2/7/us-east-2/index.csv", "aws_ec2.csv", "\"ec2\"");
    (void)serve("/offers/v1.0/aws/AWSDataTransfer/current/region_index.json",
                "{\"regions\":{\"us-east-2\":{\"regionCode\":\"us-east-2\",\"currentVersionUrl\":"
                "\"/offers/v1.0/aws/AWSDataTransfer/7/us-east-2/index.json\"}}}",
                NULL);
    (void)serve("/offers/v1.0/aws/AWSDataTransfer/7/us-east-2/index.csv", "aws_dt.csv", "\"dt\"");
    (void)serve("/savingsPlan/v1.0/aws/AWSComputeSavingsPlan/current/region_index.json",
                "{\"regions\":[{\"regionCode\":\"us-east-2\",\"versionUrl\":\"/savings.json\"}]}",
                NULL);
    (void)serve("/savings.json", "aws_savings.json", NULL);
}

static void test_aws_web(void **state)
{
    (void)state;
    serve_aws();
    routes[1].fault = FEED_CUT;
    routes[3].fault = FEED_BUSY;
    is_code(prices("import", "aws", "--from", base, "--region", "us-east-2", NULL), 0);
    says("8 figures are new");
    assert_int_equal(routes[1].resumed, 1);
    /* The second time nothing is sent again. */
    is_code(prices("import", "aws", "--from", base, "--region", "us-east-2", "--savings", NULL), 0);
    says("8 the same");
    says("2 unchanged since the last time");
    assert_int_equal(routes[1].same, 1);
    assert_int_equal(routes[5].hits, 1);
    is_code(prices("import", "aws", "--from", base, "--region", "eu-west-1", NULL), 1);
    says("has no list of the region eu-west-1");
}

static void test_azure_web(void **state)
{
    (void)state;
    struct feed_route *second = serve(
        "/api/retail/prices?api-version=2023-01-01-preview&$skip=1000", "azure_p2.json", NULL);
    struct feed_route *first = serve("/api/retail/prices", "azure_p1.json", NULL);
    /* Each of the three services is asked for; this server answers all with the same pages. */
    is_code(prices("import", "azure", "--from", base, "--region", "eastus", NULL), 1);
    says("lead in a circle");
    assert_int_equal(first->hits, 2);
    assert_int_equal(second->hits, 1);
    char *text = book_text();
    assert_string_equal(text, "");
    free(text);
    /* A link to another server is not followed. */
    char *elsewhere = strdup(first->body);
    char *link = strstr(elsewhere, "127.0.0.1");
    memcpy(link, "127.0.0.2", 9);
    first->body = elsewhere;
    is_code(prices("import", "azure", "--from", base, "--region", "eastus", NULL), 1);
    says("leads on to another server");
    free(elsewhere);
    /* One that is relative is. */
    char *last = strdup(texts[1]);
    char *next = strstr(last, "\"http");
    const char *tail = strstr(next + 1, "\"");
    memmove(next, "null", 4);
    memmove(next + 4, tail + 1, strlen(tail + 1) + 1);
    first->body = last;
    is_code(prices("import", "azure", "--from", base, "--region", "eastus", NULL), 0);
    free(last);
}

static void test_gcp_web(void **state)
{
    (void)state;
    char path[512];
    struct feed_route *second =
        serve("/v1/services/6F81-5844-456A/skus?pageSize=5000&pageToken=page%2B2%2F%3D",
              "gcp_p2.json", NULL);
    struct feed_route *first = serve("/v1/services/6F81-5844-456A/skus", "gcp_p1.json", NULL);
    first->fault = FEED_KEY;
    is_code(prices("import", "gcp", "--from", base, NULL), 1);
    says("status 403; does it want a key");
    str_format(path, sizeof(path), "%s/key", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("X-Key: secret\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    is_code(prices("import", "gcp", "--from", base, "--key-file", path, NULL), 0);
    says("10 figures are new");
    assert_int_equal(second->hits, 1);
    is_code(
        prices("import", "gcp", "--from", base, "--key-file", path, "--region", "us-east1", NULL),
        0);
    says("3 the same");
}

/* What an export of the book says of the price of bytes between two sites of a provider. */
static void is_egress(const char *from, const char *to, const char *price)
{
    is_code(prices(from, "--to", to, "--world", "imported", NULL), 0);
    if (strstr(output, price) == NULL)
        fail_msg("%s to %s is not %s:\n%s", from, to, price, output);
}

static void test_regions_web(void **state)
{
    (void)state;
    (void)serve("/v1/services/6F81-5844-456A/skus?pageSize=5000&pageToken=page%2B2%2F%3D",
                "gcp_net.json", NULL);
    (void)serve("/v1/services/6F81-5844-456A/skus", "gcp_p1.json", NULL);
    is_code(prices("import", "gcp", "--from", base, "--region", "us-central1", NULL), 0);
    says("1 lead to a place that no region of the list is called, and are left out");
    is_code(prices("show", NULL), 0);
    says("gcp/us-central1 egress gcp/europe-west4");
    says("gcp/us-central1 egress gcp/us-east1");
    assert_null(strstr(output, "egress gcp/us-central1"));
    assert_null(strstr(output, "gcp/us-east1 cpu"));
    assert_null(strstr(output, "$0.09"));
    is_egress("gcp/us-central1", "gcp/europe-west4", "$0.05");
    is_egress("gcp/us-central1", "gcp/us-east1", "$0.02");
    is_code(prices("import", "azure", FILES "azure_net.json", FILES "azure_p2.json", NULL), 0);
    is_egress("azure/eastus", "azure/westus3", "$0.02");
    is_egress("azure/eastus", "azure/westeurope", "$0.05");
    is_egress("azure/eastus", "aws/us-east-1", "$0.0875");
}

/* A list that is without something it had: told, marked, and the price stays. */
static void test_gone(void **state)
{
    (void)state;
    static const char more[] = "m6i.xlarge,,,4,16,,0.2,0.07,eu-west-1,eu-west-1a,x86_64\n"
                               "c6i.xlarge,,,4,8,,0.18,0.06,eu-west-1,eu-west-1a,x86_64\n";
    struct feed_route *list = serve("/aws/vms.csv", "sky_aws.csv", NULL);
    const char *less = texts[0];
    char whole[8192];
    str_format(whole, sizeof(whole), "%s%s", less, more);
    list->body = whole;
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, NULL), 0);
    list->body = less;
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, "--dry-run", NULL),
            CLI_CHANGES);
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, "--json", NULL),
            CLI_CHANGES);
    json_t *json = json_loads(output, 0, NULL);
    assert_non_null(json);
    assert_true(json_integer_value(json_object_get(json, "gone")) > 0);
    json_decref(json);
    /* Told once; marked until it is back. */
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, NULL), 0);
    says(" 0 gone");
    is_code(prices("show", NULL), 0);
    says("aws/eu-west-1 cpu ?");
    says("? aws/eu-west-1 cpu is in its list no more, since ");
    list->body = whole;
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, NULL), 0);
    is_code(prices("show", NULL), 0);
    assert_null(strstr(output, "no more"));
    /* Files that are another part of a list say nothing of the rest. */
    is_code(prices("import", "aws", FILES "aws_ec2.csv", FILES "aws_dt.csv", NULL), 0);
    is_code(prices("import", "aws", FILES "aws_dt.csv", NULL), 0);
}

/* The spot prices of one site, the rest on demand. */
static void test_spot(void **state)
{
    (void)state;
    is_code(prices("import", "azure", FILES "azure_p1.json", FILES "azure_p2.json", NULL), 0);
    is_code(prices("export", "--term", "spot", "azure/eastus", NULL), 0);
    json_t *json = json_loads(output, 0, NULL);
    assert_non_null(json);
    json_t *sites = json_object_get(json, "sites");
    assert_int_equal(json_array_size(sites), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *site = json_array_get(sites, i);
        bool east = str_equal(json_string_value(json_object_get(site, "name")), "azure/eastus");
        const char *price =
            json_string_value(json_object_get(json_object_get(site, "price"), "cpu"));
        assert_non_null(price);
        is_code(prices("show", east ? "azure/eastus" : "azure/westus3", NULL), 0);
        char line[160];
        str_format(line, sizeof(line), "azure/%s cpu%s", east ? "eastus" : "westus3",
                   east ? " spot" : " ");
        const char *at = strstr(output, line);
        assert_non_null(at);
        const char *end = strchr(at, '\n');
        const char *found = strstr(at, price);
        assert_true(found != NULL && found < end);
    }
    json_decref(json);
    is_code(prices("export", "--term", "spot", "azure/westus3", NULL), 1);
    says("no spot price of azure/westus3");
}

static size_t pack(const char *text, char *out, size_t capacity)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)text,
                       .avail_in = (uInt)strlen(text),
                       .next_out = (Bytef *)out,
                       .avail_out = (uInt)capacity};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t packed = stream.total_out;
    (void)deflateEnd(&stream);
    return packed;
}

/* Every fault ends in a sentence, and leaves the book as it was. */
static void test_faults(void **state)
{
    (void)state;
    char packed[65536];
    struct feed_route *list = serve("/aws/vms.csv", "sky_aws.csv", "\"one\"");
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, NULL), 0);
    char *before = book_text();
    char *plain = texts[0];
    static const struct {
        enum feed_fault fault;
        const char *timeout;
        const char *says;
    } faults[] = {
        {FEED_LOOP, "1h", "redirects again and again"},
        {FEED_GONE, "1h", "status 404; is the base URL right?"},
        {FEED_HANG, "1s", "no time left for one more try"},
    };
    list->etag = "\"two\"";
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        list->fault = faults[i].fault;
        is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, "--fetch-timeout",
                       faults[i].timeout, NULL),
                1);
        says(faults[i].says);
        says("/aws/vms.csv");
    }
    list->fault = FEED_GOOD;
    list->headers = "Content-Encoding: gzip\r\n";
    list->bytes = pack(plain, packed, sizeof(packed));
    list->body = packed;
    packed[list->bytes / 2] ^= 0x55;
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, NULL), 1);
    says("gzip is damaged");
    packed[list->bytes / 2] ^= 0x55;
    list->bytes -= 30;
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, NULL), 1);
    says("gzip is damaged or was cut");
    list->bytes += 30;
    char *after = book_text();
    assert_string_equal(before, after);
    free(after);
    /* The damaged list is not taken for the one that is known: it comes again. */
    int same = list->same;
    is_code(prices("import", "skypilot", "--provider", "aws", "--from", base, NULL), 0);
    says("4 the same");
    assert_int_equal(list->same, same);
    free(before);
}

static void test_store(void **state)
{
    (void)state;
    char path[400];
    struct error err;
    int lock = -1;
    is_code(prices("import", "skypilot", FILES "sky_aws.csv", "--provider", "aws", NULL), 0);
    assert_int_equal(prices_store_lock(book, &lock, &err), 0);
    is_code(prices("import", "skypilot", FILES "sky_aws.csv", "--provider", "aws", NULL), 1);
    says("another import writes to");
    (void)close(lock);
    /* A world of one's own is brought up to date. */
    str_format(path, sizeof(path), "%s/world.yaml", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("world: mine\naccounts: [{name: a, provider: aws}]\nuse: [aws/us-east-1]\n",
                      file) >= 0);
    assert_int_equal(fclose(file), 0);
    is_code(prices("export", "--world", path, NULL), 0);
    says("2 figures of mine are others in the price book");
    says("SkyPilot catalogue: least squares of 4 shapes");
    is_code(prices("export", "--term", "spot", NULL), 0);
    says("\"cpu\":\"0.012760938\"");
    str_format(path, sizeof(path), "%s/book.json", book);
    assert_int_equal(truncate(path, 100), 0);
    is_code(prices("show", NULL), 1);
    says("is no price book that can be read; move it away");
    is_code(prices("import", "skypilot", FILES "sky_aws.csv", "--provider", "aws", NULL), 1);
    struct prices_fetch fetch = {.folder = book, .program = "/bin/false", .timeout_us = 1};
    char got[LIMIT_PATH_BYTES];
    char etag[LIMIT_TEXT_BYTES];
    assert_int_equal(prices_fetch(&fetch, "http://127.0.0.1/x", got, etag, &err), ERR_IO);
    assert_non_null(strstr(err.text, "berth-probe ended without a word"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_files),     CASE(test_held),    CASE(test_words),       CASE(test_aws_web),
        CASE(test_azure_web), CASE(test_gcp_web), CASE(test_regions_web), CASE(test_gone),
        CASE(test_spot),      CASE(test_faults),  CASE(test_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
