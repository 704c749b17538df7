/* Drops faults in ever smaller parts, as long as the run still fails. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

static struct sim again;

static bool fails(const struct sim_options *options, const uint64_t *dropped);
static void print(const struct sim_options *options, const uint64_t *dropped, int steps);

void sim_shrink(const struct sim_options *options, int steps)
{
    uint64_t dropped[SIM_FAULTS / 64] = {0};
    if (!fails(options, dropped)) {
        (void)printf("seed %llu does not fail any more\n", (unsigned long long)options->seed);
        return;
    }
    int count = again.fault_count;
    for (int part = count; part >= 1; part /= 2) {
        for (int from = 0; from < count; from += part) {
            uint64_t fewer[SIM_FAULTS / 64];
            memcpy(fewer, dropped, sizeof(fewer));
            for (int i = from; i < from + part && i < count; i++)
                fewer[i / 64] |= (uint64_t)1 << (i % 64);
            if (memcmp(fewer, dropped, sizeof(fewer)) != 0 && fails(options, fewer))
                memcpy(dropped, fewer, sizeof(dropped));
        }
    }
    print(options, dropped, steps);
}

static bool fails(const struct sim_options *options, const uint64_t *dropped)
{
    struct sim_options fewer = *options;
    fewer.dropped = dropped;
    fewer.chatter = false;
    sim_run(&again, &fewer);
    bool broken = again.broken[0] != 0;
    sim_free(&again);
    return broken;
}

static void print(const struct sim_options *options, const uint64_t *dropped, int steps)
{
    struct sim_options fewer = *options;
    fewer.dropped = dropped;
    fewer.trace = true;
    fewer.chatter = false;
    sim_run(&again, &fewer);
    int left = 0;
    for (int i = 0; i < again.fault_count; i++) {
        const struct sim_fault *fault = &again.faults[i];
        if (fault->dropped || SIM_START_US + fault->at_us > again.now_us)
            continue;
        left++;
        (void)printf("  fault %3d at %9lld us for %8lld us: %s, %s\n", i, (long long)fault->at_us,
                     (long long)fault->for_us, sim_fault_words[fault->kind],
                     fault->node < 0 ? "all nodes" : again.nodes[fault->node].name);
    }
    (void)printf("  %d of %d faults are left; the last steps:\n", left, again.fault_count);
    uint64_t first = again.trace_count > (uint64_t)steps ? again.trace_count - (uint64_t)steps : 0;
    if (again.trace_count - first > SIM_TRACE)
        first = again.trace_count - SIM_TRACE;
    for (uint64_t i = first; i < again.trace_count; i++)
        (void)printf("  %s\n", again.trace[i % SIM_TRACE]);
    (void)printf("  %s\n", again.broken);
    sim_free(&again);
}
