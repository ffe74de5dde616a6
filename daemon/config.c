/* SPDX-License-Identifier: Apache-2.0 */
/* config.c -- how a value is read into its place, and what lists hold. */
#include "daemon/config.h"

#include "daemon/config_keys.h"
#include "policy/alerts/webhook.h"
#include "policy/users/cap_filter.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LICENSE_BYTES_MAX 255u
#define PRODUCT_BYTES_MAX 255u
#define WEBHOOK_NAME_MAX  64u
#define MINUTE_MS         60000u
#define SHARE_ONE         1000000u
#define RETRY_MAX_DEFAULT "5m"
#define RETRY_MAX_LEAST   1000u
#define RETRY_MAX_MOST    (24 * 60 * MINUTE_MS)
#define MIB               (UINT64_C(1) << 20)
#define TIB               (UINT64_C(1) << 40)

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit byte_units[] = {
    {"", 1},      {"B", 1},     {"KiB", 1u << 10}, {"MiB", MIB},       {"GiB", MIB << 10},
    {"TiB", TIB}, {"kB", 1000}, {"MB", 1000000},   {"GB", 1000000000}, {NULL, 0},
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", MINUTE_MS}, {"h", 60 * MINUTE_MS}, {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

/* Digits, then one of the units. False for anything else, overflow included. */
static bool read_number(const char *value, const struct unit *units, uint64_t *ret)
{
    uint64_t number = 0;
    const char *at = value;
    for (; isdigit((unsigned char)*at); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (at == value)
        return false;
    for (; units->name != NULL; units++) {
        if (strcmp(at, units->name) != 0)
            continue;
        if (number > UINT64_MAX / units->factor)
            return false;
        *ret = number * units->factor;
        return true;
    }
    return false;
}

/* The largest unit that divides the bound, so that a message reads as a person would write. */
static void spell(uint64_t value, const struct unit *units, char *ret, size_t ret_bytes)
{
    const struct unit *best = &units[0];
    for (const struct unit *unit = units; unit->name != NULL; unit++)
        if (value != 0 && value % unit->factor == 0 && unit->factor > best->factor)
            best = unit;
    (void)snprintf(ret, ret_bytes, "%llu%s", (unsigned long long)(value / best->factor),
                   best->name);
}

static int set_number(void *place, const struct config_key *key, const char *value,
                      struct error *err)
{
    const struct unit *units = no_units;
    const char *what = "an integer", *example = "";
    if (key->kind == CONFIG_BYTES) {
        units = byte_units;
        what = "a size such as 512MiB";
    } else if (key->kind == CONFIG_DURATION) {
        units = duration_units;
        what = "a duration such as 30s";
    }
    uint64_t number = 0;
    if (key->takes_auto && strcmp(value, "auto") == 0) {
        number = 0;
    } else if (!read_number(value, units, &number) || number < key->least || number > key->most) {
        char least[32], most[32];
        spell(key->least, units, least, sizeof least);
        spell(key->most, units, most, sizeof most);
        example = key->takes_auto ? " or auto" : "";
        return error_set(err, ERROR_INVALID, "expected %s from %s to %s%s, got '%.64s'", what,
                         least, most, example, value);
    }
    if (key->kind == CONFIG_BYTES)
        *(uint64_t *)place = number;
    else if (key->kind == CONFIG_U16)
        *(uint16_t *)place = (uint16_t)number;
    else
        *(uint32_t *)place = (uint32_t)number;
    return 0;
}

/* "0.25": digits, and up to six behind a point. False for anything else, and for more than 1. */
static bool read_share(const char *value, uint32_t *ret)
{
    uint32_t whole = value[0] == '1', millionths = 0, scale = SHARE_ONE / 10;
    const char *at = value + 1;
    if (value[0] != '0' && value[0] != '1')
        return false;
    if (*at == '.' && at[1] != '\0')
        for (at++; isdigit((unsigned char)*at) && scale > 0; at++, scale /= 10)
            millionths += (uint32_t)(*at - '0') * scale;
    *ret = whole * SHARE_ONE + millionths;
    return *at == '\0' && *ret <= SHARE_ONE;
}

static int set_share(uint32_t *place, const char *value, struct error *err)
{
    uint32_t share;
    if (!read_share(value, &share))
        return error_set(err, ERROR_INVALID,
                         "expected a share from 0 to 1 such as 0.05, got '%.64s'", value);
    *place = share;
    return 0;
}

static int replace_text(char **place, const char *value, struct error *err)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return error_no_memory(err);
    free(*place);
    *place = copy;
    return 0;
}

static int set_text(char **place, const struct config_key *key, const char *value,
                    struct error *err)
{
    size_t count = strlen(value);
    if (key->takes_auto && strcmp(value, "auto") == 0)
        return replace_text(place, "", err);
    if (count < key->least)
        return error_set(err, ERROR_INVALID, "must not be empty");
    if (count > key->most)
        return error_set(err, ERROR_INVALID, "at most %llu bytes, got %zu",
                         (unsigned long long)key->most, count);
    return replace_text(place, value, err);
}

/* The index of value among `choices`, or an error that lists them. */
static int read_choice(const char *value, const char *const *choices, int *ret, struct error *err)
{
    char list[96] = "";
    size_t used = 0;
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(value, choices[i]) == 0) {
            *ret = i;
            return 0;
        }
        int count =
            snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", choices[i]);
        assert(count > 0 && (size_t)count < sizeof list - used);
        used += (size_t)count;
    }
    return error_set(err, ERROR_INVALID, "expected one of %s, got '%.64s'", list, value);
}

static const char *const switch_words[] = {"false", "true", NULL};
static const char *const on_off_words[] = {"off", "on", NULL};
static const char *const sharing_words[] = {"tenant", "all", NULL};
static const char *const header_words[] = {"any", "x-forwarded-for", "forwarded", NULL};
static const char *const door_words[] = {"auto", "yes", "no", NULL};
static const char *const admin_words[] = {"auto", "yes", "no", "also", NULL};
static const char *const version_words[] = {"1.2", "1.3", NULL};
static const char *const client_auth_words[] = {"off", "optional", "required", NULL};
static const char *const certificate_user_words[] = {"off", "subject", "san", "spiffe", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"logfmt", "json", NULL};
static const char *const kv_format_words[] = {"f16", "bf16", "fp8", NULL};
static const char *const enforce_words[] = {"alert", "attribute", "cap", "refuse", NULL};
static const char *const view_words[] = {"lower", "best", "upper", NULL};
static const char *const failure_words[] = {"exit", "retry", NULL};
static_assert(POLICY_ENFORCE_ALERT == 0 && POLICY_ENFORCE_REFUSE == 3, "enforce_words likewise");
static_assert(POLICY_VIEW_LOWER == 0 && POLICY_VIEW_UPPER == 2, "view_words likewise");
static_assert(FORWARDED_BY_ANY == 0 && FORWARDED_BY_RFC == 2, "header_words likewise");
static_assert(CONFIG_DOOR_AUTO == 0 && CONFIG_DOOR_NO == 2, "door_words likewise");
static_assert(CONFIG_ADMIN_AUTO == 0 && CONFIG_ADMIN_ALSO == 3, "admin_words likewise");
static_assert(TLS_VERSION_1_2 == 0 && TLS_VERSION_1_3 == 1, "version_words likewise");
static_assert(TLS_CLIENT_AUTH_OFF == 0 && TLS_CLIENT_AUTH_REQUIRED == 2, "likewise");
static_assert(CERTIFICATE_USER_OFF == 0 && CERTIFICATE_USER_SPIFFE == 3, "likewise");
static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_ERROR == 3, "level_words is in this order");
static_assert(KV_F16 == 0 && KV_FP8 == 2, "kv_format_words is in this order");
static_assert(LOG_FORMAT_LOGFMT == 0 && LOG_FORMAT_JSON == 1, "format_words is in this order");

static const char *const *bool_words(enum config_kind kind)
{
    return kind == CONFIG_SWITCH   ? switch_words
           : kind == CONFIG_ON_OFF ? on_off_words
                                   : sharing_words;
}

/* Of kinds that are an enum, in its order; NULL for others. */
static const char *const *enum_words(enum config_kind kind)
{
    static_assert(sizeof(enum log_level) == sizeof(uint32_t), "all of them have 32 bits");
    switch (kind) {
    case CONFIG_HEADER:
        return header_words;
    case CONFIG_DOOR:
        return door_words;
    case CONFIG_ADMIN:
        return admin_words;
    case CONFIG_LEVEL:
        return level_words;
    case CONFIG_FORMAT:
        return format_words;
    case CONFIG_KV_FORMAT:
        return kv_format_words;
    case CONFIG_ENFORCE:
        return enforce_words;
    case CONFIG_VIEW:
        return view_words;
    case CONFIG_TLS_VERSION:
        return version_words;
    case CONFIG_CLIENT_AUTH:
        return client_auth_words;
    case CONFIG_CERTIFICATE_USER:
        return certificate_user_words;
    default:
        return NULL;
    }
}

int config_key_set(struct config *config, const struct config_key *key, const char *value,
                   struct error *err)
{
    return config_value_set(config, key, value, err);
}

/* Three or four octal digits, as chmod takes them. */
static int set_mode(uint32_t *place, const char *value, struct error *err)
{
    size_t count = strspn(value, "01234567");
    if (value[count] != '\0' || count < 3 || count > 4 || (count == 4 && value[0] != '0'))
        return error_set(err, ERROR_INVALID, "expected permissions such as 0660, got '%.64s'",
                         value);
    *place = (uint32_t)strtoul(value, NULL, 8);
    return 0;
}

int config_value_set(void *owner, const struct config_key *key, const char *value,
                     struct error *err)
{
    void *place = (char *)owner + key->offset;
    int choice = 0, result;
    switch (key->kind) {
    case CONFIG_TEXT:
        return set_text(place, key, value, err);
    case CONFIG_SHARE:
        return set_share(place, value, err);
    case CONFIG_SWITCH:
    case CONFIG_ON_OFF:
    case CONFIG_SHARING:
        result = read_choice(value, bool_words(key->kind), &choice, err);
        if (result == 0)
            *(bool *)place = choice == 1;
        return result;
    case CONFIG_MODE:
        return set_mode(place, value, err);
    default:
        if (enum_words(key->kind) == NULL)
            return set_number(place, key, value, err);
        result = read_choice(value, enum_words(key->kind), &choice, err);
        if (result == 0)
            *(uint32_t *)place = (uint32_t)choice; /* of an enum: enum_words() */
        return result;
    }
}

struct config *config_new(struct error *err)
{
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        error_no_memory(err);
        return NULL;
    }
    atomic_init(&config->references, 1);
    int result = replace_text(&config->path, "", err);
    for (uint32_t i = 0; result == 0 && i < config_key_count; i++)
        result = config_key_set(config, &config_keys[i], config_keys[i].value, err);
    if (result == 0)
        result = config_declare_nothing(config, err);
    if (result == 0)
        return config;
    config_free(config);
    return NULL;
}

static void release_model(struct config_model *model)
{
    free(model->id);
    free(model->path);
    free(model->license);
    free(model->product);
    free(model->enforce);
    free(model->cap);
    free(model->on_failure);
    free(model->retry_max);
}

void config_clear_models(struct config *config)
{
    for (uint32_t i = 0; i < config->model_count; i++)
        release_model(&config->models[i]);
    free(config->models);
    config->models = NULL;
    config->model_count = 0;
}

static void release_webhook(struct config_webhook *webhook)
{
    free(webhook->name);
    free(webhook->url);
    free(webhook->secret_file);
}

struct config *config_ref(struct config *config)
{
    uint32_t before = atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
    assert(before > 0);
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL ||
        atomic_fetch_sub_explicit(&config->references, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < config_key_count; i++)
        if (config_keys[i].kind == CONFIG_TEXT)
            free(*(char **)((char *)config + config_keys[i].offset));
    config_clear_models(config);
    for (uint32_t i = 0; i < config->api_key_count; i++) {
        free(config->api_keys[i].key);
        free(config->api_keys[i].tenant);
    }
    free(config->api_keys);
    config_release_admin_keys(config);
    config_release_doors(config);
    config_release_tenants(config);
    config_release_certificates(config);
    for (uint32_t i = 0; i < config->webhook_count; i++)
        release_webhook(&config->webhooks[i]);
    free(config->webhooks);
    config_release_declaration(config);
    free(config->path);
    free(config);
}

/* "models/SmolLM2-135M-Instruct.Q4_1.gguf" -> "SmolLM2-135M-Instruct.Q4_1" */
static char *id_of_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    size_t count = strlen(base);
    if (count > 5 && strcasecmp(base + count - 5, ".gguf") == 0)
        count -= 5;
    return strndup(base, count);
}

/* What "enforce" and "cap" say; both may be left out. */
static int read_enforcement(struct config_model *model, struct error *err)
{
    int choice = 0;
    if (model->enforce[0] != '\0' && read_choice(model->enforce, enforce_words, &choice, err) != 0)
        return error_wrap(err, "enforce");
    model->has_enforcement = model->enforce[0] != '\0';
    model->enforcement = (enum policy_enforce)choice;
    if (model->cap[0] == '\0')
        return 0;
    if (!read_number(model->cap, no_units, &model->cap_users) || model->cap_users == 0 ||
        model->cap_users > CAP_USERS_MAX)
        return error_set(err, ERROR_INVALID, "cap: expected users from 1 to %llu, got '%.64s'",
                         (unsigned long long)CAP_USERS_MAX, model->cap);
    if (model->enforcement != POLICY_ENFORCE_CAP)
        return error_set(err, ERROR_INVALID, "cap: needs 'enforce: cap' beside it");
    return 0;
}

/* What "on_failure" and "retry_max" say; both may be left out. */
static int read_retries(struct config_model *model, struct error *err)
{
    static const struct config_key longest = {.kind = CONFIG_DURATION,
                                              .offset = offsetof(struct config_model, retry_max_ms),
                                              .least = RETRY_MAX_LEAST,
                                              .most = RETRY_MAX_MOST};
    int choice = 0;
    if (model->on_failure[0] != '\0' &&
        read_choice(model->on_failure, failure_words, &choice, err) != 0)
        return error_wrap(err, "on_failure");
    model->retries = choice == 1;
    if (model->retry_max[0] != '\0' && !model->retries)
        return error_set(err, ERROR_INVALID, "retry_max: needs 'on_failure: retry' beside it");
    const char *text = model->retry_max[0] == '\0' ? RETRY_MAX_DEFAULT : model->retry_max;
    return config_value_set(model, &longest, text, err) == 0 ? 0 : error_wrap(err, "retry_max");
}

static char *copy_text(const char *text)
{
    return strdup(text == NULL ? "" : text);
}

int config_add_model(struct config *config, const struct config_model *model, struct error *err)
{
    if (model->path[0] == '\0' || model->path[strlen(model->path) - 1] == '/')
        return error_set(err, ERROR_INVALID, "expected the path of a GGUF file, got '%.200s'",
                         model->path);
    if (strlen(model->license) > LICENSE_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "expected a licence of at most %u bytes",
                         LICENSE_BYTES_MAX);
    if (strlen(model->product) > PRODUCT_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "expected a product of at most %u bytes",
                         PRODUCT_BYTES_MAX);
    if (config->model_count == CONFIG_MODELS_MAX)
        return error_set(err, ERROR_INVALID, "at most %u models", CONFIG_MODELS_MAX);
    struct config_model copy = {.id = model->id[0] != '\0' ? strdup(model->id)
                                                           : id_of_path(model->path),
                                .path = strdup(model->path),
                                .license = strdup(model->license),
                                .product = strdup(model->product),
                                .enforce = copy_text(model->enforce),
                                .cap = copy_text(model->cap),
                                .on_failure = copy_text(model->on_failure),
                                .retry_max = copy_text(model->retry_max)};
    int result = copy.id == NULL || copy.path == NULL || copy.license == NULL ||
                         copy.product == NULL || copy.enforce == NULL || copy.cap == NULL ||
                         copy.on_failure == NULL || copy.retry_max == NULL
                     ? error_no_memory(err)
                     : read_enforcement(&copy, err);
    if (result == 0)
        result = read_retries(&copy, err);
    for (uint32_t i = 0; result == 0 && i < config->model_count; i++)
        if (strcmp(config->models[i].id, copy.id) == 0)
            result = error_set(err, ERROR_INVALID,
                               "the id '%.100s' is taken; give each model its own", copy.id);
    if (result == 0) {
        struct config_model *grown =
            realloc(config->models, (config->model_count + 1) * sizeof *config->models);
        if (grown != NULL) {
            config->models = grown;
            config->models[config->model_count++] = copy;
            return 0;
        }
        result = error_no_memory(err);
    }
    release_model(&copy);
    return result;
}

int config_add_api_key(struct config *config, const char *key, const char *tenant,
                       struct error *err)
{
    if (strlen(key) < 8 || strlen(key) > 512)
        return error_set(err, ERROR_INVALID, "expected a key of 8 to 512 bytes, got %zu",
                         strlen(key));
    if (strlen(tenant) > 128)
        return error_set(err, ERROR_INVALID, "expected a tenant of at most 128 bytes");
    for (uint32_t i = 0; i < config->api_key_count; i++)
        if (strcmp(config->api_keys[i].key, key) == 0)
            return error_set(err, ERROR_INVALID, "the same key is listed twice");
    struct config_api_key entry = {.key = strdup(key), .tenant = strdup(tenant)};
    struct config_api_key *grown =
        realloc(config->api_keys, (config->api_key_count + 1) * sizeof *config->api_keys);
    if (grown != NULL)
        config->api_keys = grown;
    if (grown == NULL || entry.key == NULL || entry.tenant == NULL) {
        free(entry.key);
        free(entry.tenant);
        return error_no_memory(err);
    }
    config->api_keys[config->api_key_count++] = entry;
    return 0;
}

/* A message is signed under its target's name and kept under it: printable, without spaces. */
static bool is_webhook_name(const char *name)
{
    size_t count = strlen(name);
    for (const char *at = name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && *at != '-' && *at != '_')
            return false;
    return count > 0 && count <= WEBHOOK_NAME_MAX;
}

static int check_webhook(const struct config *config, const struct config_webhook *webhook,
                         const char *name, struct error *err)
{
    if (!is_webhook_name(name))
        return error_set(err, ERROR_INVALID, "expected a name of 1 to %u letters, digits, - or _",
                         WEBHOOK_NAME_MAX);
    if (webhook->secret_file[0] == '\0' || strlen(webhook->secret_file) > CONFIG_PATH_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "expected the path of a secret_file");
    if (webhook_check_url(webhook->url, false, err) != 0)
        return error_wrap(err, "url");
    for (uint32_t i = 0; i < config->webhook_count; i++)
        if (strcmp(config->webhooks[i].name, name) == 0)
            return error_set(err, ERROR_INVALID, "the name '%s' is taken; give each its own", name);
    return config->webhook_count < CONFIG_WEBHOOKS_MAX
               ? 0
               : error_set(err, ERROR_INVALID, "at most %u webhooks", CONFIG_WEBHOOKS_MAX);
}

int config_add_webhook(struct config *config, const struct config_webhook *webhook,
                       struct error *err)
{
    char place[32];
    (void)snprintf(place, sizeof place, "webhook-%u", config->webhook_count + 1);
    const char *name = webhook->name[0] == '\0' ? place : webhook->name;
    int result = check_webhook(config, webhook, name, err);
    if (result != 0)
        return result;
    struct config_webhook copy = {.name = strdup(name),
                                  .url = strdup(webhook->url),
                                  .secret_file = strdup(webhook->secret_file)};
    struct config_webhook *grown =
        realloc(config->webhooks, (config->webhook_count + 1) * sizeof *config->webhooks);
    if (grown != NULL)
        config->webhooks = grown;
    if (grown == NULL || copy.name == NULL || copy.url == NULL || copy.secret_file == NULL) {
        release_webhook(&copy);
        return error_no_memory(err);
    }
    config->webhooks[config->webhook_count++] = copy;
    return 0;
}
