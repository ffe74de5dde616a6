/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/memory.h"

#define MIB (UINT64_C(1) << 20)

/* 16 tokens a block of 64 KiB: 4 KiB a token. */
static const struct model_shape shape = {.context = 8192, .kv_block_bytes = 65536};

static struct kv_plan plan(struct kv_request request)
{
    struct kv_plan found;
    struct error err = {0};
    request.shape = &shape;
    int result = kv_plan(&request, &found, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return found;
}

static void four_contexts_or_a_thousand_tokens_each(void **state)
{
    (void)state;
    struct kv_request request = {
        .max_sequences = 8, .available_bytes = 65536 * MIB, .models_to_come = 1};
    struct kv_plan found = plan(request);
    assert_true(found.bytes == 4 * 8192 * UINT64_C(4096));
    assert_int_equal(found.context, 8192);
    assert_false(found.context_cut);
    request.max_sequences = 64;
    assert_true(plan(request).bytes == 64 * 1024 * UINT64_C(4096));
    request.context = 512;
    assert_true(plan(request).bytes == 64 * 512 * UINT64_C(4096));
}

static void at_most_half_of_its_share_of_memory(void **state)
{
    (void)state;
    struct kv_request request = {
        .max_sequences = 64, .available_bytes = 200 * MIB, .models_to_come = 1};
    assert_true(plan(request).bytes == 100 * MIB);
    request.models_to_come = 2;
    assert_true(plan(request).bytes == 50 * MIB);
}

static void chosen_context_is_cut_and_asked_one_refused(void **state)
{
    (void)state;
    struct kv_request request = {
        .max_sequences = 64, .available_bytes = 32 * MIB, .models_to_come = 1};
    struct kv_plan found = plan(request);
    assert_true(found.context_cut);
    assert_int_equal(found.context, 4096);
    request.shape = &shape;
    request.context = 8192;
    struct error err = {0};
    assert_int_equal(kv_plan(&request, &found, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "raise engine.kv_memory"));
    request.context = 8193;
    assert_int_equal(kv_plan(&request, &found, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "made for 8192"));
}

static void given_bytes_are_taken(void **state)
{
    (void)state;
    const struct kv_request request = {.max_sequences = 64,
                                       .kv_memory_bytes = 64 * MIB,
                                       .available_bytes = MIB,
                                       .models_to_come = 1};
    assert_true(plan(request).bytes == 64 * MIB);
}

static void some_memory_is_available(void **state)
{
    (void)state;
    assert_true(memory_available() > 0);
    assert_true(memory_total() >= memory_used());
    assert_true(memory_used() > 0);
}

static void past_the_watermark_it_is_over_until_clearly_below(void **state)
{
    (void)state;
    assert_false(memory_is_over(false, 320, 320));
    assert_true(memory_is_over(false, 321, 320));
    assert_true(memory_is_over(true, 311, 320));
    assert_false(memory_is_over(true, 310, 320));
    assert_false(memory_is_over(true, UINT64_MAX, 0)); /* no watermark */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_contexts_or_a_thousand_tokens_each),
        cmocka_unit_test(at_most_half_of_its_share_of_memory),
        cmocka_unit_test(chosen_context_is_cut_and_asked_one_refused),
        cmocka_unit_test(given_bytes_are_taken),
        cmocka_unit_test(some_memory_is_available),
        cmocka_unit_test(past_the_watermark_it_is_over_until_clearly_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
