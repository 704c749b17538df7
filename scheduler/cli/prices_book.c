/* The price book, looked at: what each figure is and how old, what it was, and all of it as a
 * world. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "model/json_out.h"
#include "model/world.h"
#include "scheduler/cli/places.h"
#include "scheduler/cli/prices_command.h"
#include "scheduler/cli/prices_store.h"
#include "scheduler/cli/table.h"

struct view {
    struct book *book;
    const struct option_words *words; /* sites, from the second on */
    char folder[LIMIT_PATH_BYTES];
    int64_t now_us;
};

typedef int view_text(const struct view *view, bool color, struct strbuf *out, struct error *err);
typedef void view_json(const struct view *view, struct strbuf *out);

static int look(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, view_text *write_text, view_json *write_json,
                struct error *err);
static int read_view(const struct prices_options *given, const struct option_words *words,
                     struct book_view *ret_view, struct error *err);
static int check_term(const char *folder, const struct book_view *view, struct error *err);
static int update_world(struct cli *cli, const char *path, const char *folder,
                        const struct book_view *view, struct strbuf *out, struct error *err);
static bool is_asked(const struct view *view, const char *site);
static int check_words(const struct view *view, struct error *err);
static int show_text(const struct view *view, bool color, struct strbuf *out, struct error *err);
static int history_text(const struct view *view, bool color, struct strbuf *out, struct error *err);
static void show_json(const struct view *view, struct strbuf *out);
static void history_json(const struct view *view, struct strbuf *out);
static void write_json(const struct view *view, bool all, struct strbuf *out);
static void write_version(const struct book_version *version, struct json_out *json);
static const char *age_text(int64_t us, char out[LIMIT_NAME_BYTES]);
static const char *day_text(struct wall at, char out[WALL_TEXT_BYTES]);

int prices_show(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, struct error *err)
{
    return look(cli, given, words, show_text, show_json, err);
}

int prices_history(struct cli *cli, const struct prices_options *given,
                   const struct option_words *words, struct error *err)
{
    return look(cli, given, words, history_text, history_json, err);
}

int prices_export(struct cli *cli, const struct prices_options *given,
                  const struct option_words *words, struct error *err)
{
    char folder[LIMIT_PATH_BYTES];
    struct strbuf out;
    struct book_view view;
    int rc = read_view(given, words, &view, err);
    if (rc < 0)
        return rc;
    strbuf_init(&out, CLI_TEXT_BYTES);
    rc = prices_store_folder(cli, given->book, folder, err);
    if (rc == 0)
        rc = check_term(folder, &view, err);
    if (rc == 0 && given->world != NULL)
        rc = update_world(cli, given->world, folder, &view, &out, err);
    else if (rc == 0)
        rc = prices_store_world(folder, &view, &out, err);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int read_view(const struct prices_options *given, const struct option_words *words,
                     struct book_view *ret_view, struct error *err)
{
    int term = FEED_ON_DEMAND;
    while (given->term != NULL && term < FEED_TERMS &&
           !str_equal(given->term, feed_term_words[term]))
        term++;
    if (term == FEED_TERMS)
        return error_set(err, ERR_INVALID, 0, "--term \"%.40s\": one of on-demand, spot, 1y, 3y",
                         given->term);
    if (words->count > 1 && term == FEED_ON_DEMAND)
        return error_set(err, ERR_INVALID, 0,
                         "export prints the whole book: \"%.80s\" is too much; with --term spot it "
                         "says which site's prices are of that term",
                         words->items[1]);
    *ret_view = (struct book_view){
        .term = (enum feed_term)term, .words = words->items + 1, .word_count = words->count - 1};
    return 0;
}

/* Every site that is named has a price of the term; what a list without it would do is silent. */
static int check_term(const char *folder, const struct book_view *view, struct error *err)
{
    struct book *book = NULL;
    int rc = view->term == FEED_ON_DEMAND ? 0 : prices_store_read(folder, &book, err);
    int words = view->word_count == 0 ? 1 : view->word_count;
    for (int i = 0; rc == 0 && book != NULL && i < words; i++) {
        bool found = false;
        for (int k = 0; k < book_count(book) && !found; k++) {
            const struct book_figure *figure = book_at(book, k);
            found = figure->term == view->term && book_now(figure) != NULL &&
                    (view->word_count == 0 || book_means(view->words[i], figure->site));
        }
        if (!found)
            rc = error_set(err, ERR_NOT_FOUND, 0,
                           "the price book has no %s price%s%.140s; berth prices show lists what "
                           "it has",
                           feed_term_words[view->term], view->word_count == 0 ? "" : " of ",
                           view->word_count == 0 ? "" : view->words[i]);
    }
    book_destroy(book);
    return rc;
}

/* A world of one's own with the book's prices in place of its. */
static int update_world(struct cli *cli, const char *path, const char *folder,
                        const struct book_view *view, struct strbuf *out, struct error *err)
{
    struct book *book = NULL;
    CLEANUP(cleanup_places) struct places places = {.app_count = 0};
    int rc = places_open(cli, path, &places, err);
    if (rc == 0)
        rc = prices_store_read(folder, &book, err);
    if (rc == 0)
        rc = book_update(book, view, &places.world, &places.arena, err);
    book_destroy(book);
    if (rc < 0)
        return rc;
    (void)fprintf(stderr, "%d figures of %s are others in the price book\n", rc, places.world.name);
    world_write(&places.world, out);
    strbuf_puts(out, "\n");
    return strbuf_error(out, err);
}

static int look(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, view_text *write_text, view_json *write_json_of,
                struct error *err)
{
    struct view view = {.words = words, .now_us = clock_wall_now().us};
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    int rc = prices_store_folder(cli, given->book, view.folder, err);
    if (rc == 0)
        rc = prices_store_read(view.folder, &view.book, err);
    if (rc == 0 && book_count(view.book) == 0)
        rc = error_set(err, ERR_NOT_FOUND, 0,
                       "there is no price book in %s yet: berth prices import FEED makes one",
                       view.folder);
    if (rc == 0)
        rc = check_words(&view, err);
    if (rc == 0 && cli->common.json)
        write_json_of(&view, &out);
    else if (rc == 0)
        rc = write_text(&view, cli->color, &out, err);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    book_destroy(view.book);
    return rc;
}

/* A site's name, or "provider/" with an asterisk. */
static bool is_asked(const struct view *view, const char *site)
{
    bool asked = view->words->count == 1;
    for (int i = 1; i < view->words->count && !asked; i++)
        asked = book_means(view->words->items[i], site);
    return asked;
}

static int check_words(const struct view *view, struct error *err)
{
    for (int i = 0; i < book_count(view->book); i++)
        if (is_asked(view, book_at(view->book, i)->site))
            return 0;
    return error_set(err, ERR_NOT_FOUND, 0,
                     "the price book has no figure of \"%.140s\"; berth prices show lists all",
                     view->words->items[1]);
}

static int show_text(const struct view *view, bool color, struct strbuf *out, struct error *err)
{
    struct table table;
    char name[BOOK_NAME_BYTES];
    char price[BOOK_PRICE_BYTES];
    char age[LIMIT_NAME_BYTES];
    table_init(&table, "FIGURE|>PRICE|PER|>SAID|SOURCE");
    for (int i = 0; i < book_count(view->book); i++) {
        const struct book_figure *figure = book_at(view->book, i);
        const struct book_version *now = book_now(figure);
        if (!is_asked(view, figure->site))
            continue;
        bool plain = figure->held[0] == 0 && figure->gone_at.us == 0;
        table_cell(&table, plain ? STYLE_PLAIN : STYLE_RED, "%s%s%s", book_name(figure, name),
                   figure->held[0] == 0 ? "" : " !", figure->gone_at.us == 0 ? "" : " ?");
        table_cell(&table, STYLE_PLAIN, "%s",
                   now == NULL ? "none" : book_price(now->steps, now->step_count, price));
        table_cell(&table, STYLE_PLAIN, "%s",
                   figure->kind == FEED_CPU                ? "vCPU-hour"
                   : figure->kind == FEED_MEMORY           ? "GiB-hour"
                   : figure->kind == FEED_STORAGE          ? "GiB-month"
                   : figure->per_bytes == INT64_C(1) << 30 ? "GiB"
                                                           : "GB");
        table_cell(&table, STYLE_PLAIN, "%s",
                   now == NULL ? "-" : age_text(view->now_us - figure->checked.us, age));
        table_cell(&table, STYLE_DIM, "%s%s%s", now == NULL ? "" : now->source,
                   now == NULL || now->effective[0] == 0 ? "" : ", of ",
                   now == NULL ? "" : now->effective);
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    for (int i = 0; i < book_count(view->book); i++) {
        const struct book_figure *figure = book_at(view->book, i);
        if (is_asked(view, figure->site) && figure->held[0] != 0)
            text_styled(out, color, STYLE_RED, "! %s is held back since %s ago: %s\n",
                        book_name(figure, name), age_text(view->now_us - figure->held_at.us, age),
                        figure->held);
        if (is_asked(view, figure->site) && figure->gone_at.us != 0)
            text_styled(out, color, STYLE_RED,
                        "? %s is in its list no more, since %s ago; what it was last stays\n",
                        book_name(figure, name), age_text(view->now_us - figure->gone_at.us, age));
    }
    return rc;
}

static int history_text(const struct view *view, bool color, struct strbuf *out, struct error *err)
{
    struct table table;
    char name[BOOK_NAME_BYTES];
    char price[BOOK_PRICE_BYTES];
    char day[WALL_TEXT_BYTES];
    table_init(&table, "FIGURE|SINCE|>PRICE|OF|SOURCE");
    for (int i = 0; i < book_count(view->book); i++) {
        const struct book_figure *figure = book_at(view->book, i);
        if (!is_asked(view, figure->site))
            continue;
        for (int k = 0; k < figure->version_count; k++) {
            const struct book_version *version = &figure->versions[k];
            table_cell(&table, STYLE_PLAIN, "%s", k == 0 ? book_name(figure, name) : "");
            table_cell(&table, STYLE_PLAIN, "%s", day_text(version->seen, day));
            table_cell(&table, STYLE_PLAIN, "%s",
                       book_price(version->steps, version->step_count, price));
            table_cell(&table, STYLE_DIM, "%s",
                       version->effective[0] == 0 ? "-" : version->effective);
            table_cell(&table, STYLE_DIM, "%s", version->source);
        }
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static void show_json(const struct view *view, struct strbuf *out)
{
    write_json(view, false, out);
}

static void history_json(const struct view *view, struct strbuf *out)
{
    write_json(view, true, out);
}

static void write_json(const struct view *view, bool all, struct strbuf *out)
{
    char text[WALL_TEXT_BYTES];
    struct json_out json;
    json_out_init(&json, out);
    json_open(&json, NULL, '{');
    json_string(&json, "book", view->folder);
    json_open(&json, "figures", '[');
    for (int i = 0; i < book_count(view->book); i++) {
        const struct book_figure *figure = book_at(view->book, i);
        if (!is_asked(view, figure->site))
            continue;
        json_open(&json, NULL, '{');
        json_string(&json, "site", figure->site);
        json_string(&json, "kind", feed_kind_words[figure->kind]);
        json_string(&json, "term", feed_term_words[figure->term]);
        if (figure->kind == FEED_EGRESS) {
            json_string(&json, "to", figure->to);
            json_int(&json, "per_bytes", figure->per_bytes);
        }
        if (figure->held[0] != 0) {
            json_string(&json, "held", figure->held);
            json_string(&json, "held_at", wall_format(figure->held_at, text));
        }
        if (figure->gone_at.us != 0)
            json_string(&json, "gone_at", wall_format(figure->gone_at, text));
        if (book_now(figure) != NULL)
            json_string(&json, "checked", wall_format(figure->checked, text));
        json_open(&json, "versions", '[');
        for (int k = all || figure->version_count == 0 ? 0 : figure->version_count - 1;
             k < figure->version_count; k++)
            write_version(&figure->versions[k], &json);
        json_close(&json, ']');
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    strbuf_puts(out, "\n");
}

static void write_version(const struct book_version *version, struct json_out *json)
{
    char text[WALL_TEXT_BYTES];
    json_open(json, NULL, '{');
    json_string(json, "since", wall_format(version->seen, text));
    json_string(json, "effective", version->effective);
    json_string(json, "source", version->source);
    json_open(json, "steps", '[');
    for (int i = 0; i < version->step_count; i++) {
        json_open(json, NULL, '{');
        json_int(json, "from", version->steps[i].from);
        json_price(json, "price", version->steps[i].price);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

/* "3 d", "5 h", "12 min", "40 s": the largest unit alone. */
static const char *age_text(int64_t us, char out[LIMIT_NAME_BYTES])
{
    int64_t s = us < 0 ? 0 : us / US_PER_S;
    if (s >= 86400)
        str_format(out, LIMIT_NAME_BYTES, "%" PRId64 " d", s / 86400);
    else if (s >= 3600)
        str_format(out, LIMIT_NAME_BYTES, "%" PRId64 " h", s / 3600);
    else if (s >= 60)
        str_format(out, LIMIT_NAME_BYTES, "%" PRId64 " min", s / 60);
    else
        str_format(out, LIMIT_NAME_BYTES, "%" PRId64 " s", s);
    return out;
}

static const char *day_text(struct wall at, char out[WALL_TEXT_BYTES])
{
    (void)wall_format(at, out);
    out[16] = 0; /* to the minute */
    out[10] = ' ';
    return out;
}
