/* SPDX-License-Identifier: Apache-2.0 */
/* Whole forward passes: against float64 (tests/golden/forward.py), and against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/model.h"
#include "tests/unit/models/tiny_model.h"

#define TOKENS      90u
#define SEQUENCES   4u
#define BLOCKS_EACH (TOKENS / KV_BLOCK_TOKENS + 1)
#define VOCABULARY  TINY_VOCABULARY

static struct backend *open_backend(void)
{
    struct error err = {0};
    struct backend *backend =
        backend_open(&(struct backend_config){"cpu", 2, CPU_LEVEL_AUTO, NULL, KV_F16}, &err);
    assert_non_null(backend);
    return backend;
}

static struct model *load_reserved(const char *path, struct backend *backend)
{
    struct error err = {0};
    struct model *model = model_load(path, backend, &err);
    if (model == NULL)
        fail_msg("%s", err.text);
    const struct model_limits limits = {SEQUENCES * BLOCKS_EACH, SEQUENCES * TOKENS, SEQUENCES,
                                        SEQUENCES * TOKENS, TOKENS};
    assert_int_equal(model_reserve(model, &limits, &err), 0);
    return model;
}

/* A step under construction: spans of several sequences, every row's logits wanted. */
struct batch {
    uint32_t rows, spans;
    uint32_t tokens[SEQUENCES * TOKENS], positions[SEQUENCES * TOKENS];
    uint32_t outputs[SEQUENCES * TOKENS];
    struct attention_span span[SEQUENCES];
    uint32_t tables[SEQUENCES * BLOCKS_EACH];
};

static void batch_init(struct batch *batch)
{
    memset(batch, 0, sizeof *batch);
    for (uint32_t i = 0; i < SEQUENCES * BLOCKS_EACH; i++) /* blocks of one are far apart */
        batch->tables[i] = (i % BLOCKS_EACH) * SEQUENCES + (SEQUENCES - 1 - i / BLOCKS_EACH);
}

/* Rows [begin, end) of sequence `sequence`, whose tokens depend on it. */
static void batch_add(struct batch *batch, uint32_t sequence, uint32_t begin, uint32_t end)
{
    const uint32_t vocabulary = 64; /* of the golden models; enough for the others too */
    batch->span[batch->spans++] =
        (struct attention_span){batch->rows, end - begin, begin, sequence * BLOCKS_EACH};
    for (uint32_t i = begin; i < end; i++, batch->rows++) {
        batch->tokens[batch->rows] = (i * i * 31 + 7 * i + 3 + sequence * 101) % vocabulary;
        batch->positions[batch->rows] = i;
        batch->outputs[batch->rows] = batch->rows;
    }
}

/* Runs and empties the batch; logits of every row. */
static void batch_run(struct batch *batch, struct model *model, float *logits)
{
    _Atomic uint64_t progress_us = 0;
    struct model_step step = {batch->rows,  batch->tokens,  batch->positions,
                              batch->spans, batch->span,    batch->tables,
                              batch->rows,  batch->outputs, &progress_us};
    struct error err = {0};
    assert_int_equal(model_forward(model, &step, logits, &err), 0);
    assert_true(atomic_load(&progress_us) > 0); /* its layers were told */
    batch->rows = batch->spans = 0;
}

static float *logits_new(uint32_t rows) /* of the wider vocabulary of those used here */
{
    float *logits = calloc((size_t)rows * VOCABULARY, sizeof *logits);
    assert_non_null(logits);
    return logits;
}

/* -- against float64 -- */

/* Root of the mean squared error over that of the logits, at the positions the file has. */
static double error_against(const char *path, const float *logits, uint32_t vocabulary)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    double errors = 0, squares = 0;
    uint32_t position, lines = 0;
    while (fscanf(file, "%u", &position) == 1) {
        for (uint32_t i = 0; i < vocabulary; i++) {
            double wanted;
            assert_int_equal(fscanf(file, "%lf", &wanted), 1);
            double error = logits[(size_t)position * vocabulary + i] - wanted;
            errors += error * error;
            squares += wanted * wanted;
        }
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, 5);
    return sqrt(errors / squares);
}

static double golden_error(const char *name)
{
    char path[64];
    struct backend *backend = open_backend();
    (void)snprintf(path, sizeof path, "tests/golden/%s.gguf", name);
    struct model *model = load_reserved(path, backend);
    struct batch batch;
    float *logits = logits_new(TOKENS);
    batch_init(&batch);
    batch_add(&batch, 0, 0, TOKENS);
    batch_run(&batch, model, logits);
    (void)snprintf(path, sizeof path, "tests/golden/%s.txt", name);
    double error = error_against(path, logits, model_shape(model)->vocabulary);
    free(logits);
    model_free(model);
    backend_close(backend);
    return error;
}

/* Nothing is approximated but by single precision: 1e-4 allows a key that rounds to its other
 * neighbouring half. */
static void f16_model_says_what_float64_says(void **state)
{
    (void)state;
    double error = golden_error("forward-f16");
    if (!(error < 1e-4))
        fail_msg("error %g of the logits' size", error);
}

/* A row's experts are chosen by scores of which none here are near enough to a tie for single
 * precision to turn it. */
static void mixtures_of_experts_say_what_float64_says(void **state)
{
    (void)state;
    static const char *const names[] = {"forward-mixtral", "forward-qwen2moe", "forward-qwen3moe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double error = golden_error(names[i]);
        if (!(error < 1e-4))
            fail_msg("%s: error %g of the logits' size", names[i], error);
    }
}

static void dense_qwens_say_what_float64_says(void **state)
{
    (void)state;
    static const char *const names[] = {"forward-qwen2", "forward-qwen3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double error = golden_error(names[i]);
        if (!(error < 1e-4))
            fail_msg("%s: error %g of the logits' size", names[i], error);
    }
}

/* Activations are 8-bit in every product: half a step in 127 is 0.4% of a block's largest, of
 * random sign, and fourteen products follow one another: 3% here. Rope in the other style gives
 * 70%, a mask that is one key short 40%. */
static void mixed_quantised_model_stays_close_to_float64(void **state)
{
    (void)state;
    double error = golden_error("forward-mixed");
    if (!(error < 0.05))
        fail_msg("error %g of the logits' size", error);
}

/* -- against each other: bit for bit -- */

static void check_invariance(struct tiny_model tiny)
{
    char path[TINY_PATH_BYTES];
    tiny_model_write(&tiny, path);
    struct backend *backend = open_backend();
    struct model *model = load_reserved(path, backend);
    unlink(path);
    struct batch batch;
    float *alone[SEQUENCES], *logits = logits_new(SEQUENCES * TOKENS);
    const size_t row_bytes = VOCABULARY * sizeof(float);
    batch_init(&batch);
    for (uint32_t i = 0; i < SEQUENCES; i++) { /* each alone, in one piece */
        alone[i] = logits_new(TOKENS);
        batch_add(&batch, i, 0, TOKENS);
        batch_run(&batch, model, alone[i]);
    }
    static const uint32_t chunks[] = {1, 5, 16, 33};
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) { /* all together, in chunks */
        for (uint32_t begin = 0; begin < TOKENS; begin += chunks[c]) {
            uint32_t end = begin + chunks[c] < TOKENS ? begin + chunks[c] : TOKENS;
            for (uint32_t i = 0; i < SEQUENCES; i++)
                batch_add(&batch, (i + (uint32_t)c) % SEQUENCES, begin, end);
            batch_run(&batch, model, logits);
            for (uint32_t i = 0; i < SEQUENCES; i++)
                assert_memory_equal(logits + (size_t)i * (end - begin) * VOCABULARY,
                                    alone[(i + c) % SEQUENCES] + (size_t)begin * VOCABULARY,
                                    (end - begin) * row_bytes);
        }
    }
    for (uint32_t i = 0; i < SEQUENCES; i++)
        free(alone[i]);
    free(logits);
    model_free(model);
    backend_close(backend);
}

static void a_sequence_gets_the_same_bits_alone_chunked_and_in_company(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_default();
    check_invariance(tiny);
    tiny.type = WEIGHT_Q8_0;
    tiny.untied = tiny.biases = tiny.rope_factors = true;
    check_invariance(tiny);
    tiny.type = WEIGHT_Q4_0;
    check_invariance(tiny);
}

/* Which experts the others choose shows in nobody's bits. */
static void mixtures_give_the_same_bits_alone_chunked_and_in_company(void **state)
{
    (void)state;
    struct tiny_model mixtures[] = {tiny_model_mixtral(), tiny_model_qwen2moe(),
                                    tiny_model_qwen3moe()};
    for (size_t i = 0; i < 3; i++) {
        check_invariance(mixtures[i]);
        mixtures[i].type = WEIGHT_Q8_0;
        check_invariance(mixtures[i]);
    }
}

/* A decode beside a prefill, as the scheduler mixes them; and logits of chosen rows only. */
static void a_decode_beside_a_prefill_gets_the_same_bits(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_default();
    char path[TINY_PATH_BYTES];
    tiny_model_write(&tiny, path);
    struct backend *backend = open_backend();
    struct model *model = load_reserved(path, backend);
    unlink(path);
    struct batch batch;
    float *alone = logits_new(TOKENS), *mixed = logits_new(SEQUENCES * TOKENS);
    batch_init(&batch);
    batch_add(&batch, 0, 0, TOKENS);
    batch_run(&batch, model, alone);
    batch_add(&batch, 0, 0, 40);
    batch_run(&batch, model, mixed);
    batch_add(&batch, 1, 0, 50);
    batch_add(&batch, 0, 40, 41);
    struct model_step step = {batch.rows,  batch.tokens,     batch.positions,
                              batch.spans, batch.span,       batch.tables,
                              1,           (uint32_t[]){50}, NULL};
    assert_int_equal(model_forward(model, &step, mixed, NULL), 0);
    assert_memory_equal(mixed, alone + 40 * VOCABULARY, VOCABULARY * sizeof *mixed);
    step.output_count =
        0; /* a chunk that ends nowhere wants no logits, and still fills the cache */
    mixed[0] = 12.5f;
    assert_int_equal(model_forward(model, &step, mixed, NULL), 0);
    assert_true(mixed[0] == 12.5f);
    free(alone), free(mixed);
    model_free(model);
    backend_close(backend);
}

/* On a device that shares the host's memory nobody copies them, and who gets them may write. */
static void logits_stay_with_the_model_until_its_next_step(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_default();
    char path[TINY_PATH_BYTES];
    tiny_model_write(&tiny, path);
    struct backend *backend = open_backend();
    struct model *model = load_reserved(path, backend);
    unlink(path);
    struct batch batch;
    struct model_results first, second;
    float *copied = logits_new(TOKENS);
    batch_init(&batch);
    batch_add(&batch, 0, 0, TOKENS);
    const struct model_step step = {batch.rows,  batch.tokens,  batch.positions,
                                    batch.spans, batch.span,    batch.tables,
                                    batch.rows,  batch.outputs, NULL};
    assert_int_equal(model_forward(model, &step, copied, NULL), 0);
    assert_int_equal(model_run(model, &step, NULL, &first, NULL), 0);
    assert_memory_equal(first.logits, copied, (size_t)TOKENS * VOCABULARY * sizeof *copied);
    memset(first.logits, 0xff, (size_t)TOKENS * VOCABULARY * sizeof *copied);
    assert_int_equal(model_run(model, &step, NULL, &second, NULL), 0);
    assert_ptr_equal(second.logits, first.logits);
    assert_memory_equal(second.logits, copied, (size_t)TOKENS * VOCABULARY * sizeof *copied);
    free(copied);
    model_free(model);
    backend_close(backend);
}

static void a_load_is_given_up_when_asked(void **state)
{
    (void)state;
    char path[TINY_PATH_BYTES];
    struct error err = {0};
    _Atomic bool stop = true;
    struct tiny_model tiny = tiny_model_default();
    struct backend *backend = open_backend();
    tiny_model_write(&tiny, path);
    assert_null(model_load_unless(path, backend, &stop, &err));
    assert_int_equal(err.code, ERROR_CLOSED);
    atomic_store(&stop, false);
    struct model *model = model_load_unless(path, backend, &stop, &err);
    assert_non_null(model);
    unlink(path);
    model_free(model);
    backend_close(backend);
}

/* -- files that are not what they say -- */

static void refuses(struct tiny_model tiny, const char *reason)
{
    char path[TINY_PATH_BYTES];
    struct error err = {0};
    struct backend *backend = open_backend();
    tiny_model_write(&tiny, path);
    assert_null(model_load(path, backend, &err));
    unlink(path);
    if (strstr(err.text, reason) == NULL || strstr(err.text, path) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, reason);
    backend_close(backend);
}

static void a_missing_key_or_tensor_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {
        "llama.context_length",       "llama.block_count",
        "llama.embedding_length",     "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon",
        "token_embd.weight",          "output_norm.weight",
        "blk.1.attn_norm.weight",     "blk.0.ffn_norm.weight",
        "blk.0.attn_q.weight",        "blk.1.ffn_down.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tiny_model tiny = tiny_model_default();
        tiny.left_out = names[i];
        refuses(tiny, names[i]);
    }
}

static void a_number_that_no_model_has_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *reason;
    } changes[] = {
        {"llama.block_count", 0, "key 'llama.block_count' is 0"},
        {"llama.block_count", 4000000000u, "key 'llama.block_count' is 4000000000"},
        {"llama.block_count", 3, "tensor 'blk.2.attn_norm.weight' is missing"},
        {"llama.block_count", 1, "has no place in the architecture"},
        {"llama.embedding_length", 0, "llama.embedding_length"},
        {"llama.embedding_length", 32, "tensor 'token_embd.weight' is 64 x 259"},
        {"llama.attention.head_count", 0, "llama.attention.head_count"},
        {"llama.attention.head_count", 5, "must divide the 5 heads"},
        {"llama.attention.head_count", 262144, "not a size that attention can have"},
        {"llama.attention.head_count_kv", 0, "llama.attention.head_count_kv"},
        {"llama.attention.head_count_kv", 3, "must divide the 4 heads"},
        {"llama.attention.key_length", 15, "not a size that attention can have"},
        {"llama.attention.key_length", 32, "tensor 'blk.0.attn_q.weight'"},
        {"llama.rope.dimension_count", 3, "llama.rope.dimension_count"},
        {"llama.rope.dimension_count", 18, "llama.rope.dimension_count"},
        {"llama.feed_forward_length", 95, "tensor 'blk.0.ffn_gate.weight'"},
        {"llama.context_length", 0, "llama.context_length"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct tiny_model tiny = tiny_model_default();
        tiny.changed_key = changes[i].key;
        tiny.changed_value = changes[i].value;
        refuses(tiny, changes[i].reason);
    }
}

static void what_a_mixture_lacks_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {
        "qwen2moe.expert_count",           "qwen2moe.expert_used_count",
        "blk.0.ffn_gate_inp.weight",       "blk.1.ffn_gate_exps.weight",
        "blk.0.ffn_up_exps.weight",        "blk.1.ffn_down_exps.weight",
        "blk.0.ffn_gate_inp_shexp.weight", "blk.1.ffn_gate_shexp.weight",
        "blk.1.ffn_up_shexp.weight",       "blk.0.ffn_down_shexp.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tiny_model tiny = tiny_model_qwen2moe();
        tiny.left_out = names[i];
        refuses(tiny, names[i]);
    }
    struct tiny_model tiny = tiny_model_qwen3moe();
    tiny.left_out = "blk.1.attn_k_norm.weight";
    refuses(tiny, tiny.left_out);
    tiny = tiny_model_mixtral();
    tiny.left_out = "blk.0.ffn_up_exps.weight";
    refuses(tiny, tiny.left_out);
}

static void a_number_that_no_mixture_has_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *reason;
    } changes[] = {
        {"llama.expert_count", 0, "tensor 'blk.0.ffn_gate.weight' is missing"},
        {"llama.expert_count", 1025, "key 'llama.expert_count' is 1025"},
        {"llama.expert_count", 4, "tensor 'blk.0.ffn_gate_inp.weight' is 64 x 5"},
        {"llama.expert_used_count", 0, "key 'llama.expert_used_count' is 0"},
        {"llama.expert_used_count", 6, "key 'llama.expert_used_count' is 6: from 1 to 5"},
        {"llama.expert_feed_forward_length", 0, "key 'llama.expert_feed_forward_length' is 0"},
        {"llama.expert_feed_forward_length", 95,
         "tensor 'blk.0.ffn_gate_exps.weight' is 64 x 96 x 5"},
        {"llama.expert_gating_func", 2, "key 'llama.expert_gating_func' is 2"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct tiny_model tiny = tiny_model_mixtral();
        tiny.changed_key = changes[i].key;
        tiny.changed_value = changes[i].value;
        refuses(tiny, changes[i].reason);
    }
    struct tiny_model tiny = tiny_model_qwen2moe();
    tiny.changed_key = "qwen2moe.expert_shared_feed_forward_length";
    tiny.changed_value = 32;
    refuses(tiny, "tensor 'blk.0.ffn_gate_shexp.weight' is 64 x 64");
}

static void tensors_we_cannot_serve_are_named(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_default();
    tiny.retyped = "blk.1.ffn_up.weight";
    tiny.retyped_as = 26; /* I32: sound, but no weights */
    refuses(tiny, "tensor 'blk.1.ffn_up.weight' has weights of type 26");
    tiny = tiny_model_default();
    tiny.added_tensor = "blk.0.attn_q_norm.weight";
    refuses(tiny, "tensor 'blk.0.attn_q_norm.weight' has no place");
    tiny = tiny_model_default();
    tiny.architecture = "gpt5";
    refuses(tiny, "'gpt5' is not implemented: these are: llama, qwen2, qwen2moe, qwen3, qwen3moe");
}

static void shape_and_names_are_the_files(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_default();
    char path[TINY_PATH_BYTES];
    tiny_model_write(&tiny, path);
    struct backend *backend = open_backend();
    struct model *model = model_load(path, backend, NULL);
    unlink(path);
    assert_non_null(model);
    const struct model_shape *shape = model_shape(model);
    assert_int_equal(shape->vocabulary, 259);
    assert_int_equal(shape->kv_heads, 2);
    assert_int_equal(shape->context, 512);
    assert_int_equal(shape->kv_block_bytes, 2 * 2 * 2 * KV_BLOCK_TOKENS * 16 * 2);
    /* Tied: the embedding counts once. */
    assert_int_equal(shape->parameters,
                     259 * 64 + 64 + 2 * (2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96));
    assert_string_equal(model_architecture(model), "llama");
    assert_null(model_chat_template(model));
    assert_non_null(strstr(model_template_error(model), "tokenizer.chat_template"));
    assert_int_equal(tokenizer_vocabulary(model_tokenizer(model)), 259);
    model_free(model);
    backend_close(backend);
}

static void a_mixture_counts_all_its_experts(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_qwen2moe();
    char path[TINY_PATH_BYTES];
    tiny_model_write(&tiny, path);
    struct backend *backend = open_backend();
    struct model *model = model_load(path, backend, NULL);
    unlink(path);
    assert_non_null(model);
    const struct model_shape *shape = model_shape(model);
    assert_int_equal(shape->experts, 5);
    assert_int_equal(shape->experts_per_token, 2);
    assert_int_equal(shape->expert_columns_max, 64);
    assert_int_equal(shape->feed_forward, 64);
    const uint64_t attention = 2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 2 * 64 + 2 * 32;
    const uint64_t mixture = 64 * 5 + 3 * 5 * 64 * 32 + 64 + 3 * 64 * 64;
    assert_int_equal(shape->parameters, 2 * 259 * 64 + 64 + 2 * (attention + mixture));
    assert_string_equal(model_architecture(model), "qwen2moe");
    /* Whole tiles of 16 rows: the vocabulary's last is not full, nor are routers. */
    const uint64_t matrices = 2 * 272 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64) +
                              2 * (64 * 16 + 3 * 5 * 64 * 32 + 64 * 16 + 3 * 64 * 64);
    const uint64_t vectors = 64 + 2 * (2 * 64 + 2 * 64 + 2 * 32);
    assert_int_equal(model_weight_bytes(model), (matrices + vectors) * sizeof(float));
    model_free(model);
    backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_model_says_what_float64_says),
        cmocka_unit_test(mixed_quantised_model_stays_close_to_float64),
        cmocka_unit_test(mixtures_of_experts_say_what_float64_says),
        cmocka_unit_test(dense_qwens_say_what_float64_says),
        cmocka_unit_test(a_sequence_gets_the_same_bits_alone_chunked_and_in_company),
        cmocka_unit_test(mixtures_give_the_same_bits_alone_chunked_and_in_company),
        cmocka_unit_test(a_decode_beside_a_prefill_gets_the_same_bits),
        cmocka_unit_test(logits_stay_with_the_model_until_its_next_step),
        cmocka_unit_test(a_load_is_given_up_when_asked),
        cmocka_unit_test(a_missing_key_or_tensor_is_named),
        cmocka_unit_test(a_number_that_no_model_has_is_named),
        cmocka_unit_test(what_a_mixture_lacks_is_named),
        cmocka_unit_test(a_number_that_no_mixture_has_is_named),
        cmocka_unit_test(tensors_we_cannot_serve_are_named),
        cmocka_unit_test(shape_and_names_are_the_files),
        cmocka_unit_test(a_mixture_counts_all_its_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
