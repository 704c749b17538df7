/*
 * state-load: puts and gets through a stateful owner (examples/kvstate), and judges by what it was
 * answered: what was acknowledged is what a later get finds. See --help.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/clients/owner_client.h"

#define GET_EVERY 4 /* of a key's requests, the fourth is a get */
#define KEYS_MAX  1000000
#define PAGE_KEYS 1024 /* the first of so many is the store's own */

static const char about[] =
    "Puts and gets through a stateful owner, examples/kvstate, at a fixed rate, and asks again "
    "until\n"
    "it is answered. Of a key, one request is under way at a time, so a get must find the version\n"
    "that was acknowledged last. Judges: acknowledged writes that are gone (lost), versions "
    "nobody\n"
    "has put, two owners at once, and the pause between one owner and the next. At the end it "
    "gets\n"
    "every key once more. Exit status: 0 none of these but pauses; 1 one of them; 2 it could not\n"
    "be run.";

struct key {
    uint64_t acked; /* the highest version that was acknowledged */
    uint64_t sent;  /* the highest version that may be there */
    bool busy;      /* a request is under way */
};

struct load {
    struct owner_client client;
    int64_t keys;
    uint64_t base; /* versions of this run are above */
    struct key *list;
    int64_t lost;    /* gets that found an older version than was acknowledged */
    int64_t unknown; /* gets that found one that nobody has put */
    int64_t errors;
};

static bool may(void *context, int64_t number);
static void make(void *context, int64_t number, char *out, size_t capacity);
static bool take(void *context, int64_t number, int64_t sent_us, const char *data, int bytes);
static void gave_up(void *context, int64_t number);
static bool judge_text_of(struct load *load, int64_t index, char *text, int64_t sent_us);
static int get_all(struct load *load, struct error *err);
static void line(void *context);
static void print(struct load *load, bool final);
static int64_t place_of(int64_t index);
static bool is_get(const struct load *load, int64_t number);

int main(int argc, char **argv)
{
    static struct load load = {
        .client = {OWNER_CLIENT_USUAL, .subject = "svc.default.state", .rate = 500}, .keys = 100};
    struct owner_client *client = &load.client;
    const struct client_option own[] = {
        {"--keys", "that are put and got, in turns", .number = &load.keys}, {0}};
    int rc = owner_client_options(client, argc, argv, about, own);
    if (rc != 0)
        return rc < 0 ? 2 : 0;
    if (load.keys < 1 || load.keys > KEYS_MAX) {
        fprintf(stderr, "state-load: --keys: 1 to %d\n", KEYS_MAX);
        return 2;
    }
    struct error err = {0};
    struct asking *asking = &client->asking;
    load.base = (uint64_t)clock_wall_now().us; /* above every earlier run's */
    asking->make = make;
    asking->may = may;
    asking->take = take;
    asking->gave_up = gave_up;
    asking->context = &load;
    load.list = calloc((size_t)load.keys, sizeof *load.list);
    rc = owner_client_open(client, &err);
    if (rc == 0 && load.list == NULL)
        rc = error_set(&err, ERR_NO_MEMORY, 0, "%" PRId64 " keys", load.keys);
    if (rc == 0) {
        owner_client_run(client, line);
        rc = get_all(&load, &err);
    }
    if (rc == 0)
        rc = owner_client_history(client, &err);
    if (rc < 0) {
        fprintf(stderr, "state-load: %s\n", err.text);
        return 2;
    }
    print(&load, true);
    int64_t wrong = load.lost + load.unknown + load.errors + owner_client_wrong(client);
    owner_client_close(client);
    free(load.list);
    return wrong == 0 ? 0 : 1;
}

static bool may(void *context, int64_t number)
{
    struct load *load = context;
    struct key *key = &load->list[number % load->keys];
    if (key->busy)
        return false;
    key->busy = true;
    if (!is_get(load, number))
        key->sent = load->base + (uint64_t)(number / load->keys) + 1;
    return true;
}

static void make(void *context, int64_t number, char *out, size_t capacity)
{
    const struct load *load = context;
    int64_t index = number % load->keys;
    if (is_get(load, number))
        str_format(out, capacity, "get %" PRId64, place_of(index));
    else
        str_format(out, capacity, "put %" PRId64 " %" PRIu64, place_of(index),
                   load->base + (uint64_t)(number / load->keys) + 1);
}

/* Whether it was carried out is not known; its key goes on. */
static void gave_up(void *context, int64_t number)
{
    const struct load *load = context;
    load->list[number % load->keys].busy = false;
}

/* "ok <key> <version> <epoch> <instance> <before>" */
static bool take(void *context, int64_t number, int64_t sent_us, const char *data, int bytes)
{
    struct load *load = context;
    char text[256];
    int64_t index = number % load->keys;
    load->list[index].busy = false;
    if (bytes >= (int)sizeof text)
        return false;
    str_format(text, sizeof text, "%.*s", bytes, data);
    return judge_text_of(load, index, text, sent_us);
}

static bool judge_text_of(struct load *load, int64_t index, char *text, int64_t sent_us)
{
    struct key *key = &load->list[index];
    char *rest = NULL;
    int64_t place;
    uint64_t version, before;
    struct berth_epoch epoch;
    const char *ok = strtok_r(text, " ", &rest);
    const char *where = strtok_r(NULL, " ", &rest);
    const char *which = strtok_r(NULL, " ", &rest);
    const char *by = strtok_r(NULL, " ", &rest);
    const char *instance = strtok_r(NULL, " ", &rest);
    const char *earlier = strtok_r(NULL, " ", &rest);
    if (earlier == NULL || !str_equal(ok, "ok") || str_to_i64(where, &place) < 0 ||
        place != place_of(index) || str_to_u64(which, &version) < 0 ||
        str_to_u64(earlier, &before) < 0 || berth_epoch_parse(by, &epoch) < 0) {
        load->errors++;
        return false;
    }
    /* A put's answer is judged as a get's, by what was there when it came: else the put would cover
     * what was lost. */
    bool old = version < key->acked || before < key->acked;
    bool new = version > key->sent &&version > load->base;
    load->lost += old;
    load->unknown += new;
    if (version > key->acked && !new)
        key->acked = version;
    (void)owners_answer(&load->client.owners, epoch, instance, sent_us,
                        clock_mono_now().us); /* counted */
    return !old && !new;
}

/* Every key once more, when nothing is under way. */
static int get_all(struct load *load, struct error *err)
{
    for (int64_t i = 0; i < load->keys; i++) {
        char request[64], text[256];
        if (load->list[i].sent == 0)
            continue;
        str_format(request, sizeof request, "get %" PRId64, place_of(i));
        int64_t sent_us = clock_mono_now().us;
        int rc = ERR_TIMEOUT;
        while (rc < 0 && clock_mono_now().us - sent_us < load->client.patience_ms * US_PER_MS) {
            rc = nats_client_call(&load->client.asking.client, load->client.subject, request,
                                  load->client.silence_ms * US_PER_MS, text, sizeof text, err);
            if (rc == 0 && !str_starts(text, "ok ") && !str_starts(text, "error "))
                rc = error_set(err, ERR_UNAVAILABLE, 0, "%s: %s", load->client.subject, text);
        }
        if (rc < 0)
            return rc;
        (void)judge_text_of(load, i, text, sent_us); /* counted */
    }
    return 0;
}

static void line(void *context)
{
    print(context, false);
}

static void print(struct load *load, bool final)
{
    owner_client_line_begin(&load->client, final);
    if (load->client.json)
        printf(",\"lost_writes\":%" PRId64 ",\"unknown_versions\":%" PRId64 ",\"errors\":%" PRId64,
               load->lost, load->unknown, load->errors);
    else if (final)
        printf("\n    acknowledged writes lost %" PRId64 ", unknown versions %" PRId64
               ", errors %" PRId64 ", two owners at once %" PRId64,
               load->lost, load->unknown, load->errors, load->client.owners.at_once);
    owner_client_line_end(&load->client);
}

/* Keys lie one after the other, as those of a busy table do, but for the store's own. */
static int64_t place_of(int64_t index)
{
    return index / (PAGE_KEYS - 1) * PAGE_KEYS + index % (PAGE_KEYS - 1) + 1;
}

static bool is_get(const struct load *load, int64_t number)
{
    return number / load->keys % GET_EVERY == GET_EVERY - 1;
}
