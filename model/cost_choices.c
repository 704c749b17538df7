/* What a part may choose: sites, variants, and who of its family it shares both with. The order is
 * that of the problem's choices: by site, then by variant, then by the set of sharers; the part
 * alone comes first. A set is only offered where the documents allow each of its parts. */
#include "base/str.h"
#include "model/cost_internal.h"

static int add_spots(const struct cost_frame *frame, int part, struct cost_spot *spots);
static unsigned open_mask(const struct cost_frame *frame, const struct cost_part_info *info,
                          int site, int variant);
static unsigned spread(unsigned rank, unsigned mask);
static unsigned gather(unsigned value, unsigned mask);
static int choice_of(const struct cost_input *input, const struct problem *problem,
                     const struct placement *at, int app, int workload, int part);
static int too_many(const struct cost_frame *frame, int part, int count, struct error *err);
static int workload_of(const struct cost_input *input, int part, int *ret_app);
static int members_of(const struct app *app, int workload, int members[LIMIT_FAMILY]);

int cost_spots_build(struct cost_frame *frame, struct arena *arena, struct error *err)
{
    for (int part = 0; part < frame->part_count; part++) {
        struct cost_part_info *info = &frame->parts[part];
        int count = add_spots(frame, part, NULL);
        if (count > LIMIT_CHOICES) {
            return too_many(frame, part, count, err);
        }
        struct cost_spot *spots = arena_array(arena, (size_t)count, sizeof(*spots));
        if (spots == NULL) {
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the choices of a placement");
        }
        info->spot_count = add_spots(frame, part, spots);
        info->spots = spots;
    }
    return 0;
}

bool cost_is_open(const struct world *world, const struct workload *what, int variant, int site)
{
    const struct site *at = &world->sites[site];
    unsigned own = what->variant_count > 0 ? what->variants[variant].tiers : 0;
    if ((what->tiers != 0 && (what->tiers >> at->tier & 1) == 0) ||
        (own != 0 && (own >> at->tier & 1) == 0) ||
        (what->pin[0] != '\0' && !str_equal(what->pin, at->name))) {
        return false;
    }
    for (int i = 0; i < what->require.count; i++) {
        if (!site_has_tag(at, what->require.list[i].key, what->require.list[i].value)) {
            return false;
        }
    }
    return true;
}

int cost_variants(const struct workload *what)
{
    return what->variant_count > 1 ? what->variant_count : 1;
}

int64_t cost_reserve(const struct workload *what, int variant, int resource)
{
    int64_t own = what->variant_count > 0 ? what->variants[variant].reserve[resource] : -1;
    return what->kind == KIND_DATA ? 0 : own >= 0 ? own : what->reserve[resource];
}

int cost_variant(const struct workload *what, const struct placement *at)
{
    return at->variant >= 0 && at->variant < cost_variants(what) ? at->variant : 0;
}

struct cost_spot cost_spot_at(const struct cost_context *context, const struct placement *at,
                              int part)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct cost_family *family = info->family;
    int variant = cost_variant(info->what, &at[part]);
    if (at[part].site < 0) {
        return (struct cost_spot){.site = -1, .lead = part, .hit_ppm = -1};
    }
    if (family->count == 1) {
        return info->spots[at[part].site * cost_variants(info->what) + variant];
    }
    struct cost_spot spot = {.site = at[part].site, .variant = variant};
    for (int i = 0; i < family->count; i++) {
        const struct placement *other = &at[info->parts[i]];
        if (other->site == spot.site && cost_variant(info->what, other) == variant) {
            spot.sharers |= 1U << i;
        }
    }
    bool measured;
    spot.lead = info->parts[__builtin_ctz(spot.sharers)];
    spot.hit_ppm = cost_family_hit_ppm(&context->lookup, family, spot.site, spot.variant,
                                       spot.sharers, &measured);
    return spot;
}

struct placement cost_placement(const struct cost_input *input, const struct problem *problem,
                                int part, int choice)
{
    const struct problem_choice *chosen = &problem->parts[part].choices[choice];
    int app;
    return (struct placement){chosen->site, chosen->variant,
                              workload_of(input, chosen->lead, &app)};
}

struct placement cost_placement_from(const struct cost_context *context,
                                     const struct problem *problem, int part, int choice)
{
    const struct problem_choice *chosen = &problem->parts[part].choices[choice];
    return (struct placement){chosen->site, chosen->variant, context->parts[chosen->lead].workload};
}

int cost_choice(const struct cost_input *input, const struct problem *problem,
                const struct placement *at, int part)
{
    int app;
    int workload = workload_of(input, part, &app);
    return choice_of(input, problem, at, app, workload, part);
}

static int choice_of(const struct cost_input *input, const struct problem *problem,
                     const struct placement *at, int app, int workload, int part)
{
    const struct problem_part *choices = &problem->parts[part];
    int members[LIMIT_FAMILY];
    const struct app *owner = input->apps[app].app;
    int count = members_of(owner, workload, members);
    int site = at[part].site;
    int variant = cost_variant(&owner->workloads[workload], &at[part]);
    unsigned open = 0;
    unsigned sharers = 0;
    unsigned own = 0;
    if (site < 0 || site >= problem->site_count) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        const struct placement *other = &at[part - workload + members[i]];
        bool allowed = cost_is_open(input->world, &owner->workloads[members[i]], variant, site);
        own |= members[i] == workload ? 1U << i : 0;
        open |= allowed ? 1U << i : 0;
        sharers |=
            other->site == site && cost_variant(&owner->workloads[members[i]], other) == variant
                ? 1U << i
                : 0;
    }
    open = (open & own) != 0 ? open & ~own : 0;
    if (((sharers & ~own) & ~open) != 0) {
        return -1; /* it would share with one that may not be there */
    }
    for (int i = 0; i < choices->choice_count; i++) {
        if (choices->choices[i].site == site && choices->choices[i].variant == variant) {
            return i + (int)gather(sharers & ~own, open);
        }
    }
    return -1;
}

bool cost_choices(const struct cost_input *input, const struct problem *problem,
                  const struct placement *at, int *ret_choice)
{
    bool all = true;
    for (int app = 0, part = 0; app < input->app_count; app++) {
        for (int i = 0; i < input->apps[app].app->workload_count; i++, part++) {
            ret_choice[part] = choice_of(input, problem, at, app, i, part);
            all = all && ret_choice[part] >= 0;
        }
    }
    return all;
}

/* Counts them, and keeps them when there is room. */
static int add_spots(const struct cost_frame *frame, int part, struct cost_spot *spots)
{
    const struct cost_part_info *info = &frame->parts[part];
    unsigned own = 1U << info->member;
    int variants = cost_variants(info->what);
    int count = 0;
    for (int site = 0; site < frame->paths.site_count; site++) {
        for (int variant = 0; variant < variants; variant++) {
            unsigned others = open_mask(frame, info, site, variant);
            others = (others & own) != 0 ? others & ~own : 0;
            int sets = 1 << __builtin_popcount(others);
            for (int rank = 0; spots != NULL && rank < sets; rank++) {
                unsigned sharers = spread((unsigned)rank, others) | own;
                int lead = info->parts[__builtin_ctz(sharers)];
                spots[count + rank] = (struct cost_spot){site, variant, sharers, lead, -1};
            }
            count += sets;
        }
    }
    return count;
}

/* The members that the documents allow there. */
static unsigned open_mask(const struct cost_frame *frame, const struct cost_part_info *info,
                          int site, int variant)
{
    unsigned mask = 0;
    for (int i = 0; i < info->members; i++) {
        const struct cost_part_info *other = &frame->parts[info->parts[i]];
        mask |= other->open[variant * frame->paths.site_count + site] ? 1U << i : 0;
    }
    return mask;
}

/* The bits of `rank` on the places of the bits of `mask`; and back. */
static unsigned spread(unsigned rank, unsigned mask)
{
    unsigned value = 0;
    for (; mask != 0; mask &= mask - 1, rank >>= 1) {
        value |= (rank & 1) != 0 ? mask & -mask : 0;
    }
    return value;
}

static unsigned gather(unsigned value, unsigned mask)
{
    unsigned rank = 0;
    for (unsigned bit = 1; mask != 0; mask &= mask - 1, bit <<= 1) {
        rank |= (value & mask & -mask) != 0 ? bit : 0;
    }
    return rank;
}

static int too_many(const struct cost_frame *frame, int part, int count, struct error *err)
{
    const struct cost_part_info *info = &frame->parts[part];
    return error_set(err, ERR_LIMIT, 0,
                     "%s/%s/%s has %d choices of site, variant and sharers (%d sites, %d variants, "
                     "a family of %d); at most %d: narrow it with tiers, tags or a pin, or divide "
                     "it into fewer segments",
                     info->owner->namespace_, info->owner->name, info->what->name, count,
                     frame->paths.site_count, cost_variants(info->what), info->members,
                     LIMIT_CHOICES);
}

/* The workload's index in its app. */
static int workload_of(const struct cost_input *input, int part, int *ret_app)
{
    int app = 0;
    while (part >= input->apps[app].app->workload_count) {
        part -= input->apps[app++].app->workload_count;
    }
    *ret_app = app;
    return part;
}

static int members_of(const struct app *app, int workload, int members[LIMIT_FAMILY])
{
    const char *name = app->workloads[workload].family;
    int count = 0;
    for (int i = 0; name[0] != '\0' && i < app->workload_count && count < LIMIT_FAMILY; i++) {
        if (str_equal(app->workloads[i].family, name)) {
            members[count++] = i;
        }
    }
    if (count == 0) {
        members[count++] = workload;
    }
    return count;
}
