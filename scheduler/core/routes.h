/*
 * routes: which HTTP requests go to which instances, as every ingress is to have it.
 *
 * A workload with `http:` has one core_route. Its servers are made from the tables, never stored:
 *   PROBE  the new side of a handoff, from READY on (of an owner, until it owns): only probes,
 *          which name it, get there
 *   SERVE  ready, wanted, and not the new side of a handoff before REACHABLE; of an owner, from
 *          GRANTING on. Of a new version that is judged (canary.c): its share by weight
 *   DRAIN  the old side from LINGERING (an owner: FREEZING) on, a removal, and what a handoff that
 *          goes back takes away; one that is not ready any more, unless nobody else serves
 * What is ended on the way back stays in DRAIN until its process is gone: it was never told to.
 * The route of an owner is `paused` while none serves and a handoff is about to make one: ingresses
 * hold its requests; before that owner is told to freeze, all of them do (owner.c).
 * Nothing else is listed: what is being stopped, has no endpoint yet, or is on a lost node.
 *
 * A change of the servers, of their modes or weights, or of host, path and probe makes a new
 * version (a number of core_next: versions only grow, over all routes). Every live ingress (a node
 * that is up and said in its hello where its ingress listens) is sent the newest version only, as a
 * NODE_ROUTE command with an epoch of its own: a command of an older version is dropped here, and
 * has the lower epoch there. The answer is the acknowledgement: traffic follows it already. One
 * without an answer is sent again as every command; a refused one, after CORE_RECHECK_US. A hello,
 * after whatever the ingress may have forgotten, clears that node's acknowledgements and brings all
 * routes again; a restart of the scheduler sends what has no answer. A node that is lost does not
 * hold anybody up. Commands of routes take at most CORE_ROUTE_COMMANDS places of the table: others
 * follow as these are answered.
 *
 * A workload that is gone has its route ended (`gone`) at every live ingress, then forgotten: an
 * ingress that was away gets `gone` routes at its hello for as long as they are here; what it has
 * beyond the routes of a hello's answer it is never told about again, and answers 503 once their
 * servers are stopped.
 *
 * What the handoff machine needs (handoff.c): core_routes_flushed. Each state of a handoff that
 * changes the route asks it; the version that holds for the state is noted when it asks first, so
 * that another replica's changes do not hold it up. Limits: LIMIT_ROUTES routes (an apply beyond is
 * refused), LIMIT_INGRESSES live ingresses (a node beyond says so in an event and gets no routes).
 *
 * Memory: lists of servers that effects point to are in core->lent, which the next step resets.
 */
#pragma once

#include "scheduler/core/core.h"

struct core_place;

#define CORE_ROUTE_COMMANDS 256 /* of LIMIT_COMMANDS, under way at once */

bool core_is_http(const struct core_place *place);
/* How many nodes that are up are an ingress with a place in every route's acknowledgements. */
int core_ingress_count(const struct core *core);
/* The workload's own, or NULL. */
struct core_route *core_route_find(const struct core *core, const char *ns, const char *app,
                                   const char *workload);

/* Something of this workload's servers may have changed. Cheap; looked at when the step settles. */
void core_route_touch(struct core *core, const char *ns, const char *app, const char *workload);
/* The same of all, and of which routes there have to be: after an apply, a delete, a restore. */
void core_routes_touch(struct core *core);
/* Makes new versions of what was touched and sends what is not yet taken; part of settling. */
void core_routes_settle(struct core *core);

/* Every live ingress has taken a version that is not older than the handoff's present state; true
 * for a workload without a route, or without any live ingress. */
bool core_routes_flushed(struct core *core, struct core_handoff *handoff);
/* The same for a state that waits for it, for CORE_REACH_US from the first question on: its
 * deadline becomes that. Visits that go back when it is late: core_routes_fail. */
enum core_route_word { ROUTE_TAKEN, ROUTE_WAITING, ROUTE_LATE };
enum core_route_word core_routes_wait(struct core *core, struct core_handoff *handoff);
struct handoff_step;
bool core_routes_fail(struct handoff_step *step);
/* The first live ingress that has not, for a sentence; "" none. */
const char *core_routes_missing(const struct core *core, const struct core_handoff *handoff);

/* The node said hello, or was lost. */
void core_routes_hello(struct core *core, const char *node);
void core_routes_lost(struct core *core, const char *node);
/* The answer 0 to a NODE_ROUTE command. */
void core_route_taken(struct core *core, const struct core_command *command);

/* The route that the command carries, servers in core->lent; false: there is a newer version, or it
 * does not fit: nothing is to be sent. */
bool core_route_fill(struct core *core, const struct core_command *command,
                     struct message_route *ret_route);
/* A PROBE of the instance through an ingress; false: its workload has no route. */
bool core_route_probe(const struct core *core, const struct core_instance *instance,
                      struct message_route *ret_route);

/* Refuses an app that claims a host and path of another one, or has too many routes. */
int core_routes_check(const struct core *core, const struct app *app,
                      struct error *err) WARN_UNUSED;

/* Read-only, for tools: the servers of a route at this moment, at most `max`. */
int core_route_servers(const struct core *core, const struct core_route *route,
                       struct message_server *out, int max);
