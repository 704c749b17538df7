#include "examples/inference-profile/model.h"

#include <string.h>

#include "base/str.h"

#define NAME_BYTES 24

static uint64_t next_random(uint64_t *state);

int user_read(const char *text, int bytes, uint64_t *ret_user)
{
    char digits[NAME_BYTES] = "";
    if (bytes < 2 || bytes > 20 || text[0] != 'u')
        return -1;
    str_format(digits, sizeof digits, "%.*s", bytes - 1, text + 1);
    return str_to_u64(digits, ret_user) == 0 ? 0 : -1;
}

void profile_make(uint64_t user, char profile[PROFILE_BYTES])
{
    uint64_t state = user + 1;
    str_format(profile, PROFILE_BYTES, "u%llu\n", (unsigned long long)user);
    size_t at = strlen(profile);
    while (at < PROFILE_BYTES)
        profile[at++] = (char)(next_random(&state) & 255);
}

int profile_read(const char *profile, size_t bytes, uint64_t user, struct features *ret_features)
{
    const char *end = memchr(profile, '\n', bytes < NAME_BYTES ? bytes : NAME_BYTES);
    uint64_t whose = 0;
    if (bytes != PROFILE_BYTES || end == NULL ||
        user_read(profile, (int)(end - profile), &whose) < 0 || whose != user)
        return -1;
    const unsigned char *at = (const unsigned char *)end + 1;
    for (int i = 0; i < FEATURES; i++)
        ret_features->value[i] = (int16_t)(at[2 * i] | at[2 * i + 1] << 8);
    return 0;
}

void model_init(struct model *model, uint64_t seed)
{
    for (int h = 0; h < HIDDEN; h++) {
        for (int i = 0; i < FEATURES; i++)
            model->first[h][i] = (int8_t)((int)(next_random(&seed) % 255) - 127);
        model->second[h] = (int8_t)((int)(next_random(&seed) % 255) - 127);
    }
}

/* A rectifier on the hidden layer, a soft bound on the result. */
int model_score(const struct model *model, const struct features *features)
{
    int64_t sum = 0;
    for (int h = 0; h < HIDDEN; h++) {
        int64_t hidden = 0;
        for (int i = 0; i < FEATURES; i++)
            hidden += (int64_t)model->first[h][i] * features->value[i];
        sum += hidden > 0 ? hidden / 4096 * model->second[h] : 0;
    }
    int64_t size = sum < 0 ? -sum : sum;
    return (int)(5000 + 5000 * sum / (size + 50000));
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}
