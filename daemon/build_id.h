/* SPDX-License-Identifier: Apache-2.0 */
/* build_id.h -- which build this is, by the note that the linker put into it; and where it lies.
 *
 * Read from our own image in memory, without a call to anybody: a handler of signals may. */
#ifndef WEIR_DAEMON_BUILD_ID_H
#define WEIR_DAEMON_BUILD_ID_H

#include <stdbool.h>
#include <stdint.h>

#define BUILD_ID_BYTES_MAX 20u /* a SHA-1 */

/* Hexadecimal; "none" where the linker was not asked for one. */
void build_id(char ret[2 * BUILD_ID_BYTES_MAX + 1]);
/* Whether the address is within our image; *ret_offset is then what addr2line takes. */
bool build_id_offset(uintptr_t address, uintptr_t *ret_offset);

#endif
