/* SPDX-License-Identifier: Apache-2.0 */
/* activation_layout.h -- where everything lies in the activations that products read.
 *
 * Activations are prepared once a call, in tiles of 8 rows, the columns of B of an mma, so that a
 * warp's fragment is consecutive. Lane l = 4g + t of a warp holds column g of B, here row g:
 *
 *     codes   a block of 32 columns of 8 rows, 352 bytes: [row][t][stretch][4 codes], then
 *             float scale[row][stretch], then float scaled_sum[row]
 *     halves  a step of 16 columns of 8 rows, 256 bytes: lane l's columns 2t, 2t + 1, 2t + 8,
 *             2t + 9; behind all tiles float factor[row], what a row's results are multiplied by
 *
 * Rows past the last are zero up to the end of their tile. */
#ifndef WEIR_KERNELS_CUDA_ACTIVATION_LAYOUT_H
#define WEIR_KERNELS_CUDA_ACTIVATION_LAYOUT_H

#define ACTIVATION_ROWS   8u
#define ACTIVATION_BLOCK  352u /* bytes of a block of 8 rows */
#define ACTIVATION_SCALES 256u /* offsets into it */
#define ACTIVATION_SUMS   320u
#define ACTIVATION_STEP   256u /* bytes of a step of 8 rows */
#define FEW_ROWS_MAX      32u  /* up to here kernels for few rows serve */

#endif
