/* SPDX-License-Identifier: Apache-2.0 */
/* config_admin.c -- the keys of the admin door: fewer, longer, and never a client's as well. */
#include "daemon/config_keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES_MIN  16u
#define KEY_BYTES_MAX  512u
#define NAME_BYTES_MAX 64u

static void release(struct config_admin_key *key)
{
    free(key->key);
    free(key->name);
}

void config_release_admin_keys(struct config *config)
{
    for (uint32_t i = 0; i < config->admin_key_count; i++)
        release(&config->admin_keys[i]);
    free(config->admin_keys);
    config->admin_keys = NULL;
    config->admin_key_count = 0;
}

static int check_name(const char *name, struct error *err)
{
    size_t count = strlen(name);
    for (const char *at = name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && *at != '-' && *at != '_')
            count = 0;
    return count > 0 && count <= NAME_BYTES_MAX
               ? 0
               : error_set(err, ERROR_INVALID, "expected a name of 1 to %u letters, digits, - or _",
                           NAME_BYTES_MAX);
}

static int check_key(const struct config *config, const char *key, struct error *err)
{
    if (strlen(key) < KEY_BYTES_MIN || strlen(key) > KEY_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "expected a key of %u to %u bytes, got %zu",
                         KEY_BYTES_MIN, KEY_BYTES_MAX, strlen(key));
    for (uint32_t i = 0; i < config->api_key_count; i++)
        if (strcmp(config->api_keys[i].key, key) == 0)
            return error_set(err, ERROR_INVALID,
                             "the key is in access.api_keys too, so that a client could open the "
                             "admin door; give it one of its own");
    for (uint32_t i = 0; i < config->admin_key_count; i++)
        if (strcmp(config->admin_keys[i].key, key) == 0)
            return error_set(err, ERROR_INVALID, "the same key is listed twice");
    return 0;
}

int config_add_admin_key(struct config *config, const char *key, const char *name,
                         struct error *err)
{
    char place[32];
    (void)snprintf(place, sizeof place, "admin-%u", config->admin_key_count + 1);
    if (name[0] == '\0')
        name = place;
    int result = check_key(config, key, err);
    if (result == 0)
        result = check_name(name, err);
    if (result == 0 && config->admin_key_count == CONFIG_ADMIN_KEYS_MAX)
        result = error_set(err, ERROR_INVALID, "at most %u admin keys", CONFIG_ADMIN_KEYS_MAX);
    if (result != 0)
        return result;
    struct config_admin_key entry = {.key = strdup(key), .name = strdup(name)};
    struct config_admin_key *grown =
        realloc(config->admin_keys, (config->admin_key_count + 1) * sizeof *config->admin_keys);
    if (grown != NULL)
        config->admin_keys = grown;
    if (grown == NULL || entry.key == NULL || entry.name == NULL) {
        release(&entry);
        return error_no_memory(err);
    }
    config->admin_keys[config->admin_key_count++] = entry;
    return 0;
}
