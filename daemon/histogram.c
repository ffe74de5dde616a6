/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/histogram.h"

void histogram_observe(struct histogram *histogram, const struct histogram_shape *shape,
                       uint64_t value)
{
    uint32_t bucket = 0; /* two dozen bounds: a scan beats a search */
    while (bucket < shape->count && value > shape->bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
}

void histogram_render(const struct histogram *histogram, const struct histogram_shape *shape,
                      const char *name, const char *labels, struct text *out)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < shape->count; i++) {
        total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        text_append_format(out, "%s_bucket{%s,le=\"", name, labels);
        text_append_json_double(out, (double)shape->bounds[i] / shape->scale);
        text_append_format(out, "\"} %llu\n", (unsigned long long)total);
    }
    for (uint32_t i = shape->count; i <= HISTOGRAM_BUCKETS_MAX; i++)
        total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    text_append_format(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels,
                       (unsigned long long)total);
    text_append_format(out, "%s_sum{%s} ", name, labels);
    text_append_json_double(
        out, (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed) / shape->scale);
    text_append_format(out, "\n%s_count{%s} %llu\n", name, labels, (unsigned long long)total);
}
