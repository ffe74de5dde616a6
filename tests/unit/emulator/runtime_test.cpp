/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_test.cpp -- the API: memory, streams, events, graphs, errors, failures on demand. */
#include "emulator_control.h"
#include "kernels/cuda/port.cuh"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#define ok(call) assert_int_equal((call), cudaSuccess)

static void with(const char *name, const char *value)
{
    (void)setenv(name, value, 1);
    emulator_reload();
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"DEVICES", "DRIVER",  "SM",
                                        "LOST_AT", "STREAMS", "MEMORY_MIB",
                                        "PROTECT", "WORKERS", "OUT_OF_MEMORY_AT"};
    for (const char *name : names) {
        char full[64] = "WEIR_EMULATOR_";
        (void)unsetenv(strncat(full, name, sizeof full - 15));
    }
    emulator_reload();
    (void)cudaSetDevice(0);
    return emulator_device_bytes() == 0 ? 0 : -1;
}

__global__ void add(float *values, float more)
{
    values[blockIdx.x * blockDim.x + threadIdx.x] += more;
}

__global__ void scale_into(float *to, const float *from, float by)
{
    to[threadIdx.x] = by * from[threadIdx.x];
}

struct point {
    float x, y;
    char name[7];
};
__global__ void take_struct(float *out, struct point point, short small, const double wide)
{
    out[0] = point.x + point.y + (float)small + (float)wide + (float)point.name[6];
}

static float *zeros(unsigned count)
{
    float *values;
    ok(cudaMalloc(&values, count * sizeof(float)));
    ok(cudaMemset(values, 0, count * sizeof(float)));
    ok(cudaDeviceSynchronize()); /* the legacy stream is in no order with non-blocking ones */
    return values;
}

static float first_of(const float *device)
{
    float value = -1.0f;
    ok(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
    return value;
}

/* -- Devices -- */

static void no_driver_and_no_device_are_told_apart(void **state)
{
    (void)state;
    void *memory;
    int count = -7;
    with("WEIR_EMULATOR_DRIVER", "0");
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    assert_int_equal(count, -7);
    assert_int_equal(cudaMalloc(&memory, 16), cudaErrorInsufficientDriver);
    assert_string_equal(cudaGetErrorName(cudaGetLastError()), "cudaErrorInsufficientDriver");
    with("WEIR_EMULATOR_DRIVER", "13000");
    with("WEIR_EMULATOR_DEVICES", "0");
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorNoDevice);
}

static void limits_are_those_of_the_capability(void **state)
{
    static const struct {
        const char *sm;
        int processors, optin;
    } known[] = {{"80", 108, 163 << 10}, {"86", 84, 99 << 10},    {"89", 128, 99 << 10},
                 {"90", 132, 227 << 10}, {"100", 148, 227 << 10}, {"120", 170, 99 << 10}};
    (void)state;
    for (const auto &each : known) {
        with("WEIR_EMULATOR_SM", each.sm);
        struct cudaDeviceProp properties;
        int value;
        ok(cudaGetDeviceProperties(&properties, 0));
        assert_int_equal(properties.major * 10 + properties.minor, strtol(each.sm, NULL, 10));
        assert_int_equal(properties.multiProcessorCount, each.processors);
        ok(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
        assert_int_equal(value, each.optin);
        ok(cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, each.optin));
        assert_int_equal(
            cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, each.optin + 1),
            cudaErrorInvalidValue);
    }
    ok(cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, 48 << 10));
    (void)cudaGetLastError();
}

static cudaError_t launch_shape(float *out, dim3 grid, dim3 block, size_t shared_bytes)
{
    LAUNCH((scale_into), grid, block, shared_bytes, 0, out, out, 1.0f);
    return cudaGetLastError();
}

static void launches_over_a_limit_fail(void **state)
{
    (void)state;
    float *out = zeros(1024);
    ok(launch_shape(out, 1, 1024, 48 << 10));
    assert_int_equal(launch_shape(out, 1, 1025, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch_shape(out, 1, dim3(1, 1, 65), 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch_shape(out, 0, 32, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch_shape(out, dim3(1, 65536), 32, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch_shape(out, 1, 32, (48 << 10) + 1), cudaErrorInvalidValue);
    ok(cudaFuncSetAttribute(scale_into, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10));
    ok(launch_shape(out, 1, 32, 100 << 10));
    assert_int_equal(launch_shape(out, 1, 32, (100 << 10) + 1), cudaErrorInvalidValue);
    ok(cudaFree(out));
}

static void occupancy_counts_threads_and_shared_memory(void **state)
{
    (void)state;
    int blocks;
    ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 256, 0));
    assert_int_equal(blocks, 8);
    ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 32, 0));
    assert_int_equal(blocks, 32);
    ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 128, 33 << 10));
    assert_int_equal(blocks, 6);
}

static void arguments_are_copied_as_they_are_passed(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_STREAMS", "lazy");
    float *out = zeros(1);
    struct point point = {1.0f, 2.0f, {0, 0, 0, 0, 0, 0, 3}};
    LAUNCH((take_struct), 1, 1, 0, 0, out, point, 4, 5);
    point.x = 100.0f;
    assert_true(first_of(out) == 15.0f);
    ok(cudaFree(out));
}

static void two_devices_have_memory_of_their_own(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_DEVICES", "2");
    size_t free_bytes, total;
    void *memory;
    ok(cudaSetDevice(1));
    ok(cudaMalloc(&memory, 1 << 20));
    ok(cudaMemGetInfo(&free_bytes, &total));
    assert_int_equal(total - free_bytes, 1 << 20);
    ok(cudaSetDevice(0));
    ok(cudaMemGetInfo(&free_bytes, &total));
    assert_int_equal(free_bytes, total);
    assert_int_equal(cudaSetDevice(2), cudaErrorInvalidDevice);
    ok(cudaFree(memory));
}

/* -- Memory -- */

static void memory_runs_out(void **state)
{
    (void)state;
    void *first, *second = &first;
    with("WEIR_EMULATOR_MEMORY_MIB", "8");
    ok(cudaMalloc(&first, 5 << 20));
    assert_int_equal(cudaMalloc(&second, 4 << 20), cudaErrorMemoryAllocation);
    assert_null(second);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    ok(cudaMalloc(&second, 3 << 20));
    ok(cudaFree(first));
    ok(cudaFree(second));
}

static void the_nth_allocation_fails(void **state)
{
    (void)state;
    void *first, *second, *third;
    with("WEIR_EMULATOR_OUT_OF_MEMORY_AT", "2");
    ok(cudaMalloc(&first, 16));
    assert_int_equal(cudaMalloc(&second, 16), cudaErrorMemoryAllocation);
    ok(cudaMalloc(&third, 16));
    ok(cudaFree(first));
    ok(cudaFree(third));
}

static void large_memory_is_poison_and_costs_nothing(void **state)
{
    (void)state;
    unsigned char *memory, bytes[64];
    const size_t size = ((size_t)1000 << 20) + 12345;
    ok(cudaMalloc(&memory, size));
    for (size_t at = 0; at + sizeof bytes < size; at += size / 7) {
        ok(cudaMemcpy(bytes, memory + at, sizeof bytes, cudaMemcpyDeviceToHost));
        for (unsigned char byte : bytes)
            assert_int_equal(byte, 0xff);
    }
    ok(cudaMemcpy(bytes, memory + size - sizeof bytes, sizeof bytes, cudaMemcpyDeviceToHost));
    assert_int_equal((uintptr_t)memory % 256, 0);
    ok(cudaFree(memory));
}

static void copies_know_their_direction(void **state)
{
    (void)state;
    float *device = zeros(4), host[4] = {1, 2, 3, 4};
    ok(cudaMemcpy(device, host, sizeof host, cudaMemcpyDefault));
    assert_int_equal(cudaMemcpy(device, host, sizeof host, cudaMemcpyDeviceToHost),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, device, sizeof host, cudaMemcpyHostToDevice),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, host + 2, 4, cudaMemcpyDeviceToDevice),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemset(host, 0, sizeof host), cudaErrorInvalidValue);
    assert_true(first_of(device) == 1.0f);
    assert_int_equal(cudaFree(host), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(device + 1), cudaErrorInvalidValue);
    ok(cudaFree(device));
    (void)cudaGetLastError();
}

static void memory_is_told_by_its_kind(void **state)
{
    (void)state;
    struct cudaPointerAttributes attributes;
    static char registered[4096];
    float *device = zeros(4), *pinned;
    ok(cudaMallocHost(&pinned, 64));
    ok(cudaPointerGetAttributes(&attributes, device + 1));
    assert_int_equal(attributes.type, cudaMemoryTypeDevice);
    ok(cudaPointerGetAttributes(&attributes, pinned));
    assert_int_equal(attributes.type, cudaMemoryTypeHost);
    ok(cudaPointerGetAttributes(&attributes, registered));
    assert_int_equal(attributes.type, cudaMemoryTypeUnregistered);
    ok(cudaHostRegister(registered, sizeof registered, cudaHostRegisterReadOnly));
    assert_int_equal(cudaHostRegister(registered, 1, 0), cudaErrorHostMemoryAlreadyRegistered);
    ok(cudaPointerGetAttributes(&attributes, registered));
    assert_int_equal(attributes.type, cudaMemoryTypeHost);
    ok(cudaHostUnregister(registered));
    assert_int_equal(cudaHostUnregister(registered), cudaErrorHostMemoryNotRegistered);
    ok(cudaFreeHost(pinned));
    ok(cudaFree(device));
    (void)cudaGetLastError();
}

/* -- A device that is lost -- */

static void a_lost_device_fails_for_good(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_LOST_AT", "2");
    float *values = zeros(32), *more;
    int count;
    LAUNCH((add), 1, 32, 0, 0, values, 1.0f);
    ok(cudaDeviceSynchronize());
    LAUNCH((add), 1, 32, 0, 0, values, 1.0f);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaMalloc(&more, 4), cudaErrorLaunchFailure);
    assert_int_equal(cudaStreamSynchronize(0), cudaErrorLaunchFailure);
    ok(cudaGetDeviceCount(&count));
    assert_int_equal(cudaFree(values), cudaErrorLaunchFailure);
    with("WEIR_EMULATOR_LOST_AT", "0");
    ok(cudaGetLastError());
    values = zeros(32);
    LAUNCH((add), 1, 32, 0, 0, values, 1.0f);
    assert_true(first_of(values) == 1.0f);
    ok(cudaFree(values));
}

static void a_loss_shows_when_it_is_waited_for(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_LOST_AT", "1");
    with("WEIR_EMULATOR_STREAMS", "lazy");
    float *values = zeros(32);
    cudaEvent_t event;
    ok(cudaEventCreate(&event));
    LAUNCH((add), 1, 32, 0, 0, values, 1.0f);
    ok(cudaGetLastError());
    ok(cudaEventRecord(event, 0));
    assert_int_equal(cudaEventSynchronize(event), cudaErrorLaunchFailure);
    assert_int_equal(cudaEventDestroy(event), cudaErrorLaunchFailure);
    assert_int_equal(cudaFree(values), cudaErrorLaunchFailure);
}

/* -- Streams and events -- */

static void work_waits_where_streams_are_lazy(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_STREAMS", "lazy");
    float *values = zeros(32);
    cudaStream_t stream;
    ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    unsigned before = emulator_kernels();
    LAUNCH((add), 1, 32, 0, stream, values, 1.0f);
    LAUNCH((add), 1, 32, 0, stream, values, 1.0f);
    assert_int_equal(emulator_kernels(), before);
    assert_int_equal(cudaStreamQuery(stream), cudaErrorNotReady);
    assert_int_equal(cudaStreamQuery(stream), cudaErrorNotReady);
    ok(cudaStreamQuery(stream));
    ok(cudaGetLastError());
    assert_int_equal(emulator_kernels(), before + 2);
    ok(cudaStreamDestroy(stream));
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
    (void)cudaGetLastError();
    assert_true(first_of(values) == 2.0f);
    ok(cudaFree(values));
}

static void an_event_orders_two_streams(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_STREAMS", "lazy");
    float *values = zeros(32), *result = zeros(32);
    cudaStream_t first, second;
    cudaEvent_t event, end;
    float milliseconds = -1.0f;
    ok(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    ok(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    ok(cudaEventCreateWithFlags(&event, cudaEventDefault));
    ok(cudaEventCreate(&end));
    ok(cudaEventQuery(event)); /* never recorded: nothing to wait for */
    LAUNCH((add), 1, 32, 0, first, values, 3.0f);
    ok(cudaEventRecord(event, first));
    LAUNCH((add), 1, 32, 0, first, values, 100.0f);
    ok(cudaStreamWaitEvent(second, event, 0));
    LAUNCH((scale_into), 1, 32, 0, second, result, values, 2.0f);
    ok(cudaEventRecord(end, second));
    assert_int_equal(cudaEventElapsedTime(&milliseconds, event, end), cudaErrorNotReady);
    ok(cudaEventSynchronize(end));
    float got[32];
    /* The copy waits for all streams, so the sum's stream has gone on; the product came before. */
    ok(cudaMemcpy(got, result, sizeof got, cudaMemcpyDeviceToHost));
    assert_true(got[0] == 6.0f);
    ok(cudaEventElapsedTime(&milliseconds, event, end));
    assert_true(milliseconds >= 0.0f);
    ok(cudaEventDestroy(event));
    ok(cudaEventDestroy(end));
    ok(cudaStreamDestroy(first));
    ok(cudaStreamDestroy(second));
    ok(cudaFree(values));
    ok(cudaFree(result));
}

static void blocking_streams_are_in_order_with_the_legacy_one(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_STREAMS", "lazy");
    float *values = zeros(32), *result = zeros(32);
    cudaStream_t stream;
    ok(cudaStreamCreate(&stream));
    LAUNCH((add), 1, 32, 0, 0, values, 1.0f);
    LAUNCH((scale_into), 1, 32, 0, stream, result, values, 5.0f);
    LAUNCH((add), 1, 32, 0, 0, result, 1.0f);
    ok(cudaStreamSynchronize(0));
    assert_true(first_of(result) == 6.0f);
    ok(cudaStreamDestroy(stream));
    ok(cudaFree(values));
    ok(cudaFree(result));
}

static void on_step(void *user)
{
    *(int *)user += 1;
}

static void host_functions_run_in_order(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_STREAMS", "lazy");
    int steps = 0;
    ok(cudaLaunchHostFunc(0, on_step, &steps));
    assert_int_equal(steps, 0);
    ok(cudaDeviceSynchronize());
    assert_int_equal(steps, 1);
}

/* Two ranks that meet in their streams, as a collective library's would. */
struct meeting {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned present;
};

static void on_meet(void *user)
{
    struct meeting *meeting = (struct meeting *)user;
    (void)pthread_mutex_lock(&meeting->mutex);
    meeting->present++;
    (void)pthread_cond_broadcast(&meeting->changed);
    while (meeting->present < 2)
        (void)pthread_cond_wait(&meeting->changed, &meeting->mutex);
    (void)pthread_mutex_unlock(&meeting->mutex);
}

static void *rank_main(void *meeting)
{
    cudaStream_t stream = NULL;
    float *values = NULL;
    intptr_t failed = cudaStreamCreate(&stream) != cudaSuccess;
    failed |= cudaMalloc(&values, 64 * 64 * sizeof(float)) != cudaSuccess;
    failed |= cudaMemsetAsync(values, 0, 64 * 64 * sizeof(float), stream) != cudaSuccess;
    for (unsigned i = 0; i < 20; i++)
        LAUNCH((add), 64, 64, 0, stream, values, 1.0f);
    failed |= cudaLaunchHostFunc(stream, on_meet, meeting) != cudaSuccess;
    failed |= cudaStreamSynchronize(stream) != cudaSuccess;
    float last = 0.0f;
    failed |= cudaMemcpy(&last, values + 64 * 64 - 1, 4, cudaMemcpyDeviceToHost) != cudaSuccess;
    failed |= cudaFree(values) != cudaSuccess || cudaStreamDestroy(stream) != cudaSuccess;
    return (void *)(failed | (last != 20.0f));
}

static void two_threads_make_progress_at_a_time(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_PROTECT", "1");
    struct meeting meeting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    pthread_t threads[2];
    for (pthread_t &thread : threads)
        assert_int_equal(pthread_create(&thread, NULL, rank_main, &meeting), 0);
    for (pthread_t thread : threads) {
        void *failed;
        assert_int_equal(pthread_join(thread, &failed), 0);
        assert_null(failed);
    }
}

/* -- Graphs -- */

struct captured {
    float *values, *result, *pinned;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
};

/* values = pinned; values += 1; result = 10 values. */
static void capture(struct captured *c)
{
    ok(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeGlobal));
    ok(cudaMemcpyAsync(c->values, c->pinned, 128, cudaMemcpyHostToDevice, c->stream));
    LAUNCH((add), 1, 32, 0, c->stream, c->values, 1.0f);
    LAUNCH((scale_into), 1, 32, 0, c->stream, c->result, c->values, 10.0f);
    enum cudaStreamCaptureStatus status;
    ok(cudaStreamIsCapturing(c->stream, &status));
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    ok(cudaStreamEndCapture(c->stream, &c->graph));
    ok(cudaGetLastError());
}

static void captured_init(struct captured *c)
{
    c->values = zeros(32);
    c->result = zeros(32);
    ok(cudaMallocHost(&c->pinned, 128));
    memset(c->pinned, 0, 128);
    ok(cudaStreamCreate(&c->stream));
    capture(c);
    assert_true(first_of(c->values) == 0.0f); /* nothing has run */
    ok(cudaGraphInstantiate(&c->exec, c->graph, 0));
    ok(cudaGraphUpload(c->exec, c->stream));
}

static void captured_destroy(struct captured *c)
{
    ok(cudaGraphExecDestroy(c->exec));
    ok(cudaGraphDestroy(c->graph));
    ok(cudaStreamDestroy(c->stream));
    ok(cudaFreeHost(c->pinned));
    ok(cudaFree(c->values));
    ok(cudaFree(c->result));
}

static float replay(struct captured *c, float value)
{
    c->pinned[0] = value;
    ok(cudaGraphLaunch(c->exec, c->stream));
    ok(cudaStreamSynchronize(c->stream));
    return first_of(c->result);
}

static void graphs_replay_with_what_memory_holds(void **state)
{
    (void)state;
    for (const char *streams : {"eager", "lazy"}) {
        with("WEIR_EMULATOR_STREAMS", streams);
        struct captured c;
        captured_init(&c);
        assert_true(replay(&c, 1.0f) == 20.0f);
        assert_true(replay(&c, 5.0f) == 60.0f);
        captured_destroy(&c);
    }
}

static void nodes_take_other_arguments(void **state)
{
    (void)state;
    struct captured c;
    captured_init(&c);
    cudaGraphNode_t nodes[4];
    size_t count = 0;
    ok(cudaGraphGetNodes(c.graph, NULL, &count));
    assert_int_equal(count, 3);
    count = 4;
    ok(cudaGraphGetNodes(c.graph, nodes, &count));
    assert_int_equal(count, 3);
    enum cudaGraphNodeType type;
    ok(cudaGraphNodeGetType(nodes[0], &type));
    assert_int_equal(type, cudaGraphNodeTypeMemcpy);
    ok(cudaGraphNodeGetType(nodes[2], &type));
    assert_int_equal(type, cudaGraphNodeTypeKernel);
    struct cudaKernelNodeParams params;
    ok(cudaGraphKernelNodeGetParams(nodes[1], &params));
    float more = 7.0f;
    void *arguments[] = {params.kernelParams[0], &more};
    params.kernelParams = arguments;
    ok(cudaGraphExecKernelNodeSetParams(c.exec, nodes[1], &params));
    more = 1000.0f; /* was copied */
    assert_true(replay(&c, 1.0f) == 80.0f);
    params.blockDim = 2000;
    assert_int_equal(cudaGraphExecKernelNodeSetParams(c.exec, nodes[1], &params),
                     cudaErrorInvalidConfiguration);
    float other[32] = {3.0f};
    ok(cudaGraphExecMemcpyNodeSetParams1D(c.exec, nodes[0], c.values, other, sizeof other,
                                          cudaMemcpyHostToDevice));
    assert_true(replay(&c, 1.0f) == 100.0f);
    assert_int_equal(cudaGraphExecKernelNodeSetParams(c.exec, nodes[0], &params),
                     cudaErrorInvalidValue);
    (void)cudaGetLastError();
    captured_destroy(&c);
}

static void what_is_under_way_keeps_its_arguments(void **state)
{
    (void)state;
    with("WEIR_EMULATOR_STREAMS", "lazy");
    struct captured c;
    captured_init(&c);
    cudaGraphNode_t nodes[3];
    size_t count = 3;
    struct cudaKernelNodeParams params;
    ok(cudaGraphGetNodes(c.graph, nodes, &count));
    ok(cudaGraphKernelNodeGetParams(nodes[1], &params));
    float more = 7.0f;
    void *arguments[] = {params.kernelParams[0], &more};
    params.kernelParams = arguments;
    ok(cudaGraphLaunch(c.exec, c.stream));
    ok(cudaGraphExecKernelNodeSetParams(c.exec, nodes[1], &params));
    ok(cudaStreamSynchronize(c.stream));
    assert_true(first_of(c.result) == 10.0f);
    captured_destroy(&c);
}

static void a_whole_graph_is_updated_if_it_is_alike(void **state)
{
    (void)state;
    struct captured c;
    captured_init(&c);
    cudaGraphExecUpdateResultInfo result;
    cudaGraph_t old = c.graph;
    float *kept = c.result;
    c.result = zeros(32);
    capture(&c);
    ok(cudaGraphExecUpdate(c.exec, c.graph, &result));
    assert_int_equal(result.result, cudaGraphExecUpdateSuccess);
    assert_true(replay(&c, 2.0f) == 30.0f);
    assert_true(first_of(kept) == 0.0f);
    cudaGraph_t shorter;
    ok(cudaStreamBeginCapture(c.stream, cudaStreamCaptureModeGlobal));
    LAUNCH((add), 1, 32, 0, c.stream, c.values, 1.0f);
    ok(cudaStreamEndCapture(c.stream, &shorter));
    assert_int_equal(cudaGraphExecUpdate(c.exec, shorter, &result),
                     cudaErrorGraphExecUpdateFailure);
    assert_int_not_equal(result.result, cudaGraphExecUpdateSuccess);
    assert_true(replay(&c, 2.0f) == 30.0f);
    ok(cudaGraphDestroy(shorter));
    ok(cudaGraphDestroy(old));
    ok(cudaFree(kept));
    (void)cudaGetLastError();
    captured_destroy(&c);
}

static void a_capture_bears_no_waiting_and_no_allocation(void **state)
{
    (void)state;
    cudaStream_t stream;
    cudaGraph_t graph;
    void *memory;
    ok(cudaStreamCreate(&stream));
    assert_int_equal(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal),
                     cudaErrorStreamCaptureUnsupported);
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_null(graph);
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    assert_int_equal(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    assert_int_equal(cudaLaunchHostFunc(NULL, on_step, NULL), cudaErrorStreamCaptureImplicit);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    ok(cudaMalloc(&memory, 16));
    ok(cudaStreamEndCapture(stream, &graph));
    ok(cudaGraphDestroy(graph));
    ok(cudaFree(memory));
    ok(cudaStreamDestroy(stream));
    (void)cudaGetLastError();
}

static void a_capture_forks_and_joins(void **state)
{
    (void)state;
    float *values = zeros(32);
    cudaStream_t first, second;
    cudaEvent_t fork, join;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    ok(cudaStreamCreate(&first));
    ok(cudaStreamCreate(&second));
    ok(cudaEventCreate(&fork));
    ok(cudaEventCreate(&join));
    ok(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
    ok(cudaEventRecord(fork, first));
    ok(cudaStreamWaitEvent(second, fork, 0));
    LAUNCH((add), 1, 32, 0, second, values, 1.0f);
    ok(cudaEventRecord(join, second));
    ok(cudaStreamWaitEvent(first, join, 0));
    LAUNCH((add), 1, 32, 0, first, values, 2.0f);
    ok(cudaStreamEndCapture(first, &graph));
    ok(cudaGraphInstantiate(&exec, graph, 0));
    ok(cudaGraphLaunch(exec, second));
    ok(cudaStreamSynchronize(second));
    assert_true(first_of(values) == 3.0f);
    /* Work that no one waits for is told at the end. */
    ok(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
    ok(cudaEventRecord(fork, first));
    ok(cudaStreamWaitEvent(second, fork, 0));
    LAUNCH((add), 1, 32, 0, second, values, 1.0f);
    cudaGraph_t unjoined;
    assert_int_equal(cudaStreamEndCapture(first, &unjoined), cudaErrorStreamCaptureUnjoined);
    ok(cudaGraphExecDestroy(exec));
    ok(cudaGraphDestroy(graph));
    ok(cudaEventDestroy(fork));
    ok(cudaEventDestroy(join));
    ok(cudaStreamDestroy(first));
    ok(cudaStreamDestroy(second));
    ok(cudaFree(values));
    (void)cudaGetLastError();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(no_driver_and_no_device_are_told_apart),
        TEST(limits_are_those_of_the_capability),
        TEST(launches_over_a_limit_fail),
        TEST(occupancy_counts_threads_and_shared_memory),
        TEST(arguments_are_copied_as_they_are_passed),
        TEST(two_devices_have_memory_of_their_own),
        TEST(memory_runs_out),
        TEST(the_nth_allocation_fails),
        TEST(large_memory_is_poison_and_costs_nothing),
        TEST(copies_know_their_direction),
        TEST(memory_is_told_by_its_kind),
        TEST(a_lost_device_fails_for_good),
        TEST(a_loss_shows_when_it_is_waited_for),
        TEST(work_waits_where_streams_are_lazy),
        TEST(an_event_orders_two_streams),
        TEST(blocking_streams_are_in_order_with_the_legacy_one),
        TEST(host_functions_run_in_order),
        TEST(two_threads_make_progress_at_a_time),
        TEST(graphs_replay_with_what_memory_holds),
        TEST(nodes_take_other_arguments),
        TEST(what_is_under_way_keeps_its_arguments),
        TEST(a_whole_graph_is_updated_if_it_is_alike),
        TEST(a_capture_bears_no_waiting_and_no_allocation),
        TEST(a_capture_forks_and_joins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
