/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/backend.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda_plugin.h"

#include <string.h>

static struct backend *open_device(const struct backend_config *config, struct error *err)
{
    const char *device = config->device == NULL ? "auto" : config->device;
    const bool automatic = strcmp(device, "auto") == 0;
    if (strcmp(device, "cuda") == 0)
        return cuda_plugin_open(err);
    if (automatic) {
        struct backend *gpu = cuda_plugin_open(config->no_gpu);
        if (gpu != NULL)
            return gpu;
    }
    if (automatic || strcmp(device, "cpu") == 0)
        return cpu_backend_open(config, err);
    error_set(err, ERROR_INVALID, "device '%.64s' is not known: 'auto', 'cpu' and 'cuda' are",
              device);
    return NULL;
}

struct backend *backend_open(const struct backend_config *config, struct error *err)
{
    struct backend *backend = open_device(config, err);
    if (backend != NULL)
        backend->kv_format = config->kv_format;
    return backend;
}

void backend_close(struct backend *backend)
{
    if (backend != NULL)
        backend->ops->close(backend);
}
