/* SPDX-License-Identifier: Apache-2.0 */
/* config_tenants.c -- what each tenant may, and how it stands beside the others.
 *
 * The rows below are the numbers of an entry; the schema is made of them, as it is of the table of
 * keys. Entries lie in the order of their names, so that one is found by halving. */
#include "daemon/config_keys.h"

#include "daemon/api/bucket.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX     128u
#define MODEL_ID_BYTES_MAX 1023u

#define AT(member) offsetof(struct config_tenant, member)

/* name, kind, place, least, most */
const struct config_tenant_key config_tenant_keys[] = {
    {"priority", CONFIG_TENANT_CLASS, AT(priority), -1000, 1000},
    {"weight", CONFIG_TENANT_WEIGHT, AT(weight), 0.01, 1000},
    {"requests_per_minute", CONFIG_TENANT_COUNT, AT(rates.requests), 0, BUCKET_PER_MINUTE_MAX},
    {"tokens_per_minute", CONFIG_TENANT_COUNT, AT(rates.tokens), 0, BUCKET_PER_MINUTE_MAX},
    {"concurrent_requests", CONFIG_TENANT_COUNT, AT(rates.concurrent), 0, 1000000},
};
const uint32_t config_tenant_key_count = sizeof config_tenant_keys / sizeof config_tenant_keys[0];
static_assert(sizeof config_tenant_keys / sizeof config_tenant_keys[0] <= CONFIG_TENANT_KEYS_MAX,
              "raise it");

/* Of whoever has no entry, where there is none named "*" either. */
static const struct config_tenant no_entry = {
    .name = (char *)"",
    .weight = 1,
    .rates = {CONFIG_TENANT_UNSAID, CONFIG_TENANT_UNSAID, CONFIG_TENANT_UNSAID},
};

static int set_number(struct config_tenant *tenant, const struct config_tenant_key *key,
                      const char *value, struct error *err)
{
    const char *characters = key->kind == CONFIG_TENANT_WEIGHT ? "0123456789." : "-0123456789";
    const char *what = key->kind == CONFIG_TENANT_WEIGHT ? "a number" : "an integer";
    char *end = NULL;
    double number = strtod(value, &end);
    if (value[0] == '\0' || strspn(value, characters) != strlen(value) || *end != '\0' ||
        number < key->least || number > key->most)
        return error_set(err, ERROR_INVALID, "%s: expected %s from %.9g to %.9g, got '%.64s'",
                         key->name, what, key->least, key->most, value);
    void *place = (char *)tenant + key->offset;
    if (key->kind == CONFIG_TENANT_WEIGHT)
        *(float *)place = (float)number;
    else if (key->kind == CONFIG_TENANT_COUNT)
        *(uint32_t *)place = (uint32_t)number;
    else
        *(int32_t *)place = (int32_t)number;
    return 0;
}

static int check_name(const char *name, struct error *err)
{
    size_t count = strlen(name);
    for (const char *at = name; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            count = 0;
    return count > 0 && count <= NAME_BYTES_MAX
               ? 0
               : error_set(err, ERROR_INVALID,
                           "name: expected 1 to %u bytes without control characters",
                           NAME_BYTES_MAX);
}

static void release(struct config_tenant *tenant)
{
    for (uint32_t i = 0; i < tenant->model_count; i++)
        free(tenant->models[i]);
    free(tenant->models);
    free(tenant->name);
}

void config_release_tenants(struct config *config)
{
    for (uint32_t i = 0; i < config->tenant_count; i++)
        release(&config->tenants[i]);
    free(config->tenants);
    config->tenants = NULL;
    config->tenant_count = 0;
}

/* The place of a name, or where it would be. */
static uint32_t place_of(const struct config *config, const char *name)
{
    uint32_t first = 0, end = config->tenant_count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (strcmp(config->tenants[middle].name, name) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static const struct config_tenant *find(const struct config *config, const char *name)
{
    uint32_t place = place_of(config, name);
    return place < config->tenant_count && strcmp(config->tenants[place].name, name) == 0
               ? &config->tenants[place]
               : NULL;
}

static int copy_models(struct config_tenant *tenant, const struct config_raw_tenant *raw,
                       struct error *err)
{
    if (raw->model_count == 0)
        return 0;
    tenant->models = calloc(raw->model_count, sizeof *tenant->models);
    if (tenant->models == NULL)
        return error_no_memory(err);
    for (; tenant->model_count < raw->model_count; tenant->model_count++) {
        const char *model = raw->models[tenant->model_count];
        if (model == NULL || model[0] == '\0' || strlen(model) > MODEL_ID_BYTES_MAX)
            return error_set(err, ERROR_INVALID, "models: expected the ids of models");
        tenant->models[tenant->model_count] = strdup(model);
        if (tenant->models[tenant->model_count] == NULL)
            return error_no_memory(err);
    }
    return 0;
}

static int fill(struct config_tenant *tenant, const struct config_raw_tenant *raw,
                struct error *err)
{
    *tenant = no_entry;
    tenant->name = strdup(raw->name);
    if (tenant->name == NULL)
        return error_no_memory(err);
    int result = copy_models(tenant, raw, err);
    for (uint32_t i = 0; result == 0 && i < config_tenant_key_count; i++)
        if (raw->values[i] != NULL)
            result = set_number(tenant, &config_tenant_keys[i], raw->values[i], err);
    return result;
}

int config_add_tenant(struct config *config, const struct config_raw_tenant *raw, struct error *err)
{
    int result = check_name(raw->name, err);
    if (result != 0)
        return result;
    if (find(config, raw->name) != NULL)
        return error_set(err, ERROR_INVALID, "the tenant '%s' is listed twice; keep one",
                         raw->name);
    if (config->tenant_count == CONFIG_TENANTS_MAX)
        return error_set(err, ERROR_INVALID, "at most %u tenants; one named '*' is for all others",
                         CONFIG_TENANTS_MAX);
    struct config_tenant *grown =
        realloc(config->tenants, (config->tenant_count + 1) * sizeof *config->tenants);
    if (grown == NULL)
        return error_no_memory(err);
    config->tenants = grown;
    struct config_tenant tenant;
    result = fill(&tenant, raw, err);
    if (result != 0) {
        release(&tenant);
        return result;
    }
    uint32_t place = place_of(config, tenant.name);
    memmove(&grown[place + 1], &grown[place], (config->tenant_count - place) * sizeof *grown);
    grown[place] = tenant;
    config->tenant_count++;
    return 0;
}

static bool is_model(const struct config *config, const char *id)
{
    for (uint32_t i = 0; i < config->model_count; i++)
        if (strcmp(config->models[i].id, id) == 0)
            return true;
    return false;
}

int config_check_tenants(const struct config *config, struct error *err)
{
    for (uint32_t i = 0; i < config->tenant_count; i++) {
        const struct config_tenant *tenant = &config->tenants[i];
        for (uint32_t j = 0; j < tenant->model_count; j++)
            if (!is_model(config, tenant->models[j]))
                return error_set(err, ERROR_INVALID,
                                 "tenants: '%s' is allowed '%.200s', which is the id of no model; "
                                 "put it right or take it out",
                                 tenant->name, tenant->models[j]);
    }
    return 0;
}

const struct config_tenant *config_tenant(const struct config *config, const char *name)
{
    const struct config_tenant *found = find(config, name);
    if (found == NULL)
        found = find(config, "*");
    return found == NULL ? &no_entry : found;
}

static uint32_t said_or(uint32_t own, uint32_t others)
{
    return own == CONFIG_TENANT_UNSAID ? others : own;
}

struct tenant_rates config_tenant_rates(const struct config *config,
                                        const struct config_tenant *tenant)
{
    return (struct tenant_rates){
        .requests = said_or(tenant->rates.requests, config->rates.requests),
        .tokens = said_or(tenant->rates.tokens, config->rates.tokens),
        .concurrent = said_or(tenant->rates.concurrent, config->rates.concurrent),
    };
}

bool config_tenant_may_use(const struct config_tenant *tenant, const char *model)
{
    for (uint32_t i = 0; i < tenant->model_count; i++)
        if (strcmp(tenant->models[i], model) == 0)
            return true;
    return tenant->model_count == 0;
}
