/* SPDX-License-Identifier: Apache-2.0 */
/* usage_notes.h -- what the log should be told: nobody below daemon/ writes there itself. Bounded;
 * what finds no room is counted. Any thread. */
#ifndef WEIR_POLICY_USERS_USAGE_NOTES_H
#define WEIR_POLICY_USERS_USAGE_NOTES_H

#include "base/text.h"

#include <pthread.h>
#include <stdint.h>

#define USAGE_NOTES_BYTES_MAX 65536u

struct usage_notes {
    pthread_mutex_t lock;
    struct text lines;
    uint64_t dropped;
};

void usage_notes_init(struct usage_notes *notes);
void usage_notes_destroy(struct usage_notes *notes);
void usage_note(struct usage_notes *notes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends what there is to `out`, a line each, and forgets it. */
void usage_notes_take(struct usage_notes *notes, struct text *out);

#endif
