#include "model/verify_meters.h"

#include <math.h>

/* What the tables of a problem are gone over with. */
struct sums {
    const struct problem *problem;
    struct verify_range *ranges;
    bool **open;     /* [part][choice]: no rule on choices forbids it */
    int *first;      /* [part]: of the rules on it and a later part, or -1 */
    int *next;       /* [rule] */
    bool *cells;     /* of the table at hand: which may be taken */
    double *touched; /* [meter] of the table at hand: cells that use it, */
    double *sum;     /* bytes of the cell at hand, */
    double *least;   /* and of any cell */
    double *most;
};

static bool sums_make(struct sums *sums, struct arena *arena);
static void close_choices(struct sums *sums);
static size_t cells_most(const struct problem *problem);
static size_t open_cells(struct sums *sums, const struct problem_pair *pair);
static void widen(struct sums *sums, const struct problem_use *use, int use_count, size_t cells,
                  size_t open);

bool verify_ranges(const struct problem *problem, struct arena *arena,
                   struct verify_range *ret_ranges)
{
    struct sums sums = {.problem = problem, .ranges = ret_ranges};
    if (!sums_make(&sums, arena)) {
        return false;
    }
    for (int i = 0; i < problem->meter_count; i++) {
        ret_ranges[i] = (struct verify_range){0};
    }
    close_choices(&sums);
    for (int i = 0; i < problem->part_count; i++) {
        const struct problem_part *part = &problem->parts[i];
        size_t open = 0;
        for (int c = 0; c < part->choice_count; c++) {
            sums.cells[c] = sums.open[i][c];
            open += sums.cells[c];
        }
        widen(&sums, part->use, part->use_count, (size_t)part->choice_count, open);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        size_t cells = (size_t)problem->parts[pair->a].choice_count *
                       (size_t)problem->parts[pair->b].choice_count;
        if (pair->use != NULL && pair->use_count > 0) {
            widen(&sums, pair->use, pair->use_count, cells, open_cells(&sums, pair));
        }
    }
    return true;
}

/* Nano-dollars for `volume` more bytes than are on the meter already. */
double verify_charge(const struct problem_meter *meter, double volume)
{
    double sum = 0;
    double from = (double)meter->base_bytes;
    double to = from + volume;
    double low = 0;
    for (int tier = 0; tier < meter->tier_count; tier++) {
        double high = tier == meter->tier_count - 1 ? INFINITY : (double)meter->up_to_bytes[tier];
        double begin = fmax(low, from);
        double end = fmin(high, to);
        if (end > begin) {
            sum += (end - begin) * (double)meter->price_nusd[tier];
        }
        low = high;
    }
    return sum / (double)meter->per_bytes;
}

/* charge(v) - price * v is piecewise linear: least at an end of the volumes or at a tier's. */
double verify_least(const struct problem_meter *meter, const struct verify_range *range,
                    double price, double *magnitude)
{
    double low = INFINITY;
    for (int i = -2; i < meter->tier_count - 1; i++) {
        double volume = i == -2   ? range->least
                        : i == -1 ? range->most
                                  : (double)meter->up_to_bytes[i] - (double)meter->base_bytes;
        if (volume >= range->least && volume <= range->most) {
            double here = verify_charge(meter, volume);
            low = fmin(low, here - price * volume);
            *magnitude += fabs(here) + fabs(price * volume);
        }
    }
    return low;
}

double verify_chord(const struct problem_meter *meter, const struct verify_range *range)
{
    if (!(range->most > range->least)) {
        return 0;
    }
    double chord = (verify_charge(meter, range->most) - verify_charge(meter, range->least)) /
                   (range->most - range->least);
    return isfinite(chord) ? chord : 0;
}

double verify_bend(const struct problem_meter *meter, const struct verify_range *range,
                   double *ret_volume)
{
    double most = 0;
    double chord = verify_chord(meter, range);
    for (int i = 0; i < meter->tier_count - 1; i++) {
        double volume = (double)meter->up_to_bytes[i] - (double)meter->base_bytes;
        if (volume > range->least && volume < range->most) {
            double line = verify_charge(meter, range->least) + chord * (volume - range->least);
            double bend = fabs(verify_charge(meter, volume) - line);
            if (bend > most) {
                most = bend;
                *ret_volume = volume;
            }
        }
    }
    return most;
}

static bool sums_make(struct sums *sums, struct arena *arena)
{
    const struct problem *problem = sums->problem;
    size_t meters = (size_t)problem->meter_count + 1;
    size_t parts = (size_t)problem->part_count + 1;
    sums->open = arena_array(arena, parts, sizeof(*sums->open));
    sums->first = arena_array(arena, parts, sizeof(int));
    sums->next = arena_array(arena, (size_t)problem->rule_count + 1, sizeof(int));
    sums->cells = arena_array(arena, cells_most(problem) + 1, sizeof(bool));
    sums->touched = arena_array(arena, meters, sizeof(double));
    sums->sum = arena_array(arena, meters, sizeof(double));
    sums->least = arena_array(arena, meters, sizeof(double));
    sums->most = arena_array(arena, meters, sizeof(double));
    bool full = sums->open == NULL || sums->first == NULL || sums->next == NULL ||
                sums->cells == NULL || sums->touched == NULL || sums->sum == NULL ||
                sums->least == NULL || sums->most == NULL;
    for (int i = 0; i < problem->part_count && !full; i++) {
        size_t choices = (size_t)problem->parts[i].choice_count;
        sums->first[i] = -1;
        sums->open[i] = arena_array(arena, choices + 1, sizeof(bool));
        full = sums->open[i] == NULL;
    }
    return !full;
}

static size_t cells_most(const struct problem *problem)
{
    size_t most = 0;
    for (int i = 0; i < problem->part_count; i++) {
        size_t cells = (size_t)problem->parts[i].choice_count;
        most = cells > most ? cells : most;
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        size_t cells = (size_t)problem->parts[pair->a].choice_count *
                       (size_t)problem->parts[pair->b].choice_count;
        most = cells > most ? cells : most;
    }
    return most;
}

/* What rules on one part forbid; those on two are listed by the part that comes first. */
static void close_choices(struct sums *sums)
{
    const struct problem *problem = sums->problem;
    for (int i = 0; i < problem->part_count; i++) {
        for (int c = 0; c < problem->parts[i].choice_count; c++) {
            sums->open[i][c] = true;
        }
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CHOICES) {
            for (int c = 0; c < problem->parts[rule->a].choice_count; c++) {
                sums->open[rule->a][c] = sums->open[rule->a][c] && rule->allowed[c];
            }
        } else if (rule->kind == RULE_PAIR) {
            int part = rule->a < rule->b ? rule->a : rule->b;
            sums->next[i] = sums->first[part];
            sums->first[part] = i;
        }
    }
}

/* Fills cells[] for the table of a pair; returns how many may be taken. */
static size_t open_cells(struct sums *sums, const struct problem_pair *pair)
{
    const struct problem *problem = sums->problem;
    int rows = problem->parts[pair->a].choice_count;
    int columns = problem->parts[pair->b].choice_count;
    for (int i = 0; i < rows * columns; i++) {
        sums->cells[i] = sums->open[pair->a][i / columns] && sums->open[pair->b][i % columns];
    }
    int first = sums->first[pair->a < pair->b ? pair->a : pair->b];
    for (int rule = first; rule >= 0; rule = sums->next[rule]) {
        const struct problem_rule *it = &problem->rules[rule];
        bool same = it->a == pair->a && it->b == pair->b;
        bool turned = it->a == pair->b && it->b == pair->a;
        for (int i = 0; (same || turned) && i < rows * columns; i++) {
            int cell = same ? i : i % columns * rows + i / columns;
            sums->cells[i] = sums->cells[i] && it->allowed[cell];
        }
    }
    size_t open = 0;
    for (int i = 0; i < rows * columns; i++) {
        open += sums->cells[i];
    }
    return open;
}

/* Adds to each meter's least and most volume what the open cells of one table can put on it. */
static void widen(struct sums *sums, const struct problem_use *use, int use_count, size_t cells,
                  size_t open)
{
    size_t slots = use == NULL ? 0 : (size_t)use_count;
    for (size_t cell = 0; cell < cells && slots > 0; cell++) {
        const struct problem_use *slot = use + cell * slots;
        for (size_t k = 0; k < slots && sums->cells[cell]; k++) {
            if (slot[k].meter >= 0) {
                sums->sum[slot[k].meter] += (double)slot[k].bytes;
            }
        }
        for (size_t k = 0; k < slots; k++) {
            int meter = slot[k].meter;
            if (meter < 0 || sums->sum[meter] == 0) {
                continue; /* no bytes, or counted under an earlier slot */
            }
            double sum = sums->sum[meter];
            bool is_first = sums->touched[meter] == 0;
            sums->least[meter] = is_first ? sum : fmin(sums->least[meter], sum);
            sums->most[meter] = fmax(sums->most[meter], sum);
            sums->touched[meter]++;
            sums->sum[meter] = 0;
        }
    }
    for (size_t i = 0; i < cells * slots; i++) {
        int meter = use[i].meter;
        if (meter >= 0 && sums->touched[meter] > 0) {
            sums->ranges[meter].least +=
                sums->touched[meter] < (double)open ? 0 : sums->least[meter];
            sums->ranges[meter].most += sums->most[meter];
            sums->touched[meter] = 0;
            sums->most[meter] = 0;
        }
    }
}
