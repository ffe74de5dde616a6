/* SPDX-License-Identifier: Apache-2.0 */
/* config_yaml.c -- weir.yaml, by base/schema.h.
 *
 * The schema is made here from the table of keys: every scalar is taken as text, and
 * config_key_set() reads it, so that the file and the flags obey the same rules.
 *
 * All sections share one flat struct raw: a section's mapping has offset 0, its keys the index of
 * their row. The road not taken is a struct a section, each key then named in three places. */
#include "daemon/config_keys.h"

#include "base/schema.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YAML_BYTES_MAX (1u << 20)
#define PATH_TEXT_MAX  192u

struct raw_entry { /* an API key and its tenant */
    char *key, *tenant;
};

struct raw_listener {
    char *values[CONFIG_LISTENER_KEYS]; /* NULL where the file says nothing */
};

struct raw {
    char *values[CONFIG_KEYS_MAX]; /* NULL where the file says nothing */
    struct config_model *models;   /* strings are "" where the file says nothing */
    uint32_t model_count;
    struct raw_entry *api_keys;
    uint32_t api_key_count;
    struct config_admin_key *admin_keys;
    uint32_t admin_key_count;
    struct config_webhook *webhooks;
    uint32_t webhook_count;
    struct raw_listener *listeners;
    uint32_t listener_count;
    char **trusted;
    uint32_t trusted_count;
    struct config_raw_tenant *tenants;
    uint32_t tenant_count;
    struct tls_pair *certificates;
    uint32_t certificate_count;
    struct declaration *declaration; /* NULL where the file has no operator section */
};

/* -- The schema -- */

struct schema {
    cyaml_schema_field_t fields[CONFIG_SECTIONS_MAX][CONFIG_KEYS_MAX];
    cyaml_schema_field_t model_fields[9], api_key_fields[3], webhook_fields[4];
    cyaml_schema_field_t admin_key_fields[3];
    cyaml_schema_field_t tenant_fields[2 + CONFIG_TENANT_KEYS_MAX + 1];
    cyaml_schema_field_t listener_fields[CONFIG_LISTENER_KEYS + 1];
    cyaml_schema_field_t certificate_fields[4];
    cyaml_schema_value_t model, api_key, admin_key, webhook, trusted, tenant, id, listener;
    cyaml_schema_value_t name, certificate, root;
};

static cyaml_schema_field_t text_field(const char *name, size_t offset, int flags)
{
    return (cyaml_schema_field_t){
        .key = name,
        .data_offset = (uint32_t)offset,
        .value = {.type = CYAML_STRING,
                  .flags = (enum cyaml_flag)(CYAML_FLAG_POINTER | flags),
                  .data_size = sizeof(char),
                  .string = {.min = 0, .max = CYAML_UNLIMITED}},
    };
}

static cyaml_schema_field_t section_field(const char *name, const cyaml_schema_field_t *fields)
{
    return (cyaml_schema_field_t){
        .key = name,
        .value = {.type = CYAML_MAPPING,
                  .flags = CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(struct raw),
                  .mapping = {.fields = fields}},
    };
}

/* The operator's section is policy/'s own: it is loaded into a struct of its own. */
static cyaml_schema_value_t declaration_value(int flags)
{
    return (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                  .flags = (enum cyaml_flag)(CYAML_FLAG_POINTER | flags),
                                  .data_size = sizeof(struct declaration),
                                  .mapping = {.fields = declaration_fields()}};
}

static cyaml_schema_field_t list_field(const char *name, size_t offset, size_t count_offset,
                                       const cyaml_schema_value_t *entry, uint32_t most)
{
    return (cyaml_schema_field_t){
        .key = name,
        .data_offset = (uint32_t)offset,
        .count_offset = (uint32_t)count_offset,
        .count_size = sizeof(uint32_t),
        .value = {.type = CYAML_SEQUENCE,
                  .flags = (enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL),
                  .data_size = entry->data_size,
                  .sequence = {.entry = entry, .min = 0, .max = most}},
    };
}

static uint32_t section_index(const char *path, size_t count)
{
    uint32_t index = 0;
    while (strlen(config_sections[index]) != count ||
           strncmp(config_sections[index], path, count) != 0) {
        index++;
        assert(index < config_section_count); /* every section's parent is listed */
    }
    return index;
}

static cyaml_schema_value_t entry_value(const cyaml_schema_field_t *fields, size_t bytes)
{
    return (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                  .flags = CYAML_FLAG_DEFAULT,
                                  .data_size = (uint32_t)bytes,
                                  .mapping = {.fields = fields}};
}

static void fill_webhooks(struct schema *schema, cyaml_schema_field_t *ret)
{
    cyaml_schema_field_t *fields = schema->webhook_fields;
    fields[0] = text_field("name", offsetof(struct config_webhook, name), CYAML_FLAG_OPTIONAL);
    fields[1] = text_field("url", offsetof(struct config_webhook, url), 0);
    fields[2] = text_field("secret_file", offsetof(struct config_webhook, secret_file), 0);
    schema->webhook = entry_value(fields, sizeof(struct config_webhook));
    *ret = list_field("webhooks", offsetof(struct raw, webhooks),
                      offsetof(struct raw, webhook_count), &schema->webhook, CONFIG_WEBHOOKS_MAX);
}

static void fill_admin_keys(struct schema *schema, cyaml_schema_field_t *ret)
{
    cyaml_schema_field_t *fields = schema->admin_key_fields;
    fields[0] = text_field("key", offsetof(struct config_admin_key, key), 0);
    fields[1] = text_field("name", offsetof(struct config_admin_key, name), CYAML_FLAG_OPTIONAL);
    schema->admin_key = entry_value(fields, sizeof(struct config_admin_key));
    *ret = list_field("admin_keys", offsetof(struct raw, admin_keys),
                      offsetof(struct raw, admin_key_count), &schema->admin_key,
                      CONFIG_ADMIN_KEYS_MAX);
}

static void fill_certificates(struct schema *schema, cyaml_schema_field_t *ret)
{
    cyaml_schema_field_t *fields = schema->certificate_fields;
    schema->name = text_field("", 0, 0).value;
    fields[0] = text_field("certificate", offsetof(struct tls_pair, certificate), 0);
    fields[1] = text_field("key", offsetof(struct tls_pair, key), 0);
    fields[2] =
        list_field("names", offsetof(struct tls_pair, names), offsetof(struct tls_pair, name_count),
                   &schema->name, CONFIG_CERTIFICATE_NAMES_MAX);
    fields[2].value.data_size = sizeof(char *);
    schema->certificate = entry_value(fields, sizeof(struct tls_pair));
    *ret = list_field("certificates", offsetof(struct raw, certificates),
                      offsetof(struct raw, certificate_count), &schema->certificate,
                      TLS_CERTIFICATES_MAX);
}

static void fill_trusted(struct schema *schema, cyaml_schema_field_t *ret)
{
    schema->trusted = text_field("", 0, 0).value;
    *ret = list_field("trusted_proxies", offsetof(struct raw, trusted),
                      offsetof(struct raw, trusted_count), &schema->trusted, CONFIG_TRUSTED_MAX);
    ret->value.data_size = sizeof(char *); /* entries are pointers to their text */
}

static void fill_tenants(struct schema *schema, cyaml_schema_field_t *ret)
{
    cyaml_schema_field_t *fields = schema->tenant_fields;
    schema->id = (cyaml_schema_value_t){CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 1023)};
    *fields++ = text_field("name", offsetof(struct config_raw_tenant, name), 0);
    *fields++ =
        list_field("models", offsetof(struct config_raw_tenant, models),
                   offsetof(struct config_raw_tenant, model_count), &schema->id, CONFIG_MODELS_MAX);
    fields[-1].value.data_size = sizeof(char *); /* its entries are pointers */
    for (uint32_t i = 0; i < config_tenant_key_count; i++)
        *fields++ = text_field(config_tenant_keys[i].name,
                               offsetof(struct config_raw_tenant, values) + i * sizeof(char *),
                               CYAML_FLAG_OPTIONAL | SCHEMA_FLAG_KEEP_NULL);
    schema->tenant = entry_value(schema->tenant_fields, sizeof(struct config_raw_tenant));
    *ret = list_field("tenants", offsetof(struct raw, tenants), offsetof(struct raw, tenant_count),
                      &schema->tenant, CONFIG_TENANTS_MAX);
}

static void fill_listeners(struct schema *schema, cyaml_schema_field_t *ret)
{
    for (uint32_t i = 0; i < CONFIG_LISTENER_KEYS; i++)
        schema->listener_fields[i] = text_field(config_listener_keys[i].name, i * sizeof(char *),
                                                CYAML_FLAG_OPTIONAL | SCHEMA_FLAG_KEEP_NULL);
    schema->listener = entry_value(schema->listener_fields, sizeof(struct raw_listener));
    *ret =
        list_field("listeners", offsetof(struct raw, listeners),
                   offsetof(struct raw, listener_count), &schema->listener, CONFIG_LISTENERS_MAX);
}

/* The arrays end where a key is NULL; the schema comes zeroed. */
static void schema_fill(struct schema *schema)
{
    uint32_t used[CONFIG_SECTIONS_MAX] = {0};
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        uint32_t section = section_index(key->section, strlen(key->section));
        schema->fields[section][used[section]++] =
            text_field(key->name, offsetof(struct raw, values) + i * sizeof(char *),
                       CYAML_FLAG_OPTIONAL | SCHEMA_FLAG_KEEP_NULL);
    }
    for (uint32_t i = 1; i < config_section_count; i++) {
        const char *dot = strchr(config_sections[i], '.');
        uint32_t parent =
            dot == NULL ? 0 : section_index(config_sections[i], (size_t)(dot - config_sections[i]));
        schema->fields[parent][used[parent]++] =
            section_field(dot == NULL ? config_sections[i] : dot + 1, schema->fields[i]);
    }
    schema->model_fields[0] =
        text_field("id", offsetof(struct config_model, id), CYAML_FLAG_OPTIONAL);
    schema->model_fields[1] = text_field("path", offsetof(struct config_model, path), 0);
    schema->model_fields[2] =
        text_field("license", offsetof(struct config_model, license), CYAML_FLAG_OPTIONAL);
    schema->model_fields[3] =
        text_field("product", offsetof(struct config_model, product), CYAML_FLAG_OPTIONAL);
    schema->model_fields[4] =
        text_field("enforce", offsetof(struct config_model, enforce), CYAML_FLAG_OPTIONAL);
    schema->model_fields[5] =
        text_field("cap", offsetof(struct config_model, cap), CYAML_FLAG_OPTIONAL);
    schema->model_fields[6] =
        text_field("on_failure", offsetof(struct config_model, on_failure), CYAML_FLAG_OPTIONAL);
    schema->model_fields[7] =
        text_field("retry_max", offsetof(struct config_model, retry_max), CYAML_FLAG_OPTIONAL);
    schema->model = entry_value(schema->model_fields, sizeof(struct config_model));
    schema->fields[0][used[0]++] =
        list_field("models", offsetof(struct raw, models), offsetof(struct raw, model_count),
                   &schema->model, CONFIG_MODELS_MAX);
    schema->fields[0][used[0]++] = (cyaml_schema_field_t){
        .key = "operator",
        .data_offset = offsetof(struct raw, declaration),
        .value = declaration_value(CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL)};
    fill_tenants(schema, &schema->fields[0][used[0]++]);
    uint32_t access = section_index("access", 6), alerts = section_index("alerts", 6);
    uint32_t tls = section_index("server.tls", 10);
    schema->api_key_fields[0] = text_field("key", offsetof(struct raw_entry, key), 0);
    schema->api_key_fields[1] =
        text_field("tenant", offsetof(struct raw_entry, tenant), CYAML_FLAG_OPTIONAL);
    schema->api_key = entry_value(schema->api_key_fields, sizeof(struct raw_entry));
    schema->fields[access][used[access]++] =
        list_field("api_keys", offsetof(struct raw, api_keys), offsetof(struct raw, api_key_count),
                   &schema->api_key, CONFIG_API_KEYS_MAX);
    fill_admin_keys(schema, &schema->fields[access][used[access]]);
    fill_webhooks(schema, &schema->fields[alerts][used[alerts]]);
    uint32_t server = section_index("server", 6);
    fill_trusted(schema, &schema->fields[server][used[server]++]);
    fill_listeners(schema, &schema->fields[server][used[server]++]);
    fill_certificates(schema, &schema->fields[tls][used[tls]]);
    schema->root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                          .flags = CYAML_FLAG_POINTER,
                                          .data_size = sizeof(struct raw),
                                          .mapping = {.fields = schema->fields[0]}};
}

/* -- The declaration -- */

void config_release_declaration(struct config *config)
{
    const cyaml_schema_value_t root = declaration_value(0);
    schema_free(&root, config->declaration);
    config->declaration = NULL;
}

int config_declare_nothing(struct config *config, struct error *err)
{
    static const struct schema_source nothing = {.name = "nothing", .bytes = "{}", .count = 2};
    const cyaml_schema_value_t root = declaration_value(0);
    void *declaration = NULL;
    int result = schema_load(&nothing, &root, "", &declaration, err);
    if (result != 0)
        return result;
    config_release_declaration(config);
    config->declaration = declaration;
    return 0;
}

/* Checks what the schema cannot, and takes the section over. */
static int take_declaration(struct config *config, struct raw *raw,
                            const struct schema_source *source, struct error *err)
{
    struct error inner;
    char path[PATH_TEXT_MAX] = "operator.";
    if (raw->declaration == NULL)
        return 0;
    size_t used = strlen(path);
    if (declaration_check(raw->declaration, path + used, sizeof path - used, &inner) != 0)
        return schema_fail_at(source, path, inner.text, err);
    config_release_declaration(config);
    config->declaration = raw->declaration;
    raw->declaration = NULL;
    return 0;
}

/* -- Values -- */

static int take_values(struct config *config, struct raw *raw, const struct schema_source *source,
                       struct error *err)
{
    struct error inner;
    char path[PATH_TEXT_MAX];
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (raw->values[i] == NULL || config_key_set(config, key, raw->values[i], &inner) == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s.%s", key->section, key->name);
        return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->model_count; i++) {
        (void)snprintf(path, sizeof path, "models[%u]", i);
        if (config_add_model(config, &raw->models[i], &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->api_key_count; i++) {
        const struct raw_entry *key = &raw->api_keys[i];
        (void)snprintf(path, sizeof path, "access.api_keys[%u]", i);
        if (config_add_api_key(config, key->key, key->tenant, &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->admin_key_count; i++) {
        const struct config_admin_key *key = &raw->admin_keys[i];
        (void)snprintf(path, sizeof path, "access.admin_keys[%u]", i);
        if (config_add_admin_key(config, key->key, key->name, &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->tenant_count; i++) {
        (void)snprintf(path, sizeof path, "tenants[%u]", i);
        if (config_add_tenant(config, &raw->tenants[i], &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->webhook_count; i++) {
        (void)snprintf(path, sizeof path, "alerts.webhooks[%u]", i);
        if (config_add_webhook(config, &raw->webhooks[i], &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->certificate_count; i++) {
        (void)snprintf(path, sizeof path, "server.tls.certificates[%u]", i);
        if (config_add_certificate(config, &raw->certificates[i], &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->listener_count; i++) {
        (void)snprintf(path, sizeof path, "server.listeners[%u]", i);
        if (config_add_listener(config, raw->listeners[i].values, &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->trusted_count; i++) {
        (void)snprintf(path, sizeof path, "server.trusted_proxies[%u]", i);
        if (config_add_trusted(config, raw->trusted[i], &inner) != 0)
            return schema_fail_at(source, path, inner.text, err);
    }
    return take_declaration(config, raw, source, err);
}

int config_load_yaml(struct config *config, const char *name, const char *yaml, size_t count,
                     struct error *err)
{
    struct schema_source source = {.name = name, .bytes = yaml, .count = count};
    void *raw = NULL;
    struct schema *schema = calloc(1, sizeof *schema);
    if (schema == NULL)
        return error_no_memory(err);
    schema_fill(schema);
    int result = schema_load(&source, &schema->root, "config/weir.yaml lists all keys", &raw, err);
    if (result == 0 && raw != NULL) /* NULL for a file of comments only */
        result = take_values(config, raw, &source, err);
    schema_free(&schema->root, raw);
    free(schema);
    return result;
}

int config_load_file(struct config *config, const char *path, struct error *err)
{
    char *yaml, *kept_path = strdup(path);
    size_t count;
    if (kept_path == NULL)
        return error_no_memory(err);
    free(config->path);
    config->path = kept_path;
    int result = schema_read_file(path, YAML_BYTES_MAX, &yaml, &count, err);
    if (result != 0)
        return result;
    result = config_load_yaml(config, path, yaml, count, err);
    free(yaml);
    return result;
}

int config_parse_yaml(const char *name, const char *yaml, size_t count, struct config **ret,
                      struct error *err)
{
    struct config *config = config_new(err);
    if (config == NULL)
        return ERROR_NO_MEMORY;
    int result = config_load_yaml(config, name, yaml, count, err);
    if (result != 0) {
        config_free(config);
        return result;
    }
    *ret = config;
    return 0;
}

int config_read(const char *path, struct config **ret, struct error *err)
{
    struct config *config = config_new(err);
    if (config == NULL)
        return ERROR_NO_MEMORY;
    int result = config_load_file(config, path, err);
    if (result != 0) {
        config_free(config);
        return result;
    }
    *ret = config;
    return 0;
}
