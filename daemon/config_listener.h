/* SPDX-License-Identifier: Apache-2.0 */
/* config_listener.h -- one entry of server.listeners, as config.h has it. Immutable once read. */
#ifndef WEIR_DAEMON_CONFIG_LISTENER_H
#define WEIR_DAEMON_CONFIG_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

/* What a listener's switches say where they say nothing: by what else there is. */
enum config_door { CONFIG_DOOR_AUTO, CONFIG_DOOR_YES, CONFIG_DOOR_NO };

/* Whether /metrics, /admin and the like are at a listener, and requests. Auto: both, while no
 * listener is for them; else requests alone. */
enum config_admin { CONFIG_ADMIN_AUTO, CONFIG_ADMIN_YES, CONFIG_ADMIN_NO, CONFIG_ADMIN_ALSO };

/* A socket besides server.listen: of a TCP port, at a path, or one that systemd opened. */
struct config_listener {
    char *address; /* "" for the other two kinds */
    uint16_t port;
    char *unix_path;  /* "" for none, and so below */
    char *activation; /* the socket's name with systemd */
    uint32_t mode;    /* permissions of unix_path */
    enum config_door tls;
    bool proxy_protocol;
    enum config_admin admin;
};

#endif
