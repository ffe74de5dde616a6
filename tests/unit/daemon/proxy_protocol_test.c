/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/http/proxy_protocol.h"
#include "policy/users/crc32c.h"

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";

struct header {
    uint8_t bytes[PROXY_BYTES_MAX + 64];
    size_t count;
};

static void add(struct header *header, const void *bytes, size_t count)
{
    assert_true(header->count + count <= sizeof header->bytes);
    memcpy(header->bytes + header->count, bytes, count);
    header->count += count;
}

/* The head of version 2; the length is as told. */
static struct header v2(uint8_t command, uint8_t family, unsigned length)
{
    struct header header = {.count = 0};
    const uint8_t rest[4] = {command, family, (uint8_t)(length >> 8), (uint8_t)length};
    add(&header, signature, 12);
    add(&header, rest, 4);
    return header;
}

static enum proxy_result parse(const struct header *header, struct proxy_header *ret)
{
    const char *fault = NULL;
    struct proxy_header before, untouched;
    memset(&before, 0x5a, sizeof before);
    untouched = *ret = before;
    enum proxy_result result = proxy_parse(header->bytes, header->count, ret, &fault);
    assert_int_equal(fault != NULL, result == PROXY_WRONG);
    if (result != PROXY_DONE)
        assert_memory_equal(ret, &untouched, sizeof untouched);
    return result;
}

static enum proxy_result parse_text(const char *line, struct proxy_header *ret)
{
    struct header header = {.count = 0};
    add(&header, line, strlen(line));
    return parse(&header, ret);
}

static void assert_client(const struct proxy_header *header, const char *address, uint16_t port)
{
    char text[ADDRESS_TEXT_BYTES];
    assert_true(header->has_client);
    address_format(&header->client, text);
    assert_string_equal(text, address);
    assert_int_equal(header->client_port, port);
}

static const uint8_t v4_block[12] = {192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb};

static void version_1_names_the_client(void **state)
{
    (void)state;
    struct proxy_header header;
    const char *line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n";
    assert_int_equal(parse_text(line, &header), PROXY_DONE);
    assert_client(&header, "192.0.2.7", 56324);
    assert_string_equal(line + header.bytes, "GET / HTTP/1.1\r\n");
    assert_int_equal(parse_text("PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", &header), PROXY_DONE);
    assert_client(&header, "2001:db8::7", 1);
    assert_int_equal(parse_text("PROXY UNKNOWN\r\n", &header), PROXY_DONE);
    assert_false(header.has_client);
    assert_int_equal(parse_text("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\nx", &header),
                     PROXY_DONE);
    assert_false(header.has_client);
    assert_int_equal(header.bytes, 43);
}

static void version_1_is_taken_by_the_letter(void **state)
{
    static const char *const cases[] = {
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 056 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 123456 443\r\n",
        "PROXY TCP4 192.0.2.07 198.51.100.1 1 443\r\n",
        "PROXY TCP4 ::1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 1 443\r\n",
        "PROXY TCP6 ::1 192.0.2.1 1 443\r\n",
        "PROXY TCP5 192.0.2.7 198.51.100.1 1 443\r\n",
        "PROXY tcp4 192.0.2.7 198.51.100.1 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY\r\n",
        "PROXY\tTCP4 192.0.2.7 198.51.100.1 1 443\r\n",
        "proxy TCP4 192.0.2.7 198.51.100.1 1 443\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01",
    };
    (void)state;
    struct proxy_header header;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(parse_text(cases[i], &header), PROXY_WRONG);
}

static void version_1_ends_within_107_bytes(void **state)
{
    (void)state;
    struct proxy_header header;
    char line[PROXY_V1_BYTES_MAX + 2];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + PROXY_V1_BYTES_MAX - 2, "\r\n", 3);
    assert_int_equal(parse_text(line, &header), PROXY_DONE);
    assert_int_equal(header.bytes, PROXY_V1_BYTES_MAX);
    memcpy(line + PROXY_V1_BYTES_MAX - 2, "xx", 3);
    assert_int_equal(parse_text(line, &header), PROXY_WRONG);
    line[PROXY_V1_BYTES_MAX - 1] = '\0';
    assert_int_equal(parse_text(line, &header), PROXY_MORE);
}

static void version_2_names_the_client(void **state)
{
    (void)state;
    struct proxy_header ret;
    struct header header = v2(0x21, 0x11, sizeof v4_block);
    add(&header, v4_block, sizeof v4_block);
    add(&header, "GET", 3);
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    assert_client(&ret, "192.0.2.7", 56324);
    assert_int_equal(ret.bytes, 28);
    uint8_t v6_block[36] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7, [31] = 1, [32] = 0x1f, [33] = 0x90};
    header = v2(0x21, 0x21, sizeof v6_block);
    add(&header, v6_block, sizeof v6_block);
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    assert_client(&ret, "2001:db8::7", 8080);
}

static void who_speaks_for_itself_names_no_client(void **state)
{
    (void)state;
    struct proxy_header ret;
    struct header header = v2(0x20, 0x00, 0); /* a health check */
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    assert_false(ret.has_client);
    assert_int_equal(ret.bytes, 16);
    header = v2(0x20, 0x11, sizeof v4_block); /* LOCAL with addresses: not to be looked at */
    add(&header, v4_block, sizeof v4_block);
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    assert_false(ret.has_client);
    header = v2(0x20, 0x77, 3); /* nor its family */
    add(&header, "abc", 3);
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    header = v2(0x21, 0x00, 5); /* AF_UNSPEC */
    add(&header, "abcde", 5);
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    assert_false(ret.has_client);
    assert_int_equal(ret.bytes, 21);
    static const uint8_t paths[216] = "/run/one";
    header = v2(0x21, 0x31, sizeof paths); /* AF_UNIX */
    add(&header, paths, sizeof paths);
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    assert_false(ret.has_client);
}

static void version_2_is_taken_by_the_letter(void **state)
{
    static const struct {
        uint8_t command, family;
        unsigned length;
    } cases[] = {
        {0x11, 0x11, 12},   {0x31, 0x11, 12},    {0x22, 0x11, 12}, {0x01, 0x11, 12},
        {0x21, 0x12, 12},   {0x21, 0x22, 36},    {0x21, 0x10, 12}, {0x21, 0x01, 12},
        {0x21, 0x41, 12},   {0x21, 0x11, 11},    {0x21, 0x21, 35}, {0x21, 0x31, 215},
        {0x21, 0x11, 4097}, {0x20, 0x00, 65535},
    };
    (void)state;
    struct proxy_header ret;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct header header = v2(cases[i].command, cases[i].family, cases[i].length);
        assert_int_equal(parse(&header, &ret), PROXY_WRONG); /* before its block has come */
    }
}

/* TLVs behind IPv4's addresses. */
static struct header with_tlvs(const void *tlvs, size_t count)
{
    struct header header = v2(0x21, 0x11, (unsigned)(sizeof v4_block + count));
    add(&header, v4_block, sizeof v4_block);
    add(&header, tlvs, count);
    return header;
}

static void tlvs_fill_their_space(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
        enum proxy_result result;
    } cases[] = {
        {"\x04\x00\x00", 3, PROXY_DONE}, /* no operation */
        {"\x02\x00\x03"
         "abc"
         "\x05\x00\x01"
         "x",
         10, PROXY_DONE},
        {"\x02\x00\x03"
         "ab",
         5, PROXY_WRONG},
        {"\x02\xff\xff"
         "ab",
         5, PROXY_WRONG},
        {"\x02\x00", 2, PROXY_WRONG},
        {"\x02", 1, PROXY_WRONG},
        {"\x04\x00\x00\x04", 4, PROXY_WRONG},
        {"\x03\x00\x03"
         "abc",
         6, PROXY_WRONG}, /* a checksum of three bytes */
    };
    (void)state;
    struct proxy_header ret;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct header header = with_tlvs(cases[i].bytes, cases[i].count);
        assert_int_equal(parse(&header, &ret), cases[i].result);
    }
}

static void put_sum(struct header *header, size_t at)
{
    memset(header->bytes + at, 0, 4);
    uint32_t sum = crc32c(0, header->bytes, header->count);
    for (int i = 0; i < 4; i++)
        header->bytes[at + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
}

static void a_checksum_must_be_right(void **state)
{
    (void)state;
    struct proxy_header ret;
    struct header header = with_tlvs("\x04\x00\x02zz\x03\x00\x04----\x04\x00\x00", 15);
    put_sum(&header, 16 + 12 + 5 + 3);
    assert_int_equal(parse(&header, &ret), PROXY_DONE);
    for (size_t i = 16; i < header.count; i++) {
        struct header bent = header;
        bent.bytes[i] ^= 0x10;
        if (parse(&bent, &ret) == PROXY_DONE) /* only where it is no checksum any more */
            assert_true(i == 16 + 12 + 5);
    }
    header = with_tlvs("\x03\x00\x04----\x03\x00\x04----", 14); /* one of the two could be wrong */
    put_sum(&header, 16 + 12 + 3);
    assert_int_equal(parse(&header, &ret), PROXY_WRONG);
}

/* However it is cut: MORE until it is whole, and then what it was at once. */
static void a_header_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct header headers[4] = {v2(0x21, 0x11, sizeof v4_block + 3), v2(0x20, 0x00, 0)};
    add(&headers[0], v4_block, sizeof v4_block);
    add(&headers[0], "\x04\x00\x00", 3);
    add(&headers[2], "PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", 36);
    add(&headers[3], "PROXY UNKNOWN\r\n", 15);
    for (size_t i = 0; i < 4; i++) {
        struct proxy_header ret;
        struct header part = headers[i];
        for (part.count = 0; part.count < headers[i].count; part.count++)
            assert_int_equal(parse(&part, &ret), PROXY_MORE);
        assert_int_equal(parse(&part, &ret), PROXY_DONE);
        assert_int_equal(ret.bytes, headers[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_names_the_client),
        cmocka_unit_test(version_1_is_taken_by_the_letter),
        cmocka_unit_test(version_1_ends_within_107_bytes),
        cmocka_unit_test(version_2_names_the_client),
        cmocka_unit_test(who_speaks_for_itself_names_no_client),
        cmocka_unit_test(version_2_is_taken_by_the_letter),
        cmocka_unit_test(tlvs_fill_their_space),
        cmocka_unit_test(a_checksum_must_be_right),
        cmocka_unit_test(a_header_may_come_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
