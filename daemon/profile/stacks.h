/* SPDX-License-Identifier: Apache-2.0 */
/* stacks.h -- many samples become few stacks, and the text that draws them.
 *
 *     worker-0;worker_main;event_base_loop;on_readable;h2_read 41
 *
 * A line a stack, outermost first, the samples behind it: what flamegraph.pl, inferno and
 * speedscope read ("folded stacks"). Pure; not shared between threads. */
#ifndef WEIR_DAEMON_PROFILE_STACKS_H
#define WEIR_DAEMON_PROFILE_STACKS_H

#include "base/error.h"
#include "base/text.h"

#include <stdint.h>

#define STACKS_DEPTH_MAX 72u    /* more of a stack are left out at its outer end */
#define STACKS_MAX       32768u /* different ones; samples of further ones are counted together */
#define STACKS_OTHERS    "[other stacks]"

struct stacks;

struct stacks *stacks_new(struct error *err);
void stacks_free(struct stacks *stacks); /* NULL is fine */
/* names: innermost first, each the same pointer whenever it is the same name, and alive as long as
 * the stacks (symbols.h). Without memory the samples go to STACKS_OTHERS. */
void stacks_add(struct stacks *stacks, const char *const *names, uint32_t count, uint64_t samples);
uint64_t stacks_samples(const struct stacks *stacks);
/* Those with most samples first; what does not fit in `bytes_max` becomes one line at the end. */
void stacks_fold(struct stacks *stacks, size_t bytes_max, struct text *out);

#endif
