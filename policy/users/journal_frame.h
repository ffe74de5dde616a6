/* SPDX-License-Identifier: Apache-2.0 */
/* journal_frame.h -- one frame of a journal, to and from its 4 KiB. Pure. */
#ifndef WEIR_POLICY_USERS_JOURNAL_FRAME_H
#define WEIR_POLICY_USERS_JOURNAL_FRAME_H

#include "policy/users/journal.h"

#include <stdint.h>

#define JOURNAL_FRAME_BYTES   4096u
#define JOURNAL_FRAME_RECORDS 169u /* (4096 - 32) / 24 */
/* Far beyond what can be counted, and far enough below 2^64 that sums do not wrap. */
#define JOURNAL_SEQUENCE_MAX ((uint64_t)1 << 62)
/* What opening may go on from: so far below the other that no life of a process comes from here to
 * there, and all that it writes can be read back. */
#define JOURNAL_SEQUENCE_RESUMED_MAX ((uint64_t)1 << 61)

struct journal_frame {
    uint64_t sequence; /* of its first record, from 1; the others follow without a gap */
    uint64_t key_id;
    uint32_t record_count; /* at least 1 */
    struct journal_record records[JOURNAL_FRAME_RECORDS];
};

enum journal_frame_state {
    JOURNAL_FRAME_GOOD,
    JOURNAL_FRAME_DAMAGED, /* torn, flipped, or never written */
    JOURNAL_FRAME_NEWER    /* whole, but of a form that we do not know */
};

void journal_frame_write(uint8_t bytes[JOURNAL_FRAME_BYTES], const struct journal_frame *frame);
/* *ret is set where the frame is good. */
enum journal_frame_state journal_frame_read(const uint8_t bytes[JOURNAL_FRAME_BYTES],
                                            struct journal_frame *ret);

#endif
