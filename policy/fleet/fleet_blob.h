/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_blob.h -- what replicas tell each other, sealed: whose counter, under which key, unharmed.
 *
 *      0 "WFB1"    4 kind   5 class   6 0 0   8 scope   16 key id   24 day   28 bytes of the body
 *     32 sender   40 0 0 0 0   44 crc32c of the 44 before and the body
 *     48 the first half of HMAC-SHA256 over the 48 before and the body   64 body
 *
 * Little endian. The checksum tells an accident from a forgery, so that the one can be mended and
 * the other is told. A snapshot has no sender: replicas that counted the same write the same bytes,
 * and 64 of them suffice to see it. Policy thread. */
#ifndef WEIR_POLICY_FLEET_FLEET_BLOB_H
#define WEIR_POLICY_FLEET_FLEET_BLOB_H

#include "base/error.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

#define FLEET_HEADER_BYTES 64u
#define FLEET_BLOB_BYTES   ((1u << 24) + 128u) /* at most: registers of p = 24 */
#define FLEET_KEY_BYTES    32u
#define FLEET_CLASS_COUNT  16u

enum fleet_blob_kind {
    FLEET_SNAPSHOT = 1, /* body: sketch_write() */
    FLEET_DELTA = 2,    /* body: fleet_delta.h */
    FLEET_POKE = 3,     /* no body: too much changed for a delta, read the snapshot */
    FLEET_SCOPE = 4,    /* body: what a scope is called; fleet_registry.h */
    FLEET_REPLICA = 5   /* body: who the sender is; fleet_registry.h */
};

/* A counter of the fleet. */
struct fleet_name {
    uint64_t scope; /* keyed hash of product and model, the same on all replicas */
    uint32_t day;   /* days since 1970-01-01 UTC */
    uint8_t class;  /* below FLEET_CLASS_COUNT */
};

struct fleet_blob {
    enum fleet_blob_kind kind;
    struct fleet_name name;
    uint64_t sender; /* 0 for a snapshot */
    const void *body;
    size_t body_count;
};

struct fleet_key;

/* key_id: of the pseudonyms' key; counters under different ones have nothing in common. */
struct fleet_key *fleet_key_new(const uint8_t key[FLEET_KEY_BYTES], uint64_t key_id,
                                struct error *err);
void fleet_key_free(struct fleet_key *key); /* NULL is fine */

/* Appends. ERROR_NO_MEMORY. */
int fleet_blob_seal(struct fleet_key *key, const struct fleet_blob *blob, struct text *out,
                    struct error *err);
/* ret->body is borrowed from bytes. ERROR_INVALID: damaged. ERROR_REFUSED: under another key, or
 * not sealed by a holder of this one. */
int fleet_blob_open(struct fleet_key *key, const void *bytes, size_t count, struct fleet_blob *ret,
                    struct error *err);

#endif
