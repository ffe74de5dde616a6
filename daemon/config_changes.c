/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config_changes.h"

#include "daemon/config_keys.h"

#include <string.h>

/* What reload.c and those who read live.h take up. */
static const struct {
    const char *section;
    const char *name; /* NULL: all of the section */
} live_keys[] = {
    {"server", "drain_timeout"},
    {"server", "drain_delay"},
    {"server", "stall_timeout"},
    {"server", "trusted_header"},
    {"server.limits", NULL},
    {"server.tls", NULL},
    {"limits", NULL},
    {"users", "certificate"},
    {"users", "header"},
    {"users", "headers"},
    {"users", "jwt_header"},
    {"users", "gateway_header"},
    {"users", "certificate"},
    {"licenses", "folder"},
    {"log", NULL},
    {"access", NULL},
    {"access.jwt", NULL},
    {"engine", "max_wait"},
    {"engine", "first_token_timeout"},
    {"access_log", "sample"},
    {"access_log", "slow"},
    {"access_log", "addresses"},
    {"tracing", "sample"},
};

bool config_is_live(const char *section, const char *name)
{
    for (size_t i = 0; i < sizeof live_keys / sizeof live_keys[0]; i++)
        if (strcmp(live_keys[i].section, section) == 0 &&
            (live_keys[i].name == NULL || strcmp(live_keys[i].name, name) == 0))
            return true;
    return false;
}

static size_t value_bytes(enum config_kind kind)
{
    switch (kind) {
    case CONFIG_U16:
        return sizeof(uint16_t);
    case CONFIG_BYTES:
        return sizeof(uint64_t);
    case CONFIG_SWITCH:
    case CONFIG_ON_OFF:
    case CONFIG_SHARING:
        return sizeof(bool);
    default:
        return sizeof(uint32_t); /* numbers, and enumerations */
    }
}

static bool same_value(const struct config_key *key, const struct config *a, const struct config *b)
{
    const char *left = (const char *)a + key->offset, *right = (const char *)b + key->offset;
    if (key->kind == CONFIG_TEXT)
        return strcmp(*(char *const *)(const void *)left, *(char *const *)(const void *)right) == 0;
    return memcmp(left, right, value_bytes(key->kind)) == 0;
}

static bool same_models(const struct config *a, const struct config *b)
{
    if (a->model_count != b->model_count)
        return false;
    for (uint32_t i = 0; i < a->model_count; i++) {
        const struct config_model *left = &a->models[i], *right = &b->models[i];
        if (strcmp(left->id, right->id) != 0 || strcmp(left->path, right->path) != 0 ||
            strcmp(left->license, right->license) != 0 ||
            strcmp(left->product, right->product) != 0 ||
            strcmp(left->enforce, right->enforce) != 0 || strcmp(left->cap, right->cap) != 0 ||
            left->retries != right->retries || left->retry_max_ms != right->retry_max_ms)
            return false;
    }
    return true;
}

static bool same_listeners(const struct config *a, const struct config *b)
{
    if (a->listener_count != b->listener_count)
        return false;
    for (uint32_t i = 0; i < a->listener_count; i++) {
        const struct config_listener *left = &a->listeners[i], *right = &b->listeners[i];
        if (strcmp(left->address, right->address) != 0 || left->port != right->port ||
            strcmp(left->unix_path, right->unix_path) != 0 ||
            strcmp(left->activation, right->activation) != 0 || left->mode != right->mode ||
            left->tls != right->tls || left->proxy_protocol != right->proxy_protocol ||
            left->admin != right->admin)
            return false;
    }
    return true;
}

static bool same_webhooks(const struct config *a, const struct config *b)
{
    if (a->webhook_count != b->webhook_count)
        return false;
    for (uint32_t i = 0; i < a->webhook_count; i++) {
        const struct config_webhook *left = &a->webhooks[i], *right = &b->webhooks[i];
        if (strcmp(left->name, right->name) != 0 || strcmp(left->url, right->url) != 0 ||
            strcmp(left->secret_file, right->secret_file) != 0)
            return false;
    }
    return true;
}

static void append(struct text *out, const char *section, const char *name)
{
    if (out->count > 0)
        text_append_char(out, ',');
    text_append_string(out, section);
    if (section[0] != '\0')
        text_append_char(out, '.');
    text_append_string(out, name);
}

void config_restart_keys(const struct config *runs, const struct config *read, struct text *out)
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!config_is_live(key->section, key->name) && !same_value(key, runs, read))
            append(out, key->section, key->name);
    }
    if (config_has_tls(runs) != config_has_tls(read))
        append(out, "server", "tls"); /* its files change as they like; it is not begun or ended */
    if (!same_listeners(runs, read))
        append(out, "server", "listeners");
    if (!same_models(runs, read))
        append(out, "", "models");
    if (!same_webhooks(runs, read))
        append(out, "alerts", "webhooks");
}
