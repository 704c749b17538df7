#include "tests/bench/solver/calls.h"

#include <string.h>

#include "base/str.h"

#define PRICE_MAX  1000 /* dollars per GB */
#define RATE_MAX   1000000000
#define CPU_MAX    1000000 /* milli-CPUs */
#define MEMORY_MAX 1000000 /* MiB */

static int app_of(struct calls *calls, const char *name, int *ret_app, struct error *err);
static int service_of(struct calls *calls, const struct csv *csv, int app,
                      const struct csv_field *field, int *ret_service, struct error *err);
static int add_edge(struct calls *calls, const struct csv *csv, int app,
                    const struct csv_field *caller, const struct csv_field *callee,
                    struct error *err);
static int begin(struct csv *csv, const char *text, size_t bytes, struct error *err);
static bool same_line(const struct csv *a, const struct csv *b);
static int column_of(const struct csv *csv, const char *name, int *ret_column, struct error *err);
static int pairs_of(const char *text, size_t bytes, struct arena *arena,
                    struct calls_regions *regions, struct error *err);

int calls_read_edges(const char *text, size_t bytes, const char *app, struct calls *calls,
                     struct error *err)
{
    struct csv csv;
    int rc = begin(&csv, text, bytes, err);
    if (rc < 0) {
        return rc;
    }
    bool one = csv.count == 2 && csv_is(&csv.field[0], "caller") && csv_is(&csv.field[1], "callee");
    for (rc = one ? csv_next(&csv, err) : 1; rc > 0; rc = csv_next(&csv, err)) {
        char name[LIMIT_NAME_BYTES];
        int at = 0;
        int known = csv_expect(&csv, one ? 2 : 3, err);
        if (known == 0 && one) {
            known = str_copy(name, sizeof(name), app);
        } else if (known == 0) {
            known = csv_name(&csv, &csv.field[0], "an app", name, err);
        }
        known = known == 0 ? app_of(calls, name, &at, err) : known;
        const struct csv_field *field = &csv.field[one ? 0 : 1];
        rc = known == 0 ? add_edge(calls, &csv, at, &field[0], &field[1], err) : known;
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

int calls_read_requests(const char *text, size_t bytes, const char *app, struct calls *calls,
                        struct error *err)
{
    struct csv csv;
    int at = 0;
    int rc = begin(&csv, text, bytes, err);
    int cpu = 0;
    int memory = 0;
    rc = rc < 0 ? rc : column_of(&csv, "cpu_request", &cpu, err);
    rc = rc < 0 ? rc : column_of(&csv, "memory_request", &memory, err);
    rc = rc < 0 ? rc : app_of(calls, app, &at, err);
    rc = rc < 0 ? rc : csv_next(&csv, err);
    int columns = 3;
    while (rc > 0) {
        int service = -1;
        int64_t mcpu = 0;
        int64_t mib = 0;
        rc = csv_expect(&csv, columns, err);
        rc = rc < 0 ? rc : csv_micro(&csv, cpu, "a CPU request", "m", CPU_MAX, &mcpu, err);
        rc = rc < 0 ? rc : csv_micro(&csv, memory, "a request", "Mi", MEMORY_MAX, &mib, err);
        rc = rc < 0 ? rc : service_of(calls, &csv, at, &csv.field[0], &service, err);
        if (rc < 0) {
            return rc;
        }
        if (service >= 0) {
            calls->service[service].cpu_mcpu = (int32_t)(mcpu / 1000000);
            calls->service[service].memory_mib = (int32_t)(mib / 1000000);
        }
        rc = csv_next(&csv, err);
    }
    return rc;
}

int calls_read_means(const char *text, size_t bytes, const char *app, struct calls *calls,
                     struct error *err)
{
    struct csv csv;
    int at = 0;
    int receive = 0;
    int transmit = 0;
    int rc = begin(&csv, text, bytes, err);
    rc = rc < 0 ? rc : column_of(&csv, "net_receive", &receive, err);
    rc = rc < 0 ? rc : column_of(&csv, "net_trainsmit", &transmit, err);
    rc = rc < 0 ? rc : app_of(calls, app, &at, err);
    int columns = csv.count;
    rc = rc < 0 ? rc : csv_next(&csv, err);
    while (rc > 0) {
        int service = -1;
        int64_t in = 0;
        int64_t out = 0;
        rc = csv_expect(&csv, columns, err);
        rc = rc < 0 ? rc : csv_micro(&csv, receive, "net_receive", "", RATE_MAX, &in, err);
        rc = rc < 0 ? rc : csv_micro(&csv, transmit, "net_trainsmit", "", RATE_MAX, &out, err);
        rc = rc < 0 ? rc : service_of(calls, &csv, at, &csv.field[0], &service, err);
        if (rc < 0) {
            return rc;
        }
        if (service >= 0) {
            calls->service[service].receive_byte_s = in / 1000;
            calls->service[service].send_byte_s = out / 1000;
        }
        rc = csv_next(&csv, err);
    }
    return rc;
}

int calls_read_rates(const char *text, size_t bytes, const char *app, struct calls *calls,
                     struct error *err)
{
    struct csv csv;
    int at = 0;
    int service[CSV_FIELDS_MAX] = {0};
    int64_t sum[CSV_FIELDS_MAX] = {0};
    int64_t rows = 0;
    int rc = begin(&csv, text, bytes, err);
    rc = rc < 0 ? rc : app_of(calls, app, &at, err);
    int columns = csv.count;
    struct csv head = csv;
    for (int i = 1; i < columns && rc >= 0; i++) {
        rc = service_of(calls, &csv, at, &csv.field[i], &service[i], err);
    }
    rc = rc < 0 ? rc : csv_next(&csv, err);
    for (; rc > 0; rc = csv_next(&csv, err)) {
        int known = csv_expect(&csv, columns, err);
        bool again = known == 0 && same_line(&csv, &head);
        for (int i = 1; i < columns && known == 0 && !again; i++) {
            int64_t rate = 0;
            known = csv_micro(&csv, i, "a rate", "", RATE_MAX, &rate, err);
            if (known == 0 && __builtin_add_overflow(sum[i], rate, &sum[i])) {
                known = error_set(err, ERR_INVALID, 0, "line %d: the rates are too large together",
                                  csv.line);
            }
        }
        if (known < 0) {
            return known;
        }
        rows += !again;
    }
    for (int i = 1; i < columns && rows > 0 && rc == 0; i++) {
        if (service[i] >= 0) {
            calls->service[service[i]].rate_uhz = sum[i] / rows;
        }
    }
    return rc;
}

int calls_read_samples(const char *text, size_t bytes, const char *app, struct calls *calls,
                       struct error *err)
{
    struct csv csv;
    int at = 0;
    int rc = begin(&csv, text, bytes, err);
    rc = rc < 0 ? rc : app_of(calls, app, &at, err);
    for (int i = 1; i < csv.count && rc >= 0; i++) {
        const struct csv_field *field = &csv.field[i];
        const char *end = memchr(field->at, '&', field->bytes);
        const char *middle = memchr(field->at, '_', field->bytes);
        if (end == NULL || middle == NULL || middle > end) {
            return error_set(err, ERR_INVALID, 0, "line %d, field %d: not CALLER_CALLEE&WHAT",
                             csv.line, i + 1);
        }
        struct csv_field caller = {field->at, (size_t)(middle - field->at)};
        struct csv_field callee = {middle + 1, (size_t)(end - middle - 1)};
        rc = add_edge(calls, &csv, at, &caller, &callee, err);
    }
    return rc < 0 ? rc : 0;
}

int calls_read_regions(const char *text, size_t bytes, struct arena *arena,
                       struct calls_regions *ret_regions, struct error *err)
{
    struct calls_regions regions = {0};
    regions.name = arena_array(arena, CALLS_REGIONS_MAX, sizeof(*regions.name));
    if (regions.name == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for regions");
    }
    int rc = pairs_of(text, bytes, arena, &regions, err);
    if (rc == 0) {
        *ret_regions = regions;
    }
    return rc;
}

static int region_of(struct calls_regions *regions, const struct csv *csv, int field,
                     int *ret_region, struct error *err)
{
    char name[LIMIT_NAME_BYTES];
    int rc = csv_name(csv, &csv->field[field], "a region", name, err);
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < regions->count; i++) {
        if (str_equal(regions->name[i], name)) {
            *ret_region = i;
            return 0;
        }
    }
    if (regions->count == CALLS_REGIONS_MAX) {
        return error_set(err, ERR_LIMIT, 0, "line %d: more than %d regions (CALLS_REGIONS_MAX)",
                         csv->line, CALLS_REGIONS_MAX);
    }
    memcpy(regions->name[regions->count], name, sizeof(name));
    *ret_region = regions->count++;
    return 0;
}

/* The first pass counts the regions, the second fills the table: every pair exactly once. */
static int pairs_of(const char *text, size_t bytes, struct arena *arena,
                    struct calls_regions *regions, struct error *err)
{
    int64_t rows = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct csv csv;
        int rc = begin(&csv, text, bytes, err);
        rc = rc < 0 ? rc : csv_expect(&csv, 5, err);
        if (rc == 0 && !csv_is(&csv.field[4], "cost")) {
            return error_set(err, ERR_INVALID, 0, "line %d: field 5 is not 'cost'", csv.line);
        }
        for (rc = rc < 0 ? rc : csv_next(&csv, err); rc > 0; rc = csv_next(&csv, err)) {
            int from = 0;
            int to = 0;
            int64_t price = 0;
            int known = csv_expect(&csv, 5, err);
            known = known < 0 ? known : region_of(regions, &csv, 0, &from, err);
            known = known < 0 ? known : region_of(regions, &csv, 1, &to, err);
            known = known < 0 ? known : csv_micro(&csv, 4, "a cost", "", PRICE_MAX, &price, err);
            if (known < 0) {
                return known;
            }
            rows += pass == 0;
            uint32_t *cell = pass == 0 ? NULL : &regions->egress[from * regions->count + to];
            if (cell != NULL && *cell != UINT32_MAX) {
                return error_set(err, ERR_INVALID, 0, "line %d: %s to %s is there twice", csv.line,
                                 regions->name[from], regions->name[to]);
            }
            if (cell != NULL) {
                *cell = (uint32_t)price;
            }
        }
        size_t pairs = (size_t)regions->count * (size_t)regions->count;
        if (rc < 0) {
            return rc;
        }
        if (rows == 0 || rows < (int64_t)pairs) {
            return error_set(err, ERR_INVALID, 0, "%lld prices for %d regions: every pair has one",
                             (long long)rows, regions->count);
        }
        if (pass == 0) {
            regions->egress = arena_alloc_raw(arena, pairs * sizeof(uint32_t));
            if (regions->egress == NULL) {
                return error_set(err, ERR_NO_MEMORY, 0, "no memory for prices of regions");
            }
            memset(regions->egress, 0xff, pairs * sizeof(uint32_t));
        }
    }
    return 0;
}

static bool same_line(const struct csv *a, const struct csv *b)
{
    bool same = a->count == b->count;
    for (int i = 0; i < a->count && same; i++) {
        same = a->field[i].bytes == b->field[i].bytes &&
               memcmp(a->field[i].at, b->field[i].at, a->field[i].bytes) == 0;
    }
    return same;
}

/* The first line; an empty text is an error. */
static int begin(struct csv *csv, const char *text, size_t bytes, struct error *err)
{
    csv_begin(csv, text, bytes);
    int rc = csv_next(csv, err);
    return rc == 0 ? error_set(err, ERR_INVALID, 0, "line 1: the text is empty") : rc < 0 ? rc : 0;
}

static int column_of(const struct csv *csv, const char *name, int *ret_column, struct error *err)
{
    for (int i = 0; i < csv->count; i++) {
        if (csv_is(&csv->field[i], name)) {
            *ret_column = i;
            return 0;
        }
    }
    return error_set(err, ERR_INVALID, 0, "line %d: no column '%s'", csv->line, name);
}

static int app_of(struct calls *calls, const char *name, int *ret_app, struct error *err)
{
    for (int i = 0; i < calls->apps; i++) {
        if (str_equal(calls->app[i], name)) {
            *ret_app = i;
            return 0;
        }
    }
    if (calls->apps == CALLS_APPS_MAX) {
        return error_set(err, ERR_LIMIT, 0, "'%s' is one app more than %d (CALLS_APPS_MAX)", name,
                         CALLS_APPS_MAX);
    }
    int rc = str_copy(calls->app[calls->apps], LIMIT_NAME_BYTES, name);
    if (rc < 0) {
        return error_set(err, ERR_INVALID, 0, "the app's name is too long");
    }
    *ret_app = calls->apps++;
    return 0;
}

/* "UserTimelineService" becomes "user-timeline-service". */
static int dashed(const struct csv *csv, const struct csv_field *field, char name[LIMIT_NAME_BYTES],
                  struct error *err)
{
    char whole[LIMIT_NAME_BYTES];
    int rc = csv_name(csv, field, "a service", whole, err);
    size_t to = 0;
    for (size_t i = 0; rc == 0 && whole[i] != '\0'; i++) {
        bool upper = whole[i] >= 'A' && whole[i] <= 'Z';
        if (to + 2 >= LIMIT_NAME_BYTES) {
            return error_set(err, ERR_INVALID, 0, "line %d: '%s' is too long a name", csv->line,
                             whole);
        }
        if (upper && i > 0) {
            name[to++] = '-';
        }
        name[to++] = (char)(upper ? whole[i] + ('a' - 'A') : whole[i]);
    }
    name[to] = '\0';
    return rc;
}

/* -1 in *ret_service: users, not a service. */
static int service_of(struct calls *calls, const struct csv *csv, int app,
                      const struct csv_field *field, int *ret_service, struct error *err)
{
    static const char *const users[] = {"loadgenerator", "istio-ingressgateway", "unknown"};
    char name[LIMIT_NAME_BYTES];
    int rc = dashed(csv, field, name, err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        if (str_equal(users[i], name)) {
            *ret_service = -1;
            return 0;
        }
    }
    for (int i = 0; i < calls->services; i++) {
        if (calls->service[i].app == app && str_equal(calls->service[i].name, name)) {
            *ret_service = i;
            return 0;
        }
    }
    if (calls->services == CALLS_SERVICES_MAX) {
        return error_set(err, ERR_LIMIT, 0, "line %d: more than %d services (CALLS_SERVICES_MAX)",
                         csv->line, CALLS_SERVICES_MAX);
    }
    struct calls_service *service = &calls->service[calls->services];
    *service = (struct calls_service){.app = app};
    memcpy(service->name, name, sizeof(name));
    *ret_service = calls->services++;
    return 0;
}

static int add_edge(struct calls *calls, const struct csv *csv, int app,
                    const struct csv_field *caller, const struct csv_field *callee,
                    struct error *err)
{
    int a = -1;
    int b = -1;
    int rc = service_of(calls, csv, app, caller, &a, err);
    rc = rc < 0 ? rc : service_of(calls, csv, app, callee, &b, err);
    if (rc < 0 || a < 0 || b < 0) {
        return rc;
    }
    if (a == b) {
        return error_set(err, ERR_INVALID, 0, "line %d: '%s' calls itself", csv->line,
                         calls->service[a].name);
    }
    for (int i = 0; i < calls->edges; i++) {
        const struct calls_edge *edge = &calls->edge[i];
        if ((edge->caller == a && edge->callee == b) || (edge->caller == b && edge->callee == a)) {
            return 0; /* there already; a call back is part of it */
        }
    }
    if (calls->edges == CALLS_EDGES_MAX) {
        return error_set(err, ERR_LIMIT, 0, "line %d: more than %d edges (CALLS_EDGES_MAX)",
                         csv->line, CALLS_EDGES_MAX);
    }
    calls->edge[calls->edges++] = (struct calls_edge){a, b};
    return 0;
}
