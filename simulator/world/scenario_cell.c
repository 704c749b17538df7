/* The documents of one cell of the cross product, read and held against the scenario. */
#include <string.h>

#include "base/doc.h"
#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/world/scenario.h"

static int read_world(const struct scenario *scenario, const char *file, struct arena *arena,
                      struct world *ret_world, struct error *err);
static int read_app(const struct scenario *scenario, const char *file, struct arena *arena,
                    struct app *ret_app, struct error *err);
static int check_names(const struct scenario *scenario, const struct world *world,
                       const struct app *apps, int app_count, struct error *err);
static int check_place(const struct scenario *scenario, const struct world *world,
                       const struct scenario_event *event, struct error *err);

/* Nothing is started, so that an app may be simulated before it is built. */
static const char no_digest[] =
    "sha256:0000000000000000000000000000000000000000000000000000000000000000";

int scenario_load(const struct scenario *scenario, const struct scenario_cell *cell,
                  struct arena *arena, struct world *ret_world, struct app **ret_apps,
                  int *ret_app_count, struct error *err)
{
    const struct scenario_files *files = &scenario->apps[cell->apps];
    struct app *apps = arena_array(arena, (size_t)files->count + 1, sizeof(*apps));
    if (apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d apps", files->count);
    int rc = read_world(scenario, scenario->worlds[cell->world], arena, ret_world, err);
    for (int i = 0; i < files->count && rc == 0; i++) {
        rc = read_app(scenario, files->list[i], arena, &apps[i], err);
        if (rc == 0 && app_check(&apps[i], ret_world, err) < 0)
            rc = error_prefix(err, "%s in the world %s", files->list[i], ret_world->name);
        for (int k = 0; k < i && rc == 0; k++)
            if (str_equal(apps[k].name, apps[i].name) &&
                str_equal(apps[k].namespace_, apps[i].namespace_))
                rc = error_set(err, ERR_INVALID, 0, "%s: the app %s/%s is in %s already",
                               files->list[i], apps[i].namespace_, apps[i].name, files->list[k]);
    }
    if (rc == 0)
        rc = check_names(scenario, ret_world, apps, files->count, err);
    if (rc < 0)
        return rc;
    *ret_apps = apps;
    *ret_app_count = files->count;
    return 0;
}

static int read_world(const struct scenario *scenario, const char *file, struct arena *arena,
                      struct world *ret_world, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = scenario_path(scenario, file, path, err);
    if (rc == 0)
        rc = doc_read_file(path, &doc, err);
    return rc < 0 ? rc : world_from_doc(doc, arena, ret_world, err);
}

static int read_app(const struct scenario *scenario, const char *file, struct arena *arena,
                    struct app *ret_app, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = scenario_path(scenario, file, path, err);
    if (rc == 0)
        rc = doc_read_file(path, &doc, err);
    if (rc == 0)
        rc = app_from_doc(doc, arena, ret_app, err);
    for (int i = 0; rc == 0 && i < ret_app->workload_count; i++)
        for (int k = 0; k < ret_app->workloads[i].variant_count; k++) {
            struct variant *variant = &ret_app->workloads[i].variants[k];
            if (str_starts(variant->artifact, "file:") && variant->artifact[5] != '/')
                str_format(variant->artifact, sizeof(variant->artifact), "file:/simulated");
            if (variant->digest[0] == 0)
                str_format(variant->digest, sizeof(variant->digest), "%s", no_digest);
        }
    return rc;
}

static int check_names(const struct scenario *scenario, const struct world *world,
                       const struct app *apps, int app_count, struct error *err)
{
    int app;
    int workload;
    for (int i = 0; i < scenario->load_count; i++)
        if (!scenario_target(apps, app_count, scenario->loads[i].of, -1, &app, &workload))
            return error_set(err, ERR_INVALID, 0,
                             "%s:%d: load of \"%s\": there is no such app or workload; write APP, "
                             "APP/WORKLOAD or *, with the namespace before it unless that is "
                             "default",
                             scenario->file, scenario->loads[i].line, scenario->loads[i].of);
    for (int i = 0; i < scenario->node_count; i++)
        if (world_site(world, scenario->nodes[i].site) < 0)
            return error_set(
                err, ERR_INVALID, 0, "%s:%d: nodes at %s, a site that the world %s does not have",
                scenario->file, scenario->nodes[i].line, scenario->nodes[i].site, world->name);
    int rc = 0;
    for (int i = 0; i < scenario->event_count && rc == 0; i++)
        if (scenario->events[i].kind == EVENT_DOWN || scenario->events[i].kind == EVENT_RECLAIM)
            rc = check_place(scenario, world, &scenario->events[i], err);
    return rc;
}

static int check_place(const struct scenario *scenario, const struct world *world,
                       const struct scenario_event *event, struct error *err)
{
    const char *names[2 * LIMIT_SITES];
    size_t count = 0;
    for (int i = 0; i < world->site_count; i++) {
        names[count++] = world->sites[i].name;
        names[count++] = world->sites[i].provider;
        if (str_equal(world->sites[i].name, event->what) ||
            str_equal(world->sites[i].provider, event->what))
            return 0;
    }
    const char *near = str_nearest(event->what, names, count);
    return error_set(
        err, ERR_INVALID, 0, "%s:%d: %s: \"%s\" is no site and no provider of the world %s%s%s%s",
        scenario->file, event->line, scenario_event_words[event->kind], event->what, world->name,
        near == NULL ? "" : "; did you mean ", near == NULL ? "" : near, near == NULL ? "" : "?");
}

bool scenario_target(const struct app *apps, int app_count, const char *name, int within,
                     int *ret_app, int *ret_workload)
{
    *ret_app = -1;
    *ret_workload = -1;
    if (str_equal(name, "*"))
        return true;
    if (within >= 0) {
        *ret_workload = app_workload(&apps[within], name);
        *ret_app = within;
        if (*ret_workload >= 0)
            return true;
    }
    for (int i = 0; i < app_count; i++) {
        char full[LIMIT_REF_BYTES];
        bool plain = str_equal(apps[i].namespace_, "default");
        str_format(full, sizeof(full), "%s/%s", apps[i].namespace_, apps[i].name);
        const char *forms[] = {full, plain ? apps[i].name : full};
        for (int k = 0; k < 2; k++) {
            size_t bytes = strlen(forms[k]);
            if (strncmp(name, forms[k], bytes) != 0 || (name[bytes] != 0 && name[bytes] != '/'))
                continue;
            *ret_app = i;
            *ret_workload = name[bytes] == 0 ? -1 : app_workload(&apps[i], name + bytes + 1);
            if (name[bytes] == 0 || *ret_workload >= 0)
                return true;
        }
    }
    return false;
}

int scenario_path(const struct scenario *scenario, const char *path, char out[LIMIT_PATH_BYTES],
                  struct error *err)
{
    if (path[0] == '/' || str_equal(scenario->folder, "."))
        return str_copy(out, LIMIT_PATH_BYTES, path) == 0
                   ? 0
                   : error_set(err, ERR_LIMIT, 0, "a path is too long");
    if (strlen(path) + strlen(scenario->folder) + 2 > LIMIT_PATH_BYTES)
        return error_set(err, ERR_LIMIT, 0, "the path %s/%s is too long", scenario->folder, path);
    str_format(out, LIMIT_PATH_BYTES, "%s/%s", scenario->folder, path);
    return 0;
}
