/* SPDX-License-Identifier: Apache-2.0 */
/* perplexity_check.c -- does the forward pass say what llama.cpp says, over two thousand tokens?
 *
 *     perplexity_check MODEL.gguf TRUTH [PEER | -] [chunk] [threads] [kv_format]
 *
 * TRUTH is llama.cpp's reading of the same weights without approximation: the file dequantised to
 * F32. PEER is its reading of the quantised file itself, where its activations are 8-bit, as ours
 * are. The tokens go through model_forward() in chunks, with a paged cache whose blocks are out of
 * order; the tokenizer must find the same ids in perplexity.text beside TRUTH.
 *
 * Fails unless perplexity is within PERPLEXITY_TOLERANCE of the truth's and no more than that
 * above the peer's, and the most likely token is the truth's at AGREEMENT_LEAST of the
 * positions. (Not the peer's token: its 8-bit activations turn close calls of their own.) */
#include "base/clock.h"
#include "models/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERPLEXITY_TOLERANCE 0.005
#define AGREEMENT_LEAST      0.97
#define TOKENS_MAX           8192u
#define CHUNK_MAX            512u

struct reference {
    uint32_t count;
    uint32_t tokens[TOKENS_MAX], tops[TOKENS_MAX];
    double nll;
};

struct outcome {
    double nll;
    uint32_t agreed;
};

static bool reference_read(struct reference *reference, const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    double nll;
    while (reference->count < TOKENS_MAX &&
           fscanf(file, "%u %u %lf", &reference->tokens[reference->count],
                  &reference->tops[reference->count], &nll) == 3) {
        reference->nll += nll;
        reference->count++;
    }
    fclose(file);
    return reference->count > 1;
}

/* The text lies beside the reference. */
static bool tokenizer_agrees(const struct model *model, const struct reference *reference,
                             const char *reference_path)
{
    char path[4096], text[65536];
    const char *slash = strrchr(reference_path, '/');
    int folder = slash == NULL ? 0 : (int)(slash + 1 - reference_path);
    (void)snprintf(path, sizeof path, "%.*sperplexity.text", folder, reference_path);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    struct token_list list = {0};
    const struct encode_options options = {.add_special = true};
    bool agrees =
        tokenizer_encode(model_tokenizer(model), text, bytes, &options, &list, NULL) == 0 &&
        list.count == reference->count &&
        memcmp(list.ids, reference->tokens, list.count * sizeof *list.ids) == 0;
    token_list_destroy(&list);
    return agrees;
}

static void judge(const float *logits, uint32_t vocabulary, const struct reference *reference,
                  uint32_t position, struct outcome *outcome)
{
    uint32_t top = 0;
    double sum = 0;
    for (uint32_t i = 1; i < vocabulary; i++)
        top = logits[i] > logits[top] ? i : top;
    for (uint32_t i = 0; i < vocabulary; i++)
        sum += exp((double)logits[i] - logits[top]);
    outcome->agreed += top == reference->tops[position];
    if (position + 1 < reference->count)
        outcome->nll += log(sum) + logits[top] - logits[reference->tokens[position + 1]];
}

/* `rows` tokens of the text, from `begin` on. */
struct chunk {
    const uint32_t *tokens;
    uint32_t begin, rows;
};

/* Every row's logits are wanted. */
static int run_chunk(struct model *model, const struct chunk *chunk, const uint32_t *table,
                     float *logits, struct error *err)
{
    const uint32_t rows = chunk->rows;
    uint32_t positions[CHUNK_MAX], outputs[CHUNK_MAX];
    for (uint32_t i = 0; i < rows; i++) {
        positions[i] = chunk->begin + i;
        outputs[i] = i;
    }
    struct attention_span span = {0, rows, chunk->begin, 0};
    struct model_step step = {rows, chunk->tokens, positions, 1, &span, table, rows, outputs, NULL};
    return model_forward(model, &step, logits, err);
}

static int run(struct model *model, const struct reference *reference, uint32_t chunk,
               struct outcome *outcome, struct error *err)
{
    const uint32_t vocabulary = model_shape(model)->vocabulary;
    uint32_t table[TOKENS_MAX / KV_BLOCK_TOKENS];
    const uint32_t blocks = reference->count / KV_BLOCK_TOKENS + 1;
    for (uint32_t i = 0; i < blocks; i++)
        table[i] = blocks - 1 - i;
    int code = model_reserve(
        model, &(struct model_limits){blocks, chunk, 1, chunk, reference->count}, err);
    float *logits = calloc((size_t)chunk * vocabulary, sizeof *logits);
    if (logits == NULL)
        code = error_no_memory(err);
    for (uint32_t begin = 0; begin < reference->count && code == 0; begin += chunk) {
        uint32_t rows = reference->count - begin < chunk ? reference->count - begin : chunk;
        const struct chunk part = {reference->tokens + begin, begin, rows};
        code = run_chunk(model, &part, table, logits, err);
        for (uint32_t i = 0; i < rows && code == 0; i++)
            judge(logits + (size_t)i * vocabulary, vocabulary, reference, begin + i, outcome);
    }
    free(logits);
    return code;
}

/* How often the two name the same token. */
static double agreement_of(const struct reference *truth, const struct reference *peer)
{
    uint32_t agreed = 0;
    for (uint32_t i = 0; i < truth->count && i < peer->count; i++)
        agreed += truth->tops[i] == peer->tops[i];
    return (double)agreed / truth->count;
}

static int report(const struct reference *reference, const struct reference *peer,
                  const struct outcome *outcome, uint64_t elapsed_us)
{
    const uint32_t predicted = reference->count - 1;
    double wanted = exp(reference->nll / predicted), got = exp(outcome->nll / predicted);
    double agreement = (double)outcome->agreed / reference->count;
    bool near = fabs(got / wanted - 1) <= PERPLEXITY_TOLERANCE;
    printf("perplexity %.4f, truth %.4f (%+.3f%%); the truth's most likely token at %.2f%% of %u; "
           "%.0f tokens/s\n",
           got, wanted, (got / wanted - 1) * 100, agreement * 100, reference->count,
           reference->count * 1e6 / (double)elapsed_us);
    if (peer->count == reference->count) {
        double peers = exp(peer->nll / predicted), peer_agreement = agreement_of(reference, peer);
        printf("the peer's: perplexity %.4f (%+.3f%%), %.2f%%\n", peers, (peers / wanted - 1) * 100,
               peer_agreement * 100);
        near = near && got / peers - 1 <= PERPLEXITY_TOLERANCE; /* nearer the truth is fine */
    }
    return near && agreement >= AGREEMENT_LEAST ? 0 : 1;
}

/* Of engine.kv_format; the tolerances are F16's. */
static enum kv_format format_named(const char *name)
{
    enum kv_format format = KV_FP8;
    while (format != KV_F16 && strcmp(name, kv_format_name(format)) != 0)
        format--;
    return format;
}

int main(int argc, char **argv)
{
    static struct reference reference, peer;
    if (argc < 3 || !reference_read(&reference, argv[2]))
        return fprintf(stderr,
                       "usage: %s MODEL.gguf TRUTH [PEER | -] [chunk] [threads] [kv_format]\n",
                       argv[0]),
               2;
    if (argc > 3 && strcmp(argv[3], "-") != 0 && !reference_read(&peer, argv[3]))
        return fprintf(stderr, "%s: cannot be read\n", argv[3]), 2;
    uint32_t chunk = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 128;
    if (chunk == 0 || chunk > CHUNK_MAX)
        return fprintf(stderr, "chunk: 1 to %u\n", CHUNK_MAX), 2;
    struct error err = {0};
    struct backend_config config = {"cpu", argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0, 0,
                                    NULL, argc > 6 ? format_named(argv[6]) : KV_F16};
    struct backend *backend = backend_open(&config, &err);
    struct model *model = backend == NULL ? NULL : model_load(argv[1], backend, &err);
    struct outcome outcome = {0};
    int status = 1;
    uint64_t begin_us = clock_monotonic_us();
    if (model == NULL || run(model, &reference, chunk, &outcome, &err) != 0)
        fprintf(stderr, "%s\n", err.text);
    else if (!tokenizer_agrees(model, &reference, argv[2]))
        fprintf(stderr, "the tokenizer finds other ids in perplexity.text than the reference\n");
    else
        status = report(&reference, &peer, &outcome, clock_monotonic_us() - begin_us);
    model_free(model);
    backend_close(backend);
    return status;
}
