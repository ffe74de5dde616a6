/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/row_passes_body.h"

const struct row_passes row_passes_avx2 = {rows_highest, rows_weights};
