/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c -- streams, events, captures.
 *
 * A stream is a queue. Eager, an operation runs in the call that enqueues it. Lazy, it runs when
 * someone waits: for the stream, for an event behind it, for the device. Both are what a device
 * might do, and a host must be right with both: lazy, who uses a result without waiting finds
 * poison, and who changes a pinned source too early sends the new bytes.
 *
 * One thread at a time runs a stream's operations; another that waits for the same stream waits for
 * it. Waiting for an event runs the stream where it was recorded up to there. */
#include "stream.h"

#include "device.h"
#include "graph.h"
#include "memory.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct CUstream_st {
    struct CUstream_st *next;
    struct operations queue;
    bool blocking; /* in order with the legacy stream */
    uint64_t running_number;
    bool running; /* a thread runs an operation of it */
    struct capture *capture;
    /* In a capture: how many nodes there were after its last one, and whether no other stream of
     * the capture has waited for that. */
    unsigned last_node;
    bool unjoined;
};

struct CUevent_st {
    cudaStream_t stream; /* where it was recorded last */
    uint64_t recorded, completed;
    struct capture *capture; /* recorded in it; only compared */
    cudaStream_t capturing;
    unsigned captured; /* nodes that there were then */
    struct timespec time;
};

static struct CUstream_st legacy = {.queue = {NULL, &legacy.queue.first, 0}};
static struct CUstream_st *streams = &legacy;
static uint64_t next_number; /* of operations, as they are enqueued */

void operations_init(struct operations *list)
{
    list->first = NULL;
    list->end = &list->first;
    list->count = 0;
}

void operations_add(struct operations *list, struct operation *added)
{
    added->next = NULL;
    *list->end = added;
    list->end = &added->next;
    list->count++;
}

static struct operation *operations_take(struct operations *list)
{
    struct operation *first = list->first;
    if (first == NULL)
        return NULL;
    list->first = first->next;
    if (list->first == NULL)
        list->end = &list->first;
    list->count--;
    return first;
}

void operations_clear(struct operations *list)
{
    for (struct operation *each; (each = operations_take(list)) != NULL;)
        operation_free(each);
}

cudaStream_t stream_find(cudaStream_t stream)
{
    if (stream == NULL)
        return &legacy;
    for (struct CUstream_st *each = streams; each != NULL; each = each->next) {
        if (each == stream)
            return each;
    }
    return NULL;
}

cudaError_t stream_find_for_work(cudaStream_t *stream)
{
    *stream = stream_find(*stream);
    if (*stream == NULL)
        return cudaErrorInvalidResourceHandle;
    if (*stream != &legacy)
        return cudaSuccess;
    for (struct CUstream_st *each = streams; each != NULL; each = each->next) {
        if (each->blocking && each->capture != NULL) {
            each->capture->invalid = true;
            return cudaErrorStreamCaptureImplicit;
        }
    }
    return cudaSuccess;
}

/* -- Running -- */

static void run_next(cudaStream_t stream);

static void wait_for(cudaEvent_t event, uint64_t ticket)
{
    while (event->completed < ticket) {
        if (event->stream->running || event->stream->queue.first == NULL)
            device_wait();
        else
            run_next(event->stream);
    }
}

/* The first operation of a stream that nobody runs. */
static void run_next(cudaStream_t stream)
{
    struct operation *due = operations_take(&stream->queue);
    stream->running = true;
    stream->running_number = due->number;
    if (due->kind == OPERATION_RECORD) {
        (void)clock_gettime(CLOCK_MONOTONIC, &due->event->time);
        if (due->event->completed < due->ticket)
            due->event->completed = due->ticket;
    } else if (due->kind == OPERATION_WAIT) {
        wait_for(due->event, due->ticket);
    } else {
        device_unlock();
        operation_run(due);
        device_lock();
    }
    operation_free(due);
    stream->running = false;
    device_changed();
}

void stream_drain(cudaStream_t stream)
{
    while (stream->running || stream->queue.first != NULL) {
        if (stream->running)
            device_wait();
        else
            run_next(stream);
    }
}

static bool is_blocking(const struct CUstream_st *stream)
{
    return stream->blocking;
}

static bool is_any(const struct CUstream_st *stream)
{
    return stream != NULL;
}

static bool has_before(const struct CUstream_st *stream, uint64_t number)
{
    return (stream->running && stream->running_number < number) ||
           (stream->queue.first != NULL && stream->queue.first->number < number);
}

/* What was enqueued so far in streams that match. While one waits, streams come and go: each round
 * looks for one anew. */
static void drain_where(bool (*matches)(const struct CUstream_st *))
{
    uint64_t number = next_number;
    for (;;) {
        cudaStream_t found = NULL;
        for (struct CUstream_st *each = streams; each != NULL; each = each->next) {
            if (matches(each) && has_before(each, number) && (found == NULL || found->running))
                found = each;
        }
        if (found == NULL)
            return;
        if (found->running)
            device_wait();
        else
            run_next(found);
    }
}

void stream_drain_all(void)
{
    drain_where(is_any);
}

/* The legacy stream waits for all blocking ones, and they for it. */
static void order_with_legacy(cudaStream_t stream)
{
    if (stream != &legacy && stream->blocking)
        stream_drain(&legacy);
    else if (stream == &legacy)
        drain_where(is_blocking);
}

void stream_push(cudaStream_t stream, struct operation *added)
{
    if (stream->capture != NULL) {
        operations_add(&stream->capture->nodes, added);
        stream->last_node = stream->capture->nodes.count;
        stream->unjoined = true;
        return;
    }
    order_with_legacy(stream);
    added->number = next_number++;
    operations_add(&stream->queue, added);
    if (!settings()->lazy_streams)
        stream_drain(stream);
}

bool stream_is_capturing(cudaStream_t stream)
{
    return stream->capture != NULL;
}

bool stream_breaks_capture(void)
{
    bool broken = false;
    for (struct CUstream_st *each = streams; each != NULL; each = each->next) {
        if (each->capture != NULL && each->capture->mode != cudaStreamCaptureModeRelaxed) {
            each->capture->invalid = true;
            broken = true;
        }
    }
    return broken;
}

/* -- Streams -- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    cudaError_t error = device_enter();
    if (error != cudaSuccess)
        return device_error(error);
    struct CUstream_st *made = calloc(1, sizeof *made);
    if (made == NULL)
        return device_error(cudaErrorMemoryAllocation);
    operations_init(&made->queue);
    made->blocking = (flags & cudaStreamNonBlocking) == 0;
    made->next = legacy.next;
    legacy.next = made;
    *stream = made;
    return device_error(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (stream == NULL || stream_find(stream) == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorInvalidResourceHandle);
    stream_drain(stream);
    struct CUstream_st **at = &streams;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    free(stream);
    return device_error(error);
}

/* The stream, where it may be waited for or asked. */
static cudaError_t find_waitable(cudaStream_t *stream)
{
    *stream = stream_find(*stream);
    if (*stream == NULL)
        return cudaErrorInvalidResourceHandle;
    if ((*stream)->capture == NULL)
        return cudaSuccess;
    (*stream)->capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
}

/* A loss shows in the call that waited for it. */
static cudaError_t after_waiting(void)
{
    return device_is_lost() ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess)
        error = find_waitable(&stream);
    if (error == cudaSuccess) {
        stream_drain(stream);
        error = after_waiting();
    }
    return device_error(error);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess)
        error = find_waitable(&stream);
    if (error == cudaSuccess && (stream->running || stream->queue.first != NULL))
        error = cudaErrorNotReady;
    /* Time passes while one asks: what was not ready is so the next time. */
    if (error == cudaErrorNotReady && !stream->running)
        run_next(stream);
    return device_error(error);
}

cudaError_t cudaDeviceSynchronize(void)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && stream_breaks_capture())
        error = cudaErrorStreamCaptureUnsupported;
    if (error == cudaSuccess) {
        stream_drain_all();
        error = after_waiting();
    }
    return device_error(error);
}

cudaError_t cudaDeviceReset(void)
{
    return cudaDeviceSynchronize();
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *user)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess)
        error = stream_find_for_work(&stream);
    if (error == cudaSuccess) {
        struct operation *added = operation_new(OPERATION_HOST);
        added->function = function;
        added->user = user;
        stream_push(stream, added);
    }
    return device_error(error);
}

/* -- Copies -- */

/* What a pageable source holds now is what is sent: the driver stages it in the call. */
static void stage(struct operation *copy)
{
    copy->staged = malloc(copy->bytes);
    if (copy->staged == NULL)
        emulator_fail("no memory to stage a copy");
    memcpy(copy->staged, copy->from, copy->bytes);
    copy->from = copy->staged;
}

static cudaError_t push_copy(cudaStream_t stream, struct operation *copy, enum cudaMemcpyKind kind)
{
    cudaError_t error = stream_find_for_work(&stream);
    if (error == cudaSuccess)
        error = memory_check_copy(copy->to, copy->from, copy->bytes, kind);
    if (error != cudaSuccess || copy->bytes == 0) {
        operation_free(copy);
        return error;
    }
    bool from_pageable = memory_is_pageable(copy->from), to_pageable = memory_is_pageable(copy->to);
    if (stream->capture == NULL && from_pageable)
        stage(copy);
    stream_push(stream, copy);
    if (stream->capture == NULL && to_pageable)
        stream_drain(stream);
    return cudaSuccess;
}

static struct operation *copy_new(void *to, const void *from, size_t bytes)
{
    struct operation *copy = operation_new(OPERATION_COPY);
    copy->to = to;
    copy->from = from;
    copy->bytes = bytes;
    return copy;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess)
        error = push_copy(stream, copy_new(to, from, bytes), kind);
    return device_error(error);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && stream_breaks_capture())
        error = cudaErrorStreamCaptureImplicit;
    if (error == cudaSuccess) {
        stream_drain_all();
        error = push_copy(NULL, copy_new(to, from, bytes), kind);
    }
    if (error == cudaSuccess) {
        stream_drain(&legacy);
        error = after_waiting();
    }
    return device_error(error);
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess)
        error = stream_find_for_work(&stream);
    if (error == cudaSuccess)
        error = memory_check_fill(memory, bytes);
    if (error == cudaSuccess && bytes > 0) {
        struct operation *fill = operation_new(OPERATION_FILL);
        fill->to = memory;
        fill->value = value;
        fill->bytes = bytes;
        stream_push(stream, fill);
    }
    return device_error(error);
}

cudaError_t cudaMemset(void *memory, int value, size_t bytes)
{
    return cudaMemsetAsync(memory, value, bytes, NULL);
}

/* -- Events -- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    cudaError_t error = device_enter();
    if (error != cudaSuccess)
        return device_error(error);
    *event = calloc(1, sizeof **event);
    return device_error(*event == NULL ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    cudaError_t error = device_enter();
    if (event == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorInvalidResourceHandle);
    stream_drain_all(); /* operations name it */
    free(event);
    return device_error(error);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && event == NULL)
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess)
        error = stream_find_for_work(&stream);
    if (error != cudaSuccess)
        return device_error(error);
    event->capture = stream->capture;
    event->capturing = stream;
    event->captured = stream->capture != NULL ? stream->capture->nodes.count : 0;
    if (stream->capture == NULL) {
        struct operation *record = operation_new(OPERATION_RECORD);
        event->stream = stream;
        record->event = event;
        record->ticket = ++event->recorded;
        stream_push(stream, record);
    }
    return device_error(cudaSuccess);
}

static void join_capture(cudaStream_t stream, cudaEvent_t event)
{
    if (stream->capture == NULL) {
        stream->capture = event->capture;
        stream->unjoined = false;
    }
    cudaStream_t other = event->capturing;
    if (other != stream && other->last_node <= event->captured && other->unjoined) {
        other->unjoined = false;
        stream->unjoined = true;
        stream->last_node = stream->capture->nodes.count;
    }
}

/* In a capture nodes are in the order of their calls, which has every event before its waits. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    cudaError_t error = device_enter();
    stream = stream_find(stream);
    if (error == cudaSuccess && (stream == NULL || event == NULL))
        error = cudaErrorInvalidResourceHandle;
    if (error != cudaSuccess)
        return device_error(error);
    if (event->capture != NULL) {
        if (stream->capture != NULL && stream->capture != event->capture)
            return device_error(cudaErrorStreamCaptureIsolation);
        join_capture(stream, event);
    } else if (stream->capture != NULL) {
        stream->capture->invalid = true;
        return device_error(cudaErrorStreamCaptureIsolation);
    } else if (event->completed < event->recorded) {
        struct operation *wait = operation_new(OPERATION_WAIT);
        wait->event = event;
        wait->ticket = event->recorded;
        stream_push(stream, wait);
    }
    return device_error(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && event == NULL)
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && event->capture != NULL)
        error = cudaErrorStreamCaptureUnsupported;
    if (error == cudaSuccess) {
        wait_for(event, event->recorded);
        error = after_waiting();
    }
    return device_error(error);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && event == NULL)
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && event->completed < event->recorded) {
        error = cudaErrorNotReady;
        if (!event->stream->running)
            run_next(event->stream);
    }
    return device_error(error);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess &&
        (start == NULL || end == NULL || start->recorded == 0 || end->recorded == 0))
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess &&
        (start->completed < start->recorded || end->completed < end->recorded))
        error = cudaErrorNotReady;
    if (error == cudaSuccess)
        *milliseconds = (float)(end->time.tv_sec - start->time.tv_sec) * 1e3f +
                        (float)(end->time.tv_nsec - start->time.tv_nsec) * 1e-6f;
    return device_error(error);
}

/* -- Captures -- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && stream_find(stream) == NULL)
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && (stream == NULL || stream->capture != NULL))
        error = cudaErrorStreamCaptureUnsupported;
    if (error != cudaSuccess)
        return device_error(error);
    struct capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL)
        return device_error(cudaErrorMemoryAllocation);
    operations_init(&capture->nodes);
    capture->mode = mode;
    capture->origin = stream;
    stream->capture = capture;
    stream->unjoined = false;
    return device_error(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    cudaError_t error = device_enter();
    *graph = NULL;
    if (stream == NULL || stream_find(stream) == NULL || stream->capture == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorInvalidValue);
    struct capture *capture = stream->capture;
    if (capture->origin != stream)
        return device_error(cudaErrorStreamCaptureUnmatched);
    bool unjoined = false;
    for (struct CUstream_st *each = streams; each != NULL; each = each->next) {
        if (each->capture != capture)
            continue;
        unjoined |= each != stream && each->unjoined;
        each->capture = NULL;
    }
    if (error == cudaSuccess && capture->invalid)
        error = cudaErrorStreamCaptureInvalidated;
    if (error == cudaSuccess && unjoined)
        error = cudaErrorStreamCaptureUnjoined;
    if (error == cudaSuccess)
        *graph = graph_of(&capture->nodes);
    operations_clear(&capture->nodes);
    free(capture);
    return device_error(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    cudaError_t error = device_enter();
    stream = stream_find(stream);
    if (error == cudaSuccess && stream == NULL)
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess)
        *status = stream->capture == NULL    ? cudaStreamCaptureStatusNone
                  : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                             : cudaStreamCaptureStatusActive;
    return device_error(error);
}
