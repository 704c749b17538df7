/*
 * arrivals: when requests come: Poisson, a daily wave (thinned Poisson), bursts (a Poisson process
 * that switches between two rates), or a trace that the caller reads.
 *
 * Instants are whole nanoseconds and never go back. A trace is pulled one instant at a time, so a
 * file of any length takes no memory. The numbers depend on the stream alone. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "simulator/engine/random.h"

enum arrivals_kind { ARRIVALS_POISSON, ARRIVALS_DIURNAL, ARRIVALS_BURSTS, ARRIVALS_TRACE };

struct arrivals_spec {
    enum arrivals_kind kind;
    double per_s;      /* POISSON; DIURNAL: the mean over a period; BURSTS: the calm rate */
    double amplitude;  /* DIURNAL: 0 to 1: the rate is per_s x (1 + amplitude x cos) */
    int64_t period_ns; /* DIURNAL */
    int64_t peak_ns;   /* DIURNAL: an instant of the highest rate */
    double burst_per_s;
    int64_t calm_mean_ns;
    int64_t burst_mean_ns;
    /* TRACE: the next instant, or false at the end. */
    bool (*next)(void *context, int64_t *ret_at_ns);
    void *context;
};

struct arrivals {
    struct arrivals_spec spec;
    struct random_stream stream;
    double gap_ns;     /* the mean gap at the highest rate, or at the present one of two */
    int64_t switch_ns; /* BURSTS: when the rate changes */
    bool burst;
    bool went_back; /* a trace's instant was before the last; arrivals end there */
    int64_t last_ns;
};

/* ERR_INVALID names the field. */
int arrivals_check(const struct arrivals_spec *spec, struct error *err) WARN_UNUSED;
void arrivals_init(struct arrivals *arrivals, const struct arrivals_spec *spec,
                   const struct random_stream *stream);
int64_t arrivals_next_slow(struct arrivals *arrivals);

/* The next instant; ENGINE_NEVER (INT64_MAX) when there is none. */
static inline int64_t arrivals_next_ns(struct arrivals *arrivals)
{
    if (arrivals->spec.kind != ARRIVALS_POISSON || arrivals->gap_ns <= 0)
        return arrivals_next_slow(arrivals);
    double gap_ns = arrivals->gap_ns * random_exponential(&arrivals->stream);
    arrivals->last_ns += (int64_t)(gap_ns + 0.5);
    return arrivals->last_ns;
}

double arrivals_mean_per_s(const struct arrivals_spec *spec); /* in the long run; 0 for a trace */
