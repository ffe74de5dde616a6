/* SPDX-License-Identifier: Apache-2.0 */
/* exposition.h -- what a daemon's /metrics said, to be asked by name and label. Pure.
 *
 * Prometheus' text format 0.0.4. Comments and time stamps are passed over; anything else that is
 * no sample refuses the whole. */
#ifndef WEIR_DAEMON_COMMANDS_EXPOSITION_H
#define WEIR_DAEMON_COMMANDS_EXPOSITION_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPOSITION_SAMPLES_MAX 262144u
#define EXPOSITION_LABEL_BYTES 256u /* of a value, with its NUL; longer ones are cut */

struct exposition_sample {
    const char *name;
    const char *labels; /* as they stand between the braces; "" for none */
    double value;
};

struct exposition {
    char *text; /* what the samples point into */
    struct exposition_sample *samples;
    size_t count;
};

/* Copies. ERROR_INVALID names the line; ERROR_NO_MEMORY. */
int exposition_parse(const char *text, size_t count, struct exposition *ret, struct error *err);
void exposition_destroy(struct exposition *exposition); /* all zero is fine */

/* The label's value with its escapes undone; false when the sample has no such label. */
bool exposition_label(const struct exposition_sample *sample, const char *key,
                      char ret[EXPOSITION_LABEL_BYTES]);

/* Which samples are meant: of a name, with a label or two. key NULL: any. */
struct exposition_query {
    const char *name;
    const char *key, *value;
    const char *other_key, *other_value;
};
bool exposition_matches(const struct exposition_sample *sample,
                        const struct exposition_query *query);
/* The sum of all that match; NAN for none. */
double exposition_sum(const struct exposition *exposition, const struct exposition_query *query);
double exposition_least(const struct exposition *exposition, const struct exposition_query *query);

/* The quantile of a histogram between two expositions, before NULL or all of it: by straight lines
 * within a bucket, as Prometheus has it. query->name without "_bucket". NAN where nothing was
 * observed. quantile: 0 to 1. */
double exposition_quantile(const struct exposition *before, const struct exposition *now,
                           const struct exposition_query *query, double quantile);

#endif
