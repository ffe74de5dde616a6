/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_protocol.c -- two grammars that cannot be taken for one another, nor for a client's.
 *
 *     version 1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 CR LF      (at most 107 bytes)
 *
 *     version 2   0            12      13      14        16
 *                 | signature  | 2 cmd | family| length  | addresses | TLV | TLV ...
 *                   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A    \_______ length bytes ______/
 *
 * The signature is no beginning of HTTP, HTTP/2's preface or TLS, and the decision falls at the
 * first byte that differs: who speaks anything else is told at once and never waited for. Nothing
 * is guessed: on such a listener a connection without a header is refused, since whoever could
 * leave it out could also make it up.
 *
 * LOCAL (the proxy's own health checks), UNKNOWN, AF_UNSPEC and AF_UNIX say nothing of a client:
 * the socket's own address stays. A datagram's family is refused: this is a stream. TLVs must fill
 * their space exactly; their content is not used, but for the checksum, which must be right where
 * it is given. */
#include "daemon/http/proxy_protocol.h"

#include "policy/users/crc32c.h"

#include <assert.h>
#include <string.h>

#define PORT_DIGITS_MAX 5u
#define V4_BLOCK        12u /* two addresses, two ports */
#define V6_BLOCK        36u
#define UNIX_BLOCK      216u
#define TLV_HEAD        3u
#define TLV_CRC32C      0x03u

static const uint8_t v1_start[6] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_start[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                     0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static enum proxy_result wrong(const char **ret_fault, const char *fault)
{
    *ret_fault = fault;
    return PROXY_WRONG;
}

/* -- Version 1 -- */

struct words {
    const char *at, *end;
};

/* The next word, up to one space or the line's end; its length, 0 where there is none. */
static size_t next_word(struct words *words, const char **ret)
{
    const char *begin = words->at;
    size_t left = (size_t)(words->end - begin);
    const char *space = left == 0 ? NULL : memchr(begin, ' ', left);
    const char *stop = space == NULL ? words->end : space;
    words->at = space == NULL ? words->end : space + 1;
    *ret = begin;
    return (size_t)(stop - begin);
}

static bool next_address(struct words *words, bool v4, struct address *ret)
{
    const char *word;
    size_t count = next_word(words, &word);
    bool dotted = memchr(word, ':', count) == NULL;
    return dotted == v4 && address_parse(word, count, ret);
}

static bool next_port(struct words *words, uint16_t *ret)
{
    const char *word;
    size_t count = next_word(words, &word);
    uint32_t value = 0;
    if (count == 0 || count > PORT_DIGITS_MAX || (word[0] == '0' && count > 1))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(word[i] - '0');
    }
    *ret = (uint16_t)value;
    return value <= UINT16_MAX;
}

static enum proxy_result parse_v1(const uint8_t *bytes, size_t count, struct proxy_header *ret,
                                  const char **ret_fault)
{
    size_t seen = count < PROXY_V1_BYTES_MAX ? count : PROXY_V1_BYTES_MAX;
    const uint8_t *line_feed = memchr(bytes, '\n', seen);
    if (line_feed == NULL)
        return seen == PROXY_V1_BYTES_MAX ? wrong(ret_fault, "version 1: no end within 107 bytes")
                                          : PROXY_MORE;
    size_t line = (size_t)(line_feed - bytes);
    if (bytes[line - 1] != '\r')
        return wrong(ret_fault, "version 1: LF without CR");
    struct words words = {(const char *)bytes + sizeof v1_start, (const char *)bytes + line - 1};
    struct proxy_header header = {.bytes = line + 1};
    const char *family;
    size_t family_count = next_word(&words, &family);
    if (family_count == 7 && memcmp(family, "UNKNOWN", 7) == 0) {
        *ret = header;
        return PROXY_DONE;
    }
    bool v4 = family_count == 4 && memcmp(family, "TCP4", 4) == 0;
    if (!v4 && (family_count != 4 || memcmp(family, "TCP6", 4) != 0))
        return wrong(ret_fault, "version 1: neither TCP4, TCP6 nor UNKNOWN");
    struct address own;
    uint16_t own_port;
    if (!next_address(&words, v4, &header.client) || !next_address(&words, v4, &own))
        return wrong(ret_fault, "version 1: an address is none");
    if (!next_port(&words, &header.client_port) || !next_port(&words, &own_port))
        return wrong(ret_fault, "version 1: a port is none");
    if (words.at != words.end || words.end[-1] == ' ')
        return wrong(ret_fault, "version 1: more behind the ports");
    header.has_client = true;
    *ret = header;
    return PROXY_DONE;
}

/* -- Version 2 -- */

static uint32_t read_u16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* The sum is over the whole header with the four bytes of the sum as zero. */
static bool sum_is_right(const uint8_t *header, size_t count, size_t sum_at)
{
    static const uint8_t zero[4] = {0};
    assert(sum_at + sizeof zero <= count);
    uint32_t crc = crc32c(0, header, sum_at);
    crc = crc32c(crc, zero, sizeof zero);
    crc = crc32c(crc, header + sum_at + sizeof zero, count - sum_at - sizeof zero);
    return crc == (read_u16(header + sum_at) << 16 | read_u16(header + sum_at + 2));
}

/* NULL when all is well, else the fault. */
static const char *check_tlvs(const uint8_t *header, size_t count, size_t at)
{
    size_t sum_at = 0;
    while (at < count) {
        if (count - at < TLV_HEAD)
            return "version 2: a TLV is cut off";
        uint8_t type = header[at];
        size_t length = read_u16(header + at + 1);
        at += TLV_HEAD;
        if (length > count - at)
            return "version 2: a TLV is longer than the header";
        if (type == TLV_CRC32C) {
            if (length != 4 || sum_at != 0)
                return "version 2: a checksum that is none, or two of them";
            sum_at = at;
        }
        at += length;
    }
    return sum_at == 0 || sum_is_right(header, count, sum_at) ? NULL : "version 2: wrong checksum";
}

/* Bytes of addresses; *ret_fault where there can be none. */
static size_t block_bytes(uint8_t family, const char **ret_fault)
{
    switch (family) {
    case 0x11:
        return V4_BLOCK;
    case 0x21:
        return V6_BLOCK;
    case 0x31:
        return UNIX_BLOCK;
    case 0x00:
        return 0;
    default:
        *ret_fault = "version 2: a family or transport that is no stream's";
        return 0;
    }
}

static enum proxy_result parse_v2(const uint8_t *bytes, size_t count, struct proxy_header *ret,
                                  const char **ret_fault)
{
    if (count > sizeof v2_start && bytes[12] != 0x20 && bytes[12] != 0x21)
        return wrong(ret_fault, "version 2: unknown version or command");
    if (count < PROXY_V2_HEAD)
        return PROXY_MORE;
    struct proxy_header header = {.bytes = PROXY_V2_HEAD + read_u16(bytes + 14)};
    if (header.bytes > PROXY_BYTES_MAX)
        return wrong(ret_fault, "version 2: longer than we take");
    bool local = bytes[12] == 0x20;
    const char *fault = NULL;
    size_t block = local ? 0 : block_bytes(bytes[13], &fault);
    if (fault == NULL && block > header.bytes - PROXY_V2_HEAD)
        fault = "version 2: too short for its addresses";
    if (fault != NULL)
        return wrong(ret_fault, fault);
    if (count < header.bytes)
        return PROXY_MORE;
    /* LOCAL: all of it is to be skipped; AF_UNSPEC says nothing of where its TLVs begin. */
    if (block > 0)
        fault = check_tlvs(bytes, header.bytes, PROXY_V2_HEAD + block);
    if (fault != NULL)
        return wrong(ret_fault, fault);
    const uint8_t *addresses = bytes + PROXY_V2_HEAD;
    header.has_client = block == V4_BLOCK || block == V6_BLOCK;
    if (block == V4_BLOCK) {
        address_set_v4(&header.client, addresses);
        header.client_port = (uint16_t)read_u16(addresses + 8);
    } else if (block == V6_BLOCK) {
        address_set_v6(&header.client, addresses);
        header.client_port = (uint16_t)read_u16(addresses + 32);
    }
    *ret = header;
    return PROXY_DONE;
}

static bool starts_so(const uint8_t *bytes, size_t count, const uint8_t *start, size_t start_count)
{
    return memcmp(bytes, start, count < start_count ? count : start_count) == 0;
}

enum proxy_result proxy_parse(const uint8_t *bytes, size_t count, struct proxy_header *ret,
                              const char **ret_fault)
{
    if (count == 0)
        return PROXY_MORE;
    if (starts_so(bytes, count, v1_start, sizeof v1_start))
        return count <= sizeof v1_start ? PROXY_MORE : parse_v1(bytes, count, ret, ret_fault);
    if (starts_so(bytes, count, v2_start, sizeof v2_start))
        return count <= sizeof v2_start ? PROXY_MORE : parse_v2(bytes, count, ret, ret_fault);
    return wrong(ret_fault, "no PROXY protocol header");
}
