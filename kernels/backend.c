/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/backend.h"

#include "kernels/cpu/cpu_backend.h"

#include <string.h>

struct backend *backend_open(const struct backend_config *config, struct error *err)
{
    const char *device = config->device == NULL ? "auto" : config->device;
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0)
        return cpu_backend_open(config, err);
    error_set(err, ERROR_INVALID, "device '%.64s' is not known: 'auto' and 'cpu' are", device);
    return NULL;
}

void backend_close(struct backend *backend)
{
    if (backend != NULL)
        backend->ops->close(backend);
}
