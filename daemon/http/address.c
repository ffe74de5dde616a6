/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <string.h>

#define V4_PREFIX 96u /* bits of ::ffff:0:0/96 */

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void address_set_v4(struct address *ret, const uint8_t bytes[4])
{
    memcpy(ret->bytes, v4_mapped, sizeof v4_mapped);
    memcpy(ret->bytes + sizeof v4_mapped, bytes, 4);
}

void address_set_v6(struct address *ret, const uint8_t bytes[16])
{
    memcpy(ret->bytes, bytes, sizeof ret->bytes);
}

bool address_is_v4(const struct address *address)
{
    return memcmp(address->bytes, v4_mapped, sizeof v4_mapped) == 0;
}

bool address_of_socket(const struct sockaddr_storage *from, struct address *ret)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        address_set_v4(ret, (const uint8_t *)&v4->sin_addr);
        return true;
    }
    if (from->ss_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
    address_set_v6(ret, (const uint8_t *)&v6->sin6_addr);
    return true;
}

bool address_parse(const char *text, size_t count, struct address *ret)
{
    char copy[ADDRESS_TEXT_BYTES];
    uint8_t bytes[16];
    if (count == 0 || count >= sizeof copy || memchr(text, '\0', count) != NULL)
        return false;
    memcpy(copy, text, count);
    copy[count] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1)
        address_set_v4(ret, bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        address_set_v6(ret, bytes);
    else
        return false;
    return true;
}

void address_format(const struct address *address, char ret[ADDRESS_TEXT_BYTES])
{
    const char *made =
        address_is_v4(address)
            ? inet_ntop(AF_INET, address->bytes + sizeof v4_mapped, ret, ADDRESS_TEXT_BYTES)
            : inet_ntop(AF_INET6, address->bytes, ret, ADDRESS_TEXT_BYTES);
    assert(made != NULL); /* the buffer holds the longest */
}

/* Whether a and b agree in their first `prefix` bits. */
static bool same_prefix(const uint8_t a[16], const uint8_t b[16], uint32_t prefix)
{
    uint32_t whole = prefix / 8, rest = prefix % 8;
    assert(prefix <= 128);
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

/* Decimal digits alone, up to `most`; -1 for anything else. */
static int read_prefix(const char *text, int most)
{
    int value = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (!isdigit((unsigned char)*at) || at - text == 3)
            return -1;
        value = value * 10 + (*at - '0');
    }
    return text[0] == '\0' || value > most || (text[0] == '0' && text[1] != '\0') ? -1 : value;
}

int network_parse(const char *text, struct network *ret, struct error *err)
{
    struct network network;
    const char *slash = strchr(text, '/');
    size_t count = slash == NULL ? strlen(text) : (size_t)(slash - text);
    if (!address_parse(text, count, &network.base))
        return error_set(err, ERROR_INVALID,
                         "expected a network such as 10.0.0.0/8 or 2001:db8::/32, got '%.64s'",
                         text);
    /* As it was written: ::ffff:10.0.0.0/104 is a way to say 10.0.0.0/8. */
    bool dotted = memchr(text, ':', count) == NULL;
    int most = dotted ? 32 : 128;
    int prefix = slash == NULL ? most : read_prefix(slash + 1, most);
    if (prefix < 0)
        return error_set(err, ERROR_INVALID, "expected 0 to %d bits behind the /, got '%.64s'",
                         most, text);
    network.prefix = (uint8_t)(dotted ? prefix + (int)V4_PREFIX : prefix);
    network.v4 = address_is_v4(&network.base) && network.prefix >= V4_PREFIX;
    for (uint32_t bit = network.prefix; bit < 128; bit++)
        if ((network.base.bytes[bit / 8] & (0x80 >> bit % 8)) != 0)
            return error_set(err, ERROR_INVALID,
                             "'%.64s' has bits set behind its first %d: give the network's own "
                             "address, or fewer bits",
                             text, prefix);
    *ret = network;
    return 0;
}

bool network_holds(const struct network *network, const struct address *address)
{
    return network->v4 == address_is_v4(address) &&
           same_prefix(network->base.bytes, address->bytes, network->prefix);
}

bool trusted_holds(const struct trusted_networks *trusted, const struct address *address)
{
    for (uint32_t i = 0; i < trusted->count; i++)
        if (network_holds(&trusted->networks[i], address))
            return true;
    return false;
}
