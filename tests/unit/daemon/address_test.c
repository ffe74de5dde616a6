/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/http/address.h"

static struct address parsed(const char *text)
{
    struct address address;
    assert_true(address_parse(text, strlen(text), &address));
    return address;
}

static void an_address_has_one_spelling(void **state)
{
    static const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"}, /* as a socket of "::" calls it */
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::", "::"},
        {"0.0.0.0", "0.0.0.0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[ADDRESS_TEXT_BYTES];
        struct address address = parsed(cases[i][0]);
        address_format(&address, text);
        assert_string_equal(text, cases[i][1]);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "256.1.1.1",
        " 1.2.3.4",
        "1.2.3.4 ",
        "[::1]",
        "1.2.3.4:80",
        "fe80::1%1",
        "::1::",
        "unknown",
        "localhost",
        "12345::1",
        "0x7f.1.1.1",
        "1.2.3.4/32",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff"};
    (void)state;
    struct address address;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_false(address_parse(cases[i], strlen(cases[i]), &address));
    assert_false(address_parse("1.2.3.4\0x", 9, &address));
}

static void a_socket_says_its_address(void **state)
{
    (void)state;
    struct sockaddr_storage storage = {.ss_family = AF_INET};
    struct address address;
    char text[ADDRESS_TEXT_BYTES];
    ((struct sockaddr_in *)&storage)->sin_addr.s_addr = htonl(0xc6336401);
    assert_true(address_of_socket(&storage, &address));
    address_format(&address, text);
    assert_string_equal(text, "198.51.100.1");
    storage = (struct sockaddr_storage){.ss_family = AF_INET6};
    ((struct sockaddr_in6 *)&storage)->sin6_addr = in6addr_loopback;
    assert_true(address_of_socket(&storage, &address));
    address_format(&address, text);
    assert_string_equal(text, "::1");
    storage = (struct sockaddr_storage){.ss_family = AF_UNIX};
    assert_false(address_of_socket(&storage, &address));
}

static void a_network_holds_what_begins_alike(void **state)
{
    static const struct {
        const char *network, *address;
        bool holds;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "203.0.113.9", false}, /* to trust IPv4 too one says so */
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1/128", "::1", true},
        {"::ffff:10.0.0.0/104", "10.1.1.1", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct network network;
        struct error err = {0};
        struct address address = parsed(cases[i].address);
        assert_int_equal(network_parse(cases[i].network, &network, &err), 0);
        assert_int_equal(network_holds(&network, &address), cases[i].holds);
    }
}

static void a_network_that_is_none_says_what_would_be(void **state)
{
    static const char *const cases[][2] = {
        {"10.0.0.0/33", "0 to 32 bits"},    {"10.0.0.0/", "0 to 32 bits"},
        {"10.0.0.0/08", "0 to 32 bits"},    {"10.0.0.0/-1", "0 to 32 bits"},
        {"::/129", "0 to 128 bits"},        {"::/0x1", "0 to 128 bits"},
        {"10.0.0.1/8", "has bits set"},     {"2001:db8::1/32", "has bits set"},
        {"10.0.0/8", "expected a network"}, {"", "expected a network"},
        {"/8", "expected a network"},       {"lan", "expected a network"},
        {"10.0.0.0/8/8", "0 to 32 bits"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct network network;
        struct error err = {0};
        assert_int_equal(network_parse(cases[i][0], &network, &err), ERROR_INVALID);
        assert_non_null(strstr(err.text, cases[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_one_spelling),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_socket_says_its_address),
        cmocka_unit_test(a_network_holds_what_begins_alike),
        cmocka_unit_test(a_network_that_is_none_says_what_would_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
