/* The book as a world: its figures over what the catalogue knows of the same places. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/feeds/book_writing.h"

static void find_places(struct writing *writing);
static const struct book_version *pick(const struct writing *writing, const struct place *place,
                                       enum feed_kind kind);
static void provider_of(const char *site, char out[LIMIT_REF_BYTES]);
static void write_accounts(struct writing *writing);
static bool has_account(const struct writing *writing, const char *provider);
static void write_account(struct writing *writing, const char *provider);
static void write_site(struct writing *writing, const struct place *place);

int book_world(const struct book *book, const struct book_view *view, struct strbuf *out,
               struct error *err)
{
    struct writing writing = {.book = book,
                              .view = *view,
                              .catalogue = view->catalogue,
                              .whole = view->whole && view->catalogue != NULL};
    struct place place;
    int rc = 0;
    find_places(&writing);
    json_out_init(&writing.json, out);
    json_open(&writing.json, NULL, '{');
    json_string(&writing.json, "world", "imported");
    write_accounts(&writing);
    json_open(&writing.json, "use", '[');
    if (writing.whole)
        json_string(&writing.json, NULL, "*");
    for (int at = 0; book_place(&writing, at, &place); at = place.end)
        if (book_place_used(&place) && place.catalogued && !writing.whole)
            json_string(&writing.json, NULL, place.site);
    json_close(&writing.json, ']');
    json_open(&writing.json, "sites", '[');
    for (int at = 0; book_place(&writing, at, &place); at = place.end)
        if (book_place_used(&place))
            write_site(&writing, &place);
    json_close(&writing.json, ']');
    json_open(&writing.json, "egress", '[');
    for (int at = 0; rc == 0 && book_place(&writing, at, &place); at = place.end)
        if (book_place_used(&place))
            rc = book_egress(&writing, &place, err);
    json_close(&writing.json, ']');
    json_close(&writing.json, '}');
    strbuf_puts(out, "\n");
    if (rc == 0 && writing.sites == 0)
        return error_set(
            err, ERR_NOT_FOUND, 0,
            "no site of the price book has prices yet: berth prices import FEED brings "
            "them");
    return rc < 0 ? rc : strbuf_error(out, err);
}

static void find_places(struct writing *writing)
{
    struct place place;
    for (int at = 0; book_place(writing, at, &place); at = place.end)
        if (book_place_used(&place) && writing->there_count < LIMIT_SITES)
            writing->there[writing->there_count++] = place.site;
}

bool book_place(const struct writing *writing, int first, struct place *ret_place)
{
    const struct book *book = writing->book;
    if (first >= book->count)
        return false;
    struct place place = {.site = book->list[first]->site, .first = first, .end = first};
    while (place.end < book->count && str_equal(book->list[place.end]->site, place.site))
        place.end++;
    place.catalogued =
        writing->catalogue != NULL && world_site(writing->catalogue, place.site) >= 0;
    place.cpu = pick(writing, &place, FEED_CPU);
    place.memory = pick(writing, &place, FEED_MEMORY);
    place.storage = pick(writing, &place, FEED_STORAGE);
    *ret_place = place;
    return true;
}

/* Of the term; on demand where the list has none of it. */
static const struct book_version *pick(const struct writing *writing, const struct place *place,
                                       enum feed_kind kind)
{
    const struct book_version *found = NULL;
    const struct book_view *view = &writing->view;
    bool meant = view->word_count == 0;
    for (int i = 0; i < view->word_count && !meant; i++)
        meant = book_means(view->words[i], place->site);
    enum feed_term term = meant ? view->term : FEED_ON_DEMAND;
    for (int i = place->first; i < place->end; i++) {
        const struct book_figure *figure = writing->book->list[i];
        const struct book_version *now = book_now(figure);
        if (figure->kind == kind && now != NULL &&
            (figure->term == term || (figure->term == FEED_ON_DEMAND && found == NULL)))
            found = now;
    }
    return found;
}

/* A place that nobody knows needs both prices; of a known one each is an improvement. */
bool book_place_used(const struct place *place)
{
    return place->catalogued || (place->cpu != NULL && place->memory != NULL);
}

static void provider_of(const char *site, char out[LIMIT_REF_BYTES])
{
    str_format(out, LIMIT_REF_BYTES, "%.*s", (int)strcspn(site, "/"), site);
}

static void write_accounts(struct writing *writing)
{
    char provider[LIMIT_REF_BYTES];
    char last[LIMIT_REF_BYTES] = "";
    struct place place;
    json_open(&writing->json, "accounts", '[');
    for (int i = 0; writing->whole && i < writing->catalogue->account_count; i++)
        write_account(writing, writing->catalogue->accounts[i].provider);
    for (int at = 0; book_place(writing, at, &place); at = place.end) {
        provider_of(place.site, provider);
        if (!book_place_used(&place) || str_equal(provider, last) || has_account(writing, provider))
            continue; /* the book is in order: a provider's sites follow each other */
        write_account(writing, provider);
        str_format(last, sizeof(last), "%s", provider);
    }
    json_close(&writing->json, ']');
}

static bool has_account(const struct writing *writing, const char *provider)
{
    for (int i = 0; writing->whole && i < writing->catalogue->account_count; i++)
        if (str_equal(writing->catalogue->accounts[i].provider, provider))
            return true;
    return false;
}

static void write_account(struct writing *writing, const char *provider)
{
    json_open(&writing->json, NULL, '{');
    json_string(&writing->json, "name", provider);
    json_string(&writing->json, "provider", provider);
    json_close(&writing->json, '}');
}

static void write_site(struct writing *writing, const struct place *place)
{
    struct json_out *json = &writing->json;
    char provider[LIMIT_REF_BYTES];
    char text[BOOK_SOURCE_BYTES];
    writing->sites++;
    json_open(json, NULL, '{');
    json_string(json, "name", place->site);
    if (!place->catalogued) {
        provider_of(place->site, provider);
        json_string(json, "tier", "cloud");
        json_string(json, "account", provider);
    }
    if (place->cpu != NULL || place->memory != NULL || place->storage != NULL) {
        json_open(json, "price", '{');
        if (place->cpu != NULL)
            json_price(json, "cpu", place->cpu->steps[0].price);
        if (place->memory != NULL)
            json_price(json, "memory", place->memory->steps[0].price);
        if (place->storage != NULL)
            json_price(json, "storage", place->storage->steps[0].price);
        json_close(json, '}');
        json_string(json, "source", book_source(place, text));
    }
    json_close(json, '}');
}

const char *book_source(const struct place *place, char text[BOOK_SOURCE_BYTES])
{
    size_t at = 0;
    const struct book_version *const versions[] = {place->cpu, place->memory, place->storage};
    static const char *const words[] = {"vCPU", "GiB", "storage"};
    text[0] = 0;
    for (int i = 0; i < 3; i++) {
        if (versions[i] == NULL)
            continue;
        bool again =
            i == 1 && versions[0] != NULL && str_equal(versions[0]->source, versions[1]->source);
        if (again)
            str_format(text + at, BOOK_SOURCE_BYTES - at, "; GiB as vCPU");
        else
            str_format(text + at, BOOK_SOURCE_BYTES - at, "%s%s: %s", at == 0 ? "" : "; ", words[i],
                       versions[i]->source);
        at = strlen(text);
    }
    /* What does not fit is told whole by `berth prices show`, figure for figure. */
    if (at >= LIMIT_TEXT_BYTES)
        str_format(text, BOOK_SOURCE_BYTES, "the price book: berth prices show %s", place->site);
    return text;
}
