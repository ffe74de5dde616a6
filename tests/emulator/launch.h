/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h -- a kernel over its grid. */
#ifndef WEIR_EMULATOR_LAUNCH_H
#define WEIR_EMULATOR_LAUNCH_H

#include "block.h"

/* Owns copies of the arguments. NULL arguments: to be set later. */
struct launch *launch_new(const struct emulator_kernel *kernel, void *const *arguments);
struct launch *launch_clone(const struct launch *launch);
void launch_set_arguments(struct launch *launch, void *const *arguments);
void launch_free(struct launch *launch); /* NULL is fine */

/* Runs every block; returns when the last one has ended. */
void launch_run(const struct launch *launch);

#endif
