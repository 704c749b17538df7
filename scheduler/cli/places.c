#include "scheduler/cli/places.h"

#include <string.h>

#include "base/doc.h"
#include "model/app.h"
#include "model/catalogue.h"
#include "model/world.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/prices_store.h"
#include "scheduler/cli/show.h"

#define PLACES_BYTES ((size_t)512 << 20)

const char *const places_from_words[] = {"catalogue", "file", "live"};

static int read_file(const char *path, struct places *places, struct error *err);
static int read_imported(const struct cli *cli, struct places *places, struct error *err);
static int read_live(const struct cli *cli, struct places *places, struct error *err);
static int ask(struct client *client, const char *kind, const struct reference *reference,
               struct client_reply *ret_reply, struct error *err);
static int read_live_world(const json_t *items, struct places *places, struct error *err);
static int read_live_estimates(const json_t *items, struct places *places, struct error *err);
static int read_live_apps(struct client *client, const json_t *items, struct places *places,
                          struct error *err);
static int read_live_app(struct client *client, const json_t *item, struct places *places,
                         struct error *err);
static int place_app(const json_t *item, struct places *places, const struct app *app,
                     struct cost_app *running, struct error *err);
static int out_of_memory(struct error *err);

int places_open(const struct cli *cli, const char *what, struct places *ret_places,
                struct error *err)
{
    struct places places = {.from = PLACES_CATALOGUE};
    arena_init(&places.arena, PLACES_BYTES);
    int rc = 0;
    if (what == NULL || str_equal(what, "catalogue")) {
        rc = catalogue_world(&places.arena, &places.world, err);
    } else if (str_equal(what, "live")) {
        places.from = PLACES_LIVE;
        rc = read_live(cli, &places, err);
    } else if (str_equal(what, "imported")) {
        places.from = PLACES_FILE;
        rc = read_imported(cli, &places, err);
    } else {
        places.from = PLACES_FILE;
        rc = read_file(what, &places, err);
    }
    if (rc < 0)
        places_done(&places);
    else
        *ret_places = places;
    return rc;
}

void places_done(struct places *places)
{
    arena_done(&places->arena);
}

void cleanup_places(struct places *places)
{
    places_done(places);
}

int places_site(const struct world *world, const char *name, struct error *err)
{
    const char *names[LIMIT_SITES];
    int site = world_site(world, name);
    if (site >= 0)
        return site;
    for (int i = 0; i < world->site_count; i++)
        names[i] = world->sites[i].name;
    const char *nearest = str_nearest(name, names, (size_t)world->site_count);
    return error_set(err, ERR_NOT_FOUND, 0, "there is no site \"%.140s\" in %s%s%s%s", name,
                     world->name, nearest == NULL ? "; berth sites lists them" : "; did you mean ",
                     nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
}

int64_t places_rtt_us(const struct places *places, int from, int to, const char **ret_how)
{
    const struct world *world = &places->world;
    struct cost_input input = {.world = world, .estimates = places->estimates};
    bool measured = false;
    int64_t rtt_us = cost_rtt_us(&input, from, to, &measured);
    bool stated = world->rtt_us[from * world->site_count + to] >= 0;
    *ret_how = rtt_us < 0                                   ? "unknown"
               : !stated && !measured                       ? "estimated"
               : measured && places->from == PLACES_LIVE    ? "measured"
               : stated && places->from == PLACES_CATALOGUE ? "measured"
                                                            : "declared";
    return rtt_us;
}

static int read_file(const char *path, struct places *places, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(path, &doc, err);
    return rc < 0 ? rc : world_from_doc(doc, &places->arena, &places->world, err);
}

static int read_imported(const struct cli *cli, struct places *places, struct error *err)
{
    char folder[LIMIT_PATH_BYTES];
    struct strbuf text;
    strbuf_init(&text, CLI_TEXT_BYTES);
    int rc = prices_store_folder(cli, NULL, folder, err);
    if (rc == 0)
        rc = prices_store_world(folder, &(struct book_view){.term = FEED_ON_DEMAND, .whole = true},
                                &text, err);
    if (rc == 0)
        rc = world_parse("the price book", strbuf_text(&text), text.bytes, &places->arena,
                         &places->world, err);
    strbuf_done(&text);
    return rc;
}

static int read_live(const struct cli *cli, struct places *places, struct error *err)
{
    static const char *const kinds[] = {"world", "estimates", "apps"};
    CLEANUP(cleanup_client) struct client *client = NULL;
    int rc = client_open(cli, &client, err);
    for (size_t i = 0; rc == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct client_reply reply = {.json = NULL};
        rc = ask(client, kinds[i], NULL, &reply, err);
        const json_t *items = json_object_get(reply.json, "items");
        if (rc == 0)
            rc = i == 0   ? read_live_world(items, places, err)
                 : i == 1 ? read_live_estimates(items, places, err)
                          : read_live_apps(client, items, places, err);
        client_reply_done(&reply);
    }
    return rc;
}

static int ask(struct client *client, const char *kind, const struct reference *reference,
               struct client_reply *ret_reply, struct error *err)
{
    struct message_request request;
    client_request_init(&request, reference);
    str_format(request.kind, sizeof(request.kind), "%s", kind);
    return client_call(client, "get", &request, ret_reply, err);
}

static int read_live_world(const json_t *items, struct places *places, struct error *err)
{
    if (json_array_size(items) == 0)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "the scheduler has no world yet; berth apply -f WORLD gives it one");
    CLEANUP(cleanup_free) char *text = json_dumps(json_array_get(items, 0), JSON_COMPACT);
    if (text == NULL)
        return out_of_memory(err);
    return world_parse("the scheduler's world.json", text, strlen(text), &places->arena,
                       &places->world, err);
}

static int read_live_estimates(const json_t *items, struct places *places, struct error *err)
{
    size_t index;
    json_t *each;
    struct estimate *list =
        arena_array(&places->arena, json_array_size(items) + 1, sizeof(struct estimate));
    if (list == NULL)
        return out_of_memory(err);
    int count = 0;
    json_array_foreach(items, index, each)
    {
        struct estimate *estimate = &list[count];
        int kind = 0;
        while (kind < ESTIMATE_COUNT &&
               !str_equal(estimate_kind_words[kind], json_text(each, "kind")))
            kind++;
        if (kind == ESTIMATE_COUNT)
            continue; /* of a newer scheduler */
        estimate->kind = (enum estimate_kind)kind;
        if (str_copy(estimate->namespace_, LIMIT_NAME_BYTES, json_text(each, "namespace")) < 0 ||
            str_copy(estimate->app, LIMIT_NAME_BYTES, json_text(each, "app")) < 0 ||
            str_copy(estimate->workload, LIMIT_NAME_BYTES, json_text(each, "workload")) < 0 ||
            str_copy(estimate->site, LIMIT_REF_BYTES, json_text(each, "site")) < 0 ||
            str_copy(estimate->peer, LIMIT_REF_BYTES, json_text(each, "peer")) < 0)
            return error_set(err, ERR_CORRUPT, 0,
                             "a name in the scheduler's estimates is too long");
        estimate->value = json_number(each, "value");
        count++;
    }
    places->estimates = (struct estimates){list, count};
    return 0;
}

static int read_live_apps(struct client *client, const json_t *items, struct places *places,
                          struct error *err)
{
    size_t count = json_array_size(items) + 1;
    size_t index;
    json_t *each;
    int rc = 0;
    places->apps = arena_array(&places->arena, count, sizeof(struct app));
    places->running = arena_array(&places->arena, count, sizeof(struct cost_app));
    if (places->apps == NULL || places->running == NULL)
        return out_of_memory(err);
    json_array_foreach(items, index, each)
    {
        if (rc == 0)
            rc = read_live_app(client, each, places, err);
    }
    return rc;
}

static int read_live_app(struct client *client, const json_t *item, struct places *places,
                         struct error *err)
{
    struct reference reference = {.workload = ""};
    struct client_reply reply = {.json = NULL};
    struct app *app = &places->apps[places->app_count];
    if (str_copy(reference.namespace_, LIMIT_NAME_BYTES, json_text(item, "namespace")) < 0 ||
        str_copy(reference.app, LIMIT_NAME_BYTES, json_text(item, "name")) < 0)
        return error_set(err, ERR_CORRUPT, 0, "the name of an app is too long");
    int rc = ask(client, "app", &reference, &reply, err);
    const json_t *document =
        json_object_get(json_array_get(json_object_get(reply.json, "items"), 0), "document");
    if (rc == 0 && document != NULL) { /* else it was deleted since */
        CLEANUP(cleanup_free) char *text = json_dumps(document, JSON_COMPACT);
        rc = text == NULL ? out_of_memory(err)
                          : app_parse("the scheduler's app.json", text, strlen(text),
                                      &places->arena, app, err);
        if (rc == 0)
            rc = place_app(item, places, app, &places->running[places->app_count], err);
        if (rc == 0)
            places->app_count++;
    }
    client_reply_done(&reply);
    return rc;
}

/* Where its workloads run now, as `get apps` tells. */
static int place_app(const json_t *item, struct places *places, const struct app *app,
                     struct cost_app *running, struct error *err)
{
    size_t index;
    json_t *each;
    struct workload_state *states =
        arena_array(&places->arena, (size_t)app->workload_count + 1, sizeof(struct workload_state));
    if (states == NULL)
        return out_of_memory(err);
    for (int i = 0; i < app->workload_count; i++)
        states[i].now = (struct placement){.site = -1, .variant = 0, .lead = i};
    json_array_foreach(json_object_get(item, "workloads"), index, each)
    {
        int workload = app_workload(app, json_text(each, "name"));
        if (workload < 0)
            continue;
        states[workload].now.site = world_site(&places->world, json_text(each, "site"));
        const struct workload *what = &app->workloads[workload];
        for (int i = 0; i < what->variant_count; i++)
            if (str_equal(what->variants[i].name, json_text(each, "variant")))
                states[workload].now.variant = i;
    }
    *running = (struct cost_app){.app = app, .states = states};
    return 0;
}

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the world of the scheduler");
}
