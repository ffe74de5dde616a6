/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/fleet/fleet_blob.h"

#include "base/little_endian.h"
#include "policy/users/crc32c.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CRC_AT    44u
#define MAC_AT    48u
#define MAC_BYTES 16u

static_assert(MAC_AT + MAC_BYTES == FLEET_HEADER_BYTES, "the seal ends the header");

struct fleet_key {
    uint64_t key_id;
    EVP_MAC_CTX *mac; /* holds the key; begun anew for each blob */
};

struct fleet_key *fleet_key_new(const uint8_t key[FLEET_KEY_BYTES], uint64_t key_id,
                                struct error *err)
{
    struct fleet_key *made = calloc(1, sizeof *made);
    if (made == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    made->key_id = key_id;
    made->mac = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    if (made->mac != NULL && EVP_MAC_init(made->mac, key, FLEET_KEY_BYTES, params) == 1)
        return made;
    fleet_key_free(made);
    (void)error_set(err, ERROR_IO, "OpenSSL has no HMAC-SHA256");
    return NULL;
}

void fleet_key_free(struct fleet_key *key)
{
    if (key == NULL)
        return;
    EVP_MAC_CTX_free(key->mac);
    free(key);
}

static int seal(struct fleet_key *key, const uint8_t *header, const void *body, size_t body_count,
                uint8_t ret[MAC_BYTES], struct error *err)
{
    uint8_t whole[EVP_MAX_MD_SIZE];
    size_t count = 0;
    if (EVP_MAC_init(key->mac, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(key->mac, header, MAC_AT) != 1 ||
        (body_count > 0 && EVP_MAC_update(key->mac, body, body_count) != 1) ||
        EVP_MAC_final(key->mac, whole, &count, sizeof whole) != 1 || count < MAC_BYTES)
        return error_no_memory(err);
    memcpy(ret, whole, MAC_BYTES);
    return 0;
}

static uint32_t checksum(const uint8_t *header, const void *body, size_t body_count)
{
    uint32_t crc = crc32c(0, header, CRC_AT);
    return body_count > 0 ? crc32c(crc, body, body_count) : crc;
}

int fleet_blob_seal(struct fleet_key *key, const struct fleet_blob *blob, struct text *out,
                    struct error *err)
{
    assert(blob->name.class < FLEET_CLASS_COUNT);
    assert(blob->body_count <= FLEET_BLOB_BYTES - FLEET_HEADER_BYTES);
    assert((blob->kind == FLEET_SNAPSHOT) == (blob->sender == 0));
    uint8_t header[FLEET_HEADER_BYTES] = {'W', 'F', 'B', '1'};
    header[4] = (uint8_t)blob->kind;
    header[5] = blob->name.class;
    put_u64(header + 8, blob->name.scope);
    put_u64(header + 16, key->key_id);
    put_u32(header + 24, blob->name.day);
    put_u32(header + 28, (uint32_t)blob->body_count);
    put_u64(header + 32, blob->sender);
    put_u32(header + CRC_AT, checksum(header, blob->body, blob->body_count));
    int result = seal(key, header, blob->body, blob->body_count, header + MAC_AT, err);
    if (result != 0)
        return result;
    text_append(out, header, sizeof header);
    if (blob->body_count > 0)
        text_append(out, blob->body, blob->body_count);
    return out->failed ? error_no_memory(err) : 0;
}

/* Sound in itself: lengths, kinds, and the sum. */
static bool sound(const uint8_t *at, size_t count)
{
    if (count < FLEET_HEADER_BYTES || count > FLEET_BLOB_BYTES || memcmp(at, "WFB1", 4) != 0)
        return false;
    size_t body_count = count - FLEET_HEADER_BYTES;
    uint64_t sender = get_u64(at + 32);
    bool kind_fits = at[4] == FLEET_SNAPSHOT ? sender == 0 : sender != 0;
    return get_u32(at + 28) == body_count && at[4] >= FLEET_SNAPSHOT && at[4] <= FLEET_REPLICA &&
           kind_fits && at[5] < FLEET_CLASS_COUNT && at[6] == 0 && at[7] == 0 &&
           get_u32(at + 40) == 0 && (at[4] != FLEET_POKE || body_count == 0) &&
           get_u32(at + CRC_AT) == checksum(at, at + FLEET_HEADER_BYTES, body_count);
}

int fleet_blob_open(struct fleet_key *key, const void *bytes, size_t count, struct fleet_blob *ret,
                    struct error *err)
{
    const uint8_t *at = bytes;
    uint8_t mac[MAC_BYTES];
    if (!sound(at, count))
        return error_set(err, ERROR_INVALID, "a message of the fleet is damaged");
    if (get_u64(at + 16) != key->key_id)
        return error_set(err, ERROR_REFUSED,
                         "counted under key %016llx, ours is %016llx: all replicas need the same "
                         "key of users",
                         (unsigned long long)get_u64(at + 16), (unsigned long long)key->key_id);
    int result = seal(key, at, at + FLEET_HEADER_BYTES, count - FLEET_HEADER_BYTES, mac, err);
    if (result != 0)
        return result;
    if (CRYPTO_memcmp(mac, at + MAC_AT, sizeof mac) != 0)
        return error_set(err, ERROR_REFUSED, "a message of the fleet has a wrong seal");
    *ret = (struct fleet_blob){
        .kind = (enum fleet_blob_kind)at[4],
        .name = {.scope = get_u64(at + 8), .day = get_u32(at + 24), .class = at[5]},
        .sender = get_u64(at + 32),
        .body = at + FLEET_HEADER_BYTES,
        .body_count = count - FLEET_HEADER_BYTES,
    };
    return 0;
}
