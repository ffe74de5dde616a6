/* SPDX-License-Identifier: Apache-2.0 */
/* build_id.h -- which build this is: the linker's hash over all of it, by which debuggers find the
 * symbols of a binary; and what they call a place in it.
 *
 * Read from our own image in memory, without a lock or a call to anybody: a handler of signals may.
 * Any thread. */
#ifndef WEIR_BASE_BUILD_ID_H
#define WEIR_BASE_BUILD_ID_H

#include <stdbool.h>
#include <stdint.h>

#define BUILD_ID_TEXT_BYTES 129u

/* Hexadecimal digits, "" for a binary that was linked without. */
void build_id_read(char ret[BUILD_ID_TEXT_BYTES]);
/* Whether the address is within our image; *ret_offset is then what addr2line takes. */
bool build_id_offset(uintptr_t address, uintptr_t *ret_offset);

#endif
