/* SPDX-License-Identifier: Apache-2.0 */
/* sanitizer.h -- what the engine tells ASan and TSan, where the program is linked with them.
 *
 * The engine itself is always compiled without: TSan would take its bookkeeping for accesses of
 * the CUDA thread that happens to run. So the same objects serve every build, and ask at run time
 * by weak names. Copies that are not to be seen use raw_copy() and raw_fill(), because the C
 * library's are watched. */
#ifndef WEIR_EMULATOR_SANITIZER_H
#define WEIR_EMULATOR_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EMULATOR_WEAK __attribute__((weak))

EMULATOR_WEAK void __asan_poison_memory_region(void const volatile *start, size_t bytes);
EMULATOR_WEAK void __asan_unpoison_memory_region(void const volatile *start, size_t bytes);
EMULATOR_WEAK void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom,
                                                  size_t bytes);
EMULATOR_WEAK void __sanitizer_finish_switch_fiber(void *fake_stack, const void **old_bottom,
                                                   size_t *old_bytes);
EMULATOR_WEAK void *__tsan_get_current_fiber(void);
EMULATOR_WEAK void *__tsan_create_fiber(unsigned flags);
EMULATOR_WEAK void __tsan_destroy_fiber(void *fiber);
EMULATOR_WEAK void __tsan_switch_to_fiber(void *fiber, unsigned flags);
EMULATOR_WEAK void __tsan_acquire(void *address);
EMULATOR_WEAK void __tsan_release(void *address);
EMULATOR_WEAK void __tsan_read_range(void *start, unsigned long bytes);
EMULATOR_WEAK void __tsan_write_range(void *start, unsigned long bytes);
EMULATOR_WEAK void AnnotateIgnoreWritesBegin(const char *file, int line);
EMULATOR_WEAK void AnnotateIgnoreWritesEnd(const char *file, int line);

/* CUDA's threads are unordered: a switch is no hand-over. */
#define TSAN_NO_SYNC 1u

static inline bool asan_is_linked(void)
{
    return __asan_poison_memory_region != NULL;
}

static inline bool tsan_is_linked(void)
{
    return __tsan_create_fiber != NULL;
}

static inline void asan_poison(const void *start, size_t bytes)
{
    if (asan_is_linked())
        __asan_poison_memory_region(start, bytes);
}

static inline void asan_unpoison(const void *start, size_t bytes)
{
    if (asan_is_linked())
        __asan_unpoison_memory_region(start, bytes);
}

static inline void tsan_acquire(void *address)
{
    if (tsan_is_linked())
        __tsan_acquire(address);
}

static inline void tsan_release(void *address)
{
    if (tsan_is_linked())
        __tsan_release(address);
}

static inline void raw_fill(void *to, int value, size_t bytes)
{
#if defined(__x86_64__)
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
#else
    volatile unsigned char *at = (volatile unsigned char *)to;
    while (bytes-- > 0)
        *at++ = (unsigned char)value;
#endif
}

static inline void raw_copy(void *to, const void *from, size_t bytes)
{
    unsigned char *out = (unsigned char *)to;
    const unsigned char *in = (const unsigned char *)from;
    /* The empty statement keeps the compiler from seeing a memcpy() in the loop. */
    for (; bytes >= 8; bytes -= 8, out += 8, in += 8) {
        uint64_t word;
        __builtin_memcpy(&word, in, 8);
        __asm__ volatile("" : "+r"(word));
        __builtin_memcpy(out, &word, 8);
    }
    if ((bytes & 4) != 0) {
        __builtin_memcpy(out, in, 4);
        out += 4;
        in += 4;
    }
    if ((bytes & 2) != 0) {
        __builtin_memcpy(out, in, 2);
        out += 2;
        in += 2;
    }
    if ((bytes & 1) != 0)
        *out = *in;
}

/* Bytes that a CUDA thread reads and writes in the engine's own words: told to TSan as its, and
 * checked by ASan, whose memcpy looks at both ends. The length is kept from the compiler, which
 * would copy without a call. */
static inline void watched_copy(void *to, const void *from, size_t bytes)
{
    volatile size_t length = bytes;
    if (!tsan_is_linked()) {
        memcpy(to, from, length);
        return;
    }
    __tsan_read_range((void *)from, bytes);
    raw_copy(to, from, bytes);
}

#endif
