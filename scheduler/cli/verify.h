/*
 * verify: certificates on the command line: fetched from the scheduler into a file, and checked
 * without it.
 */
#pragma once

#include "scheduler/cli/client.h"

/* Fetches the certificate of the plan that was asked for with `request_id` into a file, which is
 * complete or not there. */
int verify_fetch(struct client *client, const char *request_id, const char *path,
                 struct error *err) WARN_UNUSED;
