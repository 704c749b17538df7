#include "simulator/requests/arrivals.h"

#include "simulator/engine/engine.h"

#define RATE_MAX_PER_S 1e9 /* one a nanosecond: the clock knows nothing finer */

static int64_t next_diurnal(struct arrivals *arrivals);
static int64_t next_burst(struct arrivals *arrivals);
static int64_t next_of_trace(struct arrivals *arrivals);
static double wave(int64_t since_ns, int64_t period_ns);

int arrivals_check(const struct arrivals_spec *spec, struct error *err)
{
    if (spec->kind == ARRIVALS_TRACE) {
        if (spec->next == NULL)
            return error_set(err, ERR_INVALID, 0, "arrivals: a trace needs `next` to read it by");
        return 0;
    }
    if (!(spec->per_s >= 0 && spec->per_s <= RATE_MAX_PER_S))
        return error_set(err, ERR_INVALID, 0, "arrivals: per_s is %g; it is from 0 to %g",
                         spec->per_s, RATE_MAX_PER_S);
    if (spec->kind == ARRIVALS_DIURNAL &&
        !(spec->amplitude >= 0 && spec->amplitude <= 1 && spec->period_ns > 0))
        return error_set(err, ERR_INVALID, 0,
                         "arrivals: a daily wave has an amplitude from 0 to 1 (%g) and a period "
                         "above 0 (%lld ns)",
                         spec->amplitude, (long long)spec->period_ns);
    if (spec->kind == ARRIVALS_BURSTS &&
        !(spec->burst_per_s >= 0 && spec->burst_per_s <= RATE_MAX_PER_S && spec->calm_mean_ns > 0 &&
          spec->burst_mean_ns > 0))
        return error_set(err, ERR_INVALID, 0,
                         "arrivals: bursts have a rate from 0 to %g (%g per s) and mean lengths "
                         "above 0 (%lld and %lld ns)",
                         RATE_MAX_PER_S, spec->burst_per_s, (long long)spec->calm_mean_ns,
                         (long long)spec->burst_mean_ns);
    return 0;
}

void arrivals_init(struct arrivals *arrivals, const struct arrivals_spec *spec,
                   const struct random_stream *stream)
{
    *arrivals = (struct arrivals){.spec = *spec, .stream = *stream};
    double per_s = spec->kind == ARRIVALS_TRACE ? 0 : spec->per_s;
    if (spec->kind == ARRIVALS_DIURNAL)
        per_s *= 1 + spec->amplitude;
    arrivals->gap_ns = per_s > 0 ? 1e9 / per_s : 0;
    if (spec->kind == ARRIVALS_BURSTS)
        arrivals->switch_ns =
            (int64_t)((double)spec->calm_mean_ns * random_exponential(&arrivals->stream));
}

int64_t arrivals_next_slow(struct arrivals *arrivals)
{
    switch (arrivals->spec.kind) {
    case ARRIVALS_DIURNAL:
        return next_diurnal(arrivals);
    case ARRIVALS_BURSTS:
        return next_burst(arrivals);
    case ARRIVALS_TRACE:
        return next_of_trace(arrivals);
    case ARRIVALS_POISSON:
        break;
    }
    return ENGINE_NEVER; /* of rate 0 */
}

double arrivals_mean_per_s(const struct arrivals_spec *spec)
{
    if (spec->kind == ARRIVALS_TRACE)
        return 0;
    if (spec->kind != ARRIVALS_BURSTS)
        return spec->per_s;
    double calm = (double)spec->calm_mean_ns;
    double burst = (double)spec->burst_mean_ns;
    return (spec->per_s * calm + spec->burst_per_s * burst) / (calm + burst);
}

/* Candidates at the highest rate; each stays with the chance that its instant's rate has of it. */
static int64_t next_diurnal(struct arrivals *arrivals)
{
    const struct arrivals_spec *spec = &arrivals->spec;
    if (arrivals->gap_ns <= 0)
        return ENGINE_NEVER;
    for (;;) {
        double gap_ns = arrivals->gap_ns * random_exponential(&arrivals->stream);
        arrivals->last_ns += (int64_t)(gap_ns + 0.5);
        double rate =
            1 + spec->amplitude * wave(arrivals->last_ns - spec->peak_ns, spec->period_ns);
        if (random_uniform(&arrivals->stream) * (1 + spec->amplitude) < rate)
            return arrivals->last_ns;
    }
}

static int64_t next_burst(struct arrivals *arrivals)
{
    const struct arrivals_spec *spec = &arrivals->spec;
    if (spec->per_s <= 0 && spec->burst_per_s <= 0)
        return ENGINE_NEVER;
    for (;;) {
        double per_s = arrivals->burst ? spec->burst_per_s : spec->per_s;
        if (per_s > 0) {
            double gap_ns = 1e9 / per_s * random_exponential(&arrivals->stream);
            if (gap_ns < (double)(arrivals->switch_ns - arrivals->last_ns)) {
                arrivals->last_ns += (int64_t)gap_ns;
                return arrivals->last_ns;
            }
        }
        /* The exponential forgets: from the switch on it is drawn anew, at the other rate. */
        arrivals->last_ns = arrivals->switch_ns;
        arrivals->burst = !arrivals->burst;
        int64_t mean_ns = arrivals->burst ? spec->burst_mean_ns : spec->calm_mean_ns;
        arrivals->switch_ns +=
            1 + (int64_t)((double)mean_ns * random_exponential(&arrivals->stream));
    }
}

static int64_t next_of_trace(struct arrivals *arrivals)
{
    int64_t at_ns;
    if (arrivals->went_back || !arrivals->spec.next(arrivals->spec.context, &at_ns))
        return ENGINE_NEVER;
    if (at_ns < arrivals->last_ns) {
        arrivals->went_back = true;
        return ENGINE_NEVER;
    }
    arrivals->last_ns = at_ns;
    return at_ns;
}

/* The cosine, by its series in the quarter next to 0 and by symmetry elsewhere: no libm, for the
 * reason that random.h gives. */
static double wave(int64_t since_ns, int64_t period_ns)
{
    int64_t rest_ns = since_ns % period_ns;
    double turn = (double)(rest_ns < 0 ? -rest_ns : rest_ns) / (double)period_ns;
    if (turn > 0.5)
        turn = 1 - turn;
    double sign = turn > 0.25 ? -1 : 1;
    if (turn > 0.25)
        turn = 0.5 - turn;
    double square = 6.283185307179586 * turn * (6.283185307179586 * turn);
    double sum = 1;
    for (int k = 18; k >= 2; k -= 2)
        sum = 1 - square / (k * (k - 1)) * sum;
    return sign * sum;
}
