/* SPDX-License-Identifier: Apache-2.0 */
/* config_tls.h -- what weir.yaml says under server.tls: a part of struct config, as immutable. */
#ifndef WEIR_DAEMON_CONFIG_TLS_H
#define WEIR_DAEMON_CONFIG_TLS_H

#include "daemon/http/tls_set.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_CERTIFICATE_NAMES_MAX 256u

/* What of a client's certificate names the user. */
enum certificate_user {
    CERTIFICATE_USER_OFF,
    CERTIFICATE_USER_SUBJECT,
    CERTIFICATE_USER_SAN,
    CERTIFICATE_USER_SPIFFE
};

struct config_tls {
    char *certificate, *key; /* "" for none */
    struct tls_pair *pairs;  /* further ones; with none at all: clear text */
    uint32_t pair_count;
    enum tls_version version_min;
    uint32_t ticket_rotation_ms;
    char *ticket_keys_file; /* "" for keys of its own */
    enum tls_client_auth client_auth;
    char *client_ca, *client_crl; /* "" for none */
    uint32_t client_depth;
    enum certificate_user user; /* users.certificate */
};

struct config;
bool config_has_tls(const struct config *config);

#endif
