/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/base64url.h"

/* 0 to 63, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(const char *text, size_t count, uint8_t *ret, size_t ret_bytes,
                      size_t *ret_count)
{
    uint32_t bits = 0, bit_count = 0;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        bits = (bits << 6 | (uint32_t)value) & 0xfff; /* never more than 6 waiting, and 6 new */
        bit_count += 6;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        if (used == ret_bytes)
            return false;
        ret[used++] = (uint8_t)(bits >> bit_count);
    }
    /* 6 bits are half a byte's spelling and mean nothing; 2 or 4 are left over and must be zero */
    if (bit_count == 6 || (bits & ((1u << bit_count) - 1)) != 0)
        return false;
    *ret_count = used;
    return true;
}
