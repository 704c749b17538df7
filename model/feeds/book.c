#include "model/feeds/book.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/feeds/book_internal.h"
#include "model/world.h"

#define BOOK_BYTES ((size_t)2 << 30)

static const char *key_of(struct book *book, const char *site, enum feed_kind kind,
                          enum feed_term term, const char *to);
static bool is_whole(const struct figure *figure);
static bool same_steps(const struct book_version *version, const struct figure *figure);
static bool implausible(const struct book_figure *entry, const struct figure *figure,
                        const struct book_policy *policy, char why[LIMIT_TEXT_BYTES * 2]);
static bool becomes_free(const struct book_version *now, const struct figure *figure,
                         char why[LIMIT_TEXT_BYTES * 2]);
static bool moves_too_far(struct decimal last, struct decimal next,
                          const struct book_policy *policy, const char *whose,
                          char why[LIMIT_TEXT_BYTES * 2]);
static bool beyond(struct decimal before, struct decimal now, int64_t factor_ppm);
static struct decimal dearest(const struct price_step *steps, int count);
static bool reference_of(const struct book_policy *policy, const struct figure *figure,
                         struct decimal *ret_price);
static bool is_covered(const struct book *book, const struct book_figure *figure,
                       const struct book_scope *scope);
static int class_of(const struct book_figure *figure);
static int compare(const void *a, const void *b);

int book_create(struct book **ret_book, struct error *err)
{
    struct book *book = calloc(1, sizeof(*book));
    if (book == NULL)
        return book_no_memory(err);
    arena_init(&book->arena, BOOK_BYTES);
    *ret_book = book;
    return 0;
}

void book_destroy(struct book *book)
{
    if (book == NULL)
        return;
    sku_map_done(&book->map);
    free(book->list);
    arena_done(&book->arena);
    free(book);
}

int book_count(const struct book *book)
{
    return book->count;
}

const struct book_figure *book_at(const struct book *book, int index)
{
    return book->list[index];
}

const struct book_version *book_now(const struct book_figure *figure)
{
    return figure->version_count == 0 ? NULL : &figure->versions[figure->version_count - 1];
}

const struct book_figure *book_find(const struct book *book, const char *site, enum feed_kind kind,
                                    enum feed_term term, const char *to)
{
    for (int i = 0; i < book->count; i++) {
        const struct book_figure *figure = book->list[i];
        if (figure->kind == kind && figure->term == term && str_equal(figure->site, site) &&
            str_equal(figure->to, to))
            return figure;
    }
    return NULL;
}

const char *book_name(const struct book_figure *figure, char out[BOOK_NAME_BYTES])
{
    str_format(out, BOOK_NAME_BYTES, "%s %s%s%s%s%s", figure->site, feed_kind_words[figure->kind],
               figure->to[0] == 0 ? "" : " ", figure->to, figure->term == FEED_ON_DEMAND ? "" : " ",
               figure->term == FEED_ON_DEMAND ? "" : feed_term_words[figure->term]);
    return out;
}

const char *book_price(const struct price_step *steps, int count, char out[BOOK_PRICE_BYTES])
{
    char price[DECIMAL_TEXT_BYTES];
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < count; i++) {
        if (i == 0)
            str_format(out, BOOK_PRICE_BYTES, "$%s", decimal_format(steps[i].price, price));
        else
            str_format(out + at, BOOK_PRICE_BYTES - at, ", $%s from %" PRId64,
                       decimal_format(steps[i].price, price), steps[i].from);
        at = strlen(out);
    }
    return out;
}

int book_take(struct book *book, const struct figure *figure, const struct book_policy *policy,
              enum book_outcome *ret_outcome, char why[LIMIT_TEXT_BYTES * 2], struct error *err)
{
    char name[BOOK_NAME_BYTES];
    struct book_figure *entry = NULL;
    int rc = book_entry(book, figure->site, figure->kind, figure->term, figure->to, &entry, err);
    if (rc < 0)
        return rc;
    const struct book_version *now = book_now(entry);
    entry->taken = true;
    entry->gone_at.us = 0;
    if (now == NULL)
        entry->per_bytes = figure->per_bytes; /* also of what is held back from the first */
    why[0] = 0;
    bool accepted = policy->accept != NULL && is_whole(figure) &&
                    policy->accept(policy->context, book_name(entry, name));
    if (figure->problem[0] != 0 && !accepted) {
        str_format(why, LIMIT_TEXT_BYTES * 2, "%s", figure->problem);
    } else if (now != NULL && now->step_count > 0 && entry->per_bytes == figure->per_bytes &&
               same_steps(now, figure)) {
        entry->checked = policy->now;
        entry->held = "";
        *ret_outcome = BOOK_SAME;
        return 0;
    }
    if (why[0] != 0 || (!accepted && implausible(entry, figure, policy, why))) {
        entry->held = arena_strdup(&book->arena, why);
        entry->held_at = policy->now;
        *ret_outcome = BOOK_HELD;
        return entry->held == NULL ? book_no_memory(err) : 0;
    }
    *ret_outcome = now == NULL ? BOOK_NEW : BOOK_CHANGED;
    entry->per_bytes = figure->per_bytes;
    entry->checked = policy->now;
    entry->held = "";
    const struct book_version version = {.steps = (struct price_step *)(uintptr_t)figure->steps,
                                         .step_count = figure->step_count,
                                         .seen = policy->now,
                                         .effective = figure->effective,
                                         .source = figure->source};
    return book_add_version(book, entry, &version, err);
}

int book_gone(struct book *book, const struct book_scope *scope, struct error *err)
{
    int rc = 0;
    size_t bytes = strlen(scope->list);
    for (int i = 0; rc == 0 && i < book->count; i++) {
        struct book_figure *figure = book->list[i];
        const struct book_version *now = book_now(figure);
        size_t provider = strlen(scope->provider);
        if (figure->taken || figure->gone_at.us != 0 || now == NULL ||
            strncmp(now->source, scope->list, bytes) != 0 || now->source[bytes] != ':' ||
            strncmp(figure->site, scope->provider, provider) != 0 ||
            figure->site[provider] != '/' || !is_covered(book, figure, scope))
            continue;
        figure->gone_at = scope->now;
        rc = scope->tell(scope->context, figure, err);
    }
    return rc;
}

static bool is_covered(const struct book *book, const struct book_figure *figure,
                       const struct book_scope *scope)
{
    bool plan = figure->term == FEED_ONE_YEAR || figure->term == FEED_THREE_YEARS;
    if (!plan && scope->whole != NULL && scope->whole(scope->context, figure->site))
        return true;
    for (int i = 0; i < book->count; i++) {
        const struct book_figure *other = book->list[i];
        if (other->taken && other->term == figure->term && class_of(other) == class_of(figure) &&
            str_equal(other->site, figure->site))
            return true;
    }
    return false;
}

/* Which of a provider's lists it comes in. */
static int class_of(const struct book_figure *figure)
{
    return figure->kind == FEED_MEMORY ? FEED_CPU : (int)figure->kind;
}

bool book_means(const char *word, const char *site)
{
    size_t bytes = strlen(word);
    return str_equal(word, site) ||
           (bytes > 0 && word[bytes - 1] == '*' && strncmp(word, site, bytes - 1) == 0);
}

int book_entry(struct book *book, const char *site, enum feed_kind kind, enum feed_term term,
               const char *to, struct book_figure **ret_entry, struct error *err)
{
    const char *key = key_of(book, site, kind, term, to);
    if (key == NULL)
        return book_no_memory(err);
    int64_t at = sku_map_find(&book->map, key);
    if (at >= 0) {
        *ret_entry = book->entries[at];
        return 0;
    }
    if (book->count == LIMIT_FEED_FIGURES)
        return error_set(err, ERR_LIMIT, 0,
                         "the price book has %d figures (LIMIT_FEED_FIGURES) and no room for %s",
                         LIMIT_FEED_FIGURES, site);
    if (book->list == NULL) {
        /* One block for both orders, once: pages that are never touched cost nothing. */
        book->list = calloc((size_t)LIMIT_FEED_FIGURES * 2, sizeof(book->list[0]));
        if (book->list == NULL)
            return book_no_memory(err);
        book->entries = book->list + LIMIT_FEED_FIGURES;
    }
    struct book_figure *entry = arena_alloc(&book->arena, sizeof(*entry));
    if (entry == NULL)
        return book_no_memory(err);
    entry->site = arena_strdup(&book->arena, site);
    entry->to = arena_strdup(&book->arena, to);
    entry->kind = kind;
    entry->term = term;
    entry->held = "";
    if (entry->site == NULL || entry->to == NULL)
        return book_no_memory(err);
    int rc = sku_map_add(&book->map, key, (uint32_t)book->count, err);
    if (rc < 0)
        return rc;
    int place = book->count;
    while (place > 0 && compare(&entry, &book->list[place - 1]) < 0)
        place--;
    memmove(&book->list[place + 1], &book->list[place],
            (size_t)(book->count - place) * sizeof(book->list[0]));
    book->list[place] = entry;
    book->entries[book->count++] = entry;
    *ret_entry = entry;
    return 0;
}

int book_add_version(struct book *book, struct book_figure *entry,
                     const struct book_version *version, struct error *err)
{
    if (entry->version_count == LIMIT_FEED_VERSIONS) {
        memmove(entry->versions, entry->versions + 1,
                (LIMIT_FEED_VERSIONS - 1) * sizeof(*entry->versions));
        entry->version_count--;
    }
    if (entry->version_count == entry->version_capacity) {
        int capacity = entry->version_capacity == 0 ? 2 : entry->version_capacity * 2;
        struct book_version *larger = arena_array(&book->arena, (size_t)capacity, sizeof(*larger));
        if (larger == NULL)
            return book_no_memory(err);
        if (entry->version_count > 0)
            memcpy(larger, entry->versions, (size_t)entry->version_count * sizeof(*larger));
        entry->versions = larger;
        entry->version_capacity = capacity;
    }
    struct book_version copy = *version;
    copy.steps =
        arena_copy(&book->arena, version->steps, (size_t)version->step_count * sizeof(*copy.steps));
    copy.effective = arena_strdup(&book->arena, version->effective);
    copy.source = arena_strdup(&book->arena, version->source);
    if (copy.steps == NULL || copy.effective == NULL || copy.source == NULL)
        return book_no_memory(err);
    entry->versions[entry->version_count++] = copy;
    return 0;
}

int book_no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the price book");
}

static const char *key_of(struct book *book, const char *site, enum feed_kind kind,
                          enum feed_term term, const char *to)
{
    return arena_printf(&book->arena, "%s|%d|%d|%s", site, (int)kind, (int)term, to);
}

/* A price from 0 on for every unit of the month: what has less a person cannot accept, and no book
 * is read back with it. */
static bool is_whole(const struct figure *figure)
{
    for (int i = 0; i < figure->step_count; i++)
        if (decimal_is_negative(figure->steps[i].price) ||
            (i == 0 ? figure->steps[i].from != 0
                    : figure->steps[i].from <= figure->steps[i - 1].from))
            return false;
    return figure->step_count > 0;
}

static bool same_steps(const struct book_version *version, const struct figure *figure)
{
    if (version->step_count != figure->step_count)
        return false;
    for (int i = 0; i < figure->step_count; i++)
        if (version->steps[i].from != figure->steps[i].from ||
            decimal_compare(version->steps[i].price, figure->steps[i].price) != 0)
            return false;
    return true;
}

/* A free allowance is a first step of 0; a price of 0 throughout, after one above it, or of what
 * did cost something, is none. */
static bool implausible(const struct book_figure *entry, const struct figure *figure,
                        const struct book_policy *policy, char why[LIMIT_TEXT_BYTES * 2])
{
    char before[BOOK_PRICE_BYTES];
    const struct book_version *now = book_now(entry);
    struct decimal top = dearest(figure->steps, figure->step_count);
    struct decimal last = {0, 0};
    if (top.coefficient == 0) {
        if (now != NULL && dearest(now->steps, now->step_count).coefficient == 0)
            return false; /* it was accepted before */
        str_format(why, LIMIT_TEXT_BYTES * 2, "it would cost nothing%s%.200s",
                   now == NULL ? "" : "; it was ",
                   now == NULL ? "" : book_price(now->steps, now->step_count, before));
        return true;
    }
    for (int i = 1; i < figure->step_count; i++)
        if (figure->steps[i].price.coefficient == 0) {
            str_format(why, LIMIT_TEXT_BYTES * 2, "from %" PRId64 " on it would cost nothing",
                       figure->steps[i].from);
            return true;
        }
    if (now == NULL)
        return reference_of(policy, figure, &last) &&
               moves_too_far(last, top, policy, "the built-in catalogue's", why);
    if (becomes_free(now, figure, why))
        return true;
    /* Step by step where they begin alike, and the dearest of all in any case. */
    for (int i = 0; i < figure->step_count; i++)
        for (int k = 0; k < now->step_count; k++)
            if (figure->steps[i].from == now->steps[k].from &&
                moves_too_far(now->steps[k].price, figure->steps[i].price, policy,
                              "the last good one", why))
                return true;
    return moves_too_far(dearest(now->steps, now->step_count), top, policy, "the last good one",
                         why);
}

/* What begins at a step that cost something would cost nothing: an allowance that is new, or
 * reaches further. */
static bool becomes_free(const struct book_version *now, const struct figure *figure,
                         char why[LIMIT_TEXT_BYTES * 2])
{
    char before[BOOK_PRICE_BYTES];
    for (int i = 0; i < now->step_count; i++) {
        int at = 0;
        while (at + 1 < figure->step_count && figure->steps[at + 1].from <= now->steps[i].from)
            at++;
        if (now->steps[i].price.coefficient == 0 || figure->steps[at].price.coefficient != 0)
            continue;
        str_format(why, LIMIT_TEXT_BYTES * 2,
                   "from %" PRId64 " on it would cost nothing; it was "
                   "%.200s",
                   now->steps[i].from, book_price(now->steps, now->step_count, before));
        return true;
    }
    return false;
}

static bool moves_too_far(struct decimal last, struct decimal next,
                          const struct book_policy *policy, const char *whose,
                          char why[LIMIT_TEXT_BYTES * 2])
{
    char texts[3][DECIMAL_TEXT_BYTES];
    if (last.coefficient == 0 || next.coefficient == 0 || decimal_compare(last, next) == 0 ||
        !beyond(last, next, policy->factor_ppm))
        return false;
    str_format(why, LIMIT_TEXT_BYTES * 2, "$%s is more than %s times %s $%s, %s",
               decimal_format(next, texts[0]),
               decimal_format(decimal_normal((struct decimal){policy->factor_ppm, 6}), texts[1]),
               decimal_compare(next, last) > 0 ? "above" : "below", decimal_format(last, texts[2]),
               whose);
    return true;
}

/* now > before * factor, or now * factor < before. */
static bool beyond(struct decimal before, struct decimal now, int64_t factor_ppm)
{
    bool up = decimal_compare(now, before) > 0;
    struct decimal small = up ? before : now;
    struct decimal large = up ? now : before;
    /* small * factor: 64 by 64 bits, brought back to 18 digits by dropping the last ones. */
    __int128 product = (__int128)small.coefficient * factor_ppm;
    int scale = small.scale + 6;
    while (product > INT64_MAX || scale > DECIMAL_SCALE_MAX) {
        product /= 10;
        scale--;
    }
    if (scale < 0)
        return false;
    return decimal_compare(large, (struct decimal){(int64_t)product, scale}) > 0;
}

static struct decimal dearest(const struct price_step *steps, int count)
{
    struct decimal top = {0, 0};
    for (int i = 0; i < count; i++)
        if (decimal_compare(steps[i].price, top) > 0)
            top = steps[i].price;
    return top;
}

static bool reference_of(const struct book_policy *policy, const struct figure *figure,
                         struct decimal *ret_price)
{
    int site = policy->reference == NULL || figure->term != FEED_ON_DEMAND
                   ? -1
                   : world_site(policy->reference, figure->site);
    if (site < 0 || figure->kind == FEED_EGRESS)
        return false;
    const struct site *known = &policy->reference->sites[site];
    *ret_price = figure->kind == FEED_CPU      ? known->cpu_price
                 : figure->kind == FEED_MEMORY ? known->memory_price
                                               : known->storage_price;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct book_figure *one = *(struct book_figure *const *)a;
    const struct book_figure *other = *(struct book_figure *const *)b;
    int order = strcmp(one->site, other->site);
    if (order == 0)
        order = (int)one->kind - (int)other->kind;
    if (order == 0)
        order = (int)one->term - (int)other->term;
    return order != 0 ? order : strcmp(one->to, other->to);
}
