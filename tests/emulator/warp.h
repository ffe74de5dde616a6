/* SPDX-License-Identifier: Apache-2.0 */
/* warp.h -- what a complete collective does for its lanes. */
#ifndef WEIR_EMULATOR_WARP_H
#define WEIR_EMULATOR_WARP_H

#include "block.h"

/* lanes[l] has called, or is NULL. Writes what every lane's out points at. */
void matrix_multiply_16bit(struct fiber *const lanes[WARP_LANES], bool bfloat);
void matrix_multiply_s8(struct fiber *const lanes[WARP_LANES]);
void matrix_load(struct fiber *const lanes[WARP_LANES], unsigned count, bool turned);

#endif
