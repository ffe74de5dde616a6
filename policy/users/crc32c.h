/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h -- CRC-32C (Castagnoli): finds what is torn or flipped, not forgers. Pure. */
#ifndef WEIR_POLICY_USERS_CRC32C_H
#define WEIR_POLICY_USERS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc: 0, or what the bytes before these gave. The second is its definition, for processors without
 * an instruction for it. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t count);
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t count);

#endif
