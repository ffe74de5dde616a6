/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/claim_names.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *or_empty(const char *string)
{
    return string == NULL ? "" : string;
}

/* RFC 9110, section 5.6.2: what a field's name is made of. */
static bool is_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("!#$%&'*+-.^_`|~", *c) == NULL)
            return false;
    return name[0] != '\0';
}

static int check_name(const char *key, const char *name, struct error *err)
{
    if (is_name(name))
        return 0;
    return error_set(err, ERROR_INVALID, "%s: '%.64s' is no header's name", key, name);
}

static int add_user(struct claim_names *names, const char *name, struct error *err)
{
    int result = check_name("users.headers", name, err);
    if (result != 0)
        return result;
    if (names->user_count == POLICY_HEADERS_MAX)
        return error_set(err, ERROR_INVALID, "users.headers: at most %u with users.header",
                         POLICY_HEADERS_MAX);
    names->users[names->user_count++] = name;
    return 0;
}

/* Cuts a list "a, b" into its names, in place. */
static int add_users(struct claim_names *names, char *list, struct error *err)
{
    int result = 0;
    for (char *at = list, *comma; result == 0 && at != NULL; at = comma) {
        comma = strchr(at, ',');
        if (comma != NULL)
            *comma++ = '\0';
        size_t count = strlen(at);
        while (count > 0 && (at[count - 1] == ' ' || at[count - 1] == '\t'))
            at[--count] = '\0';
        at += strspn(at, " \t");
        if (at[0] != '\0')
            result = add_user(names, at, err);
    }
    return result;
}

int claim_names_init(struct claim_names *names, const struct config *config, struct error *err)
{
    *names = (struct claim_names){.user_count = 0};
    const char *parts[] = {or_empty(config->user_header), or_empty(config->user_headers),
                           or_empty(config->gateway_header), or_empty(config->jwt_header)};
    char *copies[sizeof parts / sizeof parts[0]];
    size_t bytes = 0, used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        bytes += strlen(parts[i]) + 1;
    names->text = malloc(bytes);
    if (names->text == NULL)
        return error_no_memory(err);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        copies[i] = names->text + used;
        used += strlen(parts[i]) + 1;
        memcpy(copies[i], parts[i], strlen(parts[i]) + 1);
    }
    assert(used == bytes);
    for (size_t i = 0; i < bytes; i++)
        names->text[i] = (char)tolower((unsigned char)names->text[i]);
    names->certificate = config->tls.user;
    names->gateway = copies[2];
    names->token = copies[3];
    int result = names->gateway[0] == '\0' ? 0 : check_name("users.gateway_header", copies[2], err);
    if (result == 0 && names->token[0] != '\0')
        result = check_name("users.jwt_header", copies[3], err);
    if (result == 0 && copies[0][0] != '\0')
        result = add_user(names, copies[0], err);
    if (result == 0)
        result = add_users(names, copies[1], err);
    if (result != 0)
        claim_names_destroy(names);
    return result;
}

void claim_names_destroy(struct claim_names *names)
{
    free(names->text);
    *names = (struct claim_names){.user_count = 0};
}
