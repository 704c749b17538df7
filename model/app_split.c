#include "model/app_split.h"

#include <string.h>

#include "base/str.h"

/* The parts of workload i are first[i] to first[i] + count[i] - 1 of `workloads`. */
struct split {
    struct reader *reader;
    const struct app *app; /* as it is before */
    const struct split_mark *marks;
    uint64_t *users; /* [workload]: bit per group of users that reaches it, if it is split */
    int64_t *rate;   /* [workload * segment_count + segment]: their calls to it */
    int *first;
    int *count;
    struct workload *workloads;
    struct split_mark *part_marks;
    int workload_count;
    struct link *links;
    int link_count;
    struct apart *aparts;
    int apart_count;
};

_Static_assert(LIMIT_SEGMENTS <= 64, "a set of users is the bits of 64");

#define RATE_MAX (INT64_MAX >> 8) /* the sum over all users fits */

static bool split_services(struct reader *reader, struct app *app, const struct split_mark *marks,
                           const struct split_mark **ret_marks);
static bool split_data(struct reader *reader, struct app *app, const struct split_mark *marks);
static bool split_begin(struct split *split, struct reader *reader, const struct app *app,
                        const struct split_mark *marks, enum workload_kind kind);
static void find_users(struct split *split);
static void check_users(struct split *split);
static void find_rates(struct split *split);
static void add_rate(int64_t *rate, int64_t more);
static void divide(const struct split *split, int workload, int64_t calls,
                   int64_t parts[LIMIT_SEGMENTS]);
static bool place_parts(struct split *split);
static void name_part(struct split *split, const struct workload *from, const char *of, int at);
static void make_service_parts(struct split *split);
static void make_service_links(struct split *split);
static int part_of(const struct split *split, int workload, int segment);
static struct link *add_link(struct split *split);
static int find_readers(const struct split *split, int workload, int readers[LIMIT_FAMILY]);
static const char *reader_name(const struct app *app, const struct link *link);
static void make_data_parts(struct split *split);
static void make_data_links(struct split *split);
static void read_at_reader(struct split *split, const struct split_mark *mark, int workload);
static void make_aparts(struct split *split);
static void make_apart_pairs(struct split *split, const struct apart *apart);
static struct apart *add_apart(struct split *split, int count);
static bool finish(struct split *split, struct app *app);

void app_split(struct reader *reader, struct app *app, const struct split_mark *marks)
{
    /* Data sets after services: each part of a service is a reader of its own. */
    struct app whole = *app;
    if (split_services(reader, &whole, marks, &marks) && split_data(reader, &whole, marks)) {
        *app = whole;
    }
}

static bool split_services(struct reader *reader, struct app *app, const struct split_mark *marks,
                           const struct split_mark **ret_marks)
{
    struct split split;
    if (!split_begin(&split, reader, app, marks, KIND_SERVICE)) {
        return !reader->no_memory;
    }
    find_users(&split);
    check_users(&split);
    if (doc_problem_count(reader->doc) > 0) {
        return false;
    }
    find_rates(&split);
    for (int i = 0; i < app->workload_count; i++) {
        split.count[i] = split.users[i] == 0 ? 1 : __builtin_popcountll(split.users[i]);
    }
    if (!place_parts(&split)) {
        return false;
    }
    make_service_parts(&split);
    make_service_links(&split);
    make_aparts(&split);
    *ret_marks = split.part_marks;
    return finish(&split, app);
}

static bool split_data(struct reader *reader, struct app *app, const struct split_mark *marks)
{
    struct split split;
    if (!split_begin(&split, reader, app, marks, KIND_DATA)) {
        return !reader->no_memory;
    }
    for (int i = 0; i < app->workload_count; i++) {
        int readers[LIMIT_FAMILY];
        bool divided = marks[i].split && app->workloads[i].kind == KIND_DATA;
        split.count[i] = divided ? find_readers(&split, i, readers) : 1;
    }
    if (doc_problem_count(reader->doc) > 0 || !place_parts(&split)) {
        return false;
    }
    make_data_parts(&split);
    make_data_links(&split);
    make_aparts(&split);
    return finish(&split, app);
}

/* False when nothing of this kind is split, or without memory. */
static bool split_begin(struct split *split, struct reader *reader, const struct app *app,
                        const struct split_mark *marks, enum workload_kind kind)
{
    bool any = false;
    for (int i = 0; i < app->workload_count; i++) {
        any =
            any || (marks[i].split && (app->workloads[i].kind == KIND_DATA) == (kind == KIND_DATA));
    }
    if (!any) {
        return false;
    }
    *split = (struct split){.reader = reader, .app = app, .marks = marks};
    size_t cells = (size_t)app->workload_count * (size_t)app->segment_count;
    split->users = read_array(reader, app->workload_count, sizeof(*split->users));
    split->first = read_array(reader, app->workload_count, sizeof(*split->first));
    split->count = read_array(reader, app->workload_count, sizeof(*split->count));
    split->rate = read_array(reader, (int)cells, sizeof(*split->rate));
    split->links = read_array(reader, LIMIT_APP_LINKS, sizeof(*split->links));
    split->aparts = read_array(reader, LIMIT_RULES, sizeof(*split->aparts));
    return !reader->no_memory;
}

/* ---- services: a part for each group of users ---------------------------------------------- */

/* Users reach a split workload by a link of their own, or through a split caller. */
static void find_users(struct split *split)
{
    const struct app *app = split->app;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < app->link_count; i++) {
            const struct link *link = &app->links[i];
            if (!split->marks[link->to].split || app->workloads[link->to].kind == KIND_DATA) {
                continue;
            }
            uint64_t more = link->from_kind == LINK_SEGMENT ? UINT64_C(1) << link->from
                                                            : split->users[link->from];
            changed = changed || (more & ~split->users[link->to]) != 0;
            split->users[link->to] |= more;
        }
    }
}

static void check_users(struct split *split)
{
    const struct app *app = split->app;
    struct doc *doc = split->reader->doc;
    for (int i = 0; i < app->workload_count; i++) {
        const struct workload *workload = &app->workloads[i];
        if (!split->marks[i].split || workload->kind == KIND_DATA) {
            continue;
        }
        int count = __builtin_popcountll(split->users[i]);
        if (count == 0) {
            doc_problem(doc, split->marks[i].node,
                        "\"%s\" is split by users, and no users reach it; link users to it or to "
                        "a split caller of it, or remove split",
                        workload->name);
        } else if (count > LIMIT_FAMILY) {
            doc_problem(doc, split->marks[i].node,
                        "%d groups of users reach \"%s\"; at most %d can have a part of their own "
                        "(LIMIT_FAMILY): join some of them, or remove split",
                        count, workload->name, LIMIT_FAMILY);
        }
    }
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        if (link->from_kind == LINK_WORKLOAD && split->marks[link->to].split &&
            app->workloads[link->to].kind != KIND_DATA && !split->marks[link->from].split) {
            doc_problem(doc, split->marks[link->from].node,
                        "\"%s\" serves all users together and calls \"%s\", which is split by "
                        "users; split \"%s\" too, or do not split \"%s\"",
                        app->workloads[link->from].name, app->workloads[link->to].name,
                        app->workloads[link->from].name, app->workloads[link->to].name);
        }
    }
}

/* How many calls of each group reach each split workload, by the priors of the links: again and
 * again until nothing changes, at most once for each workload, as callers may call in a circle. */
static void find_rates(struct split *split)
{
    const struct app *app = split->app;
    int segments = app->segment_count;
    size_t cells = (size_t)app->workload_count * (size_t)segments;
    int64_t *next = read_array(split->reader, (int)cells, sizeof(*next));
    for (int pass = 0; next != NULL && pass <= app->workload_count; pass++) {
        memset(next, 0, cells * sizeof(*next));
        for (int i = 0; i < app->link_count; i++) {
            const struct link *link = &app->links[i];
            if (split->users[link->to] == 0) {
                continue;
            }
            if (link->from_kind == LINK_SEGMENT) {
                add_rate(&next[link->to * segments + link->from], link->calls_mhz);
                continue;
            }
            int64_t parts[LIMIT_SEGMENTS];
            divide(split, link->from, link->calls_mhz, parts);
            for (int k = 0; k < segments; k++) {
                add_rate(&next[link->to * segments + k], parts[k]);
            }
        }
        if (memcmp(next, split->rate, cells * sizeof(*next)) == 0) {
            return;
        }
        memcpy(split->rate, next, cells * sizeof(*next));
    }
}

static void add_rate(int64_t *rate, int64_t more)
{
    *rate = *rate > RATE_MAX - (more < RATE_MAX ? more : RATE_MAX) ? RATE_MAX : *rate + more;
}

/* Calls of a split workload, or to it, divided among its users by their calls; evenly when none are
 * known. The parts add up to `calls`. */
static void divide(const struct split *split, int workload, int64_t calls,
                   int64_t parts[LIMIT_SEGMENTS])
{
    int segments = split->app->segment_count;
    const int64_t *rate = &split->rate[workload * segments];
    uint64_t users = split->users[workload];
    __int128 total = 0;
    for (int k = 0; k < segments; k++) {
        total += (users >> k & 1) != 0 ? rate[k] : 0;
    }
    bool even = total == 0;
    total = even ? __builtin_popcountll(users) : total;
    __int128 reached = 0;
    int64_t given = 0;
    for (int k = 0; k < segments; k++) {
        parts[k] = 0;
        if ((users >> k & 1) != 0) {
            reached += even ? 1 : rate[k];
            int64_t until = (int64_t)(calls * reached / total);
            parts[k] = until - given;
            given = until;
        }
    }
}

static void make_service_parts(struct split *split)
{
    const struct app *app = split->app;
    for (int i = 0; i < app->workload_count; i++) {
        const struct workload *from = &app->workloads[i];
        int64_t calls[LIMIT_SEGMENTS];
        divide(split, i, from->calls_mhz, calls);
        int at = split->first[i];
        for (int k = 0; split->users[i] != 0 && k < app->segment_count; k++) {
            if ((split->users[i] >> k & 1) != 0) {
                name_part(split, from, app->segments[k].name, at);
                split->workloads[at].segment = k;
                split->workloads[at].calls_mhz = calls[k];
                at++;
            }
        }
    }
}

static void make_service_links(struct split *split)
{
    const struct app *app = split->app;
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        bool divided = link->from_kind == LINK_WORKLOAD && split->users[link->from] != 0;
        if (!divided) {
            struct link *one = add_link(split);
            int segment = link->from_kind == LINK_SEGMENT ? link->from : -1;
            *one = *link;
            one->from = link->from_kind == LINK_SEGMENT ? link->from : split->first[link->from];
            one->to = part_of(split, link->to, segment);
            continue;
        }
        int64_t calls[LIMIT_SEGMENTS];
        divide(split, link->from, link->calls_mhz, calls);
        for (int k = 0; k < app->segment_count; k++) {
            if ((split->users[link->from] >> k & 1) != 0) {
                struct link *one = add_link(split);
                *one = *link;
                one->from = part_of(split, link->from, k);
                one->to = part_of(split, link->to, k);
                one->calls_mhz = calls[k];
            }
        }
    }
}

/* The part for these users; of a workload that is not split, itself. */
static int part_of(const struct split *split, int workload, int segment)
{
    uint64_t users = split->users[workload];
    uint64_t before = users == 0 ? 0 : users & ((UINT64_C(1) << segment) - 1);
    return split->first[workload] + __builtin_popcountll(before);
}

/* ---- data sets: a part for each reader ------------------------------------------------------ */

/* The links (by index) that first name each reader. */
static int find_readers(const struct split *split, int workload, int readers[LIMIT_FAMILY])
{
    const struct app *app = split->app;
    int count = 0;
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        bool known = link->to != workload;
        for (int k = 0; !known && k < count && k < LIMIT_FAMILY; k++) {
            const struct link *other = &app->links[readers[k]];
            known = other->from_kind == link->from_kind && other->from == link->from;
        }
        if (!known) {
            if (count < LIMIT_FAMILY) {
                readers[count] = i;
            }
            count++;
        }
    }
    const char *name = app->workloads[workload].name;
    if (count == 0) {
        doc_problem(split->reader->doc, split->marks[workload].node,
                    "\"%s\" is split by readers, and nobody links to it; link its readers, or "
                    "remove split",
                    name);
    } else if (count > LIMIT_FAMILY) {
        doc_problem(split->reader->doc, split->marks[workload].node,
                    "\"%s\" has more than %d readers (LIMIT_FAMILY); remove split, or divide the "
                    "data set in the document",
                    name, LIMIT_FAMILY);
    }
    return count < LIMIT_FAMILY ? count : LIMIT_FAMILY;
}

static const char *reader_name(const struct app *app, const struct link *link)
{
    return link->from_kind == LINK_SEGMENT ? app->segments[link->from].name
                                           : app->workloads[link->from].name;
}

static void make_data_parts(struct split *split)
{
    const struct app *app = split->app;
    for (int i = 0; i < app->workload_count; i++) {
        if (!split->marks[i].split || app->workloads[i].kind != KIND_DATA) {
            continue;
        }
        int readers[LIMIT_FAMILY];
        int count = find_readers(split, i, readers);
        for (int k = 0; k < count; k++) {
            name_part(split, &app->workloads[i], reader_name(app, &app->links[readers[k]]),
                      split->first[i] + k);
        }
        if (split->marks[i].at != NULL) {
            read_at_reader(split, &split->marks[i], i);
        }
    }
}

static void make_data_links(struct split *split)
{
    const struct app *app = split->app;
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        struct link *one = add_link(split);
        *one = *link;
        one->from = link->from_kind == LINK_SEGMENT ? link->from : split->first[link->from];
        one->to = split->first[link->to];
        if (split->marks[link->to].split && app->workloads[link->to].kind == KIND_DATA) {
            int readers[LIMIT_FAMILY];
            int count = find_readers(split, link->to, readers);
            for (int k = 0; k < count; k++) {
                const struct link *reader = &app->links[readers[k]];
                one->to +=
                    reader->from_kind == link->from_kind && reader->from == link->from ? k : 0;
            }
        }
    }
}

/* `at: {reader: site}`: a reader's own name, or that of its family. */
static void read_at_reader(struct split *split, const struct split_mark *mark, int workload)
{
    const struct app *app = split->app;
    struct doc *doc = split->reader->doc;
    int readers[LIMIT_FAMILY];
    int count = find_readers(split, workload, readers);
    for (size_t i = 0; i < doc_count(mark->at); i++) {
        const char *key = doc_key(mark->at, i);
        char site[LIMIT_REF_BYTES] = "";
        bool found = false;
        (void)read_site_name(split->reader, mark->at, key, DOC_REQUIRED, site);
        for (int k = 0; k < count; k++) {
            const struct link *link = &app->links[readers[k]];
            struct data_set *data = &split->workloads[split->first[workload] + k].data;
            bool own = str_equal(reader_name(app, link), key);
            bool family = link->from_kind == LINK_WORKLOAD &&
                          str_equal(app->workloads[link->from].family, key);
            found = found || own || family;
            if (own || (family && data->at[0] == '\0')) {
                str_format(data->at, sizeof(data->at), "%s", site);
            }
        }
        if (!found) {
            doc_problem(doc, doc_item(mark->at, i), "\"%.80s\" is no reader of \"%s\"", key,
                        app->workloads[workload].name);
        }
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

/* Where the parts stand; each begins as a copy of its workload. */
static bool place_parts(struct split *split)
{
    const struct app *app = split->app;
    int total = 0;
    for (int i = 0; i < app->workload_count; i++) {
        split->first[i] = total;
        total += split->count[i];
    }
    if (total > LIMIT_APP_WORKLOADS) {
        doc_problem(split->reader->doc, doc_root(split->reader->doc),
                    "with their parts these are %d workloads; an app has at most %d "
                    "(LIMIT_APP_WORKLOADS)",
                    total, LIMIT_APP_WORKLOADS);
        return false;
    }
    split->workload_count = total;
    split->workloads = read_array(split->reader, total, sizeof(*split->workloads));
    split->part_marks = read_array(split->reader, total, sizeof(*split->part_marks));
    if (split->workloads == NULL || split->part_marks == NULL) {
        return false;
    }
    for (int i = 0; i < app->workload_count; i++) {
        for (int k = 0; k < split->count[i]; k++) {
            split->workloads[split->first[i] + k] = app->workloads[i];
            split->part_marks[split->first[i] + k] = split->marks[i];
        }
    }
    return true;
}

static void name_part(struct split *split, const struct workload *from, const char *of, int at)
{
    struct workload *part = &split->workloads[at];
    str_format(part->family, sizeof(part->family), "%s", from->name);
    if (strlen(from->name) + strlen("--") + strlen(of) >= sizeof(part->name)) {
        doc_problem(split->reader->doc, split->part_marks[at].node,
                    "the part of \"%s\" for \"%s\" would have a name of more than %d characters; "
                    "shorten one of them",
                    from->name, of, LIMIT_NAME_BYTES - 1);
        return;
    }
    str_format(part->name, sizeof(part->name), "%s--%s", from->name, of);
}

/* Past the limit the last is overwritten, and finish() refuses. */
static struct link *add_link(struct split *split)
{
    int at = split->link_count < LIMIT_APP_LINKS ? split->link_count : LIMIT_APP_LINKS - 1;
    split->link_count++;
    return &split->links[at];
}

/* A workload that stays apart from a split one stays apart from each of its parts; the parts of one
 * family do not stay apart from each other. */
static void make_aparts(struct split *split)
{
    const struct app *app = split->app;
    for (int i = 0; i < app->apart_count; i++) {
        const struct apart *apart = &app->aparts[i];
        bool whole = true;
        for (int k = 0; k < apart->count; k++) {
            whole = whole && split->count[apart->workloads[k]] == 1;
        }
        if (!whole) {
            make_apart_pairs(split, apart);
            continue;
        }
        struct apart *one = add_apart(split, apart->count);
        for (int k = 0; one != NULL && k < apart->count; k++) {
            one->workloads[k] = split->first[apart->workloads[k]];
        }
    }
}

static void make_apart_pairs(struct split *split, const struct apart *apart)
{
    for (int i = 0; i < apart->count; i++) {
        for (int k = i + 1; k < apart->count; k++) {
            int a = apart->workloads[i];
            int b = apart->workloads[k];
            int pairs = split->count[a] * split->count[b];
            for (int pair = 0; pair < pairs; pair++) {
                struct apart *one = add_apart(split, 2);
                if (one != NULL) {
                    one->workloads[0] = split->first[a] + pair / split->count[b];
                    one->workloads[1] = split->first[b] + pair % split->count[b];
                }
            }
        }
    }
}

/* NULL without memory, and past the limit, which finish() refuses. */
static struct apart *add_apart(struct split *split, int count)
{
    if (split->apart_count++ >= LIMIT_RULES) {
        return NULL;
    }
    struct apart *apart = &split->aparts[split->apart_count - 1];
    apart->workloads = read_array(split->reader, count, sizeof(int));
    apart->count = apart->workloads == NULL ? 0 : count;
    return apart->workloads == NULL ? NULL : apart;
}

/* What the parts must not break: limits and unique names. */
static bool finish(struct split *split, struct app *app)
{
    struct doc *doc = split->reader->doc;
    if (split->link_count > LIMIT_APP_LINKS) {
        doc_problem(doc, doc_root(doc),
                    "with the parts' own these are %d links; an app has at most %d "
                    "(LIMIT_APP_LINKS)",
                    split->link_count, LIMIT_APP_LINKS);
    }
    if (split->apart_count > LIMIT_RULES) {
        doc_problem(doc, doc_root(doc),
                    "with the parts' own these are %d groups that stay apart; an app has at most "
                    "%d (LIMIT_RULES)",
                    split->apart_count, LIMIT_RULES);
    }
    if (split->reader->no_memory || doc_problem_count(doc) > 0) {
        return false;
    }
    app->workloads = split->workloads;
    app->workload_count = split->workload_count;
    app->links = split->links;
    app->link_count = split->link_count;
    app->aparts = split->aparts;
    app->apart_count = split->apart_count;
    for (int i = 0; i < app->workload_count; i++) {
        const char *name = app->workloads[i].name;
        const char *family = app->workloads[i].family;
        if (app_workload(app, name) != i || app_segment(app, name) >= 0) {
            doc_problem(doc, split->part_marks[i].node,
                        "a part of \"%s\" would be called \"%s\", as something of this app is "
                        "already; rename one of them",
                        family, name);
        }
        if (family[0] != '\0' &&
            (app_workload(app, family) >= 0 || app_segment(app, family) >= 0)) {
            doc_problem(doc, split->part_marks[i].node,
                        "\"%s\" is split, and \"%s\" is a name of this app already; rename one",
                        family, family);
        }
    }
    return doc_problem_count(doc) == 0;
}
