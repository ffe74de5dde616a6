/* SPDX-License-Identifier: Apache-2.0 */
/* cap_filter.c -- a Bloom filter that costs one cache miss.
 *
 * A plain Bloom filter spreads a user's bits over all of its memory: 14 bits, 14 misses. Here the
 * hash first chooses a block of one cache line, and all of the user's bits lie in it (F. Putze,
 * P. Sanders, J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007):
 *
 *     hash ---- high bits ----> [ block | block | block | ... ]     512 bits each
 *       \                            |
 *        `-- mixed: 11 x 9 bits ---> [ ..1.....1..1...........1...1. ]
 *
 * Users fall on blocks as rain does, 25.6 on average but some 40 on an unlucky block, and that is
 * what the one miss costs: false positives 1.9e-4 at 20 bits a user, where a plain filter has
 * 6.7e-5. 11 bits a user are best for that load: 10 and 12 give 2.0e-4 and 1.9e-4.
 *
 * Threads: a bit only ever goes from 0 to 1, by an atomic OR, relaxed: a user's bits are all that
 * is to be known of the user, so nothing else must become visible with them. Who sees some of the
 * bits takes the user for new, which is the truth of a moment ago.
 *
 * The roads not taken. Cuckoo filters do not join. A single 64-bit word a user would make adding
 * one atomic step, at four times the false positives. Exact sets shared out over the fleet have no
 * false positives at all and ask the network for every new face. */
#include "policy/users/cap_filter.h"

#include "policy/users/crc32c.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BITS   512u
#define BLOCK_WORDS  (BLOCK_BITS / 64)
#define POSITION_LOG 9u /* of BLOCK_BITS */
#define BITS_A_USER  11u
#define BITS_A_WORD  7u /* positions that fit a mixed word of 64 bits */

struct block {
    _Alignas(64) _Atomic uint64_t words[BLOCK_WORDS];
};
static_assert(sizeof(struct block) == 64, "a block is a cache line");
static_assert(BITS_A_USER <= 2 * BITS_A_WORD, "two mixed words hold a user's positions");

#define HEADER_BYTES 4096u /* a page, so that blocks are on lines of their own */
#define MAGIC        "WCF1"

struct header {
    char magic[4];
    uint32_t label;
    uint64_t key_id, block_count;
    uint32_t crc;
};
static_assert(sizeof(struct header) == 32, "the file's layout");

struct cap_filter {
    uint64_t block_count;
    struct block *blocks;
    struct header *header; /* the map's beginning; NULL for one in memory */
    int fd;                /* -1 for one in memory */
};

static struct cap_filter *filter_new(uint64_t users_max, struct error *err)
{
    if (users_max == 0 || users_max > CAP_USERS_MAX) {
        error_set(err, ERROR_INVALID, "a cap of %llu users: 1 to %llu can be told apart",
                  (unsigned long long)users_max, (unsigned long long)CAP_USERS_MAX);
        return NULL;
    }
    struct cap_filter *filter = malloc(sizeof *filter);
    if (filter == NULL) {
        error_no_memory(err);
        return NULL;
    }
    *filter = (struct cap_filter){
        .block_count = (users_max * CAP_BITS_A_USER + BLOCK_BITS - 1) / BLOCK_BITS, .fd = -1};
    return filter;
}

struct cap_filter *cap_filter_new(uint64_t users_max, struct error *err)
{
    struct cap_filter *filter = filter_new(users_max, err);
    if (filter == NULL)
        return NULL;
    uint64_t bytes = cap_filter_bytes(filter);
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        error_set_errno(err, errno, "%llu bytes to tell users apart", (unsigned long long)bytes);
        free(filter);
        return NULL;
    }
    (void)madvise(map, bytes, MADV_HUGEPAGE); /* advice: refused, pages are merely small */
    filter->blocks = map;
    return filter;
}

void cap_filter_free(struct cap_filter *filter)
{
    if (filter == NULL)
        return;
    if (filter->header != NULL)
        (void)munmap(filter->header, HEADER_BYTES + cap_filter_bytes(filter));
    else if (filter->blocks != NULL)
        (void)munmap(filter->blocks, cap_filter_bytes(filter));
    if (filter->fd >= 0)
        close(filter->fd);
    free(filter);
}

/* -- In a file -- */

static uint32_t header_crc(const struct header *header)
{
    return crc32c(0, header, offsetof(struct header, crc));
}

/* Whether what is there is the wanted label's, whole, and of our key; then its size is taken. */
static bool take_up(struct cap_filter *filter, const struct cap_filter_file *file)
{
    struct header header;
    struct stat status;
    if (fstat(filter->fd, &status) != 0 ||
        pread(filter->fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(header.magic, MAGIC, sizeof header.magic) != 0 ||
        header.crc != header_crc(&header) || header.key_id != file->key_id || header.label == 0 ||
        header.label != file->label || header.block_count == 0 ||
        header.block_count > CAP_USERS_MAX * CAP_BITS_A_USER / BLOCK_BITS ||
        (uint64_t)status.st_size != HEADER_BYTES + header.block_count * sizeof(struct block))
        return false;
    filter->block_count = header.block_count;
    return true;
}

/* Where the file system cannot promise room, a hole has to do. */
static int reserve(int fd, uint64_t bytes)
{
    if (ftruncate(fd, (off_t)bytes) != 0)
        return errno;
    if (fallocate(fd, 0, 0, (off_t)bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
        return 0;
    return errno;
}

static int map_file(struct cap_filter *filter, const struct cap_filter_file *file,
                    struct error *err)
{
    filter->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (filter->fd < 0)
        return error_set_errno(err, errno, "%s", file->path);
    bool kept = take_up(filter, file);
    uint64_t bytes = HEADER_BYTES + cap_filter_bytes(filter);
    int failed = !kept && ftruncate(filter->fd, 0) != 0 ? errno : 0;
    if (failed == 0)
        failed = reserve(filter->fd, bytes);
    if (failed != 0)
        return error_set_errno(err, failed,
                               "%s: %llu bytes to tell users apart; make room or lower the cap",
                               file->path, (unsigned long long)bytes);
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, filter->fd, 0);
    if (map == MAP_FAILED)
        return error_set_errno(err, errno, "%s", file->path);
    filter->header = map;
    filter->blocks = (struct block *)(void *)((char *)map + HEADER_BYTES);
    if (!kept) {
        memcpy(filter->header->magic, MAGIC, sizeof filter->header->magic);
        filter->header->key_id = file->key_id;
        filter->header->block_count = filter->block_count;
        cap_filter_set_label(filter, 0);
    }
    return 0;
}

struct cap_filter *cap_filter_open(const struct cap_filter_file *file, uint64_t users_max,
                                   struct error *err)
{
    struct cap_filter *filter = filter_new(users_max, err);
    if (filter == NULL)
        return NULL;
    if (map_file(filter, file, err) == 0)
        return filter;
    cap_filter_free(filter);
    return NULL;
}

uint32_t cap_filter_label(const struct cap_filter *filter)
{
    return filter->header == NULL ? 0 : filter->header->label;
}

void cap_filter_set_label(struct cap_filter *filter, uint32_t label)
{
    if (filter->header == NULL)
        return;
    filter->header->label = label;
    filter->header->crc = header_crc(filter->header);
}

uint64_t cap_filter_bytes(const struct cap_filter *filter)
{
    return filter->block_count * sizeof(struct block);
}

/* The high bits choose, by one multiplication instead of a division. */
static struct block *block_of(const struct cap_filter *filter, uint64_t hash)
{
    return &filter->blocks[(unsigned __int128)hash * filter->block_count >> 64];
}

/* Two words whose bits depend on all of the hash, for users of one block share its high bits.
 * Bijective, so that only equal hashes have equal patterns by construction. The constants are
 * SplitMix64's (S. Vigna, public domain). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

struct pattern {
    uint64_t words[2];
};

static struct pattern pattern_of(uint64_t hash)
{
    return (struct pattern){{mix(hash), mix(hash + 0x9e3779b97f4a7c15)}};
}

static uint32_t pattern_bit(const struct pattern *pattern, uint32_t i)
{
    uint64_t word = pattern->words[i / BITS_A_WORD];
    return (uint32_t)(word >> i % BITS_A_WORD * POSITION_LOG) & (BLOCK_BITS - 1);
}

bool cap_filter_has(const struct cap_filter *filter, uint64_t hash)
{
    const struct block *block = block_of(filter, hash);
    struct pattern pattern = pattern_of(hash);
    for (uint32_t i = 0; i < BITS_A_USER; i++) {
        uint32_t bit = pattern_bit(&pattern, i);
        uint64_t word = atomic_load_explicit(&block->words[bit / 64], memory_order_relaxed);
        if ((word >> bit % 64 & 1) == 0)
            return false;
    }
    return true;
}

bool cap_filter_add(struct cap_filter *filter, uint64_t hash)
{
    struct block *block = block_of(filter, hash);
    struct pattern pattern = pattern_of(hash);
    bool was_new = false;
    for (uint32_t i = 0; i < BITS_A_USER; i++) {
        uint32_t bit = pattern_bit(&pattern, i);
        _Atomic uint64_t *word = &block->words[bit / 64];
        uint64_t mask = (uint64_t)1 << bit % 64;
        if (atomic_load_explicit(word, memory_order_relaxed) & mask)
            continue; /* a read keeps the line shared; an OR would not */
        uint64_t before = atomic_fetch_or_explicit(word, mask, memory_order_relaxed);
        was_new = was_new || (before & mask) == 0;
    }
    return was_new;
}

void cap_filter_prefetch(const struct cap_filter *filter, uint64_t hash)
{
    __builtin_prefetch(block_of(filter, hash));
}

void cap_filter_join(struct cap_filter *into, const struct cap_filter *from)
{
    assert(into->block_count == from->block_count);
    for (uint64_t b = 0; b < into->block_count; b++) {
        for (uint32_t w = 0; w < BLOCK_WORDS; w++) {
            _Atomic uint64_t *word = &into->blocks[b].words[w];
            uint64_t more = atomic_load_explicit(&from->blocks[b].words[w], memory_order_relaxed) &
                            ~atomic_load_explicit(word, memory_order_relaxed);
            if (more != 0)
                (void)atomic_fetch_or_explicit(word, more, memory_order_relaxed);
        }
    }
}

/* Zeros, with the room still ours: by one call where the file system has it. */
static bool zero_file(const struct cap_filter *filter)
{
    off_t bytes = (off_t)cap_filter_bytes(filter);
    if (fallocate(filter->fd, FALLOC_FL_ZERO_RANGE, HEADER_BYTES, bytes) == 0)
        return true;
    return fallocate(filter->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HEADER_BYTES, bytes) ==
               0 &&
           reserve(filter->fd, HEADER_BYTES + (uint64_t)bytes) == 0;
}

void cap_filter_reset(struct cap_filter *filter)
{
    cap_filter_set_label(filter, 0);
    /* A private map reads as zeros after this. Locked memory refuses it. */
    if (filter->fd >= 0 ? zero_file(filter)
                        : madvise(filter->blocks, cap_filter_bytes(filter), MADV_DONTNEED) == 0)
        return;
    for (uint64_t b = 0; b < filter->block_count; b++)
        for (uint32_t w = 0; w < BLOCK_WORDS; w++)
            atomic_store_explicit(&filter->blocks[b].words[w], 0, memory_order_relaxed);
}

/* The sum over how many users a block may hold (Poisson) of what a block of so many lets through:
 * after i users a bit is set with probability 1 - (1 - 1/512)^(11 i), and a stranger needs 11. */
double cap_filter_error(const struct cap_filter *filter, uint64_t users)
{
    double mean = (double)users / (double)filter->block_count;
    if (mean > BLOCK_BITS)
        return 1; /* to within 2e-4: hardly a bit is unset */
    double held_max = mean + 12 * sqrt(mean) + 32, share = 0, log_chance = -mean;
    for (double held = 0; held <= held_max; held++) {
        if (held > 0)
            log_chance += log(mean) - log(held);
        double set = -expm1(held * BITS_A_USER * log1p(-1.0 / BLOCK_BITS));
        share += exp(log_chance) * pow(set, BITS_A_USER);
    }
    return fmin(share, 1);
}
