/* SPDX-License-Identifier: Apache-2.0 */
/* stop.h -- finding stop strings in text that comes in pieces.
 *
 * What is found depends on the characters alone, never on how they were cut into tokens: the
 * string that is complete first wins, and of several complete at once the longest. A set is
 * immutable after it is made; a state belongs to one choice and its thread. */
#ifndef WEIR_DAEMON_API_STOP_H
#define WEIR_DAEMON_API_STOP_H

#include <stddef.h>
#include <stdint.h>

#define STOP_STRINGS_MAX 16u
#define STOP_BYTES_MAX   1024u /* of one string */

struct stop_string {
    const char *bytes;
    size_t count; /* 1..STOP_BYTES_MAX */
};

struct stop_set;

/* Copies the strings. NULL when there is no memory. count: 1..STOP_STRINGS_MAX. */
struct stop_set *stop_set_new(const struct stop_string *strings, size_t count);
void stop_set_free(struct stop_set *set); /* NULL is fine */

/* How much of each string the text ends with. All zero at the start. */
struct stop_state {
    uint16_t matched[STOP_STRINGS_MAX];
};

/* Reads bytes up to the end of the first stop string. Returns the length of the string found, and
 * in *ret_used how many bytes were read, its last included; or 0, all bytes being read. */
size_t stop_feed(const struct stop_set *set, struct stop_state *state, const char *bytes,
                 size_t count, size_t *ret_used);
/* How many of the last bytes read may yet become a stop string. */
size_t stop_held(const struct stop_set *set, const struct stop_state *state);

#endif
