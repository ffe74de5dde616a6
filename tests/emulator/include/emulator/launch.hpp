/* SPDX-License-Identifier: Apache-2.0 */
/* launch.hpp -- kernels as the engine calls them, and the API's functions over kernels of any
 * signature. */
#ifndef WEIR_EMULATOR_LAUNCH_HPP
#define WEIR_EMULATOR_LAUNCH_HPP

#include "../cuda_runtime_api.h"
#include "engine.h"

#include <type_traits>
#include <utility>

template <class... P> struct emulator_signature {
    static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's arguments are bytes");

    template <size_t... I>
    static void apply(void (*kernel)(P...), void *const *arguments, std::index_sequence<I...>)
    {
        kernel(*static_cast<std::remove_cv_t<P> *>(arguments[I])...);
    }
    static void call(const void *function, void *const *arguments)
    {
        apply(reinterpret_cast<void (*)(P...)>(const_cast<void *>(function)), arguments,
              std::index_sequence_for<P...>());
    }
    static constexpr size_t argument_bytes[sizeof...(P) + 1] = {sizeof(P)..., 0};
    static constexpr bool argument_is_pointer[sizeof...(P) + 1] = {std::is_pointer_v<P>..., false};

    /* Arguments convert to the parameters here, as in a call. */
    static void launch(const char *name, void (*kernel)(P...), const emulator_launch &how,
                       P... values)
    {
        void *arguments[] = {const_cast<void *>(static_cast<const void *>(&values))..., nullptr};
        emulator_kernel described = {reinterpret_cast<const void *>(kernel),
                                     name,
                                     call,
                                     argument_bytes,
                                     argument_is_pointer,
                                     sizeof...(P)};
        emulator_enqueue(&described, &how, arguments);
    }
};
template <class... P> emulator_signature<P...> emulator_signature_of(void (*)(P...));

template <class T> static inline cudaError_t cudaMalloc(T **memory, size_t bytes)
{
    return cudaMalloc(reinterpret_cast<void **>(memory), bytes);
}
template <class T> static inline cudaError_t cudaMallocHost(T **memory, size_t bytes)
{
    return cudaMallocHost(reinterpret_cast<void **>(memory), bytes);
}
template <class... P>
static inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute,
                                               int value)
{
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}
template <class... P>
static inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks,
                                                                        void (*kernel)(P...),
                                                                        int threads, size_t bytes)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks, reinterpret_cast<const void *>(kernel), threads, bytes);
}

#endif
