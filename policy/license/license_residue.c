/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/license_residue.h"

#include "base/text.h"

#include <string.h>

#define BEFORE_BYTES 96u /* of a long sentence, shown before the words in question */

/* Words [begin, end) in question, in the sentence that they are shown with. */
struct stretch {
    const struct license_sentence *sentence;
    uint32_t begin, end;
};

static bool is_unknown(const bool *matched, uint32_t word)
{
    return matched == NULL || !matched[word];
}

/* The next words in question from `word` on, within the sentence; false for none. */
static bool find_stretch(const struct license_sentence *sentence, const bool *matched,
                         uint32_t word, struct stretch *ret)
{
    uint32_t end = sentence->first_word + sentence->word_count;
    while (word < end && !is_unknown(matched, word))
        word++;
    ret->sentence = sentence;
    ret->begin = word;
    while (word < end && is_unknown(matched, word))
        word++;
    ret->end = word;
    return ret->begin < ret->end;
}

/* Characters that would end the line, or turn, hide or colour what follows on a terminal. */
static bool is_layout(uint32_t codepoint)
{
    return codepoint <= ' ' || (codepoint >= 0x7f && codepoint <= 0xa0) ||
           (codepoint >= 0x200b && codepoint <= 0x200f) ||
           (codepoint >= 0x2028 && codepoint <= 0x202e) ||
           (codepoint >= 0x2060 && codepoint <= 0x206f) || codepoint == 0xfeff;
}

/* Writes bytes [begin, end) on one line, cut with "..." where they do not fit. */
static void show(const char *bytes, uint32_t begin, uint32_t end, bool cut_before,
                 char out[LICENSE_RESIDUE_BYTES])
{
    size_t used = 0, room = LICENSE_RESIDUE_BYTES - 4, length;
    bool blank = false;
    if (cut_before) {
        memcpy(out, "...", 3);
        used = 3;
    }
    for (uint32_t at = begin; at < end; at += (uint32_t)length) {
        uint32_t codepoint;
        length = utf8_decode(bytes + at, end - at, &codepoint);
        if (codepoint == UINT32_MAX || is_layout(codepoint)) {
            blank = used > 0;
            continue;
        }
        if (used + blank + length > room) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        if (blank)
            out[used++] = ' ';
        blank = false;
        memcpy(out + used, bytes + at, length);
        used += length;
    }
    out[used] = '\0';
}

/* The words in question alone, or, where they are a part of their sentence, that too: "not" rules
 * nothing until it is read with the rest. */
static const char *restriction_of(const struct license_text *text, const struct stretch *stretch)
{
    uint32_t begin = text->starts[stretch->begin], end = text->starts[stretch->end];
    const char *found = license_restriction(text->words + begin, end - begin);
    if (found != NULL || stretch->end - stretch->begin == stretch->sentence->word_count)
        return found;
    begin = text->starts[stretch->sentence->first_word];
    end = text->starts[stretch->sentence->first_word + stretch->sentence->word_count];
    return license_restriction(text->words + begin, end - begin);
}

static bool fits(const struct license_sentence *sentence)
{
    return sentence->end - sentence->begin <= LICENSE_RESIDUE_BYTES - 4;
}

static void write_residue(const struct license_text *text, const char *bytes,
                          const struct stretch *stretch, const char *restricts,
                          struct license_residue *ret)
{
    uint32_t word = stretch->begin, first = stretch->sentence->first_word;
    if (fits(stretch->sentence))
        word = first;
    while (word > first && text->origins[stretch->begin] - text->origins[word - 1] <= BEFORE_BYTES)
        word--;
    show(bytes, text->origins[word], stretch->sentence->end, word > first, ret->sentence);
    ret->restricts = restricts;
}

/* One way through the sentences: writes those that restrict, or the others. */
static void write_some(const struct license_text *text, const char *bytes, const bool *matched,
                       bool restricting, struct license_match *ret)
{
    struct stretch stretch;
    for (uint32_t i = 0; i < text->sentence_count; i++) {
        const struct license_sentence *sentence = &text->sentences[i];
        uint32_t word = sentence->first_word, end = word + sentence->word_count;
        while (find_stretch(sentence, matched, word, &stretch)) {
            word = fits(sentence) ? end : stretch.end; /* a short one is shown once */
            const char *restricts = restriction_of(text, &stretch);
            if ((restricts != NULL) != restricting)
                continue;
            ret->residue_total++;
            if (ret->residue_count < LICENSE_RESIDUES_MAX)
                write_residue(text, bytes, &stretch, restricts,
                              &ret->residues[ret->residue_count++]);
        }
    }
}

void license_residues_find(const struct license_text *text, const char *bytes, const bool *matched,
                           struct license_match *ret)
{
    ret->residue_count = 0;
    ret->residue_total = 0;
    write_some(text, bytes, matched, true, ret);
    write_some(text, bytes, matched, false, ret);
}
