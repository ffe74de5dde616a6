/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/identity_rules.h"

#include "policy/users/private_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_set(const char *setting)
{
    return setting != NULL && setting[0] != '\0';
}

static const char *or_empty(const char *setting)
{
    return setting == NULL ? "" : setting;
}

static int load_jwt(const struct policy_identity *settings, struct jwt_keys **ret,
                    struct error *err)
{
    static const struct private_file_rules file = {.bytes_min = 2, .bytes_max = JWKS_BYTES_MAX};
    const char *path = settings->jwt_keys_file;
    const struct jwt_rules rules = {
        .issuer = or_empty(settings->jwt_issuer),
        .audience = or_empty(settings->jwt_audience),
        .subject_claim = is_set(settings->jwt_claim) ? settings->jwt_claim : "sub",
    };
    uint8_t *json = malloc(JWKS_BYTES_MAX);
    if (json == NULL)
        return error_no_memory(err);
    struct jwt_keys *keys = NULL;
    size_t count = 0;
    mode_t mode = 0;
    int result = private_file_read(path, &file, json, &count, &mode, err);
    if (result == 0) {
        result = jwt_keys_load((const char *)json, count, &rules, &keys, err);
        if (result != 0)
            result = error_wrap(err, "%s", path);
        explicit_bzero(json, count);
    }
    free(json);
    if (result == 0 && (mode & 077) != 0 && jwt_keys_hold_secrets(keys)) {
        jwt_keys_free(keys);
        return error_set(err, ERROR_REFUSED,
                         "%s: mode %03o lets others read the HMAC secret in it, with which they "
                         "can sign tokens; chmod 600 it, or use public keys",
                         path, (unsigned)mode);
    }
    if (result == 0)
        *ret = keys;
    return result;
}

/* Programs that write such a file end it with a line's end, which gateways do not sign with. */
static size_t without_line_end(const uint8_t *bytes, size_t count)
{
    if (count > 0 && bytes[count - 1] == '\n')
        count--;
    if (count > 0 && bytes[count - 1] == '\r')
        count--;
    return count;
}

static int load_gateway(const char *path, struct gateway *ret, struct error *err)
{
    static const struct private_file_rules file = {
        .bytes_min = GATEWAY_SECRET_MIN, .bytes_max = GATEWAY_SECRET_MAX, .forbidden = 077};
    struct gateway gateway = {.window_s = GATEWAY_WINDOW_S};
    int result = private_file_read(path, &file, gateway.secret, &gateway.secret_count, NULL, err);
    if (result == 0) {
        gateway.secret_count = without_line_end(gateway.secret, gateway.secret_count);
        if (gateway.secret_count < GATEWAY_SECRET_MIN)
            result = error_set(err, ERROR_INVALID, "%s: %zu bytes of secret; at least %u", path,
                               gateway.secret_count, GATEWAY_SECRET_MIN);
    }
    if (result == 0)
        *ret = gateway;
    explicit_bzero(&gateway, sizeof gateway);
    return result;
}

int identity_rules_load(const struct policy_identity *settings, struct identity_rules *ret,
                        struct error *err)
{
    struct error local = {0};
    if (err == NULL)
        err = &local;
    struct identity_rules rules = {.jwt = NULL};
    int result = 0;
    if (is_set(settings->jwt_keys_file))
        result = load_jwt(settings, &rules.jwt, err);
    else if (is_set(settings->jwt_issuer) || is_set(settings->jwt_audience))
        /* somebody believes that tokens are checked */
        result = error_set(err, ERROR_INVALID,
                           "users.jwt_issuer and users.jwt_audience need users.jwt_keys");
    if (result == 0 && is_set(settings->gateway_secret_file))
        result = load_gateway(settings->gateway_secret_file, &rules.gateway, err);
    if (result != 0) {
        identity_rules_destroy(&rules);
        return result;
    }
    *ret = rules;
    explicit_bzero(&rules, sizeof rules);
    return 0;
}

void identity_rules_destroy(struct identity_rules *rules)
{
    jwt_keys_free(rules->jwt);
    explicit_bzero(rules, sizeof *rules);
}
