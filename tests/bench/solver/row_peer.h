/* row_peer: glpsol and CBC on the programme of a case, each a process of its own. */
#pragma once

#include "tests/bench/solver/row_internal.h"

/* Whether a program is on the PATH. */
bool row_peer_there(const char *program);
/* Writes the programme of the case into the folder; false, with the word, where it is too large. */
bool row_peer_export(const struct row_case *it, const struct row_options *options,
                     const char *folder, struct row_answer *ret_answer);
/* "glpsol" or "cbc" on what was exported. Fills all of the row but what the case is called. */
void row_peer_run(const char *who, const struct row_options *options, const char *folder,
                  struct row *row);
/* Removes what is in the folder. */
void row_peer_clean(const char *folder);
