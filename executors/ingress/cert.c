/*
 * cert: the certificate file. HAProxy is started with a copy of the last one that it took, so a
 * file that is broken does not keep it from starting again; a new one is given to it as it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "executors/ingress/internal.h"

static char *cert_read(int folder_fd, const char *path, struct error *err);

int cert_prepare(struct ingress *ingress, struct error *err)
{
    struct error why;
    if (ingress->options.cert[0] == 0)
        return 0;
    char *kept = cert_read(ingress->folder_fd, FILE_CERT, &why);
    if (kept == NULL) {
        kept = cert_read(AT_FDCWD, ingress->options.cert, err);
        if (kept == NULL)
            return err->code;
        if (ingress_write_file(ingress, ingress->folder_fd, FILE_CERT, kept, strlen(kept), 0600,
                               err) < 0) {
            free(kept);
            return err->code;
        }
    }
    ingress->cert_hash = ingress->cert_seen = hash_str(HASH_SEED, kept);
    free(kept);
    return 0;
}

void cert_look(struct ingress *ingress)
{
    struct error err;
    ingress->cert_at = ingress_now() + INGRESS_CERT_US;
    if (ingress->options.cert[0] == 0 || ingress->cert_pending != NULL)
        return;
    char *text = cert_read(AT_FDCWD, ingress->options.cert, &err);
    uint64_t hash = text != NULL ? hash_str(HASH_SEED, text) : 0;
    if (hash == ingress->cert_seen) {
        free(text);
        return;
    }
    ingress->cert_seen = hash; /* the same complaint is made once */
    if (text == NULL) {
        ingress_say(ingress, INGRESS_NOTICE, "%s; the certificate before it serves on", err.text);
        return;
    }
    ingress->cert_pending = text;
    if (hash == ingress->cert_hash) {
        free(TAKE(ingress->cert_pending)); /* it is back to what HAProxy has */
        return;
    }
    talk_next(ingress);
}

void cert_answered(struct ingress *ingress, enum word word, const char *answer)
{
    struct error err;
    char *text = TAKE(ingress->cert_pending);
    if (text == NULL)
        return;
    if (word != WORD_CERT_COMMIT || strstr(answer, "Success") == NULL) {
        ingress_say(ingress, INGRESS_NOTICE,
                    "HAProxy refused the certificate '%s', the one before it serves on: %s",
                    ingress->options.cert, answer);
    } else {
        ingress->cert_hash = hash_str(HASH_SEED, text);
        int rc = ingress_write_file(ingress, ingress->folder_fd, FILE_CERT, text, strlen(text),
                                    0600, &err);
        ingress_say(ingress, INGRESS_NOTICE, "the new certificate '%s' serves%s%s",
                    ingress->options.cert, rc < 0 ? ", but is not kept: " : "",
                    rc < 0 ? err.text : "");
    }
    free(text);
}

/* The file's lines, without empty ones: those end a command of the runtime socket. */
static char *cert_read(int folder_fd, const char *path, struct error *err)
{
    char bytes[INGRESS_CERT_BYTES + 1];
    CLEANUP(cleanup_close) int fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, bytes, sizeof(bytes)) : -1;
    if (got < 0) {
        (void)error_set(err, ERR_IO, errno, "read the certificate '%s'", path);
        return NULL;
    }
    if (got > INGRESS_CERT_BYTES) {
        (void)error_set(err, ERR_LIMIT, 0,
                        "the certificate '%s' is longer than %d bytes: leave the root out of its "
                        "chain",
                        path, INGRESS_CERT_BYTES);
        return NULL;
    }
    char *out = malloc((size_t)got + 2);
    size_t count = 0;
    if (out == NULL) {
        (void)error_set(err, ERR_NO_MEMORY, 0, "no memory to read '%s'", path);
        return NULL;
    }
    for (ssize_t i = 0; i < got; i++)
        if (bytes[i] != '\r' && bytes[i] != 0 &&
            (bytes[i] != '\n' || (count > 0 && out[count - 1] != '\n')))
            out[count++] = bytes[i];
    if (count > 0 && out[count - 1] != '\n')
        out[count++] = '\n';
    out[count] = 0;
    if (strstr(out, "-----BEGIN CERTIFICATE-----") == NULL ||
        strstr(out, "PRIVATE KEY-----") == NULL) {
        free(out);
        (void)error_set(err, ERR_INVALID, 0,
                        "'%s' must have a certificate and its key, both as PEM", path);
        return NULL;
    }
    return out;
}
