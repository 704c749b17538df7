/*
 * fleet: virtual nodes: they do what the core tells them, in the time that the scenario gives each
 * thing, and fail when it says so. What they would send comes back as core events, in the order of
 * their instants, equal ones in the order in which they were caused.
 *
 * A node that is down takes nothing and says nothing; the core hears of it when policy.node_timeout
 * is over (CORE_NODE_LOST), and when it is back: a hello of another boot, of which nothing runs any
 * more. A fleet also knows who is served: what became of requests is told from it, not from what
 * the core believes.
 *
 * Memory grows with instances. One thread.
 */
#pragma once

#include "scheduler/core/core.h"
#include "simulator/world/scenario.h"

struct fleet;

struct fleet_options {
    const struct scenario *scenario;
    const struct world *world;
    const struct app *apps;
    int app_count;
    uint64_t seed;
};

int fleet_create(const struct fleet_options *options, int64_t now_us, struct fleet **ret_fleet,
                 struct error *err) WARN_UNUSED;
void fleet_destroy(struct fleet *fleet); /* NULL is accepted */

/* When the next event is due; INT64_MAX: never. */
int64_t fleet_deadline_us(const struct fleet *fleet);
/* The next event that is due at `now`; false: none. Its arrays live until the next call. */
bool fleet_next(struct fleet *fleet, int64_t now_us, struct core_event *ret_event);

/* What the core sends. ERR_NO_MEMORY. */
int fleet_obey(struct fleet *fleet, int64_t now_us, const char *node,
               const struct message_command *command, struct error *err) WARN_UNUSED;
int fleet_probe(struct fleet *fleet, int64_t now_us, const char *id, const char *instance,
                int count, struct error *err) WARN_UNUSED;
int fleet_fence(struct fleet *fleet, int64_t now_us, const char *handoff, const struct epoch *owner,
                struct error *err) WARN_UNUSED;
int fleet_judge(struct fleet *fleet, int64_t now_us, uint64_t judge, const char *handoff,
                struct error *err) WARN_UNUSED;

/* Takes a site's machines, or all of a provider's, away or brings them back (empty). */
int fleet_down(struct fleet *fleet, int64_t now_us, const char *place, bool down,
               int64_t timeout_us, struct error *err) WARN_UNUSED;
bool fleet_site_up(const struct fleet *fleet, int site);
/* What its machines that are up offer; -1 each: there is none. */
void fleet_capacity(const struct fleet *fleet, int site, int64_t ret_capacity[RESOURCE_COUNT]);

/* How many copies of a part (apps' workloads in order) answer requests now. */
const int *fleet_serving(const struct fleet *fleet);
int fleet_part_count(const struct fleet *fleet);
/* Grows whenever a copy begins or ends to answer. */
uint64_t fleet_changes(const struct fleet *fleet);
/* ... and whenever anything at all was said. */
uint64_t fleet_reports(const struct fleet *fleet);
