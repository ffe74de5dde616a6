/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a JWKS document: taken, or refused with a reason; what is taken can be asked. */
#include "policy/users/jwt.h"

#include <assert.h>
#include <openssl/err.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const struct jwt_rules rules = {.issuer = "", .audience = "", .subject_claim = "sub"};
    /* {"alg":...}.{}.AAAA: nothing that any key of the kind would have signed */
    static const char *const tokens[] = {
        "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
        "eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "eyJhbGciOiJFZERTQSJ9.e30.AAAA"};
    struct jwt_keys *keys = NULL;
    struct error err = {0};
    if (jwt_keys_load((const char *)bytes, count, &rules, &keys, &err) != 0) {
        assert(keys == NULL);
        assert(err.code == ERROR_INVALID);
        assert(err.text[0] != '\0');
    } else {
        for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
            struct jwt_identity identity;
            assert(jwt_verify(keys, tokens[i], 29, 0, &identity, &err) == ERROR_REFUSED);
        }
        (void)jwt_keys_hold_secrets(keys);
        jwt_keys_free(keys);
    }
    assert(ERR_peek_error() == 0);
    return 0;
}
