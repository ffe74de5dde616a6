/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h -- counts by bucket, recorded with two relaxed adds from any thread.
 *
 * A reader may see an observation's count before its sum: Prometheus tolerates that, and the next
 * scrape has both. The total is made from the buckets, so +Inf and _count always agree. */
#ifndef WEIR_DAEMON_HISTOGRAM_H
#define WEIR_DAEMON_HISTOGRAM_H

#include "base/text.h"

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS_MAX 25u /* finite ones; +Inf is one more */

/* Bounds in the unit that is observed (microseconds, tokens), ascending; `le` shows bound / scale. */
struct histogram_shape {
    const uint64_t *bounds;
    uint32_t count; /* at most HISTOGRAM_BUCKETS_MAX */
    double scale;   /* 1e6 for microseconds shown as seconds; 1 for tokens */
};

struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS_MAX + 1]; /* not cumulative; the last is +Inf */
    _Atomic uint64_t sum;
};

void histogram_observe(struct histogram *histogram, const struct histogram_shape *shape,
                       uint64_t value);
/* name_bucket{labels,le="..."} lines, name_sum, name_count. labels: escaped, without braces. */
void histogram_render(const struct histogram *histogram, const struct histogram_shape *shape,
                      const char *name, const char *labels, struct text *out);

#endif
