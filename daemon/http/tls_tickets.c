/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/tls_tickets.h"

#include "policy/users/private_file.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

#define NAME_BYTES 16u
#define HMAC_AT    16u
#define HMAC_BYTES 32u
#define AES_AT     48u

int tls_tickets_rotate(struct tls_tickets *tickets, struct error *err)
{
    uint8_t fresh[TLS_TICKET_KEY_BYTES];
    if (RAND_priv_bytes(fresh, sizeof fresh) != 1) {
        ERR_clear_error();
        return error_set(err, ERROR_IO, "no randomness for a new key");
    }
    if (tickets->count > 0)
        memcpy(tickets->keys[1], tickets->keys[0], sizeof fresh);
    memcpy(tickets->keys[0], fresh, sizeof fresh);
    OPENSSL_cleanse(fresh, sizeof fresh);
    tickets->count = tickets->count == 0 ? 1 : TLS_TICKET_OWN_KEYS;
    return 0;
}

int tls_tickets_read(const char *path, struct tls_tickets *ret, struct error *err)
{
    struct tls_tickets read = {.count = 0};
    const struct private_file_rules rules = {
        .bytes_min = TLS_TICKET_KEY_BYTES, .bytes_max = sizeof read.keys, .forbidden = 077};
    size_t count = 0;
    int result = private_file_read(path, &rules, read.keys[0], &count, NULL, err);
    if (result == 0 && count % TLS_TICKET_KEY_BYTES != 0)
        result = error_set(err, ERROR_INVALID,
                           "%s: %zu bytes are no whole number of keys of %u (openssl rand %u makes "
                           "one)",
                           path, count, TLS_TICKET_KEY_BYTES, TLS_TICKET_KEY_BYTES);
    read.count = (uint32_t)(count / TLS_TICKET_KEY_BYTES);
    if (result == 0)
        *ret = read;
    tls_tickets_wipe(&read);
    return result;
}

void tls_tickets_wipe(struct tls_tickets *tickets)
{
    OPENSSL_cleanse(tickets, sizeof *tickets);
}

int tls_tickets_use(const struct tls_tickets *tickets, unsigned char name[16], unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int making)
{
    uint32_t index = 0;
    assert(tickets->count >= 1 && tickets->count <= TLS_TICKET_KEYS_MAX);
    while (!making && memcmp(tickets->keys[index], name, NAME_BYTES) != 0)
        if (++index == tickets->count)
            return 0; /* unknown, or too old: they shake hands in full */
    const uint8_t *key = tickets->keys[index];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(key + HMAC_AT), HMAC_BYTES),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end()};
    if (making) {
        int iv_bytes = EVP_CIPHER_get_iv_length(EVP_aes_256_cbc());
        if (RAND_bytes(iv, iv_bytes) != 1)
            return -1;
        memcpy(name, key, NAME_BYTES);
    }
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + AES_AT, iv, making) != 1 ||
        EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    return making || index == 0 ? 1 : 2; /* 2: and here is a ticket under the newest */
}
