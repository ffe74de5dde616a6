/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "batching/kv_cache.h"
#include "kernels/backend.h"

static struct kv_hash name(uint64_t number)
{
    return kv_hash_salt(number, 0);
}

static void pool_that_is_empty_or_too_large_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(kv_cache_new(0, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_null(kv_cache_new(UINT32_MAX, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    kv_cache_free(NULL);
}

static void dry_pool_answers_none_and_recovers(void **state)
{
    (void)state;
    struct kv_cache *cache = kv_cache_new(3, NULL);
    uint32_t blocks[3];
    for (int i = 0; i < 3; i++) {
        blocks[i] = kv_cache_take(cache);
        assert_true(blocks[i] < 3);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(blocks[i], blocks[j]);
    }
    assert_int_equal(kv_cache_take(cache), KV_BLOCK_NONE);
    assert_int_equal(kv_cache_available(cache), 0);
    kv_cache_unref(cache, blocks[1]);
    kv_cache_check(cache);
    assert_int_equal(kv_cache_take(cache), blocks[1]);
    kv_cache_free(cache);
}

static void shared_block_outlives_first_sequence(void **state)
{
    (void)state;
    struct kv_cache *cache = kv_cache_new(2, NULL);
    uint32_t block = kv_cache_take(cache);
    kv_cache_seal(cache, block, name(1));
    assert_int_equal(kv_cache_find(cache, name(1)), block);
    kv_cache_ref(cache, block);
    kv_cache_unref(cache, block);
    kv_cache_unref(cache, block);
    assert_int_equal(kv_cache_stats(cache).referenced_count, 1);
    kv_cache_unref(cache, block);
    struct kv_cache_stats stats = kv_cache_stats(cache);
    assert_int_equal(stats.referenced_count, 0);
    assert_int_equal(stats.cached_count, 1);
    assert_int_equal(kv_cache_find(cache, name(1)), block);
    kv_cache_check(cache);
    kv_cache_free(cache);
}

static void least_recently_used_block_is_evicted_first(void **state)
{
    (void)state;
    struct kv_cache *cache = kv_cache_new(3, NULL);
    uint32_t blocks[3];
    for (uint64_t i = 0; i < 3; i++) {
        blocks[i] = kv_cache_take(cache);
        kv_cache_seal(cache, blocks[i], name(i));
    }
    for (uint64_t i = 0; i < 3; i++)
        kv_cache_unref(cache, blocks[i]);
    assert_int_equal(kv_cache_find(cache, name(0)), blocks[0]); /* used again: now the newest */
    kv_cache_unref(cache, blocks[0]);
    assert_int_equal(kv_cache_take(cache), blocks[1]);
    assert_int_equal(kv_cache_find(cache, name(1)), KV_BLOCK_NONE);
    assert_int_equal(kv_cache_take(cache), blocks[2]);
    assert_int_equal(kv_cache_take(cache), blocks[0]);
    assert_int_equal(kv_cache_stats(cache).evictions, 3);
    kv_cache_check(cache);
    kv_cache_free(cache);
}

static void free_blocks_are_taken_before_cached_ones(void **state)
{
    (void)state;
    struct kv_cache *cache = kv_cache_new(2, NULL);
    uint32_t block = kv_cache_take(cache);
    kv_cache_seal(cache, block, name(1));
    kv_cache_unref(cache, block);
    assert_int_not_equal(kv_cache_take(cache), block);
    assert_int_equal(kv_cache_find(cache, name(1)), block);
    kv_cache_free(cache);
}

static void second_block_of_one_name_stays_private(void **state)
{
    (void)state;
    struct kv_cache *cache = kv_cache_new(2, NULL);
    uint32_t first = kv_cache_take(cache), second = kv_cache_take(cache);
    kv_cache_seal(cache, first, name(1));
    kv_cache_seal(cache, second, name(1));
    kv_cache_unref(cache, second);
    assert_int_equal(kv_cache_stats(cache).free_count, 1);
    assert_int_equal(kv_cache_find(cache, name(1)), first);
    kv_cache_check(cache);
    kv_cache_free(cache);
}

static void hash_depends_on_salt_parent_and_every_token(void **state)
{
    (void)state;
    uint32_t tokens[KV_BLOCK_TOKENS] = {0};
    struct kv_hash root = kv_hash_salt(1, 2), hash = kv_hash_chain(root, tokens);
    struct kv_hash again = kv_hash_chain(kv_hash_salt(1, 2), tokens);
    assert_memory_equal(&hash, &again, sizeof hash);
    struct kv_hash others[KV_BLOCK_TOKENS + 3];
    uint32_t count = 0;
    others[count++] = kv_hash_chain(kv_hash_salt(2, 1), tokens);
    others[count++] = kv_hash_chain(kv_hash_salt(1, 3), tokens);
    others[count++] = kv_hash_chain(hash, tokens);
    for (uint32_t i = 0; i < KV_BLOCK_TOKENS; i++) {
        tokens[i] ^= 1;
        others[count++] = kv_hash_chain(root, tokens);
        tokens[i] ^= 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        assert_memory_not_equal(&others[i], &hash, sizeof hash);
        for (uint32_t j = 0; j < i; j++)
            assert_memory_not_equal(&others[i], &others[j], sizeof hash);
    }
}

static uint64_t next(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

/* Random operations against a plain count of references. */
static void invariants_hold_after_any_operations(void **state)
{
    (void)state;
    enum { BLOCKS = 13, HELD = 40, NAMES = 24 };
    struct kv_cache *cache = kv_cache_new(BLOCKS, NULL);
    uint32_t held[HELD], held_count = 0;
    bool sealed[BLOCKS] = {false};
    uint64_t random = 7;
    for (int round = 0; round < 20000; round++) {
        uint32_t block = KV_BLOCK_NONE;
        uint32_t at = held_count > 0 ? (uint32_t)(next(&random) % held_count) : 0;
        switch (next(&random) % 5) {
        case 0:
            block = held_count < HELD ? kv_cache_take(cache) : KV_BLOCK_NONE;
            if (block != KV_BLOCK_NONE)
                sealed[block] = false;
            break;
        case 1:
            if (held_count < HELD)
                block = kv_cache_find(cache, name(next(&random) % NAMES));
            break;
        case 2:
            if (held_count > 0 && held_count < HELD)
                kv_cache_ref(cache, block = held[at]);
            break;
        case 3:
            if (held_count > 0 && !sealed[held[at]]) {
                kv_cache_seal(cache, held[at], name(next(&random) % NAMES));
                sealed[held[at]] = true; /* or private for good: not sealed twice either way */
            }
            break;
        default:
            if (held_count > 0) {
                kv_cache_unref(cache, held[at]);
                held[at] = held[--held_count];
            }
        }
        if (block != KV_BLOCK_NONE)
            held[held_count++] = block;
        kv_cache_check(cache);
        bool named[BLOCKS] = {false};
        uint32_t distinct = 0;
        for (uint32_t i = 0; i < held_count; i++) {
            distinct += !named[held[i]];
            named[held[i]] = true;
        }
        assert_int_equal(kv_cache_stats(cache).referenced_count, distinct);
    }
    kv_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_that_is_empty_or_too_large_is_refused),
        cmocka_unit_test(dry_pool_answers_none_and_recovers),
        cmocka_unit_test(shared_block_outlives_first_sequence),
        cmocka_unit_test(least_recently_used_block_is_evicted_first),
        cmocka_unit_test(free_blocks_are_taken_before_cached_ones),
        cmocka_unit_test(second_block_of_one_name_stays_private),
        cmocka_unit_test(hash_depends_on_salt_parent_and_every_token),
        cmocka_unit_test(invariants_hold_after_any_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
