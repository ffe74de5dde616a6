/* SPDX-License-Identifier: Apache-2.0 */
#include "models/arch/arch.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 128

void arch_layer_done(const struct model_step *step)
{
    if (step->progress_us != NULL)
        atomic_store_explicit(step->progress_us, clock_monotonic_us(), memory_order_relaxed);
}

bool arch_loader_init(struct arch_loader *loader, const struct gguf *gguf, struct backend *backend,
                      const _Atomic bool *stop, const char *prefix)
{
    bool *taken = calloc((size_t)gguf_tensor_count(gguf) + 1, sizeof *taken);
    *loader = (struct arch_loader){
        .gguf = gguf, .backend = backend, .stop = stop, .prefix = prefix, .taken = taken};
    return taken != NULL;
}

void arch_loader_destroy(struct arch_loader *loader)
{
    free(loader->taken);
    loader->taken = NULL;
}

static void key_name(const struct arch_loader *loader, const char *suffix, char name[NAME_BYTES])
{
    (void)snprintf(name, NAME_BYTES, "%s.%s", loader->prefix, suffix);
}

/* 1 when the key is there, 0 when it is not, else a negative error. */
static int read_u32(const struct arch_loader *loader, const char *suffix, uint32_t least,
                    uint32_t most, uint32_t *ret, struct error *err)
{
    char key[NAME_BYTES];
    key_name(loader, suffix, key);
    uint64_t value;
    if (!gguf_get_u64(loader->gguf, key, &value))
        return 0;
    if (value < least || value > most)
        return error_set(err, ERROR_INVALID,
                         "key '%s' is %" PRIu64 ": from %" PRIu32 " to %" PRIu32 " is possible",
                         key, value, least, most);
    *ret = (uint32_t)value;
    return 1;
}

int arch_read_u32(const struct arch_loader *loader, const char *suffix, uint32_t least,
                  uint32_t most, uint32_t *ret, struct error *err)
{
    int code = read_u32(loader, suffix, least, most, ret, err);
    if (code == 0)
        return error_set(err, ERROR_INVALID,
                         "key '%s.%s' is missing or not one whole number: the model needs it",
                         loader->prefix, suffix);
    return code < 0 ? code : 0;
}

int arch_read_optional_u32(const struct arch_loader *loader, const char *suffix, uint32_t least,
                           uint32_t most, uint32_t *ret, struct error *err)
{
    int code = read_u32(loader, suffix, least, most, ret, err);
    return code < 0 ? code : 0;
}

int arch_read_optional_float(const struct arch_loader *loader, const char *suffix, float *ret,
                             struct error *err)
{
    char key[NAME_BYTES];
    key_name(loader, suffix, key);
    double value;
    if (!gguf_get_f64(loader->gguf, key, &value))
        return 0;
    if (!(value > 0.0) || !isfinite((float)value) || (float)value == 0.0f)
        return error_set(err, ERROR_INVALID, "key '%s' is %g: it must be above 0 and finite", key,
                         value);
    *ret = (float)value;
    return 0;
}

void arch_read_optional_bool(const struct arch_loader *loader, const char *suffix, bool *ret)
{
    char key[NAME_BYTES];
    key_name(loader, suffix, key);
    (void)gguf_get_bool(loader->gguf, key, ret);
}

bool arch_copy_string(const struct arch_loader *loader, const char *suffix, char *ret,
                      size_t ret_bytes)
{
    char key[NAME_BYTES];
    key_name(loader, suffix, key);
    return gguf_copy_string(loader->gguf, key, ret, ret_bytes);
}

static void tensor_name(uint32_t layer, const char *suffix, char name[NAME_BYTES])
{
    if (layer == ARCH_NO_LAYER)
        (void)snprintf(name, NAME_BYTES, "%s", suffix);
    else
        (void)snprintf(name, NAME_BYTES, "blk.%" PRIu32 ".%s", layer, suffix);
}

bool arch_has(const struct arch_loader *loader, uint32_t layer, const char *suffix)
{
    char name[NAME_BYTES];
    tensor_name(layer, suffix, name);
    return gguf_tensor_find(loader->gguf, name) != NULL;
}

/* The tensor, if it is there in a type that we serve and of shape {columns, rows, matrices}. */
static const struct gguf_tensor *find_shaped(struct arch_loader *loader, const char *name,
                                             const uint32_t shape[3], struct error *err)
{
    const uint64_t columns = shape[0], rows = (uint64_t)shape[1] * shape[2];
    const struct gguf_tensor *tensor = gguf_tensor_find(loader->gguf, name);
    if (tensor == NULL) {
        error_set(err, ERROR_INVALID, "tensor '%s' is missing", name);
        return NULL;
    }
    if (tensor->shape[0] != shape[0] || tensor->shape[1] != shape[1] ||
        tensor->shape[2] != shape[2] || tensor->shape[3] != 1) {
        error_set(err, ERROR_INVALID,
                  "tensor '%s' is %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64
                  ": the model's keys call for %" PRIu32 " x %" PRIu32 " x %" PRIu32,
                  name, tensor->shape[0], tensor->shape[1], tensor->shape[2], tensor->shape[3],
                  shape[0], shape[1], shape[2]);
        return NULL;
    }
    const struct quant_format *format = quant_format_find(tensor->type);
    if (format == NULL) {
        error_set(err, ERROR_UNSUPPORTED,
                  "tensor '%s' has weights of type %" PRIu32
                  ", which is not served: requantise the model to one of F32, F16, BF16, Q4_0, "
                  "Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K",
                  name, tensor->type);
        return NULL;
    }
    size_t row_bytes = quant_row_bytes(format, columns);
    if (row_bytes == 0 || tensor->bytes_count / row_bytes < rows) {
        error_set(err, ERROR_INVALID,
                  "tensor '%s': rows of %" PRIu64 " weights are not whole %s blocks, or cut short",
                  name, columns, format->name);
        return NULL;
    }
    loader->taken[tensor - gguf_tensor_at(loader->gguf, 0)] = true;
    return tensor;
}

/* Large models take minutes, and who asked for one may not want to wait for it any more. */
static bool given_up(const struct arch_loader *loader, struct error *err)
{
    if (loader->stop == NULL || !atomic_load(loader->stop))
        return false;
    (void)error_set(err, ERROR_CLOSED, "given up");
    return true;
}

struct weight *arch_matrices(struct arch_loader *loader, uint32_t layer, const char *suffix,
                             const uint32_t shape[3], struct error *err)
{
    char name[NAME_BYTES];
    if (given_up(loader, err))
        return NULL;
    tensor_name(layer, suffix, name);
    const struct gguf_tensor *tensor = find_shaped(loader, name, shape, err);
    if (tensor == NULL)
        return NULL;
    const struct weight_source source = {
        .bytes = tensor->bytes,
        .type = (enum weight_type)tensor->type,
        .rows = shape[1],
        .columns = shape[0],
        .matrices = shape[2],
    };
    struct weight *weight = loader->backend->ops->weight_prepare(loader->backend, &source, err);
    if (weight == NULL)
        error_wrap(err, "tensor '%s'", name);
    else
        loader->parameters += (uint64_t)shape[0] * shape[1] * shape[2];
    return weight;
}

struct weight *arch_matrix(struct arch_loader *loader, uint32_t layer, const char *suffix,
                           uint32_t rows, uint32_t columns, struct error *err)
{
    return arch_matrices(loader, layer, suffix, (uint32_t[]){columns, rows, 1}, err);
}

int arch_read_vector(struct arch_loader *loader, const char *name, uint32_t count, float *ret,
                     struct error *err)
{
    const struct gguf_tensor *tensor = find_shaped(loader, name, (uint32_t[]){count, 1, 1}, err);
    if (tensor == NULL)
        return err == NULL ? ERROR_INVALID : err->code;
    quant_dequantize_row(quant_format_find(tensor->type), tensor->bytes, count, ret);
    return 0;
}

float *arch_vector(struct arch_loader *loader, uint32_t layer, const char *suffix, uint32_t count,
                   struct error *err)
{
    char name[NAME_BYTES];
    tensor_name(layer, suffix, name);
    float *host = malloc(count * sizeof *host);
    if (host == NULL) {
        error_no_memory(err);
        return NULL;
    }
    float *device = NULL;
    if (arch_read_vector(loader, name, count, host, err) == 0)
        device = arch_activations(loader->backend, 1, count, err);
    if (device != NULL) {
        loader->backend->ops->copy_to_device(loader->backend, device, host, count * sizeof *host);
        loader->parameters += count;
        loader->device_bytes += count * sizeof *device;
    }
    free(host);
    return device;
}

bool arch_all_taken(const struct arch_loader *loader, struct error *err)
{
    for (uint32_t i = 0; i < gguf_tensor_count(loader->gguf); i++) {
        if (loader->taken[i])
            continue;
        struct gguf_string name = gguf_tensor_at(loader->gguf, i)->name;
        error_set(err, ERROR_UNSUPPORTED,
                  "tensor '%.*s' has no place in the architecture '%s' as implemented",
                  (int)(name.count < 64 ? name.count : 64), name.bytes, loader->prefix);
        return false;
    }
    return true;
}

int arch_vocabulary(const struct arch_loader *loader, uint32_t *ret, struct error *err)
{
    const struct gguf_tensor *tensor = gguf_tensor_find(loader->gguf, "token_embd.weight");
    if (tensor == NULL)
        return error_set(err, ERROR_INVALID, "tensor 'token_embd.weight' is missing");
    if (tensor->shape[1] == 0 || tensor->shape[1] > ARCH_VOCABULARY_MAX)
        return error_set(err, ERROR_INVALID,
                         "tensor 'token_embd.weight' has %" PRIu64
                         " rows: from 1 to %u are allowed",
                         tensor->shape[1], ARCH_VOCABULARY_MAX);
    *ret = (uint32_t)tensor->shape[1];
    return 0;
}

static uint64_t whole_units(uint64_t bytes)
{
    return (bytes + DEVICE_MEMORY_UNIT - 1) / DEVICE_MEMORY_UNIT * DEVICE_MEMORY_UNIT;
}

static bool is_vector(const struct gguf_tensor *tensor)
{
    const struct gguf_string name = tensor->name;
    const size_t count = strlen(ARCH_SHARED_ROUTER);
    return tensor->shape[1] == 1 && tensor->shape[2] == 1 &&
           (name.count < count ||
            memcmp(name.bytes + name.count - count, ARCH_SHARED_ROUTER, count) != 0);
}

uint64_t arch_weight_bytes_wanted(const struct gguf *gguf, const struct backend *backend)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < gguf_tensor_count(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        if (is_vector(tensor)) {
            bytes += whole_units(tensor->shape[0] * sizeof(float));
        } else if (tensor->shape[0] <= ARCH_WIDTH_MAX && tensor->shape[1] <= ARCH_VOCABULARY_MAX &&
                   tensor->shape[2] <= MOE_EXPERTS_MAX) {
            const struct weight_source source = {
                .bytes = tensor->bytes,
                .type = (enum weight_type)tensor->type,
                .rows = (uint32_t)tensor->shape[1],
                .columns = (uint32_t)tensor->shape[0],
                .matrices = (uint32_t)tensor->shape[2],
            };
            bytes += whole_units(backend->ops->weight_bytes_wanted(&source));
        }
    }
    return bytes;
}

int arch_memory_together(struct backend *backend, uint64_t bytes, struct error *err)
{
    return backend->ops->memory_together == NULL
               ? 0
               : backend->ops->memory_together(backend, (size_t)bytes, err);
}

float *arch_activations(struct backend *backend, uint64_t rows, uint64_t width, struct error *err)
{
    if (width != 0 && rows > SIZE_MAX / sizeof(float) / width) {
        error_no_memory(err);
        return NULL;
    }
    return backend->ops->memory_alloc(backend, (size_t)(rows * width) * sizeof(float), err);
}
