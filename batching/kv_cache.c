/* SPDX-License-Identifier: Apache-2.0 */
/* kv_cache.c -- one pool, cut into equal blocks, each named by its number.
 *
 * A sequence owns no memory, only a block table naming blocks by number:
 *     positions     0..15   16..31   32..47
 *     block table   [  7 ]  [  2  ]  [  9  ]
 * Prompts with a common prefix name the same blocks, so a block counts its tables.
 *
 *              take()                    unref(), not sealed
 *     FREE  ------------->  REFERENCED  -------------------->  FREE
 *      ^                     |      ^
 *      |      unref(), sealed|      | find()
 *      |                     v      |
 *      +---- take() ------- CACHED -+        (evicts the least recently used)
 *
 * A sealed block is full and will not be written again; it is found through a chained hash table
 * by the 128-bit name of its tokens and all tokens before them. Blocks that lose their last
 * reference join the new end of a list, and take() evicts from the old end. A table gives its
 * blocks back from last to first, so that of one prefix the tail is evicted before the head: a
 * block whose parent is gone can never be found again.
 *
 * Invariant (kv_cache_check): a block is free, cached or referenced, exactly one of them; the
 * lists and counts agree; every sealed block that is listed is found by its hash, and no hash
 * finds two blocks.
 *
 * The pool never grows: running dry is how the scheduler learns to preempt. A radix tree over
 * tokens would find partial blocks too, but a partial block would have to be copied before it is
 * written; hashing whole blocks (Kwon et al. 2023) needs no copy and no tree walk.
 *
 * The hash is not a cryptographic one. Its seed in every link is the parent's hash, and the engine
 * puts a random number of its own into the first, so that nobody outside can aim a collision. */
#include "batching/kv_cache.h"

#include "kernels/backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BLOCKS_MAX (1u << 30)

struct kv_block {
    struct kv_hash hash;  /* of a sealed block */
    uint32_t references;  /* block tables that name it */
    uint32_t older;       /* in the list of cached blocks */
    uint32_t newer;       /* there, and the next of the free list */
    uint32_t bucket_next; /* in the hash table, of a sealed block */
    bool sealed;          /* listed in the hash table */
};

struct kv_cache {
    uint32_t block_count;
    uint32_t bucket_mask;
    struct kv_block *blocks;
    uint32_t *buckets;
    uint32_t free_head;
    uint32_t oldest, newest; /* cached blocks by last use */
    uint32_t free_count, cached_count;
    uint64_t evictions;
};

struct kv_cache *kv_cache_new(uint32_t block_count, struct error *err)
{
    if (block_count == 0 || block_count > BLOCKS_MAX) {
        (void)error_set(err, ERROR_INVALID, "kv blocks: %u is not 1..%u", block_count, BLOCKS_MAX);
        return NULL;
    }
    uint32_t bucket_count = 1;
    while (bucket_count < block_count)
        bucket_count *= 2;
    struct kv_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        goto fail;
    cache->blocks = calloc(block_count, sizeof *cache->blocks);
    cache->buckets = malloc(bucket_count * sizeof *cache->buckets);
    if (cache->blocks == NULL || cache->buckets == NULL)
        goto fail;
    cache->block_count = block_count;
    cache->bucket_mask = bucket_count - 1;
    memset(cache->buckets, 0xff, bucket_count * sizeof *cache->buckets); /* KV_BLOCK_NONE */
    for (uint32_t i = 0; i < block_count; i++)
        cache->blocks[i].newer = i + 1 < block_count ? i + 1 : KV_BLOCK_NONE;
    cache->oldest = cache->newest = KV_BLOCK_NONE;
    cache->free_count = block_count;
    return cache;
fail:
    kv_cache_free(cache);
    (void)error_no_memory(err);
    return NULL;
}

void kv_cache_free(struct kv_cache *cache)
{
    if (cache == NULL)
        return;
    free(cache->blocks);
    free(cache->buckets);
    free(cache);
}

static struct kv_block *block_at(const struct kv_cache *cache, uint32_t block)
{
    assert(block < cache->block_count);
    return &cache->blocks[block];
}

/* -- the hash table of sealed blocks -- */

static uint32_t *bucket_of(const struct kv_cache *cache, struct kv_hash hash)
{
    return &cache->buckets[hash.low & cache->bucket_mask];
}

static bool same_hash(struct kv_hash a, struct kv_hash b)
{
    return a.low == b.low && a.high == b.high;
}

static uint32_t table_find(const struct kv_cache *cache, struct kv_hash hash)
{
    uint32_t block = *bucket_of(cache, hash);
    while (block != KV_BLOCK_NONE && !same_hash(cache->blocks[block].hash, hash))
        block = cache->blocks[block].bucket_next;
    return block;
}

static void table_remove(struct kv_cache *cache, uint32_t block)
{
    uint32_t *link = bucket_of(cache, cache->blocks[block].hash);
    while (*link != block) {
        assert(*link != KV_BLOCK_NONE);
        link = &cache->blocks[*link].bucket_next;
    }
    *link = cache->blocks[block].bucket_next;
    cache->blocks[block].sealed = false;
}

/* -- the list of cached blocks, oldest first -- */

static void cached_append(struct kv_cache *cache, uint32_t block)
{
    struct kv_block *self = &cache->blocks[block];
    self->older = cache->newest;
    self->newer = KV_BLOCK_NONE;
    if (cache->newest != KV_BLOCK_NONE)
        cache->blocks[cache->newest].newer = block;
    else
        cache->oldest = block;
    cache->newest = block;
    cache->cached_count++;
}

static void cached_remove(struct kv_cache *cache, uint32_t block)
{
    const struct kv_block *self = &cache->blocks[block];
    if (self->older != KV_BLOCK_NONE)
        cache->blocks[self->older].newer = self->newer;
    else
        cache->oldest = self->newer;
    if (self->newer != KV_BLOCK_NONE)
        cache->blocks[self->newer].older = self->older;
    else
        cache->newest = self->older;
    assert(cache->cached_count > 0);
    cache->cached_count--;
}

/* -- references -- */

uint32_t kv_cache_take(struct kv_cache *cache)
{
    uint32_t block = cache->free_head;
    if (cache->free_count > 0) {
        cache->free_head = cache->blocks[block].newer;
        cache->free_count--;
    } else if (cache->cached_count > 0) {
        block = cache->oldest;
        cached_remove(cache, block);
        table_remove(cache, block);
        cache->evictions++;
    } else {
        return KV_BLOCK_NONE;
    }
    struct kv_block *self = block_at(cache, block);
    assert(self->references == 0);
    assert(!self->sealed);
    self->references = 1;
    return block;
}

void kv_cache_ref(struct kv_cache *cache, uint32_t block)
{
    struct kv_block *self = block_at(cache, block);
    assert(self->references > 0);
    self->references++;
}

void kv_cache_unref(struct kv_cache *cache, uint32_t block)
{
    struct kv_block *self = block_at(cache, block);
    assert(self->references > 0);
    if (--self->references > 0)
        return;
    if (self->sealed) {
        cached_append(cache, block);
    } else {
        self->newer = cache->free_head;
        cache->free_head = block;
        cache->free_count++;
    }
}

/* -- names -- */

struct kv_hash kv_hash_salt(uint64_t tenant, uint64_t salt)
{
    const uint64_t words[2] = {tenant, salt};
    XXH128_hash_t hash = XXH3_128bits(words, sizeof words);
    return (struct kv_hash){.low = hash.low64, .high = hash.high64};
}

struct kv_hash kv_hash_chain(struct kv_hash parent, const uint32_t *tokens)
{
    struct {
        uint64_t parent;
        uint32_t tokens[KV_BLOCK_TOKENS];
    } link = {.parent = parent.high};
    static_assert(sizeof link == sizeof(uint64_t) + KV_BLOCK_TOKENS * sizeof(uint32_t),
                  "padding would be hashed");
    memcpy(link.tokens, tokens, sizeof link.tokens);
    XXH128_hash_t hash = XXH3_128bits_withSeed(&link, sizeof link, parent.low);
    return (struct kv_hash){.low = hash.low64, .high = hash.high64};
}

void kv_cache_seal(struct kv_cache *cache, uint32_t block, struct kv_hash hash)
{
    struct kv_block *self = block_at(cache, block);
    assert(self->references > 0);
    assert(!self->sealed);
    if (table_find(cache, hash) != KV_BLOCK_NONE)
        return;
    uint32_t *bucket = bucket_of(cache, hash);
    self->hash = hash;
    self->sealed = true;
    self->bucket_next = *bucket;
    *bucket = block;
}

uint32_t kv_cache_find(struct kv_cache *cache, struct kv_hash hash)
{
    uint32_t block = table_find(cache, hash);
    if (block == KV_BLOCK_NONE)
        return KV_BLOCK_NONE;
    if (cache->blocks[block].references == 0)
        cached_remove(cache, block);
    cache->blocks[block].references++;
    return block;
}

/* -- counts and proof -- */

uint32_t kv_cache_available(const struct kv_cache *cache)
{
    return cache->free_count + cache->cached_count;
}

struct kv_cache_stats kv_cache_stats(const struct kv_cache *cache)
{
    return (struct kv_cache_stats){
        .block_count = cache->block_count,
        .free_count = cache->free_count,
        .cached_count = cache->cached_count,
        .referenced_count = cache->block_count - kv_cache_available(cache),
        .evictions = cache->evictions,
    };
}

static uint32_t check_free_list(const struct kv_cache *cache)
{
    uint32_t count = 0;
    uint32_t block = cache->free_head;
    for (; count < cache->free_count; count++, block = cache->blocks[block].newer) {
        assert(block < cache->block_count);
        assert(cache->blocks[block].references == 0);
        assert(!cache->blocks[block].sealed);
    }
    return count;
}

static uint32_t check_cached_list(const struct kv_cache *cache)
{
    uint32_t count = 0, older = KV_BLOCK_NONE;
    for (uint32_t block = cache->oldest; block != KV_BLOCK_NONE; count++) {
        assert(count < cache->block_count);
        assert(cache->blocks[block].references == 0);
        assert(cache->blocks[block].sealed);
        assert(cache->blocks[block].older == older);
        older = block;
        block = cache->blocks[block].newer;
    }
    assert(older == cache->newest);
    return count;
}

void kv_cache_check(const struct kv_cache *cache)
{
    uint32_t referenced = 0, sealed = 0, listed = 0;
    for (uint32_t i = 0; i < cache->block_count; i++) {
        const struct kv_block *block = &cache->blocks[i];
        referenced += block->references > 0;
        sealed += block->sealed;
        if (block->sealed)
            assert(table_find(cache, block->hash) == i); /* so no hash names two */
    }
    for (uint32_t i = 0; i <= cache->bucket_mask; i++)
        for (uint32_t block = cache->buckets[i]; block != KV_BLOCK_NONE; listed++)
            block = block_at(cache, block)->bucket_next;
    assert(listed == sealed);
    uint32_t free_count = check_free_list(cache);
    uint32_t cached_count = check_cached_list(cache);
    assert(cached_count == cache->cached_count);
    assert(free_count + cached_count + referenced == cache->block_count);
}
