/* SPDX-License-Identifier: Apache-2.0 */
/* sketch_registers.h -- UltraLogLog (O. Ertl, PVLDB 17(7), 2024): one byte a register.
 *
 * An array of 2^p registers, p from SKETCH_P_MIN to SKETCH_P_MAX, all zero when empty. States are
 * those of hash4j's UltraLogLog, byte for byte. Pure, but for registers_add(), which is atomic. */
#ifndef WEIR_POLICY_USERS_SKETCH_REGISTERS_H
#define WEIR_POLICY_USERS_SKETCH_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKETCH_P_MIN 3u
#define SKETCH_P_MAX 26u

/* Whether adding the hash would change a register: one byte read, relaxed. Any thread. */
bool registers_would_change(const uint8_t *registers, uint32_t p, uint64_t hash);
/* Adds it by compare-and-swap of one byte; many threads may add to one array. Returns whether a
 * register changed; ret_index and ret_value, which may be NULL, say which and to what. */
bool registers_add(uint8_t *registers, uint32_t p, uint64_t hash, uint32_t *ret_index,
                   uint8_t *ret_value);

/* into = the state after the hashes of both. Commutative, associative, idempotent. The first uses
 * AVX2 where the processor has it; the second is its definition. */
void registers_join(uint8_t *into, const uint8_t *from, uint32_t p);
void registers_join_scalar(uint8_t *into, const uint8_t *from, uint32_t p);
uint8_t register_join(uint8_t a, uint8_t b); /* of one register */
/* Whether hashes can have left this byte, or all of these. */
bool register_possible(uint8_t value, uint32_t p);
bool registers_possible(const uint8_t *registers, uint32_t p);

/* The state that the same hashes would have left at to_p <= p; `to` holds 2^to_p bytes and may be
 * `from` itself. */
void registers_downsize(const uint8_t *from, uint32_t p, uint8_t *to, uint32_t to_p);

struct registers_estimate {
    double value;          /* maximum likelihood, bias corrected as hash4j does */
    double standard_error; /* from the observed Fisher information at the maximum */
};
void registers_estimate(const uint8_t *registers, uint32_t p, struct registers_estimate *ret);
/* The same of how many registers hold each byte, which is all that it depends on. */
#define REGISTER_VALUES 256u
void registers_estimate_counted(const uint32_t counts[REGISTER_VALUES], uint32_t p,
                                struct registers_estimate *ret);
/* With which one more hash, never added before, would change a register. */
double registers_change_chance(const uint8_t *registers, uint32_t p);

#endif
