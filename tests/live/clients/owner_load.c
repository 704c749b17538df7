/*
 * owner-load: writes through an exclusive owner (examples/counter) and judges it by what it was
 * answered and, at the end, by the ledger that the owner wrote to. See --help.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/clients/owner_client.h"

#define LEDGER_TIMEOUT_US (5 * US_PER_S)
#define ANSWER_BYTES      65536

static const char about[] =
    "Writes through an exclusive owner, examples/counter, at a fixed rate, and asks again until "
    "it\n"
    "is answered. Judges: acknowledged writes that the ledger does not have (lost), requests that\n"
    "it has twice, two owners at once, and the pause between one owner and the next. Exit status: "
    "0\n"
    "none of these but pauses; 1 one of them; 2 it could not be run.";

struct load {
    struct owner_client client;
    const char *ledger;
    char run[LIMIT_ID_BYTES];
    int64_t *numbers; /* of each request: what was acknowledged; 0: nothing */
    uint8_t *written; /* of each request: how often the ledger has it */
    bool *kept;       /* of each request: the ledger has it by the number that was acknowledged */
    int64_t begin;    /* the ledger's count before the first request */
    int64_t lost;
    int64_t twice;
    int64_t disorder; /* the ledger's epochs go down */
    int64_t fenced;   /* requests of owners of before that the ledger refused meanwhile */
    int64_t fenced_before;
    int64_t conflicts; /* appends by an owner that knew too little: its state was not handed over */
    int64_t conflicts_before;
};

static void make(void *context, int64_t number, char *out, size_t capacity);
static bool take(void *context, int64_t number, int64_t sent_us, const char *data, int bytes);
static void line(void *context);
static void print(struct load *load, bool final);
static int ledger_status(struct load *load, int64_t *ret_count, int64_t *ret_fenced,
                         int64_t *ret_conflicts, struct error *err);
static int judge_ledger(struct load *load, struct error *err);
static int judge_line(struct load *load, char *text, int64_t wanted, struct berth_epoch *before);

int main(int argc, char **argv)
{
    static struct load load = {
        .client = {OWNER_CLIENT_USUAL, .subject = "svc.default.counter", .rate = 200},
        .ledger = "svc.default.ledger"};
    struct owner_client *client = &load.client;
    const struct client_option own[] = {
        {"--ledger", "the subject of its ledger", .word = &load.ledger}, {0}};
    int rc = owner_client_options(client, argc, argv, about, own);
    if (rc != 0)
        return rc < 0 ? 2 : 0;
    struct error err = {0};
    struct asking *asking = &client->asking;
    asking->make = make;
    asking->take = take;
    asking->context = &load;
    load.numbers = calloc((size_t)asking->most, sizeof *load.numbers);
    load.written = calloc((size_t)asking->most, 1);
    load.kept = calloc((size_t)asking->most, sizeof *load.kept);
    rc = owner_client_open(client, &err);
    id_random(load.run);
    load.run[10] = 0;
    if (rc == 0)
        rc = ledger_status(&load, &load.begin, &load.fenced_before, &load.conflicts_before, &err);
    if (rc == 0 && (load.numbers == NULL || load.written == NULL || load.kept == NULL))
        rc = error_set(&err, ERR_NO_MEMORY, 0, "%" PRId64 " requests", asking->most);
    if (rc == 0) {
        owner_client_run(client, line);
        rc = judge_ledger(&load, &err);
    }
    if (rc == 0)
        rc = owner_client_history(client, &err);
    if (rc < 0) {
        fprintf(stderr, "owner-load: %s\n", err.text);
        return 2;
    }
    print(&load, true);
    int64_t wrong =
        load.lost + load.twice + load.disorder + asking->judge.refused + owner_client_wrong(client);
    owner_client_close(client);
    free(load.numbers);
    free(load.written);
    free(load.kept);
    return wrong == 0 ? 0 : 1;
}

static void make(void *context, int64_t number, char *out, size_t capacity)
{
    const struct load *load = context;
    str_format(out, capacity, "%s.%" PRId64, load->run, number);
}

/* "<id> <number> <epoch> <instance>" */
static bool take(void *context, int64_t number, int64_t sent_us, const char *data, int bytes)
{
    struct load *load = context;
    char text[256], wanted[64];
    char *rest = NULL;
    struct berth_epoch epoch;
    int64_t got;
    if (bytes >= (int)sizeof text)
        return false;
    str_format(text, sizeof text, "%.*s", bytes, data);
    make(load, number, wanted, sizeof wanted);
    const char *id = strtok_r(text, " ", &rest);
    const char *count = strtok_r(NULL, " ", &rest);
    const char *by = strtok_r(NULL, " ", &rest);
    const char *instance = strtok_r(NULL, " ", &rest);
    if (instance == NULL || !str_equal(id, wanted) || str_to_i64(count, &got) < 0 || got < 1 ||
        berth_epoch_parse(by, &epoch) < 0)
        return false;
    load->numbers[number] = got;
    (void)owners_answer(&load->client.owners, epoch, instance, sent_us,
                        clock_mono_now().us); /* counted */
    return true;
}

static void line(void *context)
{
    print(context, false);
}

static void print(struct load *load, bool final)
{
    owner_client_line_begin(&load->client, final);
    if (load->client.json)
        printf(",\"lost_writes\":%" PRId64 ",\"written_twice\":%" PRId64 ",\"epochs_down\":%" PRId64
               ",\"fenced\":%" PRId64 ",\"conflicts\":%" PRId64,
               load->lost, load->twice, load->disorder, load->fenced, load->conflicts);
    else if (final)
        printf("\n    acknowledged writes lost %" PRId64 ", written twice %" PRId64
               ", two owners at once %" PRId64 ", epochs that went down %" PRId64
               ", fenced %" PRId64 ", conflicts %" PRId64,
               load->lost, load->twice, load->client.owners.at_once, load->disorder, load->fenced,
               load->conflicts);
    owner_client_line_end(&load->client);
}

/* ---- the ledger ---- */

static int ledger_status(struct load *load, int64_t *ret_count, int64_t *ret_fenced,
                         int64_t *ret_conflicts, struct error *err)
{
    char text[256];
    char *rest = NULL;
    int rc = nats_client_call(&load->client.asking.client, load->ledger, "status",
                              LEDGER_TIMEOUT_US, text, sizeof text, err);
    if (rc < 0)
        return rc;
    const char *count = strtok_r(text, " ", &rest);
    const char *epoch = strtok_r(NULL, " ", &rest);
    const char *fenced = strtok_r(NULL, " ", &rest);
    const char *conflicts = strtok_r(NULL, " ", &rest);
    if (epoch == NULL || conflicts == NULL || str_to_i64(count, ret_count) < 0 ||
        str_to_i64(fenced, ret_fenced) < 0 || str_to_i64(conflicts, ret_conflicts) < 0)
        return error_set(err, ERR_INVALID, 0, "%s says '%s'", load->ledger, text);
    return 0;
}

static int judge_ledger(struct load *load, struct error *err)
{
    static char text[ANSWER_BYTES];
    struct berth_epoch before = {0, 0};
    int64_t count;
    int rc = ledger_status(load, &count, &load->fenced, &load->conflicts, err);
    if (rc < 0)
        return rc;
    load->fenced -= load->fenced_before;
    load->conflicts -= load->conflicts_before;
    int64_t next = load->begin + 1;
    while (next <= count) {
        char request[64], *rest = NULL;
        str_format(request, sizeof request, "read %" PRId64 " 400", next);
        rc = nats_client_call(&load->client.asking.client, load->ledger, request, LEDGER_TIMEOUT_US,
                              text, sizeof text, err);
        if (rc < 0)
            return rc;
        char *entry = strtok_r(text, "\n", &rest);
        if (entry == NULL)
            return error_set(err, ERR_INVALID, 0, "%s has nothing from %" PRId64 " on",
                             load->ledger, next);
        for (; entry != NULL; entry = strtok_r(NULL, "\n", &rest), next++)
            if (judge_line(load, entry, next, &before) < 0)
                return error_set(err, ERR_INVALID, 0, "%s, number %" PRId64 ": no entry",
                                 load->ledger, next);
    }
    for (int64_t i = 0; i < load->client.asking.judge.sent; i++) {
        load->lost += load->numbers[i] != 0 && !load->kept[i];
        load->twice += load->written[i] > 1;
    }
    return 0;
}

/* "<number> <epoch> <id>" */
static int judge_line(struct load *load, char *text, int64_t wanted, struct berth_epoch *before)
{
    char *rest = NULL;
    int64_t number, id;
    struct berth_epoch epoch;
    size_t run_bytes = strlen(load->run);
    const char *first = strtok_r(text, " ", &rest);
    const char *by = strtok_r(NULL, " ", &rest);
    const char *whose = strtok_r(NULL, " ", &rest);
    if (whose == NULL || str_to_i64(first, &number) < 0 || number != wanted ||
        berth_epoch_parse(by, &epoch) < 0)
        return -1;
    load->disorder += berth_epoch_compare(epoch, *before) < 0;
    *before = epoch;
    if (strncmp(whose, load->run, run_bytes) != 0 || whose[run_bytes] != '.' ||
        str_to_i64(whose + run_bytes + 1, &id) < 0 || id < 0 ||
        id >= load->client.asking.judge.sent)
        return 0; /* of another run */
    if (load->written[id] < UINT8_MAX)
        load->written[id]++;
    load->kept[id] = load->kept[id] || load->numbers[id] == number;
    return 0;
}
