/* SPDX-License-Identifier: Apache-2.0 */
/* cell.h -- words and numbers in the columns of a table on a terminal. Pure. */
#ifndef WEIR_DAEMON_COMMANDS_CELL_H
#define WEIR_DAEMON_COMMANDS_CELL_H

#include "base/text.h"

#include <stdint.h>

#define CELL_NUMBER_BYTES 32u

/* At most `most` characters, padded to as many; what a terminal might obey is '?'. A character is
 * taken to be one column wide. */
void cell_name(struct text *out, const char *name, uint32_t most);

/* Short spellings; "-" for NAN. "7.5", "120", "12.3k", "4.5M"; "34%"; "12 ms", "1.25 s";
 * "3.2 GiB"; "2d 04:10". */
void cell_number(double value, char ret[CELL_NUMBER_BYTES]);
void cell_share(double value, char ret[CELL_NUMBER_BYTES]);
void cell_seconds(double value, char ret[CELL_NUMBER_BYTES]);
void cell_bytes(double value, char ret[CELL_NUMBER_BYTES]);
void cell_uptime(double seconds, char ret[CELL_NUMBER_BYTES]);

#endif
