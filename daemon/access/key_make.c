/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/access/key_make.h"

#include "policy/users/crc32c.h"

#include <assert.h>
#include <openssl/rand.h>
#include <string.h>

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
#define LETTERS 62u

static_assert(KEY_ID_RANDOM + 2 <= KEY_ID_BYTES_MAX, "an id fits");
static_assert(KEY_RANDOM_COUNT * 5954u > 256u * 1000u, "log2 62 is 5.954: 256 bits");

/* Each as likely as any other: bytes from 248 on, which would favour the first eight, are drawn
 * again. */
static int draw(char *to, size_t count, struct error *err)
{
    for (size_t made = 0; made < count;) {
        unsigned char bytes[64];
        if (RAND_bytes(bytes, sizeof bytes) != 1)
            return error_set(err, ERROR_IO, "OpenSSL has no random bytes");
        for (size_t i = 0; i < sizeof bytes && made < count; i++)
            if (bytes[i] < 4 * LETTERS)
                to[made++] = letters[bytes[i] % LETTERS];
    }
    return 0;
}

static void append_check(char *key, size_t count)
{
    uint32_t check = crc32c(0, key, count);
    for (size_t i = KEY_CHECK_COUNT; i-- > 0; check /= LETTERS)
        key[count + i] = letters[check % LETTERS];
    key[count + KEY_CHECK_COUNT] = '\0';
}

int key_make(char ret[KEY_BYTES], struct error *err)
{
    size_t prefix = sizeof KEY_PREFIX - 1;
    memcpy(ret, KEY_PREFIX, prefix);
    int result = draw(ret + prefix, KEY_RANDOM_COUNT, err);
    if (result == 0)
        append_check(ret, prefix + KEY_RANDOM_COUNT);
    return result;
}

int key_make_id(char ret[KEY_ID_BYTES_MAX + 1], struct error *err)
{
    memcpy(ret, "k_", 2);
    ret[2 + KEY_ID_RANDOM] = '\0';
    return draw(ret + 2, KEY_ID_RANDOM, err);
}

bool key_looks_made(const char *key)
{
    char again[KEY_BYTES];
    size_t prefix = sizeof KEY_PREFIX - 1;
    if (strlen(key) != KEY_BYTES - 1 || memcmp(key, KEY_PREFIX, prefix) != 0 ||
        strspn(key + prefix, letters) != KEY_RANDOM_COUNT + KEY_CHECK_COUNT)
        return false;
    memcpy(again, key, KEY_BYTES);
    append_check(again, prefix + KEY_RANDOM_COUNT);
    return strcmp(again, key) == 0;
}
