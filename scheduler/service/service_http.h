/*
 * service_http: the scheduler's own metrics as a page for Prometheus and everything that reads its
 * formats: GET /metrics, and GET /healthz for load balancers. Names are in docs/monitoring.md; the
 * page is made when it is asked for, from the state of that moment. It shows names of apps and
 * prices, and asks for no password: it listens on loopback unless told otherwise. Part of the
 * service's one thread: its file descriptor is watched like the others, nothing blocks.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"
#include "metrics/openmetrics.h"

struct service;
struct service_http;

/* `address` is "HOST:PORT" with a numeric host ("127.0.0.1:9464", "[::1]:9464"); port 0 takes any
 * free one. */
int service_http_open(struct service *service, const char *address, struct service_http **ret_http,
                      struct error *err) WARN_UNUSED;
void service_http_close(struct service_http *http);
int service_http_fd(const struct service_http *http);
int service_http_port(const struct service_http *http);
void service_http_dispatch(struct service_http *http);
/* Milliseconds until it wants to be dispatched without an event; -1: never. */
int service_http_timeout_ms(const struct service_http *http);

/* The page itself (service_page.c). */
void service_page_write(struct service *service, enum openmetrics_format format,
                        struct strbuf *out);
