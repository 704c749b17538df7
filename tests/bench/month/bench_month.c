/*
 * What automatic moves are worth: 30 days of a diurnal, noisy load with a trend, replayed.
 *
 *     bench_month [seed]
 *
 * Three ways to run the same app under the same load, in the world examples/worlds/us.yaml with its
 * policy (but for what is said below), a node at each of four sites:
 *   fixed        the best of all 16 placements that never changes, known only afterwards
 *   automatic    the real core, cost model and solver; it measures each rate with an error of 3 %
 *   clairvoyant  knows every hour in advance: the cheapest path by dynamic programming over the
 *                hours, with the same cost of every move
 * Load: 900 calls/s in the mean; a day from 1/10 to 2 of it, two thirds of that on week-ends, from
 * 80 % to 120 % over the month, and noise of 15 % from hour to hour.
 * Each hour is charged at its true load: score (bill and weighed latency) and bill; every move is
 * charged its one-off bill (state moved, both copies running).
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/month/month.h"

#define HOURS      (30 * 24)
#define PLACES     (MONTH_SITES * MONTH_SITES)
#define SAMPLE_US  (5 * 60 * US_PER_S)
#define STEPS_HOUR 120 /* of 30 s */

struct replay {
    int64_t calls_mhz[HOURS];
    struct month_cost rate[HOURS][PLACES]; /* per month */
    nusd once[PLACES][PLACES];
    double score; /* dollars */
    double bill;
    double moves_bill;
    int moves;
};

static struct month month;
static struct replay replay;

static void place_sites(int place, int *site)
{
    site[0] = place / MONTH_SITES;
    site[1] = place % MONTH_SITES;
}

static void make_load(void)
{
    static const int64_t hours[24] = {300,  200,  120,  100,  100,  150,  300,  600,
                                      900,  1200, 1500, 1700, 1900, 2000, 2000, 1900,
                                      1800, 1700, 1600, 1400, 1100, 800,  600,  400};
    for (int h = 0; h < HOURS; h++) {
        int64_t calls = 900 * hours[h % 24];
        /* The first of January 2026 was a Thursday. */
        int weekday = (h / 24 + 3) % 7;
        if (weekday >= 5)
            calls = calls * 2 / 3;
        calls = calls * (80 + h * 40 / HOURS) / 100;
        calls += calls * month_normal(&month, 150000) / PPM;
        replay.calls_mhz[h] = calls > 1000 ? calls : 1000;
    }
}

static void make_costs(void)
{
    int from[MONTH_WORKLOADS];
    int to[MONTH_WORKLOADS];
    for (int h = 0; h < HOURS; h++) {
        const int64_t calls[] = {replay.calls_mhz[h], replay.calls_mhz[h]};
        for (int p = 0; p < PLACES; p++) {
            place_sites(p, to);
            replay.rate[h][p] = month_cost(&month, calls, to);
        }
    }
    const int64_t mean[] = {900000, 900000};
    for (int p = 0; p < PLACES; p++) {
        for (int q = 0; q < PLACES; q++) {
            place_sites(p, from);
            place_sites(q, to);
            replay.once[p][q] = p == q ? 0 : month_once(&month, mean, from, to);
        }
    }
}

static void charge(int hour, int place, double hours)
{
    replay.score += (double)replay.rate[hour][place].score / 1e9 / HOURS_PER_MONTH * hours;
    replay.bill += (double)replay.rate[hour][place].bill / 1e9 / HOURS_PER_MONTH * hours;
}

static void charge_move(int from, int to)
{
    if (from == to)
        return;
    double once = (double)replay.once[from][to] / 1e9;
    replay.moves++;
    replay.score += once;
    replay.bill += once;
    replay.moves_bill += once;
}

static void begin(void)
{
    replay.score = replay.bill = replay.moves_bill = 0;
    replay.moves = 0;
}

static void print_row(const char *name, double against)
{
    (void)printf("| %-12s | %9.2f | %9.2f | %5d | %10.2f | %6.4f |\n", name, replay.score,
                 replay.bill, replay.moves, replay.moves_bill,
                 against > 0 ? replay.score / against : 1.0);
}

static int best_fixed(void)
{
    int best = 0;
    double least = 0;
    for (int p = 0; p < PLACES; p++) {
        begin();
        for (int h = 0; h < HOURS; h++)
            charge(h, p, 1);
        if (p == 0 || replay.score < least) {
            least = replay.score;
            best = p;
        }
    }
    begin();
    for (int h = 0; h < HOURS; h++)
        charge(h, best, 1);
    return best;
}

/* The cheapest path; it begins where it likes, as the others do. */
static void clairvoyant(void)
{
    static double cost[HOURS][PLACES];
    static int came[HOURS][PLACES];
    for (int h = 0; h < HOURS; h++) {
        for (int p = 0; p < PLACES; p++) {
            double here = (double)replay.rate[h][p].score / 1e9 / HOURS_PER_MONTH;
            double least = 0;
            for (int q = 0; q < PLACES && h > 0; q++) {
                double total = cost[h - 1][q] + (double)replay.once[q][p] / 1e9;
                if (q == 0 || total < least) {
                    least = total;
                    came[h][p] = q;
                }
            }
            cost[h][p] = least + here;
        }
    }
    int place = 0;
    for (int p = 1; p < PLACES; p++) {
        if (cost[HOURS - 1][p] < cost[HOURS - 1][place])
            place = p;
    }
    begin();
    for (int h = HOURS - 1; h >= 0; h--) {
        charge(h, place, 1);
        int before = h > 0 ? came[h][place] : place;
        charge_move(before, place);
        place = before;
    }
}

static int present(void)
{
    return month_site(&month, 0) * MONTH_SITES + month_site(&month, 1);
}

static void measure(int hour)
{
    for (int i = 0; i < MONTH_WORKLOADS; i++) {
        int64_t calls = replay.calls_mhz[hour];
        int64_t seen = calls + calls * month_normal(&month, 30000) / PPM;
        month_calls(&month, i, seen > 1000 ? seen : 1000, seen * 3 / 100);
    }
}

static void automatic(void)
{
    /* Two hours of the first hour's load place it. */
    measure(0);
    month_run(&month, 2 * MONTH_HOUR_US);
    begin();
    int place = present();
    for (int h = 0; h < HOURS; h++) {
        for (int step = 0; step < STEPS_HOUR; step++) {
            if (step * MONTH_REFRESH_US % SAMPLE_US == 0)
                measure(h);
            month_run(&month, MONTH_REFRESH_US);
            int now = present();
            charge_move(place, now);
            place = now;
            charge(h, place, 1.0 / STEPS_HOUR);
        }
    }
}

static void as_default(struct policy *policy)
{
    const char *prior_error = getenv("BENCH_PRIOR_ERROR_PPM");
    int64_t ppm = 0;
    if (prior_error != NULL && str_to_i64(prior_error, &ppm) == 0)
        policy->prior_error_ppm = ppm;
}

int main(int argc, char **argv)
{
    int64_t seed = 1;
    if (argc > 2 || (argc == 2 && str_to_i64(argv[1], &seed) < 0)) {
        (void)fprintf(stderr, "usage: bench_month [seed]\n");
        return EXIT_FAILURE;
    }
    month_open(&month, (uint64_t)seed, as_default);
    month_run(&month, 60 * US_PER_S);
    make_load();
    make_costs();
    automatic();
    struct replay own = replay;
    int fixed_place = best_fixed();
    double fixed = replay.score;
    double fixed_bill = replay.bill;
    int site[MONTH_WORKLOADS];
    place_sites(fixed_place, site);
    (void)printf("seed %" PRId64 "; best fixed: front at %s, model at %s; dollars in 30 days\n\n",
                 seed, month_sites[site[0]], month_sites[site[1]]);
    (void)printf("| placement    | score     | bill      | moves | moves' own | / fixed |\n");
    (void)printf("|---|---|---|---|---|---|\n");
    print_row("fixed", fixed);
    clairvoyant();
    double clair = replay.score;
    print_row("clairvoyant", fixed);
    replay = own;
    print_row("automatic", fixed);
    (void)printf("\nautomatic / clairvoyant: %.4f; %d solves, %d checks\n", own.score / clair,
                 month.solves, month.checks_answered);
    (void)printf("{\"bench\":\"month\",\"seed\":%" PRId64 ",\"fixed\":%.2f,\"fixed_bill\":%.2f,"
                 "\"automatic\":%.2f,\"automatic_bill\":%.2f,\"clairvoyant\":%.2f,"
                 "\"to_fixed\":%.4f,\"to_clairvoyant\":%.4f,\"moves\":%d}\n",
                 seed, fixed, fixed_bill, own.score, own.bill, clair, own.score / fixed,
                 own.score / clair, own.moves);
    month_close(&month);
    return own.score < fixed ? EXIT_SUCCESS : EXIT_FAILURE;
}
