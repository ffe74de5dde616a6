/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_run.c -- the model's own forward pass over a backend that counts (kernels/roofline).
 *
 * Of the file, the header and a few vectors are read; weights are not. All sequences have the same
 * blocks, for nobody looks into them, and tokens far apart, so that no two share a sector of the
 * embedding. */
#include "daemon/commands/roofline_run.h"

#include <inttypes.h>
#include <stdlib.h>

#define TOKEN_STRIDE 16u /* rows of a tile of the embedding */
#define GRAPH_SHARE  0.5 /* of what a launch costs, in a graph */

/* The arrays of a step. */
struct arrays {
    uint32_t *tokens, *positions, *outputs, *table;
    struct attention_span *spans;
    struct draw_row *draws;
};

static uint32_t largest_of(const struct roofline_list *list)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < list->count; i++)
        most = list->values[i] > most ? list->values[i] : most;
    return most;
}

static uint32_t most_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t blocks_of(uint32_t tokens)
{
    return (tokens - 1) / KV_BLOCK_TOKENS + 1;
}

static struct model_limits limits_of(const struct roofline_request *request)
{
    const uint32_t batch = largest_of(&request->batches), prompt = largest_of(&request->prompts);
    const uint32_t context = most_of(largest_of(&request->contexts), prompt);
    const uint32_t chunk = prompt < request->step_tokens ? prompt : request->step_tokens;
    return (struct model_limits){
        .blocks = blocks_of(context),
        .rows_max = most_of(batch, chunk),
        .spans_max = batch,
        .outputs_max = batch,
        .context_max = context,
    };
}

static bool arrays_init(struct arrays *arrays, const struct model_limits *limits)
{
    arrays->tokens = calloc(limits->rows_max, sizeof *arrays->tokens);
    arrays->positions = calloc(limits->rows_max, sizeof *arrays->positions);
    arrays->outputs = calloc(limits->rows_max, sizeof *arrays->outputs);
    arrays->table = calloc(limits->blocks, sizeof *arrays->table);
    arrays->spans = calloc(limits->spans_max, sizeof *arrays->spans);
    arrays->draws = calloc(limits->outputs_max, sizeof *arrays->draws);
    for (uint32_t i = 0; arrays->draws != NULL && i < limits->outputs_max; i++)
        arrays->draws[i] =
            (struct draw_row){.temperature = 1.0f, .top_p = 1.0f, .repetition_penalty = 1.0f};
    return arrays->draws != NULL && arrays->tokens != NULL && arrays->positions != NULL &&
           arrays->outputs != NULL && arrays->table != NULL && arrays->spans != NULL;
}

static void arrays_destroy(struct arrays *arrays)
{
    free(arrays->tokens);
    free(arrays->positions);
    free(arrays->outputs);
    free(arrays->table);
    free(arrays->spans);
    free(arrays->draws);
}

/* `spans` sequences of as many rows each; a token is drawn at the end of each, or none. */
static int forward(struct model *model, struct arrays *arrays, uint32_t spans,
                   struct attention_span each, bool wants_logits, struct error *err)
{
    const uint32_t rows = spans * each.row_count;
    for (uint32_t i = 0; i < rows; i++) {
        arrays->tokens[i] = (uint32_t)((uint64_t)i * TOKEN_STRIDE % model_shape(model)->vocabulary);
        arrays->positions[i] = each.position + i % each.row_count;
    }
    for (uint32_t i = 0; i < spans; i++) {
        arrays->spans[i] = each;
        arrays->spans[i].first_row = i * each.row_count;
        arrays->outputs[i] = (i + 1) * each.row_count - 1;
    }
    const struct model_step step = {
        .row_count = rows,
        .tokens = arrays->tokens,
        .positions = arrays->positions,
        .span_count = spans,
        .spans = arrays->spans,
        .block_tables = arrays->table,
        .output_count = wants_logits ? spans : 0,
        .output_rows = arrays->outputs,
    };
    struct model_results results;
    return model_run(model, &step, arrays->draws, &results, err);
}

static int run_case(const struct roofline_request *request, struct model *model,
                    struct arrays *arrays, struct roofline_case *of, struct error *err)
{
    int code = 0;
    if (!of->prefill)
        return forward(model, arrays, of->sequences,
                       (struct attention_span){.row_count = 1, .position = of->tokens - 1}, true,
                       err);
    for (uint32_t at = 0; at < of->tokens && code == 0; at += request->step_tokens) {
        const uint32_t left = of->tokens - at;
        const uint32_t rows = left < request->step_tokens ? left : request->step_tokens;
        code = forward(model, arrays, 1, (struct attention_span){.row_count = rows, .position = at},
                       rows == left, err);
    }
    return code;
}

double roofline_us(const struct roofline_request *request, const struct roofline_case *of,
                   const struct roofline_kernel *kernel, const char **ret_bound)
{
    enum gpu_bound bound;
    const double running = gpu_kernel_us(request->gpu, kernel, &bound);
    const double launching =
        (double)kernel->launches * request->launch_us * (of->prefill ? 1 : GRAPH_SHARE);
    *ret_bound = launching > running ? "launching" : gpu_bound_name(bound);
    return running + launching;
}

static void finish_case(const struct roofline_request *request,
                        const struct roofline_answer *answer, struct roofline_case *of)
{
    const char *bound;
    of->us = 0;
    for (uint32_t i = 0; i < of->kernel_count; i++)
        of->us += roofline_us(request, of, &of->kernels[i], &bound);
    of->tokens_per_second = (of->prefill ? of->tokens : of->sequences) / of->us * 1e6;
    of->memory_bytes = answer->weight_bytes + (uint64_t)of->sequences * blocks_of(of->tokens) *
                                                  answer->shape.kv_block_bytes;
    of->fits = (double)of->memory_bytes <= request->gpu->memory_gb * (1 << 30);
}

/* Cut to what the model can take, and every number once; an error where one was asked for. */
static int fit_list(struct roofline_list *list, const char *what, uint32_t context,
                    struct error *err)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t value = list->values[i];
        if (value > context && list->given)
            return error_set(err, ERROR_REFUSED,
                             "%s %" PRIu32 ": the model was made for up to %" PRIu32 " tokens",
                             what, value, context);
        value = value > context ? context : value;
        bool known = false;
        for (uint32_t j = 0; j < kept; j++)
            known = known || list->values[j] == value;
        if (!known)
            list->values[kept++] = value;
    }
    list->count = kept;
    return 0;
}

static void list_cases(const struct roofline_request *request, struct roofline_answer *answer)
{
    for (uint32_t i = 0; i < request->contexts.count; i++)
        for (uint32_t j = 0; j < request->batches.count; j++)
            answer->cases[answer->case_count++] = (struct roofline_case){
                .sequences = request->batches.values[j], .tokens = request->contexts.values[i]};
    for (uint32_t i = 0; i < request->prompts.count; i++)
        answer->cases[answer->case_count++] = (struct roofline_case){
            .prefill = true, .sequences = 1, .tokens = request->prompts.values[i]};
}

static void describe(const struct model *model, struct roofline_answer *ret)
{
    *ret = (struct roofline_answer){.shape = *model_shape(model),
                                    .weight_bytes = model_weight_bytes(model)};
    (void)gguf_copy_string(model_file(model), "general.name", ret->name, sizeof ret->name);
    (void)gguf_copy_string(model_file(model), "general.architecture", ret->architecture,
                           sizeof ret->architecture);
}

static int run_model(struct roofline_request *request, struct model *model, struct backend *backend,
                     struct roofline_answer *ret, struct error *err)
{
    describe(model, ret);
    int code = fit_list(&request->contexts, "--context", ret->shape.context, err);
    if (code == 0)
        code = fit_list(&request->prompts, "--prompt", ret->shape.context, err);
    if (code != 0)
        return code;
    list_cases(request, ret);
    struct arrays arrays = {0};
    const struct model_limits limits = limits_of(request);
    if (!arrays_init(&arrays, &limits))
        code = error_no_memory(err);
    if (code == 0)
        code = model_reserve(model, &limits, err);
    for (uint32_t i = 0; i < ret->case_count && code == 0; i++) {
        struct roofline_case *of = &ret->cases[i];
        roofline_reset(backend);
        code = run_case(request, model, &arrays, of, err);
        of->kernel_count = roofline_read(backend, of->kernels);
        finish_case(request, ret, of);
    }
    arrays_destroy(&arrays);
    return code;
}

int roofline_run(const struct roofline_request *request, struct roofline_answer *ret,
                 struct error *err)
{
    struct roofline_request fitted = *request;
    struct backend *backend = roofline_open(err);
    if (backend == NULL)
        return ERROR_NO_MEMORY;
    int code = ERROR_UNSUPPORTED;
    struct model *model = model_load(request->path, backend, err);
    if (model != NULL)
        code = run_model(&fitted, model, backend, ret, err);
    else if (err != NULL)
        code = err->code;
    model_free(model);
    backend_close(backend);
    return code;
}
