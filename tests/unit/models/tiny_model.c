/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/models/tiny_model.h"

#include "tests/unit/models/gguf_builder.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT 32u

struct build {
    const struct tiny_model *tiny;
    struct gguf_builder builder;
    struct text weights;
    uint64_t random; /* SplitMix64 */
};

struct tiny_model tiny_model_default(void)
{
    return (struct tiny_model){.architecture = "llama",
                               .layers = 2,
                               .width = 64,
                               .heads = 4,
                               .kv_heads = 2,
                               .head_dim = 16,
                               .feed_forward = 96,
                               .context = 512,
                               .type = WEIGHT_F32,
                               .seed = 1};
}

struct tiny_model tiny_model_mixtral(void)
{
    struct tiny_model tiny = tiny_model_default();
    tiny.experts = 5;
    tiny.top_k = 2;
    tiny.expert_hidden = tiny.feed_forward;
    return tiny;
}

struct tiny_model tiny_model_qwen2moe(void)
{
    struct tiny_model tiny = tiny_model_mixtral();
    tiny.architecture = "qwen2moe";
    tiny.biases = tiny.untied = true;
    tiny.expert_hidden = 32;
    tiny.shared_hidden = 64;
    return tiny;
}

struct tiny_model tiny_model_qwen3moe(void)
{
    struct tiny_model tiny = tiny_model_mixtral();
    tiny.architecture = "qwen3moe";
    tiny.head_norms = true;
    tiny.expert_hidden = 64;
    return tiny;
}

static uint32_t random_bits(struct build *build)
{
    uint64_t z = build->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static float random_weight(struct build *build, float size)
{
    return ((float)(random_bits(build) >> 8) / (float)(1 << 23) - 1.0f) * size;
}

static bool is(const char *name, const char *other)
{
    return other != NULL && strcmp(name, other) == 0;
}

/* The key <architecture>.<suffix>. */
static void put_u32(struct build *build, const char *suffix, uint32_t value)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s.%s", build->tiny->architecture, suffix);
    if (is(key, build->tiny->left_out))
        return;
    if (is(key, build->tiny->changed_key))
        value = build->tiny->changed_value;
    gguf_builder_u32(&build->builder, key, value);
}

static void put_f32(struct build *build, const char *suffix, float value)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s.%s", build->tiny->architecture, suffix);
    if (is(key, build->tiny->left_out))
        return;
    gguf_builder_key(&build->builder, key, 6);
    text_append(&build->builder.keys, &value, sizeof value);
}

/* One block's worth of weights of about `size`. */
static void put_block(struct build *build, enum weight_type type, float size)
{
    float weight = random_weight(build, size);
    uint16_t half = quant_float_to_half(weight);
    uint16_t scale = quant_float_to_half(type == WEIGHT_Q8_0 ? size / 127.0f : size / 8.0f);
    switch (type) {
    case WEIGHT_F32:
        text_append(&build->weights, &weight, sizeof weight);
        return;
    case WEIGHT_F16:
        text_append(&build->weights, &half, sizeof half);
        return;
    default:
        assert(type == WEIGHT_Q8_0 || type == WEIGHT_Q4_0);
        text_append(&build->weights, &scale, sizeof scale);
        for (int i = 0; i < (type == WEIGHT_Q8_0 ? 32 : 16); i++)
            text_append_char(&build->weights, (char)random_bits(build));
        return;
    }
}

/* shape: columns, rows, matrices. */
static void put_matrices(struct build *build, const char *name, enum weight_type type,
                         const uint32_t shape[3])
{
    const struct quant_format *format = quant_format_find(type);
    const float size = shape[1] == 1 ? 1.0f : 0.25f;
    while (build->weights.count % ALIGNMENT != 0)
        text_append_char(&build->weights, 0);
    if (is(name, build->tiny->left_out))
        return;
    uint32_t type_id = is(name, build->tiny->retyped) ? build->tiny->retyped_as : type;
    gguf_builder_matrices(&build->builder, name, shape, type_id, build->weights.count);
    for (uint64_t i = 0; i < (uint64_t)shape[0] / format->block_weights * shape[1] * shape[2]; i++)
        put_block(build, type, size);
}

static void put_tensor(struct build *build, const char *name, enum weight_type type,
                       uint32_t columns, uint32_t rows)
{
    put_matrices(build, name, type, (uint32_t[]){columns, rows, 1});
}

/* Llama 3.1's: what divides the rope frequencies, 1 and more. */
static void put_rope_factors(struct build *build)
{
    float factors[512];
    const uint32_t count = build->tiny->head_dim / 2;
    for (uint32_t i = 0; i < count; i++)
        factors[i] = 1.0f + (float)i;
    while (build->weights.count % ALIGNMENT != 0)
        text_append_char(&build->weights, 0);
    gguf_builder_tensor(&build->builder, "rope_freqs.weight", count, 1, WEIGHT_F32,
                        build->weights.count);
    text_append(&build->weights, factors, count * sizeof *factors);
}

static void put_experts(struct build *build, uint32_t layer)
{
    const struct tiny_model *tiny = build->tiny;
    const uint32_t width = tiny->width, hidden = tiny->expert_hidden, count = tiny->experts;
    const uint32_t shared = tiny->shared_hidden;
    const struct {
        const char *stem;
        enum weight_type type;
        uint32_t shape[3];
    } matrices[] = {
        {"ffn_gate_inp", WEIGHT_F32, {width, count, 1}},
        {"ffn_gate_exps", tiny->type, {width, hidden, count}},
        {"ffn_up_exps", tiny->type, {width, hidden, count}},
        {"ffn_down_exps", tiny->type, {hidden, width, count}},
        {"ffn_gate_inp_shexp", WEIGHT_F32, {width, 1, 1}},
        {"ffn_gate_shexp", tiny->type, {width, shared, 1}},
        {"ffn_up_shexp", tiny->type, {width, shared, 1}},
        {"ffn_down_shexp", tiny->type, {shared, width, 1}},
    };
    char name[64];
    for (size_t i = 0; i < (shared > 0 ? 8 : 4); i++) {
        (void)snprintf(name, sizeof name, "blk.%u.%s.weight", layer, matrices[i].stem);
        put_matrices(build, name, matrices[i].type, matrices[i].shape);
    }
}

static void put_layer(struct build *build, uint32_t layer)
{
    const struct tiny_model *tiny = build->tiny;
    const uint32_t width = tiny->width, hidden = tiny->feed_forward;
    const uint32_t q = tiny->heads * tiny->head_dim, kv = tiny->kv_heads * tiny->head_dim;
    const struct {
        const char *stem;
        uint32_t columns, rows;
    } matrices[] = {
        {"attn_q", width, q},        {"attn_k", width, kv},       {"attn_v", width, kv},
        {"attn_output", q, width},   {"ffn_gate", width, hidden}, {"ffn_up", width, hidden},
        {"ffn_down", hidden, width},
    };
    char name[64];
    (void)snprintf(name, sizeof name, "blk.%u.attn_norm.weight", layer);
    put_tensor(build, name, WEIGHT_F32, width, 1);
    (void)snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", layer);
    put_tensor(build, name, WEIGHT_F32, width, 1);
    (void)snprintf(name, sizeof name, "blk.%u.attn_q_norm.weight", layer);
    if (tiny->head_norms)
        put_tensor(build, name, WEIGHT_F32, tiny->head_dim, 1);
    (void)snprintf(name, sizeof name, "blk.%u.attn_k_norm.weight", layer);
    if (tiny->head_norms)
        put_tensor(build, name, WEIGHT_F32, tiny->head_dim, 1);
    if (tiny->experts > 0)
        put_experts(build, layer);
    for (size_t i = 0; i < (tiny->experts > 0 ? 4 : 7); i++) {
        (void)snprintf(name, sizeof name, "blk.%u.%s.weight", layer, matrices[i].stem);
        put_tensor(build, name, tiny->type, matrices[i].columns, matrices[i].rows);
        (void)snprintf(name, sizeof name, "blk.%u.%s.bias", layer, matrices[i].stem);
        if (tiny->biases)
            put_tensor(build, name, WEIGHT_F32, matrices[i].rows, 1);
    }
}

/* GPT-2's spelling of bytes: those that print stand for themselves, others from U+0100 on. */
static void put_vocabulary(struct build *build)
{
    char spelled[256][5] = {{0}};
    const char *tokens[TINY_VOCABULARY];
    int32_t types[TINY_VOCABULARY];
    uint32_t moved = 0;
    for (uint32_t byte = 0; byte < 256; byte++) {
        bool prints = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
        (void)utf8_encode(prints ? byte : 0x100 + moved++, spelled[byte]);
        tokens[byte] = spelled[byte];
        types[byte] = 1;
    }
    tokens[256] = "he", types[256] = 1;
    tokens[257] = "<|endoftext|>", types[257] = 3;
    tokens[258] = "<|im_end|>", types[258] = 3;
    gguf_builder_string(&build->builder, "tokenizer.ggml.model", "gpt2");
    gguf_builder_string(&build->builder, "tokenizer.ggml.pre", "smollm");
    gguf_builder_strings(&build->builder, "tokenizer.ggml.tokens", tokens, TINY_VOCABULARY);
    gguf_builder_i32s(&build->builder, "tokenizer.ggml.token_type", types, TINY_VOCABULARY);
    gguf_builder_strings(&build->builder, "tokenizer.ggml.merges", &(const char *){"h e"}, 1);
    gguf_builder_u32(&build->builder, "tokenizer.ggml.bos_token_id", 257);
    gguf_builder_u32(&build->builder, "tokenizer.ggml.eos_token_id", 258);
}

static void put_keys(struct build *build)
{
    const struct tiny_model *tiny = build->tiny;
    gguf_builder_string(&build->builder, "general.architecture", tiny->architecture);
    put_u32(build, "context_length", tiny->context);
    put_u32(build, "block_count", tiny->layers);
    put_u32(build, "embedding_length", tiny->width);
    put_u32(build, "feed_forward_length", tiny->feed_forward);
    put_u32(build, "attention.head_count", tiny->heads);
    put_u32(build, "attention.head_count_kv", tiny->kv_heads);
    put_u32(build, "attention.key_length", tiny->head_dim);
    put_u32(build, "rope.dimension_count", tiny->head_dim);
    put_f32(build, "attention.layer_norm_rms_epsilon", 1e-5f);
    if (tiny->experts > 0) {
        put_u32(build, "expert_count", tiny->experts);
        put_u32(build, "expert_used_count", tiny->top_k);
        put_u32(build, "expert_feed_forward_length", tiny->expert_hidden);
        put_u32(build, "expert_gating_func", 1);
    }
    if (tiny->shared_hidden > 0)
        put_u32(build, "expert_shared_feed_forward_length", tiny->shared_hidden);
    put_vocabulary(build);
}

void tiny_model_build(const struct tiny_model *tiny, struct text *out)
{
    struct build build = {.tiny = tiny, .random = tiny->seed};
    gguf_builder_init(&build.builder);
    text_init(&build.weights);
    put_keys(&build);
    put_tensor(&build, "token_embd.weight", tiny->type, tiny->width, TINY_VOCABULARY);
    put_tensor(&build, "output_norm.weight", WEIGHT_F32, tiny->width, 1);
    if (tiny->untied)
        put_tensor(&build, "output.weight", tiny->type, tiny->width, TINY_VOCABULARY);
    if (tiny->rope_factors)
        put_rope_factors(&build);
    if (tiny->added_tensor != NULL)
        put_tensor(&build, tiny->added_tensor, WEIGHT_F32, tiny->width, 1);
    for (uint32_t i = 0; i < tiny->layers; i++)
        put_layer(&build, i);
    gguf_builder_file(&build.builder, build.weights.count, out);
    assert(!out->failed && !build.weights.failed);
    memcpy(out->bytes + out->count - build.weights.count, build.weights.bytes, build.weights.count);
    gguf_builder_destroy(&build.builder);
    text_destroy(&build.weights);
}

void tiny_model_write(const struct tiny_model *tiny, char path[TINY_PATH_BYTES])
{
    struct text file;
    text_init(&file);
    tiny_model_build(tiny, &file);
    (void)snprintf(path, TINY_PATH_BYTES, "/tmp/weir-tiny-XXXXXX");
    int fd = mkstemp(path);
    assert(fd >= 0);
    for (size_t written = 0; written < file.count;) {
        ssize_t count = write(fd, file.bytes + written, file.count - written);
        assert(count > 0);
        written += (size_t)count;
    }
    close(fd);
    text_destroy(&file);
}
