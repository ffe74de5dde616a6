/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_draw.c -- rows of logits to tokens.
 *
 * The passes of sample.cu over whole rows are counted from rows' settings. What depends on the
 * logits is taken at its most where that is little (a draw looks at all sums of blocks), else at
 * the usual: some hundred candidates pass top_p. Sums of doubles one after another, which are what
 * a draw takes time for, are no bytes and no rate: no roofline shows them. */
#include "kernels/roofline/roofline_inner.h"

#include "kernels/draw.h"

#define CHUNK             2048u /* logits that a block of threads takes in a wide pass */
#define SETTINGS_BYTES    72u
#define RESULT_BYTES      24u
#define STATE_BYTES       24u
#define CANDIDATES        256u               /* that pass top_p */
#define SCRATCH_BYTES_MAX ((size_t)64 << 20) /* for rows of one turn */
#define SURVEY_OPS        3u                 /* instructions a logit */
#define WEIGH_OPS         25u

/* What a turn's rows need, summed over them. */
struct turn {
    uint64_t vocabulary, blocks, chunks; /* of a row; blocks as they are filled up */
    uint64_t rows, bent, bent_logprobs;
    uint64_t draws, logprobs, both; /* both: whose raw row is the one they draw from */
    uint64_t filters, top_k_rows, top_k_logits;
};

static bool row_bends(const struct draw_row *row)
{
    return row->bias_count > 0 || row->forbidden_count > 0 || row->repetition_penalty != 1.0f ||
           row->presence_penalty != 0.0f || row->frequency_penalty != 0.0f;
}

static void add_row(struct turn *turn, const struct draw_row *row)
{
    const bool bends = row_bends(row), draws = !(row->temperature < DRAW_GREEDY_BELOW);
    turn->rows++;
    turn->bent += bends;
    turn->bent_logprobs += bends && row->logprob;
    turn->draws += draws;
    turn->logprobs += row->logprob;
    turn->both += draws && row->logprob && !bends;
    if (!draws || (row->top_k == 0 && !(row->top_p < 1.0f)))
        return;
    turn->filters++;
    if (row->top_k == 0)
        return;
    const uint64_t logits = (uint64_t)row->top_k * DRAW_BLOCK;
    turn->top_k_rows++;
    turn->top_k_logits += logits < turn->vocabulary ? logits : turn->vocabulary;
}

static uint64_t settings_bytes(const struct turn *turn)
{
    return roofline_sectors(turn->rows * SETTINGS_BYTES);
}

static void count_bending(struct roofline *roofline, const struct turn *turn)
{
    if (turn->bent == 0)
        return;
    struct roofline_kernel *copy = roofline_launch(roofline, "sample_copy");
    copy->read_bytes += turn->bent * roofline_floats(turn->vocabulary) + settings_bytes(turn);
    copy->written_bytes += turn->bent * roofline_floats(turn->vocabulary);
    struct roofline_kernel *bend = roofline_launch(roofline, "sample_bend");
    bend->read_bytes += settings_bytes(turn); /* and what histories name */
}

static void count_passes(struct roofline *roofline, const struct turn *turn)
{
    const uint64_t row_bytes = roofline_floats(turn->vocabulary);
    const uint64_t looks = turn->rows + turn->bent_logprobs;
    const uint64_t weighed = turn->draws + turn->logprobs - turn->both; /* rows of memory */
    struct roofline_kernel *survey = roofline_launch(roofline, "sample_survey");
    survey->read_bytes += looks * row_bytes + settings_bytes(turn);
    survey->written_bytes +=
        looks * roofline_floats(turn->blocks) + roofline_floats(looks * turn->chunks);
    survey->float_ops += SURVEY_OPS * looks * turn->vocabulary;
    if (turn->draws + turn->logprobs == 0)
        return;
    struct roofline_kernel *weigh = roofline_launch(roofline, "sample_weigh");
    weigh->read_bytes +=
        weighed * row_bytes + roofline_floats(weighed * turn->chunks) + settings_bytes(turn);
    weigh->written_bytes += (turn->draws + turn->logprobs) * turn->blocks * sizeof(double);
    weigh->float_ops += WEIGH_OPS * (turn->draws + turn->logprobs) * turn->vocabulary;
}

/* Greedy rows look for their highest among blocks, top_k for its bound; the others but top_p walk
 * to the block they draw from, and then through that. */
static void count_settling(struct roofline *roofline, const struct turn *turn)
{
    const uint64_t greedy = turn->rows - turn->draws, drawn = turn->draws - turn->filters;
    const uint64_t sums = turn->blocks * sizeof(double);
    struct roofline_kernel *settle = roofline_launch(roofline, "sample_settle");
    settle->read_bytes +=
        settings_bytes(turn) + roofline_floats((turn->rows + turn->bent) * turn->chunks) +
        (turn->draws + turn->logprobs + drawn) * sums +
        (greedy + turn->top_k_rows) * roofline_floats(turn->blocks) +
        (greedy + drawn) * DRAW_BLOCK * sizeof(float) + turn->bent * ROOFLINE_SECTOR_BYTES;
    settle->written_bytes += turn->draws * sums + roofline_sectors(turn->rows * RESULT_BYTES) +
                             roofline_sectors(turn->filters * STATE_BYTES);
    if (turn->filters == 0)
        return;
    /* Candidates lie far apart, until they are brought together. */
    const uint64_t candidates =
        (turn->filters - turn->top_k_rows) * CANDIDATES + turn->top_k_logits / DRAW_BLOCK;
    const uint64_t apart = candidates * ROOFLINE_SECTOR_BYTES;
    const uint64_t together = roofline_sectors(candidates * sizeof(uint64_t));
    const uint64_t founds = turn->filters * roofline_floats(turn->blocks);
    const uint64_t states = roofline_sectors(turn->rows * STATE_BYTES);
    struct roofline_kernel *gather = roofline_launch(roofline, "sample_gather");
    gather->read_bytes += settings_bytes(turn) + states + founds +
                          roofline_floats(turn->top_k_logits) +
                          (turn->filters - turn->top_k_rows) * roofline_floats(turn->vocabulary);
    gather->written_bytes += founds + apart;
    gather->float_ops += WEIGH_OPS * turn->filters * turn->vocabulary;
    struct roofline_kernel *pick = roofline_launch(roofline, "sample_pick");
    pick->read_bytes += settings_bytes(turn) + states + founds + apart + together;
    pick->written_bytes += together + roofline_sectors(turn->filters * RESULT_BYTES);
}

/* As the GPU's scratch is cut: five arrays of tokens, five of blocks, three small ones. */
static uint32_t rows_at_once(const struct roofline *roofline, uint64_t chunks)
{
    const uint64_t tokens = chunks * CHUNK, blocks = tokens / DRAW_BLOCK;
    const uint64_t units[] = {4 * tokens, 4 * tokens, 8 * tokens, 8 * tokens, 4 * tokens,
                              4 * blocks, 4 * chunks, 8 * blocks, 4 * blocks, 4 * chunks,
                              8 * blocks, 8 * blocks, 4 * blocks, STATE_BYTES};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        bytes += (units[i] + DEVICE_MEMORY_UNIT - 1) / DEVICE_MEMORY_UNIT * DEVICE_MEMORY_UNIT;
    const uint64_t most = SCRATCH_BYTES_MAX / bytes;
    return most >= roofline->draws_max ? roofline->draws_max : most > 0 ? (uint32_t)most : 1;
}

void roofline_draw(struct roofline *roofline, const struct draw_args *args)
{
    /* Rows of the host are drawn too, greedily. */
    static const struct draw_row greedy = {.top_p = 1.0f, .repetition_penalty = 1.0f};
    const uint64_t chunks = ((uint64_t)args->vocabulary + CHUNK - 1) / CHUNK;
    const uint32_t each = rows_at_once(roofline, chunks);
    for (uint32_t i = 0; i < args->row_count; i++)
        roofline->keys[i] = args->rows[i].by_host;
    for (uint32_t first = 0; first < args->row_count; first += each) {
        struct turn turn = {.vocabulary = args->vocabulary,
                            .blocks = chunks * (CHUNK / DRAW_BLOCK),
                            .chunks = chunks};
        for (uint32_t i = first; i < args->row_count && i - first < each; i++)
            add_row(&turn, args->rows[i].by_host ? &greedy : &args->rows[i]);
        count_bending(roofline, &turn);
        count_passes(roofline, &turn);
        count_settling(roofline, &turn);
    }
    roofline_launch(roofline, ROOFLINE_TO_HOST)->bus_bytes += args->row_count * RESULT_BYTES;
}

/* A token is in a result of its own, of which all are read. */
void roofline_feed(struct roofline *roofline, uint32_t rows)
{
    struct roofline_kernel *kernel = roofline_launch(roofline, "feed_tokens");
    kernel->read_bytes += (uint64_t)rows * (RESULT_BYTES + sizeof(uint32_t));
    kernel->written_bytes += (uint64_t)rows * sizeof(uint32_t);
}
