/*
 * pages: a server in a process of its own that listens on as many ports of the loopback as there
 * are targets, and serves a page of PAGES_SERIES series at each, with counters that grow from page
 * to page. One thread around epoll; connections are kept.
 */
#pragma once

#include <sys/types.h>

#define PAGES_SERIES 500

/* Starts it on the CPU `cpu`; `ports` gets `count` of them. Returns the pid, negative on failure.
 */
pid_t pages_start(int count, int cpu, int *ports);
void pages_stop(pid_t pid);
