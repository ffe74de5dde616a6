/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes from the fleet's store: refused, or exactly what a replica would have written.
 *
 * The first byte chooses p, the rest is a message as it is, a delta, and the body of one that is
 * sealed: a fuzzer does not guess seals. */
#include "policy/fleet/fleet_blob.h"
#include "policy/fleet/fleet_delta.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static struct fleet_key *key_of(void)
{
    static const uint8_t bytes[FLEET_KEY_BYTES] = {3, 1, 4, 1, 5};
    struct fleet_key *key = fleet_key_new(bytes, 0x0706050403020100, NULL);
    require(key != NULL);
    return key;
}

/* As it came, then with one bit turned. */
static void check_sealed(struct fleet_key *key, const uint8_t *body, size_t count)
{
    struct fleet_blob opened, blob = {.kind = FLEET_SNAPSHOT,
                                      .name = {.scope = count, .day = 7, .class = count % 16},
                                      .body = body,
                                      .body_count = count};
    struct text sealed;
    text_init(&sealed);
    require(fleet_blob_seal(key, &blob, &sealed, NULL) == 0);
    require(fleet_blob_open(key, sealed.bytes, sealed.count, &opened, NULL) == 0);
    require(opened.kind == blob.kind && opened.name.scope == count && opened.name.day == 7);
    require(opened.body_count == count && memcmp(opened.body, body, count) == 0);
    size_t turned = count > 0 ? body[0] % sealed.count : 0;
    sealed.bytes[turned] = (char)(sealed.bytes[turned] ^ 1);
    require(fleet_blob_open(key, sealed.bytes, sealed.count, &opened, NULL) != 0);
    text_destroy(&sealed);
}

/* What is taken is written again from what was taken, to the byte. */
static void check_delta(const uint8_t *bytes, size_t count, uint32_t p)
{
    struct fleet_gather gather;
    struct sketch *sketch = NULL, *nothing = sketch_new(p);
    struct text again;
    uint32_t records = 0;
    text_init(&again);
    fleet_gather_init(&gather, p);
    if (fleet_gather_add(&gather, bytes, count, NULL) != 0) {
        require(gather.hashes == NULL && gather.registers == NULL);
    } else {
        require(nothing != NULL && fleet_gather_sketch(&gather, &sketch, NULL) == 0);
        require(fleet_delta_write(sketch, nothing, &again, &records, NULL) == 0);
        bool turned = bytes[0] == 1 && !sketch_is_exact(sketch);
        require(turned || (again.count == count && memcmp(again.bytes, bytes, count) == 0));
        require(fleet_gather_add(&gather, bytes, count, NULL) == 0); /* twice is once */
        struct sketch *twice = NULL;
        require(fleet_gather_sketch(&gather, &twice, NULL) == 0);
        require(fleet_delta_write(twice, sketch, &again, &records, NULL) == 0 && records == 0);
        sketch_free(twice);
    }
    text_destroy(&again);
    fleet_gather_destroy(&gather);
    sketch_free(sketch);
    sketch_free(nothing);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fleet_blob blob;
    if (count == 0)
        return 0;
    struct fleet_key *key = key_of();
    uint32_t p = 8 + bytes[0] % 11;
    if (fleet_blob_open(key, bytes + 1, count - 1, &blob, NULL) == 0)
        require(blob.body_count == count - 1 - FLEET_HEADER_BYTES);
    check_sealed(key, bytes + 1, count - 1);
    check_delta(bytes + 1, count - 1, p);
    fleet_key_free(key);
    return 0;
}
