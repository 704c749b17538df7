#include "model/types.h"

const char *const tier_words[] = {"client", "edge", "cloud", NULL};
const char *const workload_kind_words[] = {"service", "job", "function", NULL};
const char *const handoff_class_words[] = {"overlap", "exclusive", "stateful", NULL};
const char *const estimate_kind_words[] = {"calls",   "cpu",  "hit",    "request", "response",
                                           "latency", "mcpu", "memory", "rtt",     NULL};
