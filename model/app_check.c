/* What an app and a world must agree on before the app is accepted. */
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/measures.h"
#include "model/read.h"
#include "model/world.h"

#define OFFERS_MAX (LIMIT_SITES * 4)

static int check_workload(const struct app *app, const struct workload *workload,
                          const struct world *world, struct error *err);
static int check_variants(const struct app *app, const struct workload *workload,
                          struct error *err);
static int check_amounts(const struct app *app, const struct workload *workload, struct error *err);
static int check_route(const struct app *app, const struct workload *workload, struct error *err);
static int check_measures(const struct app *app, const struct workload *workload,
                          const struct world *world, struct error *err);
static unsigned tiers_of_variants(const struct workload *workload);
static void say_tiers(struct strbuf *out, const char *what, unsigned tiers);
static int check_tags(const struct app *app, const struct workload *workload,
                      const struct world *world, struct error *err);
static int check_together(const struct app *app, const struct workload *workload,
                          const struct world *world, struct error *err);
static int check_site(const struct app *app, const char *what, const char *owner, const char *name,
                      const struct world *world, struct error *err);
static const char *nearest_offer(const struct world *world, const struct tag *wanted,
                                 char out[LIMIT_TEXT_BYTES]);

int app_check(const struct app *app, const struct world *world, struct error *err)
{
    for (int i = 0; i < app->workload_count; i++) {
        int rc = check_workload(app, &app->workloads[i], world, err);
        if (rc < 0) {
            return rc;
        }
    }
    for (int i = 0; i < app->segment_count; i++) {
        const struct segment *segment = &app->segments[i];
        int rc = check_site(app, "users", segment->name, segment->site, world, err);
        if (rc < 0) {
            return rc;
        }
        if (world->sites[world_site(world, segment->site)].tier != TIER_CLIENT) {
            return error_set(err, ERR_INVALID, 0,
                             "app %s: users %s come from %s, which is no client site; name a site "
                             "of tier client",
                             app->name, segment->name, segment->site);
        }
    }
    return 0;
}

static int check_workload(const struct app *app, const struct workload *workload,
                          const struct world *world, struct error *err)
{
    if (workload->handoff != HANDOFF_OVERLAP && workload->kind == KIND_DATA) {
        return error_set(
            err, ERR_INVALID, 0,
            "app %s: data set %s has handoff: %s; nothing of a data set runs, so remove "
            "the field",
            app->name, workload->name, handoff_class_words[workload->handoff]);
    }
    if (workload->handoff != HANDOFF_OVERLAP && !workload->contract) {
        return error_set(err, ERR_INVALID, 0,
                         "app %s: workload %s has handoff: %s, which needs contract: true (it has "
                         "to be told when "
                         "it owns and when to freeze); speak the workload contract, or use overlap "
                         "if two copies "
                         "may serve for a moment",
                         app->name, workload->name, handoff_class_words[workload->handoff]);
    }
    if (workload->kind != KIND_SERVICE && workload->kind != KIND_DATA) {
        return error_set(err, ERR_INVALID, 0,
                         "app %s: workload %s has kind: %s, which this release cannot carry out; "
                         "use service",
                         app->name, workload->name, workload_kind_words[workload->kind]);
    }
    int rc = workload->kind == KIND_DATA ? 0 : check_variants(app, workload, err);
    if (rc == 0) {
        rc = check_amounts(app, workload, err);
    }
    if (rc == 0 && workload->pin[0] != '\0') {
        rc = check_site(app, "the pin of workload", workload->name, workload->pin, world, err);
    }
    if (rc == 0 && workload->data.at[0] != '\0') {
        rc = check_site(app, "data set", workload->name, workload->data.at, world, err);
    }
    if (rc == 0) {
        rc = check_route(app, workload, err);
    }
    if (rc == 0) {
        rc = check_measures(app, workload, world, err);
    }
    if (rc == 0) {
        rc = check_tags(app, workload, world, err);
    }
    return rc == 0 ? check_together(app, workload, world, err) : rc;
}

static int check_variants(const struct app *app, const struct workload *workload, struct error *err)
{
    for (int i = 0; i < workload->variant_count; i++) {
        const struct variant *variant = &workload->variants[i];
        if (variant->digest[0] == '\0') {
            return error_set(err, ERR_INVALID, 0,
                             "app %s: the artifact of workload %s has no digest; add digest: "
                             "sha256:... of %.300s",
                             app->name, workload->name, variant->artifact);
        }
        if (str_starts(variant->artifact, "file:") && variant->artifact[strlen("file:")] != '/') {
            return error_set(err, ERR_INVALID, 0,
                             "app %s: the artifact of workload %s is \"%.300s\"; a node needs the "
                             "whole path, as in file:/srv/program",
                             app->name, workload->name, variant->artifact);
        }
    }
    return 0;
}

/* What all replicas take together can be counted. */
static int check_amounts(const struct app *app, const struct workload *workload, struct error *err)
{
    static const char *const units[] = {"milli-CPUs", "bytes of memory"};
    for (int i = -1; i < workload->variant_count; i++) {
        const int64_t *reserve = i < 0 ? workload->reserve : workload->variants[i].reserve;
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            int64_t sum;
            if (__builtin_mul_overflow(reserve[r], workload->replicas, &sum)) {
                return error_set(err, ERR_OVERFLOW, 0,
                                 "app %s: %d replicas of workload %s with %lld %s each are more "
                                 "than can be counted; ask for less",
                                 app->name, workload->replicas, workload->name,
                                 (long long)reserve[r], units[r]);
            }
        }
    }
    return 0;
}

/* One host and path lead to one workload. */
static int check_route(const struct app *app, const struct workload *workload, struct error *err)
{
    for (const struct workload *other = app->workloads; other < workload; other++) {
        if (workload->http.path[0] != '\0' && str_equal(workload->http.path, other->http.path) &&
            str_equal(workload->http.host, other->http.host)) {
            return error_set(err, ERR_INVALID, 0,
                             "app %s: workloads %s and %s both want the requests for %s%s; give "
                             "one of them another host or path",
                             app->name, other->name, workload->name,
                             workload->http.host[0] != '\0' ? workload->http.host : "any host, ",
                             workload->http.path);
        }
    }
    return 0;
}

/* What a term names has the unit that the term was checked with. */
static int check_measures(const struct app *app, const struct workload *workload,
                          const struct world *world, struct error *err)
{
    for (int i = 0; i < workload->measures.count; i++) {
        const struct measure *own = &workload->measures.list[i];
        const struct measure *wanted = measures_find(&world->workload_measures, own->name);
        if (wanted != NULL && !str_equal(wanted->unit, own->unit)) {
            return error_set(err, ERR_INVALID, 0,
                             "app %s: workload %s states its measure %s in %s, and the terms of "
                             "world %s use it in %s; write it in %s",
                             app->name, workload->name, own->name, own->unit, world->name,
                             wanted->unit, wanted->unit);
        }
    }
    return 0;
}

/* Each tag alone first: what nobody offers is the most common mistake, and has the best answer. */
static int check_tags(const struct app *app, const struct workload *workload,
                      const struct world *world, struct error *err)
{
    for (int i = 0; i < workload->require.count; i++) {
        const struct tag *tag = &workload->require.list[i];
        bool offered = false;
        for (int site = 0; site < world->site_count; site++) {
            offered = offered || site_has_tag(&world->sites[site], tag->key, tag->value);
        }
        if (!offered) {
            char offer[LIMIT_TEXT_BYTES];
            return error_set(err, ERR_INVALID, 0,
                             "app %s: workload %s requires the tag %s=%s, which no site of world "
                             "%s offers; %s",
                             app->name, workload->name, tag->key, tag->value, world->name,
                             nearest_offer(world, tag, offer));
        }
    }
    return 0;
}

/* Tags, tiers (the workload's and some variant's) and pin together must leave a site. */
static int check_together(const struct app *app, const struct workload *workload,
                          const struct world *world, struct error *err)
{
    unsigned variant_tiers = tiers_of_variants(workload);
    for (int i = 0; i < world->site_count; i++) {
        const struct site *site = &world->sites[i];
        bool fits = (workload->tiers == 0 || (workload->tiers >> site->tier & 1) != 0) &&
                    (variant_tiers == 0 || (variant_tiers >> site->tier & 1) != 0) &&
                    (workload->pin[0] == '\0' || str_equal(workload->pin, site->name));
        for (int k = 0; fits && k < workload->require.count; k++) {
            const struct tag *tag = &workload->require.list[k];
            fits = site_has_tag(site, tag->key, tag->value);
        }
        if (fits) {
            return 0;
        }
    }
    struct strbuf wanted;
    strbuf_init(&wanted, ERROR_TEXT_BYTES);
    for (int k = 0; k < workload->require.count; k++) {
        strbuf_printf(&wanted, "%s%s=%s", k > 0 ? ", " : "tags ", workload->require.list[k].key,
                      workload->require.list[k].value);
    }
    say_tiers(&wanted, "tier", workload->tiers);
    say_tiers(&wanted, "variants for tier", variant_tiers);
    if (workload->pin[0] != '\0') {
        strbuf_printf(&wanted, "%spin %s", wanted.bytes > 0 ? "; " : "", workload->pin);
    }
    int rc =
        error_set(err, ERR_INVALID, 0,
                  "app %s: no site of world %s satisfies all that workload %s demands (%.400s); "
                  "relax one of them",
                  app->name, world->name, workload->name, strbuf_text(&wanted));
    strbuf_done(&wanted);
    return rc;
}

/* All tiers that some variant may run in; 0: any. */
static unsigned tiers_of_variants(const struct workload *workload)
{
    unsigned tiers = 0;
    for (int i = 0; i < workload->variant_count; i++) {
        if (workload->variants[i].tiers == 0) {
            return 0;
        }
        tiers |= workload->variants[i].tiers;
    }
    return tiers;
}

static void say_tiers(struct strbuf *out, const char *what, unsigned tiers)
{
    for (unsigned tier = 0, seen = 0; tier < TIER_COUNT; tier++) {
        if ((tiers >> tier & 1) != 0) {
            strbuf_printf(out, "%s%s%s%s", seen == 0 && out->bytes > 0 ? "; " : "",
                          seen == 0 ? what : "", seen == 0 ? " " : " or ", tier_words[tier]);
            seen++;
        }
    }
}

static int check_site(const struct app *app, const char *what, const char *owner, const char *name,
                      const struct world *world, struct error *err)
{
    if (world_site(world, name) >= 0) {
        return 0;
    }
    const char *names[LIMIT_SITES];
    for (int i = 0; i < world->site_count; i++) {
        names[i] = world->sites[i].name;
    }
    const char *nearest = str_nearest(name, names, (size_t)world->site_count);
    return error_set(
        err, ERR_INVALID, 0, "app %s: %s %s names the site %s, which world %s does not have%s%s%s",
        app->name, what, owner, name, world->name, nearest != NULL ? "; did you mean " : "",
        nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
}

/* A clause about what is offered instead: the nearest value of the same key, or the nearest key. */
static const char *nearest_offer(const struct world *world, const struct tag *wanted,
                                 char out[LIMIT_TEXT_BYTES])
{
    const char *values[OFFERS_MAX] = {NULL};
    const char *keys[OFFERS_MAX] = {NULL};
    size_t value_count = 0;
    size_t key_count = 0;
    for (int i = 0; i < world->site_count; i++) {
        const struct tags *tags = &world->sites[i].tags;
        for (int k = 0; k < tags->count; k++) {
            if (str_equal(tags->list[k].key, wanted->key) && value_count < OFFERS_MAX) {
                values[value_count++] = tags->list[k].value;
            }
            if (key_count < OFFERS_MAX) {
                keys[key_count++] = tags->list[k].key;
            }
        }
    }
    const char *value = str_nearest(wanted->value, values, value_count);
    if (value == NULL && value_count > 0) {
        value = values[0];
    }
    const char *key = value_count > 0 ? NULL : str_nearest(wanted->key, keys, key_count);
    if (value != NULL) {
        str_format(out, LIMIT_TEXT_BYTES, "the nearest offered is %s=%s", wanted->key, value);
    } else if (key != NULL) {
        str_format(out, LIMIT_TEXT_BYTES, "the nearest key offered is %s", key);
    } else {
        str_format(out, LIMIT_TEXT_BYTES, "no site has a tag with that key");
    }
    return out;
}
