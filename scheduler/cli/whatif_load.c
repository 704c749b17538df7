/* Where a what-if begins: the scheduler's state, one that was kept, or documents. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/doc.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/document.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/verify.h"
#include "scheduler/cli/whatif.h"

static int fetch(const struct cli *cli, struct strbuf *out, struct error *err);
static int read_stream(FILE *file, const char *path, struct strbuf *out, struct error *err);
static int load_files(const struct whatif_source *source, struct arena *arena,
                      struct cost_state *ret_state, struct error *err);
static int load_world(const char *path, struct arena *arena, struct world *ret_world,
                      struct error *err);
static int load_app(const char *path, const struct world *world, struct arena *arena,
                    struct app *ret_app, struct error *err);

int whatif_load(const struct cli *cli, const struct whatif_source *source, struct arena *arena,
                struct cost_state *ret_state, struct error *err)
{
    struct strbuf text;
    int rc;
    strbuf_init(&text, COST_STATE_BYTES);
    if (source->world != NULL) {
        rc = load_files(source, arena, ret_state, err);
        if (rc == 0 && source->save != NULL)
            cost_state_write(&ret_state->input, ret_state->at, &text);
    } else {
        rc =
            source->state != NULL ? whatif_read(source->state, &text, err) : fetch(cli, &text, err);
        if (rc == 0)
            rc = cost_state_read(source->state != NULL ? source->state : "the scheduler's state",
                                 strbuf_text(&text), text.bytes, arena, ret_state, err);
    }
    if (rc == 0 && source->save != NULL)
        rc = whatif_write(source->save, &text, err);
    strbuf_done(&text);
    if (rc == 0 && ret_state->input.app_count == 0)
        return error_set(err, ERR_INVALID, 0, "there is no app: nothing costs anything");
    return rc;
}

int whatif_read(const char *path, struct strbuf *out, struct error *err)
{
    CLEANUP(cleanup_file)
    FILE *file = str_equal(path, "-") ? fdopen(dup(STDIN_FILENO), "r") : fopen(path, "re");
    if (file == NULL)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %.400s", path);
    return read_stream(file, path, out, err);
}

int whatif_write(const char *path, const struct strbuf *text, struct error *err)
{
    char fresh[LIMIT_PATH_BYTES];
    struct stat status;
    int rc = strbuf_error(text, err);
    if (rc < 0)
        return rc;
    /* A device, a pipe or a link would be replaced by the file, for everybody. */
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return error_set(err, ERR_INVALID, 0,
                         "%.400s is no plain file: name one that is, or that is not there yet",
                         path);
    if (strlen(path) + 8 > sizeof(fresh))
        return error_set(err, ERR_INVALID, 0, "the path %.80s... is too long", path);
    str_format(fresh, sizeof(fresh), "%s.part", path);
    FILE *file = fopen(fresh, "we");
    if (file == NULL)
        return error_set(err, ERR_IO, errno, "%.400s", fresh);
    bool written = fwrite(strbuf_text(text), 1, text->bytes, file) == text->bytes &&
                   fflush(file) == 0 && fsync(fileno(file)) == 0;
    int why = errno;
    written = fclose(file) == 0 && written;
    if (written && rename(fresh, path) == 0)
        return 0;
    why = written ? errno : why;
    (void)unlink(fresh);
    return error_set(err, ERR_IO, why, "%.400s", path);
}

int whatif_add_site(const char *given, struct arena *arena, char **ret_text, struct error *err)
{
    struct stat status;
    struct strbuf text;
    if (strchr(given, '{') != NULL || stat(given, &status) < 0) {
        /* "name like:aws/eu-west-1" is no YAML that anybody means */
        *ret_text = arena_printf(arena, "add.site=%s", given);
    } else {
        strbuf_init(&text, OVERRIDE_VALUE_BYTES);
        int rc = whatif_read(given, &text, err);
        *ret_text = rc < 0 ? NULL : arena_printf(arena, "add.site=%s", strbuf_text(&text));
        strbuf_done(&text);
        if (rc < 0)
            return rc;
    }
    return *ret_text != NULL ? 0 : error_set(err, ERR_NO_MEMORY, 0, "no memory for a site");
}

/* The scheduler writes it at one instant; it comes in pieces. */
static int fetch(const struct cli *cli, struct strbuf *out, struct error *err)
{
    struct message_request request;
    struct client_reply reply = {.json = NULL};
    CLEANUP(cleanup_client) struct client *client = NULL;
    int rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    client_request_init(&request, NULL);
    rc = client_call(client, "state", &request, &reply, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_file) FILE *file = tmpfile();
    char id[LIMIT_ID_BYTES];
    str_format(id, sizeof(id), "%s", json_text(reply.json, "id"));
    client_reply_done(&reply);
    if (file == NULL)
        return error_set(err, ERR_IO, errno, "a temporary file");
    rc = verify_fetch_into(client, id, file, err);
    rewind(file);
    return rc < 0 ? rc : read_stream(file, "the scheduler's state", out, err);
}

static int read_stream(FILE *file, const char *path, struct strbuf *out, struct error *err)
{
    char chunk[65536];
    size_t bytes;
    while ((bytes = fread(chunk, 1, sizeof(chunk), file)) > 0)
        strbuf_append(out, chunk, bytes);
    if (ferror(file) != 0)
        return error_set(err, ERR_IO, errno, "read %.400s", path);
    if (strbuf_error(out, err) < 0)
        return error_prefix(err, "%.400s", path);
    return 0;
}

static int load_files(const struct whatif_source *source, struct arena *arena,
                      struct cost_state *ret_state, struct error *err)
{
    struct world *world = arena_alloc(arena, sizeof(*world));
    struct app **apps = arena_array(arena, (size_t)source->app_count + 1, sizeof(*apps));
    if (world == NULL || apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for documents");
    int rc = load_world(source->world, arena, world, err);
    for (int i = 0; i < source->app_count && rc == 0; i++) {
        apps[i] = arena_alloc(arena, sizeof(struct app));
        rc = apps[i] == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for an app")
                             : load_app(source->apps[i], world, arena, apps[i], err);
        for (int k = 0; k < i && rc == 0; k++)
            if (str_equal(apps[k]->name, apps[i]->name) &&
                str_equal(apps[k]->namespace_, apps[i]->namespace_))
                rc = error_set(err, ERR_INVALID, 0, "%s and %s are both app %s/%s", source->apps[k],
                               source->apps[i], apps[i]->namespace_, apps[i]->name);
    }
    return rc < 0 ? rc : cost_state_of(world, apps, source->app_count, arena, ret_state, err);
}

static int load_world(const char *path, struct arena *arena, struct world *ret_world,
                      struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(path, &doc, err);
    if (rc < 0)
        return rc;
    rc = world_from_doc(doc, arena, ret_world, err);
    return rc == ERR_INVALID ? document_problems(doc, rc, err) : rc;
}

/* Its programs need not be there: nothing is started. */
static int load_app(const char *path, const struct world *world, struct arena *arena,
                    struct app *ret_app, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(path, &doc, err);
    if (rc == 0) {
        rc = app_from_doc(doc, arena, ret_app, err);
        rc = rc == ERR_INVALID ? document_problems(doc, rc, err) : rc;
    }
    for (int i = 0; rc == 0 && i < ret_app->segment_count; i++)
        if (world_site(world, ret_app->segments[i].site) < 0)
            rc = error_set(err, ERR_INVALID, 0, "%s: users %s come from %s, which is no site of %s",
                           path, ret_app->segments[i].name, ret_app->segments[i].site, world->name);
    return rc;
}
