/* SPDX-License-Identifier: Apache-2.0 */
/* config_doors.c -- whom weir listens to: networks of trusted proxies. */
#include "daemon/config_keys.h"

#include <stdlib.h>
#include <string.h>

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
    free(config->trusted);
    config->trusted = NULL;
    config->trust.proxies = (struct trusted_networks){.count = 0};
}
