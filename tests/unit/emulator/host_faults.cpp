/* SPDX-License-Identifier: Apache-2.0 */
/* host_faults.cpp -- a host that does not wait, or reaches where it may not. */
#include "faults.h"

#include "kernels/cuda/port.cuh"

#include <stdio.h>

#define BYTES (FAULT_FLOATS * sizeof(float))

__global__ void fill(float *out, float value)
{
    out[threadIdx.x] = value;
}

static void host_reads_device(float *device, cudaStream_t stream)
{
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, device, 1.0f);
    (void)cudaStreamSynchronize(stream);
    float *volatile at = device;
    (void)printf("read %g\n", (double)at[3]);
}

static void pinned_source_changed_early(float *device, cudaStream_t stream)
{
    float *pinned;
    (void)cudaMallocHost(&pinned, BYTES);
    for (unsigned i = 0; i < FAULT_FLOATS; i++)
        pinned[i] = 1.0f;
    (void)cudaMemcpyAsync(device, pinned, BYTES, cudaMemcpyHostToDevice, stream);
    pinned[0] = 2.0f;
    (void)cudaStreamSynchronize(stream);
    (void)cudaMemcpy(pinned, device, BYTES, cudaMemcpyDeviceToHost);
    (void)printf("the device got %g\n", (double)pinned[0]);
    (void)cudaFreeHost(pinned);
}

/* A pageable one may be: the driver has staged it. */
static void pageable_source_changed_early(float *device, cudaStream_t stream)
{
    float values[FAULT_FLOATS];
    for (unsigned i = 0; i < FAULT_FLOATS; i++)
        values[i] = 1.0f;
    (void)cudaMemcpyAsync(device, values, BYTES, cudaMemcpyHostToDevice, stream);
    values[0] = 2.0f;
    (void)cudaStreamSynchronize(stream);
    (void)cudaMemcpy(values, device, BYTES, cudaMemcpyDeviceToHost);
    (void)printf("the device got %g\n", (double)values[0]);
}

static void result_read_early(float *device, cudaStream_t stream)
{
    float *pinned;
    (void)cudaMallocHost(&pinned, BYTES);
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, device, 5.0f);
    (void)cudaMemcpyAsync(pinned, device, BYTES, cudaMemcpyDeviceToHost, stream);
    (void)printf("the host got %g\n", (double)*(volatile float *)pinned);
    (void)cudaStreamSynchronize(stream);
    (void)cudaFreeHost(pinned);
}

static void copy_past_end(float *device, cudaStream_t stream)
{
    float values[FAULT_FLOATS + 1] = {};
    (void)cudaMemcpyAsync(device, values, sizeof values, cudaMemcpyHostToDevice, stream);
}

/* Of 100 bytes 156 are alignment: past them is a page that nothing may touch. */
static void slack_touched(float *device, cudaStream_t stream)
{
    float *odd;
    (void)cudaMalloc(&odd, 100);
    LAUNCH((fill), 1, 26, 0, stream, odd, 1.0f);
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, device, 1.0f);
    (void)cudaFree(odd);
}

static void host_memory_given_to_a_kernel(float *device, cudaStream_t stream)
{
    float values[FAULT_FLOATS];
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, values, 1.0f);
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, device, 1.0f);
}

static void graph_outlives_its_memory(float *device, cudaStream_t stream)
{
    float *freed;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    (void)cudaMalloc(&freed, BYTES);
    (void)cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, freed, 1.0f);
    (void)cudaStreamEndCapture(stream, &graph);
    (void)cudaGraphInstantiate(&exec, graph, 0);
    (void)cudaFree(freed);
    (void)cudaGraphLaunch(exec, stream);
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, device, 1.0f);
}

static void never_freed(float *device, cudaStream_t stream)
{
    float *lost;
    (void)cudaMalloc(&lost, 1000);
    LAUNCH((fill), 1, FAULT_FLOATS, 0, stream, device, 1.0f);
}

#define FAULT(name)                                                                                \
    {                                                                                              \
#name, name                                                                                \
    }
const struct fault host_faults[] = {
    FAULT(host_reads_device),
    FAULT(pinned_source_changed_early),
    FAULT(pageable_source_changed_early),
    FAULT(result_read_early),
    FAULT(copy_past_end),
    FAULT(slack_touched),
    FAULT(host_memory_given_to_a_kernel),
    FAULT(graph_outlives_its_memory),
    FAULT(never_freed),
    {NULL, NULL},
};
