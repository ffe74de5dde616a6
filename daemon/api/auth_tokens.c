/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/auth_tokens.h"

#include "policy/users/identity_rules.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct auth_tokens {
    const struct config *config; /* borrowed */
    struct identity_rules rules;
};

enum wish { WISH_TENANT, WISH_SCOPE, WISH_COUNT };

static int check_settings(const struct config *config, struct error *err)
{
    if (config->access_jwt_audience[0] == '\0')
        return error_set(err, ERROR_INVALID,
                         "access.jwt.audience: must not be empty: without it a token that is meant "
                         "for another service would be good here");
    return 0;
}

int auth_tokens_new(const struct config *config, struct auth_tokens **ret,
                    struct file_stamp *ret_stamp, struct error *err)
{
    *ret = NULL;
    if (config->access_jwt_keys == NULL || config->access_jwt_keys[0] == '\0')
        return 0;
    int result = check_settings(config, err);
    if (result != 0)
        return result;
    struct auth_tokens *tokens = calloc(1, sizeof *tokens);
    if (tokens == NULL)
        return error_no_memory(err);
    const struct policy_identity settings = {.jwt_keys_file = config->access_jwt_keys,
                                             .jwt_issuer = config->access_jwt_issuer,
                                             .jwt_audience = config->access_jwt_audience};
    tokens->config = config;
    *ret_stamp = file_stamp(config->access_jwt_keys);
    if (identity_rules_load(&settings, &tokens->rules, err) != 0) {
        free(tokens);
        return error_wrap(err, "access.jwt.keys");
    }
    *ret = tokens;
    return 0;
}

void auth_tokens_free(struct auth_tokens *tokens)
{
    if (tokens == NULL)
        return;
    identity_rules_destroy(&tokens->rules);
    free(tokens);
}

/* Words that are no scope of ours are somebody else's: "openid" stands beside them. */
static unsigned scopes_of(const char *words)
{
    unsigned scopes = 0;
    while (*words != '\0') {
        unsigned scope = 0;
        size_t count = strcspn(words, " ");
        if (access_scopes_read(words, count, ' ', &scope))
            scopes |= scope;
        words += count;
        words += strspn(words, " ");
    }
    return (scopes & SCOPE_ADMIN) != 0 ? scopes | SCOPE_USAGE : scopes;
}

/* What stands for the subject in counts of users where nothing names one better; never logged. */
static void name_subject(const struct jwt_identity *who, char ret[AUTH_SUBJECT_BYTES])
{
    char both[sizeof who->issuer + sizeof who->subject];
    uint8_t digest[KEY_DIGEST_BYTES];
    (void)snprintf(both, sizeof both, "%s|%s", who->issuer, who->subject);
    key_digest(both, digest);
    uint64_t first;
    memcpy(&first, digest, sizeof first);
    (void)snprintf(ret, AUTH_SUBJECT_BYTES, "jwt_%016llx", (unsigned long long)first);
}

static bool identify(const struct auth_tokens *tokens, const char *token, int64_t now_unix,
                     int64_t *ret_until, struct auth_identity *ret)
{
    const struct config *config = tokens->config;
    struct jwt_wish wishes[WISH_COUNT] = {
        [WISH_TENANT] = {.name = config->access_jwt_tenant_claim},
        [WISH_SCOPE] = {.name = config->access_jwt_scope_claim},
    };
    const struct jwt_question question = {.token = token,
                                          .count = strlen(token),
                                          .now_unix = now_unix,
                                          .wishes = wishes,
                                          .wish_count = WISH_COUNT};
    struct jwt_identity who;
    if (jwt_ask(tokens->rules.jwt, &question, &who, NULL) != 0)
        return false;
    const char *tenant = wishes[WISH_TENANT].value;
    if (who.expires_unix == INT64_MAX || strlen(tenant) > KEY_TENANT_BYTES_MAX ||
        (config->access_jwt_tenant_claim[0] != '\0' && tenant[0] == '\0'))
        return false; /* good for ever, or of nobody whom we could hold to anything */
    *ret = (struct auth_identity){.scopes = config->access_jwt_scope_claim[0] == '\0'
                                                ? (unsigned)SCOPE_INFERENCE
                                                : scopes_of(wishes[WISH_SCOPE].value)};
    memcpy(ret->tenant, tenant, strlen(tenant) + 1);
    ret->tenant_id = auth_tenant_id(ret->tenant);
    ret->rules = config_tenant(config, ret->tenant);
    name_subject(&who, ret->subject);
    *ret_until = who.expires_unix + JWT_LEEWAY_S;
    return true;
}

static struct auth_cached *place_of(struct auth_cache *cache,
                                    const uint8_t digest[KEY_DIGEST_BYTES])
{
    uint32_t first;
    memcpy(&first, digest, sizeof first);
    return &cache->entries[first % AUTH_CACHE_ENTRIES];
}

bool auth_tokens_check(const struct auth_tokens *tokens, struct auth_cache *cache,
                       const char *token, const uint8_t digest[KEY_DIGEST_BYTES], int64_t now_unix,
                       struct auth_identity *ret)
{
    struct auth_cached *cached = cache == NULL ? NULL : place_of(cache, digest);
    if (cached != NULL && now_unix < cached->until_unix &&
        CRYPTO_memcmp(cached->digest, digest, KEY_DIGEST_BYTES) == 0) {
        *ret = cached->identity;
        return true;
    }
    int64_t until_unix;
    if (!identify(tokens, token, now_unix, &until_unix, ret))
        return false;
    if (cached != NULL) {
        memcpy(cached->digest, digest, KEY_DIGEST_BYTES);
        cached->until_unix = until_unix;
        cached->identity = *ret;
    }
    return true;
}
