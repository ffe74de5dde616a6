/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/tokenizer.h"

#define BYTE_LEVEL    "tests/golden/vocab-gpt2.gguf"
#define SENTENCEPIECE "tests/golden/vocab-spm.gguf"

static const struct encode_options plain = {0};
static const struct encode_options special = {.parse_special = true};
static const struct encode_options whole = {.add_special = true, .parse_special = true};

struct fixture {
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct token_list list;
    struct text text;
    struct error err;
};

static void open_fixture(struct fixture *fixture, const char *path)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->gguf = gguf_open(path, &fixture->err);
    if (fixture->gguf == NULL)
        fail_msg("%s", fixture->err.text);
    fixture->tokenizer = tokenizer_new(fixture->gguf, &fixture->err);
    if (fixture->tokenizer == NULL)
        fail_msg("%s: %s", path, fixture->err.text);
}

static void close_fixture(struct fixture *fixture)
{
    token_list_destroy(&fixture->list);
    text_destroy(&fixture->text);
    tokenizer_free(fixture->tokenizer);
    gguf_close(fixture->gguf);
}

static void encode(struct fixture *fixture, const char *text, size_t count,
                   const struct encode_options *options)
{
    fixture->list.count = 0;
    if (tokenizer_encode(fixture->tokenizer, text, count, options, &fixture->list, &fixture->err) !=
        0)
        fail_msg("%s", fixture->err.text);
}

static void decode(struct fixture *fixture, bool skip_special)
{
    text_reset(&fixture->text);
    tokenizer_decode(fixture->tokenizer, fixture->list.ids, fixture->list.count, skip_special,
                     &fixture->text);
}

/* -- the ids of the golden files -- */

static void read_hex(const char *hex, struct text *out)
{
    text_reset(out);
    for (; hex[0] != '\0' && hex[0] != '-'; hex += 2) {
        const char digits[3] = {hex[0], hex[1], '\0'};
        text_append_char(out, (char)strtoul(digits, NULL, 16));
    }
}

static const struct encode_options *options_of(const char *way)
{
    if (strcmp(way, "whole") == 0)
        return &whole;
    return strcmp(way, "plain") == 0 ? &plain : &special;
}

static void check_line(struct fixture *fixture, char *line, const char *path, size_t number)
{
    char *at;
    const char *way = strtok_r(line, " \n", &at);
    const char *hex = strtok_r(NULL, " \n", &at);
    assert_non_null(hex);
    read_hex(hex, &fixture->text);
    encode(fixture, text_string(&fixture->text), fixture->text.count, options_of(way));
    size_t count = 0;
    for (const char *id; (id = strtok_r(NULL, " \n", &at)) != NULL; count++) {
        if (count >= fixture->list.count || strtoul(id, NULL, 10) != fixture->list.ids[count])
            fail_msg("%s:%zu: token %zu is not %s", path, number, count, id);
    }
    if (count != fixture->list.count)
        fail_msg("%s:%zu: %zu tokens, not %zu", path, number, fixture->list.count, count);
}

static void check_golden(const char *model, const char *path)
{
    struct fixture fixture;
    char line[16384];
    size_t lines = 0;
    open_fixture(&fixture, model);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        assert_non_null(strchr(line, '\n'));
        check_line(&fixture, line, path, ++lines);
    }
    assert_true(lines >= 200);
    assert_int_equal(fclose(file), 0);
    close_fixture(&fixture);
}

static void default_model_gives_the_golden_ids(void **state)
{
    (void)state;
    const char *model = getenv("WEIR_TEST_MODEL");
    if (model == NULL)
        fail_msg("set WEIR_TEST_MODEL to the default model's GGUF file; `make test` does");
    check_golden(model, "tests/golden/tokenizer.txt");
}

static void every_pretokenizer_gives_the_golden_ids(void **state)
{
    (void)state;
    check_golden(BYTE_LEVEL, "tests/golden/vocab-gpt2.txt");
    check_golden("tests/golden/vocab-smollm.gguf", "tests/golden/vocab-smollm.txt");
    check_golden("tests/golden/vocab-llama-bpe.gguf", "tests/golden/vocab-llama-bpe.txt");
    check_golden("tests/golden/vocab-qwen2.gguf", "tests/golden/vocab-qwen2.txt");
    check_golden("tests/golden/vocab-default.gguf", "tests/golden/vocab-default.txt");
}

static void sentencepiece_gives_the_golden_ids(void **state)
{
    (void)state;
    check_golden(SENTENCEPIECE, "tests/golden/vocab-spm.txt");
}

/* -- special tokens -- */

static void control_tokens_need_asking_user_defined_ones_do_not(void **state)
{
    (void)state;
    static const char text[] = "a<|im_end|>b<file_sep>";
    struct fixture fixture;
    open_fixture(&fixture, BYTE_LEVEL);
    encode(&fixture, text, strlen(text), &special);
    assert_int_equal(fixture.list.count, 4);
    assert_int_equal(fixture.list.ids[1], 2);
    assert_true(tokenizer_is_special(fixture.tokenizer, 2));
    decode(&fixture, true);
    assert_string_equal(text_string(&fixture.text), "ab<file_sep>");
    decode(&fixture, false);
    assert_string_equal(text_string(&fixture.text), text);
    encode(&fixture, text, strlen(text), &plain);
    for (size_t i = 0; i < fixture.list.count; i++)
        assert_true(fixture.list.ids[i] != 2);
    decode(&fixture, true);
    assert_string_equal(text_string(&fixture.text), text);
    close_fixture(&fixture);
}

static void longest_special_token_wins(void **state)
{
    (void)state;
    static const char text[] = "<|im_end|><|im_end|><|im_end|>";
    struct fixture fixture;
    open_fixture(&fixture, BYTE_LEVEL);
    encode(&fixture, text, strlen(text), &special);
    assert_int_equal(fixture.list.count, 2);
    assert_int_equal(fixture.list.ids[0], 3);
    assert_int_equal(fixture.list.ids[1], 2);
    close_fixture(&fixture);
}

static void names_and_keys_end_a_generation(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, BYTE_LEVEL);
    assert_int_equal(tokenizer_bos(fixture.tokenizer), 1);
    assert_int_equal(tokenizer_eos(fixture.tokenizer), 2);
    assert_true(tokenizer_ends_generation(fixture.tokenizer, 0));  /* <|endoftext|> */
    assert_true(tokenizer_ends_generation(fixture.tokenizer, 2));  /* <|im_end|> */
    assert_false(tokenizer_ends_generation(fixture.tokenizer, 1)); /* <|im_start|> */
    assert_false(tokenizer_ends_generation(fixture.tokenizer, 100));
    close_fixture(&fixture);
}

/* -- any bytes -- */

static void every_byte_is_a_token_of_its_own(void **state)
{
    (void)state;
    struct fixture fixture;
    const char *const paths[] = {BYTE_LEVEL, SENTENCEPIECE};
    for (size_t i = 0; i < 2; i++) {
        open_fixture(&fixture, paths[i]);
        for (int byte = 0x80; byte < 256; byte++) { /* none of them is UTF-8 by itself */
            const char text[] = {'x', (char)byte, 'x'};
            encode(&fixture, text, sizeof text, &plain);
            size_t found = 0, count;
            for (size_t t = 0; t < fixture.list.count; t++) {
                const char *piece = tokenizer_piece(fixture.tokenizer, fixture.list.ids[t], &count);
                found += count == 1 && piece[0] == text[1];
            }
            assert_int_equal(found, 1);
        }
        close_fixture(&fixture);
    }
}

static void broken_utf8_decodes_to_replacements(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xe2\x82", "\xef\xbf\xbd"},
        {"\xe2\x82z", "\xef\xbf\xbdz"},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\x80\xe2\x82\xac\xe2", "\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    struct fixture fixture;
    open_fixture(&fixture, BYTE_LEVEL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        encode(&fixture, cases[i].in, strlen(cases[i].in), &plain);
        decode(&fixture, false);
        assert_string_equal(text_string(&fixture.text), cases[i].out);
    }
    close_fixture(&fixture);
}

/* Any tokens in any order: what has come out is always whole characters, and the parts are the
 * whole. */
static void check_stream(struct fixture *fixture, bool skip_special)
{
    struct detokenizer detokenizer;
    struct text streamed;
    text_init(&streamed);
    detokenizer_init(&detokenizer, fixture->tokenizer, skip_special, true);
    for (size_t i = 0; i < fixture->list.count; i++) {
        detokenizer_push(&detokenizer, fixture->list.ids[i], &streamed);
        assert_true(utf8_valid(text_string(&streamed), streamed.count));
    }
    detokenizer_finish(&detokenizer, &streamed);
    decode(fixture, skip_special);
    assert_int_equal(streamed.count, fixture->text.count);
    assert_memory_equal(text_string(&streamed), text_string(&fixture->text), streamed.count);
    text_destroy(&streamed);
}

static void a_stream_never_splits_a_character(void **state)
{
    (void)state;
    struct fixture fixture;
    const char *const paths[] = {BYTE_LEVEL, SENTENCEPIECE};
    for (size_t p = 0; p < 2; p++) {
        open_fixture(&fixture, paths[p]);
        uint64_t seed = 1;
        for (size_t round = 0; round < 2000; round++) {
            fixture.list.count = 0;
            for (size_t i = 0; i < 1 + round % 24; i++) {
                seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                uint32_t token = (uint32_t)(seed >> 33) % tokenizer_vocabulary(fixture.tokenizer);
                assert_true(token_list_append(&fixture.list, token));
            }
            check_stream(&fixture, round % 2 == 0);
        }
        close_fixture(&fixture);
    }
}

static void sentencepiece_puts_one_space_and_takes_one_away(void **state)
{
    (void)state;
    static const char *const texts[] = {"Hello world", " Hello", "  two", "", " "};
    struct fixture fixture;
    open_fixture(&fixture, SENTENCEPIECE);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        encode(&fixture, texts[i], strlen(texts[i]), &whole);
        assert_int_equal(fixture.list.ids[0], 1); /* <s> */
        decode(&fixture, true);
        assert_string_equal(text_string(&fixture.text), texts[i]);
    }
    encode(&fixture, "a", 1, &plain);
    struct detokenizer detokenizer; /* in the middle of a text the space stays */
    detokenizer_init(&detokenizer, fixture.tokenizer, true, false);
    text_reset(&fixture.text);
    for (size_t i = 0; i < fixture.list.count; i++)
        detokenizer_push(&detokenizer, fixture.list.ids[i], &fixture.text);
    assert_string_equal(text_string(&fixture.text), " a");
    close_fixture(&fixture);
}

/* -- limits -- */

static void past_the_limit_the_list_is_unchanged(void **state)
{
    (void)state;
    struct encode_options options = {.tokens_max = 3};
    struct fixture fixture;
    const char *const paths[] = {BYTE_LEVEL, SENTENCEPIECE};
    for (size_t p = 0; p < 2; p++) {
        open_fixture(&fixture, paths[p]);
        assert_true(token_list_append(&fixture.list, 7));
        assert_int_equal(
            tokenizer_encode(fixture.tokenizer, "!Q#W%E", 6, &options, &fixture.list, &fixture.err),
            ERROR_INVALID);
        assert_string_equal(fixture.err.text, "the text is longer than 3 tokens");
        assert_int_equal(fixture.list.count, 1);
        options.tokens_max = 8;
        assert_int_equal(
            tokenizer_encode(fixture.tokenizer, "!Q#W%E", 6, &options, &fixture.list, &fixture.err),
            0);
        assert_true(fixture.list.count > 4);
        options.tokens_max = 3;
        close_fixture(&fixture);
    }
}

/* A quadratic step anywhere would take minutes to hours here. */
static void long_runs_are_encoded_in_time(void **state)
{
    (void)state;
    static const char *const paths[] = {BYTE_LEVEL, SENTENCEPIECE, "tests/golden/vocab-qwen2.gguf",
                                        "tests/golden/vocab-default.gguf"};
    static const char *const units[] = {
        "a",    " ",         "\n",           "9",   "!",    "'", "ab", " \n ",
        "\xff", "a\xff\xc3", "\xe4\xbd\xa0", "<|i", "\r\n "};
    const size_t bytes = 1u << 20;
    char *text = malloc(bytes);
    assert_non_null(text);
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        struct fixture fixture;
        open_fixture(&fixture, paths[p]);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t unit = strlen(units[u]), count = (u < 2 ? bytes : bytes / 16) / unit * unit;
            for (size_t at = 0; at < count; at++)
                text[at] = units[u][at % unit];
            encode(&fixture, text, count, &special);
            decode(&fixture, false);
            if (utf8_valid(text, count)) {
                assert_int_equal(fixture.text.count, count);
                assert_memory_equal(fixture.text.bytes, text, count);
            }
        }
        close_fixture(&fixture);
    }
    free(text);
}

static void *encode_many(void *argument)
{
    static const char text[] = "Threads don't  share 123 things\n\nbut \xf0\x9f\x98\x80 <|im_end|>";
    const struct tokenizer *tokenizer = argument;
    struct token_list first = {0}, list = {0};
    bool same = tokenizer_encode(tokenizer, text, strlen(text), &special, &first, NULL) == 0;
    for (size_t round = 0; same && round < 200; round++) {
        list.count = 0;
        same = tokenizer_encode(tokenizer, text, strlen(text), &special, &list, NULL) == 0 &&
               list.count == first.count &&
               memcmp(list.ids, first.ids, list.count * sizeof *list.ids) == 0;
    }
    token_list_destroy(&first);
    token_list_destroy(&list);
    return same ? argument : NULL;
}

static void threads_share_one_tokenizer(void **state)
{
    (void)state;
    struct fixture fixture;
    pthread_t threads[4];
    open_fixture(&fixture, "tests/golden/vocab-llama-bpe.gguf");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_many, fixture.tokenizer), 0);
    for (size_t i = 0; i < 4; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, fixture.tokenizer);
    }
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_model_gives_the_golden_ids),
        cmocka_unit_test(every_pretokenizer_gives_the_golden_ids),
        cmocka_unit_test(sentencepiece_gives_the_golden_ids),
        cmocka_unit_test(control_tokens_need_asking_user_defined_ones_do_not),
        cmocka_unit_test(longest_special_token_wins),
        cmocka_unit_test(names_and_keys_end_a_generation),
        cmocka_unit_test(every_byte_is_a_token_of_its_own),
        cmocka_unit_test(broken_utf8_decodes_to_replacements),
        cmocka_unit_test(a_stream_never_splits_a_character),
        cmocka_unit_test(sentencepiece_puts_one_space_and_takes_one_away),
        cmocka_unit_test(past_the_limit_the_list_is_unchanged),
        cmocka_unit_test(long_runs_are_encoded_in_time),
        cmocka_unit_test(threads_share_one_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
