/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    unsigned char *last = NULL;
    for (size_t bytes = 1; bytes < 9000; bytes = bytes * 3 + 1) {
        unsigned char *memory = arena_alloc(arena, bytes);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xff, bytes);
        if (last != NULL)
            assert_int_equal(*last, 0xff);
        last = memory;
    }
    assert_string_equal(arena_copy(arena, "weirdo", 4), "weir");
    arena_free(arena);
}

static void the_limit_holds_and_reset_gives_it_back(void **state)
{
    (void)state;
    struct arena *arena = arena_new(10000);
    assert_non_null(arena_alloc(arena, 6000));
    assert_null(arena_alloc(arena, 6000));
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX - 64));
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, 6000));
    arena_free(arena);
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(the_limit_holds_and_reset_gives_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
