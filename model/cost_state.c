#include "model/cost_state.h"

#include <inttypes.h>
#include <string.h>

#include "model/app.h"
#include "model/world.h"

#define WORDS_MAX 11

/* A text on its way to a state. */
struct reading {
    const char *file;
    struct arena *arena;
    struct cost_state *state;
    struct app **apps;
    struct workload_state **states;
    struct estimate *estimates;
    int estimate_room;
    bool has_world;
    int line;
    struct error *err;
};

static void write_estimate(const struct estimate *estimate, struct strbuf *out);
static const char *or_dash(const char *name);
static int count_lines(const char *text, size_t bytes, const char *word);
static int read_line(struct reading *reading, const char *line, size_t bytes);
static int read_world(struct reading *reading, const char *json, size_t bytes);
static int read_app(struct reading *reading, const char *json, size_t bytes);
static int read_at(struct reading *reading, char *const *words, int count);
static int read_blocked(struct reading *reading, char *const *words, int count);
static int read_capacity(struct reading *reading, char *const *words, int count);
static int read_estimate(struct reading *reading, char *const *words, int count);
static int find(struct reading *reading, char *const *words, int *ret_workload, int *ret_site);
static int wrong(struct reading *reading, const char *what);
static int no_memory(struct error *err);

void cost_state_write(const struct cost_input *input, const struct placement *at,
                      struct strbuf *out)
{
    const struct world *world = input->world;
    strbuf_printf(out, "berth-state 1 %" PRId64 "\nworld ", input->now_us);
    world_write(world, out);
    strbuf_puts(out, "\n");
    for (int i = 0, part = 0; i < input->app_count; i++) {
        const struct app *app = input->apps[i].app;
        strbuf_puts(out, "app ");
        app_write(app, out);
        strbuf_puts(out, "\n");
        for (int k = 0; k < app->workload_count; k++, part++) {
            const struct workload *what = &app->workloads[k];
            const bool *blocked = input->apps[i].states[k].site_blocked;
            if (at[part].site >= 0) {
                strbuf_printf(out, "at %s %s %s\n", what->name, world->sites[at[part].site].name,
                              at[part].variant < what->variant_count
                                  ? what->variants[at[part].variant].name
                                  : "-");
            }
            for (int site = 0; blocked != NULL && site < world->site_count; site++) {
                if (blocked[site]) {
                    strbuf_printf(out, "blocked %s %s\n", what->name, world->sites[site].name);
                }
            }
        }
    }
    for (int i = 0; input->capacity != NULL && i < world->site_count; i++) {
        strbuf_printf(out, "capacity %s %" PRId64 " %" PRId64 "\n", world->sites[i].name,
                      input->capacity[i][RESOURCE_CPU], input->capacity[i][RESOURCE_MEMORY]);
    }
    for (int i = 0; i < input->estimates.count; i++) {
        write_estimate(&input->estimates.list[i], out);
    }
}

int cost_state_read(const char *file, const char *text, size_t bytes, struct arena *arena,
                    struct cost_state *ret_state, struct error *err)
{
    struct reading reading = {.file = file, .arena = arena, .state = ret_state, .err = err};
    memset(ret_state, 0, sizeof(*ret_state));
    reading.estimate_room = count_lines(text, bytes, "estimate ");
    reading.apps = arena_array(arena, LIMIT_APPS, sizeof(struct app *));
    reading.states = arena_array(arena, LIMIT_APPS, sizeof(struct workload_state *));
    reading.estimates =
        arena_array(arena, (size_t)reading.estimate_room + 1, sizeof(struct estimate));
    ret_state->input.apps = arena_array(arena, LIMIT_APPS, sizeof(struct cost_app));
    if (reading.apps == NULL || reading.states == NULL || reading.estimates == NULL ||
        ret_state->input.apps == NULL) {
        return no_memory(err);
    }
    ret_state->input.estimates.list = reading.estimates;
    ret_state->input.world = &ret_state->world;
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t length = end == NULL ? bytes - at : (size_t)(end - (text + at));
        reading.line++;
        int rc = length == 0 ? 0 : read_line(&reading, text + at, length);
        if (rc < 0) {
            return rc == ERR_NO_MEMORY ? no_memory(err)
                                       : error_prefix(err, "%.100s:%d", reading.file, reading.line);
        }
        at += length + 1;
    }
    if (!reading.has_world) {
        return error_set(err, ERR_INVALID, 0,
                         "%.100s is no state: it begins with \"berth-state 1\" and has a line "
                         "\"world\"; `berth whatif --save FILE` writes one",
                         file);
    }
    int parts = 0;
    for (int i = 0; i < ret_state->input.app_count; i++) {
        parts += ret_state->input.apps[i].app->workload_count;
    }
    ret_state->at = arena_array(arena, (size_t)parts + 1, sizeof(struct placement));
    if (ret_state->at == NULL) {
        return no_memory(err);
    }
    for (int i = 0, part = 0; i < ret_state->input.app_count; i++) {
        for (int k = 0; k < ret_state->input.apps[i].app->workload_count; k++, part++) {
            ret_state->at[part] = ret_state->input.apps[i].states[k].now;
        }
    }
    return 0;
}

int cost_state_of(const struct world *world, struct app *const *apps, int app_count,
                  struct arena *arena, struct cost_state *ret_state, struct error *err)
{
    int parts = 0;
    *ret_state = (struct cost_state){.world = *world};
    ret_state->input.world = &ret_state->world;
    ret_state->input.apps = arena_array(arena, (size_t)app_count + 1, sizeof(struct cost_app));
    if (ret_state->input.apps == NULL) {
        return no_memory(err);
    }
    for (int i = 0; i < app_count; i++) {
        struct workload_state *states =
            arena_array(arena, (size_t)apps[i]->workload_count + 1, sizeof(struct workload_state));
        if (states == NULL) {
            return no_memory(err);
        }
        for (int k = 0; k < apps[i]->workload_count; k++, parts++) {
            states[k] = (struct workload_state){.now = {.site = -1, .lead = k}, .may_move = true};
        }
        ret_state->input.apps[ret_state->input.app_count++] = (struct cost_app){apps[i], states};
    }
    ret_state->at = arena_array(arena, (size_t)parts + 1, sizeof(struct placement));
    if (ret_state->at == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < parts; part++) {
        ret_state->at[part].site = -1;
    }
    return 0;
}

static void write_estimate(const struct estimate *estimate, struct strbuf *out)
{
    strbuf_printf(
        out, "estimate %s %s %s %s %s %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
        estimate_kind_words[estimate->kind], or_dash(estimate->namespace_), or_dash(estimate->app),
        or_dash(estimate->workload), or_dash(estimate->site), or_dash(estimate->peer),
        estimate->value, estimate->at_us, estimate->spread, estimate->observed_us);
}

static const char *or_dash(const char *name)
{
    return name[0] == '\0' ? "-" : name;
}

static int count_lines(const char *text, size_t bytes, const char *word)
{
    size_t length = strlen(word);
    int count = 0;
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        count += bytes - at >= length && memcmp(text + at, word, length) == 0;
        at = end == NULL ? bytes : (size_t)(end - text) + 1;
    }
    return count;
}

static int read_line(struct reading *reading, const char *line, size_t bytes)
{
    char *words[WORDS_MAX + 1];
    int count = 0;
    if (bytes > 6 && memcmp(line, "world ", 6) == 0) {
        return read_world(reading, line + 6, bytes - 6);
    }
    if (bytes > 4 && memcmp(line, "app ", 4) == 0) {
        return read_app(reading, line + 4, bytes - 4);
    }
    char *copy = bytes > 4096 ? NULL : arena_strndup(reading->arena, line, bytes);
    if (copy == NULL) {
        return bytes > 4096 ? wrong(reading, "the line is too long") : ERR_NO_MEMORY;
    }
    for (char *at = copy; *at != '\0' && count <= WORDS_MAX;) {
        words[count++] = at;
        at += strcspn(at, " ");
        if (*at == ' ') {
            *at++ = '\0';
        }
    }
    if (reading->line == 1) {
        int64_t version = 0;
        if (count != 3 || !str_equal(words[0], "berth-state") ||
            str_to_i64(words[1], &version) < 0 || version != 1 ||
            str_to_i64(words[2], &reading->state->input.now_us) < 0) {
            return wrong(reading, "a state begins with \"berth-state 1\" and an instant");
        }
        return 0;
    }
    if (!reading->has_world) {
        return wrong(reading, "the world comes first");
    }
    if (str_equal(words[0], "at")) {
        return read_at(reading, words, count);
    }
    if (str_equal(words[0], "blocked")) {
        return read_blocked(reading, words, count);
    }
    if (str_equal(words[0], "capacity")) {
        return read_capacity(reading, words, count);
    }
    if (str_equal(words[0], "estimate")) {
        return read_estimate(reading, words, count);
    }
    return wrong(reading, "a line begins with world, app, at, blocked, capacity or estimate");
}

static int read_world(struct reading *reading, const char *json, size_t bytes)
{
    if (reading->has_world || reading->line == 1) {
        return wrong(reading, "a state has one world, behind its first line");
    }
    reading->has_world = true;
    return world_parse("world", json, bytes, reading->arena, &reading->state->world, reading->err);
}

static int read_app(struct reading *reading, const char *json, size_t bytes)
{
    struct cost_input *input = &reading->state->input;
    if (!reading->has_world) {
        return wrong(reading, "the world comes first");
    }
    if (input->app_count == LIMIT_APPS) {
        return error_set(reading->err, ERR_LIMIT, 0, "a state has at most %d apps", LIMIT_APPS);
    }
    struct app *app = arena_alloc(reading->arena, sizeof(*app));
    if (app == NULL) {
        return ERR_NO_MEMORY;
    }
    int rc = app_parse("app", json, bytes, reading->arena, app, reading->err);
    if (rc < 0) {
        return rc;
    }
    /* Users at no site of the world would be costed as nobody. */
    for (int i = 0; i < app->segment_count; i++) {
        if (world_site(&reading->state->world, app->segments[i].site) < 0) {
            return error_set(reading->err, ERR_INVALID, 0,
                             "users %s come from %s, which is no site of the world",
                             app->segments[i].name, app->segments[i].site);
        }
    }
    struct workload_state *states =
        arena_array(reading->arena, (size_t)app->workload_count + 1, sizeof(struct workload_state));
    if (states == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int k = 0; k < app->workload_count; k++) {
        states[k] = (struct workload_state){.now = {.site = -1, .lead = k}, .may_move = true};
    }
    input->apps[input->app_count++] = (struct cost_app){app, states};
    return 0;
}

static int read_at(struct reading *reading, char *const *words, int count)
{
    int workload = -1;
    int site = -1;
    if (count != 4) {
        return wrong(reading, "where it is: at WORKLOAD SITE VARIANT");
    }
    int rc = find(reading, words, &workload, &site);
    if (rc < 0) {
        return rc;
    }
    const struct cost_app *app = &reading->state->input.apps[reading->state->input.app_count - 1];
    const struct workload *what = &app->app->workloads[workload];
    int variant = 0; /* of a version that had others: the first */
    for (int i = 0; i < what->variant_count; i++) {
        variant = str_equal(what->variants[i].name, words[3]) ? i : variant;
    }
    app->states[workload].now =
        (struct placement){.site = site, .variant = variant, .lead = workload};
    reading->state->placed = true;
    return 0;
}

static int read_blocked(struct reading *reading, char *const *words, int count)
{
    int workload = -1;
    int site = -1;
    if (count != 3) {
        return wrong(reading, "where it cannot be: blocked WORKLOAD SITE");
    }
    int rc = find(reading, words, &workload, &site);
    if (rc < 0) {
        return rc;
    }
    bool **blocked = &reading->state->input.apps[reading->state->input.app_count - 1]
                          .states[workload]
                          .site_blocked;
    if (*blocked == NULL) {
        *blocked =
            arena_array(reading->arena, (size_t)reading->state->world.site_count, sizeof(bool));
        if (*blocked == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    (*blocked)[site] = true;
    return 0;
}

static int read_capacity(struct reading *reading, char *const *words, int count)
{
    struct cost_input *input = &reading->state->input;
    int sites = reading->state->world.site_count;
    int site = count == 4 ? world_site(&reading->state->world, words[1]) : -1;
    int64_t room[RESOURCE_COUNT];
    if (site < 0 || str_to_i64(words[2], &room[RESOURCE_CPU]) < 0 ||
        str_to_i64(words[3], &room[RESOURCE_MEMORY]) < 0) {
        return wrong(reading, "what nodes offer: capacity SITE MCPU BYTES, a site of the world");
    }
    if (input->capacity == NULL) {
        input->capacity = arena_array(reading->arena, (size_t)sites, sizeof(*input->capacity));
        if (input->capacity == NULL) {
            return ERR_NO_MEMORY;
        }
        memset(input->capacity, -1, (size_t)sites * sizeof(*input->capacity));
    }
    memcpy(input->capacity[site], room, sizeof(room));
    return 0;
}

static int read_estimate(struct reading *reading, char *const *words, int count)
{
    static const char shape[] =
        "what was measured: estimate KIND NAMESPACE APP WORKLOAD SITE PEER VALUE AT SPREAD "
        "OBSERVED";
    struct estimate estimate = {.kind = ESTIMATE_COUNT};
    int64_t *numbers[] = {&estimate.value, &estimate.at_us, &estimate.spread,
                          &estimate.observed_us};
    const struct {
        char *out;
        size_t room;
    } names[] = {
        {estimate.namespace_, sizeof(estimate.namespace_)},
        {estimate.app, sizeof(estimate.app)},
        {estimate.workload, sizeof(estimate.workload)},
        {estimate.site, sizeof(estimate.site)},
        {estimate.peer, sizeof(estimate.peer)},
    };
    if (count != WORDS_MAX) {
        return wrong(reading, shape);
    }
    for (int i = 0; i < ESTIMATE_COUNT; i++) {
        estimate.kind =
            str_equal(words[1], estimate_kind_words[i]) ? (enum estimate_kind)i : estimate.kind;
    }
    bool right = estimate.kind != ESTIMATE_COUNT;
    for (int i = 0; i < 5 && right; i++) {
        const char *name = str_equal(words[2 + i], "-") ? "" : words[2 + i];
        right = str_copy(names[i].out, names[i].room, name) == 0;
    }
    for (int i = 0; i < 4 && right; i++) {
        right = str_to_i64(words[7 + i], numbers[i]) == 0;
    }
    /* Times far from now are what differences of instants cannot hold. */
    if (!right || estimate.spread < 0 || estimate.observed_us < 0 ||
        reading->state->input.estimates.count == reading->estimate_room) {
        return wrong(reading, shape);
    }
    reading->estimates[reading->state->input.estimates.count++] = estimate;
    return 0;
}

/* The workload (second word) of the last app and the site (third). */
static int find(struct reading *reading, char *const *words, int *ret_workload, int *ret_site)
{
    const struct cost_input *input = &reading->state->input;
    if (input->app_count == 0) {
        return wrong(reading, "it belongs to no app: an app comes before it");
    }
    const struct app *app = input->apps[input->app_count - 1].app;
    *ret_workload = app_workload(app, words[1]);
    *ret_site = world_site(&reading->state->world, words[2]);
    if (*ret_workload < 0) {
        return error_set(reading->err, ERR_INVALID, 0, "app %s has no workload \"%.80s\"",
                         app->name, words[1]);
    }
    if (*ret_site < 0) {
        return error_set(reading->err, ERR_INVALID, 0, "the world has no site \"%.140s\"",
                         words[2]);
    }
    return 0;
}

static int wrong(struct reading *reading, const char *what)
{
    return error_set(reading->err, ERR_INVALID, 0, "%s", what);
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for a state");
}
