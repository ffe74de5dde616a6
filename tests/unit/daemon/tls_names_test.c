/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/http/tls_names.h"

#define NOBODY UINT32_MAX

static struct tls_names made(const char *const *list, uint32_t count)
{
    struct tls_names names = {.count = 0};
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(tls_names_add(&names, list[i], i, NULL), 0);
    tls_names_sort(&names);
    return names;
}

static uint32_t found(const struct tls_names *names, const char *asked)
{
    uint32_t index = NOBODY;
    return tls_names_find(names, asked, &index) ? index : NOBODY;
}

static void a_name_wins_over_a_wildcard_and_the_first_over_its_like(void **state)
{
    (void)state;
    static const char *const list[] = {"*.example.com", "api.example.com", "API.example.com",
                                       "example.com", "*.com"};
    struct tls_names names = made(list, 5);
    assert_int_equal(found(&names, "api.example.com"), 1);
    assert_int_equal(found(&names, "Api.EXAMPLE.com"), 1);
    assert_int_equal(found(&names, "www.example.com"), 0);
    assert_int_equal(found(&names, "example.com"), 3);
    assert_int_equal(found(&names, "example.com."), 3);
    assert_int_equal(found(&names, "other.com"), 4);
    tls_names_destroy(&names);
}

static void a_wildcard_is_one_label(void **state)
{
    (void)state;
    static const char *const list[] = {"*.example.com"};
    struct tls_names names = made(list, 1);
    assert_int_equal(found(&names, "a.b.example.com"), NOBODY);
    assert_int_equal(found(&names, "example.com"), NOBODY);
    assert_int_equal(found(&names, ".example.com"), NOBODY);
    assert_int_equal(found(&names, "*.example.com"), NOBODY); /* nobody's name */
    assert_int_equal(found(&names, "aexample.com"), NOBODY);
    tls_names_destroy(&names);
}

static void any_bytes_may_be_asked_for(void **state)
{
    (void)state;
    char huge[1024];
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    static const char *const list[] = {"a"};
    struct tls_names names = made(list, 1), none = {.count = 0};
    assert_int_equal(found(&names, ""), NOBODY);
    assert_int_equal(found(&names, "."), NOBODY);
    assert_int_equal(found(&names, huge), NOBODY);
    assert_int_equal(found(&names, "\xff\xfe"), NOBODY);
    assert_int_equal(found(&names, "a"), 0);
    assert_int_equal(found(&none, "a"), NOBODY);
    tls_names_destroy(&names);
}

static void what_is_no_name_is_known(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",      ".",      "*",     "*.",      "a..b",           ".a",
        "a.*.b", "a*.b",   "*.*.a", "a b.com", "caf\xc3\xa9.fr", "a.b.",
        "a/b.c", "**.a.b", "a:443"};
    static const char *const right[] = {"a", "*.a", "xn--caf-dma.fr", "a_b.c-d.example", "1.2.3.4"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (tls_name_is_valid(wrong[i]))
            fail_msg("'%s' is taken for a name", wrong[i]);
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        if (!tls_name_is_valid(right[i]))
            fail_msg("'%s' is not taken for a name", right[i]);
    char label[70];
    memset(label, 'a', sizeof label);
    label[64] = '\0';
    assert_false(tls_name_is_valid(label));
    label[63] = '\0';
    assert_true(tls_name_is_valid(label));
}

static void there_is_an_end_to_names(void **state)
{
    (void)state;
    struct tls_names names = {.count = 0};
    struct error err = {0};
    char name[32];
    for (uint32_t i = 0; i < TLS_NAMES_MAX; i++) {
        (void)snprintf(name, sizeof name, "h%u.example", i);
        assert_int_equal(tls_names_add(&names, name, i % 7, &err), 0);
    }
    assert_int_equal(tls_names_add(&names, "one.more", 0, &err), ERROR_BUSY);
    tls_names_sort(&names);
    for (uint32_t i = 0; i < TLS_NAMES_MAX; i++) {
        (void)snprintf(name, sizeof name, "H%u.example", i);
        assert_int_equal(found(&names, name), i % 7);
    }
    tls_names_destroy(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_wins_over_a_wildcard_and_the_first_over_its_like),
        cmocka_unit_test(a_wildcard_is_one_label),
        cmocka_unit_test(any_bytes_may_be_asked_for),
        cmocka_unit_test(what_is_no_name_is_known),
        cmocka_unit_test(there_is_an_end_to_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
