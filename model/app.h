/*
 * app: the app document: workloads, links, users (segments), rules. Same promises as world.h.
 * docs/app.md describes each field.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/types.h"

/* Named only, so that what includes a world sees no parser. */
struct doc;
struct strbuf;

int app_from_doc(struct doc *doc, struct arena *arena, struct app *ret_app,
                 struct error *err) WARN_UNUSED;
int app_parse(const char *file, const char *text, size_t bytes, struct arena *arena,
              struct app *ret_app, struct error *err) WARN_UNUSED;
/* Canonical JSON; reads back to an equal app. */
void app_write(const struct app *app, struct strbuf *out);
uint64_t app_hash(const struct app *app);
/* Hash of what a running instance depends on (variant, args, env, resources, readiness...): a
 * change of it is a new version of the workload; tags, links and priors are not in it. */
uint64_t workload_spec_hash(const struct workload *workload);

int app_copy(const struct app *app, struct arena *arena, struct app *ret_app) WARN_UNUSED;
int app_workload(const struct app *app, const char *name); /* index, or -1 */
/* What a person means by the name: the workload of that name, or all parts of the family of that
 * name. Writes at most `max` indices, and returns how many; 0: there is none. */
int app_family(const struct app *app, const char *name, int *out, int max);
/* The weights that hold for this app: its own, and the world's where it states none. */
struct world;
struct weights app_weights(const struct app *app, const struct world *world);

/* Sets or (value "") removes a required tag of a workload, or of every part of a family, in a copy
 * made in `arena`. A pin that contradicts the new tag is refused with both named. */
int app_retag(const struct app *app, const char *workload, const char *key, const char *value,
              struct arena *arena, struct app *ret_app, struct error *err) WARN_UNUSED;

/* What depends on both: every required tag and pin can be offered by some site, segments' sites
 * exist, artifacts have digests. A tag nobody offers is an error that names the nearest offered. */
int app_check(const struct app *app, const struct world *world, struct error *err) WARN_UNUSED;
