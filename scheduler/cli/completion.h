/*
 * completion: the words that may stand next on a command line, from the same tables that parse it;
 * names of apps and workloads come from the running scheduler, if one answers quickly. The shell's
 * part is docs/completion/berth.bash, which `berth completion bash` prints. One thread.
 */
#pragma once

#include "base/str.h"
#include "scheduler/cli/cli.h"

extern const char completion_bash[];

/* Appends the candidates for words[index], one per line; words[0] is the program. `cli` is for
 * asking the scheduler; NULL: do not ask. */
void completion_words(struct cli *cli, const char *const *words, int count, int index,
                      struct strbuf *out);
