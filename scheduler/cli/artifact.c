#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bus/jetstream.h"
#include "base/bus/subjects.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"

#define META_PREFIX "$O." BUCKET_ARTIFACTS ".M."

static int run_artifact(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err);
static int put(struct cli *cli, struct client *client, const char *name, const char *path,
               struct error *err);
static int list(struct cli *cli, struct client *client, struct error *err);
static int names_of(struct client *client, json_t **ret_names, struct error *err);
static bool name_of(const char *subject, char *out, size_t capacity);
static int print_list(const struct cli *cli, const json_t *items, struct error *err);

const struct command command_artifact = {
    .name = "artifact",
    .synopsis = "put NAME FILE | ls | rm NAME",
    .summary = "The workloads' files in the object store, which nodes anywhere fetch from",
    .text =
        "An app names one as artifact: object:artifacts/NAME. `berth apply --upload` does this by\n"
        "itself. It is an ordinary NATS object store, bucket \"artifacts\".\n",
    .examples = "  berth artifact put source-1.4 build/shop-source\n  berth artifact ls\n"
                "  berth artifact rm source-1.3\n",
    .words_min = 1,
    .words_max = 3,
    .words = {WORD_NONE},
    .run = run_artifact,
};

static int run_artifact(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err)
{
    (void)options;
    const char *verb = words->items[0];
    bool puts = str_equal(verb, "put") && words->count == 3;
    bool lists = str_equal(verb, "ls") && words->count == 1;
    bool removes = str_equal(verb, "rm") && words->count == 2;
    if (!puts && !lists && !removes)
        return error_set(err, ERR_INVALID, 0,
                         "write: berth artifact put NAME FILE, berth artifact ls, or berth "
                         "artifact rm NAME");
    if (puts && access(words->items[2], R_OK) < 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the file %s is not there, or cannot be read",
                         words->items[2]);
    CLEANUP(cleanup_client) struct client *client = NULL;
    int rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    if (puts)
        return put(cli, client, words->items[1], words->items[2], err);
    if (lists)
        return list(cli, client, err);
    return object_delete(client->bus, BUCKET_ARTIFACTS, words->items[1], err);
}

static int put(struct cli *cli, struct client *client, const char *name, const char *path,
               struct error *err)
{
    char digest[LIMIT_DIGEST_BYTES];
    int rc = object_put_file(client->bus, BUCKET_ARTIFACTS, name, path, digest, err);
    if (rc < 0)
        return rc;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json) {
        CLEANUP(cleanup_json)
        json_t *json = json_pack("{s:s,s:s}", "name", name, "digest", digest);
        char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
        strbuf_printf(&out, "%s\n", text == NULL ? "" : text);
        cleanup_free(&text);
    } else {
        strbuf_printf(&out, "artifact: object:%s/%s\ndigest: %s\n", BUCKET_ARTIFACTS, name, digest);
    }
    rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int list(struct cli *cli, struct client *client, struct error *err)
{
    CLEANUP(cleanup_json) json_t *names = NULL;
    int rc = names_of(client, &names, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_json) json_t *items = json_array();
    size_t index;
    json_t *each;
    json_array_foreach(names, index, each)
    {
        struct object_info info;
        rc = object_stat(client->bus, BUCKET_ARTIFACTS, json_string_value(each), &info, err);
        if (rc == ERR_NOT_FOUND)
            continue; /* removed: its last word stays in the stream */
        if (rc < 0)
            return rc;
        json_array_append_new(items, json_pack("{s:s,s:I,s:s}", "name", info.name, "bytes",
                                               (json_int_t)info.bytes, "digest", info.digest));
    }
    return print_list(cli, items, err);
}

/* The subjects of the bucket's stream hold the names, in base64. */
static int names_of(struct client *client, json_t **ret_names, struct error *err)
{
    static const char request[] = "{\"subjects_filter\":\"" META_PREFIX ">\"}";
    char *data = NULL;
    size_t bytes = 0;
    int rc = bus_call(client->bus, "$JS.API.STREAM.INFO.OBJ_" BUCKET_ARTIFACTS, request,
                      sizeof(request) - 1, client->timeout_us, &data, &bytes, err);
    if (rc < 0)
        return rc;
    json_error_t problem;
    CLEANUP(cleanup_json) json_t *info = json_loadb(data, bytes, 0, &problem);
    cleanup_free(&data);
    const json_t *trouble = json_object_get(info, "error");
    if (info == NULL || trouble != NULL)
        return error_set(err, ERR_NOT_FOUND, 0, "the bucket \"%s\" cannot be listed: %s",
                         BUCKET_ARTIFACTS,
                         info == NULL ? "no JSON came back" : json_text(trouble, "description"));
    json_t *names = json_array();
    const char *subject;
    json_t *count;
    json_object_foreach(json_object_get(json_object_get(info, "state"), "subjects"), subject, count)
    {
        char name[LIMIT_NAME_BYTES * 2];
        if (name_of(subject, name, sizeof(name)))
            json_array_append_new(names, json_string(name));
    }
    *ret_names = names;
    return 0;
}

static bool name_of(const char *subject, char *out, size_t capacity)
{
    size_t bytes = 0;
    if (!str_starts(subject, META_PREFIX))
        return false;
    const char *text = subject + strlen(META_PREFIX);
    if (sodium_base642bin((unsigned char *)out, capacity - 1, text, strlen(text), "=", &bytes, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    out[bytes] = 0;
    return strlen(out) == bytes;
}

static int print_list(const struct cli *cli, const json_t *items, struct error *err)
{
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    int rc = 0;
    if (cli->common.json) {
        char *text = json_dumps(items, JSON_COMPACT);
        strbuf_printf(&out, "{\"items\":%s}\n", text == NULL ? "[]" : text);
        cleanup_free(&text);
    } else if (json_array_size(items) == 0) {
        strbuf_puts(&out, "no artifacts\n");
    } else {
        struct table table;
        char size[SHOW_BYTES];
        size_t index;
        json_t *each;
        table_init(&table, "NAME|>SIZE|DIGEST");
        json_array_foreach(items, index, each)
        {
            table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "name"));
            table_cell(&table, STYLE_PLAIN, "%s", show_bytes(json_number(each, "bytes"), size));
            table_cell(&table, STYLE_DIM, "%s", json_text(each, "digest"));
        }
        rc = table_write(&table, cli->color, &out, err);
        table_done(&table);
    }
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}
