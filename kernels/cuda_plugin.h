/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_plugin.h -- the GPU behind the door of kernels/backend.h, where there is one.
 *
 * The daemon itself is linked with nothing of CUDA. kernels/cuda becomes a shared object of its
 * own, weir-cuda.so, with the CUDA runtime inside; it is looked for when a GPU is asked for:
 *
 *     $WEIR_CUDA_PLUGIN        this file and no other
 *     beside the binary        as `make` leaves it
 *     /usr/lib/weir            as the package does
 *
 * Once opened it stays for the life of the process. Any thread may call; one at a time. */
#ifndef WEIR_KERNELS_CUDA_PLUGIN_H
#define WEIR_KERNELS_CUDA_PLUGIN_H

#include "base/error.h"
#include "kernels/backend.h"

#include <stdint.h>

/* Changes with every change of the table of ops or of what its args mean. The plug-in and the
 * daemon are of one build; this tells when they are not. */
#define CUDA_PLUGIN_ABI 4u

/* What the plug-in's one exported function gives: a table that lives as long as the process. */
struct cuda_plugin {
    uint32_t abi;
    uint32_t table_bytes; /* sizeof(struct backend_ops), as the plug-in knows it */
    /* GPU 0, ready for use. NULL and err, with the remedy, where there is none or it won't do. */
    struct backend *(*open)(struct error *err);
};
/* NULL when it is made for another ABI. */
typedef const struct cuda_plugin *(*cuda_plugin_entry)(uint32_t abi);
#define CUDA_PLUGIN_ENTRY "weir_cuda_plugin"

/* NULL and err, saying what is missing and what would help. */
struct backend *cuda_plugin_open(struct error *err);

#endif
