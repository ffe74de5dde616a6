/* SPDX-License-Identifier: Apache-2.0 */
/* stats_board.h -- an engine's statistics, pinned up for everybody to read.
 *
 * One writer, any readers, none of whom waits for the other (a sequence lock). The version is odd
 * while the words change. Words are stored with release and loaded with acquire, so a reader that
 * meets a new word also meets the version that came before it. */
#ifndef WEIR_BATCHING_STATS_BOARD_H
#define WEIR_BATCHING_STATS_BOARD_H

#include "batching/engine.h"

#include <stdatomic.h>
#include <stdint.h>

#define STATS_WORDS ((sizeof(struct engine_stats) + 7) / 8)

/* All zero is: nothing happened yet. */
struct stats_board {
    _Atomic uint64_t version;
    _Atomic uint64_t words[STATS_WORDS];
};

void stats_board_write(struct stats_board *board, const struct engine_stats *stats);
void stats_board_read(const struct stats_board *board, struct engine_stats *ret);

#endif
