/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_delta.h -- what one state of a counter has that another has not, in few bytes. Pure.
 *
 *     0 form: 1 hashes, 2 registers   1 p   2 0 0   4 count of records, not 0   8 records
 *
 * A record is a hash of 8 bytes, or 4 bytes of index << 8 | register; they rise. Works on what
 * sketch_write() promises, not on how a sketch is kept. One thread at a time. */
#ifndef WEIR_POLICY_FLEET_FLEET_DELTA_H
#define WEIR_POLICY_FLEET_FLEET_DELTA_H

#include "base/error.h"
#include "base/text.h"
#include "policy/users/sketch.h"

#include <stddef.h>
#include <stdint.h>

#define FLEET_P_MAX             24u /* an index has 24 bits */
#define FLEET_DELTA_RECORDS_MAX 16384u

/* Appends the delta from `before` to `now`, of one p. *ret_count: how many records it takes; when
 * that is 0, or over FLEET_DELTA_RECORDS_MAX, nothing was appended. */
int fleet_delta_write(const struct sketch *now, const struct sketch *before, struct text *out,
                      uint32_t *ret_count, struct error *err);

/* Deltas of one counter brought together: a sketch is made once, not for each. */
struct fleet_gather {
    uint32_t p;
    struct sketch *hashes; /* NULL: none */
    uint8_t *registers;    /* sketch_write()'s bytes of them; NULL: none */
};

void fleet_gather_init(struct fleet_gather *gather, uint32_t p);
void fleet_gather_destroy(struct fleet_gather *gather);
/* ERROR_INVALID, with nothing added: bytes that fleet_delta_write() would not have written, or of
 * another p. */
int fleet_gather_add(struct fleet_gather *gather, const void *bytes, size_t count,
                     struct error *err);
/* A sketch of all of them. */
int fleet_gather_sketch(const struct fleet_gather *gather, struct sketch **ret, struct error *err);

#endif
