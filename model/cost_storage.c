/* Storage: state beside the instances, data sets with their copies, and the traffic that keeps
 * replicas of a data set the same. */
#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

static int stored(const struct workload *what, unsigned __int128 *ret_quantity);

/* bytes x copies x (1 - duplicates) x price; what parts share is stored once, the lead's. */
void cost_terms_storage(const struct cost_context *context, int part, const struct cost_spot *spot,
                        struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct workload *what = info->what;
    struct decimal price = context->world->sites[spot->site].storage_price;
    struct cost_line line = cost_line_of(context, TERM_STORAGE, part, spot->site);
    unsigned __int128 quantity = 0;
    if (price.coefficient == 0) {
        return;
    }
    if (stored(what, &quantity) < 0 ||
        money_of(price, (uint64_t)(GIB * PPM), quantity, &line.bill) < 0 ||
        money_scale(line.bill, info->weights->storage_ppm, PPM, &line.score) < 0) {
        sink->failed = true;
        return;
    }
    if (quantity == 0) {
        return;
    }
    bool data = what->kind == KIND_DATA;
    char size[UNITS_TEXT_BYTES];
    char price_text[DECIMAL_TEXT_BYTES];
    char dedup[UNITS_TEXT_BYTES] = "";
    if (data && what->data.dedup_ppm > 0) {
        (void)units_format_ratio(what->data.dedup_ppm, dedup);
    }
    cost_line_text(sink, &line, "%d x %s%s%s%s x $%s per GiB-month",
                   data ? what->data.copies : what->replicas,
                   units_format_bytes(data ? what->data.bytes : what->state_bytes, size),
                   data ? "" : " of state", dedup[0] != '\0' ? " - duplicates " : "", dedup,
                   decimal_format(price, price_text));
    cost_sink_add(sink, &line);
}

/* A replica at the primary's site, or that shares another one's bytes, costs no traffic. */
void cost_replica_uses(const struct cost_context *context, const struct cost_replica *replica,
                       const struct cost_spot *primary, const struct cost_spot *spot,
                       struct problem_use uses[COST_REPLICA_USES])
{
    int app = context->parts[replica->part].app;
    struct egress_match match = context->matches[primary->site * context->site_count + spot->site];
    bool sends = spot->lead == replica->part && spot->site != primary->site;
    for (int i = 0; i < COST_REPLICA_USES; i++) {
        int rule = i == 0 ? match.sender_rule : match.receiver_rule;
        int payer = i == 0 ? primary->site : spot->site;
        uses[i] = sends && rule >= 0 ? (struct problem_use){cost_meter(context, app, payer, rule),
                                                            replica->monthly_bytes}
                                     : (struct problem_use){-1, 0};
    }
}

/* In bytes, times a million. */
static int stored(const struct workload *what, unsigned __int128 *ret_quantity)
{
    bool data = what->kind == KIND_DATA;
    unsigned __int128 bytes = (unsigned __int128)(data ? what->data.bytes : what->state_bytes);
    unsigned copies = (unsigned)(data ? what->data.copies : what->replicas);
    int64_t kept_ppm = data ? PPM - what->data.dedup_ppm : PPM;
    return __builtin_mul_overflow(bytes * copies, (unsigned __int128)kept_ppm, ret_quantity)
               ? ERR_OVERFLOW
               : 0;
}
