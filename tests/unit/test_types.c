/* The words of the model's enumerations: one for each value, in the enumeration's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "model/types.h"

static void assert_words(const char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        assert_non_null(words[i]);
        assert_true(words[i][0] != '\0' && strlen(words[i]) < LIMIT_NAME_BYTES);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(words[i], words[k]);
    }
    assert_null(words[count]);
}

static void every_value_has_a_word_of_its_own(void **state)
{
    (void)state;
    assert_words(tier_words, TIER_COUNT);
    assert_words(workload_kind_words, KIND_DATA + 1);
    assert_words(app_moves_words, MOVES_OFF + 1);
    assert_words(weight_words, WEIGHT_COUNT);
    assert_words(handoff_class_words, HANDOFF_STATEFUL + 1);
    assert_words(estimate_kind_words, ESTIMATE_COUNT);
}

static void the_words_stand_in_the_order_of_the_values(void **state)
{
    (void)state;
    assert_string_equal(tier_words[TIER_CLIENT], "client");
    assert_string_equal(tier_words[TIER_EDGE], "edge");
    assert_string_equal(tier_words[TIER_CLOUD], "cloud");
    assert_string_equal(workload_kind_words[KIND_SERVICE], "service");
    assert_string_equal(workload_kind_words[KIND_JOB], "job");
    assert_string_equal(workload_kind_words[KIND_FUNCTION], "function");
    assert_string_equal(workload_kind_words[KIND_DATA], "data");
    assert_string_equal(app_moves_words[MOVES_SUGGEST], "suggest");
    assert_string_equal(weight_words[WEIGHT_STORAGE], "storage");
    assert_string_equal(handoff_class_words[HANDOFF_OVERLAP], "overlap");
    assert_string_equal(handoff_class_words[HANDOFF_EXCLUSIVE], "exclusive");
    assert_string_equal(handoff_class_words[HANDOFF_STATEFUL], "stateful");
    assert_non_null(strstr(estimate_kind_words[ESTIMATE_CALLS_MHZ], "calls"));
    assert_non_null(strstr(estimate_kind_words[ESTIMATE_HIT_PPM], "hit"));
    assert_non_null(strstr(estimate_kind_words[ESTIMATE_MEMORY_BYTES], "memory"));
    assert_non_null(strstr(estimate_kind_words[ESTIMATE_RTT_US], "rtt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_a_word_of_its_own),
        cmocka_unit_test(the_words_stand_in_the_order_of_the_values),
    };
    return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}
