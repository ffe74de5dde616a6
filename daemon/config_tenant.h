/* SPDX-License-Identifier: Apache-2.0 */
/* config_tenant.h -- an entry of weir.yaml's tenants, and which one is whose. Immutable once read;
 * any thread. */
#ifndef WEIR_DAEMON_CONFIG_TENANT_H
#define WEIR_DAEMON_CONFIG_TENANT_H

#include "daemon/api/tenant_limits.h"

#include <stdbool.h>
#include <stdint.h>

struct config;

/* What a tenant may, and how it stands beside others. One named "*" is for all without an entry,
 * those without a name too. Its numbers are rows of config_tenants.c. */
struct config_tenant {
    char *name;
    char **models; /* ids of those that it may use; none: all */
    uint32_t model_count;
    int32_t priority;          /* its class: lower runs first, and others wait */
    float weight;              /* of its share of the tokens within its class */
    struct tenant_rates rates; /* its own; CONFIG_TENANT_UNSAID: as config->rates has it */
};

/* Of that name, else of "*", else all defaults; never NULL. Borrowed: config. */
const struct config_tenant *config_tenant(const struct config *config, const char *name);
/* Its own limits, or those of all. */
struct tenant_rates config_tenant_rates(const struct config *config,
                                        const struct config_tenant *tenant);
bool config_tenant_may_use(const struct config_tenant *tenant, const char *model);

#endif
