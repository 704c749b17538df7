/*
 * attribute: what each app is to pay of the tiered egress that all share (model/share_meter.h), by
 * meter and together. Results are in the caller's arena. Any thread.
 */
#pragma once

#include "model/cost.h"
#include "model/share_meter.h"

struct attribute_share {
    int app;
    int64_t bytes;
    struct share share;
};

struct attribute_meter {
    int account; /* -1 of the sum: all meters together */
    int rule;
    nusd total;
    bool exact;
    struct attribute_share *shares; /* apps with bytes, the largest share first */
    int share_count;
};

struct attribute {
    struct attribute_meter *meters;
    int meter_count;
    struct attribute_meter all;
};

int attribute_egress(const struct cost_input *input, const struct placement *at,
                     const struct share_options *options, struct arena *arena,
                     struct attribute *ret_attribute, struct error *err) WARN_UNUSED;
