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

/* When it runs, not when it was enqueued: a graph may be launched after its memory was freed. */
static void check_arguments(const struct launch *launch)
{
    device_lock();
    for (unsigned i = 0; i < launch->kernel.argument_count; i++) {
        if (!launch->kernel.argument_is_pointer[i])
            continue;
        const void *address = *(void *const *)launch->arguments[i];
        if (!memory_is_reachable(address))
            emulator_fail("argument %u of %s is %p, which no device reaches", i + 1,
                          launch->kernel.name, address);
    }
    device_unlock();
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
    if (due->kind == OPERATION_KERNEL)
        check_arguments(due->launch);
    memory_open();
    if (due->kind == OPERATION_KERNEL)
        launch_run(due->launch);
    else if (due->kind == OPERATION_COPY)
        memmove(due->to, due->from, due->bytes);
    else
        memset(due->to, due->value, due->bytes);
    memory_close();
}
