#include "model/share_meter.h"

#include <math.h>
#include <string.h>

#define ORDERS 1000

/* The apps that send anything, and the sums that become their shares. */
struct sharing {
    const struct share_meter *meter;
    struct arena *arena;
    int *app; /* [player] */
    int count;
    nusd total;
    __int128 *sum; /* [player]: its share x divisor */
    __int128 divisor;
    double *spread; /* [player] */
};

static int begin(struct sharing *sharing);
static int share_exactly(struct sharing *sharing);
static int share_by_orders(struct sharing *sharing, const struct share_options *options);
static int add_order(const struct sharing *sharing, const int *order, bool reverse, nusd *added);
static int share_by_bytes(const struct sharing *sharing, struct share *shares);
static int divide_out(const struct sharing *sharing, const __int128 *sum, __int128 divisor,
                      nusd *ret_shares);
static uint64_t next_random(uint64_t *state);

int share_meter_charge(const struct share_meter *meter, __int128 bytes, nusd *ret_charge)
{
    __int128 from = meter->base_bytes;
    __int128 end = from + bytes;
    nusd sum = 0;
    for (int i = 0; i < meter->tier_count && from < end; i++) {
        bool last = i == meter->tier_count - 1;
        __int128 up_to = last ? end : meter->tiers[i].up_to_bytes;
        __int128 till = up_to < end ? up_to : end;
        nusd amount;
        if (till <= from) {
            continue;
        }
        if (money_of(meter->tiers[i].price, (uint64_t)meter->per_bytes,
                     (unsigned __int128)(till - from), &amount) < 0 ||
            __builtin_add_overflow(sum, amount, &sum)) {
            return ERR_OVERFLOW;
        }
        from = till;
    }
    *ret_charge = sum;
    return 0;
}

int share_meter(const struct share_meter *meter, const struct share_options *options,
                struct arena *arena, struct share *ret_shares, nusd *ret_total, bool *ret_exact,
                struct error *err)
{
    struct sharing sharing = {.meter = meter, .arena = arena};
    int rc = begin(&sharing);
    bool exact = sharing.count <= SHARE_EXACT;
    nusd *shapley = arena_array(arena, (size_t)sharing.count + 1, sizeof(nusd));
    if (rc == 0) {
        rc = shapley == NULL ? ERR_NO_MEMORY
             : exact         ? share_exactly(&sharing)
                             : share_by_orders(&sharing, options);
    }
    memset(ret_shares, 0, (size_t)meter->app_count * sizeof(*ret_shares));
    if (rc == 0) {
        rc = share_by_bytes(&sharing, ret_shares);
    }
    if (rc == 0) {
        rc = divide_out(&sharing, sharing.sum, sharing.divisor, shapley);
    }
    if (rc < 0) {
        return error_set(err, rc, 0,
                         rc == ERR_NO_MEMORY ? "no memory to share a meter"
                                             : "a meter's charge is too large to be shared");
    }
    __int128 all = 0;
    for (int i = 0; i < sharing.count; i++) {
        all += meter->bytes[sharing.app[i]];
    }
    for (int i = 0; i < sharing.count; i++) {
        struct share *share = &ret_shares[sharing.app[i]];
        nusd without = 0;
        int fits = share_meter_charge(meter, all - meter->bytes[sharing.app[i]], &without);
        BERTH_ASSERT(fits == 0, "a part of what did fit");
        share->marginal = sharing.total - without;
        share->shapley = shapley[i];
        share->spread = exact ? 0 : (nusd)ceil(sharing.spread[i]);
    }
    *ret_total = sharing.total;
    *ret_exact = exact;
    return 0;
}

static int begin(struct sharing *sharing)
{
    const struct share_meter *meter = sharing->meter;
    size_t apps = (size_t)meter->app_count + 1;
    __int128 all = 0;
    int64_t fits;
    sharing->app = arena_array(sharing->arena, apps, sizeof(int));
    sharing->sum = arena_array(sharing->arena, apps, sizeof(__int128));
    sharing->spread = arena_array(sharing->arena, apps, sizeof(double));
    if (sharing->app == NULL || sharing->sum == NULL || sharing->spread == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < meter->app_count; i++) {
        all += meter->bytes[i];
        if (meter->bytes[i] > 0) {
            sharing->app[sharing->count++] = i;
        }
    }
    int rc = share_meter_charge(meter, all, &sharing->total);
    return rc < 0 ? rc : money_to_i64(sharing->total, &fits);
}

/* Sum over the sets without i of s! (n - 1 - s)! (charge with i - charge without), which is n!
 * times the share: below 15! x 2^63 < 2^104. */
static int share_exactly(struct sharing *sharing)
{
    int n = sharing->count;
    size_t sets = (size_t)1 << n;
    __int128 factorial[SHARE_EXACT + 1] = {1};
    __int128 *volume = arena_array(sharing->arena, sets, sizeof(__int128));
    nusd *charge = arena_array(sharing->arena, sets, sizeof(nusd));
    if (volume == NULL || charge == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 1; i <= n; i++) {
        factorial[i] = factorial[i - 1] * i;
    }
    for (size_t set = 1; set < sets; set++) {
        int low = __builtin_ctzll(set);
        volume[set] = volume[set & (set - 1)] + sharing->meter->bytes[sharing->app[low]];
        int rc = share_meter_charge(sharing->meter, volume[set], &charge[set]);
        if (rc < 0) {
            return rc;
        }
    }
    for (size_t set = 0; set < sets; set++) {
        int size = __builtin_popcountll(set);
        for (int i = 0; i < n; i++) {
            if ((set >> i & 1) == 0) {
                sharing->sum[i] += factorial[size] * factorial[n - 1 - size] *
                                   (charge[set | (size_t)1 << i] - charge[set]);
            }
        }
    }
    sharing->divisor = factorial[n];
    return 0;
}

static int share_by_orders(struct sharing *sharing, const struct share_options *options)
{
    int n = sharing->count;
    int pairs = options->orders > 0 ? options->orders : ORDERS;
    uint64_t state = options->seed;
    int *order = arena_array(sharing->arena, (size_t)n, sizeof(int));
    nusd *added = arena_array(sharing->arena, (size_t)n, sizeof(nusd));
    double *sum = arena_array(sharing->arena, (size_t)n * 2, sizeof(double));
    if (order == NULL || added == NULL || sum == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < n; i++) {
        order[i] = i;
    }
    for (int pair = 0; pair < pairs; pair++) {
        for (int i = n - 1; i > 0; i--) {
            int k = (int)(next_random(&state) % (uint64_t)(i + 1));
            int swapped = order[i];
            order[i] = order[k];
            order[k] = swapped;
        }
        memset(added, 0, (size_t)n * sizeof(*added));
        for (int way = 0; way < 2; way++) {
            int rc = add_order(sharing, order, way == 1, added);
            if (rc < 0) {
                return rc;
            }
        }
        for (int i = 0; i < n; i++) {
            double mean = (double)added[i] / 2;
            sharing->sum[i] += added[i];
            sum[2 * i] += mean;
            sum[2 * i + 1] += mean * mean;
        }
    }
    for (int i = 0; i < n && pairs > 1; i++) {
        double variance = (sum[2 * i + 1] - sum[2 * i] * sum[2 * i] / pairs) / (pairs - 1);
        sharing->spread[i] = variance > 0 ? sqrt(variance / pairs) : 0;
    }
    sharing->divisor = (__int128)pairs * 2;
    return 0;
}

/* What each adds when it comes; together the total, whatever the order. */
static int add_order(const struct sharing *sharing, const int *order, bool reverse, nusd *added)
{
    __int128 volume = 0;
    nusd before = 0;
    for (int i = 0; i < sharing->count; i++) {
        int player = order[reverse ? sharing->count - 1 - i : i];
        nusd after;
        volume += sharing->meter->bytes[sharing->app[player]];
        int rc = share_meter_charge(sharing->meter, volume, &after);
        if (rc < 0) {
            return rc;
        }
        added[player] += after - before;
        before = after;
    }
    return 0;
}

static int share_by_bytes(const struct sharing *sharing, struct share *shares)
{
    size_t count = (size_t)sharing->count + 1;
    __int128 *parts = arena_array(sharing->arena, count, sizeof(__int128));
    nusd *amounts = arena_array(sharing->arena, count, sizeof(nusd));
    __int128 all = 0;
    int shift = 0;
    if (parts == NULL || amounts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < sharing->count; i++) {
        all += sharing->meter->bytes[sharing->app[i]];
    }
    /* total x bytes must fit: below 2^63 x 2^62 */
    while (all >> shift >= (__int128)1 << 62) {
        shift++;
    }
    all = 0;
    for (int i = 0; i < sharing->count; i++) {
        parts[i] = (__int128)sharing->meter->bytes[sharing->app[i]] >> shift;
        all += parts[i];
        parts[i] *= sharing->total;
    }
    int rc = divide_out(sharing, parts, all == 0 ? 1 : all, amounts);
    for (int i = 0; i < sharing->count && rc == 0; i++) {
        shares[sharing->app[i]].proportional = amounts[i];
    }
    return rc;
}

/* Each gets the whole part of sum / divisor; what is left of the total goes, one by one, to the
 * largest remainders, the earlier of equals first. */
static int divide_out(const struct sharing *sharing, const __int128 *sum, __int128 divisor,
                      nusd *ret_shares)
{
    nusd left = sharing->total;
    bool *given = arena_array(sharing->arena, (size_t)sharing->count + 1, sizeof(bool));
    if (given == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < sharing->count; i++) {
        ret_shares[i] = sum[i] / divisor;
        left -= ret_shares[i];
    }
    for (; left > 0; left--) {
        int most = -1;
        for (int i = 0; i < sharing->count; i++) {
            if (!given[i] && (most < 0 || sum[i] % divisor > sum[most] % divisor)) {
                most = i;
            }
        }
        BERTH_ASSERT(most >= 0, "more is left than there are remainders");
        given[most] = true;
        ret_shares[most]++;
    }
    return 0;
}

/* splitmix64 (Steele, Lea and Flood, 2014) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
