/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway's header. "T..." is the value as it comes; "S..." is signed first, for without a
 * signature that holds nothing would ever get to time and id. What is accepted was signed, names a
 * user in plain text, and is refused once any byte of it is another one. */
#include "policy/users/gateway.h"
#include "policy/users/identity_text.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW       INT64_C(1796083200)
#define INPUT_MAX 2048u
#define TAIL      ";sig="
#define MAC_BYTES 32u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static struct gateway our_gateway(void)
{
    struct gateway gateway = {.secret_count = GATEWAY_SECRET_MIN, .window_s = GATEWAY_WINDOW_S};
    for (uint8_t i = 0; i < GATEWAY_SECRET_MIN; i++)
        gateway.secret[i] = i;
    return gateway;
}

/* value: room for TAIL, the digits and a NUL behind the string. */
static void sign(const struct gateway *gateway, char *value)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_count = 0;
    size_t count = strlen(value);
    (void)HMAC(EVP_sha256(), gateway->secret, (int)gateway->secret_count, (unsigned char *)value,
               count, mac, &mac_count);
    assert(mac_count == MAC_BYTES);
    memcpy(value + count, TAIL, sizeof TAIL);
    count += sizeof TAIL - 1;
    for (unsigned i = 0; i < MAC_BYTES; i++)
        (void)snprintf(value + count + 2 * (size_t)i, 3, "%02x", mac[i]);
}

static bool accepts(const struct gateway *gateway, const char *value)
{
    char id[GATEWAY_ID_MAX + 1] = "untouched";
    struct error err = {0};
    if (gateway_verify(gateway, value, NOW, id, &err) != 0) {
        assert(err.code == ERROR_REFUSED);
        assert(err.text[0] != '\0');
        assert(strcmp(id, "untouched") == 0);
        return false;
    }
    size_t length = strlen(id);
    assert(length >= 1 && length <= GATEWAY_ID_MAX);
    assert(identity_text_is_plain(id, length));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct gateway gateway = our_gateway();
    if (count == 0 || count > INPUT_MAX)
        return 0;
    char *value = calloc(1, count + sizeof TAIL + 2 * (size_t)MAC_BYTES);
    assert(value != NULL);
    memcpy(value, bytes + 1, count - 1);
    bool is_signed = bytes[0] == 'S';
    if (is_signed)
        sign(&gateway, value);
    /* of the value's own length, so that a read past its end is seen */
    char *exact = strdup(value);
    assert(exact != NULL);
    free(value);
    if (accepts(&gateway, exact) && is_signed) {
        size_t at = bytes[count - 1] % strlen(exact);
        exact[at] ^= 1; /* never the same digit in another case */
        bool accepted = accepts(&gateway, exact);
        assert(!accepted);
    }
    free(exact);
    return 0;
}
