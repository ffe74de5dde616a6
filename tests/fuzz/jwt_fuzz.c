/* SPDX-License-Identifier: Apache-2.0 */
/* A token against fixed keys (run from the root of the source). "T..." is a token as it comes;
 * "S<header>\n<claims>" is signed with the HMAC secret first, for without a signature that holds
 * nothing would ever get to the claims. What is accepted names a user in plain text. */
#include "policy/users/identity_text.h"
#include "policy/users/jwt.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW       INT64_C(1796083200)
#define INPUT_MAX 5000u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static struct jwt_keys *open_keys(void)
{
    static const struct jwt_rules rules = {
        .issuer = "https://id.example", .audience = "weir", .subject_claim = "sub"};
    char json[8192];
    struct jwt_keys *keys = NULL;
    struct error err = {0};
    FILE *file = fopen("tests/golden/jwt-keys.json", "re");
    assert(file != NULL);
    size_t count = fread(json, 1, sizeof json, file);
    (void)fclose(file);
    int result = jwt_keys_load(json, count, &rules, &keys, &err);
    assert(result == 0);
    return keys;
}

static size_t spell(const uint8_t *bytes, size_t count, char *ret)
{
    size_t length = (size_t)EVP_EncodeBlock((unsigned char *)ret, bytes, (int)count);
    while (length > 0 && ret[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++)
        ret[i] = ret[i] == '+' ? '-' : ret[i] == '/' ? '_' : ret[i];
    return length;
}

static size_t sign(const uint8_t *bytes, size_t count, char *ret)
{
    uint8_t secret[32], mac[EVP_MAX_MD_SIZE];
    unsigned mac_count = 0;
    for (uint8_t i = 0; i < sizeof secret; i++)
        secret[i] = i;
    const uint8_t *line_end = memchr(bytes, '\n', count);
    size_t header_count = line_end == NULL ? count : (size_t)(line_end - bytes);
    size_t used = spell(bytes, header_count, ret);
    ret[used++] = '.';
    if (line_end != NULL)
        used += spell(line_end + 1, count - header_count - 1, ret + used);
    (void)HMAC(EVP_sha256(), secret, sizeof secret, (unsigned char *)ret, used, mac, &mac_count);
    ret[used++] = '.';
    return used + spell(mac, mac_count, ret + used);
}

static void check(const struct jwt_keys *keys, const char *token, size_t count)
{
    struct jwt_identity identity;
    struct error err = {0};
    if (jwt_verify(keys, token, count, NOW, &identity, &err) != 0) {
        assert(err.code == ERROR_REFUSED);
        assert(err.text[0] != '\0');
    } else {
        size_t length = strlen(identity.subject);
        assert(length >= 1 && length <= JWT_CLAIM_MAX);
        assert(identity_text_is_plain(identity.subject, length));
        assert(strcmp(identity.issuer, "https://id.example") == 0);
        assert(identity.expires_unix > NOW - JWT_LEEWAY_S);
    }
    assert(ERR_peek_error() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct jwt_keys *keys; /* read once: a run is millions of tokens */
    if (keys == NULL)
        keys = open_keys();
    if (count == 0 || count > INPUT_MAX)
        return 0;
    /* of the input's own length, so that a read past its end is seen */
    char *token = malloc(2 * count + 256);
    assert(token != NULL);
    size_t token_count = count - 1;
    if (bytes[0] == 'S')
        token_count = sign(bytes + 1, count - 1, token);
    else
        memcpy(token, bytes + 1, token_count);
    token = realloc(token, token_count + 1);
    assert(token != NULL);
    check(keys, token, token_count);
    free(token);
    return 0;
}
