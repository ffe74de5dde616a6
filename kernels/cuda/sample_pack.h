/* SPDX-License-Identifier: Apache-2.0 */
/* sample_pack.h -- what a step's draws need, packed for the way to the GPU. Pure.
 *
 * Histories travel with every step, and only where a penalty reads them. A row whose history or
 * bias finds no room is left to the host. */
#ifndef WEIR_KERNELS_CUDA_SAMPLE_PACK_H
#define WEIR_KERNELS_CUDA_SAMPLE_PACK_H

#include "kernels/backend.h"
#include "kernels/cuda/sample.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of all rows of a step: a MiB of histories, and 64 KiB of bias. */
#define SAMPLE_TOKENS_MAX ((uint32_t)1 << 18)
#define SAMPLE_BIASES_MAX ((uint32_t)1 << 13)

struct sample_pack {
    struct sample_row *rows; /* [row_count] */
    bool *left;              /* [row_count] the host's: their settings give what nobody reads */
    uint32_t *tokens;
    struct logit_bias *biases;
    uint32_t token_max, bias_max;
    uint32_t token_count, bias_count; /* taken */
    uint32_t drawn_count;             /* rows that are not left */
    uint32_t needs;                   /* SAMPLE_ flags of those */
};

/* Room for tokens that steps within these bounds may fill: at most SAMPLE_TOKENS_MAX. */
uint32_t sample_tokens_max(const struct reserve_args *args);
void sample_pack_fill(struct sample_pack *pack, const struct draw_row *rows, uint32_t row_count);

#ifdef __cplusplus
}
#endif

#endif
