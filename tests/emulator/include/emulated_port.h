/* SPDX-License-Identifier: Apache-2.0 */
/* emulated_port.h -- the functions of kernels/cuda/port.cuh, which includes this, by emulation. */
#ifndef WEIR_EMULATOR_EMULATED_PORT_H
#define WEIR_EMULATOR_EMULATED_PORT_H
#ifdef __cplusplus

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "cuda_runtime.h"

/* 16-byte aligned and no more, as there. */
#define SHARED_ARRAY(type, name, ...)                                                              \
    static const char name##_key = 0;                                                              \
    auto &name = *static_cast<type(*) __VA_ARGS__>(                                                \
        emulator_shared(&name##_key, sizeof(type __VA_ARGS__), {__FILE__, __LINE__}))
#define SHARED_DYNAMIC(type, name) type *name = reinterpret_cast<type *>(emulator_dynamic)

#define EMULATOR_BARE(...) __VA_ARGS__
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    do {                                                                                           \
        auto *emulator_function = &EMULATOR_BARE kernel;                                           \
        decltype(emulator_signature_of(emulator_function))::launch(                                \
            #kernel, emulator_function, {(grid), (block), (shared_bytes), (stream)}, __VA_ARGS__); \
    } while (0)

static inline void copy_async16(void *shared, const void *from, bool valid, EMULATOR_SITE)
{
    emulator_copy_async(shared, valid ? from : nullptr, site);
}

static inline void copy_async_commit()
{
    emulator_copy_async_commit();
}

template <int PENDING> static inline void copy_async_wait(EMULATOR_SITE)
{
    emulator_copy_async_wait(PENDING, site);
}

/* The whole warp; what each lane brings and gets is in registers, or in the rows that they name. */
static inline void emulator_matrix(emulator_warp_op op, unsigned count, const void *in, void *out,
                                   emulator_site site)
{
    emulator_warp_call call = {op, 0xffffffffu, count, 32, 0, in, out, site};
    emulator_warp(&call);
}

static inline void mma_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], half,
                             EMULATOR_SITE)
{
    const uint32_t in[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    emulator_matrix(WARP_MMA_F16, 0, in, c, site);
}

static inline void mma_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                             __nv_bfloat16, EMULATOR_SITE)
{
    const uint32_t in[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    emulator_matrix(WARP_MMA_BF16, 0, in, c, site);
}

static inline void mma_16816_s8(int32_t (&c)[4], const uint32_t (&a)[2], uint32_t b, EMULATOR_SITE)
{
    const uint32_t in[3] = {a[0], a[1], b};
    emulator_matrix(WARP_MMA_S8, 0, in, c, site);
}

template <size_t N>
static inline void load_matrices(uint32_t (&r)[N], const void *row, EMULATOR_SITE)
{
    static_assert(N == 1 || N == 2 || N == 4, "no such load");
    emulator_matrix(WARP_LOAD_MATRICES, N, row, r, site);
}

template <size_t N>
static inline void load_matrices_turned(uint32_t (&r)[N], const void *row, EMULATOR_SITE)
{
    static_assert(N == 1 || N == 2 || N == 4, "no such load");
    emulator_matrix(WARP_LOAD_MATRICES_TURNED, N, row, r, site);
}

#endif
#endif
