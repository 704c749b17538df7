#include "model/solve/primal_cover.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "model/solve/primal_cover_internal.h"

#define WORK_USUAL  2.4e10 /* parts of sets read */
#define SLICE       1e8    /* of both divers, after which they tell each other their best */
#define WANTED      8000   /* sets that dives read; measured: half and twice as many find less */
#define RELISTS     4      /* times that sets are listed, and worths climbed over them */
#define NEARLY      0.6    /* lists that reach so much of the gap are completed */
#define PROOF_SHARE 5      /* of the work, that a proof may take once the lists are complete */

struct cover {
    struct cover_field field;
    const struct cover_options *options;
    struct error *err;
    int threads;
    struct cover_diver *diver[COVER_DIVERS];
    double best; /* cost without the parts' base costs */
    double target;
    double upto;   /* work of each diver at the end of the slice */
    bool complete; /* the lists hold every set of whatever is cheaper */
    struct cover_result result;
};

static bool takes(const struct grid *grid);
static int lay(struct cover *cover);
static int lay_cells(struct cover *cover);
static int list(struct cover *cover);
static int dive(struct cover *cover);
static void run_diver(void *context, int block, int worker);
static void prove(struct cover *cover, double work);
static void meet(struct cover *cover);
static void consider(struct cover *cover, const struct cover_diver *diver);
static double work_of(const struct cover *cover);
static bool goes_on(const struct cover *cover);

int cover_solve(const struct grid *grid, const struct cover_options *options, struct arena *arena,
                struct cover_result *ret_result, struct error *err)
{
    if (!takes(grid)) {
        *ret_result = (struct cover_result){.fits = false};
        return 0;
    }
    int *choice = arena_array(arena, (size_t)grid->parts, sizeof(int));
    struct arena work;
    arena_init(&work, arena->bytes_max - arena->bytes_used);
    work.fail_after = arena->fail_after;
    struct cover cover = {
        .options = options,
        .err = err,
        .threads = options->threads > 1 ? PRIMAL_THREADS : 1,
        .result = {.fits = true, .cost = options->cost, .choice = choice, .bound = -INFINITY}};
    cover.field = (struct cover_field){.grid = grid,
                                       .options = options,
                                       .work = &work,
                                       .parts = grid->parts,
                                       .sites = grid->sites,
                                       .resources = grid->resources};
    int rc = choice == NULL ? ERR_NO_MEMORY : lay(&cover);
    rc = rc == 0 ? list(&cover) : rc;
    if (rc == 0 && !cover.result.proven && cover.field.set_first[grid->sites] > 0) {
        rc = dive(&cover);
    }
    arena->fail_after = work.fail_after;
    cover.result.work = work_of(&cover);
    arena_done(&work);
    if (rc < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for sets of %d parts at %d sites",
                         grid->parts, grid->sites);
    }
    *ret_result = cover.result;
    return 0;
}

/* ---- the field ---- */

/* Few cells, and one of a part at a site. */
static bool takes(const struct grid *grid)
{
    double cells = (double)grid->parts * (double)grid->sites;
    bool fits = grid->links == 0 && grid->parts > 0 && grid->sites > 1 && grid->resources > 0 &&
                cells <= COVER_CELLS;
    for (int part = 0; part < grid->parts && fits && grid->site != NULL; part++) {
        for (int cell = 1; cell < grid_cells(grid, part) && fits; cell++) {
            fits = grid_site(grid, part, cell - 1) < grid_site(grid, part, cell);
        }
    }
    return fits;
}

static int lay(struct cover *cover)
{
    struct cover_field *field = &cover->field;
    const struct grid *grid = field->grid;
    size_t parts = (size_t)field->parts;
    size_t sites = (size_t)field->sites;
    field->cell_first = arena_array(field->work, sites + 2, sizeof(int));
    field->cell = arena_array(field->work, parts * sites, sizeof(*field->cell));
    field->cell_at = arena_array(field->work, parts * sites, sizeof(int));
    field->worth = arena_copy(field->work, cover->options->worth, parts * sizeof(double));
    field->least = arena_array(field->work, sites, sizeof(double));
    if (field->cell_first == NULL || field->cell == NULL || field->cell_at == NULL ||
        field->worth == NULL || field->least == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < field->parts; part++) {
        double base = grid->base != NULL ? (double)grid->base[part] : 0;
        field->base += base;
        field->magnitude += fabs(base) + fabs(field->worth[part]);
    }
    int rc = lay_cells(cover);
    field->lost = 16 * (field->parts + 64.0) * DBL_EPSILON * field->magnitude;
    cover->best = (double)cover->options->cost - field->base;
    cover->target = cover->options->target - field->base;
    return rc == 0 ? cover_lists_create(field) : rc;
}

static int lay_cells(struct cover *cover)
{
    struct cover_field *field = &cover->field;
    const struct grid *grid = field->grid;
    int count = 0;
    for (int site = 0; site < field->sites; site++) {
        const int64_t *capacity = grid->capacity + (size_t)site * (size_t)grid->resources;
        field->cell_first[site] = count;
        for (int part = 0; part < field->parts; part++) {
            int cells = grid_cells(grid, part);
            int cell = grid->site == NULL ? site : 0;
            while (cell < cells && grid_site(grid, part, cell) < site) {
                cell++;
            }
            if (cell >= cells || grid_site(grid, part, cell) != site ||
                grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
                continue;
            }
            const int32_t *demand = grid_demand(grid, part, cell);
            bool fits = true;
            for (int r = 0; r < grid->resources; r++) {
                fits = fits && demand[r] <= capacity[r];
            }
            if (!fits) {
                continue;
            }
            double unit = grid->unit != NULL ? (double)grid->unit[part] : 1;
            double cost = unit * (double)grid_cost_raw(grid, part, cell);
            field->cell[count++] =
                (struct cover_cell){.cost = cost, .part = part, .cell = cell, .demand = demand};
            field->cell_at[(size_t)site * (size_t)field->parts + (size_t)part] = cell;
            field->magnitude += cost / field->sites;
        }
    }
    field->cell_first[field->sites] = count;
    return 0;
}

/* ---- the lists ---- */

/* The sets near the worths, the worths better over those, the sets near these. */
static int list(struct cover *cover)
{
    struct cover_field *field = &cover->field;
    size_t bytes = (size_t)field->parts * sizeof(double);
    double *worth = arena_copy(field->work, field->worth, bytes);
    double *best = arena_copy(field->work, field->worth, bytes);
    if (worth == NULL || best == NULL) {
        return ERR_NO_MEMORY;
    }
    double most = cover->best - 1;
    double bound = -INFINITY;
    bool listed = false;
    int rc = 0;
    for (int i = 0; i < RELISTS && rc == 0; i++) {
        memcpy(field->worth, worth, bytes);
        listed = cover_list_sets(field, most, WANTED);
        if (!listed || field->bound <= bound) {
            break;
        }
        bound = field->bound;
        memcpy(best, field->worth, bytes);
        if (bound - field->lost > most) {
            break;
        }
        struct cover_diver *diver;
        rc = cover_diver_create(field, 0, &diver);
        if (rc == 0) {
            cover_diver_aim(diver, cover->best);
            cover_climb(diver, worth);
            field->listed += cover_diver_work(diver);
        }
    }
    if (rc == 0 && bound > -INFINITY && (!listed || memcmp(best, field->worth, bytes) != 0)) {
        memcpy(field->worth, best, bytes);
        listed = cover_list_sets(field, most, WANTED);
    }
    if (rc == 0 && listed && field->reach < most - bound &&
        field->reach > NEARLY * (most - bound) && !cover_list_sets(field, most, INT32_MAX)) {
        listed = cover_list_sets(field, most, WANTED);
    }
    if (!listed) {
        field->set_first[field->sites] = 0;
        return rc;
    }
    cover->result.bound = field->base + field->bound - 2 * field->lost;
    cover->result.sets = field->set_first[field->sites];
    cover->result.proven = field->bound - field->lost > most;
    cover->complete = field->reach >= most - field->bound;
    return rc;
}

/* ---- dives ---- */

static int dive(struct cover *cover)
{
    for (int i = 0; i < COVER_DIVERS; i++) {
        int rc = cover_diver_create(
            &cover->field, cover->options->seed * COVER_DIVERS + (uint64_t)i, &cover->diver[i]);
        if (rc < 0) {
            return rc;
        }
        cover_diver_aim(cover->diver[i], cover->best);
    }
    double most = cover->options->work_max > 0 ? cover->options->work_max : WORK_USUAL;
    bool tried = false;
    while (work_of(cover) < most && cover->best > cover->target && !cover->result.proven &&
           goes_on(cover)) {
        if (cover->complete && !tried) {
            prove(cover, most / PROOF_SHARE);
            tried = true;
            continue;
        }
        double before = cover->best;
        cover->upto += SLICE / COVER_DIVERS;
        primal_blocks(cover->threads, COVER_DIVERS, run_diver, cover);
        meet(cover);
        tried = tried && cover->best == before;
        cover->complete =
            cover->complete || cover->field.reach >= cover->best - 1 - cover->field.bound;
    }
    return 0;
}

static void run_diver(void *context, int block, int worker)
{
    (void)worker;
    struct cover *cover = context;
    struct cover_diver *diver = cover->diver[block];
    double work = fmax(cover->upto, cover_diver_work(diver) + 1);
    cover_dive(diver, work, cover->target);
}

/* The lists hold all there is: the search to the end, from the top. */
static void prove(struct cover *cover, double work)
{
    cover->result.proven = cover_exhaust(cover->diver[0], work);
    meet(cover);
}

/* The better best becomes both's aim; the first one's on ties. */
static void meet(struct cover *cover)
{
    const struct cover_diver *winner = NULL;
    double least = cover->best;
    for (int i = 0; i < COVER_DIVERS; i++) {
        double cost = cover_diver_cost(cover->diver[i]);
        if (cost < least) {
            least = cost;
            winner = cover->diver[i];
        }
    }
    if (winner != NULL) {
        consider(cover, winner);
        cover->best = least;
    }
    for (int i = 0; i < COVER_DIVERS; i++) {
        cover_diver_aim(cover->diver[i], cover->best);
    }
}

static void consider(struct cover *cover, const struct cover_diver *diver)
{
    const struct cover_field *field = &cover->field;
    const int *site = cover_diver_site(diver);
    for (int part = 0; part < field->parts; part++) {
        cover->result.choice[part] =
            field->cell_at[(size_t)site[part] * (size_t)field->parts + (size_t)part];
    }
    cover->result.cost = grid_cost_of(field->grid, cover->result.choice);
    cover->result.found = true;
}

static double work_of(const struct cover *cover)
{
    double work = cover->field.listed;
    for (int i = 0; i < COVER_DIVERS; i++) {
        work += cover->diver[i] != NULL ? cover_diver_work(cover->diver[i]) : 0;
    }
    return work;
}

static bool goes_on(const struct cover *cover)
{
    const struct cover_options *options = cover->options;
    return options->progress == NULL ||
           options->progress(options->context, fmax(options->bound, cover->result.bound),
                             (double)cover->result.cost);
}
