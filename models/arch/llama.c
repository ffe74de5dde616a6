/* SPDX-License-Identifier: Apache-2.0 */
/* llama.c -- Llama 2 and 3, Mistral, Mixtral, SmolLM2 (Touvron et al. 2023), and Qwen 2 and 3.
 *
 *     tokens -> embed -> x --+-> norm -> q,k,v -> rope -> attention -> o --+--> x    layers times
 *                            |                                             |
 *                            x --+-> norm -> gate,up -> silu(gate) * up -> down --+--> x
 *                                            (or experts: experts.c)
 *     x -> norm -> head -> logits
 *
 * What a block adds to the residual stream x waits in `delta`: the next norm adds it while it reads
 * x anyway. The last layer goes on after its attention with the rows alone whose logits are wanted;
 * rows do not mix after that, so a prefill chunk in the middle of a prompt skips a layer's worth of
 * matrices, and the head.
 *
 * The file's variants: head tied to the embedding or not, biases where tensors are there, rope
 * frequencies divided by rope_freqs.weight (Llama 3.1), a sliding window, experts. Those of a
 * family are in struct arch_family. What the file holds besides is refused, for a tensor left out
 * is another model. */
#include "models/arch/arch.h"
#include "models/arch/experts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arch_family {
    enum rope_style rope;
    bool head_norms; /* each head of q and of k is normed before it is turned */
    struct experts_family experts;
};

struct projection {
    struct weight *weight;
    float *bias; /* device, or NULL */
};

struct llama_layer {
    float *attention_norm; /* device [width] */
    struct projection q, k, v, o;
    float *q_norm, *k_norm;           /* device [head_dim]; NULL but for families with head_norms */
    float *feed_forward_norm;         /* device [width] */
    struct projection gate, up, down; /* none where there are experts */
    struct experts_layer experts;
    void *cache; /* device */
};

struct arch_network {
    struct backend *backend; /* borrowed: the model's caller */
    const struct arch_family *family;
    struct model_shape shape;
    struct experts experts;
    float epsilon;
    uint32_t rotary_dims;
    uint32_t window;
    size_t device_bytes; /* of vectors */

    struct weight *embedding;
    struct llama_layer *layers; /* [shape.layers] */
    float *frequencies;         /* device [rotary_dims / 2] */
    float *output_norm;         /* device [width] */
    struct weight *head;        /* NULL: tied to the embedding */

    /* activations, device; one step's */
    float *x, *normed, *delta; /* [rows, width] */
    float *q, *attended;       /* [rows, heads, head_dim] */
    float *k, *v, *raw_k;      /* [rows, kv_heads, head_dim] */
    float *gate, *up;          /* [rows, feed_forward] */
    float *kept;               /* [outputs, width]: x of the rows whose logits are wanted */
    float *logits;             /* [outputs, vocabulary] */
};

/* -- the forward pass: first its ops in the model's words, then the figure -- */

static void norm(struct arch_network *net, float *x, uint32_t rows, const float *delta,
                 const float *gain)
{
    net->backend->ops->rms_norm(net->backend, &(struct rms_norm_args){.x = x,
                                                                      .residual = delta,
                                                                      .gain = gain,
                                                                      .epsilon = net->epsilon,
                                                                      .rows = rows,
                                                                      .width = net->shape.width,
                                                                      .out = net->normed});
}

static void project(struct arch_network *net, const float *x, uint32_t rows,
                    const struct projection *to, float *out)
{
    net->backend->ops->linear(net->backend, &(struct linear_args){.x = x,
                                                                  .rows = rows,
                                                                  .weight_count = 1,
                                                                  .weights = {to->weight},
                                                                  .biases = {to->bias},
                                                                  .outs = {out}});
}

static void norm_heads(struct arch_network *net, float *x, uint32_t heads, const float *gain,
                       float *out)
{
    net->backend->ops->rms_norm(net->backend, &(struct rms_norm_args){.x = x,
                                                                      .gain = gain,
                                                                      .epsilon = net->epsilon,
                                                                      .rows = heads,
                                                                      .width = net->shape.head_dim,
                                                                      .out = out});
}

static void project_qkv(struct arch_network *net, const struct llama_layer *layer, uint32_t rows)
{
    const bool normed = net->family->head_norms;
    float *q = normed ? net->attended : net->q, *k = normed ? net->raw_k : net->k;
    struct linear_args args = {
        .x = net->normed,
        .rows = rows,
        .weight_count = 3,
        .weights = {layer->q.weight, layer->k.weight, layer->v.weight},
        .biases = {layer->q.bias, layer->k.bias, layer->v.bias},
        .outs = {q, k, net->v},
    };
    net->backend->ops->linear(net->backend, &args);
    if (!normed)
        return;
    norm_heads(net, q, rows * net->shape.heads, layer->q_norm, net->q);
    norm_heads(net, k, rows * net->shape.kv_heads, layer->k_norm, net->k);
}

static void project_gate_up(struct arch_network *net, const struct llama_layer *layer,
                            uint32_t rows)
{
    struct linear_args args = {
        .x = net->normed,
        .rows = rows,
        .weight_count = 2,
        .weights = {layer->gate.weight, layer->up.weight},
        .biases = {layer->gate.bias, layer->up.bias},
        .outs = {net->gate, net->up},
    };
    net->backend->ops->linear(net->backend, &args);
}

static void rope(struct arch_network *net, const struct model_step *step, float *x, uint32_t heads)
{
    struct rope_args args = {
        .x = x,
        .rows = step->row_count,
        .heads = heads,
        .head_dim = net->shape.head_dim,
        .rotary_dims = net->rotary_dims,
        .style = net->family->rope,
        .frequencies = net->frequencies,
        .positions = step->positions,
        .magnitude = 1.0f,
    };
    net->backend->ops->rope(net->backend, &args);
}

static void kv_write(struct arch_network *net, const struct model_step *step, void *cache)
{
    struct kv_write_args args = {
        .k = net->k,
        .v = net->v,
        .cache = cache,
        .kv_heads = net->shape.kv_heads,
        .head_dim = net->shape.head_dim,
        .spans = step->spans,
        .span_count = step->span_count,
        .block_tables = step->block_tables,
        .format = net->backend->kv_format,
    };
    net->backend->ops->kv_write(net->backend, &args);
}

static void attention(struct arch_network *net, const struct model_step *step, const void *cache)
{
    struct attention_args args = {
        .q = net->q,
        .cache = cache,
        .heads = net->shape.heads,
        .kv_heads = net->shape.kv_heads,
        .head_dim = net->shape.head_dim,
        .scale = 1.0f / sqrtf((float)net->shape.head_dim),
        .window = net->window,
        .spans = step->spans,
        .span_count = step->span_count,
        .block_tables = step->block_tables,
        .out = net->attended,
        .format = net->backend->kv_format,
    };
    net->backend->ops->attention(net->backend, &args);
}

static void silu_gate(struct arch_network *net, uint32_t rows)
{
    struct gated_args args = {
        .gate = net->gate,
        .up = net->up,
        .count = (uint64_t)rows * net->shape.feed_forward,
        .activation = ACTIVATION_SILU,
        .out = net->gate,
    };
    net->backend->ops->gated(net->backend, &args);
}

static void feed_forward(struct arch_network *net, const struct llama_layer *layer, uint32_t rows,
                         float *out)
{
    if (net->experts.count > 0) {
        experts_forward(&net->experts, &layer->experts, net->backend, net->normed, rows, out);
        return;
    }
    project_gate_up(net, layer, rows);                /* gate, up: [rows, feed_forward] */
    silu_gate(net, rows);                             /* gate: [rows, feed_forward] */
    project(net, net->gate, rows, &layer->down, out); /* out: [rows, width] */
}

static void gather(struct arch_network *net, const struct model_step *step, const float *x,
                   uint32_t width, float *out)
{
    net->backend->ops->gather(net->backend, &(struct gather_args){.x = x,
                                                                  .rows = step->output_rows,
                                                                  .count = step->output_count,
                                                                  .width = width,
                                                                  .out = out});
}

static float *llama_forward(struct arch_network *net, const struct model_step *step)
{
    const struct model_shape *shape = &net->shape;
    uint32_t rows = step->row_count;
    float *x = net->x, *delta = NULL, *attended = net->attended;

    net->backend->ops->embed(net->backend,
                             &(struct embed_args){net->embedding, step->tokens, rows, x});

    for (uint32_t i = 0; i < shape->layers; i++) {
        const struct llama_layer *layer = &net->layers[i];

        norm(net, x, rows, delta, layer->attention_norm); /* normed: [rows, width] */
        project_qkv(net, layer, rows);                    /* q: [rows, heads, head_dim] */
        rope(net, step, net->q, shape->heads);
        rope(net, step, net->k, shape->kv_heads); /* k, v: [rows, kv_heads, head_dim] */
        kv_write(net, step, layer->cache);
        if (i + 1 == shape->layers && step->output_count == 0)
            return net->logits;             /* the cache was all that was wanted */
        attention(net, step, layer->cache); /* attended: [rows, heads, head_dim] */

        if (i + 1 == shape->layers) {
            gather(net, step, x, shape->width, net->kept); /* kept: [outputs, width] */
            gather(net, step, net->attended, shape->heads * shape->head_dim, net->q);
            x = net->kept, attended = net->q, rows = step->output_count;
        }

        delta = net->delta;
        project(net, attended, rows, &layer->o, delta);      /* delta: [rows, width] */
        norm(net, x, rows, delta, layer->feed_forward_norm); /* normed: [rows, width] */
        feed_forward(net, layer, rows, delta);               /* delta: [rows, width] */
        arch_layer_done(step);
    }

    const struct projection head = {net->head == NULL ? net->embedding : net->head, NULL};
    norm(net, x, rows, delta, net->output_norm);         /* normed: [outputs, width] */
    project(net, net->normed, rows, &head, net->logits); /* logits: [outputs, vocabulary] */
    return net->logits;
}

/* -- loading -- */

/* Keys that change the arithmetic in ways that we do not follow. */
static int refuse_variants(const struct arch_loader *loader, struct error *err)
{
    char type[32];
    if (!arch_copy_string(loader, "rope.scaling.type", type, sizeof type))
        return 0;
    if (strcmp(type, "none") == 0 || strcmp(type, "linear") == 0)
        return 0;
    return error_set(err, ERROR_UNSUPPORTED,
                     "key '%s.rope.scaling.type' is '%s': 'none' and 'linear' are implemented",
                     loader->prefix, type);
}

static int read_shape(struct arch_network *net, const struct arch_loader *loader, struct error *err)
{
    struct model_shape *shape = &net->shape;
    int code;
    if ((code = refuse_variants(loader, err)) != 0 ||
        (code = arch_vocabulary(loader, &shape->vocabulary, err)) != 0 ||
        (code = arch_read_u32(loader, "context_length", 1, ARCH_CONTEXT_MAX, &shape->context,
                              err)) != 0 ||
        (code = arch_read_u32(loader, "block_count", 1, ARCH_LAYERS_MAX, &shape->layers, err)) !=
            0 ||
        (code = arch_read_u32(loader, "embedding_length", 1, ARCH_WIDTH_MAX, &shape->width, err)) !=
            0 ||
        (code = arch_read_u32(loader, "feed_forward_length", 1, ARCH_WIDTH_MAX,
                              &shape->feed_forward, err)) != 0 ||
        (code = experts_read(loader, &net->family->experts, shape->width, shape->feed_forward,
                             &net->experts, err)) != 0)
        return code;
    if (net->experts.count > 0) {
        shape->feed_forward = net->experts.shared_hidden;
        shape->experts = net->experts.count;
        shape->experts_per_token = net->experts.top_k;
        shape->expert_columns_max =
            shape->width > net->experts.hidden ? shape->width : net->experts.hidden;
    }
    return 0;
}

static int read_attention(struct arch_network *net, const struct arch_loader *loader,
                          struct error *err)
{
    struct model_shape *shape = &net->shape;
    int code = arch_read_u32(loader, "attention.head_count", 1, ARCH_WIDTH_MAX, &shape->heads, err);
    if (code != 0)
        return code;
    shape->kv_heads = shape->heads;
    shape->head_dim = shape->width / shape->heads;
    if ((code = arch_read_optional_u32(loader, "attention.head_count_kv", 1, shape->heads,
                                       &shape->kv_heads, err)) != 0 ||
        (code = arch_read_optional_u32(loader, "attention.key_length", 1, ARCH_HEAD_DIM_MAX,
                                       &shape->head_dim, err)) != 0)
        return code;
    uint32_t value_dim = shape->head_dim;
    if ((code = arch_read_optional_u32(loader, "attention.value_length", 1, ARCH_HEAD_DIM_MAX,
                                       &value_dim, err)) != 0 ||
        (code = arch_read_optional_u32(loader, "attention.sliding_window", 0, ARCH_CONTEXT_MAX,
                                       &net->window, err)) != 0)
        return code;
    if (shape->heads % shape->kv_heads != 0)
        return error_set(err, ERROR_INVALID,
                         "key '%s.attention.head_count_kv' is %u: it must divide the %u heads",
                         loader->prefix, shape->kv_heads, shape->heads);
    if (shape->head_dim == 0 || shape->head_dim > ARCH_HEAD_DIM_MAX || shape->head_dim % 2 != 0 ||
        (uint64_t)shape->heads * shape->head_dim > ARCH_WIDTH_MAX)
        return error_set(err, ERROR_INVALID, "%u heads of %u: not a size that attention can have",
                         shape->heads, shape->head_dim);
    if (value_dim != shape->head_dim)
        return error_set(err, ERROR_UNSUPPORTED,
                         "key '%s.attention.value_length' is %u: values as wide as keys, %u, are "
                         "implemented",
                         loader->prefix, value_dim, shape->head_dim);
    net->epsilon = 0.0f;
    code = arch_read_optional_float(loader, "attention.layer_norm_rms_epsilon", &net->epsilon, err);
    if (code == 0 && net->epsilon == 0.0f)
        return error_set(err, ERROR_INVALID, "key '%s.attention.layer_norm_rms_epsilon' is missing",
                         loader->prefix);
    return code;
}

/* base^(-2i/dims) in device memory, scaled and divided as the file asks. */
static int load_frequencies(struct arch_network *net, struct arch_loader *loader, struct error *err)
{
    float base = 10000.0f, scale = 1.0f;
    net->rotary_dims = net->shape.head_dim;
    int code;
    if ((code = arch_read_optional_u32(loader, "rope.dimension_count", 2, net->shape.head_dim,
                                       &net->rotary_dims, err)) != 0 ||
        (code = arch_read_optional_float(loader, "rope.freq_base", &base, err)) != 0 ||
        (code = arch_read_optional_float(loader, "rope.scale_linear", &scale, err)) != 0)
        return code;
    char type[8];
    if (arch_copy_string(loader, "rope.scaling.type", type, sizeof type) &&
        strcmp(type, "linear") == 0 &&
        (code = arch_read_optional_float(loader, "rope.scaling.factor", &scale, err)) != 0)
        return code;
    if (net->rotary_dims % 2 != 0)
        return error_set(err, ERROR_INVALID, "key '%s.rope.dimension_count' is %u: it is even",
                         loader->prefix, net->rotary_dims);
    const uint32_t half = net->rotary_dims / 2;
    float frequencies[ARCH_HEAD_DIM_MAX / 2], factors[ARCH_HEAD_DIM_MAX / 2];
    const bool has_factors = arch_has(loader, ARCH_NO_LAYER, "rope_freqs.weight");
    if (has_factors &&
        (code = arch_read_vector(loader, "rope_freqs.weight", half, factors, err)) != 0)
        return code;
    for (uint32_t i = 0; i < half; i++) {
        double frequency = pow(base, -2.0 * i / net->rotary_dims) / scale;
        if (has_factors)
            frequency /= factors[i];
        if (!(frequency >= 0.0 && frequency <= ROPE_FREQUENCY_MAX))
            return error_set(err, ERROR_INVALID,
                             "rope frequency %u is %g: look at 'rope_freqs.weight' and the keys "
                             "'%s.rope.*'",
                             i, frequency, loader->prefix);
        frequencies[i] = (float)frequency;
    }
    net->frequencies = arch_activations(net->backend, 1, half, err);
    if (net->frequencies == NULL)
        return ERROR_NO_MEMORY;
    net->backend->ops->copy_to_device(net->backend, net->frequencies, frequencies,
                                      half * sizeof *frequencies);
    return 0;
}

/* The matrix <stem>.weight, and the vector <stem>.bias if the file has it. */
static bool load_projection(struct arch_loader *loader, uint32_t layer, const char *stem,
                            const uint32_t size[2], struct projection *ret, struct error *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.weight", stem);
    ret->weight = arch_matrix(loader, layer, name, size[0], size[1], err);
    if (ret->weight == NULL)
        return false;
    (void)snprintf(name, sizeof name, "%s.bias", stem);
    if (!arch_has(loader, layer, name))
        return true;
    ret->bias = arch_vector(loader, layer, name, size[0], err);
    return ret->bias != NULL;
}

static bool load_head_norms(struct arch_network *net, struct arch_loader *loader, uint32_t index,
                            struct error *err)
{
    struct llama_layer *layer = &net->layers[index];
    layer->q_norm = arch_vector(loader, index, "attn_q_norm.weight", net->shape.head_dim, err);
    if (layer->q_norm == NULL)
        return false;
    layer->k_norm = arch_vector(loader, index, "attn_k_norm.weight", net->shape.head_dim, err);
    return layer->k_norm != NULL;
}

#define ATTENTION_PROJECTIONS 4
#define PROJECTIONS           7

static bool load_layer(struct arch_network *net, struct arch_loader *loader, uint32_t index,
                       struct error *err)
{
    const struct model_shape *shape = &net->shape;
    struct llama_layer *layer = &net->layers[index];
    const uint32_t width = shape->width, hidden = shape->feed_forward;
    const uint32_t q_width = shape->heads * shape->head_dim;
    const uint32_t kv_width = shape->kv_heads * shape->head_dim;
    const struct {
        const char *stem;
        uint32_t size[2]; /* rows, columns */
        struct projection *to;
    } projections[PROJECTIONS] = {
        {"attn_q", {q_width, width}, &layer->q},     {"attn_k", {kv_width, width}, &layer->k},
        {"attn_v", {kv_width, width}, &layer->v},    {"attn_output", {width, q_width}, &layer->o},
        {"ffn_gate", {hidden, width}, &layer->gate}, {"ffn_up", {hidden, width}, &layer->up},
        {"ffn_down", {width, hidden}, &layer->down},
    };
    layer->attention_norm = arch_vector(loader, index, "attn_norm.weight", width, err);
    if (layer->attention_norm == NULL)
        return false;
    layer->feed_forward_norm = arch_vector(loader, index, "ffn_norm.weight", width, err);
    if (layer->feed_forward_norm == NULL)
        return false;
    if (net->family->head_norms && !load_head_norms(net, loader, index, err))
        return false;
    if (net->experts.count > 0 &&
        !experts_load_layer(&net->experts, loader, index, &layer->experts, err))
        return false;
    const size_t wanted = net->experts.count > 0 ? ATTENTION_PROJECTIONS : PROJECTIONS;
    for (size_t i = 0; i < wanted; i++)
        if (!load_projection(loader, index, projections[i].stem, projections[i].size,
                             projections[i].to, err))
            return false;
    return true;
}

static bool load_ends(struct arch_network *net, struct arch_loader *loader, struct error *err)
{
    const struct model_shape *shape = &net->shape;
    net->embedding = arch_matrix(loader, ARCH_NO_LAYER, "token_embd.weight", shape->vocabulary,
                                 shape->width, err);
    if (net->embedding == NULL)
        return false;
    net->output_norm = arch_vector(loader, ARCH_NO_LAYER, "output_norm.weight", shape->width, err);
    if (net->output_norm == NULL)
        return false;
    if (!arch_has(loader, ARCH_NO_LAYER, "output.weight"))
        return true;
    net->head =
        arch_matrix(loader, ARCH_NO_LAYER, "output.weight", shape->vocabulary, shape->width, err);
    return net->head != NULL;
}

#define OWN_ACTIVATIONS 12
#define ACTIVATIONS     (OWN_ACTIVATIONS + EXPERTS_ACTIVATIONS)

static void list_activations(struct arch_network *net, struct arch_activation ret[ACTIVATIONS])
{
    const struct model_shape *shape = &net->shape;
    const uint32_t q_width = shape->heads * shape->head_dim;
    const uint32_t kv_width = shape->kv_heads * shape->head_dim;
    const uint32_t hidden = net->experts.count > 0 ? 0 : shape->feed_forward;
    const struct arch_activation list[OWN_ACTIVATIONS] = {
        {&net->x, false, shape->width},
        {&net->normed, false, shape->width},
        {&net->delta, false, shape->width},
        {&net->q, false, q_width},
        {&net->attended, false, q_width},
        {&net->k, false, kv_width},
        {&net->v, false, kv_width},
        {&net->raw_k, false, net->family->head_norms ? kv_width : 0},
        {&net->gate, false, hidden},
        {&net->up, false, hidden},
        {&net->kept, true, shape->width},
        {&net->logits, true, shape->vocabulary},
    };
    memcpy(ret, list, sizeof list);
    experts_list_activations(&net->experts, ret + OWN_ACTIVATIONS);
}

static void layer_destroy(struct arch_network *net, struct llama_layer *layer)
{
    const struct backend_ops *ops = net->backend->ops;
    struct projection *projections[] = {&layer->q,    &layer->k,  &layer->v,   &layer->o,
                                        &layer->gate, &layer->up, &layer->down};
    for (size_t i = 0; i < sizeof projections / sizeof *projections; i++) {
        ops->weight_free(net->backend, projections[i]->weight);
        ops->memory_free(net->backend, projections[i]->bias);
    }
    experts_destroy_layer(&layer->experts, net->backend);
    ops->memory_free(net->backend, layer->attention_norm);
    ops->memory_free(net->backend, layer->q_norm);
    ops->memory_free(net->backend, layer->k_norm);
    ops->memory_free(net->backend, layer->feed_forward_norm);
    ops->memory_free(net->backend, layer->cache);
}

static void llama_free(struct arch_network *net)
{
    if (net == NULL)
        return;
    const struct backend_ops *ops = net->backend->ops;
    for (uint32_t i = 0; net->layers != NULL && i < net->shape.layers; i++)
        layer_destroy(net, &net->layers[i]);
    free(net->layers);
    ops->weight_free(net->backend, net->embedding);
    ops->weight_free(net->backend, net->head);
    struct arch_activation activations[ACTIVATIONS];
    list_activations(net, activations);
    for (size_t i = 0; i < ACTIVATIONS; i++)
        ops->memory_free(net->backend, *activations[i].to);
    experts_destroy(&net->experts, net->backend);
    ops->memory_free(net->backend, net->frequencies);
    ops->memory_free(net->backend, net->output_norm);
    free(net);
}

static bool load_weights(struct arch_network *net, struct arch_loader *loader, struct error *err)
{
    const struct backend *backend = net->backend;
    if (load_frequencies(net, loader, err) != 0 ||
        (net->experts.count > 0 && !experts_load(&net->experts, loader, err)))
        return false;
    /* From here on tensors alone: the piece has no room for more. */
    if (backend->ops->memory_together != NULL &&
        arch_memory_together(net->backend, arch_weight_bytes_wanted(loader->gguf, backend), err) !=
            0)
        return false;
    if (!load_ends(net, loader, err))
        return false;
    for (uint32_t i = 0; i < net->shape.layers; i++)
        if (!load_layer(net, loader, i, err))
            return false;
    return arch_all_taken(loader, err);
}

static size_t kv_block_bytes(const struct model_shape *shape, const struct backend *backend)
{
    return (size_t)shape->layers * 2 * shape->kv_heads *
           kv_slice_bytes(backend->kv_format, shape->head_dim);
}

static struct arch_network *llama_load(const struct arch *arch, const struct gguf *gguf,
                                       struct backend *backend, const _Atomic bool *stop,
                                       struct model_shape *ret_shape, struct error *err)
{
    struct arch_loader loader;
    struct arch_network *net = calloc(1, sizeof *net);
    if (net == NULL || !arch_loader_init(&loader, gguf, backend, stop, arch->name)) {
        free(net);
        error_no_memory(err);
        return NULL;
    }
    net->backend = backend;
    net->family = arch->family;
    bool loaded = read_shape(net, &loader, err) == 0 && read_attention(net, &loader, err) == 0;
    if (loaded) {
        net->layers = calloc(net->shape.layers, sizeof *net->layers);
        if (net->layers == NULL)
            error_no_memory(err);
        loaded = net->layers != NULL && load_weights(net, &loader, err);
    }
    arch_loader_destroy(&loader);
    (void)arch_memory_together(backend, 0, NULL);
    if (!loaded) {
        llama_free(net);
        return NULL;
    }
    net->device_bytes = loader.device_bytes;
    net->shape.parameters = loader.parameters;
    net->shape.kv_block_bytes = kv_block_bytes(&net->shape, backend);
    *ret_shape = net->shape;
    return net;
}

static size_t llama_weight_bytes(const struct arch_network *net)
{
    const struct backend_ops *ops = net->backend->ops;
    size_t bytes = net->device_bytes + ops->weight_bytes(net->embedding);
    if (net->head != NULL)
        bytes += ops->weight_bytes(net->head);
    for (uint32_t i = 0; i < net->shape.layers; i++) {
        const struct llama_layer *layer = &net->layers[i];
        bytes += ops->weight_bytes(layer->q.weight) + ops->weight_bytes(layer->k.weight) +
                 ops->weight_bytes(layer->v.weight) + ops->weight_bytes(layer->o.weight);
        bytes += experts_layer_bytes(&layer->experts, net->backend);
        if (net->experts.count == 0)
            bytes += ops->weight_bytes(layer->gate.weight) + ops->weight_bytes(layer->up.weight) +
                     ops->weight_bytes(layer->down.weight);
    }
    return bytes;
}

static uint32_t columns_max(const struct model_shape *shape)
{
    uint32_t most = shape->heads * shape->head_dim;
    if (most < shape->width)
        most = shape->width;
    return most < shape->feed_forward ? shape->feed_forward : most;
}

static uint32_t llama_columns_max(const struct arch_network *net)
{
    return columns_max(&net->shape);
}

static int reserve_cache(struct arch_network *net, uint32_t blocks, struct error *err)
{
    const struct model_shape *shape = &net->shape;
    const size_t block_bytes = shape->kv_block_bytes / shape->layers;
    if (blocks > SIZE_MAX / shape->kv_block_bytes)
        return error_no_memory(err);
    int code = arch_memory_together(net->backend, blocks * shape->kv_block_bytes, err);
    for (uint32_t i = 0; i < shape->layers && code == 0; i++) {
        net->layers[i].cache =
            net->backend->ops->memory_alloc(net->backend, blocks * block_bytes, err);
        if (net->layers[i].cache == NULL)
            code = ERROR_NO_MEMORY;
    }
    (void)arch_memory_together(net->backend, 0, NULL);
    return code == 0 ? 0 : error_wrap(err, "a KV cache of %u blocks", blocks);
}

static int llama_reserve(struct arch_network *net, const struct model_limits *limits,
                         struct error *err)
{
    struct arch_activation activations[ACTIVATIONS];
    list_activations(net, activations);
    for (size_t i = 0; i < ACTIVATIONS; i++) {
        const struct arch_activation *each = &activations[i];
        if (each->width == 0)
            continue;
        *each->to = arch_activations(net->backend,
                                     each->per_output ? limits->outputs_max : limits->rows_max,
                                     each->width, err);
        if (*each->to == NULL)
            return error_wrap(err, "activations for steps of %u rows", limits->rows_max);
    }
    return reserve_cache(net, limits->blocks, err);
}

static int llama_read_needs(const struct arch *arch, const struct gguf *gguf,
                            const struct backend *backend, struct model_needs *ret,
                            struct error *err)
{
    struct arch_loader loader = {.gguf = gguf, .prefix = arch->name};
    struct arch_network net = {.family = arch->family};
    struct arch_activation activations[ACTIVATIONS];
    int code = read_shape(&net, &loader, err);
    if (code == 0)
        code = read_attention(&net, &loader, err);
    if (code != 0)
        return code;
    net.shape.kv_block_bytes = kv_block_bytes(&net.shape, backend);
    *ret = (struct model_needs){
        .shape = net.shape,
        .weight_bytes = arch_weight_bytes_wanted(gguf, backend),
        .columns_max = columns_max(&net.shape),
    };
    list_activations(&net, activations);
    for (size_t i = 0; i < ACTIVATIONS; i++)
        *(activations[i].per_output ? &ret->output_bytes : &ret->row_bytes) +=
            activations[i].width * sizeof(float);
    return 0;
}

/* -- families -- */

static const struct arch_family llama = {
    .rope = ROPE_NORM,
    .experts = {EXPERTS_BY_FILE, .renormalise = true},
};
static const struct arch_family qwen2 = {.rope = ROPE_NEOX};
static const struct arch_family qwen3 = {.rope = ROPE_NEOX, .head_norms = true};
static const struct arch_family qwen2moe = {
    .rope = ROPE_NEOX,
    .experts = {EXPERTS_ALWAYS, .shared = true, .hidden_is_cut = true},
};
static const struct arch_family qwen3moe = {
    .rope = ROPE_NEOX,
    .head_norms = true,
    .experts = {EXPERTS_ALWAYS, .renormalise = true, .hidden_is_cut = true},
};

#define LLAMA_ARCH(family_name)                                                                    \
    {                                                                                              \
        .name = #family_name, .family = &family_name, .load = llama_load, .free = llama_free,      \
        .weight_bytes = llama_weight_bytes, .reserve = llama_reserve,                              \
        .read_needs = llama_read_needs, .columns_max = llama_columns_max, .forward = llama_forward \
    }

const struct arch arch_llama = LLAMA_ARCH(llama);
const struct arch arch_qwen2 = LLAMA_ARCH(qwen2);
const struct arch arch_qwen2moe = LLAMA_ARCH(qwen2moe);
const struct arch arch_qwen3 = LLAMA_ARCH(qwen3);
const struct arch arch_qwen3moe = LLAMA_ARCH(qwen3moe);
