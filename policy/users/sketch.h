/* SPDX-License-Identifier: Apache-2.0 */
/* sketch.h -- how many distinct users: exact while they are few, then within 0.15%.
 *
 * A set of 64-bit keyed hashes up to SKETCH_EXACT_MAX, UltraLogLog registers after
 * (sketch_registers.h). Which of the two it is depends on the set alone, so that the bytes of
 * sketch_write() are the same for the same users, whatever their order and however they were
 * joined: replicas compare a digest to know that they agree. One thread at a time. */
#ifndef WEIR_POLICY_USERS_SKETCH_H
#define WEIR_POLICY_USERS_SKETCH_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKETCH_P         18u    /* 256 KiB, standard error 0.149% */
#define SKETCH_EXACT_MAX 28672u /* of p = 18: a table of 256 KiB, 7/8 full; in proportion below */
#define SKETCH_BYTES_MAX ((1u << 26) + 64u)

struct sketch;

struct sketch *sketch_new(uint32_t p);   /* p: 8 to 26; NULL when there is no memory */
void sketch_free(struct sketch *sketch); /* NULL is fine */
uint32_t sketch_p(const struct sketch *sketch);
bool sketch_is_exact(const struct sketch *sketch);
size_t sketch_memory(const struct sketch *sketch); /* bytes that it holds */

/* ret_changed, which may be NULL: whether the sketch is another one now. ERROR_NO_MEMORY leaves it
 * as it was. */
int sketch_add(struct sketch *sketch, uint64_t hash, bool *ret_changed, struct error *err);
/* into becomes the sketch of both; of two p the lower. from is unchanged and may be `into`. */
int sketch_join(struct sketch *into, const struct sketch *from, struct error *err);
/* As if it had been made with to_p <= p. */
int sketch_downsize(struct sketch *sketch, uint32_t to_p, struct error *err);

struct sketch_count {
    double value;
    double standard_error; /* 0 while exact */
};
void sketch_count(const struct sketch *sketch, struct sketch_count *ret);
/* One-sided bounds z standard errors away: SKETCH_Z_REPORT leaves 0.05% outside and is claimed to
 * leave 0.1%; SKETCH_Z_ENFORCE 0.001%. */
#define SKETCH_Z_REPORT  3.30
#define SKETCH_Z_ENFORCE 4.26
double sketch_lower(const struct sketch_count *count, double z);
double sketch_upper(const struct sketch_count *count, double z);

/* With which one more user would change it: 1 while exact. */
double sketch_change_chance(const struct sketch *sketch);

/* Canonical bytes, little endian:
 *     0  "WSK1"   4  form: 1 set, 2 registers   5  p   6  0 0   8  count of hashes, or 0
 *    16  the hashes in rising order, 8 bytes each; or the 2^p registers */
void sketch_write(const struct sketch *sketch, struct text *out);
/* ERROR_INVALID says what is wrong with bytes that sketch_write() would not have written. */
int sketch_read(const void *bytes, size_t count, struct sketch **ret, struct error *err);

#endif
