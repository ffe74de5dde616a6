/* SPDX-License-Identifier: Apache-2.0 */
/* fiber.c -- stacks, and the switch between them.
 *
 * A switch pushes the registers that a callee must keep, swaps stack pointers, and pops: the one
 * place where the processor is named. A new stack is laid out as if it had been switched from at
 * the first instruction of entry:
 *
 *     x86-64                          aarch64
 *     top - 8   0  (no return)        top - 176 .. top: x19-x30, d8-d15
 *     top - 16  entry                 x30 = entry
 *     top - 64  rbp rbx r12-r15
 *
 * ASan must know which stack is in use, TSan which fiber; both are told here. */
#include "fiber.h"

#include "sanitizer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096u

void emulator_switch(void **save, void *to);

#if defined(__x86_64__)
__asm__(".text\n"
        ".type emulator_switch,@function\n"
        "emulator_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n");

static void *prepare_stack(char *top, void (*entry)(void))
{
    void **at = (void **)(void *)top;
    at[-2] = (void *)entry;
    return at - 8;
}
#elif defined(__aarch64__)
__asm__(".text\n"
        ".type emulator_switch,%function\n"
        "emulator_switch:\n"
        "    sub sp, sp, #176\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x2, sp\n"
        "    str x2, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #176\n"
        "    ret\n");

static void *prepare_stack(char *top, void (*entry)(void))
{
    void **at = (void **)(void *)(top - 176);
    at[11] = (void *)entry;
    return at;
}
#else
#error "fiber.c: no switch for this processor"
#endif

/* Instrumented kernels need several times the stack. */
static size_t stack_bytes(void)
{
    return asan_is_linked() || tsan_is_linked() ? 512u << 10 : 128u << 10;
}

struct fiber *fiber_new(unsigned index, void (*entry)(void))
{
    struct fiber *fiber = calloc(1, sizeof *fiber);
    size_t bytes = stack_bytes();
    char *map = mmap(NULL, bytes + PAGE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber == NULL || map == MAP_FAILED || mprotect(map, PAGE_BYTES, PROT_NONE) != 0)
        emulator_fail("no memory for a thread's stack");
    fiber->index = index;
    fiber->context.stack = map + PAGE_BYTES;
    fiber->context.stack_bytes = bytes;
    fiber->context.stack_pointer = prepare_stack(map + PAGE_BYTES + bytes, entry);
    if (tsan_is_linked())
        fiber->context.tsan = __tsan_create_fiber(0);
    return fiber;
}

void fiber_switch(struct context *from, struct context *to)
{
    void *fake_stack = NULL;
    if (__sanitizer_start_switch_fiber != NULL)
        __sanitizer_start_switch_fiber(&fake_stack, to->stack, to->stack_bytes);
    if (tsan_is_linked())
        __tsan_switch_to_fiber(to->tsan, TSAN_NO_SYNC);
    emulator_switch(&from->stack_pointer, to->stack_pointer);
    if (__sanitizer_finish_switch_fiber != NULL)
        __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
}

void fiber_arrived(struct context *previous)
{
    if (__sanitizer_finish_switch_fiber == NULL)
        return;
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(NULL, &stack, &bytes);
    if (previous->stack == NULL) {
        previous->stack = stack;
        previous->stack_bytes = bytes;
    }
}
