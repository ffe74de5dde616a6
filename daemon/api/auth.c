/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Keys are compared by digest: all of one length, so that time tells neither length nor content. */
struct auth_key {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct auth_identity identity;
};

struct auth {
    uint32_t count, admin_count;
    struct auth_identity nobody;
    struct auth_key *admins; /* behind the keys */
    struct auth_key keys[];
};

static uint64_t digest_u64(const char *first, const char *second)
{
    unsigned char parts[2][SHA256_DIGEST_LENGTH], digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)first, strlen(first), parts[0]);
    SHA256((const unsigned char *)second, strlen(second), parts[1]);
    SHA256(parts[0], sizeof parts, digest);
    uint64_t id;
    memcpy(&id, digest, sizeof id);
    return id;
}

struct auth *auth_new(const struct config *config, struct error *err)
{
    size_t count = (size_t)config->api_key_count + config->admin_key_count;
    struct auth *auth = calloc(1, sizeof *auth + count * sizeof *auth->keys);
    if (auth == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    auth->count = config->api_key_count;
    auth->nobody = (struct auth_identity){.tenant = "", .rules = config_tenant(config, "")};
    for (uint32_t i = 0; i < auth->count; i++) {
        const struct config_api_key *key = &config->api_keys[i];
        struct auth_identity *identity = &auth->keys[i].identity;
        SHA256((const unsigned char *)key->key, strlen(key->key), auth->keys[i].digest);
        identity->key = key->key;
        identity->tenant = key->tenant == NULL ? "" : key->tenant;
        identity->tenant_id = identity->tenant[0] == '\0' ? 0 : digest_u64(identity->tenant, "");
        identity->rules = config_tenant(config, identity->tenant);
    }
    auth->admins = auth->keys + auth->count;
    auth->admin_count = config->admin_key_count;
    for (uint32_t i = 0; i < auth->admin_count; i++) {
        const struct config_admin_key *key = &config->admin_keys[i];
        SHA256((const unsigned char *)key->key, strlen(key->key), auth->admins[i].digest);
        auth->admins[i].identity = auth->nobody;
        auth->admins[i].identity.admin = key->name;
    }
    return auth;
}

void auth_free(struct auth *auth)
{
    free(auth);
}

/* Looks at every key, whichever is right. */
static const struct auth_key *find_key(const struct auth_key *keys, uint32_t count,
                                       const char *authorization)
{
    static const char scheme[] = "bearer ";
    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *key = authorization + sizeof scheme - 1;
    key += strspn(key, " ");
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)key, strlen(key), digest);
    const struct auth_key *found = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (CRYPTO_memcmp(digest, keys[i].digest, sizeof digest) == 0)
            found = &keys[i];
    return found;
}

bool auth_check(const struct auth *auth, const char *authorization, struct auth_identity *ret)
{
    if (auth->count == 0) {
        *ret = auth->nobody;
        return true;
    }
    const struct auth_key *found = find_key(auth->keys, auth->count, authorization);
    if (found == NULL)
        return false;
    *ret = found->identity;
    return true;
}

bool auth_has_admin(const struct auth *auth)
{
    return auth->admin_count > 0;
}

bool auth_check_admin(const struct auth *auth, const char *authorization, struct auth_identity *ret)
{
    const struct auth_key *found = find_key(auth->admins, auth->admin_count, authorization);
    if (found == NULL)
        return false;
    *ret = found->identity;
    return true;
}

uint64_t auth_cache_salt(const struct auth_identity *identity, const char *salt)
{
    if (salt == NULL || salt[0] == '\0')
        return identity->tenant_id;
    return digest_u64(identity->tenant, salt);
}
