/* SPDX-License-Identifier: Apache-2.0 */
/* attention_plan.c -- who attends to what: a step's rows cut into pieces for blocks of threads.
 *
 *     span of 1 row at position 1300             stretches of 512 keys, by position
 *     |....0....|....1....|..2|   row 1300       three decode pieces, partial sums p, p + 1, p + 2,
 *                                                and a join of (row, p, 3)
 *     span of 150 rows from position 0           prefill pieces of rows 128..149, 64..127, 0..63
 *                                                each whole; late ones see most, and start first
 *
 * Splitting a row over its keys is for speed alone: a piece that walks all stretches joins them in
 * the same order by the same formula (attention_walk.cuh). So partial sums may run out without
 * harm: the shorter contexts give way, for it is a long walk by one block that holds up a step.
 * FlashInfer (Ye et al. 2025) lets the batch choose the length of a split, and so the bits. */
#include "kernels/cuda/attention_plan.h"

#include <assert.h>

static uint32_t stretches_of(uint32_t tokens)
{
    return tokens / CUDA_SPLIT_TOKENS + (tokens % CUDA_SPLIT_TOKENS > 0);
}

uint32_t attention_partials_max(uint32_t rows_max, uint32_t context_max)
{
    if (context_max <= CUDA_SPLIT_TOKENS)
        return 0;
    uint64_t wanted = (uint64_t)rows_max * stretches_of(context_max);
    return wanted < CUDA_PARTIALS_MAX ? (uint32_t)wanted : CUDA_PARTIALS_MAX;
}

uint32_t attention_pieces_max(uint32_t rows_max, uint32_t context_max)
{
    return rows_max + attention_partials_max(rows_max, context_max);
}

/* The stretches that the row at `position` sees any key of: the first, and how many. */
static uint32_t row_stretches(uint32_t position, uint32_t window, uint32_t *ret_first)
{
    const uint32_t end = position + 1;
    const uint32_t first_key = window == 0 || end < window ? 0 : end - window;
    *ret_first = first_key / CUDA_SPLIT_TOKENS;
    return stretches_of(end) - *ret_first;
}

/* Rows of partial sums that decoded rows of at least `least` stretches ask for. */
static uint64_t partials_wanted(const struct attention_span *spans, uint32_t span_count,
                                uint32_t window, uint32_t least)
{
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < span_count; i++) {
        if (spans[i].row_count > CUDA_DECODE_ROWS)
            continue;
        for (uint32_t row = 0; row < spans[i].row_count; row++) {
            uint32_t first, count = row_stretches(spans[i].position + row, window, &first);
            wanted += count >= least ? count : 0;
        }
    }
    return wanted;
}

/* How many stretches a row must have to be split. Shorter ones are left whole while those twice
 * as long still fill the partial sums by themselves. */
static uint32_t least_split(const struct attention_span *spans, uint32_t span_count,
                            uint32_t window, uint32_t partial_max)
{
    uint32_t least = 2;
    while (partials_wanted(spans, span_count, window, least) > partial_max &&
           partials_wanted(spans, span_count, window, 2 * least) >= partial_max)
        least *= 2;
    return least;
}

static void add_piece(struct attention_piece *pieces, uint32_t *count, uint32_t max,
                      struct attention_piece piece)
{
    assert(*count < max);
    pieces[(*count)++] = piece;
}

static void plan_decode(struct attention_plan *plan, const struct attention_span *span,
                        struct attention_piece piece, uint32_t window, uint32_t least)
{
    struct attention_counts *counts = &plan->counts;
    const uint32_t stretches = row_stretches(span->position + piece.first, window, &piece.split);
    if (stretches < least || stretches > plan->partial_max - counts->partials) {
        add_piece(plan->decodes, &counts->decodes, plan->piece_max, piece);
        return;
    }
    assert(counts->joins < plan->row_max);
    plan->joins[counts->joins++] = (struct attention_join){
        .row = span->first_row + piece.first, .partial = counts->partials, .count = stretches};
    for (uint32_t i = 0; i < stretches; i++, piece.split++) {
        piece.partial = counts->partials++;
        add_piece(plan->decodes, &counts->decodes, plan->piece_max, piece);
    }
}

static void plan_prefill(struct attention_plan *plan, uint32_t span, uint32_t row_count)
{
    const uint32_t pieces = (row_count + CUDA_PREFILL_ROWS - 1) / CUDA_PREFILL_ROWS;
    for (uint32_t i = pieces; i-- > 0;) {
        const uint32_t first = i * CUDA_PREFILL_ROWS, left = row_count - first;
        struct attention_piece piece = {.span = span,
                                        .first = first,
                                        .count =
                                            left < CUDA_PREFILL_ROWS ? left : CUDA_PREFILL_ROWS,
                                        .partial = PIECE_WHOLE};
        add_piece(plan->prefills, &plan->counts.prefills, plan->piece_max, piece);
    }
}

void attention_plan_fill(const struct attention_span *spans, uint32_t span_count, uint32_t window,
                         struct attention_plan *plan)
{
    plan->counts = (struct attention_counts){0};
    const uint32_t least = least_split(spans, span_count, window, plan->partial_max);
    for (uint32_t i = 0; i < span_count; i++) {
        if (spans[i].row_count > CUDA_DECODE_ROWS) {
            plan_prefill(plan, i, spans[i].row_count);
            continue;
        }
        for (uint32_t row = 0; row < spans[i].row_count; row++) {
            struct attention_piece piece = {
                .span = i, .first = row, .count = 1, .partial = PIECE_WHOLE};
            plan_decode(plan, &spans[i], piece, window, least);
        }
    }
}
