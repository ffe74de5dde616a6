/* SPDX-License-Identifier: Apache-2.0 */
/* modality.h -- does a model take more than text? Some licences bar only those that do.
 *
 * Anything that says so decides for multimodal. Text alone needs to be said too: an architecture
 * such as "llama" serves both, and what nobody says is unknown. Pure. */
#ifndef WEIR_POLICY_LICENSE_MODALITY_H
#define WEIR_POLICY_LICENSE_MODALITY_H

#include "policy/license/recognition.h"

#include <stdbool.h>
#include <stddef.h>

/* Of a general.architecture, of a hub's tags (joined with ","), of a config.json. */
enum modality modality_of_architecture(const char *architecture);
enum modality modality_of_tags(const char *tags);
enum modality modality_of_config(const char *json, size_t count);

/* What two witnesses say together. */
enum modality modality_of_both(enum modality a, enum modality b);

#endif
