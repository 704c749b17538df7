/* The grammar of overrides: from text to what is meant, checked as far as a text can be. */
#include "model/override.h"

#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/override_internal.h"

static int parse_path(const char *path, struct override *override, struct error *err);
static int parse_rest(const char *rest, struct override *override, struct error *err);
static int parse_price(const char *rest, struct override *override, struct error *err);
static int parse_word(const char *rest, const char *const *words, int count, const char *what,
                      struct override *override, struct error *err);
static int parse_policy(const char *rest, struct override *override, struct error *err);
static int parse_pair(const char *rest, struct override *override, struct error *err);
static int parse_value(const char *value, struct override *override, struct error *err);
static int parse_factor(const char *value, struct override *override, struct error *err);
static int check_set(const struct override *override, struct error *err);
static int parse_ends(const char *value, struct override *override, struct error *err);
static int parse_slo(const char *value, struct override *override, struct error *err);
static bool is_numeric(enum override_kind kind);
static int put_glob(const char *rest, struct override *override, struct error *err);
static bool split_word(const char *text, char *out, size_t capacity, const char **ret_rest);

/* How each path begins. */
static const struct {
    const char *words;
    enum override_kind kind;
} beginnings[] = {
    {"price", OVERRIDE_PRICE},
    {"overhead", OVERRIDE_OVERHEAD},
    {"speed", OVERRIDE_SPEED},
    {"capacity", OVERRIDE_CAPACITY},
    {"latency", OVERRIDE_LATENCY},
    {"weights", OVERRIDE_WEIGHT},
    {"policy", OVERRIDE_POLICY},
    {"calls", OVERRIDE_CALLS},
    {"cache.hit", OVERRIDE_HIT},
    {"cpu", OVERRIDE_CPU},
    {"bytes.request", OVERRIDE_REQUEST},
    {"bytes.response", OVERRIDE_RESPONSE},
    {"replicas", OVERRIDE_REPLICAS},
    {"data.size", OVERRIDE_DATA_SIZE},
    {"data.update", OVERRIDE_DATA_UPDATE},
    {"remove.provider", OVERRIDE_REMOVE_PROVIDER},
    {"remove.site", OVERRIDE_REMOVE_SITE},
    {"add.site", OVERRIDE_ADD_SITE},
    {"retag", OVERRIDE_RETAG},
    {"move", OVERRIDE_MOVE},
    {"slo", OVERRIDE_SLO},
};
#define BEGINNINGS (sizeof(beginnings) / sizeof(beginnings[0]))

/* Of prices, with the bits that each means. */
static const struct {
    const char *word;
    unsigned bits;
} price_words[] = {
    {"cpu", 1U << PRICE_CPU},
    {"memory", 1U << PRICE_MEMORY},
    {"storage", 1U << PRICE_STORAGE},
    {"egress", 1U << PRICE_EGRESS},
    {"compute", 1U << PRICE_CPU | 1U << PRICE_MEMORY},
    {"*", (1U << PRICE_COUNT) - 1},
};
#define PRICE_WORDS (sizeof(price_words) / sizeof(price_words[0]))

static const char *const resource_words[] = {"cpu", "memory"};

const struct override_policy override_policies[] = {
    {"horizon", UNIT_DURATION, offsetof(struct policy, horizon_us)},
    {"dwell", UNIT_DURATION, offsetof(struct policy, dwell_us)},
    {"saving_min.ratio", UNIT_RATIO, offsetof(struct policy, saving_min_ppm)},
    {"saving_min.per_month", UNIT_MONEY, offsetof(struct policy, saving_min)},
    {"settle", UNIT_DURATION, offsetof(struct policy, settle_us)},
    {"hit_floor", UNIT_RATIO, offsetof(struct policy, hit_floor_ppm)},
    {"healthy_min", UNIT_DURATION, offsetof(struct policy, healthy_min_us)},
    {"node_timeout", UNIT_DURATION, offsetof(struct policy, node_timeout_us)},
    {"metric_age_max", UNIT_DURATION, offsetof(struct policy, metric_age_max_us)},
    {"confidence", UNIT_RATIO, offsetof(struct policy, confidence_ppm)},
    {"prior_error", UNIT_RATIO, offsetof(struct policy, prior_error_ppm)},
    {"prior_weight", UNIT_DURATION, offsetof(struct policy, prior_weight_us)},
    {"check_after", UNIT_DURATION, offsetof(struct policy, check_after_us)},
    {"moves", UNIT_COUNT, offsetof(struct policy, moves_max)},
    {"moves_per_day", UNIT_COUNT, offsetof(struct policy, moves_per_day)},
};
const int override_policy_count = sizeof(override_policies) / sizeof(override_policies[0]);

int override_parse(const char *text, struct override *ret_override, struct error *err)
{
    const char *equals = text == NULL ? NULL : strchr(text, '=');
    char path[LIMIT_TEXT_BYTES];
    if (equals == NULL) {
        return error_set(
            err, ERR_INVALID, 0,
            "\"%.80s\" changes nothing; write PATH=VALUE, PATH=x2 or PATH=+10%%, as in "
            "price.egress.aws*=x2",
            text == NULL ? "" : text);
    }
    size_t bytes = (size_t)(equals - text);
    if (bytes >= sizeof(path)) {
        return error_set(err, ERR_LIMIT, 0, "\"%.40s...\": a path has at most %d characters", text,
                         LIMIT_TEXT_BYTES - 1);
    }
    memcpy(path, text, bytes);
    path[bytes] = '\0';
    return override_of(path, equals + 1, ret_override, err);
}

int override_of(const char *path, const char *value, struct override *ret_override,
                struct error *err)
{
    struct override override = {.kind = OVERRIDE_COUNT};
    int rc = parse_path(path, &override, err);
    if (rc == 0) {
        rc = parse_value(value, &override, err);
    }
    if (rc < 0) {
        return error_prefix(err, "%.100s=%.60s", path, value);
    }
    *ret_override = override;
    return 0;
}

int override_times(const char *path, struct decimal factor, struct override *ret_override,
                   struct error *err)
{
    char text[DECIMAL_TEXT_BYTES + 1];
    char number[DECIMAL_TEXT_BYTES];
    str_format(text, sizeof(text), "x%s", decimal_format(factor, number));
    return override_of(path, text, ret_override, err);
}

void override_turn(struct override *override, struct decimal factor)
{
    BERTH_ASSERT(override->relative && !decimal_is_negative(factor), "%s", override->path);
    override->factor = decimal_normal(factor);
}

bool override_matches(const char *glob, const char *name)
{
    const char *star = NULL; /* the last one, and where what it stands for ends */
    const char *again = NULL;
    while (*name != '\0') {
        if (*glob == '*') {
            star = glob++;
            again = name;
        } else if (*glob == '?' || *glob == *name) {
            glob++;
            name++;
        } else if (star != NULL) {
            glob = star + 1;
            name = ++again;
        } else {
            return false;
        }
    }
    while (*glob == '*') {
        glob++;
    }
    return *glob == '\0';
}

/* The longest beginning that the path has. */
static int parse_path(const char *path, struct override *override, struct error *err)
{
    const char *names[BEGINNINGS];
    size_t longest = 0;
    if (str_copy(override->path, sizeof(override->path), path) < 0) {
        return error_set(err, ERR_LIMIT, 0, "a path has at most %d characters",
                         LIMIT_TEXT_BYTES - 1);
    }
    for (size_t i = 0; i < BEGINNINGS; i++) {
        size_t bytes = strlen(beginnings[i].words);
        names[i] = beginnings[i].words;
        if (strncmp(path, beginnings[i].words, bytes) == 0 &&
            (path[bytes] == '.' || path[bytes] == '\0') && bytes > longest) {
            longest = bytes;
            override->kind = beginnings[i].kind;
        }
    }
    if (longest == 0) {
        char word[LIMIT_NAME_BYTES];
        const char *rest;
        bool known = split_word(path, word, sizeof(word), &rest);
        const char *near = known ? str_nearest(word, names, BEGINNINGS) : NULL;
        for (size_t i = 0; i < BEGINNINGS && near == NULL && known; i++) {
            near = str_starts(names[i], word) ? names[i] : NULL; /* "cache" alone */
        }
        return error_set(err, ERR_INVALID, 0,
                         "there is no such input; there are price, latency, calls, cache.hit, cpu, "
                         "bytes.request, bytes.response, replicas, data.size, data.update, "
                         "capacity, overhead, speed, weights, policy, remove.provider, "
                         "remove.site, add.site, retag, move and slo%s%s%s",
                         near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near,
                         near == NULL ? "" : "\"?");
    }
    return parse_rest(path[longest] == '\0' ? "" : path + longest + 1, override, err);
}

static int parse_rest(const char *rest, struct override *override, struct error *err)
{
    switch (override->kind) {
    case OVERRIDE_PRICE:
        return parse_price(rest, override, err);
    case OVERRIDE_CAPACITY:
        return parse_word(rest, resource_words, RESOURCE_COUNT, "capacity", override, err);
    case OVERRIDE_WEIGHT:
        return parse_word(rest, weight_words, WEIGHT_COUNT, "weights", override, err);
    case OVERRIDE_POLICY:
        return parse_policy(rest, override, err);
    case OVERRIDE_LATENCY:
        return parse_pair(rest, override, err);
    case OVERRIDE_REMOVE_PROVIDER:
    case OVERRIDE_REMOVE_SITE:
    case OVERRIDE_ADD_SITE:
        if (rest[0] != '\0') {
            return error_set(err, ERR_INVALID, 0,
                             "\"%.64s\": nothing stands there but = and a "
                             "value",
                             rest);
        }
        return 0;
    default:
        return put_glob(rest, override, err);
    }
}

static int parse_price(const char *rest, struct override *override, struct error *err)
{
    char word[LIMIT_NAME_BYTES];
    const char *glob;
    const char *words[PRICE_WORDS];
    bool known = split_word(rest, word, sizeof(word), &glob);
    for (size_t i = 0; i < PRICE_WORDS && known; i++) {
        words[i] = price_words[i].word;
        if (str_equal(word, price_words[i].word)) {
            override->prices = price_words[i].bits;
            return put_glob(glob, override, err);
        }
    }
    const char *near = known ? str_nearest(word, words, PRICE_WORDS) : NULL;
    return error_set(err, ERR_INVALID, 0,
                     "\"%.64s\" is no price; there are price.cpu, price.memory, price.storage, "
                     "price.egress, price.compute (cpu and memory) and price.* (all)%s%s%s",
                     known ? word : rest, near == NULL ? "" : "; did you mean \"price.",
                     near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

static int parse_word(const char *rest, const char *const *words, int count, const char *what,
                      struct override *override, struct error *err)
{
    char word[LIMIT_NAME_BYTES];
    const char *glob;
    bool known = split_word(rest, word, sizeof(word), &glob);
    for (int i = 0; i < count && known; i++) {
        if (str_equal(word, words[i])) {
            override->index = i;
            return put_glob(glob, override, err);
        }
    }
    char list[LIMIT_TEXT_BYTES] = "";
    for (int i = 0; i < count; i++) {
        size_t used = strlen(list);
        str_format(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    const char *near = known ? str_nearest(word, words, (size_t)count) : NULL;
    return error_set(err, ERR_INVALID, 0, "\"%.64s\": %s has %s%s%s%s", known ? word : rest, what,
                     list, near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near,
                     near == NULL ? "" : "\"?");
}

static int parse_policy(const char *rest, struct override *override, struct error *err)
{
    const char *names[sizeof(override_policies) / sizeof(override_policies[0])];
    for (int i = 0; i < override_policy_count; i++) {
        names[i] = override_policies[i].name;
        if (str_equal(rest, names[i])) {
            override->index = i;
            return 0;
        }
    }
    const char *near = str_nearest(rest, names, (size_t)override_policy_count);
    return error_set(err, ERR_INVALID, 0,
                     "policy has no number \"%.64s\" (docs/world.md lists them)%s%s%s", rest,
                     near == NULL ? "" : "; did you mean \"policy.", near == NULL ? "" : near,
                     near == NULL ? "" : "\"?");
}

/* "A:B" */
static int parse_pair(const char *rest, struct override *override, struct error *err)
{
    const char *colon = strchr(rest, ':');
    if (rest[0] == '\0') {
        rest = "*:*";
        colon = rest + 1;
    }
    if (colon == NULL || colon == rest || colon[1] == '\0' || strchr(colon + 1, ':') != NULL ||
        (size_t)(colon - rest) >= LIMIT_REF_BYTES || strlen(colon + 1) >= LIMIT_REF_BYTES) {
        return error_set(err, ERR_INVALID, 0,
                         "a latency is between two sites: latency.client/web:edge/nyc");
    }
    memcpy(override->glob, rest, (size_t)(colon - rest));
    override->glob[colon - rest] = '\0';
    return str_copy(override->peer, sizeof(override->peer), colon + 1);
}

static int parse_value(const char *value, struct override *override, struct error *err)
{
    if (value[0] == '\0') {
        return error_set(err, ERR_INVALID, 0, "a value is missing behind =");
    }
    if (str_copy(override->value, sizeof(override->value), value) < 0) {
        return error_set(err, ERR_LIMIT, 0, "a value has at most %d characters",
                         OVERRIDE_VALUE_BYTES - 1);
    }
    switch (override->kind) {
    case OVERRIDE_REMOVE_PROVIDER:
    case OVERRIDE_REMOVE_SITE:
        return put_glob(value, override, err);
    case OVERRIDE_ADD_SITE:
        return 0;
    case OVERRIDE_RETAG:
    case OVERRIDE_MOVE:
        return parse_ends(value, override, err);
    case OVERRIDE_SLO:
        return parse_slo(value, override, err);
    default:
        break;
    }
    size_t bytes = strlen(value);
    override->relative =
        value[0] == 'x' || ((value[0] == '+' || value[0] == '-') && value[bytes - 1] == '%');
    return override->relative ? parse_factor(value, override, err) : check_set(override, err);
}

/* "x2", "+10%", "-2.5%" */
static int parse_factor(const char *value, struct override *override, struct error *err)
{
    char number[LIMIT_NAME_BYTES];
    size_t bytes = strlen(value);
    bool percent = value[0] != 'x';
    struct decimal parsed;
    if (bytes > sizeof(number)) {
        return error_set(err, ERR_INVALID, 0, "a factor has at most 18 digits");
    }
    memcpy(number, value + 1, bytes - 1);
    number[bytes - 1 - (percent ? 1 : 0)] = '\0';
    if (number[0] == '-' || number[0] == '+' || number[0] == '$') {
        return error_set(err, ERR_INVALID, 0, "write x2, +10%% or -10%%");
    }
    int rc = decimal_parse(number, &parsed, err);
    if (rc < 0) {
        return rc;
    }
    if (percent) {
        /* 1 +- P / 100, in P's own digits. */
        int64_t one = 100;
        for (int i = 0; i < parsed.scale; i++) {
            if (__builtin_mul_overflow(one, INT64_C(10), &one)) {
                return error_set(err, ERR_OVERFLOW, 0, "a part has at most 16 decimals");
            }
        }
        int64_t part = value[0] == '-' ? -parsed.coefficient : parsed.coefficient;
        if (parsed.scale + 2 > DECIMAL_SCALE_MAX ||
            __builtin_add_overflow(one, part, &parsed.coefficient)) {
            return error_set(err, ERR_OVERFLOW, 0, "a part has at most 16 decimals");
        }
        parsed.scale += 2;
    }
    if (decimal_is_negative(parsed)) {
        return error_set(err, ERR_INVALID, 0, "no more than 100 %% can be taken away");
    }
    override->factor = decimal_normal(parsed);
    return 0;
}

/* What is set is read when it is applied; here only whether it can be. */
static int check_set(const struct override *override, struct error *err)
{
    struct override_work work = {.now = override, .err = err};
    struct decimal price;
    int64_t number;
    int count = __builtin_popcount(override->prices);
    switch (override->kind) {
    case OVERRIDE_PRICE:
        if (count > 1) {
            return error_set(err, ERR_INVALID, 0,
                             "several prices at once only change in proportion: write x2 or +10%%, "
                             "or name one of price.cpu, price.memory, price.storage, price.egress");
        }
        number = decimal_parse(override->value, &price, err);
        return number < 0 ? (int)number
               : decimal_is_negative(price)
                   ? error_set(err, ERR_INVALID, 0, "a price is never below 0")
                   : 0;
    case OVERRIDE_WEIGHT:
        number = decimal_parse(override->value, &price, err);
        return number < 0 ? (int)number
               : decimal_is_negative(price)
                   ? error_set(err, ERR_INVALID, 0, "a weight is never below 0")
                   : 0;
    case OVERRIDE_OVERHEAD:
    case OVERRIDE_SPEED:
    case OVERRIDE_HIT:
        return override_number(&work, UNIT_RATIO, &number);
    case OVERRIDE_CAPACITY:
        return override->index == RESOURCE_CPU ? units_cpu(override->value, &number, err)
                                               : units_bytes(override->value, &number, err);
    case OVERRIDE_LATENCY:
    case OVERRIDE_CPU:
        return override_number(&work, UNIT_DURATION, &number);
    case OVERRIDE_POLICY:
        return override_number(&work, override_policies[override->index].unit, &number);
    case OVERRIDE_CALLS:
        return units_rate(override->value, &number, err);
    case OVERRIDE_REPLICAS:
        return override_number(&work, UNIT_COUNT, &number);
    case OVERRIDE_DATA_UPDATE:
        return units_byte_rate(override->value, &number, err);
    default:
        return units_bytes(override->value, &number, err);
    }
}

/* RETAG: "key:value", where tags are written key=value, too. MOVE: "from:to". */
static int parse_ends(const char *value, struct override *override, struct error *err)
{
    bool retag = override->kind == OVERRIDE_RETAG;
    const char *mark = strchr(value, ':');
    if (retag && (mark == NULL || (strchr(value, '=') != NULL && strchr(value, '=') < mark))) {
        mark = strchr(value, '=');
    }
    size_t bytes = mark == NULL ? 0 : (size_t)(mark - value);
    if (mark == NULL || bytes == 0 || bytes >= LIMIT_NAME_BYTES ||
        strlen(mark + 1) >= LIMIT_NAME_BYTES || (!retag && mark[1] == '\0')) {
        return error_set(err, ERR_INVALID, 0,
                         retag ? "a tag is KEY:VALUE, as in cloud:aws"
                               : "a move is FROM:TO, a provider or a site each, as in gcp:aws");
    }
    char *first = retag ? override->to : override->peer;
    memcpy(first, value, bytes);
    first[bytes] = '\0';
    if (retag) {
        memmove(override->value, mark + 1, strlen(mark + 1) + 1);
        return 0;
    }
    return str_copy(override->to, sizeof(override->to), mark + 1);
}

/* "p95<80ms": which quantile it is does not matter to a limit that every call keeps. */
static int parse_slo(const char *value, struct override *override, struct error *err)
{
    const char *less = strchr(value, '<');
    const char *limit = less == NULL ? value : less + 1;
    int64_t us = 0;
    limit += limit[0] == '=';
    bool named = less == NULL || strncmp(value, "max", 3) == 0 || strncmp(value, "latency", 7) == 0;
    for (const char *at = value + 1; !named && value[0] == 'p' && at <= less; at++) {
        if (at == less && at > value + 1) {
            named = true;
        } else if ((*at < '0' || *at > '9') && *at != '.') {
            break;
        }
    }
    if (!named) {
        return error_set(err, ERR_INVALID, 0, "an objective is pNN<TIME, as in p95<80ms");
    }
    int rc = units_duration(limit, &us, err);
    if (rc < 0) {
        return rc;
    }
    if (us == 0) {
        return error_set(err, ERR_INVALID, 0, "no call takes no time");
    }
    memmove(override->value, override->value + (limit - value), strlen(limit) + 1);
    return 0;
}

static bool is_numeric(enum override_kind kind)
{
    return kind < OVERRIDE_REMOVE_PROVIDER;
}

int override_number(struct override_work *work, enum override_unit unit, int64_t *ret_value)
{
    const char *text = work->now->value;
    struct error *err = work->err;
    nusd amount;
    int rc;
    BERTH_ASSERT(is_numeric(work->now->kind), "kind %d has no number", (int)work->now->kind);
    switch (unit) {
    case UNIT_DURATION:
        return units_duration(text, ret_value, err);
    case UNIT_RATIO:
        return units_ratio(text, ret_value, err);
    case UNIT_MONEY:
        rc = money_parse(text, &amount, err);
        if (rc == 0 && (amount < 0 || money_to_i64(amount, ret_value) < 0)) {
            return error_set(err, ERR_INVALID, 0, "an amount from 0 to 9 billion dollars");
        }
        return rc;
    case UNIT_COUNT:
        break;
    }
    if (str_to_i64(text, ret_value) < 0 || *ret_value < 0 || *ret_value > INT32_MAX) {
        return error_set(err, ERR_INVALID, 0, "\"%.40s\" is no whole number from 0 on", text);
    }
    return 0;
}

static int put_glob(const char *rest, struct override *override, struct error *err)
{
    if (str_copy(override->glob, sizeof(override->glob), rest[0] == '\0' ? "*" : rest) < 0) {
        return error_set(err, ERR_LIMIT, 0, "a name has at most %d characters",
                         LIMIT_TEXT_BYTES - 1);
    }
    return 0;
}

/* The word before the next dot; *ret_rest is what follows it. */
static bool split_word(const char *text, char *out, size_t capacity, const char **ret_rest)
{
    size_t bytes = strcspn(text, ".");
    *ret_rest = text[bytes] == '.' ? text + bytes + 1 : "";
    if (bytes == 0 || bytes >= capacity) {
        return false;
    }
    memcpy(out, text, bytes);
    out[bytes] = '\0';
    return true;
}
