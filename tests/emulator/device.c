/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#include "block.h"
#include "include/emulator_control.h"
#include "memory.h"
#include "settings.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool lost;             /* atomic */
static unsigned kernel_count; /* atomic */
static __thread cudaError_t last_error;
static __thread int current_device;

static const struct device_limits all_limits[] = {
    {80, 108, 2048, 32, 164u << 10, 40u << 20, 5120},
    {86, 84, 1536, 16, 100u << 10, 6u << 20, 384},
    {89, 128, 1536, 24, 100u << 10, 72u << 20, 384},
    {90, 132, 2048, 32, 228u << 10, 50u << 20, 5120},
    {100, 148, 2048, 32, 228u << 10, 126u << 20, 8192},
    {120, 170, 1536, 24, 100u << 10, 96u << 20, 512},
};

const struct device_limits *device_limits(void)
{
    for (unsigned i = 0; i < sizeof all_limits / sizeof *all_limits; i++) {
        if (all_limits[i].sm == settings()->sm)
            return &all_limits[i];
    }
    emulator_fail("WEIR_EMULATOR_SM=%u: 80, 86, 89, 90, 100 and 120 are known", settings()->sm);
}

void device_lock(void)
{
    (void)pthread_mutex_lock(&mutex);
}

void device_unlock(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

void device_wait(void)
{
    (void)pthread_cond_wait(&changed, &mutex);
}

void device_changed(void)
{
    (void)pthread_cond_broadcast(&changed);
}

bool device_is_lost(void)
{
    return __atomic_load_n(&lost, __ATOMIC_ACQUIRE);
}

bool device_take_kernel(void)
{
    unsigned count = __atomic_add_fetch(&kernel_count, 1, __ATOMIC_RELAXED);
    if (count == settings()->lost_at)
        __atomic_store_n(&lost, true, __ATOMIC_RELEASE);
    return !device_is_lost();
}

static cudaError_t absence(void)
{
    if (settings()->driver == 0)
        return cudaErrorInsufficientDriver;
    if (settings()->devices == 0)
        return cudaErrorNoDevice;
    return cudaSuccess;
}

cudaError_t device_enter(void)
{
    device_lock();
    cudaError_t error = absence();
    if (error == cudaSuccess && device_is_lost())
        error = cudaErrorLaunchFailure;
    return error;
}

cudaError_t device_error(cudaError_t error)
{
    device_unlock();
    /* Not ready is an answer, no failure. */
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last_error = error;
    return error;
}

int device_current(void)
{
    return current_device;
}

void emulator_reload(void)
{
    settings_reload();
    memory_reload();
    __atomic_store_n(&lost, false, __ATOMIC_RELEASE);
    __atomic_store_n(&kernel_count, 0, __ATOMIC_RELAXED);
    last_error = cudaSuccess;
}

unsigned emulator_kernels(void)
{
    return __atomic_load_n(&kernel_count, __ATOMIC_RELAXED);
}

/* -- The API -- */

cudaError_t cudaGetDeviceCount(int *count)
{
    device_lock();
    cudaError_t error = absence();
    if (error == cudaSuccess)
        *count = (int)settings()->devices; /* not written where there is none: as on a device */
    return device_error(error);
}

static bool is_device(int device)
{
    return device >= 0 && device < (int)settings()->devices;
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && !is_device(device))
        error = cudaErrorInvalidDevice;
    if (error == cudaSuccess)
        current_device = device;
    return device_error(error);
}

cudaError_t cudaGetDevice(int *device)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess)
        *device = current_device;
    return device_error(error);
}

static void fill_properties(struct cudaDeviceProp *properties, int device)
{
    const struct device_limits *limits = device_limits();
    memset(properties, 0, sizeof *properties);
    (void)snprintf(properties->name, sizeof properties->name, "emulated sm_%u", limits->sm);
    properties->totalGlobalMem = settings()->memory_bytes;
    properties->sharedMemPerBlock = SHARED_STATIC_BYTES_MAX;
    properties->sharedMemPerBlockOptin = limits->shared_per_processor - SHARED_RESERVED_BYTES;
    properties->sharedMemPerMultiprocessor = limits->shared_per_processor;
    properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
    properties->warpSize = (int)WARP_LANES;
    properties->maxThreadsPerBlock = (int)BLOCK_THREADS_MAX;
    properties->maxThreadsPerMultiProcessor = (int)limits->threads_per_processor;
    properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
    properties->maxThreadsDim[2] = 64;
    properties->maxGridSize[0] = 0x7fffffff;
    properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
    properties->major = (int)limits->sm / 10;
    properties->minor = (int)limits->sm % 10;
    properties->multiProcessorCount = (int)limits->processors;
    properties->memoryBusWidth = (int)limits->bus_bits;
    properties->l2CacheSize = (int)limits->l2_bytes;
    properties->pciBusID = device + 1;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    device_lock();
    cudaError_t error = absence();
    if (error == cudaSuccess && !is_device(device))
        error = cudaErrorInvalidDevice;
    if (error == cudaSuccess)
        fill_properties(properties, device);
    return device_error(error);
}

static cudaError_t read_attribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    struct cudaDeviceProp properties;
    fill_properties(&properties, device);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = properties.maxThreadsPerBlock;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = (int)properties.sharedMemPerBlock;
        break;
    case cudaDevAttrWarpSize:
        *value = properties.warpSize;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = properties.multiProcessorCount;
        break;
    case cudaDevAttrL2CacheSize:
        *value = properties.l2CacheSize;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = properties.maxThreadsPerMultiProcessor;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = properties.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = properties.minor;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = (int)properties.sharedMemPerMultiprocessor;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)properties.sharedMemPerBlockOptin;
        break;
    default:
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    device_lock();
    cudaError_t error = absence();
    if (error == cudaSuccess && !is_device(device))
        error = cudaErrorInvalidDevice;
    if (error == cudaSuccess)
        error = read_attribute(value, attribute, device);
    return device_error(error);
}

cudaError_t cudaDeviceGetPCIBusId(char *bus_id, int bytes, int device)
{
    device_lock();
    cudaError_t error = absence();
    if (error == cudaSuccess && (!is_device(device) || bytes < 13))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        (void)snprintf(bus_id, (size_t)bytes, "0000:%02x:00.0", (unsigned)device + 1);
    return device_error(error);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = (int)settings()->driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaPeekAtLastError(void)
{
    return device_is_lost() ? cudaErrorLaunchFailure : last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}

struct error_words {
    cudaError_t error;
    const char *name, *words;
};
static const struct error_words all_words[] = {
#define WORDS(error, words)                                                                        \
    {                                                                                              \
        error, #error, words                                                                       \
    }
    WORDS(cudaSuccess, "no error"),
    WORDS(cudaErrorInvalidValue, "invalid argument"),
    WORDS(cudaErrorMemoryAllocation, "out of memory"),
    WORDS(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    WORDS(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    WORDS(cudaErrorStubLibrary, "CUDA driver is a stub library"),
    WORDS(cudaErrorInsufficientDriver,
          "CUDA driver version is insufficient for CUDA runtime version"),
    WORDS(cudaErrorInvalidDeviceFunction, "invalid device function"),
    WORDS(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    WORDS(cudaErrorInvalidDevice, "invalid device ordinal"),
    WORDS(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    WORDS(cudaErrorNotReady, "device not ready"),
    WORDS(cudaErrorHostMemoryAlreadyRegistered, "part or all of the memory is already registered"),
    WORDS(cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory"),
    WORDS(cudaErrorLaunchFailure, "unspecified launch failure"),
    WORDS(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    WORDS(cudaErrorStreamCaptureInvalidated, "operation failed due to an error during capture"),
    WORDS(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    WORDS(cudaErrorStreamCaptureImplicit,
          "operation would make the legacy stream wait on a capture"),
    WORDS(cudaErrorGraphExecUpdateFailure, "the graph update was not performed"),
#undef WORDS
};

static const struct error_words *words_of(cudaError_t error)
{
    static const struct error_words unknown = {cudaErrorUnknown, "cudaErrorUnknown",
                                               "unknown error"};
    for (unsigned i = 0; i < sizeof all_words / sizeof *all_words; i++) {
        if (all_words[i].error == error)
            return &all_words[i];
    }
    return &unknown;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return words_of(error)->name;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return words_of(error)->words;
}
