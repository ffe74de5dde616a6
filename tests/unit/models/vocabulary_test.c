/* SPDX-License-Identifier: Apache-2.0 */
/* Vocabularies that lie: each is refused by name, or what it means is fixed here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/tokenizer.h"
#include "models/vocabulary.h"
#include "tests/unit/models/gguf_builder.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* A file under construction; keys that a test leaves NULL are left out. */
struct recipe {
    const char *model, *pre;
    const char *const *tokens;
    uint64_t token_count;
    const char *const *merges;
    uint64_t merge_count;
    const int32_t *types;
    uint64_t type_count;
    const float *scores;
    uint64_t score_count;
    const char *id_key; /* one key more, an unsigned integer */
    uint32_t id;
};

struct fixture {
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct text file;
    struct error err;
};

static void make(struct fixture *fixture, const struct recipe *recipe)
{
    struct gguf_builder builder;
    memset(fixture, 0, sizeof *fixture);
    gguf_builder_init(&builder);
    if (recipe->model != NULL)
        gguf_builder_string(&builder, "tokenizer.ggml.model", recipe->model);
    if (recipe->pre != NULL)
        gguf_builder_string(&builder, "tokenizer.ggml.pre", recipe->pre);
    if (recipe->tokens != NULL)
        gguf_builder_strings(&builder, "tokenizer.ggml.tokens", recipe->tokens,
                             recipe->token_count);
    if (recipe->merges != NULL)
        gguf_builder_strings(&builder, "tokenizer.ggml.merges", recipe->merges,
                             recipe->merge_count);
    if (recipe->types != NULL)
        gguf_builder_i32s(&builder, "tokenizer.ggml.token_type", recipe->types, recipe->type_count);
    if (recipe->scores != NULL)
        gguf_builder_f32s(&builder, "tokenizer.ggml.scores", recipe->scores, recipe->score_count);
    if (recipe->id_key != NULL)
        gguf_builder_u32(&builder, recipe->id_key, recipe->id);
    gguf_builder_file(&builder, 0, &fixture->file);
    gguf_builder_destroy(&builder);
    fixture->gguf = gguf_open_memory(fixture->file.bytes, fixture->file.count, &fixture->err);
    assert_non_null(fixture->gguf);
    fixture->tokenizer = tokenizer_new(fixture->gguf, &fixture->err);
}

static void destroy(struct fixture *fixture)
{
    tokenizer_free(fixture->tokenizer);
    gguf_close(fixture->gguf);
    text_destroy(&fixture->file);
}

static void assert_refused(const struct recipe *recipe, int code, const char *words)
{
    struct fixture fixture;
    make(&fixture, recipe);
    assert_null(fixture.tokenizer);
    assert_int_equal(fixture.err.code, code);
    if (strstr(fixture.err.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", fixture.err.text, words);
    destroy(&fixture);
}

static void assert_ids(const struct fixture *fixture, const char *text, const uint32_t *ids,
                       size_t count)
{
    struct token_list list = {0};
    struct error err;
    const struct encode_options options = {0};
    assert_int_equal(
        tokenizer_encode(fixture->tokenizer, text, strlen(text), &options, &list, &err), 0);
    assert_int_equal(list.count, count);
    if (count > 0)
        assert_memory_equal(list.ids, ids, count * sizeof *ids);
    token_list_destroy(&list);
}

static const char *const abc[] = {"a", "b", "c", "ab", "abc", "bc"};
static const char *const ab_c[] = {"a b", "ab c"};

static const struct recipe sound = {.model = "gpt2",
                                    .pre = "gpt-2",
                                    .tokens = abc,
                                    .token_count = LENGTH(abc),
                                    .merges = ab_c,
                                    .merge_count = LENGTH(ab_c)};

static void missing_and_unknown_parts_are_named(void **state)
{
    (void)state;
    struct recipe recipe = sound;
    recipe.model = NULL;
    assert_refused(&recipe, ERROR_INVALID, "tokenizer.ggml.model': missing");
    recipe.model = "t5";
    assert_refused(&recipe, ERROR_UNSUPPORTED, "'t5'");
    recipe = sound;
    recipe.pre = "tekken";
    assert_refused(&recipe, ERROR_UNSUPPORTED, "'tekken'");
    recipe = sound;
    recipe.tokens = NULL;
    assert_refused(&recipe, ERROR_INVALID, "tokenizer.ggml.tokens");
    recipe = sound;
    recipe.token_count = 0;
    assert_refused(&recipe, ERROR_INVALID, "0 tokens");
    recipe = sound;
    recipe.merges = NULL;
    assert_refused(&recipe, ERROR_INVALID, "tokenizer.ggml.merges");
    recipe = sound;
    recipe.model = "llama";
    assert_refused(&recipe, ERROR_INVALID, "tokenizer.ggml.scores");
}

static void ids_outside_the_vocabulary_are_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < LENGTH(keys); i++) {
        struct recipe recipe = sound;
        recipe.id_key = keys[i];
        recipe.id = LENGTH(abc);
        assert_refused(&recipe, ERROR_INVALID, "token 6 is outside the vocabulary of 6");
        assert_refused(&recipe, ERROR_INVALID, keys[i]);
    }
}

static void two_tokens_of_one_text_are_refused(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "a"};
    struct recipe recipe = sound;
    recipe.tokens = tokens;
    recipe.token_count = LENGTH(tokens);
    assert_refused(&recipe, ERROR_INVALID, "tokens 0 and 2 have the same text");
}

static void a_token_too_long_is_refused(void **state)
{
    (void)state;
    char *text = calloc(1, VOCABULARY_TOKEN_BYTES + 2);
    assert_non_null(text);
    memset(text, 'a', VOCABULARY_TOKEN_BYTES);
    const char *const tokens[] = {"a", text};
    struct recipe recipe = sound;
    struct fixture fixture;
    recipe.tokens = tokens;
    recipe.token_count = LENGTH(tokens);
    make(&fixture, &recipe);
    assert_non_null(fixture.tokenizer);
    destroy(&fixture);
    text[VOCABULARY_TOKEN_BYTES] = 'a';
    assert_refused(&recipe, ERROR_INVALID, "token 1: 4097 bytes long");
    free(text);
}

static void types_are_held_against_the_tokens(void **state)
{
    (void)state;
    static const int32_t few[] = {1, 1, 1};
    static const int32_t byte[] = {1, 1, 6, 1, 1, 1};
    struct recipe recipe = sound;
    recipe.types = few;
    recipe.type_count = LENGTH(few);
    assert_refused(&recipe, ERROR_INVALID, "not 6 integers");
    recipe.types = byte;
    recipe.type_count = LENGTH(byte);
    assert_refused(&recipe, ERROR_INVALID, "token 2 is of type byte");
}

static void a_score_that_is_no_number_is_refused(void **state)
{
    (void)state;
    static const float scores[] = {0, 0, 0, NAN, 0, 0};
    struct recipe recipe = {.model = "llama",
                            .tokens = abc,
                            .token_count = LENGTH(abc),
                            .scores = scores,
                            .score_count = LENGTH(scores)};
    assert_refused(&recipe, ERROR_INVALID, "token 3 is no number");
}

static void merges_of_unknown_tokens_are_left_out(void **state)
{
    (void)state;
    static const char *const merges[] = {"a z", "z a", "c b", "", " ", "a", "b c", "b c", "a b"};
    struct recipe recipe = sound;
    struct fixture fixture;
    recipe.merges = merges;
    recipe.merge_count = LENGTH(merges);
    make(&fixture, &recipe);
    assert_non_null(fixture.tokenizer);
    assert_ids(&fixture, "abc", (const uint32_t[]){0, 5}, 2); /* "b c" is the better one */
    assert_ids(&fixture, "cba", (const uint32_t[]){2, 1, 0}, 3);
    destroy(&fixture);
}

static void bytes_without_a_token_are_left_out(void **state)
{
    (void)state;
    struct fixture fixture;
    make(&fixture, &sound);
    assert_non_null(fixture.tokenizer);
    assert_ids(&fixture, "abc", (const uint32_t[]){4}, 1);
    assert_ids(&fixture, "abzbc", (const uint32_t[]){3, 1, 2}, 3);
    assert_ids(&fixture, "z", NULL, 0);
    destroy(&fixture);
}

static void an_empty_token_is_never_found(void **state)
{
    (void)state;
    static const char *const tokens[] = {"", "a", "", "b", "ab"};
    static const int32_t types[] = {3, 1, 4, 1, 1};
    static const char *const merges[] = {"a b"};
    struct recipe recipe = {.model = "gpt2",
                            .tokens = tokens,
                            .token_count = LENGTH(tokens),
                            .types = types,
                            .type_count = LENGTH(types),
                            .merges = merges,
                            .merge_count = 1};
    struct fixture fixture;
    size_t count = 1;
    make(&fixture, &recipe);
    assert_non_null(fixture.tokenizer);
    (void)tokenizer_piece(fixture.tokenizer, 0, &count);
    assert_int_equal(count, 0);
    assert_ids(&fixture, "aba", (const uint32_t[]){4, 1}, 2);
    destroy(&fixture);
}

static void unknown_text_is_the_unknown_token(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>", "a", "\xe2\x96\x81"};
    static const int32_t types[] = {2, 1, 1};
    static const float scores[] = {0, 0, 0};
    struct recipe recipe = {.model = "llama",
                            .tokens = tokens,
                            .token_count = LENGTH(tokens),
                            .types = types,
                            .type_count = LENGTH(types),
                            .scores = scores,
                            .score_count = LENGTH(scores)};
    struct fixture fixture;
    make(&fixture, &recipe);
    assert_non_null(fixture.tokenizer);
    assert_ids(&fixture, "az", (const uint32_t[]){2, 1, 0}, 3);
    destroy(&fixture);
}

static void best_score_joins_first_and_ties_go_left(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "c", "ab", "bc", "aa", "\xe2\x96\x81"};
    static const float scores[] = {0, 0, 0, -2, -1, -3, 0};
    struct recipe recipe = {.model = "llama",
                            .tokens = tokens,
                            .token_count = LENGTH(tokens),
                            .scores = scores,
                            .score_count = LENGTH(scores)};
    struct fixture fixture;
    make(&fixture, &recipe);
    assert_non_null(fixture.tokenizer);
    assert_ids(&fixture, "abc", (const uint32_t[]){6, 0, 4}, 3);
    assert_ids(&fixture, "aaa", (const uint32_t[]){6, 5, 0}, 3);
    destroy(&fixture);
}

static void the_byte_alphabet_is_256_different_characters(void **state)
{
    (void)state;
    char spelled[256][2] = {{0}};
    for (int byte = 0; byte < 256; byte++) {
        size_t count = byte_level_encode((uint8_t)byte, spelled[byte]);
        assert_true(utf8_valid(spelled[byte], count));
        for (int other = 0; other < byte; other++)
            assert_memory_not_equal(spelled[byte], spelled[other], 2);
    }
    assert_memory_equal(spelled[' '], "\xc4\xa0", 2);
    assert_memory_equal(spelled['\n'], "\xc4\x8a", 2);
    assert_memory_equal(spelled[0xad], "\xc5\x83", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_and_unknown_parts_are_named),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(two_tokens_of_one_text_are_refused),
        cmocka_unit_test(a_token_too_long_is_refused),
        cmocka_unit_test(types_are_held_against_the_tokens),
        cmocka_unit_test(a_score_that_is_no_number_is_refused),
        cmocka_unit_test(merges_of_unknown_tokens_are_left_out),
        cmocka_unit_test(bytes_without_a_token_are_left_out),
        cmocka_unit_test(an_empty_token_is_never_found),
        cmocka_unit_test(unknown_text_is_the_unknown_token),
        cmocka_unit_test(best_score_joins_first_and_ties_go_left),
        cmocka_unit_test(the_byte_alphabet_is_256_different_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
