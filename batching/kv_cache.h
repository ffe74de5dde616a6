/* SPDX-License-Identifier: Apache-2.0 */
/* kv_cache.h -- blocks of keys and values, and who may name them. Engine thread only.
 *
 * A block is free, cached (full, unreferenced, still findable by its hash) or referenced by one
 * or more block tables; exactly one of them. The numbers name blocks of the model's device memory;
 * no tensor is touched here. */
#ifndef WEIR_BATCHING_KV_CACHE_H
#define WEIR_BATCHING_KV_CACHE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define KV_BLOCK_NONE UINT32_MAX

struct kv_cache;

struct kv_cache *kv_cache_new(uint32_t block_count, struct error *err);
void kv_cache_free(struct kv_cache *cache); /* NULL is fine */

/* A block with one reference, or KV_BLOCK_NONE. Evicts the least recently used cached block when
 * none is free. Empty is load, not failure: preempt and retry. */
uint32_t kv_cache_take(struct kv_cache *cache);
void kv_cache_ref(struct kv_cache *cache, uint32_t block);
/* At zero references a sealed block becomes cached, another becomes free. */
void kv_cache_unref(struct kv_cache *cache, uint32_t block);

/* The hash of a full block of KV_BLOCK_TOKENS ids, chained over its parent's; the first block's
 * parent is the salt (tenant, adapter). 128 bits, so that a chance collision is out of reach. */
struct kv_hash {
    uint64_t low, high;
};
struct kv_hash kv_hash_salt(uint64_t tenant, uint64_t salt);
struct kv_hash kv_hash_chain(struct kv_hash parent, const uint32_t *tokens);

/* The block is full and holds what `hash` names: from now on it can be found. If another block is
 * already known by the hash, this one simply stays private. */
void kv_cache_seal(struct kv_cache *cache, uint32_t block, struct kv_hash hash);
/* The block known by hash with a reference added, or KV_BLOCK_NONE. */
uint32_t kv_cache_find(struct kv_cache *cache, struct kv_hash hash);

struct kv_cache_stats {
    uint32_t block_count, free_count, cached_count, referenced_count;
    uint64_t evictions;
};
struct kv_cache_stats kv_cache_stats(const struct kv_cache *cache);
/* Blocks that take() could give right now: free and cached. */
uint32_t kv_cache_available(const struct kv_cache *cache);

/* Proves the invariants; asserts. For tests and after every fuzz operation. */
void kv_cache_check(const struct kv_cache *cache);

#endif
