/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h -- operations in order, captures, and when they run. All under the device's mutex, which
 * draining gives to others while an operation runs. */
#ifndef WEIR_EMULATOR_STREAM_H
#define WEIR_EMULATOR_STREAM_H

#include "operation.h"

struct operations {
    struct operation *first, **end;
    unsigned count;
};
void operations_init(struct operations *list);
void operations_add(struct operations *list, struct operation *added);
void operations_clear(struct operations *list); /* frees them */

/* One capture, of the stream where it began and of those that waited for its events. */
struct capture {
    struct operations nodes;
    enum cudaStreamCaptureMode mode;
    cudaStream_t origin;
    bool invalid;
};

/* NULL is the legacy stream. NULL comes back where there is no such stream. */
cudaStream_t stream_find(cudaStream_t stream);
/* The same for work that is to be enqueued: none goes to the legacy stream while a stream that is
 * in order with it is captured. */
cudaError_t stream_find_for_work(cudaStream_t *stream);
/* Appends to the stream, or to what it captures, and owns the operation. Runs it at once unless
 * streams are lazy. */
void stream_push(cudaStream_t stream, struct operation *added);
bool stream_is_capturing(cudaStream_t stream);
void stream_drain(cudaStream_t stream);
void stream_drain_all(void);
/* Whether a call that no capture bears ends one. */
bool stream_breaks_capture(void);

#endif
