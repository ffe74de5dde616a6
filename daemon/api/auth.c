/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c -- one table of all keys, found by digest.
 *
 *     "Bearer KEY" -- SHA-256 --> 9f 3c 41 .. .. ..
 *                                 |________________ where in `slots` to begin
 *                                 |_________________ compared whole with each that lies there
 *
 * How long a search takes depends on the first bytes of the digest of what was sent. That tells a
 * stranger nothing: to come nearer to a key's digest byte by byte one would have to choose the
 * digest, and SHA-256 lets nobody do that. The last word is a comparison in constant time all the
 * same. A hundred thousand keys cost what one does: a digest and a few cache lines. */
#include "daemon/api/auth.h"

#include "base/arena.h"
#include "daemon/access/keys_file.h"
#include "daemon/api/auth_tokens.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAMES_BYTES_MAX (2 * (size_t)KEYS_FILE_BYTES_MAX)
#define SLOT_FREE       UINT32_MAX

/* 96 bytes of each of the keys, and its names in the arena. */
struct auth_key {
    uint8_t digest[KEY_DIGEST_BYTES];
    const char *key, *key_id, *admin, *tenant; /* as in struct auth_identity */
    uint64_t tenant_id;
    const struct config_tenant *rules;
    int64_t expires_unix; /* 0: never */
    unsigned scopes;
    bool revoked;
};

struct auth {
    const struct config *config; /* borrowed */
    struct arena *names;
    struct auth_key *keys;
    uint32_t count, capacity;
    uint32_t *slots; /* [slot_mask + 1], open addressing; at most half of them taken */
    uint32_t slot_mask;
    struct auth_counts counts;
    struct auth_identity nobody; /* who asks without a key where none is needed */
    bool asks;                   /* for a key before inference */
    bool has_admin;
    struct auth_tokens *tokens; /* NULL: none would hold */
    char keys_path[PATH_MAX];
    struct auth_files files;
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

uint64_t auth_tenant_id(const char *tenant)
{
    return tenant[0] == '\0' ? 0 : digest_u64(tenant, "");
}

/* -- The table -- */

static uint32_t slot_of(const struct auth *auth, const uint8_t digest[KEY_DIGEST_BYTES])
{
    uint64_t first;
    memcpy(&first, digest, sizeof first);
    return (uint32_t)first & auth->slot_mask;
}

static const struct auth_key *find(const struct auth *auth, const uint8_t digest[KEY_DIGEST_BYTES])
{
    if (auth->count == 0)
        return NULL;
    uint32_t slot = slot_of(auth, digest);
    for (; auth->slots[slot] != SLOT_FREE; slot = (slot + 1) & auth->slot_mask) {
        const struct auth_key *key = &auth->keys[auth->slots[slot]];
        if (CRYPTO_memcmp(digest, key->digest, KEY_DIGEST_BYTES) == 0)
            return key;
    }
    return NULL;
}

static void put(struct auth *auth, uint32_t index)
{
    uint32_t slot = slot_of(auth, auth->keys[index].digest);
    while (auth->slots[slot] != SLOT_FREE)
        slot = (slot + 1) & auth->slot_mask;
    auth->slots[slot] = index;
}

/* Room for one more key, and twice as many slots as there are places. */
static int grow(struct auth *auth, struct error *err)
{
    if (auth->count < auth->capacity)
        return 0;
    uint32_t capacity = auth->capacity == 0 ? 16 : 2 * auth->capacity;
    struct auth_key *keys = realloc(auth->keys, capacity * sizeof *keys);
    if (keys == NULL)
        return error_no_memory(err);
    auth->keys = keys;
    uint32_t *slots = malloc(2 * (size_t)capacity * sizeof *slots);
    if (slots == NULL)
        return error_no_memory(err);
    free(auth->slots);
    auth->slots = slots;
    auth->slot_mask = 2 * capacity - 1;
    auth->capacity = capacity;
    memset(slots, 0xff, 2 * (size_t)capacity * sizeof *slots);
    for (uint32_t i = 0; i < auth->count; i++)
        put(auth, i);
    return 0;
}

/* Takes the key over; its tenant is a name that lives as long as auth does. */
static int add(struct auth *auth, struct auth_key *key, struct error *err)
{
    int result = grow(auth, err);
    if (result != 0)
        return result;
    key->tenant_id = auth_tenant_id(key->tenant);
    key->rules = config_tenant(auth->config, key->tenant);
    if ((key->scopes & SCOPE_ADMIN) != 0)
        key->scopes |= SCOPE_USAGE; /* who may do everything may look */
    if ((key->scopes & SCOPE_USAGE) != 0 && !key->revoked)
        auth->has_admin = true;
    auth->keys[auth->count] = *key;
    put(auth, auth->count++);
    return 0;
}

/* -- Making -- */

static int add_configured(struct auth *auth, struct error *err)
{
    const struct config *config = auth->config;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < config->api_key_count; i++) {
        const struct config_api_key *from = &config->api_keys[i];
        struct auth_key key = {.key = from->key,
                               .tenant = from->tenant == NULL ? "" : from->tenant,
                               .scopes = SCOPE_INFERENCE};
        key_digest(from->key, key.digest);
        result = add(auth, &key, err);
    }
    for (uint32_t i = 0; result == 0 && i < config->admin_key_count; i++) {
        const struct config_admin_key *from = &config->admin_keys[i];
        struct auth_key key = {.admin = from->name, .tenant = "", .scopes = SCOPE_ADMIN};
        key_digest(from->key, key.digest);
        result = add(auth, &key, err);
    }
    auth->counts.configured = auth->count;
    auth->asks = config->api_key_count > 0;
    return result;
}

/* A tenant that the configuration lists has its name there already. */
static const char *keep_tenant(struct auth *auth, const char *tenant)
{
    if (tenant[0] == '\0')
        return "";
    const struct config_tenant *listed = config_tenant(auth->config, tenant);
    return strcmp(listed->name, tenant) == 0 ? listed->name
                                             : arena_copy(auth->names, tenant, strlen(tenant));
}

static int on_record(void *argument, const struct key_record *record, struct error *err)
{
    struct auth *auth = argument;
    if (auth->counts.filed == KEYS_MAX)
        return error_set(err, ERROR_INVALID, "more than %u keys", KEYS_MAX);
    const struct auth_key *other = find(auth, record->digest);
    if (other != NULL)
        return error_set(err, ERROR_INVALID, "the same key is %s; keep one",
                         other->key_id != NULL ? "in a line above" : "in weir.yaml, under access");
    struct auth_key key = {.scopes = record->scopes,
                           .expires_unix = record->expires_unix,
                           .revoked = record->revoked_unix != 0};
    memcpy(key.digest, record->digest, sizeof key.digest);
    key.key_id = arena_copy(auth->names, record->id, strlen(record->id));
    key.tenant = keep_tenant(auth, record->tenant);
    if (key.key_id == NULL || key.tenant == NULL)
        return error_no_memory(err);
    key.key = key.key_id;
    if ((record->scopes & SCOPE_ADMIN) != 0)
        key.admin = key.key_id;
    int result = add(auth, &key, err);
    if (result == 0) {
        auth->counts.filed++;
        auth->counts.revoked += key.revoked;
    }
    return result;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* An id names one key: who revokes it must not wonder which. */
static int check_ids(const struct auth *auth, struct error *err)
{
    uint32_t count = auth->counts.filed;
    const char **ids = calloc(count + 1, sizeof *ids);
    if (ids == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = auth->keys[auth->counts.configured + i].key_id;
    qsort(ids, count, sizeof *ids, compare_ids);
    int result = 0;
    for (uint32_t i = 1; result == 0 && i < count; i++)
        if (strcmp(ids[i - 1], ids[i]) == 0)
            result = error_set(err, ERROR_INVALID, "two keys have the id '%s'", ids[i]);
    free(ids);
    return result;
}

static int add_filed(struct auth *auth, struct error *err)
{
    char *bytes = NULL;
    size_t count = 0;
    const char *configured = auth->config->keys_file;
    int result = keys_file_path(configured == NULL ? "" : configured, auth->keys_path,
                                sizeof auth->keys_path, err);
    if (result != 0 || auth->keys_path[0] == '\0')
        return result;
    auth->files.keys = file_stamp(auth->keys_path);
    auth->asks = true; /* where keys are kept, none is needed by nobody: an empty file too */
    result = keys_file_load(auth->keys_path, &bytes, &count, err);
    if (result != 0)
        return error_wrap(err, "access.keys_file");
    result = keys_read(bytes, count, on_record, auth, err);
    if (result == 0)
        result = check_ids(auth, err);
    free(bytes);
    return result == 0 ? 0 : error_wrap(err, "access.keys_file: %s", auth->keys_path);
}

/* What a token may is in the token: any of them may be an admin's. */
static int add_tokens(struct auth *auth, struct error *err)
{
    int result = auth_tokens_new(auth->config, &auth->tokens, &auth->files.jwt_keys, err);
    if (auth->tokens != NULL)
        auth->asks = auth->has_admin = true;
    return result;
}

struct auth *auth_new(const struct config *config, struct error *err)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    auth->config = config;
    auth->nobody.rules = config_tenant(config, "");
    auth->names = arena_new(NAMES_BYTES_MAX);
    int result = auth->names == NULL ? error_no_memory(err) : add_configured(auth, err);
    if (result == 0)
        result = add_filed(auth, err);
    if (result == 0)
        result = add_tokens(auth, err);
    if (result == 0)
        return auth;
    auth_free(auth);
    return NULL;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    auth_tokens_free(auth->tokens);
    arena_free(auth->names);
    free(auth->keys);
    free(auth->slots);
    free(auth);
}

struct auth_files auth_files_read(const struct auth *auth)
{
    return auth->files;
}

struct auth_files auth_files_now(const struct auth *auth)
{
    return (struct auth_files){
        .keys = file_stamp(auth->keys_path),
        .jwt_keys = file_stamp(auth->tokens == NULL ? NULL : auth->config->access_jwt_keys)};
}

bool auth_files_same(const struct auth_files *a, const struct auth_files *b)
{
    return file_stamp_same(&a->keys, &b->keys) && file_stamp_same(&a->jwt_keys, &b->jwt_keys);
}

/* -- Checking -- */

/* What stands behind "Bearer"; NULL for another scheme. */
static const char *bearer(const char *authorization)
{
    static const char scheme[] = "bearer ";
    if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    authorization += sizeof scheme - 1;
    return authorization + strspn(authorization, " ");
}

static void identify(const struct auth_key *key, struct auth_identity *ret)
{
    *ret = (struct auth_identity){.key = key->key,
                                  .key_id = key->key_id,
                                  .tenant_id = key->tenant_id,
                                  .admin = key->admin,
                                  .scopes = key->scopes,
                                  .rules = key->rules};
    size_t count = strlen(key->tenant);
    assert(count < sizeof ret->tenant);
    memcpy(ret->tenant, key->tenant, count + 1);
}

static enum auth_outcome check_filed(const struct auth_key *key, int64_t now_unix,
                                     struct auth_identity *ret)
{
    if (key->revoked)
        return AUTH_REVOKED;
    if (key->expires_unix != 0 && now_unix >= key->expires_unix)
        return AUTH_EXPIRED;
    identify(key, ret);
    return AUTH_GRANTED;
}

enum auth_outcome auth_check(const struct auth *auth, struct auth_cache *cache,
                             const struct auth_question *question, struct auth_identity *ret)
{
    if (question->scope == SCOPE_INFERENCE && !auth->asks) {
        *ret = auth->nobody;
        return AUTH_GRANTED;
    }
    if (question->authorization == NULL)
        return AUTH_ABSENT;
    const char *token = bearer(question->authorization);
    if (token == NULL)
        return AUTH_UNKNOWN;
    uint8_t digest[KEY_DIGEST_BYTES];
    key_digest(token, digest);
    const struct auth_key *key = find(auth, digest);
    enum auth_outcome outcome = AUTH_UNKNOWN;
    if (key != NULL)
        outcome = check_filed(key, question->now_unix, ret);
    else if (auth->tokens != NULL && strchr(token, '.') != NULL)
        outcome = auth_tokens_check(auth->tokens, cache, token, digest, question->now_unix, ret)
                      ? AUTH_GRANTED
                      : AUTH_TOKEN;
    if (outcome == AUTH_GRANTED && (ret->scopes & question->scope) != question->scope)
        return AUTH_SCOPE;
    return outcome;
}

bool auth_has_admin(const struct auth *auth)
{
    return auth->has_admin;
}

struct auth_counts auth_counts(const struct auth *auth)
{
    return auth->counts;
}

uint64_t auth_cache_salt(const struct auth_identity *identity, const char *salt)
{
    if (salt == NULL || salt[0] == '\0')
        return identity->tenant_id;
    return digest_u64(identity->tenant, salt);
}
