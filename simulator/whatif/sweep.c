#include "simulator/whatif/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"

/* What a batch of points is made of. */
struct points {
    const struct sweep_base *base;
    const struct cost_lookup *lookup;
    const struct sweep_axis *axes;
    int axis_count;
    struct arena *arena;
    struct sweep_point *list;
};

static int split_number(const char *text, const char *end, struct sweep_axis *axis, bool first,
                        struct decimal *ret_number, struct error *err);
static int count_points(const struct decimal *ends, struct sweep_axis *axis, struct error *err);
static int make_point(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                      struct error *err);
static int take_point(void *context, int index, const struct whatif_answer *answer,
                      struct error *err);

int sweep_axis_parse(const char *text, struct sweep_axis *ret_axis, struct error *err)
{
    struct sweep_axis axis = {.count = 0};
    struct decimal ends[3];
    const char *equals = strchr(text, '=');
    const char *at = equals == NULL ? NULL : equals + 1;
    if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof(axis.path))
        return error_set(
            err, ERR_INVALID, 0,
            "\"%.100s\": write PATH=LO:HI:STEP, as in price.egress.aws*=0.05:0.15:0.01", text);
    memcpy(axis.path, text, (size_t)(equals - text));
    for (int i = 0; i < 3; i++) {
        const char *end = at == NULL ? NULL : i == 2 ? at + strlen(at) : strchr(at, ':');
        if (end == NULL || end == at)
            return error_set(err, ERR_INVALID, 0, "%.100s: LO:HI:STEP, as in x0.5:x3:x0.5", text);
        int rc = split_number(at, end, &axis, i == 0, &ends[i], err);
        if (rc < 0)
            return error_prefix(err, "%.100s", text);
        at = *end == 0 ? end : end + 1;
    }
    int rc = count_points(ends, &axis, err);
    struct override override;
    char value[LIMIT_NAME_BYTES];
    for (int i = 0; i < axis.count && rc == 0; i += axis.count > 1 ? axis.count - 1 : 1) {
        sweep_axis_value(&axis, i, value); /* both ends are values that the path can have */
        rc = override_of(axis.path, value, &override, err);
        if (i == axis.count - 1)
            break;
    }
    if (rc == 0)
        *ret_axis = axis;
    return rc;
}

void sweep_axis_value(const struct sweep_axis *axis, int index, char out[LIMIT_NAME_BYTES])
{
    struct decimal value = axis->from;
    char text[DECIMAL_TEXT_BYTES];
    value.coefficient += axis->step.coefficient * index;
    str_format(out, LIMIT_NAME_BYTES, "%s%s%s%s", axis->before,
               axis->parts && value.coefficient >= 0 ? "+" : "", decimal_format(value, text),
               axis->after);
}

double sweep_axis_number(const struct sweep_axis *axis, int index)
{
    return (double)(axis->from.coefficient + axis->step.coefficient * index) /
           pow(10, axis->from.scale);
}

int sweep_run(struct whatif *whatif, const struct sweep_base *base, const struct sweep_axis *axes,
              int axis_count, struct arena *arena, struct sweep_point **ret_points,
              struct error *err)
{
    struct points points = {base, NULL, axes, axis_count, arena, NULL};
    int64_t count = axes[0].count * (int64_t)(axis_count > 1 ? axes[1].count : 1);
    if (count > SWEEP_POINTS_MAX)
        return error_set(err, ERR_LIMIT, 0, "%lld points are more than %d; take larger steps",
                         (long long)count, SWEEP_POINTS_MAX);
    points.list = arena_array(arena, (size_t)count, sizeof(struct sweep_point));
    if (points.list == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a sweep");
    int rc = cost_lookup_make(base->input, arena, &points.lookup, err);
    struct whatif_batch batch = {.at = base->at,
                                 .lookup = points.lookup,
                                 .count = (int)count,
                                 .make = make_point,
                                 .take = take_point,
                                 .context = &points};
    if (rc == 0)
        rc = whatif_batch(whatif, &batch, err);
    if (rc == 0)
        *ret_points = points.list;
    return rc;
}

/* "x0.5", "-50%", "20ms": what stands before and behind the number is the same in all three. */
static int split_number(const char *text, const char *end, struct sweep_axis *axis, bool first,
                        struct decimal *ret_number, struct error *err)
{
    char number[LIMIT_NAME_BYTES] = "";
    char after[LIMIT_NAME_BYTES] = "";
    const char *at = text;
    bool times = *at == 'x';
    bool sign = *at == '+' || *at == '-';
    at += times || *at == '+';
    size_t digits = strspn(at, "-.0123456789");
    size_t rest = (size_t)(end - at) > digits ? (size_t)(end - at) - digits : 0;
    if (digits > (size_t)(end - at))
        digits = (size_t)(end - at);
    if (digits == 0 || digits >= sizeof(number) || rest >= sizeof(after))
        return error_set(err, ERR_INVALID, 0, "\"%.*s\" is no number with a unit",
                         (int)(end - text), text);
    memcpy(number, at, digits);
    memcpy(after, at + digits, rest);
    bool step_of_parts = !first && axis->parts && str_equal(after, "%");
    if (first) {
        str_format(axis->before, sizeof(axis->before), "%s", times ? "x" : "");
        str_format(axis->after, sizeof(axis->after), "%s", after);
        axis->parts = sign && str_equal(after, "%");
    }
    if (!str_equal(axis->before, times ? "x" : "") || !str_equal(axis->after, after) ||
        (axis->parts && !sign && !step_of_parts))
        return error_set(err, ERR_INVALID, 0,
                         "LO, HI and STEP are written alike, with the same unit: 20ms:200ms:20ms");
    return decimal_parse(number, ret_number, err);
}

static int count_points(const struct decimal *ends, struct sweep_axis *axis, struct error *err)
{
    int scale = 0;
    int64_t numbers[3];
    for (int i = 0; i < 3; i++)
        scale = ends[i].scale > scale ? ends[i].scale : scale;
    for (int i = 0; i < 3; i++)
        if (scale > 12 || decimal_scaled(ends[i], scale, &numbers[i]) < 0 ||
            numbers[i] > INT64_MAX / 4 || numbers[i] < -INT64_MAX / 4)
            return error_set(err, ERR_OVERFLOW, 0, "a number has too many digits");
    if (numbers[2] <= 0 || numbers[1] < numbers[0])
        return error_set(err, ERR_INVALID, 0, "LO is not above HI, and STEP is above 0");
    int64_t count = (numbers[1] - numbers[0]) / numbers[2] + 1;
    if (count > SWEEP_POINTS_MAX)
        return error_set(err, ERR_LIMIT, 0, "%lld points are more than %d; take a larger STEP",
                         (long long)count, SWEEP_POINTS_MAX);
    axis->from = (struct decimal){numbers[0], scale};
    axis->step = (struct decimal){numbers[2], scale};
    axis->count = (int)count;
    return 0;
}

static int make_point(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                      struct error *err)
{
    struct points *points = context;
    const struct sweep_base *base = points->base;
    int second = points->axis_count > 1 ? points->axes[1].count : 1;
    int at[SWEEP_AXES] = {index / second, index % second};
    struct override *list =
        arena_array(arena, (size_t)(base->count + SWEEP_AXES), sizeof(struct override));
    if (list == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a scenario");
    if (base->count > 0)
        memcpy(list, base->list, (size_t)base->count * sizeof(*list));
    for (int i = 0; i < points->axis_count; i++) {
        char value[LIMIT_NAME_BYTES];
        sweep_axis_value(&points->axes[i], at[i], value);
        int rc = override_of(points->axes[i].path, value, &list[base->count + i], err);
        if (rc < 0)
            return rc;
    }
    return override_apply_to(points->lookup, list, base->count + points->axis_count, arena,
                             ret_input, err);
}

static int take_point(void *context, int index, const struct whatif_answer *answer,
                      struct error *err)
{
    struct points *points = context;
    return sweep_point_of(points->base->at, answer, points->arena, &points->list[index], err);
}

int sweep_point_of(const struct placement *at, const struct whatif_answer *answer,
                   struct arena *arena, struct sweep_point *ret_point, struct error *err)
{
    *ret_point = (struct sweep_point){.status = answer->status,
                                      .same_bill = whatif_bill(&answer->same),
                                      .same_score = answer->same.score};
    if (!whatif_is_placed(answer))
        return 0;
    ret_point->bill = whatif_bill(&answer->total);
    ret_point->once = answer->total.bill_term[TERM_MIGRATION];
    ret_point->score = answer->total.score;
    ret_point->gap_ppm = whatif_gap_ppm(answer);
    ret_point->moves = whatif_moves(&answer->input, at, answer->best);
    if (arena == NULL)
        return 0;
    size_t bytes = (size_t)(whatif_parts(&answer->input) + 1) * sizeof(struct placement);
    ret_point->at = arena_copy(arena, answer->best, bytes);
    return ret_point->at != NULL
               ? 0
               : error_set(err, ERR_NO_MEMORY, 0, "no memory for a point's placement");
}
