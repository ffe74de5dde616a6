/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/gateway.h"

#include "policy/users/base64url.h"
#include "policy/users/identity_text.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <string.h>

#define TIME_DIGITS_MAX 12u /* until the year 33658 */
#define MAC_BYTES       32u

struct parts {
    int64_t signed_unix;
    const char *id; /* base64url */
    size_t id_count;
    size_t signed_count; /* bytes from the start that the signature covers */
    uint8_t mac[MAC_BYTES];
};

static bool take(const char **at, const char *word)
{
    size_t count = strlen(word);
    if (strncmp(*at, word, count) != 0)
        return false;
    *at += count;
    return true;
}

/* Digits without a zero before them: one spelling for each time. */
static bool take_time(const char **at, int64_t *ret)
{
    size_t count = strspn(*at, "0123456789");
    if (count == 0 || count > TIME_DIGITS_MAX || (count > 1 && **at == '0'))
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value = value * 10 + ((*at)[i] - '0');
    *at += count;
    *ret = value;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_mac(const char **at, uint8_t ret[MAC_BYTES])
{
    for (size_t i = 0; i < MAC_BYTES; i++) {
        int high = hex_digit((*at)[0]);
        int low = high < 0 ? -1 : hex_digit((*at)[1]); /* never past the NUL */
        if (low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
        *at += 2;
    }
    return true;
}

static bool split(const char *value, struct parts *ret)
{
    const char *at = value;
    if (!take(&at, "v1;t=") || !take_time(&at, &ret->signed_unix) || !take(&at, ";id="))
        return false;
    ret->id = at;
    ret->id_count = strcspn(at, ";");
    at += ret->id_count;
    ret->signed_count = (size_t)(at - value);
    return take(&at, ";sig=") && take_mac(&at, ret->mac) && *at == '\0';
}

static bool signature_holds(const struct gateway *gateway, const char *value,
                            const struct parts *parts)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    return HMAC(EVP_sha256(), gateway->secret, (int)gateway->secret_count,
                (const unsigned char *)value, parts->signed_count, mac, &count) != NULL &&
           count == MAC_BYTES && CRYPTO_memcmp(mac, parts->mac, MAC_BYTES) == 0;
}

int gateway_verify(const struct gateway *gateway, const char *value, int64_t now_unix,
                   char ret[GATEWAY_ID_MAX + 1], struct error *err)
{
    assert(gateway->secret_count >= GATEWAY_SECRET_MIN);
    assert(gateway->secret_count <= GATEWAY_SECRET_MAX);
    struct parts parts;
    if (strnlen(value, GATEWAY_VALUE_MAX + 1) > GATEWAY_VALUE_MAX)
        return error_set(err, ERROR_REFUSED, "longer than %u bytes", GATEWAY_VALUE_MAX);
    if (!split(value, &parts))
        return error_set(err, ERROR_REFUSED, "expected v1;t=SECONDS;id=BASE64URL;sig=HEX");
    if (!signature_holds(gateway, value, &parts))
        return error_set(err, ERROR_REFUSED, "the signature is not of our secret");
    if (now_unix - parts.signed_unix > gateway->window_s)
        return error_set(err, ERROR_REFUSED, "signed %lld s ago, at most %lld",
                         (long long)(now_unix - parts.signed_unix), (long long)gateway->window_s);
    if (parts.signed_unix - now_unix > gateway->window_s)
        return error_set(err, ERROR_REFUSED, "signed %lld s from now: do the clocks agree?",
                         (long long)(parts.signed_unix - now_unix));
    char id[GATEWAY_ID_MAX + 1];
    size_t count = 0;
    if (!base64url_decode(parts.id, parts.id_count, (uint8_t *)id, GATEWAY_ID_MAX, &count) ||
        count == 0)
        return error_set(err, ERROR_REFUSED, "the id is not 1 to %u bytes in base64url",
                         GATEWAY_ID_MAX);
    if (!identity_text_is_plain(id, count))
        return error_set(err, ERROR_REFUSED, "control characters in the id");
    memcpy(ret, id, count);
    ret[count] = '\0';
    return 0;
}
