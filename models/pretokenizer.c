/* SPDX-License-Identifier: Apache-2.0 */
/* pretokenizer.c -- one anchored pattern a family, matched again and again until the text ends.
 *
 * Models were trained on text cut by regular expressions, and a cut in another place is another
 * prompt. The published patterns search, leave gaps, and are applied one after the other; here
 * each family is a single pattern whose alternatives cover every character, so that matching at
 * the end of the last match is all there is. What that changed:
 *   - `\s+` is added at the end where it was missing: a lone space before a word that does not
 *     take it used to be a gap.
 *   - A family that isolates something first (each digit: smollm; punctuation: default) cuts the
 *     text there, and what follows is matched as if the text ended at the cut. In one pattern
 *     that is the lookahead of the white space rule: `(?!\S)` becomes "not before a character that
 *     is neither space nor isolated".
 *   - `\s*[\r\n]+` is written with possessive loops, which can't be retried: white space without a
 *     line end would be walked back one by one.
 * So a match looks at each character a bounded number of times, and the walk is linear.
 *
 * White space is spelled out, for PCRE2's \s under UCP also has U+180E, which Unicode 6.3 took
 * out of the class and on which no vocabulary was trained. The contractions that ignore case are
 * spelled out too: case folding would let U+017F stand for s. Letters and numbers are those of the
 * library's Unicode; they differ between libraries only in characters assigned of late.
 *
 * Bytes that are not UTF-8 can't be given to the pattern. Each is a piece by itself and the text
 * on either side is cut alone, so one stray byte costs one token and no error. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "models/pretokenizer.h"

#include "base/text.h"

#include <assert.h>
#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SPACES                                                                                     \
    "\\t-\\r "                                                                                     \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define PUNCTUATION   "\\p{P}$+<=>^~|"
#define CONTRACTION   "'(?:[stmd]|re|ve|ll)"
#define CONTRACTION_I "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
#define OTHERS        " ?[^" SPACES "\\p{L}\\p{N}]+"
#define LINE_ENDS                                                                                  \
    "(?:[\\t\\x0b\\x0c "                                                                           \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}]*+["  \
    "\\r\\n]++)++"
#define SPACE_RUN "[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"

static const char gpt2_pattern[] = CONTRACTION "| ?\\p{L}+| ?\\p{N}+|" OTHERS "|" SPACE_RUN;
static const char smollm_pattern[] =
    CONTRACTION "| ?\\p{L}+|\\p{N}|" OTHERS "|[" SPACES "]+(?![^" SPACES "\\p{N}])|[" SPACES "]+";
static const char llama3_pattern[] = CONTRACTION_I
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" OTHERS "[\\r\\n]*|" LINE_ENDS "|" SPACE_RUN;
static const char qwen2_pattern[] = CONTRACTION_I "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" OTHERS
                                                  "[\\r\\n]*|" LINE_ENDS "|" SPACE_RUN;
/* What files from before tokenizer.ggml.pre get: runs of punctuation, and digits by threes. */
static const char default_pattern[] =
    "[" PUNCTUATION "]+| ?\\p{L}+|[0-9]{3}|(?:(?![0-9]{3})\\p{N})++"
    "| ?[^" SPACES "\\p{L}\\p{N}" PUNCTUATION "]+"
    "|[" SPACES "]+(?![^" SPACES PUNCTUATION "])|[" SPACES "]+";

static const struct family {
    const char *name; /* tokenizer.ggml.pre */
    const char *pattern;
    struct pretokenizer_traits traits;
} families[] = {
    {"", default_pattern, {false, false}},
    {"default", default_pattern, {false, false}},
    {"gpt-2", gpt2_pattern, {false, false}},
    {"gpt2", gpt2_pattern, {false, false}},
    {"phi-2", gpt2_pattern, {false, false}},
    {"olmo", gpt2_pattern, {false, false}},
    {"mpt", gpt2_pattern, {false, false}},
    {"smollm", smollm_pattern, {false, false}},
    {"starcoder", smollm_pattern, {false, false}},
    {"refact", smollm_pattern, {false, false}},
    {"command-r", smollm_pattern, {false, false}},
    {"llama-bpe", llama3_pattern, {true, true}},
    {"llama3", llama3_pattern, {true, true}},
    {"llama-v3", llama3_pattern, {true, true}},
    {"qwen2", qwen2_pattern, {false, false}},
    {"deepseek-r1-qwen", qwen2_pattern, {false, false}},
    {"stablelm2", qwen2_pattern, {false, false}},
};

struct pretokenizer {
    pcre2_code *code;
};

struct pretokenizer_walk {
    const pcre2_code *code; /* borrowed: the pretokenizer */
    pcre2_match_data *match;
    const char *text; /* borrowed: the caller */
    size_t count, at;
    size_t valid_end; /* text[at .. valid_end) is UTF-8 */
};

static const struct family *find_family(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i].name, name) == 0)
            return &families[i];
    }
    return NULL;
}

struct pretokenizer *pretokenizer_new(const char *name, struct pretokenizer_traits *ret,
                                      struct error *err)
{
    const struct family *family = find_family(name);
    if (family == NULL) {
        (void)error_set(err, ERROR_UNSUPPORTED,
                        "key 'tokenizer.ggml.pre': pre-tokeniser '%s' is not implemented", name);
        return NULL;
    }
    struct pretokenizer *pretokenizer = calloc(1, sizeof *pretokenizer);
    if (pretokenizer == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    int code = 0;
    PCRE2_SIZE offset = 0;
    pretokenizer->code = pcre2_compile(
        (PCRE2_SPTR)family->pattern, PCRE2_ZERO_TERMINATED,
        PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_DOLLAR_ENDONLY, &code, &offset, NULL);
    if (pretokenizer->code == NULL) {
        (void)error_set(err, ERROR_UNSUPPORTED,
                        "pre-tokeniser '%s': PCRE2 error %d at %zu of the pattern", name, code,
                        offset);
        free(pretokenizer);
        return NULL;
    }
    /* Where pages can't be made executable the interpreter does the same, slower. */
    (void)pcre2_jit_compile(pretokenizer->code, PCRE2_JIT_COMPLETE);
    *ret = family->traits;
    return pretokenizer;
}

void pretokenizer_free(struct pretokenizer *pretokenizer)
{
    if (pretokenizer == NULL)
        return;
    pcre2_code_free(pretokenizer->code);
    free(pretokenizer);
}

struct pretokenizer_walk *pretokenizer_walk_new(const struct pretokenizer *pretokenizer)
{
    struct pretokenizer_walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL)
        return NULL;
    walk->code = pretokenizer->code;
    walk->match = pcre2_match_data_create(1, NULL);
    if (walk->match != NULL)
        return walk;
    free(walk);
    return NULL;
}

void pretokenizer_walk_free(struct pretokenizer_walk *walk)
{
    if (walk == NULL)
        return;
    pcre2_match_data_free(walk->match);
    free(walk);
}

void pretokenizer_walk_start(struct pretokenizer_walk *walk, const char *text, size_t count)
{
    walk->text = text;
    walk->count = count;
    walk->at = 0;
    walk->valid_end = 0;
}

/* Length of the UTF-8 that `bytes` begins with. */
static size_t valid_length(const char *bytes, size_t count)
{
    size_t at = 0;
    while (at < count) {
        uint32_t codepoint;
        size_t length = utf8_decode(bytes + at, count - at, &codepoint);
        if (codepoint == UINT32_MAX)
            break;
        at += length;
    }
    return at;
}

int pretokenizer_walk_next(struct pretokenizer_walk *walk, const char **ret, size_t *ret_count,
                           struct error *err)
{
    if (walk->at == walk->count)
        return 0;
    const char *piece = walk->text + walk->at;
    if (walk->at == walk->valid_end)
        walk->valid_end += valid_length(piece, walk->count - walk->at);
    if (walk->at == walk->valid_end) { /* a byte that is not UTF-8 */
        walk->valid_end = ++walk->at;
        *ret = piece;
        *ret_count = 1;
        return 1;
    }
    int matched = pcre2_match(walk->code, (PCRE2_SPTR)piece, walk->valid_end - walk->at, 0,
                              PCRE2_NO_UTF_CHECK, walk->match, NULL);
    if (matched < 0)
        return error_set(err, ERROR_INVALID, "text can't be split at byte %zu: PCRE2 error %d",
                         walk->at, matched);
    size_t length = pcre2_get_ovector_pointer(walk->match)[1];
    assert(length > 0); /* the alternatives cover every character and none matches nothing */
    *ret = piece;
    *ret_count = length;
    walk->at += length;
    return 1;
}
