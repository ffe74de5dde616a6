/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/usage_notes.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES_MAX 1024

void usage_notes_init(struct usage_notes *notes)
{
    *notes = (struct usage_notes){0};
    (void)pthread_mutex_init(&notes->lock, NULL); /* cannot fail with these attributes */
}

void usage_notes_destroy(struct usage_notes *notes)
{
    text_destroy(&notes->lines);
    (void)pthread_mutex_destroy(&notes->lock);
}

void usage_note(struct usage_notes *notes, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    (void)pthread_mutex_lock(&notes->lock);
    if (count < 0 || notes->lines.count + sizeof line > USAGE_NOTES_BYTES_MAX ||
        !text_reserve(&notes->lines, sizeof line)) {
        notes->lines.failed = false;
        notes->dropped++;
    } else {
        text_append_string(&notes->lines, line);
        text_append_char(&notes->lines, '\n');
    }
    (void)pthread_mutex_unlock(&notes->lock);
}

void usage_notes_take(struct usage_notes *notes, struct text *out)
{
    (void)pthread_mutex_lock(&notes->lock);
    text_append(out, notes->lines.bytes == NULL ? "" : notes->lines.bytes, notes->lines.count);
    if (notes->dropped > 0)
        text_append_format(out, "%llu more notes found no room\n",
                           (unsigned long long)notes->dropped);
    text_reset(&notes->lines);
    notes->dropped = 0;
    (void)pthread_mutex_unlock(&notes->lock);
}
