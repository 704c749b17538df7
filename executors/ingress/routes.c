/*
 * routes: what is wanted. One slot for each workload's route, one file for each slot, written
 * before anything is done about it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/wire/wire.h"
#include "executors/ingress/internal.h"

#define ROUTE_BYTES_MAX (64 << 10)

static int check(const struct message_route *route, char key[INGRESS_KEY_BYTES],
                 struct want **ret_want, struct error *err);
static int check_key(const struct message_route *route, char key[INGRESS_KEY_BYTES],
                     struct error *err);
static int check_server(const struct message_server *server, struct want *want, struct error *err);
static int place(struct ingress *ingress, const struct message_route *route, const char *key,
                 int *ret_index, struct error *err);
static void set(struct slot *slot, const struct message_route *route, const char *key,
                struct want *want);
static int keep(struct ingress *ingress, int index, const struct message_route *route,
                struct error *err);
static int load_one(struct ingress *ingress, int index, struct arena *arena, struct error *err);
static bool is_of(const struct slot *slot, const struct message_route *route);
static struct ticket *ticket_add(struct ingress *ingress, const char *id);

int ingress_route(struct ingress *ingress, const char *id, const struct message_route *route,
                  struct error *err)
{
    char key[INGRESS_KEY_BYTES] = "";
    struct want *want = NULL;
    int index = -1;
    if (strlen(id) >= LIMIT_ID_BYTES)
        return error_set(err, ERR_INVALID, 0, "the id '%.50s' is too long", id);
    int rc = check(route, key, &want, err);
    if (rc == 0)
        rc = place(ingress, route, key, &index, err);
    if (rc == 0 && index >= 0)
        rc = keep(ingress, index, route, err);
    struct ticket *ticket = rc == 0 ? ticket_add(ingress, id) : NULL;
    if (rc == 0 && ticket == NULL)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for a route");
    if (rc < 0) {
        free(want);
        return rc;
    }
    if (index < 0) { /* the end of a route that there is not */
        ticket->answered = true;
        free(want);
    } else {
        struct slot *slot = &ingress->slots[index];
        set(slot, route, key, want);
        slot->version = ticket->version = ++ingress->version;
        ticket->slot = index;
        if (ingress->phase == PHASE_WAIT && ingress->backoff_us > 0) {
            ticket->answered = true;
            ticket->code = ERR_UNAVAILABLE;
            str_format(ticket->text, sizeof(ticket->text),
                       "HAProxy is down; the route is kept and applied when it is back");
        }
    }
    ingress_timer(ingress); /* the rest is done, and told, from the loop */
    return 0;
}

bool ingress_has(const struct ingress *ingress, const char *instance)
{
    for (int i = 0; i < ingress->options.slots; i++)
        for (int j = 0; j < ingress->slots[i].want_count; j++)
            if (str_equal(ingress->slots[i].want[j].instance, instance))
                return true;
    return false;
}

int routes_load(struct ingress *ingress, struct error *err)
{
    struct arena arena;
    arena_init(&arena, 4 * ROUTE_BYTES_MAX);
    int rc = 0;
    for (int i = 0; i < LIMIT_ROUTES && rc == 0; i++) {
        arena_reset(&arena);
        rc = load_one(ingress, i, &arena, err);
    }
    arena_done(&arena);
    return rc;
}

void routes_free(struct ingress *ingress)
{
    sync_forget(ingress);
    for (int i = 0; i < ingress->options.slots; i++)
        free(ingress->slots[i].want);
    while (ingress->tickets != NULL) {
        struct ticket *next = ingress->tickets->next;
        free(ingress->tickets);
        ingress->tickets = next;
    }
    free(ingress->slots);
    free(ingress->map);
}

void routes_answer(struct ingress *ingress, struct slot *slot, int code, const char *text)
{
    int index = (int)(slot - ingress->slots);
    for (struct ticket *ticket = ingress->tickets; ticket != NULL; ticket = ticket->next) {
        if (ticket->answered || ticket->slot != index || ticket->version > slot->version)
            continue;
        ticket->answered = true;
        ticket->code = code;
        str_format(ticket->text, sizeof(ticket->text), "%.250s", text);
    }
}

void routes_answer_all(struct ingress *ingress, int code, const char *text)
{
    for (int i = 0; i < ingress->options.slots; i++)
        if (ingress->slots[i].used)
            routes_answer(ingress, &ingress->slots[i], code, text);
}

void routes_tell(struct ingress *ingress)
{
    struct ticket **at = &ingress->tickets;
    while (*at != NULL) {
        struct ticket *ticket = *at;
        if (!ticket->answered) {
            at = &ticket->next;
            continue;
        }
        *at = ticket->next;
        if (ticket->next == NULL)
            ingress->tickets_end = at;
        ingress->callbacks.routed(ingress->callbacks.context, ticket->id, ticket->code,
                                  ticket->text);
        free(ticket);
        at = &ingress->tickets; /* the callback may have added some */
    }
}

void routes_release(struct ingress *ingress, struct slot *slot)
{
    for (int lane = 0; lane < INGRESS_LANES; lane++)
        free(slot->have[lane]);
    free(slot->want);
    *slot = (struct slot){.version = slot->version};
    (void)ingress;
}

static int check(const struct message_route *route, char key[INGRESS_KEY_BYTES],
                 struct want **ret_want, struct error *err)
{
    if (!name_is_valid(route->namespace_) || !name_is_valid(route->app) ||
        !name_is_valid(route->workload))
        return error_set(
            err, ERR_INVALID, 0,
            "a route is of a workload: namespace '%.63s', app '%.63s', workload '%.63s'",
            route->namespace_, route->app, route->workload);
    if (route->gone)
        return 0;
    int rc = check_key(route, key, err);
    if (rc < 0)
        return rc;
    if (route->server_count < 0 || route->server_count > INGRESS_ROUTE_SERVERS)
        return error_set(err, ERR_LIMIT, 0, "the route of %s has %d servers, and %d is the limit",
                         route->workload, route->server_count, INGRESS_ROUTE_SERVERS);
    struct want *want = calloc((size_t)route->server_count + 1, sizeof(*want));
    if (want == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a route");
    for (int i = 0; i < route->server_count && rc == 0; i++) {
        rc = check_server(&route->servers[i], &want[i], err);
        for (int j = 0; j < i && rc == 0; j++)
            if (str_equal(want[j].instance, want[i].instance))
                rc = error_set(err, ERR_INVALID, 0, "the instance '%s' is twice in the route of %s",
                               want[i].instance, route->workload);
    }
    if (rc < 0) {
        free(want);
        return rc;
    }
    *ret_want = want;
    return 0;
}

/* The text that is the beginning of every host and path of the route: what is sent to HAProxy as a
 * word must be one. */
static int check_key(const struct message_route *route, char key[INGRESS_KEY_BYTES],
                     struct error *err)
{
    char host[LIMIT_REF_BYTES];
    const char *path = route->path[0] == 0 ? "/" : route->path;
    for (size_t i = 0; i == 0 || route->host[i - 1] != 0; i++) {
        char c = route->host[i];
        host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (c != 0 && strchr("abcdefghijklmnopqrstuvwxyz0123456789-._:[]", host[i]) == NULL)
            return error_set(
                err, ERR_INVALID, 0,
                "the host of a route is '%s': it may have letters, digits, '-' and '.'",
                route->host);
    }
    size_t bytes = strlen(path);
    for (size_t i = 0; i < bytes; i++)
        if (path[i] < 0x21 || path[i] > 0x7e || strchr(";\\\"'#?<>", path[i]) != NULL)
            return error_set(
                err, ERR_INVALID, 0,
                "the path of a route is '%s': blanks, quotes, ';', '\\', '#', '?', '<' "
                "and '>' are not allowed in one",
                path);
    if (path[0] != '/')
        return error_set(err, ERR_INVALID, 0, "the path of a route is '%s': it must begin with '/'",
                         path);
    while (bytes > 0 && path[bytes - 1] == '/')
        bytes--;
    str_format(key, INGRESS_KEY_BYTES, "%s%.*s/", host[0] != 0 ? host : "*", (int)bytes, path);
    return 0;
}

static int check_server(const struct message_server *server, struct want *want, struct error *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    if (server->instance[0] == 0 || server->instance[strspn(server->instance, allowed)] != 0)
        return error_set(err, ERR_INVALID, 0, "'%s' is no id of an instance", server->instance);
    int rc = ingress_address_parse(server->endpoint, &want->at, err);
    if (rc < 0) {
        (void)error_prefix(err, "the endpoint of %s", server->instance);
        return rc;
    }
    if (server->mode < ROUTE_PROBE || server->mode > ROUTE_DRAIN)
        return error_set(err, ERR_INVALID, 0, "the mode of %s is %d, which is none",
                         server->instance, server->mode);
    want->mode = server->mode;
    if (server->mode == ROUTE_SERVE && (server->weight < 1 || server->weight > ROUTE_WEIGHT_MAX))
        return error_set(err, ERR_INVALID, 0, "the weight of %s is %d; it must be 1 to %d",
                         server->instance, server->weight, ROUTE_WEIGHT_MAX);
    want->weight = server->mode == ROUTE_SERVE ? server->weight : 0;
    str_format(want->instance, sizeof(want->instance), "%s", server->instance);
    return 0;
}

/* Its slot, or a free one; -1: it is gone and was not there. */
static int place(struct ingress *ingress, const struct message_route *route, const char *key,
                 int *ret_index, struct error *err)
{
    int unused = -1;
    int own = -1;
    for (int i = 0; i < ingress->options.slots; i++) {
        const struct slot *slot = &ingress->slots[i];
        if (!slot->used && unused < 0)
            unused = i;
        if (slot->used && is_of(slot, route))
            own = i;
        else if (slot->used && !slot->gone && key[0] != 0 && str_equal(slot->key, key))
            return error_set(err, ERR_EXISTS, 0,
                             "host '%s' and path '%s' are those of %s/%s/%s already: give %s/%s/%s "
                             "others",
                             route->host, route->path, slot->namespace_, slot->app, slot->workload,
                             route->namespace_, route->app, route->workload);
    }
    if (own < 0 && !route->gone && unused < 0)
        return error_set(err, ERR_LIMIT, 0,
                         "no free slot for the route of %s/%s/%s: all %d are taken. Start the "
                         "ingress with slots=%d or more",
                         route->namespace_, route->app, route->workload, ingress->options.slots,
                         ingress->options.slots + 1);
    *ret_index = own >= 0 ? own : (route->gone ? -1 : unused);
    return 0;
}

static void set(struct slot *slot, const struct message_route *route, const char *key,
                struct want *want)
{
    slot->used = true;
    slot->gone = route->gone;
    slot->paused = route->paused;
    memcpy(slot->namespace_, route->namespace_, sizeof(slot->namespace_));
    memcpy(slot->app, route->app, sizeof(slot->app));
    memcpy(slot->workload, route->workload, sizeof(slot->workload));
    str_format(slot->key, sizeof(slot->key), "%s", key);
    free(slot->want);
    slot->want = want;
    slot->want_count = route->gone ? 0 : route->server_count;
    slot->next = 0;
    slot->tries = 0;
}

static int keep(struct ingress *ingress, int index, const struct message_route *route,
                struct error *err)
{
    char name[32];
    struct strbuf text;
    str_format(name, sizeof(name), "%d.json", index);
    CLEANUP(cleanup_close)
    int folder = openat(ingress->folder_fd, FOLDER_KEPT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return error_set(err, ERR_IO, errno, "open the folder of the kept routes");
    if (route->gone) {
        if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
            return error_set(err, ERR_IO, errno, "remove the kept route %s", name);
        return 0;
    }
    strbuf_init(&text, ROUTE_BYTES_MAX);
    wire_encode(&message_route_shape, route, &text);
    int rc = strbuf_error(&text, err);
    if (rc == 0)
        rc = ingress_write_file(ingress, folder, name, strbuf_text(&text), text.bytes, 0600, err);
    strbuf_done(&text);
    return rc;
}

static int load_one(struct ingress *ingress, int index, struct arena *arena, struct error *err)
{
    char name[64];
    struct message_route route;
    struct error why;
    char key[INGRESS_KEY_BYTES];
    struct want *want = NULL;
    int at = -1;
    str_format(name, sizeof(name), FOLDER_KEPT "/%d.json", index);
    CLEANUP(cleanup_close) int fd = openat(ingress->folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char *text = arena_alloc(arena, ROUTE_BYTES_MAX);
    if (text == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read %s", name);
    ssize_t got = read(fd, text, ROUTE_BYTES_MAX);
    int rc = got <= 0
                 ? error_set(&why, ERR_CORRUPT, 0, "it is empty")
                 : wire_decode(&message_route_shape, text, (size_t)got, 0, arena, &route, &why);
    if (rc == 0)
        rc = check(&route, key, &want, &why);
    if (rc == 0)
        rc = place(ingress, &route, key, &at, &why);
    if (rc < 0 || at < 0) {
        /* The scheduler says all routes again: what cannot be read is done without until then. */
        free(want);
        (void)unlinkat(ingress->folder_fd, name, 0);
        return 0;
    }
    if (index < ingress->options.slots && !ingress->slots[index].used) {
        at = index; /* where HAProxy has it */
    } else {
        (void)unlinkat(ingress->folder_fd, name, 0);
        if (keep(ingress, at, &route, err) < 0) {
            free(want);
            return err->code;
        }
    }
    set(&ingress->slots[at], &route, key, want);
    return 0;
}

static bool is_of(const struct slot *slot, const struct message_route *route)
{
    return str_equal(slot->workload, route->workload) && str_equal(slot->app, route->app) &&
           str_equal(slot->namespace_, route->namespace_);
}

static struct ticket *ticket_add(struct ingress *ingress, const char *id)
{
    struct ticket *ticket = calloc(1, sizeof(*ticket));
    if (ticket == NULL)
        return NULL;
    str_format(ticket->id, sizeof(ticket->id), "%s", id);
    ticket->slot = -1;
    *ingress->tickets_end = ticket;
    ingress->tickets_end = &ticket->next;
    return ticket;
}
