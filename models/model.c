/* SPDX-License-Identifier: Apache-2.0 */
#include "models/model.h"

#include "models/arch/arch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARCHITECTURE_BYTES 64

/* Every architecture we serve. */
static const struct arch *const architectures[] = {&arch_llama, &arch_qwen2, &arch_qwen2moe,
                                                   &arch_qwen3, &arch_qwen3moe};
#define ARCHITECTURES (sizeof architectures / sizeof *architectures)

#define STEPS_MAX 2u

/* A step that began and has not ended. */
struct under_way {
    uint32_t output_count;
    bool drawn;
    float *logits; /* device */
};

struct model {
    /* fixed at load */
    struct gguf *gguf;
    struct backend *backend; /* borrowed: the caller */
    const struct arch *arch;
    struct model_shape shape;
    struct tokenizer *tokenizer;
    struct chat_template *chat_template; /* or NULL */
    struct error template_error;

    /* the engine thread's */
    struct arch_network *network;
    struct model_limits limits; /* of model_reserve() */
    float *logits; /* [outputs_max, vocabulary]; NULL: they are read where the device has them */
    struct drawn *drawn; /* [outputs_max]; NULL: the device does not draw */
    uint32_t *padded;    /* [3][rows_padded_max]; NULL: the device repeats no steps */
    uint32_t rows_padded_max;
    float *device_logits; /* of the last step */
    struct under_way steps[STEPS_MAX];
    uint32_t begun, ended; /* counts */
};

static const struct arch *find_architecture(const struct gguf *gguf, struct error *err)
{
    char name[ARCHITECTURE_BYTES];
    if (!gguf_copy_string(gguf, "general.architecture", name, sizeof name)) {
        error_set(err, ERROR_INVALID, "key 'general.architecture' is missing: not a model");
        return NULL;
    }
    char known[ARCHITECTURES * ARCHITECTURE_BYTES] = "";
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        if (strcmp(name, architectures[i]->name) == 0)
            return architectures[i];
        const size_t at = strlen(known);
        (void)snprintf(known + at, sizeof known - at, "%s%s", i > 0 ? ", " : "",
                       architectures[i]->name);
    }
    error_set(err, ERROR_UNSUPPORTED, "architecture '%s' is not implemented: these are: %s", name,
              known);
    return NULL;
}

static int check_vocabulary(const struct model *model, struct error *err)
{
    uint32_t tokens = tokenizer_vocabulary(model->tokenizer);
    if (tokens == model->shape.vocabulary)
        return 0;
    return error_set(err, ERROR_INVALID,
                     "tensor 'token_embd.weight' has %" PRIu32 " rows, the tokenizer %" PRIu32
                     " tokens: they must agree",
                     model->shape.vocabulary, tokens);
}

/* A model without a usable template still serves plain completions. */
static void load_template(struct model *model)
{
    struct gguf_string source;
    if (!gguf_get_string(model->gguf, "tokenizer.chat_template", &source)) {
        error_set(&model->template_error, ERROR_NOT_FOUND,
                  "the model file has no key 'tokenizer.chat_template'");
        return;
    }
    model->chat_template =
        chat_template_compile(source.bytes, source.count, &model->template_error);
}

static int load(struct model *model, const char *path, const _Atomic bool *stop, struct error *err)
{
    model->gguf = gguf_open(path, err);
    if (model->gguf == NULL)
        return ERROR_INVALID;
    model->arch = find_architecture(model->gguf, err);
    if (model->arch == NULL)
        return ERROR_UNSUPPORTED;
    model->tokenizer = tokenizer_new(model->gguf, err);
    if (model->tokenizer == NULL)
        return ERROR_INVALID;
    model->network =
        model->arch->load(model->arch, model->gguf, model->backend, stop, &model->shape, err);
    if (model->network == NULL)
        return ERROR_INVALID;
    load_template(model);
    return check_vocabulary(model, err);
}

struct model *model_load(const char *path, struct backend *backend, struct error *err)
{
    return model_load_unless(path, backend, NULL, err);
}

struct model *model_load_unless(const char *path, struct backend *backend, const _Atomic bool *stop,
                                struct error *err)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        error_no_memory(err);
        return NULL;
    }
    model->backend = backend;
    if (load(model, path, stop, err) != 0) {
        error_wrap(err, "model '%s'", path);
        model_free(model);
        return NULL;
    }
    return model;
}

void model_free(struct model *model)
{
    if (model == NULL)
        return;
    if (model->arch != NULL)
        model->arch->free(model->network);
    chat_template_free(model->chat_template);
    tokenizer_free(model->tokenizer);
    free(model->logits);
    free(model->drawn);
    free(model->padded);
    gguf_close(model->gguf); /* last: weights may lie in the mapped file */
    free(model);
}

const struct model_shape *model_shape(const struct model *model)
{
    return &model->shape;
}

const struct gguf *model_file(const struct model *model)
{
    return model->gguf;
}

const struct tokenizer *model_tokenizer(const struct model *model)
{
    return model->tokenizer;
}

const struct chat_template *model_chat_template(const struct model *model)
{
    return model->chat_template;
}

const char *model_template_error(const struct model *model)
{
    return model->chat_template == NULL ? model->template_error.text : "";
}

const char *model_architecture(const struct model *model)
{
    return model->arch->name;
}

size_t model_weight_bytes(const struct model *model)
{
    return model->arch->weight_bytes(model->network);
}

static struct reserve_args reserve_args_of(const struct model_shape *shape, uint32_t columns_max,
                                           const struct model_limits *limits)
{
    return (struct reserve_args){
        .rows_max = limits->rows_max,
        .spans_max = limits->spans_max,
        .columns_max = columns_max,
        .context_max = limits->context_max,
        .heads = shape->heads,
        .kv_heads = shape->kv_heads,
        .head_dim = shape->head_dim,
        .outputs_max = limits->outputs_max,
        .vocabulary = shape->vocabulary,
        .experts = shape->experts,
        .top_k = shape->experts_per_token,
        .expert_columns_max = shape->expert_columns_max,
    };
}

/* What the device gives back, and what steps are padded in. */
static int make_arrays(struct model *model, const struct model_limits *limits, struct error *err)
{
    const uint32_t outputs_max = limits->outputs_max;
    const struct backend_ops *ops = model->backend->ops;
    if (!ops->shares_memory)
        model->logits = calloc(outputs_max, model->shape.vocabulary * sizeof *model->logits);
    if (ops->draw != NULL)
        model->drawn = calloc(outputs_max, sizeof *model->drawn);
    if (ops->step_repeat != NULL)
        model->padded = calloc(limits->spans_max, 3 * sizeof *model->padded);
    model->rows_padded_max =
        limits->spans_max < limits->outputs_max ? limits->spans_max : limits->outputs_max;
    bool made = (ops->shares_memory || model->logits != NULL) &&
                (ops->draw == NULL || model->drawn != NULL) &&
                (ops->step_repeat == NULL || model->padded != NULL);
    return made ? 0 : error_no_memory(err);
}

int model_reserve(struct model *model, const struct model_limits *limits, struct error *err)
{
    assert(model->limits.rows_max == 0);
    assert(limits->blocks > 0 && limits->rows_max > 0 && limits->outputs_max > 0);
    assert(limits->spans_max > 0 && limits->spans_max <= limits->rows_max);
    const struct reserve_args args =
        reserve_args_of(&model->shape, model->arch->columns_max(model->network), limits);
    int code = model->backend->ops->reserve(model->backend, &args, err);
    if (code == 0)
        code = model->arch->reserve(model->network, limits, err);
    if (code == 0)
        code = make_arrays(model, limits, err);
    if (code == 0)
        model->limits = *limits;
    return code;
}

int model_read_needs(const char *path, const struct backend *backend, struct model_needs *ret,
                     struct error *err)
{
    struct gguf *gguf = gguf_open(path, err);
    if (gguf == NULL)
        return err == NULL ? ERROR_INVALID : err->code;
    int code = ERROR_UNSUPPORTED;
    const struct arch *arch = find_architecture(gguf, err);
    if (arch != NULL)
        code = arch->read_needs(arch, gguf, backend, ret, err);
    gguf_close(gguf);
    return code;
}

int model_step_bytes(const struct model_needs *needs, const struct model_limits *limits,
                     const struct backend *backend, uint64_t *ret, struct error *err)
{
    const struct reserve_args args = reserve_args_of(&needs->shape, needs->columns_max, limits);
    uint64_t scratch = 0;
    int code = backend->ops->reserve_bytes(&args, &scratch, err);
    if (code == 0)
        *ret = limits->rows_max * needs->row_bytes + limits->outputs_max * needs->output_bytes +
               scratch;
    return code;
}

/* What the engine promises: everything a kernel will index with. */
static void assert_step(const struct model *model, const struct model_step *step)
{
    assert(step->row_count > 0 && step->row_count <= model->limits.rows_max);
    assert(step->output_count <= step->row_count &&
           step->output_count <= model->limits.outputs_max);
    for (uint32_t i = 0; i < step->row_count; i++)
        assert(step->tokens[i] < model->shape.vocabulary);
    for (uint32_t i = 0; i < step->output_count; i++)
        assert(step->output_rows[i] < step->row_count);
    assert(step->span_count <= model->limits.spans_max);
    uint32_t row = 0;
    for (uint32_t i = 0; i < step->span_count; i++) {
        const struct attention_span *span = &step->spans[i];
        assert(span->first_row == row && span->row_count > 0);
        assert((uint64_t)span->position + span->row_count <= model->limits.context_max);
        for (uint32_t j = 0; j < span->row_count; j++, row++)
            assert(row < step->row_count && step->positions[row] == span->position + j);
        uint32_t blocks = (span->position + span->row_count - 1) / KV_BLOCK_TOKENS + 1;
        for (uint32_t j = 0; j < blocks; j++)
            assert(step->block_tables[span->block_offset + j] < model->limits.blocks);
    }
    assert(row == step->row_count);
}

bool model_draws(const struct model *model)
{
    return model->backend->ops->draw != NULL;
}

static bool is_left(const struct drawn *drawn, uint32_t output)
{
    return drawn == NULL || drawn[output].outcome == DRAW_LEFT;
}

/* Makes rows of logits the host's to read, but for those that were drawn from. */
static float *fetch(struct model *model, float *logits, uint32_t count, const struct drawn *drawn)
{
    const struct backend_ops *ops = model->backend->ops;
    const size_t width = model->shape.vocabulary;
    if (ops->shares_memory)
        return logits;
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && is_left(drawn, end) == is_left(drawn, i);)
            end++;
        if (is_left(drawn, i))
            ops->copy_from_device(model->backend, model->logits + i * width, logits + i * width,
                                  (end - i) * width * sizeof *logits);
    }
    return model->logits;
}

/* -- steps of decodes alone -- */

static bool decodes_alone(const struct model_step *step)
{
    if (step->span_count != step->row_count || step->output_count != step->row_count)
        return false;
    for (uint32_t i = 0; i < step->row_count; i++)
        if (step->output_rows[i] != i)
            return false;
    return true;
}

/* 1, 2, 4, 8, 16 and so on by eights to 64, then by 32: few enough sizes for a graph each, and a
 * quarter of a batch or less for nothing, but for the smallest and those a little above 64. */
static uint32_t padded_rows(uint32_t rows)
{
    if (rows > 64)
        return (rows + 31) / 32 * 32;
    if (rows > 8)
        return (rows + 7) / 8 * 8;
    return rows > 4 ? 8 : rows > 2 ? 4 : rows;
}

/* The step as the device repeats it: with rows that nobody asked for at its end. */
static struct model_step pad(struct model *model, const struct model_step *step)
{
    struct model_step padded = *step;
    uint32_t rows = padded_rows(step->row_count), *tokens = model->padded;
    if (rows > model->rows_padded_max)
        rows = model->rows_padded_max;
    uint32_t *positions = tokens + rows, *output_rows = positions + rows;
    for (uint32_t i = 0; i < rows; i++) {
        tokens[i] = i < step->row_count ? step->tokens[i] : 0;
        positions[i] = i < step->row_count ? step->positions[i] : 0;
        output_rows[i] = i;
    }
    padded.row_count = padded.output_count = rows;
    padded.tokens = tokens;
    padded.positions = positions;
    padded.output_rows = output_rows;
    return padded;
}

static void begin(struct model *model, const struct model_step *step, const uint32_t *sources)
{
    model->backend->ops->step_begin(model->backend,
                                    &(struct step_args){.row_count = step->row_count,
                                                        .tokens = step->tokens,
                                                        .positions = step->positions,
                                                        .span_count = step->span_count,
                                                        .spans = step->spans,
                                                        .block_tables = step->block_tables,
                                                        .output_count = step->output_count,
                                                        .output_rows = step->output_rows});
    if (sources != NULL)
        model->backend->ops->feed(model->backend, sources, step->span_count);
}

/* Enqueues the step; the device's logits. */
static float *enqueue(struct model *model, const struct model_step *step, const uint32_t *sources)
{
    const struct backend_ops *ops = model->backend->ops;
    if (model->padded == NULL || !decodes_alone(step)) {
        begin(model, step, sources);
        return model->arch->forward(model->network, step);
    }
    const struct model_step padded = pad(model, step);
    begin(model, &padded, sources);
    if (ops->step_repeat(model->backend, model->network)) {
        arch_layer_done(step);
        return model->device_logits;
    }
    model->device_logits = model->arch->forward(model->network, &padded);
    if (!ops->step_learn(model->backend))
        (void)model->arch->forward(model->network, &padded);
    return model->device_logits;
}

void model_begin(struct model *model, const struct model_step *step, const struct draw_row *draws,
                 const uint32_t *sources)
{
    const struct backend_ops *ops = model->backend->ops;
    struct under_way *now = &model->steps[model->begun++ % STEPS_MAX];
    assert(model->begun - model->ended == (sources == NULL ? 1 : 2));
    assert_step(model, step);
    *now = (struct under_way){
        .output_count = step->output_count,
        .drawn = ops->draw != NULL && draws != NULL && step->output_count > 0,
        .logits = enqueue(model, step, sources),
    };
    const struct draw_args args = {.logits = now->logits,
                                   .row_count = step->output_count,
                                   .vocabulary = model->shape.vocabulary,
                                   .rows = draws};
    if (now->drawn)
        ops->draw(model->backend, &args);
}

/* What was drawn, without waiting for a step behind it. */
static int end_drawn(struct model *model, const struct under_way *now, struct error *err)
{
    const struct backend_ops *ops = model->backend->ops;
    bool left = false;
    int code = ops->drawn(model->backend, model->drawn, now->output_count, err);
    for (uint32_t i = 0; i < now->output_count && code == 0; i++)
        left = left || is_left(model->drawn, i);
    if (code != 0 || !left)
        return code;
    assert(model->begun == model->ended);
    (void)fetch(model, now->logits, now->output_count, model->drawn);
    return ops->synchronize(model->backend, err);
}

int model_end(struct model *model, struct model_results *ret, struct error *err)
{
    assert(model->begun != model->ended);
    const struct under_way *now = &model->steps[model->ended++ % STEPS_MAX];
    struct model_results results = {NULL, model->logits};
    int code;
    if (now->drawn) {
        results.drawn = model->drawn;
        code = end_drawn(model, now, err);
    } else {
        results.logits = fetch(model, now->logits, now->output_count, NULL);
        code = model->backend->ops->synchronize(model->backend, err);
    }
    if (code == 0)
        *ret = results;
    return code;
}

int model_run(struct model *model, const struct model_step *step, const struct draw_row *draws,
              struct model_results *ret, struct error *err)
{
    model_begin(model, step, draws, NULL);
    return model_end(model, ret, err);
}

int model_forward(struct model *model, const struct model_step *step, float *logits,
                  struct error *err)
{
    struct model_results results;
    int code = model_run(model, step, NULL, &results, err);
    if (code == 0)
        memcpy(logits, results.logits,
               (size_t)step->output_count * model->shape.vocabulary * sizeof *logits);
    return code;
}
