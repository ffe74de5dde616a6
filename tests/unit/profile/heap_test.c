/* SPDX-License-Identifier: Apache-2.0 */
/* A jemalloc that is a table, and the real one where it is linked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/profile/heap.h"

static struct {
    bool built, on; /* config.prof, opt.prof */
    bool no_statistics;
    int dump_fails; /* an errno */
} double_heap;

static const struct {
    const char *name;
    size_t value;
} sizes[] = {{"stats.allocated", 1000},     {"stats.active", 4096},
             {"stats.resident", 8192},      {"stats.mapped", 16384},
             {"arenas.page", 4096},         {"stats.arenas.2.small.allocated", 600},
             {"stats.arenas.2.pactive", 3}, {"stats.arenas.2.resident", 8000}};

static int answer(void *old, size_t *old_bytes, const void *value, size_t bytes)
{
    if (old == NULL || *old_bytes != bytes)
        return EINVAL;
    memcpy(old, value, bytes);
    return 0;
}

static int dump(const char *path)
{
    if (double_heap.dump_fails != 0)
        return double_heap.dump_fails;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "heap_v2/524288\n", 15), 15);
    (void)close(fd);
    return 0;
}

static int control(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
{
    static const unsigned three = 3;
    static const char *const version = "5.3.0-\"x\"";
    static const bool yes = true;
    if (strcmp(name, "prof.dump") == 0) {
        assert_int_equal(new_bytes, sizeof(char *));
        return dump(*(const char **)new);
    }
    if (strcmp(name, "epoch") == 0)
        return new_bytes == sizeof(uint64_t) ? 0 : EINVAL;
    if (strcmp(name, "config.prof") == 0)
        return answer(old, old_bytes, &double_heap.built, sizeof(bool));
    if (strcmp(name, "opt.prof") == 0)
        return answer(old, old_bytes, &double_heap.on, sizeof(bool));
    if (strcmp(name, "version") == 0)
        return answer(old, old_bytes, &version, sizeof version);
    if (strcmp(name, "arenas.narenas") == 0)
        return answer(old, old_bytes, &three, sizeof three);
    if (strcmp(name, "arena.2.initialized") == 0)
        return answer(old, old_bytes, &yes, sizeof yes);
    for (size_t i = 0; !double_heap.no_statistics && i < sizeof sizes / sizeof sizes[0]; i++)
        if (strcmp(name, sizes[i].name) == 0)
            return answer(old, old_bytes, &sizes[i].value, sizeof(size_t));
    return ENOENT;
}

static int reset(void **state)
{
    (void)state;
    memset(&double_heap, 0, sizeof double_heap);
    return 0;
}

static void totals_have_what_jemalloc_knows(void **state)
{
    (void)state;
    struct error err = {0};
    struct text text;
    text_init(&text);
    assert_int_equal(heap_totals(control, &text, &err), 0);
    assert_string_equal(
        text_string(&text),
        "{\"object\":\"heap\",\"jemalloc\":\"5.3.0-\\\"x\\\"\",\"allocated_bytes\":1000,"
        "\"active_bytes\":4096,\"resident_bytes\":8192,\"mapped_bytes\":16384,\"profiling\":false,"
        "\"arenas\":[{\"index\":2,\"threads\":0,\"small_allocated_bytes\":600,"
        "\"active_bytes\":12288,\"resident_bytes\":8000}]}");
    text_destroy(&text);
}

static void without_statistics_or_jemalloc_there_are_no_totals(void **state)
{
    (void)state;
    struct error err = {0};
    struct text text;
    text_init(&text);
    double_heap.no_statistics = true;
    assert_int_equal(heap_totals(control, &text, &err), ERROR_UNSUPPORTED);
    assert_int_equal(heap_totals(NULL, &text, &err), ERROR_UNSUPPORTED);
    assert_int_equal(text.count, 0);
    text_destroy(&text);
}

static void a_dump_is_what_jemalloc_wrote(void **state)
{
    (void)state;
    struct error err = {0};
    struct text text;
    text_init(&text);
    double_heap.built = double_heap.on = true;
    assert_int_equal(heap_dump(control, &text, &err), 0);
    assert_string_equal(text_string(&text), "heap_v2/524288\n");
    double_heap.dump_fails = EAGAIN;
    assert_int_equal(heap_dump(control, &text, &err), ERROR_IO);
    text_destroy(&text);
}

static void a_dump_that_cannot_be_says_what_would_help(void **state)
{
    (void)state;
    struct error err = {0};
    struct text text;
    text_init(&text);
    assert_int_equal(heap_dump(NULL, &text, &err), ERROR_UNSUPPORTED);
    assert_int_equal(heap_dump(control, &text, &err), ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "--enable-prof"));
    double_heap.built = true;
    assert_int_equal(heap_dump(control, &text, &err), ERROR_REFUSED);
    assert_non_null(strstr(err.text, "MALLOC_CONF=prof:true"));
    assert_int_equal(text.count, 0);
    text_destroy(&text);
}

#ifndef WEIR_SANITIZED
static void the_real_ones_figures_are_in_order(void **state)
{
    (void)state;
    struct error err = {0};
    struct text text;
    heap_control own = heap_own_control();
    assert_non_null(own);
    text_init(&text);
    assert_int_equal(heap_totals(own, &text, &err), 0);
    json_t *heap = json_loads(text_string(&text), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(heap);
    long long allocated, active, resident, mapped;
    assert_int_equal(json_unpack(heap, "{s:I,s:I,s:I,s:I}", "allocated_bytes", &allocated,
                                 "active_bytes", &active, "resident_bytes", &resident,
                                 "mapped_bytes", &mapped),
                     0);
    assert_true(0 < allocated && allocated <= active && active <= resident && resident <= mapped);
    json_decref(heap);
    text_destroy(&text);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(totals_have_what_jemalloc_knows, reset),
        cmocka_unit_test_setup(without_statistics_or_jemalloc_there_are_no_totals, reset),
        cmocka_unit_test_setup(a_dump_is_what_jemalloc_wrote, reset),
        cmocka_unit_test_setup(a_dump_that_cannot_be_says_what_would_help, reset),
#ifndef WEIR_SANITIZED
        cmocka_unit_test(the_real_ones_figures_are_in_order),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
