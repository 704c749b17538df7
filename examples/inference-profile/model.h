/*
 * model: what a score is: profiles of users, and a small network over them.
 *
 * A profile is PROFILE_BYTES of a source's item: "<user>\n", FEATURES numbers of 16 bits, least
 * byte first, and the rest of what is known of a user, which the model does not use. The model is
 * two layers of whole numbers (FEATURES -> HIDDEN -> 1), its weights from a fixed seed; the score
 * is 0 to 10000. Deterministic and pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PROFILE_BYTES 2048
#define FEATURES      32
#define HIDDEN        16

struct features {
    int16_t value[FEATURES];
};

struct model {
    int8_t first[HIDDEN][FEATURES];
    int8_t second[HIDDEN];
};

/* The user's number out of "u123" and nothing else; -1: it is none. */
int user_read(const char *text, int bytes, uint64_t *ret_user);
void profile_make(uint64_t user, char profile[PROFILE_BYTES]);
/* -1: it is no profile, or another user's. */
int profile_read(const char *profile, size_t bytes, uint64_t user, struct features *ret_features);
void model_init(struct model *model, uint64_t seed);
int model_score(const struct model *model, const struct features *features);
