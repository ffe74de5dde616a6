/* SPDX-License-Identifier: Apache-2.0 */
/* "P..." is a traceparent, anything else a tracestate. What is taken must read back as it was
 * written, and what is kept of a state is a sound state itself. */
#include "daemon/api/trace_context.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_parent(const char *value)
{
    struct trace_parent parent, back;
    char written[TRACE_PARENT_BYTES + 1];
    if (!trace_parent_read(value, &parent))
        return;
    assert(strlen(parent.trace_id) == TRACE_ID_DIGITS);
    assert(strlen(parent.span_id) == SPAN_ID_DIGITS);
    assert(strncmp(value, "ff", 2) != 0);
    assert(trace_draw(parent.trace_id) < 1000000);
    trace_parent_write(&parent, written);
    assert(trace_parent_read(written, &back));
    assert(strcmp(parent.trace_id, back.trace_id) == 0);
    assert(strcmp(parent.span_id, back.span_id) == 0);
    assert(parent.sampled == back.sampled);
}

static void check_state(const char *list)
{
    char kept[TRACE_STATE_BYTES_MAX + 1], again[TRACE_STATE_BYTES_MAX + 1];
    trace_state_read(list, kept);
    trace_state_read(kept, again);
    assert(strcmp(kept, again) == 0);
    assert(strlen(kept) <= strlen(list));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count == 0)
        return 0;
    char *text = malloc(count); /* of its own length, so that a read past its end is seen */
    assert(text != NULL);
    memcpy(text, bytes + 1, count - 1);
    text[count - 1] = '\0';
    if (bytes[0] == 'P')
        check_parent(text);
    else
        check_state(text);
    free(text);
    return 0;
}
