/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/http/forwarded.h"

#define LINES_MAX 4

static struct network networks[2];
static const struct trusted_networks trusted = {.networks = networks, .count = 2};

static int setup(void **state)
{
    (void)state;
    return network_parse("10.0.0.0/8", &networks[0], NULL) == 0 &&
                   network_parse("2001:db8::/32", &networks[1], NULL) == 0
               ? 0
               : 1;
}

static size_t count_of(const char *const *lines)
{
    size_t count = 0;
    while (count < LINES_MAX && lines[count] != NULL)
        count++;
    return count;
}

/* The client's address, "none" or "wrong". */
static const char *ask(const char *const *x, const char *const *rfc, enum forwarded_by by)
{
    static char text[ADDRESS_TEXT_BYTES];
    struct address address, untouched;
    memset(&address, 0x5a, sizeof address);
    untouched = address;
    const struct forwarded_lines lines = {x, count_of(x), rfc, count_of(rfc)};
    enum forwarded_result result = forwarded_client(&lines, by, &trusted, &address);
    if (result == FORWARDED_CLIENT) {
        address_format(&address, text);
        return text;
    }
    assert_memory_equal(&address, &untouched, sizeof address);
    return result == FORWARDED_NONE ? "none" : "wrong";
}

struct lines_case {
    const char *lines[LINES_MAX];
    const char *answer;
};

static void the_rightmost_stranger_is_the_client(void **state)
{
    static const struct lines_case cases[] = {
        {{NULL}, "none"},
        {{"203.0.113.9"}, "203.0.113.9"},
        {{"198.51.100.1, 203.0.113.9"}, "203.0.113.9"},
        {{"198.51.100.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
        {{"203.0.113.9,10.0.0.2 ,\t2001:db8::5"}, "203.0.113.9"},
        {{"10.0.0.5"}, "10.0.0.5"}, /* all are ours: the first of them */
        {{"10.0.0.5, 10.0.0.6"}, "10.0.0.5"},
        {{"198.51.100.1", "203.0.113.9", "10.0.0.2"}, "203.0.113.9"}, /* lines are one list */
        {{"198.51.100.1, 10.0.0.3", "10.0.0.2"}, "198.51.100.1"},
        {{"203.0.113.9:4711"}, "203.0.113.9"},
        {{"[2001:db9::1]:443"}, "2001:db9::1"},
        {{"[2001:db9::1]"}, "2001:db9::1"},
        {{"2001:db9::1"}, "2001:db9::1"},
        {{"::ffff:203.0.113.9"}, "203.0.113.9"},
        {{"::ffff:10.0.0.2, ::ffff:10.0.0.1"}, "10.0.0.2"},
        {{"unknown"}, "none"},
        {{"203.0.113.9, unknown, 10.0.0.1"}, "none"},
    };
    (void)state;
    const char *const nothing[] = {NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(ask(cases[i].lines, nothing, FORWARDED_BY_ANY), cases[i].answer);
}

static void what_a_client_wrote_to_the_left_changes_nothing(void **state)
{
    static const struct lines_case cases[] = {
        {{"10.0.0.1, 203.0.113.9"}, "203.0.113.9"},
        {{"\"<script>, , ;;, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
        {{"", "garbage", "203.0.113.9"}, "203.0.113.9"},
    };
    (void)state;
    const char *const nothing[] = {NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(ask(cases[i].lines, nothing, FORWARDED_BY_ANY), cases[i].answer);
}

static void what_is_malformed_names_nobody(void **state)
{
    static const char *const cases[] = {
        "",
        " ",
        ",",
        "203.0.113.9,",
        "203.0.113.9, ,10.0.0.1",
        "203.0.113",
        "203.0.113.9 10.0.0.1",
        "203.0.113.9:",
        "203.0.113.9:123456",
        "203.0.113.9:x",
        "[203.0.113.9]",
        "[::1",
        "::1]",
        "[::1]443",
        "[::1]:",
        "fe80::1%eth0",
        "\"203.0.113.9\"",
        "for=203.0.113.9",
        "localhost",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff",
        "10.0.0.1, 203.0.113.999, 10.0.0.2",
    };
    (void)state;
    const char *const nothing[] = {NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const lines[] = {cases[i], NULL};
        assert_string_equal(ask(lines, nothing, FORWARDED_BY_ANY), "wrong");
    }
}

static void forwarded_is_read_as_the_rfc_has_it(void **state)
{
    static const struct lines_case cases[] = {
        {{"for=203.0.113.9"}, "203.0.113.9"},
        {{"For=\"203.0.113.9:47011\""}, "203.0.113.9"},
        {{"for=\"[2001:db9:cafe::17]:4711\";proto=http;by=203.0.113.43"}, "2001:db9:cafe::17"},
        {{"proto=https;for=203.0.113.9;host=\"a, b; for=1.2.3.4\""}, "203.0.113.9"},
        {{"for=198.51.100.1, for=203.0.113.9;by=10.0.0.1, for=10.0.0.2"}, "203.0.113.9"},
        {{"for=198.51.100.1", "for=203.0.113.9", "for=10.0.0.2"}, "203.0.113.9"},
        {{"for=\"2\\03.0.113.9\""}, "203.0.113.9"},
        {{";;for=203.0.113.9;"}, "203.0.113.9"},
        {{"for=10.0.0.7"}, "10.0.0.7"},
        {{"for=unknown"}, "none"},
        {{"for=_hidden, for=10.0.0.2"}, "none"},
        {{"for=\"_hidden:_port\""}, "none"},
        {{"for=\"203.0.113.9:_port\""}, "203.0.113.9"},
        {{"proto=https"}, "none"},
        {{""}, "none"},
        {{"for=nonsense, for=203.0.113.9"}, "203.0.113.9"}, /* left of the client */
        {{"for=\"unclosed", "for=203.0.113.9"}, "203.0.113.9"},
        {{"for=\"unclosed, for=203.0.113.9"}, "wrong"}, /* one line: where does it begin? */
        {{"for=2001:db9::1"}, "wrong"},
        {{"for=\"2001:db9::1\""}, "wrong"}, /* brackets belong there */
        {{"for=[2001:db9::1]"}, "wrong"},
        {{"for = 203.0.113.9"}, "wrong"},
        {{"for=203.0.113.9 ;by=a"}, "wrong"},
        {{"for=203.0.113.9;for=203.0.113.9"}, "wrong"},
        {{"for=\"\""}, "wrong"},
        {{"for="}, "wrong"},
        {{"for"}, "wrong"},
        {{"=203.0.113.9"}, "wrong"},
        {{"for=\"203.0.113.9\\"}, "wrong"},
        {{"for=_"}, "wrong"},
        {{"203.0.113.9"}, "wrong"},
    };
    (void)state;
    const char *const nothing[] = {NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(ask(nothing, cases[i].lines, FORWARDED_BY_ANY), cases[i].answer);
}

/* A proxy that writes one header passes the other on as its client made it. */
static void two_headers_must_agree_or_one_be_chosen(void **state)
{
    (void)state;
    const char *const x[] = {"203.0.113.9", NULL}, *const same[] = {"for=203.0.113.9", NULL};
    const char *const forged[] = {"for=198.51.100.1", NULL}, *const bad[] = {"for", NULL};
    const char *const unknown[] = {"for=unknown", NULL}, *const nothing[] = {NULL};
    assert_string_equal(ask(x, same, FORWARDED_BY_ANY), "203.0.113.9");
    assert_string_equal(ask(x, forged, FORWARDED_BY_ANY), "wrong");
    assert_string_equal(ask(x, bad, FORWARDED_BY_ANY), "wrong");
    assert_string_equal(ask(x, unknown, FORWARDED_BY_ANY), "wrong");
    assert_string_equal(ask(x, forged, FORWARDED_BY_X), "203.0.113.9");
    assert_string_equal(ask(x, bad, FORWARDED_BY_X), "203.0.113.9");
    assert_string_equal(ask(x, forged, FORWARDED_BY_RFC), "198.51.100.1");
    assert_string_equal(ask(x, nothing, FORWARDED_BY_RFC), "none");
    assert_string_equal(ask(nothing, same, FORWARDED_BY_X), "none");
}

static void a_chain_is_followed_so_far_and_no_further(void **state)
{
    (void)state;
    char x[FORWARDED_HOPS_MAX * 16], rfc[FORWARDED_HOPS_MAX * 20];
    const char *const nothing[] = {NULL}, *const x_lines[] = {x, NULL};
    const char *const rfc_lines[] = {rfc, NULL};
    for (unsigned proxies = FORWARDED_HOPS_MAX - 1; proxies <= FORWARDED_HOPS_MAX; proxies++) {
        size_t x_used = (size_t)snprintf(x, sizeof x, "203.0.113.9");
        size_t rfc_used = (size_t)snprintf(rfc, sizeof rfc, "for=203.0.113.9");
        for (unsigned i = 0; i < proxies; i++) {
            x_used += (size_t)snprintf(x + x_used, sizeof x - x_used, ",10.0.0.%u", i);
            rfc_used +=
                (size_t)snprintf(rfc + rfc_used, sizeof rfc - rfc_used, ",for=10.0.0.%u", i);
        }
        const char *answer = proxies < FORWARDED_HOPS_MAX ? "203.0.113.9" : "wrong";
        assert_string_equal(ask(x_lines, nothing, FORWARDED_BY_ANY), answer);
        assert_string_equal(ask(nothing, rfc_lines, FORWARDED_BY_ANY), answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rightmost_stranger_is_the_client),
        cmocka_unit_test(what_a_client_wrote_to_the_left_changes_nothing),
        cmocka_unit_test(what_is_malformed_names_nobody),
        cmocka_unit_test(forwarded_is_read_as_the_rfc_has_it),
        cmocka_unit_test(two_headers_must_agree_or_one_be_chosen),
        cmocka_unit_test(a_chain_is_followed_so_far_and_no_further),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
