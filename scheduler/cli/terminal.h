/*
 * terminal: what commands have to do with the person in front of one: whether there is somebody to
 * ask, the question, and Ctrl-C, which those who wait or follow take as a word and not as the end.
 * One thread.
 */
#pragma once

#include "scheduler/cli/cli.h"

/* Somebody reads what is printed and can answer. */
bool terminal_asks(const struct cli *cli);
/* Reads the answer to a question that was printed; anything but y is an error that begins with what
 * did not happen: "not applied". */
int terminal_confirm(const char *refusal, struct error *err) WARN_UNUSED;

/* SIGINT and SIGTERM as a descriptor, the caller's, which they make readable. To be called before
 * NATS starts its threads, which would otherwise be ended by a signal on our behalf. */
int terminal_signals(int *ret_signals, struct error *err) WARN_UNUSED;
/* Takes one that has come; -1 for the descriptor is accepted. */
bool terminal_signalled(int signals);
