/* What a run costs and misses, bucket by bucket. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/world/run_internal.h"

/* A time in which nothing moves, while it is charged. */
struct piece {
    struct run *run;
    int64_t now_us;
    struct error *err;
    int rc; /* of the first line that failed */
};

static int find_due(struct run *run, const bool *which, int64_t now_us);
static int charge_due(struct run *run, const bool *which, int64_t now_us, struct error *err);
static void add_line(void *context, const struct cost_line *line);
static void add_move(void *context, const struct cost_line *line);
static void count_app(struct run *run, int app, int64_t length_us);
static struct run_area *cell_of(struct run *run, int app, enum cost_term term, int site);
static nusd per_time(__int128 area);
static int64_t calls_of(__int128 area);
static int tell_terms(struct run *run, struct error *err);

int run_books_open(struct run *run, struct error *err)
{
    size_t cells = (size_t)run->app_count * TERM_COUNT * (size_t)run->world.site_count + 1;
    run->books.cells = arena_array(&run->arena, cells, sizeof(*run->books.cells));
    return run->books.cells != NULL
               ? 0
               : error_set(err, ERR_NO_MEMORY, 0, "no memory for the books of %d apps",
                           run->app_count);
}

int run_piece(struct run *run, const bool *which, int64_t now_us, struct error *err)
{
    struct run_books *books = &run->books;
    if (!run->counting)
        return 0;
    run_down(run, now_us);
    if (run->bound_known) {
        books->bound += run->bound * (now_us - run->piece_us);
        books->bound_us += now_us - run->piece_us;
    }
    run->piece_us = now_us;
    bool all = run->truth.coupled || run->cell->plain;
    int due = find_due(run, all ? NULL : which, now_us);
    if (due == 0)
        return 0;
    return charge_due(run, due < run->app_count ? run->due : NULL, now_us, err);
}

static int find_due(struct run *run, const bool *which, int64_t now_us)
{
    int count = 0;
    for (int i = 0; i < run->app_count; i++) {
        run->due[i] = (which == NULL || which[i]) && run->charged_us[i] < now_us;
        count += run->due[i];
    }
    return count;
}

static int charge_due(struct run *run, const bool *which, int64_t now_us, struct error *err)
{
    struct piece piece = {.run = run, .now_us = now_us, .err = err};
    int rc = run->charge != NULL ? charge_instances(run, now_us, which == NULL, err) : 0;
    for (int i = 0; i < run->app_count && rc == 0 && run->charge != NULL; i++)
        if (run->due[i])
            rc = charge_app(run, i, run->charged_us[i], now_us, err);
    if (rc == 0)
        rc = truth_visit(&run->truth, which, run->at, add_line, &piece, err);
    if (rc < 0 || piece.rc < 0)
        return rc < 0 ? rc : piece.rc;
    for (int i = 0; i < run->app_count; i++)
        if (run->due[i]) {
            count_app(run, i, now_us - run->charged_us[i]);
            run->charged_us[i] = now_us;
        }
    return 0;
}

static void add_line(void *context, const struct cost_line *line)
{
    struct piece *piece = context;
    struct run *run = piece->run;
    struct run_books *books = &run->books;
    int app = line->app;
    int64_t from_us = run->charged_us[app];
    int64_t length_us = piece->now_us - from_us;
    if (line->term == TERM_MIGRATION)
        return;
    struct run_area *cell = cell_of(run, app, line->term, line->site);
    cell->bill += line->bill * length_us;
    cell->score += line->score * length_us;
    books->total.bill += line->bill * length_us;
    books->total.score += line->score * length_us;
    if (run->bound_known)
        books->bound_score += line->score * length_us;
    if (run->charge != NULL && piece->rc == 0)
        piece->rc = charge_line(run, app, line, from_us, piece->now_us, piece->err);
}

void run_down(struct run *run, int64_t now_us)
{
    int64_t us = now_us - run->seen_us;
    run->seen_us = now_us;
    for (int i = 0; i < run->part_count && us > 0 && run->counting; i++)
        if (run->unserved[i])
            run->down_us[i] += us;
}

static struct run_area *cell_of(struct run *run, int app, enum cost_term term, int site)
{
    size_t row = (size_t)app * TERM_COUNT + (size_t)term;
    return &run->books.cells[row * (size_t)run->world.site_count + (size_t)(site < 0 ? 0 : site)];
}

int run_moved(struct run *run, struct error *err)
{
    return truth_visit_moves(&run->truth, run->moved, run->at, run->to, add_move, run, err);
}

/* Once: its bill, and in the score its bill times the app's weight of it. */
static void add_move(void *context, const struct cost_line *line)
{
    struct run *run = context;
    struct weights weights = app_weights(run->truth.apps[line->app].app, run->truth.input.world);
    __int128 bill = line->bill * RUN_MONTH_US;
    __int128 score = bill / PPM * weights.migration_ppm;
    struct run_area *cell = cell_of(run, line->app, TERM_MIGRATION, line->site);
    cell->bill += bill;
    cell->score += score;
    run->books.total.bill += bill;
    run->books.total.score += score;
    run->result->moves_bill += line->bill;
    if (run->bound_known)
        run->books.bound_score += score;
}

/* ---- requests ---- */

static void count_app(struct run *run, int app, int64_t length_us)
{
    const struct app *what = run->truth.apps[app].app;
    const struct world *world = run->truth.input.world;
    int base = run->truth.first[app];
    const struct placement *at = run->at + base;
    for (int part = base; part < base + what->workload_count; part++) {
        run->books.lost += (__int128)run->truth.calls_mhz[part] * run->down_us[part];
        run->result->down_us += run->down_us[part];
        run->down_us[part] = 0;
    }
    for (int i = 0; i < what->link_count; i++) {
        const struct link *link = &what->links[i];
        bool users = link->from_kind == LINK_SEGMENT;
        int from = users ? world_site(world, what->segments[link->from].site) : at[link->from].site;
        int to = at[link->to].site;
        int64_t mhz = truth_link_mhz(&run->truth, app, i, run->at);
        __int128 calls = (__int128)mhz * length_us;
        if (users)
            run->books.calls += calls;
        if (from < 0 || to < 0)
            continue;
        int64_t rtt_us = run->truth.path_us[from * world->site_count + to];
        run->books.rtt += calls * rtt_us;
        int64_t limit_us = link->latency_max_us;
        if (users && run->scenario->slo_us > 0 &&
            (limit_us == 0 || run->scenario->slo_us < limit_us))
            limit_us = run->scenario->slo_us;
        if (limit_us > 0 && rtt_us > limit_us)
            run->books.slow += calls;
    }
}

/* ---- what is told ---- */

int run_bucket_end(struct run *run, struct error *err)
{
    struct run_books *books = &run->books;
    struct run_result *result = run->result;
    int rc = tell_terms(run, err);
    if (rc < 0)
        return rc;
    int64_t length_us = run->piece_us - books->bucket_us;
    struct run_hour hour = {.at_us = books->bucket_us,
                            .bill = per_time(books->total.bill),
                            .score = per_time(books->total.score),
                            .bound = per_time(books->bound),
                            .bound_score = per_time(books->bound_score),
                            .calls = calls_of(books->calls),
                            .slow = calls_of(books->slow),
                            .lost = calls_of(books->lost)};
    hour.bound_ppm = length_us > 0 ? books->bound_us * PPM / length_us : 0;
    hour.rtt_us = books->calls > 0 ? (int64_t)(books->rtt / books->calls) : 0;
    result->bill += hour.bill;
    result->score += hour.score;
    result->bound += hour.bound;
    result->bound_score += hour.bound_score;
    result->calls += hour.calls;
    result->slow += hour.slow;
    result->lost += hour.lost;
    /* Means over what is whole: weighted by the calls and the time of each bucket. */
    int64_t before_us = books->bucket_us - run->from_us;
    if (result->calls > 0)
        result->rtt_us +=
            (int64_t)((__int128)(hour.rtt_us - result->rtt_us) * hour.calls / result->calls);
    result->bound_ppm =
        (int64_t)(((__int128)result->bound_ppm * before_us + (__int128)books->bound_us * PPM) /
                  (before_us + length_us > 0 ? before_us + length_us : 1));
    run->hash = hash_u64(run->hash, (uint64_t)hour.bill);
    run->hash = hash_u64(run->hash, (uint64_t)hour.score);
    run->hash = hash_u64(run->hash, (uint64_t)hour.bound);
    run->hash = hash_u64(run->hash, (uint64_t)hour.calls);
    if (run->sink->hour != NULL)
        rc = run->sink->hour(run->sink->context, &hour, err);
    struct run_area *cells = books->cells;
    *books = (struct run_books){.cells = cells, .bucket_us = run->piece_us};
    return rc;
}

static int tell_terms(struct run *run, struct error *err)
{
    int rc = 0;
    for (int app = 0; app < run->app_count && rc == 0; app++)
        for (int term = 0; term < TERM_COUNT && rc == 0; term++)
            for (int site = 0; site < run->world.site_count && rc == 0; site++) {
                struct run_area *cell = cell_of(run, app, (enum cost_term)term, site);
                if (cell->bill == 0 && cell->score == 0)
                    continue;
                struct run_term one = {.at_us = run->books.bucket_us,
                                       .app = &run->apps[app],
                                       .term = (enum cost_term)term,
                                       .site = run->world.sites[site].name,
                                       .bill = per_time(cell->bill),
                                       .score = per_time(cell->score)};
                *cell = (struct run_area){0, 0};
                run->result->bill_term[term] += one.bill;
                run->result->score_term[term] += one.score;
                if (run->sink->term != NULL)
                    rc = run->sink->term(run->sink->context, &one, err);
            }
    return rc;
}

/* Per month times microseconds to an amount, rounded to the nearest. */
static nusd per_time(__int128 area)
{
    __int128 half = RUN_MONTH_US / 2;
    return (area + (area < 0 ? -half : half)) / RUN_MONTH_US;
}

static int64_t calls_of(__int128 area)
{
    return (int64_t)(area / (1000 * US_PER_S));
}

void run_note(struct run *run, const char *format, ...)
{
    char *notes = run->result->notes;
    size_t used = strlen(notes);
    size_t room = sizeof(run->result->notes) - used;
    va_list arguments;
    if (room < LIMIT_TEXT_BYTES)
        return;
    va_start(arguments, format);
    (void)vsnprintf(notes + used + (used > 0), room - 1, format, arguments);
    va_end(arguments);
    if (used > 0)
        notes[used] = '\n';
}
