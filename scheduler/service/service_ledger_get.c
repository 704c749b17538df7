/* The control verb `ledger`: sums, rows and the month's forecast as JSON. */
#include <inttypes.h>
#include <string.h>

#include "base/doc.h"
#include "scheduler/service/service_internal.h"

#define ROWS_PER_ANSWER 400 /* of one page; a page stays below the bus's message limit */

struct asked {
    struct ledger_filter filter;
    unsigned by;
    bool rows;
    bool focus;
    char text[8][LIMIT_NAME_BYTES]; /* what the filter points into */
};

static int read_asked(const struct message_request *request, struct asked *asked,
                      struct error *err);
static void read_text(struct doc *doc, const char *key, char out[LIMIT_NAME_BYTES],
                      const char **ret_field);
static void read_by(struct doc *doc, struct asked *asked);
static int write_month(struct service *service, const struct ledger_filter *filter,
                       struct json_out *json, struct error *err);
static int write_sums(struct service *service, const struct asked *asked, struct json_out *json,
                      struct error *err);
static int write_rows(struct service *service, const struct asked *asked, struct json_out *json,
                      struct error *err);
static int write_row(void *context, const struct ledger_row *row, struct error *err);

static const struct {
    const char *word;
    unsigned bit;
} by_words[] = {
    {"namespace", LEDGER_BY_NAMESPACE},
    {"app", LEDGER_BY_APP},
    {"workload", LEDGER_BY_WORKLOAD},
    {"term", LEDGER_BY_TERM},
    {"account", LEDGER_BY_ACCOUNT},
    {"site", LEDGER_BY_SITE},
    {"hour", LEDGER_BY_HOUR},
    {"day", LEDGER_BY_DAY},
    {"tag", LEDGER_BY_TAG},
};

#define BY_COUNT (sizeof(by_words) / sizeof(by_words[0]))

int service_ledger(struct service *service, const struct message_request *request,
                   struct json_out *json, struct error *err)
{
    struct asked asked;
    if (service->ledger == NULL)
        return error_set(err, ERR_UNAVAILABLE, 0,
                         "the ledger could not be opened when the scheduler started; its log says "
                         "why (ledger.closed)");
    int rc = read_asked(request, &asked, err);
    if (rc < 0)
        return rc;
    service_ledger_accrue(service);
    json_open(json, NULL, '{');
    if (asked.rows) {
        rc = write_rows(service, &asked, json, err);
    } else {
        int64_t end_us;
        if (asked.filter.from_us == 0 && asked.filter.to_us == 0)
            ledger_month(service_now(service).us, &asked.filter.from_us, &end_us);
        rc = write_month(service, &asked.filter, json, err);
        if (rc == 0)
            rc = write_sums(service, &asked, json, err);
    }
    json_close(json, '}');
    return rc;
}

int service_ledger_month(struct service *service, const struct message_request *request,
                         struct json_out *json, struct error *err)
{
    struct ledger_filter filter = {
        .namespace_ = request->namespace_, .app = request->app, .workload = request->workload};
    if (service->ledger == NULL)
        return 0;
    service_ledger_accrue(service);
    return write_month(service, &filter, json, err);
}

static int write_month(struct service *service, const struct ledger_filter *filter,
                       struct json_out *json, struct error *err)
{
    struct ledger_forecast forecast;
    int rc = ledger_forecast(service->ledger, filter, service_now(service).us, &forecast, err);
    if (rc < 0)
        return rc;
    json_open(json, "month", '{');
    json_money(json, "to_date", forecast.to_date);
    json_money(json, "predicted_to_date", forecast.predicted_to_date);
    json_money(json, "forecast", forecast.month);
    json_int(json, "history_hours", forecast.hours);
    json_close(json, '}');
    return 0;
}

static int read_asked(const struct message_request *request, struct asked *asked, struct error *err)
{
    memset(asked, 0, sizeof(*asked));
    asked->filter.namespace_ = request->namespace_;
    asked->filter.app = request->app;
    asked->filter.workload = request->workload;
    if (request->document == NULL || request->document[0] == 0)
        return 0;
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_parse("ledger", request->document, strlen(request->document), &doc, err);
    if (rc < 0)
        return rc;
    const struct doc_node *root = doc_root(doc);
    (void)doc_int(doc, root, "from_us", 0, 0, INT64_MAX, &asked->filter.from_us);
    (void)doc_int(doc, root, "to_us", 0, 0, INT64_MAX, &asked->filter.to_us);
    (void)doc_int(doc, root, "after", 0, 0, INT64_MAX, &asked->filter.after_id);
    (void)doc_bool(doc, root, "rows", 0, &asked->rows);
    (void)doc_bool(doc, root, "focus", 0, &asked->focus);
    read_text(doc, "account", asked->text[0], &asked->filter.account);
    read_text(doc, "term", asked->text[1], &asked->filter.term);
    read_text(doc, "tag", asked->text[2], &asked->filter.tag_key);
    read_text(doc, "tag_value", asked->text[3], &asked->filter.tag_value);
    read_by(doc, asked);
    doc_close(doc, root);
    return doc_check(doc, err);
}

static void read_text(struct doc *doc, const char *key, char out[LIMIT_NAME_BYTES],
                      const char **ret_field)
{
    if (doc_string(doc, doc_root(doc), key, 0, out, LIMIT_NAME_BYTES))
        *ret_field = out;
}

static void read_by(struct doc *doc, struct asked *asked)
{
    const struct doc_node *list = doc_list(doc, doc_root(doc), "by", 0);
    for (size_t i = 0; i < doc_count(list); i++) {
        const struct doc_node *item = doc_item(list, i);
        const char *word = doc_text(item);
        unsigned bit = 0;
        for (size_t k = 0; word != NULL && k < BY_COUNT; k++)
            if (str_equal(word, by_words[k].word))
                bit = by_words[k].bit;
        if (bit == 0)
            doc_problem(doc, item,
                        "sums are by namespace, app, workload, term, account, site, hour, day or "
                        "tag");
        asked->by |= bit;
    }
}

static int write_sums(struct service *service, const struct asked *asked, struct json_out *json,
                      struct error *err)
{
    struct arena arena;
    struct ledger_sum *sums;
    int count;
    arena_init(&arena, SERVICE_JOB_BYTES);
    int rc = ledger_sums(service->ledger, &asked->filter, asked->by, &arena, &sums, &count, err);
    json_open(json, "sums", '[');
    for (int i = 0; rc == 0 && i < count; i++) {
        json_open(json, NULL, '{');
        const char *at = sums[i].key;
        json_open(json, "key", '[');
        while (asked->by != 0) {
            char part[LIMIT_REF_BYTES];
            size_t bytes = strcspn(at, "\t");
            str_format(part, sizeof(part), "%.*s", (int)bytes, at);
            json_string(json, NULL, part);
            if (at[bytes] == 0)
                break;
            at += bytes + 1;
        }
        json_close(json, ']');
        json_money(json, "amount", sums[i].amount);
        json_money(json, "predicted", sums[i].predicted);
        json_close(json, '}');
    }
    json_close(json, ']');
    arena_done(&arena);
    return rc;
}

struct page {
    struct json_out *json;
    bool focus;
    int count;
    int64_t last;
};

static int write_rows(struct service *service, const struct asked *asked, struct json_out *json,
                      struct error *err)
{
    struct page page = {.json = json, .focus = asked->focus};
    json_open(json, "rows", '[');
    int rc = ledger_rows(service->ledger, &asked->filter, write_row, &page, err);
    json_close(json, ']');
    /* Where the next page begins; 0: this was the last. */
    json_int(json, "after", rc == 1 ? page.last : 0);
    return rc < 0 ? rc : 0;
}

static int write_row(void *context, const struct ledger_row *row, struct error *err)
{
    struct page *page = context;
    struct json_out *json = page->json;
    if (page->count == ROWS_PER_ANSWER)
        return 1;
    page->count++;
    page->last = row->id;
    if (page->focus) {
        struct strbuf text;
        strbuf_init(&text, LIMIT_WIRE_BYTES);
        ledger_focus_row(row, &text);
        int rc = strbuf_error(&text, err);
        if (rc == 0)
            json_string(json, NULL, strbuf_text(&text));
        strbuf_done(&text);
        return rc;
    }
    json_open(json, NULL, '{');
    json_int(json, "hour_us", row->hour_us);
    json_string(json, "namespace", row->namespace_);
    json_string(json, "app", row->app);
    json_string(json, "workload", row->workload);
    json_string(json, "term", row->term);
    json_string(json, "item", row->item);
    json_string(json, "account", row->account);
    json_string(json, "site", row->site);
    json_string(json, "peer", row->peer);
    json_int(json, "quantity", row->quantity);
    json_int(json, "per", (int64_t)row->per);
    json_string(json, "unit", row->unit);
    json_price(json, "price", row->price);
    json_money(json, "amount", row->amount);
    json_money(json, "predicted", row->predicted);
    json_close(json, '}');
    return 0;
}
