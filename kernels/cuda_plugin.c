/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda_plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_NAME   "weir-cuda.so"
#define PLUGIN_FOLDER "/usr/lib/weir"

/* The plug-in's path beside the running binary; false when it isn't there. */
static bool find_beside(char path[PATH_MAX])
{
    ssize_t count = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (count <= 0)
        return false;
    path[count] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash + 1 - path) + sizeof PLUGIN_NAME > PATH_MAX)
        return false;
    memcpy(slash + 1, PLUGIN_NAME, sizeof PLUGIN_NAME);
    return access(path, R_OK) == 0;
}

static int find(char path[PATH_MAX], struct error *err)
{
    const char *named = getenv("WEIR_CUDA_PLUGIN");
    if (named != NULL && named[0] != '\0') {
        if (snprintf(path, PATH_MAX, "%s", named) < PATH_MAX && access(path, R_OK) == 0)
            return 0;
        return error_set(err, ERROR_NOT_FOUND, "$WEIR_CUDA_PLUGIN names no file that can be read");
    }
    if (find_beside(path))
        return 0;
    (void)snprintf(path, PATH_MAX, "%s", PLUGIN_FOLDER "/" PLUGIN_NAME);
    if (access(path, R_OK) == 0)
        return 0;
    return error_set(err, ERROR_NOT_FOUND,
                     "there is no " PLUGIN_NAME " beside the binary or in " PLUGIN_FOLDER
                     ": `make cuda` builds it where there is nvcc");
}

struct backend *cuda_plugin_open(struct error *err)
{
    char path[PATH_MAX];
    if (find(path, err) != 0)
        return NULL;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (object == NULL) {
        (void)error_set(err, ERROR_IO, "%s", dlerror());
        return NULL;
    }
    cuda_plugin_entry entry;
    *(void **)&entry = dlsym(object, CUDA_PLUGIN_ENTRY); /* as POSIX has it */
    const struct cuda_plugin *plugin = entry == NULL ? NULL : entry(CUDA_PLUGIN_ABI);
    struct backend *backend = NULL;
    if (plugin == NULL || plugin->abi != CUDA_PLUGIN_ABI ||
        plugin->table_bytes != sizeof(struct backend_ops))
        (void)error_set(err, ERROR_UNSUPPORTED,
                        "%s is not of this build of weir: install the two together", path);
    else
        backend = plugin->open(err);
    (void)dlclose(object); /* it stays: RTLD_NODELETE */
    return backend;
}
