/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/model_facts.h"

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>

#define ARENA_BYTES (8u * MODEL_FACTS_LICENSE_BYTES)

/* False when it does not fit. */
static bool append_string(struct text *out, struct gguf_string string)
{
    if (string.count > MODEL_FACTS_LICENSE_BYTES - out->count)
        return false;
    for (size_t i = 0; i < string.count; i++)
        text_append_char(out, string.bytes[i] == '\0' ? ' ' : string.bytes[i]);
    return true;
}

/* A string, or an array of strings joined with ",": both are found under general.license. */
static bool append_strings(struct text *out, const struct gguf *gguf, const char *key)
{
    struct gguf_string string;
    struct gguf_array array;
    uint64_t cursor = 0;
    if (gguf_get_string(gguf, key, &string))
        return append_string(out, string);
    if (!gguf_get_array(gguf, key, &array) || array.kind != GGUF_ARRAY_STRINGS)
        return true;
    while (gguf_array_next_string(&array, &cursor, &string)) {
        if (out->count == MODEL_FACTS_LICENSE_BYTES)
            return false;
        if (out->count > 0)
            text_append_char(out, ',');
        if (!append_string(out, string))
            return false;
    }
    return true;
}

static int read_strings(struct arena *arena, const struct gguf *gguf, const char *key,
                        const char **ret, struct error *err)
{
    struct text joined;
    int result = 0;
    text_init(&joined);
    if (!append_strings(&joined, gguf, key)) {
        result =
            error_set(err, ERROR_INVALID, "%s: more than %u bytes", key, MODEL_FACTS_LICENSE_BYTES);
    } else {
        *ret = joined.failed ? NULL : arena_copy(arena, text_string(&joined), joined.count);
        if (*ret == NULL)
            result = error_no_memory(err);
    }
    text_destroy(&joined);
    return result;
}

static int read_name(struct arena *arena, const struct gguf *gguf, const char *key,
                     const char **ret, struct error *err)
{
    char name[MODEL_FACTS_NAME_BYTES];
    if (!gguf_copy_string(gguf, key, name, sizeof name))
        return 0;
    size_t count = 0;
    while (name[count] != '\0')
        count++;
    const char *copy = arena_copy(arena, name, count);
    if (copy == NULL)
        return error_no_memory(err);
    *ret = copy;
    return 0;
}

static int read_base_models(struct model_facts *facts, const struct gguf *gguf, struct error *err)
{
    static const char *const members[] = {"name", "organization", "repo_url"};
    uint64_t count = 0;
    (void)gguf_get_u64(gguf, "general.base_model.count", &count);
    if (count > MODEL_FACTS_BASE_MODELS_MAX)
        return error_set(err, ERROR_INVALID, "general.base_model.count: more than %u",
                         MODEL_FACTS_BASE_MODELS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct policy_base_model *base = &facts->base_models[i];
        const char **places[] = {&base->name, &base->organization, &base->repo_url};
        for (uint32_t j = 0; j < 3; j++) {
            char key[64];
            *places[j] = "";
            (void)snprintf(key, sizeof key, "general.base_model.%u.%s", i, members[j]);
            if (read_name(facts->arena, gguf, key, places[j], err) != 0)
                return ERROR_NO_MEMORY;
        }
    }
    facts->facts.base_model_count = (uint32_t)count;
    return 0;
}

static int read_all(struct model_facts *facts, const struct gguf *gguf, struct error *err)
{
    struct policy_model_facts *said = &facts->facts;
    const struct {
        const char *key;
        const char **place;
    } names[] = {{"general.name", &said->name},
                 {"general.organization", &said->organization},
                 {"general.architecture", &said->architecture}},
      lists[] = {{"general.tags", &said->tags},
                 {"general.license", &said->license},
                 {"general.license.name", &said->license_name},
                 {"general.license.link", &said->license_link}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (read_name(facts->arena, gguf, names[i].key, names[i].place, err) != 0)
            return ERROR_NO_MEMORY;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        int result = read_strings(facts->arena, gguf, lists[i].key, lists[i].place, err);
        if (result != 0)
            return result;
    }
    return read_base_models(facts, gguf, err);
}

int model_facts_init(struct model_facts *facts, const struct gguf *gguf, struct error *err)
{
    *facts = (struct model_facts){.facts = {.id = "",
                                            .path = "",
                                            .chosen_license = "",
                                            .product = "",
                                            .name = "",
                                            .organization = "",
                                            .architecture = "",
                                            .tags = "",
                                            .license = "",
                                            .license_name = "",
                                            .license_link = ""}};
    facts->facts.base_models = facts->base_models;
    if (gguf == NULL)
        return 0;
    facts->arena = arena_new(ARENA_BYTES);
    int result = facts->arena == NULL ? error_no_memory(err) : read_all(facts, gguf, err);
    if (result != 0)
        model_facts_destroy(facts);
    return result;
}

void model_facts_destroy(struct model_facts *facts)
{
    arena_free(facts->arena);
    *facts = (struct model_facts){.arena = NULL};
}
