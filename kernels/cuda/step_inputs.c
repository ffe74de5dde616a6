/* SPDX-License-Identifier: Apache-2.0 */
/* step_inputs.c -- one picture of a step, in pinned memory and on the device.
 *
 *     pinned ring   | tokens | positions | ... | tables | plans |   slot 0   copied, event passed
 *                   | tokens | positions | ... | tables | plans |   slot 1   copies on their way
 *                   | tokens | positions | ... | tables | plans |   slot 2   being filled
 *     device        | tokens | positions | ... | tables | plans |
 *
 * A pinned array is read when its copy runs, not when it is enqueued, so a slot is filled again
 * only when the event behind its copies has passed. The device needs no ring: copies and kernels
 * are in order on one stream. Every section has a place of its own at the size of the largest
 * step, and only what a step uses of it is copied: kernels see the same addresses in every step,
 * as a captured graph wants them.
 *
 * Block tables are packed: a caller's tables may lie far apart (a seat each, at the size of the
 * longest context), and only the blocks that a span reads travel. Spans are rewritten to match. */
#include "kernels/cuda/step_inputs.h"

#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/sample_pack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PLANS STEP_WINDOWS_MAX /* windows of one step that keep their plans: full and sliding */

enum section {
    TOKENS,
    POSITIONS,
    OUTPUT_ROWS,
    ROW_SPANS,
    SPANS,
    TABLES,
    SOURCES,
    DRAWS,
    DRAW_TOKENS,
    DRAW_BIASES,
    PLAN, /* four for each: counts, decodes, prefills, joins */
    SECTIONS = PLAN + 4 * PLANS
};

struct layout {
    size_t offsets[SECTIONS + 1]; /* the last: bytes in all */
    uint32_t tables_max;          /* block numbers */
    uint32_t pieces_max, partials_max;
    uint32_t draw_tokens_max, draw_biases_max;
};

struct slot {
    unsigned char *pinned;
    cudaEvent_t copied;
    bool used;  /* the event was recorded */
    bool draws; /* they were sent from it */
};

struct step_plan {
    bool made;
    uint32_t window;
    struct attention_counts counts;
};

struct step_inputs {
    struct reserve_args limits;
    struct layout layout;
    unsigned char *device; /* borrowed */
    cudaStream_t stream;   /* borrowed */
    struct slot slots[STEP_INPUTS_RING];
    uint32_t slot;         /* the step's */
    struct step_args step; /* the pointers name what is on the device; all NULL: nothing is */
    struct step_plan plans[PLANS];
    uint32_t next_plan;
    /* for steps that are captured */
    uint32_t windows[PLANS]; /* that attention was ever asked for */
    uint32_t window_count;   /* beyond PLANS: too many */
    bool frozen, missed;     /* an array that was not there */
    struct step_shape shape; /* while frozen */
};

static uint32_t blocks_of(uint32_t tokens)
{
    return tokens / KV_BLOCK_TOKENS + (tokens % KV_BLOCK_TOKENS > 0);
}

static struct layout layout_of(const struct reserve_args *args)
{
    struct layout layout = {
        .tables_max = args->spans_max * blocks_of(args->context_max),
        .pieces_max = attention_pieces_max(args->rows_max, args->context_max),
        .partials_max = attention_partials_max(args->rows_max, args->context_max),
        .draw_tokens_max = args->outputs_max == 0 ? 0 : sample_tokens_max(args),
        .draw_biases_max = args->outputs_max == 0 ? 0 : SAMPLE_BIASES_MAX,
    };
    const size_t rows = args->rows_max * sizeof(uint32_t);
    const size_t pieces = layout.pieces_max * sizeof(struct attention_piece);
    size_t bytes[SECTIONS] = {
        [TOKENS] = rows,
        [POSITIONS] = rows,
        [OUTPUT_ROWS] = rows,
        [ROW_SPANS] = rows,
        [SPANS] = args->spans_max * sizeof(struct attention_span),
        [TABLES] = layout.tables_max * sizeof(uint32_t),
        [SOURCES] = rows,
        [DRAWS] = args->outputs_max * sizeof(struct sample_row),
        [DRAW_TOKENS] = layout.draw_tokens_max * sizeof(uint32_t),
        [DRAW_BIASES] = layout.draw_biases_max * sizeof(struct logit_bias),
    };
    for (uint32_t i = 0; i < PLANS; i++) {
        size_t *plan = &bytes[PLAN + 4 * i];
        plan[0] = sizeof(struct attention_counts);
        plan[1] = plan[2] = pieces;
        plan[3] = args->rows_max * sizeof(struct attention_join);
    }
    for (uint32_t i = 0; i < SECTIONS; i++)
        layout.offsets[i + 1] = layout.offsets[i] + cuda_memory_rounded(bytes[i]);
    return layout;
}

size_t step_inputs_bytes(const struct reserve_args *args)
{
    return layout_of(args).offsets[SECTIONS];
}

struct step_inputs *step_inputs_new(const struct reserve_args *args, void *device,
                                    cudaStream_t stream, struct error *err)
{
    struct step_inputs *inputs = calloc(1, sizeof *inputs);
    if (inputs == NULL) {
        error_no_memory(err);
        return NULL;
    }
    inputs->limits = *args;
    inputs->layout = layout_of(args);
    inputs->device = device;
    inputs->stream = stream;
    const size_t bytes = inputs->layout.offsets[SECTIONS];
    cudaError_t code = cudaSuccess;
    for (uint32_t i = 0; i < STEP_INPUTS_RING && code == cudaSuccess; i++) {
        void *pinned = NULL;
        code = cudaMallocHost(&pinned, bytes);
        inputs->slots[i].pinned = pinned;
        if (code == cudaSuccess)
            code = cudaEventCreateWithFlags(&inputs->slots[i].copied, cudaEventDisableTiming);
    }
    if (code == cudaSuccess)
        return inputs;
    (void)cudaGetLastError();
    (void)error_set(err, ERROR_NO_MEMORY, "%zu MiB of pinned memory: %s",
                    (bytes * STEP_INPUTS_RING >> 20) + 1, cudaGetErrorString(code));
    step_inputs_free(inputs);
    return NULL;
}

void step_inputs_free(struct step_inputs *inputs)
{
    if (inputs == NULL)
        return;
    for (uint32_t i = 0; i < STEP_INPUTS_RING; i++) {
        if (inputs->slots[i].copied != NULL)
            (void)cudaEventDestroy(inputs->slots[i].copied);
        if (inputs->slots[i].pinned != NULL)
            (void)cudaFreeHost(inputs->slots[i].pinned);
    }
    free(inputs);
}

/* -- sections -- */

static void *pinned_at(struct step_inputs *inputs, uint32_t section)
{
    return inputs->slots[inputs->slot].pinned + inputs->layout.offsets[section];
}

static const void *device_at(const struct step_inputs *inputs, uint32_t section)
{
    return inputs->device + inputs->layout.offsets[section];
}

/* Enqueues the copy of what the slot has in the section. */
static cudaError_t send(struct step_inputs *inputs, uint32_t section, size_t bytes)
{
    const size_t offset = inputs->layout.offsets[section];
    assert(bytes <= inputs->layout.offsets[section + 1] - offset);
    if (bytes == 0)
        return cudaSuccess;
    return cudaMemcpyAsync(inputs->device + offset, inputs->slots[inputs->slot].pinned + offset,
                           bytes, cudaMemcpyHostToDevice, inputs->stream);
}

static cudaError_t send_array(struct step_inputs *inputs, uint32_t section, const uint32_t *host,
                              uint32_t count)
{
    assert(count <= inputs->limits.rows_max);
    if (host == NULL || count == 0)
        return cudaSuccess;
    memcpy(pinned_at(inputs, section), host, count * sizeof *host);
    return send(inputs, section, count * sizeof *host);
}

static uint32_t span_rows(const struct attention_span *spans, uint32_t count)
{
    return count == 0 ? 0 : spans[count - 1].first_row + spans[count - 1].row_count;
}

/* Of row_spans: padding counts. */
static uint32_t rows_of(const struct step_args *step)
{
    const uint32_t rows = span_rows(step->spans, step->span_count);
    return rows == 0 || rows > step->row_count ? rows : step->row_count;
}

/* Spans, which row is whose, and the blocks that they read, packed. Rows behind the last span are
 * padding. */
static cudaError_t send_spans(struct step_inputs *inputs, const struct step_args *step)
{
    const struct attention_span *spans = step->spans;
    const uint32_t count = step->span_count, rows = rows_of(step);
    struct attention_span *packed = pinned_at(inputs, SPANS);
    uint32_t *row_spans = pinned_at(inputs, ROW_SPANS), *tables = pinned_at(inputs, TABLES);
    uint32_t used = 0;
    assert(count <= inputs->limits.spans_max);
    assert(rows <= inputs->limits.rows_max);
    for (uint32_t i = span_rows(spans, count); i < rows; i++)
        row_spans[i] = ATTENTION_NO_SPAN;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t blocks = blocks_of(spans[i].position + spans[i].row_count);
        assert(blocks <= inputs->layout.tables_max - used);
        packed[i] = spans[i];
        packed[i].block_offset = used;
        memcpy(tables + used, step->block_tables + spans[i].block_offset, blocks * sizeof *tables);
        used += blocks;
        for (uint32_t j = 0; j < spans[i].row_count; j++)
            row_spans[spans[i].first_row + j] = i;
    }
    cudaError_t code = send(inputs, SPANS, count * sizeof *packed);
    if (code == cudaSuccess)
        code = send(inputs, ROW_SPANS, rows * sizeof *row_spans);
    return code == cudaSuccess ? send(inputs, TABLES, used * sizeof *tables) : code;
}

/* -- a step -- */

static cudaError_t mark_sent(struct step_inputs *inputs)
{
    struct slot *slot = &inputs->slots[inputs->slot];
    slot->used = true;
    return cudaEventRecord(slot->copied, inputs->stream);
}

static cudaError_t next_slot(struct step_inputs *inputs)
{
    inputs->slot = (inputs->slot + 1) % STEP_INPUTS_RING;
    struct slot *slot = &inputs->slots[inputs->slot];
    slot->draws = false;
    return slot->used ? cudaEventSynchronize(slot->copied) : cudaSuccess;
}

void step_inputs_end(struct step_inputs *inputs)
{
    inputs->step = (struct step_args){0};
    memset(inputs->plans, 0, sizeof inputs->plans);
}

cudaError_t step_inputs_begin(struct step_inputs *inputs, const struct step_args *args)
{
    cudaError_t code;
    step_inputs_end(inputs);
    if ((code = next_slot(inputs)) != cudaSuccess ||
        (code = send_array(inputs, TOKENS, args->tokens, args->row_count)) != cudaSuccess ||
        (code = send_array(inputs, POSITIONS, args->positions, args->row_count)) != cudaSuccess ||
        (code = send_array(inputs, OUTPUT_ROWS, args->output_rows, args->output_count)) !=
            cudaSuccess ||
        (code = send_spans(inputs, args)) != cudaSuccess ||
        (code = mark_sent(inputs)) != cudaSuccess)
        return code;
    inputs->step = *args;
    return cudaSuccess;
}

/* An array that the step did not name: sent for one op. The step's own may be overwritten by it,
 * and is forgotten. */
static cudaError_t send_alone(struct step_inputs *inputs, const struct step_args *args)
{
    if (inputs->frozen) {
        inputs->missed = true;
        return cudaSuccess;
    }
    cudaError_t code = step_inputs_begin(inputs, args);
    step_inputs_end(inputs);
    return code;
}

cudaError_t step_inputs_tokens(struct step_inputs *inputs, const uint32_t *tokens, uint32_t count,
                               const uint32_t **ret)
{
    *ret = device_at(inputs, TOKENS);
    if (tokens == inputs->step.tokens && count <= inputs->step.row_count)
        return cudaSuccess;
    return send_alone(inputs, &(struct step_args){.row_count = count, .tokens = tokens});
}

cudaError_t step_inputs_positions(struct step_inputs *inputs, const uint32_t *positions,
                                  uint32_t count, const uint32_t **ret)
{
    *ret = device_at(inputs, POSITIONS);
    if (positions == inputs->step.positions && count <= inputs->step.row_count)
        return cudaSuccess;
    return send_alone(inputs, &(struct step_args){.row_count = count, .positions = positions});
}

cudaError_t step_inputs_output_rows(struct step_inputs *inputs, const uint32_t *rows,
                                    uint32_t count, const uint32_t **ret)
{
    *ret = device_at(inputs, OUTPUT_ROWS);
    if (rows == inputs->step.output_rows && count <= inputs->step.output_count)
        return cudaSuccess;
    return send_alone(inputs, &(struct step_args){.output_count = count, .output_rows = rows});
}

static bool same_spans(const struct step_inputs *inputs, const struct step_spans *spans)
{
    const struct step_args *step = &inputs->step;
    return spans->spans == step->spans && spans->count == step->span_count &&
           spans->block_tables == step->block_tables;
}

static struct step_args alone(const struct step_spans *spans)
{
    return (struct step_args){
        .span_count = spans->count, .spans = spans->spans, .block_tables = spans->block_tables};
}

static void name_spans(const struct step_inputs *inputs, struct attention_step *ret)
{
    *ret = (struct attention_step){
        .spans = device_at(inputs, SPANS),
        .block_tables = device_at(inputs, TABLES),
        .row_spans = device_at(inputs, ROW_SPANS),
    };
}

cudaError_t step_inputs_spans(struct step_inputs *inputs, const struct step_spans *spans,
                              struct attention_step *ret, uint32_t *ret_rows)
{
    const struct step_args args = alone(spans);
    const bool shared = same_spans(inputs, spans);
    name_spans(inputs, ret);
    *ret_rows = rows_of(shared ? &inputs->step : &args);
    return shared ? cudaSuccess : send_alone(inputs, &args);
}

/* -- plans -- */

static void learn_window(struct step_inputs *inputs, uint32_t window)
{
    for (uint32_t i = 0; i < inputs->window_count && i < PLANS; i++)
        if (inputs->windows[i] == window)
            return;
    if (inputs->window_count < PLANS)
        inputs->windows[inputs->window_count] = window;
    if (inputs->window_count <= PLANS)
        inputs->window_count++;
}

static cudaError_t make_plan(struct step_inputs *inputs, uint32_t index, uint32_t window,
                             const struct step_spans *spans)
{
    struct step_plan *step_plan = &inputs->plans[index];
    const uint32_t section = PLAN + 4 * index;
    cudaError_t code;
    /* A third window within one step takes the place of the first, once that was copied. */
    if (step_plan->made && (code = cudaStreamSynchronize(inputs->stream)) != cudaSuccess)
        return code;
    struct attention_plan plan = {
        .decodes = pinned_at(inputs, section + 1),
        .prefills = pinned_at(inputs, section + 2),
        .joins = pinned_at(inputs, section + 3),
        .piece_max = inputs->layout.pieces_max,
        .row_max = inputs->limits.rows_max,
        .partial_max = inputs->layout.partials_max,
    };
    attention_plan_fill(spans->spans, spans->count, window, &plan);
    memcpy(pinned_at(inputs, section), &plan.counts, sizeof plan.counts);
    if ((code = send(inputs, section, sizeof plan.counts)) != cudaSuccess ||
        (code = send(inputs, section + 1, plan.counts.decodes * sizeof *plan.decodes)) !=
            cudaSuccess ||
        (code = send(inputs, section + 2, plan.counts.prefills * sizeof *plan.prefills)) !=
            cudaSuccess ||
        (code = send(inputs, section + 3, plan.counts.joins * sizeof *plan.joins)) != cudaSuccess ||
        (code = mark_sent(inputs)) != cudaSuccess)
        return code;
    *step_plan = (struct step_plan){true, window, plan.counts};
    return cudaSuccess;
}

static void name_plan(const struct step_inputs *inputs, uint32_t index, struct attention_step *ret)
{
    const struct attention_counts *counts = &inputs->plans[index].counts;
    const uint32_t section = PLAN + 4 * index;
    name_spans(inputs, ret);
    ret->counts = device_at(inputs, section);
    ret->decodes = device_at(inputs, section + 1);
    ret->prefills = device_at(inputs, section + 2);
    ret->joins = device_at(inputs, section + 3);
    ret->decode_grid = inputs->frozen ? inputs->shape.decode_grids[index] : counts->decodes;
    ret->prefill_grid = counts->prefills;
    ret->join_grid = inputs->frozen ? inputs->shape.join_grids[index] : counts->joins;
}

cudaError_t step_inputs_attention(struct step_inputs *inputs, const struct step_spans *spans,
                                  uint32_t window, struct attention_step *ret)
{
    cudaError_t code = cudaSuccess;
    const bool shared = same_spans(inputs, spans);
    if (!shared) {
        const struct step_args args = alone(spans);
        code = send_alone(inputs, &args);
    }
    uint32_t index = 0;
    while (index < PLANS && !(inputs->plans[index].made && inputs->plans[index].window == window))
        index++;
    if (inputs->frozen && (!shared || index == PLANS)) {
        inputs->missed = true;
        *ret = (struct attention_step){0}; /* nothing is launched */
        return cudaSuccess;
    }
    if (index == PLANS) {
        index = inputs->next_plan++ % PLANS;
        learn_window(inputs, window);
        if (code == cudaSuccess)
            code = make_plan(inputs, index, window, spans);
    }
    if (code != cudaSuccess)
        return code;
    name_plan(inputs, index, ret);
    if (!shared)
        step_inputs_end(inputs);
    return cudaSuccess;
}

/* -- steps that are like others -- */

static bool decodes_alone(const struct step_inputs *inputs)
{
    const struct step_args *step = &inputs->step;
    if (step->tokens == NULL || step->positions == NULL || step->output_rows == NULL ||
        step->span_count == 0 || step->output_count != step->row_count)
        return false;
    for (uint32_t i = 0; i < step->span_count; i++)
        if (step->spans[i].row_count != 1)
            return false;
    return true;
}

static uint32_t padded_pieces(uint32_t pieces, uint32_t rows, uint32_t most)
{
    uint32_t padded = rows;
    while (padded < pieces)
        padded *= 2;
    return padded < most ? padded : most;
}

bool step_inputs_shape(struct step_inputs *inputs, struct step_shape *ret, cudaError_t *ret_code)
{
    const struct step_args *step = &inputs->step;
    const struct step_spans spans = {step->spans, step->span_count, step->block_tables};
    *ret_code = cudaSuccess;
    if (inputs->window_count == 0 || inputs->window_count > PLANS || !decodes_alone(inputs))
        return false;
    memset(ret, 0, sizeof *ret);
    ret->rows = step->row_count;
    ret->windows = inputs->window_count;
    for (uint32_t i = 0; i < inputs->window_count; i++) {
        if ((*ret_code = make_plan(inputs, i, inputs->windows[i], &spans)) != cudaSuccess)
            return false;
        const struct attention_counts *counts = &inputs->plans[i].counts;
        ret->decode_grids[i] =
            padded_pieces(counts->decodes, step->row_count, inputs->layout.pieces_max);
        ret->join_grids[i] = counts->joins > 0 ? step->row_count : 0;
    }
    return true;
}

void step_inputs_freeze(struct step_inputs *inputs, const struct step_shape *shape)
{
    inputs->frozen = true;
    inputs->missed = false;
    inputs->shape = *shape;
}

bool step_inputs_thaw(struct step_inputs *inputs)
{
    inputs->frozen = false;
    return !inputs->missed;
}

/* -- draws -- */

cudaError_t step_inputs_sources(struct step_inputs *inputs, const uint32_t *sources, uint32_t count,
                                const uint32_t **ret_sources, uint32_t **ret_tokens)
{
    assert(count <= inputs->step.row_count);
    *ret_sources = device_at(inputs, SOURCES);
    *ret_tokens = (uint32_t *)(inputs->device + inputs->layout.offsets[TOKENS]);
    cudaError_t code = send_array(inputs, SOURCES, sources, count);
    return code == cudaSuccess ? mark_sent(inputs) : code;
}

cudaError_t step_inputs_draws(struct step_inputs *inputs, const struct draw_args *args, bool *left,
                              struct sample_args *ret)
{
    cudaError_t code;
    assert(args->row_count <= inputs->limits.outputs_max);
    /* A second draw of one step takes the place of the first, once that was copied. */
    if (inputs->slots[inputs->slot].draws &&
        (code = cudaStreamSynchronize(inputs->stream)) != cudaSuccess)
        return code;
    inputs->slots[inputs->slot].draws = true;
    struct sample_pack pack = {
        .rows = pinned_at(inputs, DRAWS),
        .left = left,
        .tokens = pinned_at(inputs, DRAW_TOKENS),
        .biases = pinned_at(inputs, DRAW_BIASES),
        .token_max = inputs->layout.draw_tokens_max,
        .bias_max = inputs->layout.draw_biases_max,
    };
    sample_pack_fill(&pack, args->rows, args->row_count);
    *ret = (struct sample_args){
        .rows = pack.drawn_count > 0 ? args->row_count : 0,
        .vocabulary = args->vocabulary,
        .settings = device_at(inputs, DRAWS),
        .tokens = device_at(inputs, DRAW_TOKENS),
        .biases = device_at(inputs, DRAW_BIASES),
        .needs = pack.needs,
    };
    if (ret->rows == 0)
        return cudaSuccess;
    if ((code = send(inputs, DRAWS, args->row_count * sizeof *pack.rows)) != cudaSuccess ||
        (code = send(inputs, DRAW_TOKENS, pack.token_count * sizeof *pack.tokens)) != cudaSuccess ||
        (code = send(inputs, DRAW_BIASES, pack.bias_count * sizeof *pack.biases)) != cudaSuccess)
        return code;
    return mark_sent(inputs);
}
