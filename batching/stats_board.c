/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/stats_board.h"

#include <string.h>

void stats_board_write(struct stats_board *board, const struct engine_stats *stats)
{
    uint64_t words[STATS_WORDS] = {0};
    memcpy(words, stats, sizeof *stats);
    uint64_t version = atomic_load_explicit(&board->version, memory_order_relaxed);
    atomic_store_explicit(&board->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < STATS_WORDS; i++)
        atomic_store_explicit(&board->words[i], words[i], memory_order_release);
    atomic_store_explicit(&board->version, version + 2, memory_order_release);
}

void stats_board_read(const struct stats_board *board, struct engine_stats *ret)
{
    uint64_t words[STATS_WORDS] = {0};
    uint64_t before, after;
    do {
        before = atomic_load_explicit(&board->version, memory_order_acquire);
        for (size_t i = 0; i < STATS_WORDS; i++)
            words[i] = atomic_load_explicit(&board->words[i], memory_order_acquire);
        after = atomic_load_explicit(&board->version, memory_order_relaxed);
    } while (before != after || before % 2 != 0);
    memcpy(ret, words, sizeof *ret);
}
