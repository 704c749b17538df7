#include "scheduler/cli/document.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bus/jetstream.h"
#include "base/bus/subjects.h"
#include "base/doc.h"
#include "base/keys/keys.h"
#include "model/app.h"
#include "model/world.h"

#define DOCUMENT_BYTES ((size_t)256 << 20)
#define DIGEST_SHOWN   12 /* hex digits of a digest in the name of an object */

static int read_text(const char *path, struct strbuf *text, struct error *err);
static int fill(const char *path, struct doc *doc, struct bus *bus, struct document *document,
                struct error *err);
static int folder_of(const char *path, char out[PATH_MAX], struct error *err);
static int resolve_variant(const struct workload *workload, struct variant *variant,
                           const char *folder, int64_t *ret_bytes, struct error *err);
static int upload_variant(struct variant *variant, struct bus *bus, int *uploads,
                          struct error *err);

int document_read(const char *path, struct bus *bus, struct document *ret_document,
                  struct error *err)
{
    struct strbuf text;
    strbuf_init(&text, LIMIT_DOC_BYTES + 1);
    int rc = read_text(path, &text, err);
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    if (rc == 0)
        rc = doc_parse(str_equal(path, "-") ? "standard input" : path, strbuf_text(&text),
                       text.bytes, &doc, err);
    strbuf_done(&text);
    if (rc < 0)
        return rc;
    struct document document = {.is_world = false};
    strbuf_init(&document.text, LIMIT_DOC_BYTES);
    rc = fill(path, doc, bus, &document, err);
    if (rc < 0)
        document_done(&document);
    else
        *ret_document = document;
    return rc;
}

void document_done(struct document *document)
{
    strbuf_done(&document->text);
}

int document_resolve(struct app *app, const char *folder, struct bus *bus, int *ret_uploads,
                     struct error *err)
{
    int uploads = 0;
    for (int i = 0; i < app->workload_count; i++) {
        struct workload *workload = &app->workloads[i];
        for (int k = 0; k < workload->variant_count; k++) {
            struct variant *variant = &workload->variants[k];
            if (!str_starts(variant->artifact, "file:"))
                continue;
            int64_t bytes = 0;
            int rc = resolve_variant(workload, variant, folder, &bytes, err);
            if (rc == 0 && bus != NULL)
                rc = upload_variant(variant, bus, &uploads, err);
            if (rc < 0)
                return error_prefix(err, "workload %s", workload->name);
            if (workload->artifact_bytes == 0)
                workload->artifact_bytes = bytes;
        }
    }
    *ret_uploads = uploads;
    return 0;
}

int document_problems(struct doc *doc, int rc, struct error *err)
{
    size_t count = doc_problem_count(doc);
    if (count < 2)
        return rc;
    struct strbuf report;
    strbuf_init(&report, LIMIT_DOC_BYTES);
    doc_report(doc, &report);
    fputs(strbuf_text(&report), stderr);
    strbuf_done(&report);
    return error_set(err, rc, 0, "the document has %zu mistakes; nothing was sent", count);
}

static int read_text(const char *path, struct strbuf *text, struct error *err)
{
    bool standard = str_equal(path, "-");
    CLEANUP(cleanup_close)
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", path);
    char chunk[16384];
    for (;;) {
        ssize_t bytes = read(fd, chunk, sizeof(chunk));
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return error_set(err, ERR_IO, errno, "read %s", path);
        if (bytes == 0)
            break;
        strbuf_append(text, chunk, (size_t)bytes);
    }
    if (strbuf_error(text, NULL) < 0)
        return error_set(err, ERR_LIMIT, 0, "%s is larger than a document may be (%d bytes)", path,
                         LIMIT_DOC_BYTES);
    return 0;
}

static int fill(const char *path, struct doc *doc, struct bus *bus, struct document *document,
                struct error *err)
{
    struct arena arena;
    arena_init(&arena, DOCUMENT_BYTES);
    const struct doc_node *root = doc_root(doc);
    int rc = 0;
    /* As the scheduler tells them apart: by the first key. */
    document->is_world =
        doc_kind(root) == DOC_MAP && doc_count(root) > 0 && str_equal(doc_key(root, 0), "world");
    if (document->is_world) {
        struct world world;
        rc = world_from_doc(doc, &arena, &world, err);
        if (rc == 0) {
            str_format(document->name, sizeof(document->name), "%s", world.name);
            world_write(&world, &document->text);
        }
    } else {
        struct app app;
        char folder[PATH_MAX];
        rc = app_from_doc(doc, &arena, &app, err);
        if (rc == 0)
            rc = folder_of(path, folder, err);
        if (rc == 0)
            rc = document_resolve(&app, folder, bus, &document->uploads, err);
        if (rc == 0) {
            str_format(document->namespace_, sizeof(document->namespace_), "%s", app.namespace_);
            str_format(document->name, sizeof(document->name), "%s", app.name);
            app_write(&app, &document->text);
        }
    }
    if (rc == ERR_INVALID)
        rc = document_problems(doc, rc, err);
    if (rc == 0)
        rc = strbuf_error(&document->text, err);
    arena_done(&arena);
    return rc;
}

static int folder_of(const char *path, char out[PATH_MAX], struct error *err)
{
    char copy[PATH_MAX];
    if (str_equal(path, "-"))
        path = "./-";
    if (str_copy(copy, sizeof(copy), path) < 0)
        return error_set(err, ERR_LIMIT, 0, "the path %.80s... is too long", path);
    if (realpath(dirname(copy), out) == NULL)
        return error_set(err, ERR_IO, errno, "find the folder of %s", path);
    return 0;
}

static int resolve_variant(const struct workload *workload, struct variant *variant,
                           const char *folder, int64_t *ret_bytes, struct error *err)
{
    (void)workload;
    char path[PATH_MAX];
    char real[PATH_MAX];
    const char *named = variant->artifact + strlen("file:");
    int count = snprintf(path, sizeof(path), "%s%s%s", named[0] == '/' ? "" : folder,
                         named[0] == '/' ? "" : "/", named);
    if (count < 0 || (size_t)count >= sizeof(path))
        return error_set(err, ERR_LIMIT, 0, "the artifact's path %.80s... is too long", named);
    struct stat status;
    if (realpath(path, real) == NULL || stat(real, &status) < 0)
        return error_set(err, ERR_NOT_FOUND, errno,
                         "the artifact %s is not there; build it, or correct the path, which is "
                         "taken from the document's folder",
                         path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERR_INVALID, 0, "the artifact %s is no file", real);
    if (strlen(real) + sizeof("file:") > sizeof(variant->artifact))
        return error_set(err, ERR_LIMIT, 0, "the artifact's path %.80s... is too long", real);
    char digest[LIMIT_DIGEST_BYTES];
    int rc = digest_file(real, digest, err);
    if (rc < 0)
        return rc;
    if (variant->digest[0] != 0 && !str_equal(variant->digest, digest))
        return error_set(err, ERR_INVALID, 0,
                         "the artifact %s is %s, but the document says %s; it was built anew: "
                         "correct the digest, or leave it out and it is computed",
                         real, digest, variant->digest);
    str_format(variant->artifact, sizeof(variant->artifact), "file:%s", real);
    str_format(variant->digest, sizeof(variant->digest), "%s", digest);
    *ret_bytes = status.st_size;
    return 0;
}

/* The name holds the digest, so that an object once written never changes under a running app. */
static int upload_variant(struct variant *variant, struct bus *bus, int *uploads, struct error *err)
{
    const char *path = variant->artifact + strlen("file:");
    const char *slash = strrchr(path, '/');
    const char *hex = variant->digest + strlen("sha256:");
    char name[LIMIT_NAME_BYTES * 2];
    int count = snprintf(name, sizeof(name), "%.100s-%.*s", slash == NULL ? path : slash + 1,
                         DIGEST_SHOWN, hex);
    BERTH_ASSERT(count > 0 && (size_t)count < sizeof(name), "an object's name is cut");
    struct object_info info;
    int rc = object_stat(bus, BUCKET_ARTIFACTS, name, &info, err);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (rc == ERR_NOT_FOUND || !str_equal(info.digest, variant->digest)) {
        char digest[LIMIT_DIGEST_BYTES];
        rc = object_put_file(bus, BUCKET_ARTIFACTS, name, path, digest, err);
        if (rc < 0)
            return rc;
        if (!str_equal(digest, variant->digest))
            return error_set(err, ERR_STALE, 0,
                             "%s changed while it was sent; wait until it is built, then try again",
                             path);
        ++*uploads;
    }
    str_format(variant->artifact, sizeof(variant->artifact), "object:%s/%s", BUCKET_ARTIFACTS,
               name);
    return 0;
}
