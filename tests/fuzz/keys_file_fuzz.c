/* SPDX-License-Identifier: Apache-2.0 */
/* The keys file. Whatever is read is written back, and reads the same; nothing that is refused is
 * quoted. */
#include "daemon/access/keys_file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static int on_record(void *argument, const struct key_record *record, struct error *err)
{
    struct text *out = argument;
    size_t before = out->count;
    (void)err;
    assert(record->scopes != 0 && (record->scopes & ~(unsigned)SCOPES_ALL) == 0);
    assert(key_id_fits(record->id));
    assert(key_tenant_fits(record->tenant));
    assert(key_note_fits(record->note));
    key_record_write(record, out);
    struct key_record again;
    int result = key_record_read(out->bytes + before, out->count - before - 1, &again, NULL);
    assert(result == 0);
    assert(memcmp(again.digest, record->digest, sizeof again.digest) == 0);
    assert(strcmp(again.id, record->id) == 0 && strcmp(again.tenant, record->tenant) == 0);
    assert(strcmp(again.note, record->note) == 0 && again.scopes == record->scopes);
    assert(again.created_unix == record->created_unix);
    assert(again.expires_unix == record->expires_unix);
    assert(again.revoked_unix == record->revoked_unix);
    return 0;
}

static int count_records(void *argument, const struct key_record *record, struct error *err)
{
    (void)record;
    (void)err;
    ++*(uint32_t *)argument;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct text out;
    struct error err = {0};
    char *exact = malloc(count + 1); /* of its own length, so that a read past its end is seen */
    assert(exact != NULL);
    memcpy(exact, bytes, count);
    text_init(&out);
    int result = keys_read(exact, count, on_record, &out, &err);
    assert((result == 0) == (err.text[0] == '\0'));
    assert(result == 0 || (result == ERROR_INVALID && strncmp(err.text, "line ", 5) == 0));
    assert(!out.failed);
    uint32_t records = 0;
    int again = keys_read(text_string(&out), out.count, count_records, &records, NULL);
    assert(again == 0);
    text_destroy(&out);
    free(exact);
    return 0;
}
