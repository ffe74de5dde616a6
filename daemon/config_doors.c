/* SPDX-License-Identifier: Apache-2.0 */
/* config_doors.c -- where weir listens, and whose word it takes there. */
#include "daemon/config_keys.h"

#include "daemon/http/unix_socket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct config_listener, member)

enum { KEY_ADDRESS, KEY_PORT, KEY_UNIX, KEY_MODE, KEY_ACTIVATION };

/* In the order of the enum as far as it goes. */
const struct config_key config_listener_keys[CONFIG_LISTENER_KEYS] = {
    {"", "address", NULL, "", CONFIG_TEXT, false, AT(address), 1, 255},
    {"", "port", NULL, "0", CONFIG_U16, false, AT(port), 0, 65535},
    {"", "unix", NULL, "", CONFIG_TEXT, false, AT(unix_path), 1, UNIX_SOCKET_PATH_MAX},
    {"", "mode", NULL, "0660", CONFIG_MODE, false, AT(mode), 0, 0},
    {"", "activation", NULL, "", CONFIG_TEXT, false, AT(activation), 1, 255},
    {"", "tls", NULL, "auto", CONFIG_DOOR, false, AT(tls), 0, 0},
    {"", "proxy_protocol", NULL, "off", CONFIG_ON_OFF, false, AT(proxy_protocol), 0, 0},
    {"", "admin", NULL, "auto", CONFIG_ADMIN, false, AT(admin), 0, 0},
};

/* -- Listeners -- */

static void release_listener(struct config_listener *listener)
{
    free(listener->address);
    free(listener->unix_path);
    free(listener->activation);
}

static int check_kind(char *const values[CONFIG_LISTENER_KEYS], struct error *err)
{
    bool tcp = values[KEY_ADDRESS] != NULL || values[KEY_PORT] != NULL;
    int kinds = tcp + (values[KEY_UNIX] != NULL) + (values[KEY_ACTIVATION] != NULL);
    if (kinds != 1)
        return error_set(err, ERROR_INVALID,
                         "expected one of port (with or without address), unix and activation");
    if (tcp && values[KEY_PORT] == NULL)
        return error_set(err, ERROR_INVALID, "an address needs a port beside it");
    return values[KEY_MODE] == NULL || values[KEY_UNIX] != NULL
               ? 0
               : error_set(err, ERROR_INVALID, "mode: is of a unix socket alone");
}

/* Texts that the file leaves out are "", but for the address of a port. */
static int fill_listener(struct config_listener *listener, char *const values[CONFIG_LISTENER_KEYS],
                         struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < CONFIG_LISTENER_KEYS; i++) {
        struct config_key key = config_listener_keys[i];
        const char *value = values[i];
        if (value == NULL) {
            key.least = 0;
            value = i == KEY_ADDRESS && values[KEY_PORT] != NULL ? "127.0.0.1" : key.value;
        }
        result = config_value_set(listener, &key, value, err);
        if (result != 0)
            return error_wrap(err, "%s", key.name);
    }
    return result;
}

int config_add_listener(struct config *config, char *const values[CONFIG_LISTENER_KEYS],
                        struct error *err)
{
    struct config_listener listener = {.address = NULL};
    int result = config->listener_count < CONFIG_LISTENERS_MAX
                     ? check_kind(values, err)
                     : error_set(err, ERROR_INVALID, "at most %u listeners", CONFIG_LISTENERS_MAX);
    if (result == 0)
        result = fill_listener(&listener, values, err);
    struct config_listener *grown =
        result != 0
            ? NULL
            : realloc(config->listeners, (config->listener_count + 1) * sizeof *config->listeners);
    if (grown == NULL) {
        release_listener(&listener);
        return result != 0 ? result : error_no_memory(err);
    }
    grown[config->listener_count++] = listener;
    config->listeners = grown;
    return 0;
}

void config_first_listener(const struct config *config, struct config_listener *ret)
{
    *ret = (struct config_listener){.address = config->listen,
                                    .port = config->port,
                                    .unix_path = (char *)"",
                                    .activation = (char *)"",
                                    .proxy_protocol = config->proxy_protocol,
                                    .admin = config->admin};
}

/* A port that the system chooses is nobody else's. */
static bool same_place(const struct config_listener *a, const struct config_listener *b)
{
    return a->port == b->port && (a->port != 0 || a->address[0] == '\0') &&
           strcmp(a->address, b->address) == 0 && strcmp(a->unix_path, b->unix_path) == 0 &&
           strcmp(a->activation, b->activation) == 0;
}

static int check_listener(const struct config *config, uint32_t index, struct error *err)
{
    const struct config_listener *listener = &config->listeners[index];
    struct config_listener first;
    config_first_listener(config, &first);
    bool taken = first.address[0] != '\0' && same_place(&first, listener);
    for (uint32_t i = 0; i < index; i++)
        taken = taken || same_place(&config->listeners[i], listener);
    if (taken)
        return error_set(err, ERROR_INVALID,
                         "server.listeners[%u]: a listener before it, or server.listen, is at the "
                         "same place",
                         index);
    if (listener->tls == CONFIG_DOOR_YES && !config_has_tls(config))
        return error_set(err, ERROR_INVALID,
                         "server.listeners[%u].tls: needs server.tls.certificate and key", index);
    return 0;
}

int config_check_listeners(const struct config *config, struct error *err)
{
    bool asked = config->listen[0] != '\0' && config->admin != CONFIG_ADMIN_YES;
    if (config->listen[0] == '\0' && config->listener_count == 0)
        return error_set(err, ERROR_INVALID,
                         "server.listen: is empty, and server.listeners too: nobody could ask");
    for (uint32_t i = 0; i < config->listener_count; i++) {
        asked = asked || config->listeners[i].admin != CONFIG_ADMIN_YES;
        if (check_listener(config, i, err) != 0)
            return err->code;
    }
    return asked ? 0
                 : error_set(err, ERROR_INVALID,
                             "server.listeners: all are 'admin: yes': nobody could ask a model; "
                             "say 'admin: also' of one, or add another");
}

/* -- Trusted proxies -- */

int config_add_trusted(struct config *config, const char *text, struct error *err)
{
    struct trusted_networks *proxies = &config->trust.proxies;
    if (strcmp(text, "unix") == 0) {
        proxies->unix_too = true;
        return 0;
    }
    struct network network;
    int result = network_parse(text, &network, err);
    if (result != 0)
        return result;
    if (proxies->count == CONFIG_TRUSTED_MAX)
        return error_set(err, ERROR_INVALID, "at most %u networks", CONFIG_TRUSTED_MAX);
    struct network *grown =
        realloc(config->trusted, (proxies->count + 1) * sizeof *config->trusted);
    if (grown == NULL)
        return error_no_memory(err);
    grown[proxies->count++] = network;
    config->trusted = grown;
    proxies->networks = grown;
    return 0;
}

void config_release_doors(struct config *config)
{
    for (uint32_t i = 0; i < config->listener_count; i++)
        release_listener(&config->listeners[i]);
    free(config->listeners);
    config->listeners = NULL;
    config->listener_count = 0;
    free(config->trusted);
    config->trusted = NULL;
    config->trust.proxies = (struct trusted_networks){.count = 0};
}
