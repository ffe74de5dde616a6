/* SPDX-License-Identifier: Apache-2.0 */
/* perplexity_reference.c -- what llama.cpp makes of perplexity.text, position by position.
 *
 *     perplexity_reference MODEL.gguf perplexity.text > perplexity.<model>.reference
 *
 * A line a token: its id, llama.cpp's most likely next id after it, and the negative logarithm of
 * the probability that it gave to the token that did follow (0 for the last). perplexity.sh builds
 * this against a llama.cpp build tree and runs it. */
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX (1 << 20)
#define TOKENS_MAX     8192
#define CHUNK          512

static void quiet(enum ggml_log_level level, const char *text, void *unused)
{
    (void)unused;
    if (level >= GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static void print_row(const float *logits, int vocabulary, llama_token token, llama_token next)
{
    int top = 0;
    double sum = 0;
    for (int i = 1; i < vocabulary; i++)
        top = logits[i] > logits[top] ? i : top;
    for (int i = 0; i < vocabulary; i++)
        sum += exp((double)logits[i] - logits[top]);
    double nll = next < 0 ? 0 : log(sum) + logits[top] - logits[next];
    printf("%d %d %.5f\n", token, top, nll);
}

int main(int argc, char **argv)
{
    static char text[TEXT_BYTES_MAX];
    static llama_token tokens[TOKENS_MAX];
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (file == NULL)
        return fprintf(stderr, "usage: %s MODEL.gguf TEXT\n", argv[0]), 2;
    int bytes = (int)fread(text, 1, sizeof text, file);
    fclose(file);
    llama_log_set(quiet, NULL);
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (model == NULL)
        return 1;
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    int count = llama_tokenize(vocab, text, bytes, tokens, TOKENS_MAX, true, false);
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)count;
    params.n_batch = params.n_ubatch = CHUNK;
    params.n_threads = params.n_threads_batch = 2;
    struct llama_context *context = llama_init_from_model(model, params);
    if (count <= 0 || context == NULL)
        return 1;
    struct llama_batch batch = llama_batch_init(CHUNK, 0, 1);
    for (int begin = 0; begin < count; begin += CHUNK) {
        batch.n_tokens = count - begin < CHUNK ? count - begin : CHUNK;
        for (int i = 0; i < batch.n_tokens; i++) {
            batch.token[i] = tokens[begin + i];
            batch.pos[i] = begin + i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = 1;
        }
        if (llama_decode(context, batch) != 0)
            return 1;
        for (int i = 0; i < batch.n_tokens; i++)
            print_row(llama_get_logits_ith(context, i), llama_vocab_n_tokens(vocab),
                      tokens[begin + i], begin + i + 1 < count ? tokens[begin + i + 1] : -1);
    }
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
    return 0;
}
