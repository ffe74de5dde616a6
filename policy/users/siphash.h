/* SPDX-License-Identifier: Apache-2.0 */
/* siphash.h -- SipHash-2-4 (Aumasson and Bernstein 2012): a short-input pseudorandom function, so
 * that nobody without the key can choose ids that collide or recognise one. Pure; any thread.
 *
 * OpenSSL has it behind EVP_MAC, at a context a call: ten times the cost of the hash itself. */
#ifndef WEIR_POLICY_USERS_SIPHASH_H
#define WEIR_POLICY_USERS_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_BYTES 16u

uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], const void *bytes, size_t count);

#endif
