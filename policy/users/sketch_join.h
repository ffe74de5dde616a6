/* SPDX-License-Identifier: Apache-2.0 */
/* sketch_join.h -- the join of sketch_registers.h over 32 registers at a time. Internal to it. */
#ifndef WEIR_POLICY_USERS_SKETCH_JOIN_H
#define WEIR_POLICY_USERS_SKETCH_JOIN_H

#include <stddef.h>
#include <stdint.h>

/* count: a multiple of 32, of registers with p >= 4. The processor must have AVX2. */
void registers_join_avx2(uint8_t *into, const uint8_t *from, size_t count);

#endif
