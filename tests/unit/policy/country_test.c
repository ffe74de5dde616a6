/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "policy/license/country.h"

static void the_union_has_27_members_and_their_outer_parts(void **state)
{
    (void)state;
    static const char *const in[] = {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES",
                                     "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
                                     "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
                                     "EU", "eu", "de", "RE", "GP", "AX"};
    static const char *const out[] = {"NO",  "CH",    "IS", "LI", "GB", "UK", "US",
                                      "KR",  "TR",    "RS", "PF", "GL", "",   "D",
                                      "DEU", "world", "E",  "T ", " D"};
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        assert_true(country_in_eu(in[i]));
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        assert_false(country_in_eu(out[i]));
    assert_false(country_in_eu(NULL));
    int members = 0;
    for (char a = 'A'; a <= 'Z'; a++)
        for (char b = 'A'; b <= 'Z'; b++)
            members += country_in_eu((const char[]){a, b, '\0'});
    assert_int_equal(members, 27 + 7 + 1);
}

static void codes_are_those_of_the_standard(void **state)
{
    (void)state;
    int known = 0;
    for (char a = 'A'; a <= 'Z'; a++)
        for (char b = 'A'; b <= 'Z'; b++)
            known += country_known((const char[]){a, b, '\0'});
    assert_int_equal(known, 249 + 3); /* and EU, UK, XK */
    assert_true(country_known("no"));
    assert_false(country_known("EN"));
    assert_false(country_known("world"));
    assert_false(country_known(NULL));
}

static void places_overlap_through_the_union_and_by_either_name(void **state)
{
    (void)state;
    assert_true(country_overlaps("DE", "de"));
    assert_true(country_overlaps("DE", "EU"));
    assert_true(country_overlaps("EU", "DE"));
    assert_true(country_overlaps("UK", "GB"));
    assert_false(country_overlaps("DE", "FR"));
    assert_false(country_overlaps("GB", "EU"));
    assert_false(country_overlaps("", ""));
    assert_false(country_overlaps("DE", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_union_has_27_members_and_their_outer_parts),
        cmocka_unit_test(codes_are_those_of_the_standard),
        cmocka_unit_test(places_overlap_through_the_union_and_by_either_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
