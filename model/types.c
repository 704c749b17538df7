#include "model/types.h"

const char *const tier_words[] = {"client", "edge", "cloud", NULL};
const char *const workload_kind_words[] = {"service", "job", "function", "data", NULL};
const char *const weight_words[] = {"latency", "device_cpu", "compute", "storage",
                                    "egress",  "migration",  NULL};
const char *const app_moves_words[] = {"auto", "suggest", "off", NULL};
const char *const handoff_class_words[] = {"overlap", "exclusive", "stateful", NULL};
const char *const estimate_kind_words[] = {
    "calls_mhz", "cpu_ns",       "hit_ppm", "request_bytes",  "response_bytes", "latency_us",
    "mcpu",      "memory_bytes", "rtt_us",  "latency_p99_us", "meter_bytes",    "users_mhz",
    NULL};
