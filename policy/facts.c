/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/facts.h"

#include <stddef.h>
#include <string.h>

static const size_t string_offsets[] = {
    offsetof(struct policy_model_facts, id),
    offsetof(struct policy_model_facts, path),
    offsetof(struct policy_model_facts, chosen_license),
    offsetof(struct policy_model_facts, product),
    offsetof(struct policy_model_facts, name),
    offsetof(struct policy_model_facts, organization),
    offsetof(struct policy_model_facts, architecture),
    offsetof(struct policy_model_facts, tags),
    offsetof(struct policy_model_facts, license),
    offsetof(struct policy_model_facts, license_name),
    offsetof(struct policy_model_facts, license_link),
};

static const char *copy(struct arena *arena, const char *string)
{
    return string == NULL ? "" : arena_copy(arena, string, strlen(string));
}

const struct policy_model_facts *facts_copy(struct arena *arena,
                                            const struct policy_model_facts *facts)
{
    struct policy_model_facts *kept = arena_alloc(arena, sizeof *kept);
    struct policy_base_model *bases =
        arena_alloc(arena, (facts->base_model_count + 1) * sizeof *bases);
    if (kept == NULL || bases == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof string_offsets / sizeof string_offsets[0]; i++) {
        const char *from, *to;
        memcpy(&from, (const char *)facts + string_offsets[i], sizeof from);
        to = copy(arena, from);
        if (to == NULL)
            return NULL;
        memcpy((char *)kept + string_offsets[i], &to, sizeof to);
    }
    for (uint32_t i = 0; i < facts->base_model_count; i++) {
        bases[i].name = copy(arena, facts->base_models[i].name);
        bases[i].organization = copy(arena, facts->base_models[i].organization);
        bases[i].repo_url = copy(arena, facts->base_models[i].repo_url);
        if (bases[i].name == NULL || bases[i].organization == NULL || bases[i].repo_url == NULL)
            return NULL;
    }
    kept->enforce = facts->enforce;
    kept->cap_users = facts->cap_users;
    kept->base_models = bases;
    kept->base_model_count = facts->base_model_count;
    return kept;
}
