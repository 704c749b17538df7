/* Reading a world's policy: when a move pays, and how often things may move. */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/world_read.h"

static void read_saving(struct reader *reader, const struct doc_node *node, struct policy *policy);
static void read_certainty(struct reader *reader, const struct doc_node *node,
                           struct policy *policy);
static void read_solve(struct reader *reader, const struct doc_node *node, struct policy *policy);
static void read_quiet(struct reader *reader, const struct doc_node *node, struct policy *policy);
static bool quiet_parse(const char *text, struct quiet_hours *out);
static bool minute_parse(const char *text, int *out);

#define MOVES_PER_DAY_MAX 100000
#define HORIZON_RULE      "a horizon is longer than nothing: a saving needs time to pay a move"
#define HIT_FLOOR_RULE    "a hit ratio's floor is above 0% and at most 100%"
#define CONFIDENCE_RULE                                                                        \
    "a confidence is from 50% to below 100%: below, chance decides; 100% is never reached by " \
    "what "                                                                                    \
    "is measured"
#define MINUTES_PER_DAY   (24 * 60)
#define SOLVE_TIME_US_MAX (24 * US_PER_HOUR)

void world_read_policy(struct reader *reader, const struct doc_node *root, struct policy *policy)
{
    struct doc *doc = reader->doc;
    int64_t moves = 3;
    int64_t moves_per_day = 0;
    *policy = (struct policy){
        .horizon_us = 24 * US_PER_HOUR,
        .dwell_us = 600 * US_PER_S,
        .saving_min_ppm = PPM / 50,
        .saving_min = NUSD_PER_USD / 2,
        .settle_us = 2 * US_PER_S,
        .hit_floor_ppm = PPM / 100,
        .healthy_min_us = 10 * US_PER_S,
        .node_timeout_us = 5 * US_PER_S,
        .metric_age_max_us = 60 * US_PER_S,
        .confidence_ppm = 900000,
        .prior_error_ppm = 300000,
        .prior_weight_us = 3600 * US_PER_S,
        .check_after_us = 3600 * US_PER_S,
    };
    const struct doc_node *node = doc_map(doc, root, "policy", 0);
    if (node != NULL) {
        if (doc_duration(doc, node, "horizon", 0, &policy->horizon_us) && policy->horizon_us <= 0) {
            doc_problem(doc, doc_get(doc, node, "horizon", 0), "%s", HORIZON_RULE);
        }
        doc_duration(doc, node, "dwell", 0, &policy->dwell_us);
        doc_int(doc, node, "moves", 0, 1, LIMIT_HANDOFFS, &moves);
        doc_duration(doc, node, "settle", 0, &policy->settle_us);
        if (doc_ratio(doc, node, "hit_floor", 0, &policy->hit_floor_ppm) &&
            (policy->hit_floor_ppm <= 0 || policy->hit_floor_ppm > PPM)) {
            doc_problem(doc, doc_get(doc, node, "hit_floor", 0), "%s", HIT_FLOOR_RULE);
        }
        doc_duration(doc, node, "healthy_min", 0, &policy->healthy_min_us);
        doc_duration(doc, node, "node_timeout", 0, &policy->node_timeout_us);
        doc_duration(doc, node, "metric_age_max", 0, &policy->metric_age_max_us);
        read_saving(reader, node, policy);
        read_certainty(reader, node, policy);
        doc_int(doc, node, "moves_per_day", 0, 0, MOVES_PER_DAY_MAX, &moves_per_day);
        doc_duration(doc, node, "check_after", 0, &policy->check_after_us);
        read_solve(reader, node, policy);
        read_quiet(reader, node, policy);
        doc_close(doc, node);
    }
    policy->moves_max = (int)moves;
    policy->moves_per_day = (int)moves_per_day;
}

const char *world_policy_rule(const struct policy *policy)
{
    if (policy->horizon_us <= 0) {
        return HORIZON_RULE;
    }
    if (policy->hit_floor_ppm <= 0 || policy->hit_floor_ppm > PPM) {
        return HIT_FLOOR_RULE;
    }
    if (policy->confidence_ppm < PPM / 2 || policy->confidence_ppm >= PPM) {
        return CONFIDENCE_RULE;
    }
    if (policy->moves_max < 1 || policy->moves_max > LIMIT_HANDOFFS) {
        return "moves at once are from 1 on, at most 1024 (LIMIT_HANDOFFS)";
    }
    return policy->moves_per_day < 0 || policy->moves_per_day > MOVES_PER_DAY_MAX
               ? "moves of a day are from 0 (any number) to 100000"
               : NULL;
}

static void read_saving(struct reader *reader, const struct doc_node *node, struct policy *policy)
{
    const struct doc_node *saving = doc_map(reader->doc, node, "saving_min", 0);
    if (saving == NULL) {
        return;
    }
    struct decimal per_month;
    doc_ratio(reader->doc, saving, "ratio", 0, &policy->saving_min_ppm);
    if (doc_price(reader->doc, saving, "per_month", 0, &per_month) &&
        money_of(per_month, 1, 1, &policy->saving_min) < 0) {
        doc_problem(reader->doc, doc_get(reader->doc, saving, "per_month", 0),
                    "this amount of money is too large");
    }
    doc_close(reader->doc, saving);
}

static void read_certainty(struct reader *reader, const struct doc_node *node,
                           struct policy *policy)
{
    struct doc *doc = reader->doc;
    if (doc_ratio(doc, node, "confidence", 0, &policy->confidence_ppm) &&
        (policy->confidence_ppm < PPM / 2 || policy->confidence_ppm >= PPM)) {
        doc_problem(doc, doc_get(doc, node, "confidence", 0), "%s", CONFIDENCE_RULE);
    }
    doc_ratio(doc, node, "prior_error", 0, &policy->prior_error_ppm);
    doc_duration(doc, node, "prior_weight", 0, &policy->prior_weight_us);
}

static void read_solve(struct reader *reader, const struct doc_node *node, struct policy *policy)
{
    struct doc *doc = reader->doc;
    doc_duration(doc, node, "solve_time", 0, &policy->solve_time_us);
    if (doc_ratio(doc, node, "solve_gap", 0, &policy->solve_gap_ppm) &&
        (policy->solve_gap_ppm < 0 || policy->solve_gap_ppm > PPM)) {
        doc_problem(doc, doc_get(doc, node, "solve_gap", 0), "a gap is from 0%% to 100%%");
    }
    if (policy->solve_time_us > SOLVE_TIME_US_MAX) {
        doc_problem(doc, doc_get(doc, node, "solve_time", 0), "a solve takes at most a day");
    }
}

static void read_quiet(struct reader *reader, const struct doc_node *node, struct policy *policy)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, node, "quiet_hours", 0, LIMIT_QUIET, &count);
    policy->quiet = read_array(reader, count, sizeof(struct quiet_hours));
    for (int i = 0; policy->quiet != NULL && i < count; i++) {
        const struct doc_node *item = doc_item(list, (size_t)i);
        char text[LIMIT_NAME_BYTES] = "";
        struct quiet_hours *quiet = &policy->quiet[i];
        policy->quiet_count = i + 1;
        if (!doc_node_string(reader->doc, item, text, sizeof(text))) {
            continue;
        }
        if (!quiet_parse(text, quiet)) {
            doc_problem(reader->doc, item,
                        "\"%s\" are no quiet hours; write 22:00-06:00, the hours of the UTC day",
                        text);
        } else if (quiet->from_min == quiet->to_min) {
            doc_problem(reader->doc, item,
                        "\"%s\" begins where it ends; an app that is never to move has moves: off",
                        text);
        }
    }
}

static bool quiet_parse(const char *text, struct quiet_hours *out)
{
    if (strlen(text) != strlen("22:00-06:00") || text[5] != '-' ||
        !minute_parse(text, &out->from_min) || !minute_parse(text + 6, &out->to_min)) {
        return false;
    }
    out->to_min %= MINUTES_PER_DAY; /* "24:00" ends where the next day begins */
    return out->from_min < MINUTES_PER_DAY;
}

/* "06:30", at most "24:00"; only its five characters are looked at. */
static bool minute_parse(const char *text, int *out)
{
    if (text[2] != ':' || strspn(text, "0123456789") != 2 || strspn(text + 3, "0123456789") != 2) {
        return false;
    }
    int hours = (text[0] - '0') * 10 + (text[1] - '0');
    int minutes = (text[3] - '0') * 10 + (text[4] - '0');
    *out = hours * 60 + minutes;
    return minutes < 60 && *out <= MINUTES_PER_DAY;
}
