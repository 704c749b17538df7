/*
 * closed: formulas that tell without a simulation what some worlds do. The simulator is judged by
 * them in its tests, and `requests` can be checked by hand with them.
 *
 * Rates are per any one unit of time. All are pure and give NAN when the arguments have no meaning
 * (a queue that grows without end has a wait of INFINITY).
 */
#pragma once

#include <stdint.h>

/* The share of calls lost by `servers` without a queue under `load` = arrival rate x mean holding
 * time (Erlang B; any distribution of the holding time). */
double closed_erlang_b(double load, int64_t servers);
/* The share of calls that wait (Erlang C), and the mean wait over all calls. */
double closed_erlang_c(double load, int64_t servers);
double closed_mmc_wait(double arrivals, double service_mean, int64_t servers);
/* The mean wait of one server with any service time (Pollaczek-Khinchine). */
double closed_mg1_wait(double arrivals, double service_mean, double service_square);
/* The mean time that a request of mean work 1 / rate spends under processor sharing, one server. */
double closed_ps_time(double arrivals, double service_mean);

/* Hit ratios under independent requests for objects 1..objects with Zipf's weights: of LRU with
 * room for so many objects by Che's approximation; of TTL, exact, with `asked` requests per
 * lifetime. */
double closed_lru_hits(uint64_t objects, double exponent, double room);
double closed_ttl_hits(uint64_t objects, double exponent, double asked);
