/*
 * model_fixture: what the tests of the cost model share: a world and apps from documents, their
 * problem, and a search through every assignment, which is the judge of what is cheapest. One
 * fixture per test; everything lives in its arena.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "model/app.h"
#include "model/cost.h"
#include "model/world.h"

#define FIXTURE_PARTS 8

struct fixture {
    struct arena arena;
    struct world world;
    struct app app;
    struct workload_state states[FIXTURE_PARTS];
    struct cost_app cost_app;
    struct cost_input input;
    struct problem problem;
    struct error err;
};

static inline void fixture_begin(struct fixture *fixture, const char *world, const char *app)
{
    memset(fixture, 0, sizeof(*fixture));
    arena_init(&fixture->arena, (size_t)256 << 20);
    if (world_parse("world.yaml", world, strlen(world), &fixture->arena, &fixture->world,
                    &fixture->err) < 0 ||
        app_parse("app.yaml", app, strlen(app), &fixture->arena, &fixture->app, &fixture->err) <
            0) {
        fail_msg("%s", fixture->err.text);
    }
    assert_true(fixture->app.workload_count <= FIXTURE_PARTS);
    for (int i = 0; i < fixture->app.workload_count; i++) {
        fixture->states[i] = (struct workload_state){.now = {.site = -1}, .may_move = true};
    }
    fixture->cost_app = (struct cost_app){&fixture->app, fixture->states};
    fixture->input =
        (struct cost_input){.world = &fixture->world, .apps = &fixture->cost_app, .app_count = 1};
}

static inline void fixture_end(struct fixture *fixture)
{
    arena_done(&fixture->arena);
}

static inline void fixture_problem(struct fixture *fixture)
{
    if (cost_problem(&fixture->input, &fixture->arena, &fixture->problem, &fixture->err) < 0) {
        fail_msg("%s", fixture->err.text);
    }
}

static inline int fixture_site(const struct fixture *fixture, const char *name)
{
    int site = world_site(&fixture->world, name);
    assert_true(site >= 0);
    return site;
}

static inline int fixture_part(const struct fixture *fixture, const char *name)
{
    int workload = app_workload(&fixture->app, name);
    assert_true(workload >= 0);
    return cost_part(&fixture->input, 0, workload);
}

/* The cheapest assignment choice[part] that breaks no rule, by trying all; false: there is none. */
static inline bool brute_force(const struct problem *problem, int best[FIXTURE_PARTS],
                               nusd *ret_cost)
{
    int choice[FIXTURE_PARTS] = {0};
    bool found = false;
    int at = 0;
    *ret_cost = 0; /* gcc at -O2 does not see that the first comparison comes after `found` */
    while (at >= 0) {
        if (problem_broken_rule(problem, choice) < 0) {
            nusd cost = problem_cost(problem, choice);
            if (!found || cost < *ret_cost) {
                *ret_cost = cost;
                memcpy(best, choice, sizeof(choice));
                found = true;
            }
        }
        at = problem->part_count - 1;
        while (at >= 0 && ++choice[at] == problem->parts[at].choice_count) {
            choice[at--] = 0;
        }
    }
    return found;
}

static inline struct cost_report fixture_explain_at(struct fixture *fixture,
                                                    const struct placement *at)
{
    struct cost_report report = {0};
    if (cost_explain(&fixture->input, at, &fixture->arena, &report, &fixture->err) < 0) {
        fail_msg("%s", fixture->err.text);
    }
    return report;
}

/* The same where every part is named by its site alone: -1 nowhere, the first variant. */
static inline struct cost_report fixture_explain(struct fixture *fixture, const int *site)
{
    struct placement at[FIXTURE_PARTS];
    for (int i = 0; i < fixture->app.workload_count; i++) {
        at[i] = (struct placement){.site = site[i], .lead = i};
    }
    return fixture_explain_at(fixture, at);
}

/* A whole file, terminated; the caller's buffer. */
static inline void read_text(const char *path, char *out, size_t capacity)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t bytes = fread(out, 1, capacity - 1, file);
    assert_int_equal(fclose(file), 0);
    assert_true(bytes > 0 && bytes < capacity - 1);
    out[bytes] = '\0';
}
