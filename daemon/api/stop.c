/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c -- Knuth, Morris and Pratt, once a stop string.
 *
 * Text may be shown only when it cannot be the beginning of a stop string any more, and it comes
 * in pieces that know nothing of stop strings. With stop string "\nUser:"
 *
 *     pieces    "Yes."   "\n"      "Us"        "ual"
 *     shown     "Yes."   ""        ""          "\nUsual"
 *     matched   0        1         3           0
 *
 * For each string we keep `matched`, the length of its longest beginning that the text ends with.
 * A byte moves it on by one, or back along the failure table: fallback[k] is the longest proper
 * beginning of the first k bytes that is also their end. So a byte costs amortised constant time
 * a string, no text is ever searched twice, and what must be held back is the largest `matched`.
 *
 * Invariant: the last `matched[i]` bytes read equal the first `matched[i]` bytes of string i, and
 * no longer beginning does (stop_test.c holds it against a plain search, over all cuttings).
 * Road not taken: searching the held text after each piece; it is shorter to write and quadratic
 * for a client that asks to stop at a thousand times "a" and a "b". */
#include "daemon/api/stop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
    char *bytes;
    uint16_t *fallback; /* [count + 1] */
    uint16_t count;
};

struct stop_set {
    size_t count;
    struct pattern patterns[STOP_STRINGS_MAX];
};

static_assert(STOP_BYTES_MAX < UINT16_MAX, "lengths of beginnings are 16 bits");

static uint16_t advance(const struct pattern *pattern, uint16_t matched, char c)
{
    while (matched > 0 && (matched == pattern->count || pattern->bytes[matched] != c))
        matched = pattern->fallback[matched];
    return pattern->bytes[matched] == c ? matched + 1 : 0;
}

static int pattern_init(struct pattern *pattern, const struct stop_string *string)
{
    assert(string->count >= 1);
    assert(string->count <= STOP_BYTES_MAX);
    pattern->count = (uint16_t)string->count;
    pattern->bytes = malloc(string->count);
    pattern->fallback = calloc(string->count + 1, sizeof *pattern->fallback);
    if (pattern->bytes == NULL || pattern->fallback == NULL)
        return -1;
    memcpy(pattern->bytes, string->bytes, string->count);
    for (uint16_t k = 1; k < pattern->count; k++)
        pattern->fallback[k + 1] = advance(pattern, pattern->fallback[k], pattern->bytes[k]);
    return 0;
}

struct stop_set *stop_set_new(const struct stop_string *strings, size_t count)
{
    assert(count <= STOP_STRINGS_MAX);
    struct stop_set *set = calloc(1, sizeof *set);
    if (set == NULL)
        return NULL;
    set->count = count;
    for (size_t i = 0; i < count; i++) {
        if (pattern_init(&set->patterns[i], &strings[i]) < 0) {
            stop_set_free(set);
            return NULL;
        }
    }
    return set;
}

void stop_set_free(struct stop_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++) {
        free(set->patterns[i].bytes);
        free(set->patterns[i].fallback);
    }
    free(set);
}

size_t stop_feed(const struct stop_set *set, struct stop_state *state, const char *bytes,
                 size_t count, size_t *ret_used)
{
    for (size_t at = 0; at < count; at++) {
        size_t found = 0;
        for (size_t i = 0; i < set->count; i++) {
            const struct pattern *pattern = &set->patterns[i];
            state->matched[i] = advance(pattern, state->matched[i], bytes[at]);
            if (state->matched[i] == pattern->count && pattern->count > found)
                found = pattern->count;
        }
        if (found > 0) {
            *ret_used = at + 1;
            return found;
        }
    }
    *ret_used = count;
    return 0;
}

size_t stop_held(const struct stop_set *set, const struct stop_state *state)
{
    size_t held = 0;
    for (size_t i = 0; i < set->count; i++)
        if (state->matched[i] > held)
            held = state->matched[i];
    return held;
}
