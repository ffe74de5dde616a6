/* SPDX-License-Identifier: Apache-2.0 */
/* engine_check.h -- what an engine is asked for, held to its limits. Pure. */
#ifndef WEIR_BATCHING_ENGINE_CHECK_H
#define WEIR_BATCHING_ENGINE_CHECK_H

#include "batching/engine.h"

/* 0, or ERROR_INVALID naming the setting, its value and the way out. */
int engine_check_config(const struct engine_config *config, const struct model_shape *shape,
                        struct error *err);
int engine_check_request(const struct engine_config *config,
                         const struct generation_request *request, uint32_t vocabulary,
                         struct error *err);
/* Blocks of the pool, or 0 and an error that names both numbers and the way out. */
uint32_t engine_pool_blocks(const struct engine_config *config, size_t block_bytes,
                            struct error *err);
/* Rows of logits of a step at most. */
uint32_t engine_outputs_max(const struct engine_config *config);

#endif
