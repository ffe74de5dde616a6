/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "policy/license/license_expression.h"

static void assert_names(const char *expression, const char *ids)
{
    struct license_names names;
    char joined[2048] = "";
    license_names_read(NULL, expression, &names);
    for (uint32_t i = 0; i < names.count; i++) {
        size_t used = strlen(joined);
        const struct license_name *name = &names.names[i];
        if (name->record != NULL)
            (void)snprintf(joined + used, sizeof joined - used, " %s", name->record->id);
        else
            (void)snprintf(joined + used, sizeof joined - used, " <%.*s>", (int)name->count,
                           name->bytes);
    }
    assert_string_equal(joined[0] == '\0' ? "" : joined + 1, ids);
}

static void names_expressions_and_lists_are_one_conjunction(void **state)
{
    (void)state;
    assert_names("", "");
    assert_names(" , ", "");
    assert_names("apache-2.0", "Apache-2.0");
    assert_names("APACHE LICENSE 2.0", "Apache-2.0");
    assert_names("mit,apache-2.0", "MIT Apache-2.0");
    assert_names("MIT AND llama3.1", "MIT llama3.1");
    assert_names("(MIT and (Apache-2.0)) AND strange", "MIT Apache-2.0 <strange>");
    assert_names("mit, something else ", "MIT <something else>");
}

static void a_choice_takes_the_first_alternative_that_is_known(void **state)
{
    (void)state;
    struct license_names names;
    assert_names("MIT OR Apache-2.0", "MIT");
    assert_names("strange OR MIT", "MIT");
    assert_names("strange AND MIT OR GPL-3.0", "GPL-3.0");
    assert_names("MIT AND (strange OR odd)", "MIT <strange>");
    assert_names("llama3.1, a OR MIT AND Apache-2.0", "llama3.1 MIT Apache-2.0");
    license_names_read(NULL, "MIT OR GPL-3.0", &names);
    assert_true(names.chosen);
    license_names_read(NULL, "MIT AND GPL-3.0", &names);
    assert_false(names.chosen);
}

static void exceptions_and_later_versions_are_of_the_licence_they_name(void **state)
{
    (void)state;
    assert_names("GPL-3.0 WITH Classpath-exception-2.0", "GPL-3.0");
    assert_names("GPL-3.0+", "GPL-3.0");
    assert_names("strange WITH x", "<strange WITH x>");
}

static void names_with_operators_in_them_are_names_first(void **state)
{
    (void)state;
    assert_names("research and evaluation", "mrl-0.1");
}

static void what_is_no_expression_is_one_unknown_name(void **state)
{
    (void)state;
    static const char *const rows[] = {"MIT AND",    "OR MIT",    "(MIT",      "MIT)",
                                       "MIT AND ()", "MIT OR OR", "() OR MIT", "(MIT) x"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char whole[64];
        (void)snprintf(whole, sizeof whole, "<%s>", rows[i]);
        assert_names(rows[i], whole);
    }
}

static void depth_length_and_number_have_limits(void **state)
{
    (void)state;
    char text[4096];
    struct license_names names;
    memset(text, '(', sizeof text);
    text[sizeof text - 1] = '\0';
    license_names_read(NULL, text, &names);
    assert_int_equal(names.count, 1);
    assert_null(names.names[0].record);
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "x,", 2);
    license_names_read(NULL, text, &names);
    assert_int_equal(names.count, LICENSE_NAMES_MAX);
    assert_true(names.cut);
    memset(text, ' ', sizeof text);
    memcpy(text, "mit", 3);
    text[sizeof text - 1] = '\0';
    assert_names(text, "MIT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_expressions_and_lists_are_one_conjunction),
        cmocka_unit_test(a_choice_takes_the_first_alternative_that_is_known),
        cmocka_unit_test(exceptions_and_later_versions_are_of_the_licence_they_name),
        cmocka_unit_test(names_with_operators_in_them_are_names_first),
        cmocka_unit_test(what_is_no_expression_is_one_unknown_name),
        cmocka_unit_test(depth_length_and_number_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
