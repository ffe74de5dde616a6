/* SPDX-License-Identifier: Apache-2.0 */
/* build_id.h -- which build this is: the linker's hash over all of it, by which debuggers find the
 * symbols of a binary. Any thread. */
#ifndef WEIR_BASE_BUILD_ID_H
#define WEIR_BASE_BUILD_ID_H

#define BUILD_ID_TEXT_BYTES 129u

/* Hexadecimal digits, "" for a binary that was linked without. */
void build_id_read(char ret[BUILD_ID_TEXT_BYTES]);

#endif
