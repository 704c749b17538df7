/*
 * places: where `berth sites` and `berth prices` look: the built-in catalogue, a world document, or
 * the world of the running scheduler with the apps that run in it. Everything is read into an arena
 * of its own; nothing is kept elsewhere. One thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"
#include "model/types.h"
#include "scheduler/cli/cli.h"

enum places_from { PLACES_CATALOGUE, PLACES_FILE, PLACES_LIVE };
extern const char *const places_from_words[];

struct places {
    struct arena arena;
    struct world world;
    enum places_from from;
    struct estimates estimates; /* of the running scheduler */
    struct app *apps;           /* those that run, and where: */
    struct cost_app *running;   /* [app_count] */
    int app_count;
};

/* `what`: NULL or "catalogue", "live", "imported" (the price book), or the path of a world
 * document.
 */
int places_open(const struct cli *cli, const char *what, struct places *ret_places,
                struct error *err) WARN_UNUSED;
void places_done(struct places *places);
void cleanup_places(struct places *places);

/* The index of a site by its name; ERR_NOT_FOUND, with the nearest. */
int places_site(const struct world *world, const char *name, struct error *err) WARN_UNUSED;
/* The round trip and how it is known: "measured" (by the scheduler's nodes, or by whom the
 * catalogue names), "declared" by the world, "estimated" from the distance; -1 and "unknown". */
int64_t places_rtt_us(const struct places *places, int from, int to, const char **ret_how);
