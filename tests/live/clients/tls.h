/*
 * tls: TLS below a client's connection, without waiting: what bytes.h does with a socket, done
 * through a session of GnuTLS. Without a session (NULL) both go to the socket as they are, so that
 * a client has one way for both.
 *
 * A server is believed whose certificate was signed by the authority of `struct tls_trust` and has
 * the name asked for; nothing else of the machine's is trusted. Sessions are not resumed: each
 * connection shows its certificate. About 20 KB a session. The descriptor stays the caller's, and
 * is closed after tls_close. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "examples/web/bytes.h"

struct tls_trust; /* outlives its sessions */
struct tls;

/* `ca_file`: PEM, one certificate at least. `host`: "name", "name:port" or an IP address. */
int tls_trust_open(const char *ca_file, const char *host, struct tls_trust **ret_trust,
                   struct error *err) WARN_UNUSED;
void tls_trust_close(struct tls_trust *trust); /* NULL is accepted */

/* On a connected socket that does not wait; NULL: no memory. */
struct tls *tls_open(struct tls_trust *trust, int fd);
void tls_close(struct tls *tls); /* tells the other side, if that goes at once; NULL is accepted */

/* One step of the handshake: 1 it is over and the server is who it says, 0 more is to come, below 0
 * it failed, and err says why. */
int tls_shake(struct tls *tls, struct error *err) WARN_UNUSED;
/* True while the handshake waits to write, not to read. */
bool tls_writes(const struct tls *tls);

/* As bytes_receive and bytes_send. A session may keep a part of what came: read it until EAGAIN. */
ssize_t tls_receive(struct tls *tls, struct bytes *bytes, int fd, size_t most);
int tls_send(struct tls *tls, struct bytes *bytes, int fd);
