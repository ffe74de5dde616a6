/* SPDX-License-Identifier: Apache-2.0 */
/* samples.h -- assessments made by hand, for the tests of every format. */
#ifndef WEIR_TESTS_UNIT_RENDER_SAMPLES_H
#define WEIR_TESTS_UNIT_RENDER_SAMPLES_H

#include "policy/license/assessment.h"

/* One condition of each verdict, one of them taken on; two licences, one of a base model. */
const struct assessment *sample_full(void);
/* A licence of the catalogue's SPDX ids, and nothing to do. */
const struct assessment *sample_plain(void);
/* Nothing recognised, no condition. */
const struct assessment *sample_bare(void);
/* Every string that can come from a model's files holds what terminals, JSON, Markdown and URIs
 * would trip over. */
const struct assessment *sample_hostile(void);
#define SAMPLE_HOSTILE "a\033[31m\"\\<b>`|*_[x](http://y)\n# z\x07\x7f\xff\xc2\x9b\xe2\x80\xae"

#endif
