/*
 * verify: certificates on the command line: fetched from the scheduler into a file, and checked
 * without it.
 */
#pragma once

#include <stdio.h>

#include "scheduler/cli/client.h"

/* Fetches the certificate of the plan that was asked for with `request_id` into a file, which is
 * complete or not there. */
int verify_fetch(struct client *client, const char *request_id, const char *path,
                 struct error *err) WARN_UNUSED;
/* Its bytes, or those of a state that was asked for so, at the end of an open file. */
int verify_fetch_into(struct client *client, const char *request_id, FILE *file,
                      struct error *err) WARN_UNUSED;
