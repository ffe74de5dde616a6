/* SPDX-License-Identifier: Apache-2.0 */
/* journal_frame.c -- see journal.h for the picture.
 *
 * The checksum covers all but itself, the magic too: a whole frame with another number in it comes
 * from a later weir, and must not be taken for a torn one, which would be cut away. */
#include "policy/users/journal_frame.h"

#include "base/little_endian.h"
#include "policy/users/crc32c.h"

#include <assert.h>
#include <string.h>

#define AT_CRC       4u
#define AT_SEQUENCE  8u
#define AT_KEY_ID    16u
#define AT_COUNT     24u
#define AT_RECORDS   32u
#define RECORD_BYTES 24u

static const char magic[4] = {'W', 'J', '0', '1'};

static_assert(AT_RECORDS + JOURNAL_FRAME_RECORDS * RECORD_BYTES <= JOURNAL_FRAME_BYTES,
              "records fit into their frame");

static uint32_t checksum(const uint8_t *bytes)
{
    return crc32c(crc32c(0, bytes, AT_CRC), bytes + AT_SEQUENCE, JOURNAL_FRAME_BYTES - AT_SEQUENCE);
}

void journal_frame_write(uint8_t bytes[JOURNAL_FRAME_BYTES], const struct journal_frame *frame)
{
    assert(frame->record_count >= 1 && frame->record_count <= JOURNAL_FRAME_RECORDS);
    memset(bytes, 0, JOURNAL_FRAME_BYTES);
    memcpy(bytes, magic, sizeof magic);
    put_u64(bytes + AT_SEQUENCE, frame->sequence);
    put_u64(bytes + AT_KEY_ID, frame->key_id);
    put_u32(bytes + AT_COUNT, frame->record_count * RECORD_BYTES);
    for (uint32_t i = 0; i < frame->record_count; i++) {
        uint8_t *at = bytes + AT_RECORDS + (size_t)i * RECORD_BYTES;
        put_u64(at, frame->records[i].counter);
        put_u64(at + 8, frame->records[i].value);
        put_u32(at + 16, (uint32_t)frame->records[i].kind);
    }
    put_u32(bytes + AT_CRC, checksum(bytes));
}

static bool is_record(const uint8_t *at)
{
    uint32_t kind = get_u32(at + 16);
    return (kind == JOURNAL_HASH || kind == JOURNAL_REGISTER) && get_u32(at + 20) == 0;
}

enum journal_frame_state journal_frame_read(const uint8_t bytes[JOURNAL_FRAME_BYTES],
                                            struct journal_frame *ret)
{
    if (memcmp(bytes, magic, 2) != 0 || get_u32(bytes + AT_CRC) != checksum(bytes))
        return JOURNAL_FRAME_DAMAGED;
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return JOURNAL_FRAME_NEWER;
    uint32_t count = get_u32(bytes + AT_COUNT);
    uint64_t sequence = get_u64(bytes + AT_SEQUENCE);
    if (count == 0 || count % RECORD_BYTES != 0 || count / RECORD_BYTES > JOURNAL_FRAME_RECORDS ||
        sequence == 0 || sequence > JOURNAL_SEQUENCE_MAX || get_u32(bytes + AT_COUNT + 4) != 0)
        return JOURNAL_FRAME_DAMAGED;
    const uint8_t *records = bytes + AT_RECORDS;
    for (uint32_t i = 0; i < count; i += RECORD_BYTES)
        if (!is_record(records + i))
            return JOURNAL_FRAME_DAMAGED;
    ret->sequence = sequence;
    ret->key_id = get_u64(bytes + AT_KEY_ID);
    ret->record_count = count / RECORD_BYTES;
    for (uint32_t i = 0; i < ret->record_count; i++, records += RECORD_BYTES)
        ret->records[i] = (struct journal_record){.counter = get_u64(records),
                                                  .value = get_u64(records + 8),
                                                  .kind = (enum journal_kind)get_u32(records + 16)};
    return JOURNAL_FRAME_GOOD;
}
