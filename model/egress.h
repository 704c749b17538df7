/*
 * egress: which rules of a world bill bytes from one site to another, and what a rule's
 * destinations are. The rules are read by world_read.c and priced by the cost model.
 * Plain functions of an immutable world; any thread.
 */
#pragma once

#include "model/json_out.h"
#include "model/types.h"

/* The rules that bill bytes from one site to another: sender's then receiver's; -1 none. Within one
 * site nothing is billed. */
struct egress_match {
    int sender_rule;
    int receiver_rule;
};
struct egress_match egress_between(const struct world *world, int from, int to);
/* The same from one site to each: [site]. A row at once costs less than its pairs one by one. */
void egress_from(const struct world *world, int from, struct egress_match *ret_matches);

/* How exactly a rule's destinations mean a site: the most exact of them, as world_selects. */
int egress_selects(const struct egress_rule *rule, const struct site *site);
/* Whether the two rules have the same destinations in the same order. */
bool egress_same_to(const struct egress_rule *one, const struct egress_rule *other);

/* The destinations for a person: "aws/eu-west-1, aws/eu-west-2 and 3 more", as many as fit. */
#define EGRESS_TO_BYTES ((size_t)LIMIT_REF_BYTES * 3)
const char *egress_to_text(const struct egress_rule *rule, char text[EGRESS_TO_BYTES]);
/* ... and as the field "to": one as a string, several as a list. */
void egress_to_write(const struct egress_rule *rule, struct json_out *json);
