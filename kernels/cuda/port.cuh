/* SPDX-License-Identifier: Apache-2.0 */
/* port.cuh -- all that differs between a GPU and tests/emulator. Every kernel includes it first.
 *
 * nvcc reads the PTX here; the emulator brings functions of the same names, which its header
 * emulated_port.h declares. Nothing else in kernels/cuda asks which of the two it is. PTX ISA 7.0
 * and later, sm_80 and up.
 *
 *     SHARED_ARRAY(float, sums, [4][32]);     a block's static shared memory
 *     SHARED_DYNAMIC(half, tile);             its dynamic shared memory, 128-byte aligned
 *     LAUNCH((kernel<half, 128>), grid, block, shared_bytes, stream, arguments...)
 *
 * Fragments are those of the PTX manual, "Matrix Fragments for mma.m16n8k16" and "k32": lane l
 * holds of A rows l/4 and l/4 + 8, of B and C columns l/4 and 2(l%4), 2(l%4) + 1. */
#ifndef WEIR_KERNELS_CUDA_PORT_CUH
#define WEIR_KERNELS_CUDA_PORT_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#define WARP     32u
#define WARP_ALL 0xffffffffu

#ifdef WEIR_EMULATED_CUDA
#include <emulated_port.h>
#else

#define SHARED_ARRAY(type, name, ...) __shared__ __align__(16) type name __VA_ARGS__
#define SHARED_DYNAMIC(type, name)                                                                 \
    extern __shared__ __align__(128) unsigned char port_dynamic_bytes[];                           \
    type *name = reinterpret_cast<type *>(port_dynamic_bytes)
#define PORT_BARE(...) __VA_ARGS__
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    PORT_BARE kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)

/* -- Asynchronous copies (cp.async): 16 bytes, both ends 16-byte aligned -- */

/* Zeros where !valid; `from` is not read then. */
__device__ __forceinline__ void copy_async16(void *shared, const void *from, bool valid)
{
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void copy_async_commit()
{
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}

/* Until at most PENDING of this thread's newest groups are still on their way. */
template <int PENDING> __device__ __forceinline__ void copy_async_wait()
{
    asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING) : "memory");
}

/* -- Tensor cores: c += A B for the whole warp -- */

__device__ __forceinline__ void mma_16816(float (&c)[4], const uint32_t (&a)[4],
                                          const uint32_t (&b)[2], half)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_16816(float (&c)[4], const uint32_t (&a)[4],
                                          const uint32_t (&b)[2], __nv_bfloat16)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Signed bytes, 16 columns: a has 4 codes of rows l/4 and l/4 + 8, b 4 codes of column l/4. */
__device__ __forceinline__ void mma_16816_s8(int32_t (&c)[4], const uint32_t (&a)[2], uint32_t b)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 "
                 "{%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};\n"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b));
}

/* -- Shared memory to fragments: lane l names row l % 8 of matrix l / 8, 16-byte aligned -- */

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void *row)
{
    unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}

__device__ __forceinline__ void load_matrices(uint32_t (&r)[2], const void *row)
{
    unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1},[%2];\n"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(from)
                 : "memory");
}

__device__ __forceinline__ void load_matrices_turned(uint32_t (&r)[4], const void *row)
{
    unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}

__device__ __forceinline__ void load_matrices_turned(uint32_t (&r)[2], const void *row)
{
    unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1},[%2];\n"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(from)
                 : "memory");
}

#endif
#endif
