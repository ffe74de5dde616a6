/* SPDX-License-Identifier: Apache-2.0 */
/* atomic.hpp -- atomics: relaxed, as CUDA's are. Fences make them order something (fence.c). */
#ifndef WEIR_EMULATOR_ATOMIC_HPP
#define WEIR_EMULATOR_ATOMIC_HPP

#include "convert.h"
#include "engine.h"

#include <type_traits>

template <class T> static inline T emulator_old_value(T *address)
{
    T value;
    __atomic_load(address, &value, __ATOMIC_RELAXED);
    return value;
}

/* Replaces what is there by next(what is there); gives what was. */
template <class T, class Next> static inline T emulator_replace(T *address, Next next)
{
    emulator_atomic_begin(address);
    T old = emulator_old_value(address), wanted;
    do
        wanted = next(old);
    while (!__atomic_compare_exchange(address, &old, &wanted, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED));
    emulator_atomic_end(address);
    return old;
}

#define EMULATOR_ATOMIC(name, expression)                                                          \
    template <class T> static inline T name(T *address, std::common_type_t<T> value)               \
    {                                                                                              \
        return emulator_replace(address, [=](T old) { return (T)(expression); });                  \
    }
EMULATOR_ATOMIC(atomicAdd, old + value)
EMULATOR_ATOMIC(atomicSub, old - value)
EMULATOR_ATOMIC(atomicMin, old < value ? old : value)
EMULATOR_ATOMIC(atomicMax, old > value ? old : value)
EMULATOR_ATOMIC(atomicAnd, old &value)
EMULATOR_ATOMIC(atomicOr, old | value)
EMULATOR_ATOMIC(atomicXor, old ^ value)
EMULATOR_ATOMIC(atomicExch, ((void)old, value))
EMULATOR_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
EMULATOR_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)

template <class T>
static inline T atomicCAS(T *address, std::common_type_t<T> expected, std::common_type_t<T> value)
{
    return emulator_replace(address, [=](T old) { return old == expected ? (T)value : old; });
}

#endif
