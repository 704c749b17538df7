/* What the examples' workloads work out: mattes, tiles, scores, and the cache that they share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "examples/background-removal/matte.h"
#include "examples/background-removal/scene.h"
#include "examples/common/lru.h"
#include "examples/inference-profile/model.h"
#include "examples/procedural-tiles/tile.h"

static char ppm[SCENE_BYTES];
static uint8_t alpha[SCENE_PIXELS];

static struct picture draw(uint64_t index)
{
    struct picture picture;
    const char *rule = NULL;
    scene_draw(index, ppm);
    if (picture_read(ppm, sizeof ppm, &picture, &rule) < 0)
        fail_msg("%s", rule);
    assert_int_equal(picture.width, SCENE_WIDTH);
    assert_int_equal(picture.height, SCENE_HEIGHT);
    return picture;
}

/* Against the mask that the scene was drawn from, the patch of the wall's colour included. */
static void test_matte_finds_the_subject(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 64; i++) {
        struct picture picture = draw(i);
        assert_int_equal(matte_compute(&picture, 20, alpha), 0);
        if (scene_agreement(i, alpha) < 980)
            fail_msg("scene %d: %d of 1000", (int)i, scene_agreement(i, alpha));
        /* Far from the subject there is none of it. */
        assert_int_equal(alpha[0], 0);
        assert_int_equal(alpha[SCENE_WIDTH - 1], 0);
    }
}

/* Refining takes a hard edge to a soft one, and stays the same from run to run. */
static void test_matte_is_soft_and_the_same(void **state)
{
    (void)state;
    static uint8_t again[SCENE_PIXELS];
    struct picture picture = draw(5);
    int soft[2] = {0, 0};
    for (int refined = 0; refined < 2; refined++) {
        assert_int_equal(matte_compute(&picture, refined * 60, alpha), 0);
        for (int i = 0; i < SCENE_PIXELS; i++)
            soft[refined] += alpha[i] > 8 && alpha[i] < 247;
    }
    assert_int_equal(soft[0], 0);
    assert_true(soft[1] > 100 && soft[1] < SCENE_PIXELS / 20);
    assert_int_equal(matte_compute(&picture, 60, again), 0);
    assert_memory_equal(again, alpha, sizeof alpha);
}

/* A wall alone has no subject; a picture of noise has one answer, whatever it is. */
static void test_matte_of_odd_pictures(void **state)
{
    (void)state;
    uint8_t rgb[16 * 9 * 3];
    uint8_t out[16 * 9];
    struct picture picture = {16, 9, rgb};
    memset(rgb, 90, sizeof rgb);
    assert_int_equal(matte_compute(&picture, 10, out), 0);
    for (size_t i = 0; i < sizeof out; i++)
        assert_int_equal(out[i], 0);
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * i * 31 + i * 7);
    assert_int_equal(matte_compute(&picture, 10, out), 0);
}

static void test_pictures_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "P",
                                        "P6",
                                        "P5\n8 8\n255\n",
                                        "P6\n8\n",
                                        "P6\n7 8\n255\n",
                                        "P6\n8 8\n65535\n",
                                        "P6\n99999999999 8\n255\n",
                                        "P6\n2049 8\n255\n",
                                        "P6 # 8 8 255",
                                        "P6\n8 8\n255"};
    struct picture picture;
    const char *rule = NULL;
    char small[8 * 8 * 3 + 64] = "P6 # made by hand\n 8\t8 255\n";
    size_t header = strlen(small);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(picture_read(wrong[i], strlen(wrong[i]), &picture, &rule), -1);
    assert_int_equal(picture_read(small, header + 192, &picture, &rule), 0);
    assert_ptr_equal(picture.rgb, small + header);
    assert_int_equal(picture_read(small, header + 191, &picture, &rule), -1);
    assert_int_equal(picture_read(small, header + 193, &picture, &rule), -1);
    assert_non_null(strstr(rule, "3 bytes"));
}

/* The ground does not break where tiles meet, and a tile is what its place says, at any time. */
static void test_tiles(void **state)
{
    (void)state;
    struct grammar grammar;
    static uint8_t one[TILE_BYTES];
    static uint8_t two[TILE_BYTES];
    int plants = 0;
    assert_int_equal(grammar_init(&grammar, 7, "F[+F]F[-F]F"), 0);
    tile_make(&grammar, -3, 12, one);
    tile_make(&grammar, -2, 12, two);
    assert_memory_not_equal(one, two, TILE_BYTES);
    tile_make(&grammar, -3, 12, two);
    assert_memory_equal(one, two, TILE_BYTES);
    for (int i = 0; i < TILE_BYTES; i++)
        plants += one[i] == 255;
    assert_true(plants > 30 && plants < TILE_BYTES / 2);
    for (int64_t x = -300; x < 300; x++)
        for (int64_t y = -2; y < 2; y++) {
            int step = tile_ground(&grammar, x + 1, y) - tile_ground(&grammar, x, y);
            assert_true(step > -40 && step < 40);
        }
    struct grammar other;
    assert_int_equal(grammar_init(&other, 8, "F[+F]F[-F]F"), 0);
    tile_make(&other, -3, 12, two);
    assert_memory_not_equal(one, two, TILE_BYTES);
}

static void test_grammars_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "G",
                                        "F[",
                                        "F]",
                                        "]F[",
                                        "FFFFFF",
                                        "F[[[[[[F]]]]]]",
                                        "F++++++++++++++++++++++++++++++++"};
    static const char *const right[] = {"F", "+", "F[+F]F[-F]F", "FF[[+F]-F]F", "[]"};
    struct grammar grammar;
    static uint8_t pixels[TILE_BYTES];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(grammar_init(&grammar, 1, wrong[i]), -1);
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_int_equal(grammar_init(&grammar, 1, right[i]), 0);
        tile_make(&grammar, INT32_MIN, INT32_MAX, pixels);
    }
    /* The longest text that a grammar can grow to. */
    assert_int_equal(grammar_init(&grammar, 1, "FFFFF[[[+-+-+-+-+-+-+-+-+-]]]"), 0);
    tile_make(&grammar, 0, 0, pixels);
}

static void test_scores(void **state)
{
    (void)state;
    struct model model;
    char profile[PROFILE_BYTES];
    struct features features;
    int least = 10000;
    int most = 0;
    model_init(&model, 1);
    for (uint64_t user = 0; user < 500; user++) {
        profile_make(user, profile);
        assert_int_equal(profile_read(profile, sizeof profile, user, &features), 0);
        assert_int_equal(profile_read(profile, sizeof profile, user + 1, &features), -1);
        int score = model_score(&model, &features);
        assert_true(score >= 0 && score <= 10000);
        assert_int_equal(score, model_score(&model, &features));
        least = score < least ? score : least;
        most = score > most ? score : most;
    }
    assert_true(least < 2000 && most > 8000); /* it tells users apart */
    assert_int_equal(profile_read(profile, sizeof profile - 1, 499, &features), -1);
    memset(profile, 'u', sizeof profile);
    assert_int_equal(profile_read(profile, sizeof profile, 499, &features), -1);
}

static void test_users_are_checked(void **state)
{
    (void)state;
    uint64_t user = 0;
    assert_int_equal(user_read("u42!", 3, &user), 0);
    assert_int_equal(user, 42);
    assert_int_equal(user_read("u42!", 4, &user), -1);
    assert_int_equal(user_read("u", 1, &user), -1);
    assert_int_equal(user_read("", 0, &user), -1);
    assert_int_equal(user_read("42", 2, &user), -1);
    assert_int_equal(user_read("u99999999999999999999999", 24, &user), -1);
}

/* Against a list by last use, over a long run of few keys. */
static void test_lru(void **state)
{
    (void)state;
    enum { SLOTS = 7, KEYS = 12 };
    struct lru *lru = lru_create(SLOTS, sizeof(uint64_t));
    uint64_t order[SLOTS + 1]; /* youngest first */
    int count = 0;
    uint64_t random = 99;
    assert_non_null(lru);
    for (int i = 0; i < 20000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        uint64_t key = (random >> 33) % KEYS;
        int at = 0;
        uint64_t value = 0;
        while (at < count && order[at] != key)
            at++;
        assert_int_equal(lru_get(lru, key, &value), at < count);
        if (at < count) {
            assert_int_equal(value, key * 3);
        } else {
            value = key * 3;
            lru_put(lru, key, &value);
            at = count < SLOTS ? count++ : SLOTS - 1;
        }
        memmove(order + 1, order, (size_t)at * sizeof order[0]);
        order[0] = key;
        assert_int_equal(lru_count(lru), count);
    }
    uint64_t other = 5;
    uint64_t got = 0;
    lru_put(lru, order[3], &other); /* a new value for what is there */
    assert_true(lru_get(lru, order[3], &got));
    assert_int_equal(got, 5);
    assert_int_equal(lru_count(lru), SLOTS);
    lru_destroy(lru);
    lru_destroy(NULL);
    assert_null(lru_create(0, 8));
    assert_null(lru_create(1, 0));
    assert_null(lru_create((1 << 20) + 1, 8));
    lru = lru_create(1, 1);
    lru_put(lru, 1, "a");
    lru_put(lru, 2, "b");
    assert_false(lru_get(lru, 1, &got));
    assert_true(lru_get(lru, 2, &got));
    lru_destroy(lru);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matte_finds_the_subject),
        cmocka_unit_test(test_matte_is_soft_and_the_same),
        cmocka_unit_test(test_matte_of_odd_pictures),
        cmocka_unit_test(test_pictures_are_checked),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_grammars_are_checked),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_users_are_checked),
        cmocka_unit_test(test_lru),
    };
    return cmocka_run_group_tests_name("example_work", tests, NULL, NULL);
}
