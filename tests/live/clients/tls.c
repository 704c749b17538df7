#include "tests/live/clients/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "base/str.h"

struct tls_trust {
    gnutls_certificate_credentials_t authority;
    char name[256];
    bool is_address; /* the name is one, and is not said in the hello */
};

struct tls {
    gnutls_session_t session;
    bool unsent; /* a record was made that the socket did not take whole */
};

static bool waits(ssize_t got);

int tls_trust_open(const char *ca_file, const char *host, struct tls_trust **ret_trust,
                   struct error *err)
{
    struct in_addr address;
    struct tls_trust *trust = calloc(1, sizeof *trust);
    if (trust == NULL || gnutls_certificate_allocate_credentials(&trust->authority) < 0) {
        free(trust);
        return error_set(err, ERR_NO_MEMORY, 0, "the authority '%s'", ca_file);
    }
    str_format(trust->name, sizeof trust->name, "%.*s", (int)strcspn(host, ":"), host);
    trust->is_address = inet_pton(AF_INET, trust->name, &address) == 1;
    int count =
        gnutls_certificate_set_x509_trust_file(trust->authority, ca_file, GNUTLS_X509_FMT_PEM);
    if (count <= 0) {
        tls_trust_close(trust);
        return error_set(err, ERR_INVALID, 0, "--ca %s: must have a certificate in PEM: %s",
                         ca_file, count < 0 ? gnutls_strerror(count) : "it has none");
    }
    *ret_trust = trust;
    return 0;
}

void tls_trust_close(struct tls_trust *trust)
{
    if (trust == NULL)
        return;
    gnutls_certificate_free_credentials(trust->authority);
    free(trust);
}

struct tls *tls_open(struct tls_trust *trust, int fd)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    if (gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
        free(tls);
        return NULL;
    }
    gnutls_session_set_verify_cert(tls->session, trust->name, 0);
    gnutls_transport_set_int(tls->session, fd);
    if (gnutls_set_default_priority(tls->session) < 0 ||
        gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, trust->authority) < 0 ||
        (!trust->is_address && gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, trust->name,
                                                      strlen(trust->name)) < 0)) {
        gnutls_deinit(tls->session);
        free(tls);
        return NULL;
    }
    return tls;
}

void tls_close(struct tls *tls)
{
    if (tls == NULL)
        return;
    /* A goodbye that does not go at once is left out: the socket's end says the same. */
    (void)gnutls_bye(tls->session, GNUTLS_SHUT_WR);
    gnutls_deinit(tls->session);
    free(tls);
}

int tls_shake(struct tls *tls, struct error *err)
{
    gnutls_datum_t text = {0};
    int rc;
    do {
        rc = gnutls_handshake(tls->session);
    } while (rc < 0 && rc != GNUTLS_E_AGAIN && gnutls_error_is_fatal(rc) == 0);
    if (rc == GNUTLS_E_SUCCESS)
        return 1;
    if (rc == GNUTLS_E_AGAIN)
        return 0;
    if (rc == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
        gnutls_certificate_verification_status_print(
            gnutls_session_get_verify_cert_status(tls->session), GNUTLS_CRT_X509, &text, 0) == 0) {
        rc = error_set(err, ERR_INVALID, 0, "the server is not believed: %.300s",
                       (const char *)text.data);
        gnutls_free(text.data);
        return rc;
    }
    return error_set(err, ERR_UNAVAILABLE, 0, "no TLS with the server: %s", gnutls_strerror(rc));
}

bool tls_writes(const struct tls *tls)
{
    return gnutls_record_get_direction(tls->session) == 1;
}

ssize_t tls_receive(struct tls *tls, struct bytes *bytes, int fd, size_t most)
{
    if (tls == NULL)
        return bytes_receive(bytes, fd, most);
    size_t left = bytes->count < most ? most - bytes->count : 0;
    size_t room_bytes = left < BYTES_READ ? left : BYTES_READ;
    char *room = room_bytes == 0 ? NULL : bytes_room(bytes, room_bytes, most);
    if (room == NULL) {
        errno = ENOBUFS;
        return -1;
    }
    ssize_t got;
    do {
        got = gnutls_record_recv(tls->session, room, room_bytes);
    } while (got == GNUTLS_E_INTERRUPTED);
    if (got >= 0) {
        bytes->count += (size_t)got;
        return got;
    }
    if (got == GNUTLS_E_PREMATURE_TERMINATION)
        return 0; /* without a goodbye: whether an answer was cut its length tells */
    errno = waits(got) ? EAGAIN : EPROTO;
    return -1;
}

int tls_send(struct tls *tls, struct bytes *bytes, int fd)
{
    if (tls == NULL)
        return bytes_send(bytes, fd);
    while (bytes->count > 0) {
        /* A record that was begun goes on as it is, wherever its bytes have moved since. */
        ssize_t sent = tls->unsent
                           ? gnutls_record_send(tls->session, NULL, 0)
                           : gnutls_record_send(tls->session, bytes_at(bytes), bytes->count);
        if (sent == GNUTLS_E_INTERRUPTED || sent == GNUTLS_E_AGAIN)
            tls->unsent = true;
        if (sent == GNUTLS_E_INTERRUPTED)
            continue;
        if (sent == GNUTLS_E_AGAIN)
            return 0;
        if (sent <= 0) {
            errno = EPROTO;
            return -1;
        }
        tls->unsent = false;
        bytes_take(bytes, (size_t)sent);
    }
    return 0;
}

/* What is no end of the connection: nothing more is there, or only what is for TLS itself. */
static bool waits(ssize_t got)
{
    return got == GNUTLS_E_AGAIN || gnutls_error_is_fatal((int)got) == 0;
}
