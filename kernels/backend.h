/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h -- the only door to a device.
 *
 * A backend is a table of operations in the words of a transformer. The forward pass calls them
 * top to bottom and cannot tell a CPU from a GPU:
 *
 *  - Pointers named `device` come from memory_alloc(); the caller does not follow them, unless the
 *    device shares the host's memory.
 *  - Ops are enqueued on the backend's stream and run in order. They allocate nothing, fail never
 *    (what can was checked when memory and weights were made) and do not wait;
 *    copy_from_device() and synchronize() do.
 *  - Activations are [rows, width] row-major float32 unless said otherwise; a row is a token.
 *  - Small index arrays (tokens, positions, spans, block tables) are host arrays, copied at once;
 *    step_begin() tells those that the ops of a step share, so that they travel once.
 *
 * Batch invariance, the rule that every implementation keeps: row r of a result depends on row r
 * of the inputs alone, bit for bit, whatever the number of rows or spans in the call: reductions
 * run in an order fixed by the row's own shape. The scalar code of kernels/cpu defines each op.
 * One thread, the engine's, calls a backend after backend_open(); weight_prepare() too. */
#ifndef WEIR_KERNELS_BACKEND_H
#define WEIR_KERNELS_BACKEND_H

#include "base/error.h"
#include "kernels/draw_args.h"
#include "kernels/moe_args.h"
#include "kernels/op_args.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;

struct backend_ops {
    const char *name; /* "cpu-avx2" */
    /* `device` pointers may be followed when copy_from_device() would give what is there. */
    bool shares_memory;

    void *(*memory_alloc)(struct backend *backend, size_t bytes, struct error *err); /* zeroed */
    void (*memory_free)(struct backend *backend, void *device); /* NULL is fine */
    void (*copy_to_device)(struct backend *backend, void *device, const void *host, size_t bytes);
    /* Waits until everything enqueued before it is done. */
    void (*copy_from_device)(struct backend *backend, void *host, const void *device, size_t bytes);
    /* 0; ERROR_IO: nothing computed since the last success counts; ERROR_CLOSED: nor will anything
     * that this process asks of the device. */
    int (*synchronize)(struct backend *backend, struct error *err);

    struct weight *(*weight_prepare)(struct backend *backend, const struct weight_source *source,
                                     struct error *err);
    void (*weight_free)(struct backend *backend, struct weight *weight); /* NULL is fine */
    size_t (*weight_bytes)(const struct weight *weight); /* memory beyond the mapped file */
    /* Sizes the backend's own scratch for steps up to this; before the first op, once. */
    int (*reserve)(struct backend *backend, const struct reserve_args *args, struct error *err);

    /* A device that shares the host's memory has none of these four: they are NULL.
     * What the device has, now. False when it does not answer. */
    bool (*memory_room)(struct backend *backend, struct device_room *ret);
    /* What weight_prepare() would take; 0: a type that it cannot serve. */
    size_t (*weight_bytes_wanted)(const struct weight_source *source);
    /* What reserve() would take. ERROR_UNSUPPORTED as there. */
    int (*reserve_bytes)(const struct reserve_args *args, uint64_t *ret, struct error *err);
    /* What is taken from now on lies in one piece, up to so many bytes; 0 ends it. */
    int (*memory_together)(struct backend *backend, size_t bytes, struct error *err);

    void (*step_begin)(struct backend *backend, const struct step_args *args);
    /* Steps of decodes alone, one row each and a token wanted of it, are alike. A device that can
     * do one again without its ops being called has these three, else they are NULL.
     * After step_begin(), true: that is done, and no op is to be called. False: they are, and
     * step_learn() behind the last. Which they are must follow from `caller` and the step's
     * row_count; rows behind the last span are padding, for which nothing is written to the cache
     * and whose results are anything. */
    bool (*step_repeat)(struct backend *backend, const void *caller);
    bool (*step_learn)(struct backend *backend);                /* false: call the ops once more */
    void (*repeat_steps)(struct backend *backend, bool repeat); /* at first it does */
    void (*embed)(struct backend *backend, const struct embed_args *args);
    void (*rms_norm)(struct backend *backend, const struct rms_norm_args *args);
    void (*layer_norm)(struct backend *backend, const struct layer_norm_args *args);
    void (*add)(struct backend *backend, const struct add_args *args);
    void (*linear)(struct backend *backend, const struct linear_args *args);
    void (*rope)(struct backend *backend, const struct rope_args *args);
    void (*kv_write)(struct backend *backend, const struct kv_write_args *args);
    void (*attention)(struct backend *backend, const struct attention_args *args);
    void (*gated)(struct backend *backend, const struct gated_args *args);
    void (*moe_route)(struct backend *backend, const struct moe_route_args *args);
    void (*moe_linear)(struct backend *backend, const struct moe_linear_args *args);
    void (*moe_combine)(struct backend *backend, const struct moe_combine_args *args);
    void (*gather)(struct backend *backend, const struct gather_args *args);

    /* A device that draws no tokens has none of these three. drawn() waits for the oldest draw()
     * that it has not told of, of which there may be two, and for nothing behind it; its code is
     * as synchronize()'s. */
    void (*draw)(struct backend *backend, const struct draw_args *args);
    int (*drawn)(struct backend *backend, struct drawn *ret, uint32_t row_count, struct error *err);
    /* After step_begin(): the step's first tokens are what the last draw() gives these rows of
     * its; host [row_count]. */
    void (*feed)(struct backend *backend, const uint32_t *draw_rows, uint32_t row_count);

    void (*close)(struct backend *backend);
};

/* Every backend begins with this; the rest is its own. */
struct backend {
    const struct backend_ops *ops;
    enum kv_format kv_format; /* of the caches of models that run on it; fixed when it was opened */
};

enum cpu_level { CPU_LEVEL_AUTO, CPU_LEVEL_SCALAR, CPU_LEVEL_AVX2, CPU_LEVEL_AVX512 };

struct backend_config {
    const char *device;   /* "auto", "cpu" or "cuda" */
    uint32_t threads;     /* of the compute pool, the calling thread included; 0: one a core */
    enum cpu_level level; /* AUTO: the best the processor has; a higher one fails with an error */
    /* With "auto": why it is the CPU, under a code that is not 0. NULL: nobody asks. */
    struct error *no_gpu;
    enum kv_format kv_format;
};

/* NULL and err on failure. Freed by backend_close(). */
struct backend *backend_open(const struct backend_config *config, struct error *err);
void backend_close(struct backend *backend); /* NULL is fine */

#endif
