/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/identity.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define TENANT_BYTES_MAX    256u
#define NAMESPACE_BYTES_MAX 16u

static_assert(IDENTITY_CLASS_COUNT <= IDENTITY_CLASS_BITS + 1, "a class fits its bits");

const char *identity_class_name(enum identity_class identity)
{
    static const char *const names[IDENTITY_CLASS_COUNT] = {"verified", "asserted", "weak", "none"};
    assert((uint32_t)identity < IDENTITY_CLASS_COUNT);
    return names[identity];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

/* What programs send when nobody told them who is asking. Counted as one user each they would
 * make a thousand people one: an undercount is the unsafe side. */
static bool is_placeholder(const char *id, size_t count)
{
    static const char *const words[] = {"0",     "-1",        "anonymous", "default",
                                        "guest", "nil",       "none",      "null",
                                        "test",  "undefined", "unknown",   "user"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == count && strncasecmp(words[i], id, count) == 0)
            return true;
    return false;
}

/* Trims; false when there is nothing left to tell people apart by. */
static bool canonical(const char *claim, const char **ret, size_t *ret_count)
{
    if (claim == NULL)
        return false;
    while (is_blank(*claim))
        claim++;
    size_t count = strnlen(claim, 2 * IDENTITY_BYTES_MAX);
    while (count > 0 && is_blank(claim[count - 1]))
        count--;
    if (count == 0 || count > IDENTITY_BYTES_MAX || is_placeholder(claim, count))
        return false;
    *ret = claim;
    *ret_count = count;
    return true;
}

/* tenant \0 namespace \0 id: no two triples give the same bytes, for none holds a NUL. */
static uint64_t pseudonym_of(const char *tenant, const char *name_space, const char *id,
                             size_t count, const uint8_t key[SIPHASH_KEY_BYTES])
{
    char domain[TENANT_BYTES_MAX + NAMESPACE_BYTES_MAX + IDENTITY_BYTES_MAX];
    size_t tenant_count = strnlen(tenant, TENANT_BYTES_MAX - 1);
    size_t space_count = strlen(name_space);
    assert(space_count < NAMESPACE_BYTES_MAX);
    assert(count <= IDENTITY_BYTES_MAX);
    memcpy(domain, tenant, tenant_count);
    domain[tenant_count] = '\0';
    memcpy(domain + tenant_count + 1, name_space, space_count + 1);
    memcpy(domain + tenant_count + space_count + 2, id, count);
    return siphash(key, domain, tenant_count + space_count + 2 + count);
}

struct identity identity_of(const struct policy_claims *claims,
                            const uint8_t key[SIPHASH_KEY_BYTES])
{
    /* Fields that all mean "our end user is" share a namespace, so that a client which moves from
     * `user` to `safety_identifier` does not double its people. */
    const struct {
        const char *claim, *name_space;
        enum identity_class class;
    } sources[] = {
        {claims->header, "user", IDENTITY_ASSERTED},
        {claims->safety_identifier, "user", IDENTITY_ASSERTED},
        {claims->user, "user", IDENTITY_ASSERTED},
        {claims->metadata_user_id, "user", IDENTITY_ASSERTED},
        {claims->api_key, "key", IDENTITY_WEAK},
        {claims->address, "address", IDENTITY_WEAK},
    };
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        const char *id;
        size_t count;
        if (!canonical(sources[i].claim, &id, &count))
            continue;
        uint64_t hash = pseudonym_of(claims->tenant == NULL ? "" : claims->tenant,
                                     sources[i].name_space, id, count, key);
        hash = (hash & ~(uint64_t)IDENTITY_CLASS_BITS) | sources[i].class;
        if (hash <= IDENTITY_CLASS_BITS) /* 0 marks an empty slot, and 3 no user at all */
            hash += IDENTITY_CLASS_BITS + 1;
        return (struct identity){.class = sources[i].class, .pseudonym = hash};
    }
    return (struct identity){.class = IDENTITY_NONE};
}
