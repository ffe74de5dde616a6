/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes beside the weights: refused, or a text that its own fingerprint knows.
 *
 * The bytes before the first NUL are the text; those after it are the sentences of a pattern.
 * Texts that begin with the byte order mark of UTF-16 are taken whole. */
#include "policy/license/license_match.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Sentences lie side by side over all words, words over the original. */
static void check_text(const struct license_text *text, size_t count)
{
    uint32_t word = 0, begin = 0;
    require(text->word_count > 0 && text->sentence_count > 0);
    for (uint32_t i = 0; i < text->word_count; i++)
        require(text->starts[i] < text->starts[i + 1] &&
                text->words[text->starts[i + 1] - 1] == ' ' &&
                text->origins[i] < text->origins[i + 1]);
    require(text->words[text->starts[text->word_count]] == '\0');
    for (uint32_t i = 0; i < text->sentence_count; i++) {
        const struct license_sentence *sentence = &text->sentences[i];
        require(sentence->first_word == word && sentence->word_count > 0);
        require(sentence->begin >= begin && sentence->end > sentence->begin);
        word += sentence->word_count;
        begin = sentence->end;
    }
    require(word == text->word_count && begin <= count);
}

/* The text against a pattern: what is whole leaves nothing over. */
static void check_pattern(const struct license_pattern *pattern, const struct license_text *text,
                          bool own)
{
    struct license_alignment alignment;
    bool *matched = malloc(text->word_count * sizeof *matched);
    require(matched != NULL);
    require(license_pattern_align(pattern, text, &alignment, matched, NULL) == 0);
    require(alignment.word_count <= text->word_count);
    require(alignment.missing <= license_pattern_sentences(pattern));
    bool whole = license_pattern_is(pattern, text);
    if (own && !license_pattern_has_slots(pattern))
        require(whole && alignment.missing == 0 &&
                (alignment.word_count == text->word_count || text->sentence_count > 2048));
    free(matched);
}

static void check_match(const struct license_text *text, const char *bytes, char *digest,
                        char *sentences, bool own)
{
    struct license_fingerprint fingerprint = {.digest = digest, .sentences = sentences};
    struct license_record record = {.id = digest, .texts = &fingerprint, .text_count = 1};
    const struct license_record *records[] = {&record};
    struct license_match match;
    struct license_matcher *matcher = license_matcher_of(records, 1, NULL);
    if (matcher == NULL)
        return;
    require(license_match(matcher, text, bytes, &match, NULL) == 0);
    require(own == (match.kind == MATCH_DIGEST) || match.kind == MATCH_PATTERN);
    require(match.residue_count <= match.residue_total);
    require(match.kind != MATCH_NONE || match.residue_count > 0 || match.nearest != NULL);
    for (uint32_t i = 0; i < match.residue_count; i++) {
        const char *sentence = match.residues[i].sentence;
        size_t length = strnlen(sentence, LICENSE_RESIDUE_BYTES);
        require(length > 0 && length < LICENSE_RESIDUE_BYTES && utf8_valid(sentence, length));
        require(strpbrk(sentence, "\r\n\t\x1b") == NULL);
    }
    license_matcher_free(matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const uint8_t *nul = memchr(bytes, '\0', count);
    bool marked = count > 1 && (bytes[0] == 0xff || bytes[0] == 0xfe);
    size_t text_count = nul != NULL && !marked ? (size_t)(nul - bytes) : count;
    struct license_text text;
    struct error err = {0};
    if (license_text_init(&text, (const char *)bytes, text_count, &err) != 0) {
        require(err.code == ERROR_UNSUPPORTED && err.text[0] != '\0');
        return 0;
    }
    check_text(&text, text_count);

    struct text entry;
    text_init(&entry);
    license_text_write(&text, 0, &entry);
    char *written = text_take(&entry, NULL), *sentences = strstr(written, "|\n") + 2;
    char *digest = written + strlen("digest: ");
    digest[2 * LICENSE_DIGEST_BYTES] = '\0';
    struct license_pattern *pattern = license_pattern_new(sentences, &err);
    require(pattern != NULL || strstr(text.words, LICENSE_SLOT_WORD) != NULL ||
            text.sentence_count > LICENSE_PATTERN_SENTENCES_MAX);
    if (pattern != NULL)
        check_pattern(pattern, &text, true);
    license_pattern_free(pattern);
    check_match(&text, (const char *)bytes, digest, sentences, true);

    char *other = calloc(1, count - text_count + 1);
    require(other != NULL);
    if (text_count < count)
        memcpy(other, bytes + text_count + 1, count - text_count - 1);
    pattern = license_pattern_new(other, &err);
    if (pattern != NULL)
        check_pattern(pattern, &text, false);
    license_pattern_free(pattern);
    digest[0] = digest[0] == '0' ? '1' : '0';
    check_match(&text, (const char *)bytes, digest, other, false);
    free(other);
    free(written);
    license_text_destroy(&text);
    return 0;
}
