/* SPDX-License-Identifier: Apache-2.0 */
/* counter.h -- the distinct users of one scope, identity class and UTC day; live, and in a file.
 *
 * A mapped file, so that a killed process loses nothing: the hashes in the order they came while
 * they are exact, then the registers of sketch_registers.h. Asking whether a user is new reads a
 * slot or a byte and takes no lock; only what changes the counter locks it (exact) or swaps one
 * byte (registers). What changed is handed back for the journal and for other replicas.
 *
 *     file   0 "WCNT1"  8 key id  16 counter id  24 day (since 1970)  28 class  29 p
 *           30 form, 'E' or 'R'  31 0  32 crc32c of the first 30
 *           36 1: the hash 0 is one of them  37 'S': sealed  38 0 0  40 slots used  48 seal  52 0
 *         4096 body
 *     body   exact: hashes, 8 bytes each, 0 where one is torn; registers: 2^p bytes behind them */
#ifndef WEIR_POLICY_USERS_COUNTER_H
#define WEIR_POLICY_USERS_COUNTER_H

#include "base/error.h"
#include "policy/users/journal.h"
#include "policy/users/sketch.h"

#include <stdbool.h>
#include <stdint.h>

struct counter;

struct counter_name {
    uint64_t id;     /* keyed hash of product, model, class and day: the journal's name of it */
    uint64_t key_id; /* of the pseudonyms' key */
    uint32_t day;    /* days since 1970-01-01 UTC */
    uint8_t class;
};

/* Opens or makes the file. ERROR_INVALID for a file that is another's or damaged beyond the torn
 * ends that a power cut leaves; the caller moves it aside and replays the journal. */
int counter_open(const char *path, const struct counter_name *name, struct counter **ret,
                 struct error *err);
/* Syncs and seals it, if the disk lets it: then the next opening sees flipped bits. NULL is fine;
 * the file stays. */
void counter_close(struct counter *counter);

/* Any thread; no lock, no system call, no allocation. A user once counted is always found; of the
 * others some are when there are registers: those whom adding would not change the counter for. */
bool counter_has(const struct counter *counter, uint64_t hash);
/* Any thread. Returns 1 and *ret_record (for the journal) when the counter changed, 0 when it did
 * not, ERROR_IO (no room on the disk for the file) when it could not. */
int counter_add(struct counter *counter, uint64_t hash, struct journal_record *ret_record,
                struct error *err);
/* From the journal or a replica; the same answers, and ERROR_INVALID for a record that no counter
 * of this name has written. A sketch of fewer registers is ERROR_UNSUPPORTED. Part of what is
 * joined stays when the rest fails: join again. */
int counter_apply(struct counter *counter, const struct journal_record *record, struct error *err);
int counter_join(struct counter *counter, const struct sketch *sketch, struct error *err);

/* A copy of what it holds, equal in its bytes to a sketch of the same hashes; any thread. */
int counter_sketch(const struct counter *counter, struct sketch **ret, struct error *err);
uint64_t counter_changes(const struct counter *counter); /* rises with each; any thread */
/* The policy thread. After it all that was there before is on disk. */
int counter_sync(struct counter *counter, struct error *err);

#endif
