/* SPDX-License-Identifier: Apache-2.0 */
/* config_tls.c -- certificates beside the first, and what keys of server.tls ask of each other. */
#include "daemon/config_keys.h"

#include <stdlib.h>
#include <string.h>

static void release(struct tls_pair *pair)
{
    for (uint32_t i = 0; pair->names != NULL && i < pair->name_count; i++)
        free(pair->names[i]);
    free(pair->names);
    free(pair->certificate);
    free(pair->key);
}

void config_release_certificates(struct config *config)
{
    for (uint32_t i = 0; i < config->tls.pair_count; i++)
        release(&config->tls.pairs[i]);
    free(config->tls.pairs);
    config->tls.pairs = NULL;
    config->tls.pair_count = 0;
}

static int check_pair(const struct config *config, const struct tls_pair *pair, struct error *err)
{
    const struct {
        const char *key, *path;
    } paths[] = {{"certificate", pair->certificate}, {"key", pair->key}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (paths[i].path[0] == '\0' || strlen(paths[i].path) > CONFIG_PATH_BYTES_MAX)
            return error_set(err, ERROR_INVALID, "%s: expected the path of a PEM file",
                             paths[i].key);
    for (uint32_t i = 0; i < pair->name_count; i++)
        if (!tls_name_is_valid(pair->names[i]))
            return error_set(err, ERROR_INVALID,
                             "names: expected a DNS name such as api.example.com, or "
                             "*.example.com, got '%.64s'",
                             pair->names[i]);
    /* One place is for server.tls.certificate. */
    return config->tls.pair_count < TLS_CERTIFICATES_MAX - 1
               ? 0
               : error_set(err, ERROR_INVALID, "at most %u certificates", TLS_CERTIFICATES_MAX - 1);
}

static bool copy_pair(const struct tls_pair *from, struct tls_pair *ret)
{
    *ret = (struct tls_pair){.certificate = strdup(from->certificate), .key = strdup(from->key)};
    if (ret->certificate == NULL || ret->key == NULL)
        return false;
    if (from->name_count == 0)
        return true;
    ret->names = calloc(from->name_count, sizeof *ret->names);
    for (; ret->names != NULL && ret->name_count < from->name_count; ret->name_count++) {
        ret->names[ret->name_count] = strdup(from->names[ret->name_count]);
        if (ret->names[ret->name_count] == NULL)
            return false;
    }
    return ret->names != NULL;
}

int config_add_certificate(struct config *config, const struct tls_pair *pair, struct error *err)
{
    int result = check_pair(config, pair, err);
    if (result != 0)
        return result;
    struct tls_pair copy;
    bool copied = copy_pair(pair, &copy);
    struct tls_pair *grown =
        realloc(config->tls.pairs, ((size_t)config->tls.pair_count + 1) * sizeof *grown);
    if (grown != NULL)
        config->tls.pairs = grown;
    if (grown == NULL || !copied) {
        release(&copy);
        return error_no_memory(err);
    }
    config->tls.pairs[config->tls.pair_count++] = copy;
    return 0;
}

bool config_has_tls(const struct config *config)
{
    return config->tls.certificate[0] != '\0' || config->tls.pair_count > 0;
}

int config_check_tls(const struct config *config, struct error *err)
{
    if ((config->tls.certificate[0] == '\0') != (config->tls.key[0] == '\0'))
        return error_set(err, ERROR_INVALID, "certificate and key go together; one is missing");
    bool asks = config->tls.client_auth != TLS_CLIENT_AUTH_OFF;
    if (asks && !config_has_tls(config))
        return error_set(err, ERROR_INVALID, "client_auth needs a certificate and a key of weir's");
    if (asks && config->tls.client_ca[0] == '\0')
        return error_set(err, ERROR_INVALID,
                         "client_auth needs client_ca, the authorities that clients come with");
    if (!asks && (config->tls.client_ca[0] != '\0' || config->tls.client_crl[0] != '\0'))
        return error_set(err, ERROR_INVALID,
                         "client_ca and client_crl are not looked at while client_auth is off: "
                         "set it to optional or required, or leave them out");
    if (!asks && config->tls.user != CERTIFICATE_USER_OFF)
        return error_set(err, ERROR_INVALID,
                         "users.certificate needs client_auth: optional or required");
    return 0;
}
