/* The book as text: written at once, read as it streams by. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/feeds/book_internal.h"
#include "model/feeds/json_scan.h"
#include "model/json_out.h"

static const char format_name[] = "berth-prices-1";

struct reading {
    struct book *book;
    bool known; /* it says that it is a book */
    int64_t count;
    /* The figure being read, and its version. */
    char site[LIMIT_REF_BYTES];
    char to[LIMIT_REF_BYTES];
    char held[LIMIT_TEXT_BYTES * 2];
    int kind;
    int term;
    int64_t per_bytes;
    int64_t checked_us;
    int64_t held_us;
    int64_t gone_us;
    struct book_figure *entry;
    struct price_step steps[LIMIT_TIERS];
    int step_count;
    int64_t seen_us;
    char effective[WALL_TEXT_BYTES];
    char source[LIMIT_TEXT_BYTES];
};

static void write_figure(const struct book_figure *figure, struct json_out *json);
static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err);
static int on_figure(struct reading *reading, const struct json_scan *scan, const char *text);
static int begin_versions(struct reading *reading, struct error *err);
static int on_version(struct reading *reading, const struct json_scan *scan, enum json_event event,
                      const char *text, struct error *err);
static int end_version(struct reading *reading, struct error *err);
static int word(const char *const *words, int count, const char *text);
static bool is_site(const char *name);
static int damaged(struct error *err, const char *what);

void book_write(const struct book *book, struct strbuf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_open(&json, NULL, '{');
    json_string(&json, "format", format_name);
    json_open(&json, "figures", '[');
    for (int i = 0; i < book->count; i++)
        write_figure(book->list[i], &json);
    json_close(&json, ']');
    json_int(&json, "count", book->count);
    json_close(&json, '}');
    strbuf_puts(out, "\n");
}

int book_read(const char *file, const char *text, size_t bytes, struct book **ret_book,
              struct error *err)
{
    struct reading *reading = calloc(1, sizeof(*reading));
    struct json_scan *scan = NULL;
    int rc = reading == NULL ? book_no_memory(err) : book_create(&reading->book, err);
    if (rc == 0)
        rc = json_scan_create(on_json, reading, &scan, err);
    if (rc == 0)
        reading->count = -1;
    if (rc == 0)
        rc = json_scan_feed(scan, text, bytes, err);
    if (rc == 0)
        rc = json_scan_end(scan, err);
    if (rc == 0 && (!reading->known || reading->count != reading->book->count))
        rc = damaged(err, "what it says of itself is not what it holds");
    if (rc == 0)
        *ret_book = TAKE(reading->book);
    if (rc < 0 && rc != ERR_NO_MEMORY) {
        (void)error_prefix(err,
                           "%s is no price book that can be read; move it away to begin a new "
                           "one",
                           file);
        if (err != NULL)
            err->code = ERR_CORRUPT;
        rc = ERR_CORRUPT;
    }
    json_scan_destroy(scan);
    if (reading != NULL)
        book_destroy(reading->book);
    free(reading);
    return rc;
}

static void write_figure(const struct book_figure *figure, struct json_out *json)
{
    char price[DECIMAL_TEXT_BYTES];
    json_open(json, NULL, '{');
    json_string(json, "site", figure->site);
    json_string(json, "kind", feed_kind_words[figure->kind]);
    json_string(json, "term", feed_term_words[figure->term]);
    json_string(json, "to", figure->to);
    json_int(json, "per_bytes", figure->per_bytes);
    json_int(json, "checked_us", figure->checked.us);
    json_string(json, "held", figure->held);
    json_int(json, "held_us", figure->held_at.us);
    json_int(json, "gone_us", figure->gone_at.us);
    json_open(json, "versions", '[');
    for (int i = 0; i < figure->version_count; i++) {
        const struct book_version *version = &figure->versions[i];
        json_open(json, NULL, '{');
        json_int(json, "seen_us", version->seen.us);
        json_string(json, "effective", version->effective);
        json_string(json, "source", version->source);
        json_open(json, "steps", '[');
        for (int k = 0; k < version->step_count; k++) {
            json_open(json, NULL, '{');
            json_int(json, "from", version->steps[k].from);
            json_string(json, "price", decimal_format(version->steps[k].price, price));
            json_close(json, '}');
        }
        json_close(json, ']');
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

/* $.figures[i].{site, ..., versions[k].{seen_us, ..., steps[n].{from, price}}} */
static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err)
{
    struct reading *reading = context;
    int depth = json_depth(scan);
    if (depth == 1 && json_key_is(scan, 0, "format"))
        reading->known = str_equal(text, format_name);
    if (depth == 1 && json_key_is(scan, 0, "count") && str_to_i64(text, &reading->count) < 0)
        return damaged(err, "count");
    if (!json_key_is(scan, 0, "figures") || depth < 2)
        return 0;
    if (depth == 2 && event == JSON_OPEN_MAP) {
        struct book *book = reading->book;
        *reading = (struct reading){
            .book = book, .known = reading->known, .count = reading->count, .kind = -1, .term = -1};
        return 0;
    }
    if (depth == 2 && event == JSON_CLOSE)
        return reading->entry == NULL ? damaged(err, "a figure without versions") : 0;
    if (depth == 3 && json_key_is(scan, 2, "versions"))
        return event == JSON_OPEN_LIST ? begin_versions(reading, err) : 0;
    if (depth == 3)
        return on_figure(reading, scan, text) < 0 ? damaged(err, json_key(scan, 2)) : 0;
    return json_key_is(scan, 2, "versions") ? on_version(reading, scan, event, text, err) : 0;
}

static int on_figure(struct reading *reading, const struct json_scan *scan, const char *text)
{
    if (json_key_is(scan, 2, "site"))
        return str_copy(reading->site, sizeof(reading->site), text);
    if (json_key_is(scan, 2, "to"))
        return str_copy(reading->to, sizeof(reading->to), text);
    if (json_key_is(scan, 2, "held"))
        return str_copy(reading->held, sizeof(reading->held), text);
    if (json_key_is(scan, 2, "kind"))
        return reading->kind = word(feed_kind_words, FEED_KINDS, text);
    if (json_key_is(scan, 2, "term"))
        return reading->term = word(feed_term_words, FEED_TERMS, text);
    if (json_key_is(scan, 2, "per_bytes"))
        return str_to_i64(text, &reading->per_bytes);
    if (json_key_is(scan, 2, "checked_us"))
        return str_to_i64(text, &reading->checked_us);
    if (json_key_is(scan, 2, "held_us"))
        return str_to_i64(text, &reading->held_us);
    if (json_key_is(scan, 2, "gone_us"))
        return str_to_i64(text, &reading->gone_us);
    return 0; /* of a newer Berth */
}

/* What a figure is stands before its versions, as book_write has it. */
static int begin_versions(struct reading *reading, struct error *err)
{
    int before = reading->book->count;
    bool egress = reading->kind == FEED_EGRESS;
    if (!is_site(reading->site) || reading->kind <= FEED_SHAPE || reading->kind >= FEED_PLACE ||
        reading->term < 0 || egress != (reading->to[0] != 0) ||
        (egress && reading->per_bytes != INT64_C(1) << 30 && reading->per_bytes != 1000000000))
        return damaged(err, "a figure that is not whole");
    int rc = book_entry(reading->book, reading->site, (enum feed_kind)reading->kind,
                        (enum feed_term)reading->term, reading->to, &reading->entry, err);
    if (rc < 0)
        return rc;
    if (reading->book->count == before)
        return damaged(err, "a figure that is there twice");
    reading->entry->per_bytes = reading->per_bytes;
    reading->entry->checked.us = reading->checked_us;
    reading->entry->held_at.us = reading->held_us;
    reading->entry->gone_at.us = reading->gone_us;
    reading->entry->held = arena_strdup(&reading->book->arena, reading->held);
    return reading->entry->held == NULL ? book_no_memory(err) : 0;
}

static int on_version(struct reading *reading, const struct json_scan *scan, enum json_event event,
                      const char *text, struct error *err)
{
    int depth = json_depth(scan);
    int rc = 0;
    if (depth == 4 && event == JSON_OPEN_MAP) {
        reading->step_count = 0;
        reading->seen_us = 0;
        reading->effective[0] = reading->source[0] = 0;
        return 0;
    }
    if (depth == 4)
        return event == JSON_CLOSE ? end_version(reading, err) : damaged(err, "a version");
    if (depth == 5 && json_key_is(scan, 4, "seen_us"))
        rc = str_to_i64(text, &reading->seen_us);
    else if (depth == 5 && json_key_is(scan, 4, "effective"))
        rc = str_copy(reading->effective, sizeof(reading->effective), text);
    else if (depth == 5 && json_key_is(scan, 4, "source"))
        rc = str_copy(reading->source, sizeof(reading->source), text);
    if (rc < 0)
        return damaged(err, json_key(scan, 4));
    if (depth < 6 || !json_key_is(scan, 4, "steps"))
        return 0;
    if (depth == 6 && event == JSON_OPEN_MAP) {
        if (reading->step_count == LIMIT_TIERS)
            return damaged(err, "steps");
        reading->steps[reading->step_count++] = (struct price_step){.from = -1};
        return 0;
    }
    if (depth != 7 || reading->step_count == 0)
        return 0;
    struct price_step *step = &reading->steps[reading->step_count - 1];
    struct error why;
    if (json_key_is(scan, 6, "from"))
        rc = str_to_i64(text, &step->from);
    else if (json_key_is(scan, 6, "price"))
        rc = decimal_parse(text, &step->price, &why);
    return rc < 0 || decimal_is_negative(step->price) ? damaged(err, "a step") : 0;
}

static int end_version(struct reading *reading, struct error *err)
{
    for (int i = 0; i < reading->step_count; i++)
        if (i == 0 ? reading->steps[i].from != 0
                   : reading->steps[i].from <= reading->steps[i - 1].from)
            return damaged(err, "steps that do not follow each other");
    if (reading->step_count == 0 || reading->entry == NULL)
        return damaged(err, "a version without a price");
    const struct book_version version = {.steps = reading->steps,
                                         .step_count = reading->step_count,
                                         .seen = {reading->seen_us},
                                         .effective = reading->effective,
                                         .source = reading->source};
    return book_add_version(reading->book, reading->entry, &version, err);
}

static int word(const char *const *words, int count, const char *text)
{
    for (int i = 0; i < count; i++)
        if (str_equal(words[i], text))
            return i;
    return -1;
}

/* "provider/region". */
static bool is_site(const char *name)
{
    char provider[LIMIT_REF_BYTES];
    size_t bytes = strcspn(name, "/");
    str_format(provider, sizeof(provider), "%.*s", (int)bytes, name);
    return name[bytes] == '/' && name_is_valid(provider) && name_is_valid(name + bytes + 1);
}

static int damaged(struct error *err, const char *what)
{
    return error_set(err, ERR_CORRUPT, 0, "it is damaged: %.80s", what);
}
