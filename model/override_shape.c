/* Overrides of what there is: sites that come and go, tags, moves, objectives. */
#include <string.h>

#include "base/doc.h"
#include "base/str.h"
#include "base/units.h"
#include "model/app.h"
#include "model/override_internal.h"

#define SITE_DOC_BYTES ((size_t)LIMIT_DOC_BYTES)

static int remove_sites(struct override_work *work);
static int refuse_users(struct override_work *work, int site);
static int add_site(struct override_work *work);
static int write_with(struct override_work *work, struct strbuf *out);
static int write_entry(struct override_work *work, struct strbuf *out);
static const char *only_account(const struct world *world, const struct doc_node *entry);
static void write_node(const struct doc_node *node, struct strbuf *out);
static void write_quoted(const char *text, struct strbuf *out);
static int extend(struct override_work *work, int before);
static int retag(struct override_work *work);
static int move(struct override_work *work);
static int move_one(struct override_work *work, int app, int workload);
static bool is_place(const struct world *world, const char *name, bool *ret_site);
static bool is_at(const struct world *world, int site, const char *place);
static int no_place(struct override_work *work, const char *name);
static int set_objective(struct override_work *work);

int override_shape_change(struct override_work *work)
{
    switch (work->now->kind) {
    case OVERRIDE_REMOVE_PROVIDER:
    case OVERRIDE_REMOVE_SITE:
        return remove_sites(work);
    case OVERRIDE_ADD_SITE:
        return add_site(work);
    case OVERRIDE_RETAG:
        return retag(work);
    case OVERRIDE_MOVE:
        return move(work);
    default:
        return set_objective(work);
    }
}

/* They stay in the list, closed: what is there has to leave, and pays for it. */
static int remove_sites(struct override_work *work)
{
    const char *names[LIMIT_SITES];
    int count = 0;
    int matched = 0;
    int open = 0;
    for (int i = 0; i < work->world->site_count; i++) {
        struct site *site = &work->world->sites[i];
        const char *name =
            work->now->kind == OVERRIDE_REMOVE_PROVIDER ? site->provider : site->name;
        names[count++] = name;
        if (override_matches(work->now->glob, name)) {
            int rc = refuse_users(work, i);
            if (rc < 0) {
                return rc;
            }
            site->closed = true;
            matched++;
        }
        open += !site->closed;
    }
    if (matched == 0) {
        return override_nothing(
            work, work->now->kind == OVERRIDE_REMOVE_PROVIDER ? "provider" : "site", names, count);
    }
    if (open == 0) {
        return error_set(work->err, ERR_INVALID, 0, "no site is left");
    }
    return 0;
}

static int refuse_users(struct override_work *work, int site)
{
    const char *name = work->world->sites[site].name;
    for (int i = 0; i < work->input.app_count; i++) {
        const struct app *app = work->input.apps[i].app;
        for (int k = 0; k < app->segment_count; k++) {
            if (str_equal(app->segments[k].site, name)) {
                return error_set(work->err, ERR_INVALID, 0,
                                 "users of app %s/%s are at %s: a site with users cannot be taken "
                                 "away",
                                 app->namespace_, app->name, name);
            }
        }
    }
    return 0;
}

/* The world's own text with one entry more, read as a world is read: accounts, `like:`, the rules
 * and round trips of the catalogue come as they come to any site. */
static int add_site(struct override_work *work)
{
    struct strbuf text;
    const struct world *from = work->world;
    struct world *world = arena_alloc(work->arena, sizeof(*world));
    if (world == NULL) {
        return ERR_NO_MEMORY;
    }
    strbuf_init(&text, SITE_DOC_BYTES);
    int rc = write_with(work, &text);
    if (rc == 0) {
        rc = world_parse("add.site", strbuf_text(&text), text.bytes, work->arena, world, work->err);
    }
    strbuf_done(&text);
    if (rc < 0) {
        return rc;
    }
    if (world->site_count != from->site_count + 1) {
        return error_set(work->err, ERR_INVALID, 0, "one entry of `sites` is added at a time");
    }
    for (int i = 0; i < from->site_count; i++) {
        world->sites[i].closed = from->sites[i].closed;
    }
    work->world = world;
    work->input.world = world;
    return extend(work, from->site_count);
}

/* Behind the last of `sites`. */
static int write_with(struct override_work *work, struct strbuf *out)
{
    static const char next[] = "],\"egress\":[";
    struct strbuf whole;
    struct strbuf entry;
    strbuf_init(&whole, SITE_DOC_BYTES);
    strbuf_init(&entry, SITE_DOC_BYTES);
    world_write(work->world, &whole);
    int rc = strbuf_error(&whole, work->err);
    if (rc == 0) {
        rc = write_entry(work, &entry);
    }
    const char *end = rc == 0 ? strstr(strbuf_text(&whole), next) : NULL;
    if (rc == 0) {
        BERTH_ASSERT(end != NULL, "a world is written with its sites before its egress");
        strbuf_append(out, whole.text, (size_t)(end - whole.text));
        strbuf_puts(out, ",");
        strbuf_append(out, strbuf_text(&entry), entry.bytes);
        strbuf_puts(out, end);
        rc = strbuf_error(out, work->err);
    }
    strbuf_done(&whole);
    strbuf_done(&entry);
    return rc;
}

/* The entry as JSON. It may be `- name: ...` or the mapping alone, in any YAML. */
static int write_entry(struct override_work *work, struct strbuf *out)
{
    /* In a list, YAML's short form is not held to JSON's rules. */
    const char *dash = work->now->value[0] == '{' ? "- " : "";
    const char *text = arena_printf(work->arena, "%s%s", dash, work->now->value);
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    int rc = doc_parse("add.site", text, strlen(text), &doc, work->err);
    if (rc < 0) {
        return rc;
    }
    const struct doc_node *root = doc_root(doc);
    if (doc_kind(root) == DOC_LIST && doc_count(root) == 1) {
        root = doc_item(root, 0);
    }
    if (doc_kind(root) != DOC_MAP || doc_count(root) == 0) {
        return error_set(work->err, ERR_INVALID, 0,
                         "a site is an entry of a world's `sites`, as in {name: aws/eu-west-1, "
                         "like: aws/eu-west-1}");
    }
    write_node(root, out);
    /* Who pays for it needs no words where its provider has one account. */
    const char *account = only_account(work->world, root);
    if (account != NULL && strbuf_error(out, NULL) == 0) {
        out->text[--out->bytes] = '\0';
        strbuf_puts(out, ",\"account\":");
        write_quoted(account, out);
        strbuf_puts(out, "}");
    }
    return strbuf_error(out, work->err);
}

/* NULL: the entry says itself who pays, or that is not clear. */
static const char *only_account(const struct world *world, const struct doc_node *entry)
{
    const char *name = "";
    const char *account = NULL;
    int count = 0;
    for (size_t i = 0; i < doc_count(entry); i++) {
        const char *key = doc_key(entry, i);
        const char *text = doc_text(doc_item(entry, i));
        if (str_equal(key, "account") || str_equal(key, "like") ||
            (str_equal(key, "tier") && text != NULL && str_equal(text, "client"))) {
            return NULL;
        }
        name = str_equal(key, "name") && text != NULL ? text : name;
    }
    for (int i = 0; i < world->account_count; i++) {
        const char *provider = world->accounts[i].provider;
        size_t bytes = strlen(provider);
        if (strncmp(name, provider, bytes) == 0 && name[bytes] == '/') {
            account = world->accounts[i].name;
            count++;
        }
    }
    return count == 1 ? account : NULL;
}

static void write_node(const struct doc_node *node, struct strbuf *out)
{
    enum doc_kind kind = doc_kind(node);
    if (kind == DOC_SCALAR || kind == DOC_NULL) {
        if (kind == DOC_NULL) {
            strbuf_puts(out, "null");
        } else {
            write_quoted(doc_text(node), out);
        }
        return;
    }
    strbuf_puts(out, kind == DOC_MAP ? "{" : "[");
    for (size_t i = 0; i < doc_count(node); i++) {
        strbuf_puts(out, i > 0 ? "," : "");
        if (kind == DOC_MAP) {
            write_quoted(doc_key(node, i), out);
            strbuf_puts(out, ":");
        }
        write_node(doc_item(node, i), out);
    }
    strbuf_puts(out, kind == DOC_MAP ? "}" : "]");
}

static void write_quoted(const char *text, struct strbuf *out)
{
    strbuf_puts(out, "\"");
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            strbuf_append(out, "\\", 1);
            strbuf_append(out, at, 1);
        } else if ((unsigned char)*at < ' ') {
            strbuf_printf(out, "\\u%04x", (unsigned)(unsigned char)*at);
        } else {
            strbuf_append(out, at, 1);
        }
    }
    strbuf_puts(out, "\"");
}

/* Tables by site get a place for the new one: nothing blocks it, and it has the room that it
 * declares, or any where no node can be asked. */
static int extend(struct override_work *work, int before)
{
    struct cost_input *input = &work->input;
    size_t sites = (size_t)before + 1;
    /* A million CPUs, a pebibyte: more than anything takes, and a number that solvers like. */
    static const int64_t plenty[RESOURCE_COUNT] = {INT64_C(1000000000), INT64_C(1) << 50};
    if (input->capacity != NULL) {
        int64_t(*capacity)[RESOURCE_COUNT] =
            arena_array(work->arena, sites, sizeof(*input->capacity));
        if (capacity == NULL) {
            return ERR_NO_MEMORY;
        }
        memcpy(capacity, input->capacity, (size_t)before * sizeof(*capacity));
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            int64_t declared = work->world->sites[before].capacity[r];
            capacity[before][r] = declared >= 0 ? declared : plenty[r];
        }
        input->capacity = capacity;
    }
    input->capacity_price = NULL; /* of another grid of sites */
    for (int i = 0; i < input->app_count; i++) {
        struct workload_state *old = input->apps[i].states;
        int count = input->apps[i].app->workload_count;
        bool any = false;
        for (int k = 0; k < count; k++) {
            any = any || old[k].site_blocked != NULL;
        }
        if (!any) {
            continue;
        }
        struct workload_state *states =
            arena_array(work->arena, (size_t)count, sizeof(struct workload_state));
        if (states == NULL) {
            return ERR_NO_MEMORY;
        }
        for (int k = 0; k < count; k++) {
            states[k] = old[k];
            if (old[k].site_blocked == NULL) {
                continue;
            }
            states[k].site_blocked = arena_array(work->arena, sites, sizeof(bool));
            if (states[k].site_blocked == NULL) {
                return ERR_NO_MEMORY;
            }
            memcpy(states[k].site_blocked, old[k].site_blocked, (size_t)before * sizeof(bool));
        }
        input->apps[i].states = states;
    }
    return 0;
}

static int retag(struct override_work *work)
{
    const struct override *now = work->now;
    struct override_who who = override_who(work);
    int matched = 0;
    for (int i = who.first; i < who.end; i++) {
        for (int k = 0; k < work->input.apps[i].app->workload_count; k++) {
            struct app *app = (struct app *)work->input.apps[i].app;
            if (!override_means(&who, app, k, now->glob)) {
                continue;
            }
            struct app *copy = arena_alloc(work->arena, sizeof(*copy));
            if (copy == NULL) {
                return ERR_NO_MEMORY;
            }
            int rc = app_retag(app, app->workloads[k].name, now->to, now->value, work->arena, copy,
                               work->err);
            if (rc < 0) {
                return rc;
            }
            work->input.apps[i].app = copy;
            work->own_app[i] = true;
            matched++;
        }
    }
    return matched == 0 ? override_no_workload(work, "") : 0;
}

static int move(struct override_work *work)
{
    const struct override *now = work->now;
    struct override_who who = override_who(work);
    bool site = false;
    int meant = 0;
    int matched = 0;
    if (!str_equal(now->peer, "*") && !is_place(work->world, now->peer, &site)) {
        return no_place(work, now->peer);
    }
    if (!is_place(work->world, now->to, &site)) {
        return no_place(work, now->to);
    }
    for (int i = who.first; i < who.end; i++) {
        for (int k = 0; k < work->input.apps[i].app->workload_count; k++) {
            if (!override_means(&who, work->input.apps[i].app, k, now->glob)) {
                continue;
            }
            meant++;
            if (is_at(work->world, work->input.apps[i].states[k].now.site, now->peer)) {
                int rc = move_one(work, i, k);
                if (rc < 0) {
                    return rc;
                }
                matched++;
            }
        }
    }
    if (meant == 0) {
        return override_no_workload(work, "");
    }
    return matched > 0 ? 0
                       : error_set(work->err, ERR_NOT_FOUND, 0,
                                   "nothing of \"%.100s\" is at %s now", now->glob, now->peer);
}

/* A site is a pin, a provider its tag; what the document said of either gives way. */
static int move_one(struct override_work *work, int app, int workload)
{
    bool site = false;
    struct app *owner = override_app(work, app);
    if (owner == NULL || override_own_all(work, app) < 0) {
        return ERR_NO_MEMORY;
    }
    (void)is_place(work->world, work->now->to, &site);
    struct workload *what = &owner->workloads[workload];
    memset(what->pin, 0, sizeof(what->pin));
    if (site) {
        struct tags *tags = &what->require;
        int kept = 0;
        int to = world_site(work->world, work->now->to);
        for (int i = 0; i < tags->count; i++) {
            if (site_has_tag(&work->world->sites[to], tags->list[i].key, tags->list[i].value)) {
                tags->list[kept++] = tags->list[i];
            }
        }
        tags->count = kept;
        return str_copy(what->pin, sizeof(what->pin), work->now->to);
    }
    struct app *copy = arena_alloc(work->arena, sizeof(*copy));
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    int rc = app_retag(owner, what->name, "cloud", work->now->to, work->arena, copy, work->err);
    if (rc == 0) {
        work->input.apps[app].app = copy;
    }
    return rc;
}

/* A site's name, or a provider's. */
static bool is_place(const struct world *world, const char *name, bool *ret_site)
{
    *ret_site = world_site(world, name) >= 0;
    bool found = *ret_site;
    for (int i = 0; i < world->site_count && !found; i++) {
        found = str_equal(world->sites[i].provider, name);
    }
    return found;
}

static bool is_at(const struct world *world, int site, const char *place)
{
    return str_equal(place, "*") || (site >= 0 && (str_equal(world->sites[site].provider, place) ||
                                                   str_equal(world->sites[site].name, place)));
}

static int no_place(struct override_work *work, const char *name)
{
    const char *names[LIMIT_SITES * 2];
    int count = 0;
    for (int i = 0; i < work->world->site_count; i++) {
        names[count++] = work->world->sites[i].name;
        names[count++] = work->world->sites[i].provider;
    }
    const char *near = str_nearest(name, names, (size_t)count);
    return error_set(work->err, ERR_NOT_FOUND, 0, "no provider or site is called \"%.100s\"%s%s%s",
                     name, near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near,
                     near == NULL ? "" : "\"?");
}

/* Of what users call; a stricter limit of the document stays. */
static int set_objective(struct override_work *work)
{
    const struct override *now = work->now;
    struct override_who who = override_who(work);
    int64_t limit_us = 0;
    int meant = 0;
    int matched = 0;
    int rc = units_duration(now->value, &limit_us, work->err);
    for (int i = who.first; i < who.end && rc == 0; i++) {
        for (int k = 0; k < work->input.apps[i].app->link_count; k++) {
            const struct app *app = work->input.apps[i].app;
            if (!override_means(&who, app, app->links[k].to, now->glob)) {
                continue;
            }
            meant++;
            if (app->links[k].from_kind != LINK_SEGMENT) {
                continue;
            }
            struct app *owner = override_app(work, i);
            if (owner == NULL || override_own_links(work, i) < 0) {
                return ERR_NO_MEMORY;
            }
            struct link *link = &owner->links[k];
            if (link->latency_max_us == 0 || link->latency_max_us > limit_us) {
                link->latency_max_us = limit_us;
            }
            matched++;
        }
    }
    if (rc < 0 || matched > 0) {
        return rc;
    }
    return override_no_workload(work, meant > 0 ? "is called by users" : "");
}
