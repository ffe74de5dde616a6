/* SPDX-License-Identifier: Apache-2.0 */
#include "operation.h"

#include "device.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

struct operation *operation_new(enum operation_kind kind)
{
    struct operation *made = calloc(1, sizeof *made);
    if (made == NULL)
        emulator_fail("no memory for an operation");
    made->kind = kind;
    return made;
}

struct operation *operation_clone(const struct operation *original)
{
    struct operation *clone = operation_new(original->kind);
    *clone = *original;
    clone->next = NULL;
    clone->origin = original;
    clone->staged = NULL;
    if (original->launch != NULL)
        clone->launch = launch_clone(original->launch);
    return clone;
}

void operation_free(struct operation *done)
{
    if (done == NULL)
        return;
    launch_free(done->launch);
    free(done->staged);
    free(done);
}

void operation_run(const struct operation *due)
{
    /* A lost device does nothing more, and tells with the next call. */
    if (due->kind == OPERATION_KERNEL ? !device_take_kernel() : device_is_lost())
        return;
    if (due->kind == OPERATION_HOST) {
        due->function(due->user);
        return;
    }
    memory_open();
    if (due->kind == OPERATION_KERNEL)
        launch_run(due->launch);
    else if (due->kind == OPERATION_COPY)
        memmove(due->to, due->from, due->bytes);
    else
        memset(due->to, due->value, due->bytes);
    memory_close();
}
