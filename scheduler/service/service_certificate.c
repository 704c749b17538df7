/*
 * service_certificate: the certificates of the last plans that were asked for with one, and the
 * last states, until newer ones take their place. Both are larger than a message, so they are
 * fetched piece by piece: verb `certificate` with the id of the request as `value` and an offset as
 * `since`.
 */
#include <sodium.h>
#include <stdlib.h>

#include "model/certificate.h"
#include "scheduler/service/service_internal.h"

#define PIECE_BYTES       ((size_t)384 << 10) /* half of what a message takes, in base64 */
#define CERTIFICATE_BYTES ((size_t)256 << 20)

struct service_certificate {
    char id[LIMIT_ID_BYTES]; /* "": none */
    struct strbuf bytes;
};

int service_certificate_keep(struct service_job *job, const struct solution *solution,
                             struct error *err)
{
    struct strbuf bytes;
    strbuf_init(&bytes, CERTIFICATE_BYTES);
    certificate_encode(&job->problem, solution, &bytes);
    int rc = strbuf_error(&bytes, err);
    if (rc < 0)
        rc = error_prefix(err, "the certificate of the plan");
    else
        rc = service_kept_take(job->service, job->request, &bytes, err);
    strbuf_done(&bytes);
    return rc;
}

int service_kept_take(struct service *service, const char *id, struct strbuf *bytes,
                      struct error *err)
{
    if (service->certificates == NULL) {
        service->certificates = calloc(SERVICE_CERTIFICATES, sizeof(*service->certificates));
        if (service->certificates == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for what is fetched in pieces");
    }
    struct service_certificate *kept =
        &service->certificates[service->certificates_kept++ % SERVICE_CERTIFICATES];
    /* What is asked for again takes the place of what it was. */
    for (int i = 0; i < SERVICE_CERTIFICATES; i++)
        if (id[0] != 0 && str_equal(service->certificates[i].id, id))
            kept = &service->certificates[i];
    strbuf_done(&kept->bytes);
    kept->bytes = *bytes;
    strbuf_init(bytes, CERTIFICATE_BYTES);
    str_format(kept->id, sizeof(kept->id), "%s", id);
    return 0;
}

int service_certificate(struct service *service, const struct message_request *request,
                        struct json_out *json, struct error *err)
{
    const struct service_certificate *kept = NULL;
    for (int i = 0; service->certificates != NULL && i < SERVICE_CERTIFICATES; i++)
        if (request->value[0] != 0 && str_equal(service->certificates[i].id, request->value))
            kept = &service->certificates[i];
    if (kept == NULL)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "no certificate or state of request '%s': only the last %d are "
                         "kept; ask again",
                         request->value, SERVICE_CERTIFICATES);
    if (request->since > kept->bytes.bytes)
        return error_set(err, ERR_INVALID, 0, "offset %llu is past the certificate's %zu bytes",
                         (unsigned long long)request->since, kept->bytes.bytes);
    size_t at = (size_t)request->since;
    size_t count = kept->bytes.bytes - at < PIECE_BYTES ? kept->bytes.bytes - at : PIECE_BYTES;
    size_t room = sodium_base64_ENCODED_LEN(count, sodium_base64_VARIANT_ORIGINAL);
    char *text CLEANUP(cleanup_free) = malloc(room);
    if (text == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a piece of a certificate");
    sodium_bin2base64(text, room, (const unsigned char *)kept->bytes.text + at, count,
                      sodium_base64_VARIANT_ORIGINAL);
    json_open(json, NULL, '{');
    json_int(json, "bytes", (int64_t)kept->bytes.bytes);
    json_int(json, "offset", (int64_t)at);
    json_string(json, "data", text);
    json_close(json, '}');
    return 0;
}

void service_certificates_done(struct service *service)
{
    for (int i = 0; service->certificates != NULL && i < SERVICE_CERTIFICATES; i++)
        strbuf_done(&service->certificates[i].bytes);
    free(service->certificates);
    service->certificates = NULL;
}
