/*
 * probe_targets: HTTP servers as a probe may meet them, good and bad, in a process of their own.
 * What a target does is its path:
 *
 *     /good      a page whose counters grow by 10 (requests), 8 (hits) and 2 (misses) each time
 *     /zip       the same, as gzip                /token    the same, for "Bearer secret" alone
 *     /hang      takes the request, says nothing  /slow     a byte each 100 ms, for ever
 *     /loop      redirects to itself              /scheme   redirects to file:///etc/passwd
 *     /huge      lines without end                /bomb     a GiB of them within a MiB of gzip
 *     /garbage   bytes without sense              /lies     says gzip, sends text
 *     /early     ends within its length           /cut      OpenMetrics without "# EOF"
 *     /html      a page for people                /broken   status 500
 *     /empty     nothing                          /partly   one line of three cannot be read
 *
 * The same good pages are served over TLS, by a certificate that the set-up makes. One per process.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct probe_targets {
    pid_t pid;
    int port;
    int tls_port;
    char ca_file[700];
};

/* Starts it; `folder` is where the certificate goes. Fails the cmocka test that asked. */
void probe_targets_start(struct probe_targets *targets, const char *folder);
void probe_targets_stop(struct probe_targets *targets); /* by its pid; reaped */
