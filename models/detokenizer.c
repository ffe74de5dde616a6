/* SPDX-License-Identifier: Apache-2.0 */
/* detokenizer.c -- bytes of tokens in, whole characters out.
 *
 * A token may end in the middle of a character: an emoji is often three tokens. What could still
 * become a character waits in `pending` (3 bytes at most); what can't is U+FFFD, one for each
 * longest piece that began like a character (Unicode 15, section 3.9, "maximal subparts"), as
 * browsers and Python decode. Decoding a whole list is pushing its tokens one by one, so that a
 * stream and its end can't disagree. */
#include "models/tokenizer.h"

#include <assert.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd";

void detokenizer_init(struct detokenizer *detokenizer, const struct tokenizer *tokenizer,
                      bool skip_special, bool at_start)
{
    *detokenizer = (struct detokenizer){.tokenizer = tokenizer,
                                        .skip_special = skip_special,
                                        .at_start = at_start && tokenizer_adds_space(tokenizer)};
}

/* How many bytes one U+FFFD stands for, where no character can be: the longest beginning of one. */
static size_t broken_length(const char *bytes, size_t count)
{
    for (size_t length = count < 3 ? count : 3; length > 1; length--) {
        if (utf8_incomplete_tail(bytes, length) == length)
            return length;
    }
    return 1;
}

/* Appends the characters of `bytes`; returns how many bytes at the end are still open. */
static size_t append_characters(const char *bytes, size_t count, struct text *out)
{
    size_t open = utf8_incomplete_tail(bytes, count);
    size_t end = count - open, plain = 0, at = 0;
    while (at < end) {
        uint32_t codepoint;
        size_t length = utf8_decode(bytes + at, end - at, &codepoint);
        if (codepoint != UINT32_MAX) {
            at += length;
            continue;
        }
        text_append(out, bytes + plain, at - plain);
        text_append(out, replacement, 3);
        at += broken_length(bytes + at, end - at);
        plain = at;
    }
    text_append(out, bytes + plain, end - plain);
    return open;
}

/* Completes the pending character with the first bytes of a piece; returns how many it took. */
static size_t settle_pending(struct detokenizer *detokenizer, const char *piece, size_t count,
                             struct text *out)
{
    size_t used = 0;
    while (detokenizer->pending_count > 0 && used < count) {
        assert(detokenizer->pending_count < sizeof detokenizer->pending);
        size_t open = detokenizer->pending_count;
        detokenizer->pending[open] = piece[used];
        size_t total = open + 1;
        if (utf8_incomplete_tail(detokenizer->pending, total) == total) {
            detokenizer->pending_count = (uint8_t)total; /* one byte nearer, not there yet */
            used++;
        } else if (utf8_valid(detokenizer->pending, total)) {
            text_append(out, detokenizer->pending, total);
            detokenizer->pending_count = 0;
            used++;
        } else { /* the byte begins something else */
            text_append(out, replacement, 3);
            detokenizer->pending_count = 0;
        }
    }
    return used;
}

void detokenizer_push(struct detokenizer *detokenizer, uint32_t token, struct text *out)
{
    if (detokenizer->skip_special && tokenizer_is_special(detokenizer->tokenizer, token))
        return;
    size_t count;
    const char *piece = tokenizer_piece(detokenizer->tokenizer, token, &count);
    if (count == 0)
        return;
    if (detokenizer->at_start && piece[0] == ' ') {
        piece++;
        count--;
    }
    detokenizer->at_start = false;
    size_t used = settle_pending(detokenizer, piece, count, out);
    if (used == count)
        return;
    size_t open = append_characters(piece + used, count - used, out);
    memcpy(detokenizer->pending, piece + count - open, open);
    detokenizer->pending_count = (uint8_t)open;
}

void detokenizer_finish(struct detokenizer *detokenizer, struct text *out)
{
    if (detokenizer->pending_count > 0)
        text_append(out, replacement, 3);
    detokenizer->pending_count = 0;
}

void tokenizer_decode(const struct tokenizer *tokenizer, const uint32_t *tokens, size_t count,
                      bool skip_special, struct text *out)
{
    struct detokenizer detokenizer;
    detokenizer_init(&detokenizer, tokenizer, skip_special, true);
    for (size_t i = 0; i < count; i++)
        detokenizer_push(&detokenizer, tokens[i], out);
    detokenizer_finish(&detokenizer, out);
}
