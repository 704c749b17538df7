/*
 * problem: the placement problem in numbers, as the solver sees it: parts, choices, costs, rules.
 *
 * Take one choice for every part; minimise the sum of the parts' costs, pair costs and meters'
 * charges; subject to every rule. A choice is a site and all else that is decided with it: the
 * variant, and whose instances serve. Costs are score in nano-dollars per month (int64) and may be
 * negative: a saving. A rule is the only thing that can forbid; each has a sentence, so that an
 * infeasible problem can name an irreducible set of rules that cannot hold together. Names are only
 * for messages; indices mean everything.
 *
 * A part is a workload with all its replicas. Parts may have different numbers of choices, in any
 * order. Arrays live in the arena of the builder; a problem is immutable once built. Any thread may
 * read it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "model/types.h"

/* Cumulative monthly tiers of one (account, egress rule). Volumes in bytes; prices are score
 * nano-dollars per GiB-or-GB as the rule's per_bytes says, already weighted. */
struct problem_meter {
    char name[LIMIT_REF_BYTES];
    int64_t base_bytes; /* month to date: where the planned volume starts */
    int64_t per_bytes;
    int tier_count;
    int64_t up_to_bytes[LIMIT_TIERS]; /* cumulative; the last INT64_MAX */
    int64_t price_nusd[LIMIT_TIERS];  /* per per_bytes */
};

/* Bytes per month that one choice, or one pair of choices, puts on a meter. A cell has as many
 * slots as its part or pair says (use_count, at most LIMIT_USES). Two slots of one cell may name
 * the same meter: their bytes add up. */
struct problem_use {
    int meter; /* -1: none */
    int64_t bytes;
};

struct problem_choice {
    int site;
    int variant;
    int lead; /* the part whose instances serve it: itself, or one it shares */
    int64_t demand[RESOURCE_COUNT]; /* what it takes of its site: replicas x reserve; >= 0 */
};

struct problem_part {
    char name[LIMIT_REF_BYTES + LIMIT_NAME_BYTES]; /* "namespace/app/workload" */
    int choice_count;                              /* 1 to LIMIT_CHOICES */
    struct problem_choice *choices;
    int64_t *cost;           /* [choice] */
    int current;             /* the choice where it is now, or -1 */
    int use_count;           /* slots of each choice; 0: it meets no meter */
    struct problem_use *use; /* [choice * use_count + k]; NULL when use_count is 0 */
};

/* An interaction of two different parts. A cell is choice_a * parts[b].choice_count + choice_b. */
struct problem_pair {
    int a;
    int b;
    int64_t *cost; /* [cell] */
    int use_count;
    struct problem_use *use; /* [cell * use_count + k]; NULL when use_count is 0 */
};

enum rule_kind {
    RULE_CHOICES,  /* part `a` may only take choices with allowed[choice] */
    RULE_PAIR,     /* parts `a`, `b` only at allowed[choice_a * parts[b].choice_count + choice_b] */
    RULE_APART,    /* no two of parts[] at one site */
    RULE_CAPACITY, /* the demands of `resource` of the choices at `site` sum to <= `capacity` */
};

struct problem_rule {
    enum rule_kind kind;
    int a;
    int b;
    bool *allowed;
    int *parts;
    int part_count;
    int site;
    enum resource resource;
    int64_t capacity;
    char text[LIMIT_TEXT_BYTES]; /* "default/shop/source needs tag cloud=aws" */
};

struct problem {
    int part_count;
    int site_count;
    int pair_count;
    int meter_count;
    int rule_count;
    struct problem_part *parts;
    char (*site_names)[LIMIT_REF_BYTES];
    struct problem_pair *pairs;
    struct problem_meter *meters;
    struct problem_rule *rules;
};

/* The exact score of an assignment choice[part], in nano-dollars per month, meters included
 * (each meter's charge rounded once, half to even). */
nusd problem_cost(const struct problem *problem, const int *choice);
/* Index of the first rule an assignment breaks, or -1. */
int problem_broken_rule(const struct problem *problem, const int *choice);
/* The index of a pair of choices in the tables of a pair, or of a pair rule, of parts a and b. */
size_t problem_cell(const struct problem *problem, int part_b, int choice_a, int choice_b);
/* What `bytes` more cost on a meter that already holds base_bytes. */
nusd meter_charge(const struct problem_meter *meter, int64_t bytes);

enum solve_status {
    SOLVE_OPTIMAL,    /* proven */
    SOLVE_FEASIBLE,   /* a budget or limit ended it: choice[] holds, bound says how far it is off */
    SOLVE_INFEASIBLE, /* conflict[]: rules that cannot hold together, irreducible unless text */
    SOLVE_NONE,       /* no answer (budget, or the worker died twice): stay */
};
extern const char *const solve_status_words[];

struct solution {
    enum solve_status status;
    int *choice;        /* [part] */
    int64_t cost_nusd;  /* problem_cost of it */
    int64_t bound_nusd; /* no assignment is cheaper; <= cost */
    int64_t nodes;      /* branch-and-bound nodes spent */
    int *conflict;      /* rule indices */
    int conflict_count;
    /* The certificate: prices that prove the bound, or most of it (verify.h); NULL: none. */
    double *price;       /* [rule]: nano-dollars per unit of a capacity rule's resource; else 0 */
    double *meter_price; /* [meter]: nano-dollars per byte */
    /* Why NONE; what ended the work before its budget did, of FEASIBLE; of INFEASIBLE: that
     * conflict[] may hold more than it must. Else "". */
    char text[LIMIT_TEXT_BYTES];
};

/* A binary frame: magic, version, sizes, then little-endian fields; every count is checked against
 * its limit before anything is allocated. Used between the programs and berth-solve; fuzzed. */
struct strbuf;
void problem_encode(const struct problem *problem, struct strbuf *out);
/* The problem's tables are those of the frame where that begins at a multiple of 8: it lives as
 * long as the arena and the bytes, and nobody may write to its tables. */
int problem_decode(const void *bytes, size_t count, struct arena *arena,
                   struct problem *ret_problem, struct error *err) WARN_UNUSED;
void solution_encode(const struct problem *problem, const struct solution *solution,
                     struct strbuf *out);
int solution_decode(const void *bytes, size_t count, const struct problem *problem,
                    struct arena *arena, struct solution *ret_solution,
                    struct error *err) WARN_UNUSED;

/* Of a request of berth-solve, whose stream solve_frames.h describes. */
#define SOLVE_REQUEST_BYTES_MAX ((size_t)512 << 20)
