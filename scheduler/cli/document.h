/*
 * document: an app or world document on its way to the scheduler. It is read and checked here
 * first, so that every mistake is told at once with its line, before anything is sent; then an
 * app's artifacts are resolved: `file:` paths become absolute (relative to the document), a digest
 * that is missing is computed, one that is there is compared with the file, and with `upload` the
 * file goes to the object store and is named there. What is sent is the canonical form of the
 * result. One thread.
 */
#pragma once

#include <stdbool.h>

#include "base/bus/bus.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

struct doc;
struct app;

struct document {
    bool is_world;
    char namespace_[LIMIT_NAME_BYTES]; /* of an app */
    char name[LIMIT_NAME_BYTES];
    struct strbuf text; /* canonical JSON */
    int uploads;        /* files put into the store; those already there are not counted */
};

/* Reads a file, or standard input for "-". `bus` is for uploads; NULL: none. */
int document_read(const char *path, struct bus *bus, struct document *ret_document,
                  struct error *err) WARN_UNUSED;
void document_done(struct document *document);

/* Resolves the artifacts of an app, in place; `folder` is that of the document. */
int document_resolve(struct app *app, const char *folder, struct bus *bus, int *ret_uploads,
                     struct error *err) WARN_UNUSED;

/* Returns rc; where a document has more problems than an error holds, all of them are printed on
 * standard error first, and *err becomes their count. */
int document_problems(struct doc *doc, int rc, struct error *err);
