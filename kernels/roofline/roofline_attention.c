/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_attention.c -- the cache written, and attended to.
 *
 * The plan is the GPU's own (attention_plan.h): which rows are split over their keys, and how many
 * rows of partial sums that makes. Memory: keys and values that any row of a span sees, once a KV
 * head, however many blocks of threads ask for them. Tensor cores: every tile of keys that a strip
 * of 16 queries meets, masked or not, at the head's padded width; and for each of those scores what
 * e^x costs on the other pipes. */
#include "kernels/roofline/roofline_inner.h"

#define QUERIES     16u /* rows of an mma */
#define SCORE_OPS   25u /* instructions a score: mask, maximum, e^x, rounding */
#define CONVERT_OPS 2u  /* instructions a number written */

static uint32_t blocks_of(uint32_t tokens)
{
    return tokens / KV_BLOCK_TOKENS + (tokens % KV_BLOCK_TOKENS > 0);
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Of one KV head's K or V of a token, in the cache. */
static uint64_t token_bytes(enum kv_format format, uint32_t head_dim)
{
    return kv_slice_bytes(format, head_dim) / KV_BLOCK_TOKENS;
}

/* -- Block tables: those of a step lie packed, one span's after the other's -- */

struct tables {
    uint64_t packed; /* entries of the spans so far */
    uint64_t next;   /* sector that was not touched yet */
    uint64_t bytes;  /* touched */
};

/* Of this span, the entries of blocks first..last. */
static void touch_table(struct tables *tables, const struct attention_span *span, uint32_t first,
                        uint32_t last)
{
    const uint64_t each = ROOFLINE_SECTOR_BYTES / sizeof(uint32_t);
    uint64_t begin = (tables->packed + first) / each;
    const uint64_t end = (tables->packed + last) / each + 1;
    if (begin < tables->next)
        begin = tables->next;
    if (begin < end) {
        tables->bytes += (end - begin) * ROOFLINE_SECTOR_BYTES;
        tables->next = end;
    }
    tables->packed += blocks_of(span->position + span->row_count);
}

static void skip_table(struct tables *tables, const struct attention_span *span)
{
    tables->packed += blocks_of(span->position + span->row_count);
}

void roofline_kv_write(struct roofline *roofline, const struct kv_write_args *args)
{
    struct tables tables = {0};
    uint64_t rows = 0;
    for (uint32_t i = 0; i < args->span_count; i++) {
        const struct attention_span *span = &args->spans[i];
        touch_table(&tables, span, span->position / KV_BLOCK_TOKENS,
                    (span->position + span->row_count - 1) / KV_BLOCK_TOKENS);
        rows += span->row_count;
    }
    struct roofline_kernel *kernel =
        roofline_launch(roofline, args->format == KV_FP8 ? "write_rows_fp8" : "write_rows");
    const uint64_t numbers = rows * args->kv_heads * args->head_dim;
    kernel->read_bytes += 2 * roofline_floats(numbers) + roofline_floats(rows) + tables.bytes +
                          roofline_sectors(args->span_count * sizeof *args->spans);
    kernel->written_bytes += 2 * rows * args->kv_heads * token_bytes(args->format, args->head_dim);
    kernel->float_ops += CONVERT_OPS * 2 * numbers;
}

/* -- Attention -- */

/* The widths that kernels are compiled for, and what they take at once. */
struct shape {
    uint32_t dim, tile, queries;
};

static struct shape shape_of(uint32_t head_dim, bool prefill)
{
    const uint32_t dim = head_dim <= 64    ? 64
                         : head_dim <= 96  ? 96
                         : head_dim <= 128 ? 128
                         : head_dim <= 192 ? 192
                                           : 256;
    const uint32_t queries = !prefill ? QUERIES : dim <= 128 ? 4 * QUERIES : 2 * QUERIES;
    return (struct shape){dim, dim <= 96 ? 64 : 32, queries};
}

static uint32_t first_key(const struct attention_args *args, uint32_t position)
{
    const uint32_t end = position + 1;
    return args->window == 0 || end < args->window ? 0 : end - args->window;
}

/* Keys begin..end - 1 against a strip of queries, for every KV head. */
static void count_strip(const struct attention_args *args, const struct shape *shape,
                        uint32_t begin, uint32_t end, struct roofline_kernel *kernel)
{
    const uint64_t tiles = (end - 1) / shape->tile + 1 - begin / shape->tile;
    const uint64_t scores = tiles * shape->tile * QUERIES * args->kv_heads;
    kernel->half_ops += scores * 4 * shape->dim;
    kernel->float_ops += scores * SCORE_OPS;
}

static bool is_prefill(const struct attention_span *span)
{
    return span->row_count > CUDA_DECODE_ROWS;
}

/* What spans of one kind read besides queries: keys, values and where they are. */
static uint64_t rows_of_kind(const struct attention_args *args, bool prefill,
                             struct roofline_kernel *kernel)
{
    struct tables tables = {0};
    uint64_t rows = 0, keys = 0, spans = 0;
    for (uint32_t i = 0; i < args->span_count; i++) {
        const struct attention_span *span = &args->spans[i];
        if (is_prefill(span) != prefill) {
            skip_table(&tables, span);
            continue;
        }
        const uint32_t begin = first_key(args, span->position);
        const uint32_t end = span->position + span->row_count;
        touch_table(&tables, span, begin / KV_BLOCK_TOKENS, (end - 1) / KV_BLOCK_TOKENS);
        keys += end - begin;
        rows += span->row_count;
        spans++;
    }
    kernel->read_bytes += 2 * keys * args->kv_heads * token_bytes(args->format, args->head_dim) +
                          tables.bytes + roofline_sectors(spans * sizeof *args->spans) +
                          ROOFLINE_SECTOR_BYTES;
    return rows;
}

/* A decoded row that walks several stretches reads back what it has summed so far. */
static void count_decode_piece(const struct attention_args *args, const struct shape *shape,
                               const struct attention_piece *piece, struct roofline_kernel *kernel)
{
    const uint32_t position = args->spans[piece->span].position + piece->first;
    uint32_t begin = first_key(args, position), end = position + 1;
    if (piece->partial != PIECE_WHOLE) {
        begin = most_of(begin, piece->split * CUDA_SPLIT_TOKENS);
        end = least_of(end, (piece->split + 1) * CUDA_SPLIT_TOKENS);
    } else {
        const uint64_t row_bytes = (uint64_t)args->heads * args->head_dim * sizeof(float);
        kernel->written_bytes += row_bytes;
        if (begin / CUDA_SPLIT_TOKENS != (end - 1) / CUDA_SPLIT_TOKENS)
            kernel->read_bytes += row_bytes;
    }
    count_strip(args, shape, begin, end, kernel);
}

static void count_prefill_piece(const struct attention_args *args, const struct shape *shape,
                                const struct attention_piece *piece, struct roofline_kernel *kernel)
{
    const uint32_t group = args->heads / args->kv_heads;
    const uint32_t position = args->spans[piece->span].position + piece->first;
    const uint32_t queries = piece->count * group;
    for (uint32_t first = 0; first < queries; first += shape->queries) {
        const uint32_t count = least_of(queries - first, shape->queries);
        const uint32_t begin = first_key(args, position + first / group);
        const uint32_t end = position + (first + count - 1) / group + 1;
        const uint64_t bytes = (uint64_t)count * args->kv_heads * args->head_dim * sizeof(float);
        kernel->written_bytes += bytes;
        if (begin / CUDA_SPLIT_TOKENS != (end - 1) / CUDA_SPLIT_TOKENS)
            kernel->read_bytes += bytes;
        for (uint32_t at = first; at < first + count; at += QUERIES) {
            const uint32_t last = least_of(at + QUERIES, first + count) - 1;
            count_strip(args, shape, first_key(args, position + at / group),
                        position + last / group + 1, kernel);
        }
    }
}

static uint64_t partial_bytes(const struct attention_args *args, uint32_t partials)
{
    return roofline_floats((uint64_t)partials * args->heads * (args->head_dim + PARTIAL_TAIL));
}

static void count_join(struct roofline *roofline, const struct attention_args *args)
{
    const struct attention_counts *counts = &roofline->plan.counts;
    struct roofline_kernel *kernel = roofline_launch(roofline, "join_partials");
    const uint64_t numbers = (uint64_t)args->heads * args->head_dim;
    kernel->read_bytes += ROOFLINE_SECTOR_BYTES +
                          roofline_sectors(counts->joins * sizeof(struct attention_join)) +
                          partial_bytes(args, counts->partials) +
                          (args->sinks == NULL ? 0 : roofline_floats(args->heads));
    kernel->written_bytes += roofline_floats(counts->joins * numbers);
    kernel->float_ops += 2 * counts->partials * numbers;
}

static void count_pieces(struct roofline *roofline, const struct attention_args *args, bool prefill)
{
    const struct attention_plan *plan = &roofline->plan;
    const struct shape shape = shape_of(args->head_dim, prefill);
    const uint32_t count = prefill ? plan->counts.prefills : plan->counts.decodes;
    if (count == 0)
        return;
    struct roofline_kernel *kernel =
        roofline_launch(roofline, prefill ? "attend (prefill)" : "attend (decode)");
    const uint64_t rows = rows_of_kind(args, prefill, kernel);
    kernel->read_bytes += roofline_floats(rows * args->heads * args->head_dim) +
                          roofline_sectors(count * sizeof(struct attention_piece)) +
                          (args->sinks == NULL ? 0 : roofline_floats(args->heads));
    for (uint32_t i = 0; i < count; i++) {
        if (prefill)
            count_prefill_piece(args, &shape, &plan->prefills[i], kernel);
        else
            count_decode_piece(args, &shape, &plan->decodes[i], kernel);
    }
    if (!prefill)
        kernel->written_bytes += partial_bytes(args, plan->counts.partials);
}

void roofline_attention(struct roofline *roofline, const struct attention_args *args)
{
    attention_plan_fill(args->spans, args->span_count, args->window, &roofline->plan);
    count_pieces(roofline, args, false);
    count_pieces(roofline, args, true);
    if (roofline->plan.counts.joins > 0)
        count_join(roofline, args);
}
