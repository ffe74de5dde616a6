/* SPDX-License-Identifier: Apache-2.0 */
/* usage_scopes.c -- what was ever counted here, by name, so that a model that is served no more
 * stays in the figures of its family and of the organisation: `scopes.json`, a list of objects. */
#include "policy/users/siphash.h"
#include "policy/users/usage_inner.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME      "scopes.json"
#define FILE_BYTES_MAX (16u << 20)

/* product \0 model: neither holds a NUL. */
uint64_t usage_scope_id(const struct usage *usage, const char *product, const char *model)
{
    char bytes[2 * USAGE_NAME_BYTES_MAX + 1];
    size_t product_count = strnlen(product, USAGE_NAME_BYTES_MAX);
    size_t model_count = strnlen(model, USAGE_NAME_BYTES_MAX);
    memcpy(bytes, product, product_count);
    bytes[product_count] = '\0';
    memcpy(bytes + product_count + 1, model, model_count);
    uint64_t hash = siphash(usage->secret->files_key, bytes, product_count + 1 + model_count);
    return hash >> (64 - USAGE_SCOPE_BITS);
}

struct usage_scope *usage_scope_find(struct usage *usage, uint64_t id)
{
    struct usage_scope *scope = usage->scopes;
    while (scope != NULL && scope->id != id)
        scope = scope->next;
    return scope;
}

void usage_scope_free(struct usage_scope *scope)
{
    for (uint32_t c = 0; c < USAGE_CLASS_COUNT; c++)
        sketch_free(scope->closed.sketches[c]);
    (void)pthread_mutex_destroy(&scope->lock);
    free(scope->totals);
    free(scope->product);
    free(scope->model);
    for (uint32_t i = 0; i < scope->family_count; i++)
        free(scope->families[i]);
    free(scope->families);
    free(scope);
}

/* Ours, of that name. NULL: no memory. */
static const char *family_of(struct usage_scope *scope, const char *name)
{
    for (uint32_t i = 0; i < scope->family_count; i++)
        if (strcmp(scope->families[i], name) == 0)
            return scope->families[i];
    char **grown = realloc(scope->families, (scope->family_count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    scope->families = grown;
    grown[scope->family_count] = strdup(name);
    return grown[scope->family_count] == NULL ? NULL : grown[scope->family_count++];
}

int usage_scope_new(struct usage *usage, const struct usage_scope_name *name,
                    struct usage_scope **ret, struct error *err)
{
    if (usage->scope_count == USAGE_SCOPES_MAX)
        return error_set(err, ERROR_BUSY, "more than %u models were counted in %s",
                         USAGE_SCOPES_MAX, usage->folder.path);
    struct usage_scope *scope = calloc(1, sizeof *scope);
    if (scope == NULL)
        return error_no_memory(err);
    (void)pthread_mutex_init(&scope->lock, NULL); /* cannot fail with these attributes */
    scope->usage = usage;
    scope->id = usage_scope_id(usage, name->product, name->model);
    scope->product = strdup(name->product);
    scope->model = strdup(name->model);
    scope->family = family_of(scope, name->family);
    int result = scope->product == NULL || scope->model == NULL || scope->family == NULL
                     ? error_no_memory(err)
                     : usage_group_join(usage, scope, err);
    if (result != 0) {
        usage_scope_free(scope);
        return result;
    }
    *usage->scopes_end = scope;
    usage->scopes_end = &scope->next;
    usage->scope_count++;
    *ret = scope;
    return 0;
}

/* Whether there is room for the logins of one more product. */
static int check_logins(const struct usage *usage, struct error *err)
{
    uint32_t count = 0;
    for (const struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next)
        count += scope->model[0] == '\0';
    return count < USAGE_LOGINS_MAX
               ? 0
               : error_set(err, ERROR_BUSY, "logins of %u products are counted already",
                           USAGE_LOGINS_MAX);
}

static int move_locked(struct usage_scope *scope, const char *family, struct error *err)
{
    const char *before = scope->family, *after = family_of(scope, family);
    if (after == before)
        return 0;
    if (after == NULL)
        return error_no_memory(err);
    scope->family = after;
    int result = usage_group_join(scope->usage, scope, err);
    if (result == 0)
        result = usage_scopes_save(scope->usage, err);
    if (result == 0)
        return 0;
    scope->family = before;
    (void)usage_group_join(scope->usage, scope, NULL);
    return result;
}

static int add_locked(struct usage *usage, const struct usage_scope_name *wanted,
                      struct usage_scope **ret, struct error *err)
{
    struct usage_scope_name name = *wanted;
    if (name.product[0] == '\0')
        name.product = "default";
    if (strlen(name.product) > USAGE_NAME_BYTES_MAX || strlen(name.model) > USAGE_NAME_BYTES_MAX ||
        strlen(name.family) > USAGE_NAME_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "a name of more than %u bytes", USAGE_NAME_BYTES_MAX);
    struct usage_scope *scope =
        usage_scope_find(usage, usage_scope_id(usage, name.product, name.model));
    int result = 0;
    if (scope == NULL) {
        if (name.model[0] == '\0')
            result = check_logins(usage, err);
        if (result == 0)
            result = usage_scope_new(usage, &name, &scope, err);
        if (result == 0)
            result = usage_scopes_save(usage, err);
    } else {
        result = move_locked(scope, name.family, err);
    }
    if (result == 0)
        *ret = scope;
    return result;
}

int usage_scope_move(struct usage_scope *scope, const char *family, struct error *err)
{
    if (strlen(family) > USAGE_NAME_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "a name of more than %u bytes", USAGE_NAME_BYTES_MAX);
    (void)pthread_mutex_lock(&scope->usage->scopes_lock);
    int result = move_locked(scope, family, err);
    (void)pthread_mutex_unlock(&scope->usage->scopes_lock);
    return result;
}

uint32_t usage_scope_count(const struct usage *usage)
{
    return usage->scope_count;
}

int usage_scope_add(struct usage *usage, const struct usage_scope_name *wanted,
                    struct usage_scope **ret, struct error *err)
{
    (void)pthread_mutex_lock(&usage->scopes_lock);
    int result = add_locked(usage, wanted, ret, err);
    (void)pthread_mutex_unlock(&usage->scopes_lock);
    return result;
}

/* -- The file -- */

static int load_one(struct usage *usage, const json_t *object, struct error *err)
{
    struct usage_scope *scope;
    const struct usage_scope_name name = {
        .product = json_string_value(json_object_get(object, "product")),
        .model = json_string_value(json_object_get(object, "model")),
        .family = json_string_value(json_object_get(object, "family")),
    };
    if (name.product == NULL || name.model == NULL || name.family == NULL ||
        strlen(name.product) > USAGE_NAME_BYTES_MAX || strlen(name.model) > USAGE_NAME_BYTES_MAX ||
        strlen(name.family) > USAGE_NAME_BYTES_MAX)
        return error_set(err, ERROR_INVALID, FILE_NAME ": an entry without its three names");
    if (usage_scope_find(usage, usage_scope_id(usage, name.product, name.model)) != NULL)
        return 0;
    return usage_scope_new(usage, &name, &scope, err);
}

static int load_all(struct usage *usage, const char *bytes, size_t count, struct error *err)
{
    json_error_t why;
    json_t *list = json_loadb(bytes, count, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_array(list)) {
        json_decref(list);
        return error_set(err, ERROR_INVALID, FILE_NAME ": not a list of scopes");
    }
    int result = 0;
    for (size_t i = 0; i < json_array_size(list) && result == 0; i++)
        result = load_one(usage, json_array_get(list, i), err);
    json_decref(list);
    return result;
}

int usage_scopes_load(struct usage *usage, struct error *err)
{
    char *bytes, path[USAGE_PATH_BYTES_MAX];
    size_t count;
    struct error why;
    int result = usage_days_read(&usage->folder, FILE_NAME, FILE_BYTES_MAX, &bytes, &count, &why);
    if (result == ERROR_NOT_FOUND)
        return 0;
    if (result == 0) {
        result = load_all(usage, bytes, count, &why);
        free(bytes);
    }
    if (result == ERROR_INVALID) {
        usage_note(&usage->notes, "%s; moved aside: unions lack models that are no longer served",
                   why.text);
        (void)snprintf(path, sizeof path, "%s/" FILE_NAME, usage->folder.path);
        result = usage_days_move_aside(path, "damaged", &why);
    }
    return result == 0 ? 0 : error_set(err, result, "%s", why.text);
}

int usage_scopes_save(struct usage *usage, struct error *err)
{
    struct text out;
    text_init(&out);
    text_append_string(&out, "[");
    for (const struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next) {
        const char *const values[] = {scope->product, scope->model, scope->family};
        const char *const keys[] = {"{\"product\":", ",\"model\":", ",\"family\":"};
        text_append_string(&out, scope == usage->scopes ? "\n" : ",\n");
        for (size_t i = 0; i < 3; i++) {
            text_append_string(&out, keys[i]);
            text_append_json(&out, values[i], strlen(values[i]));
        }
        text_append_char(&out, '}');
    }
    text_append_string(&out, "\n]\n");
    int result = out.failed
                     ? error_no_memory(err)
                     : usage_days_write(&usage->folder, FILE_NAME, out.bytes, out.count, err);
    text_destroy(&out);
    return result;
}
