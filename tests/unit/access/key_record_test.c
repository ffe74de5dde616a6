/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/access/keys_file.h"

#define DIGEST "sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define LINE                                                                                       \
    "k_1 " DIGEST " tenant=acme scopes=inference,usage created=2026-11-30T18:00:00Z "              \
    "expires=2027-02-28T18:00:00Z note=the shop's own, of 2026"

static struct key_record read_good(const char *line)
{
    struct key_record record;
    struct error err = {0};
    int result = key_record_read(line, strlen(line), &record, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return record;
}

static void a_line_is_read_and_written_back_as_it_was(void **state)
{
    (void)state;
    static const char *const lines[] = {
        LINE,
        "a " DIGEST " scopes=admin",
        "A-b_9 " DIGEST " tenant=\xc3\xa9t\xc3\xa9 scopes=usage,admin revoked=2026-12-01T00:00:00Z",
        "b " DIGEST " scopes=inference,usage,admin note= tenant=x stays a note ",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct key_record record = read_good(lines[i]);
        struct text out;
        text_init(&out);
        key_record_write(&record, &out);
        text_string(&out);
        out.bytes[out.count - 1] = '\0'; /* the line's end */
        assert_string_equal(out.bytes, lines[i]);
        text_destroy(&out);
    }
    struct key_record record = read_good(LINE);
    assert_string_equal(record.id, "k_1");
    assert_string_equal(record.tenant, "acme");
    assert_string_equal(record.note, "the shop's own, of 2026");
    assert_int_equal(record.scopes, SCOPE_INFERENCE | SCOPE_USAGE);
    assert_int_equal(record.created_unix, 1796061600);
    assert_int_equal(record.digest[31], 31);
}

static void a_key_is_good_until_the_second_it_expires(void **state)
{
    (void)state;
    struct key_record record = read_good(LINE);
    assert_int_equal(key_record_state(&record, record.expires_unix - 1), KEY_GOOD);
    assert_int_equal(key_record_state(&record, record.expires_unix), KEY_EXPIRED);
    record.revoked_unix = record.expires_unix + 5;
    assert_int_equal(key_record_state(&record, 0), KEY_REVOKED);
}

static void what_is_not_understood_is_refused_without_quoting_it(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "an id"},
        {"weir_sk_aVeryLongSecretThatWasPastedWhereAnIdBelongsByMistake", "an id"},
        {"a b", "the key itself never stands here"},
        {"k weir_sk_secret", "the key itself never stands here"},
        {"k " DIGEST, "scopes: missing"},
        {"k " DIGEST "0 scopes=admin", "64 digits"},
        {"k sha256:000102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1e1f scopes=admin",
         "64 digits"},
        {"k " DIGEST " scopes=admin,admin", "scopes: expected"},
        {"k " DIGEST " scopes=admin,", "scopes: expected"},
        {"k " DIGEST " scopes=root", "scopes: expected"},
        {"k " DIGEST " scopes=", "scopes: expected"},
        {"k " DIGEST " scopes=admin scopes=usage", "scopes: given twice"},
        {"k " DIGEST " scopes=admin models=a", "not known here"},
        {"k " DIGEST " scopes=admin secret", "not known here"},
        {"k " DIGEST "  scopes=admin", "not known here"},
        {"k " DIGEST " scopes=admin ", "a blank at its end"},
        {"k " DIGEST " tenant= scopes=admin", "tenant: expected"},
        {"k " DIGEST " scopes=admin created=2026-02-30T00:00:00Z", "created: expected"},
        {"k " DIGEST " scopes=admin expires=2026-11-30T18:00:00", "expires: expected"},
        {"k " DIGEST " scopes=admin expires=1969-12-31T23:59:59Z", "expires: expected"},
        {"k " DIGEST " scopes=admin revoked=never", "revoked: expected"},
        {"k " DIGEST " scopes=admin note=a\tb", "note: expected"},
        {"k " DIGEST " scopes=admin\r", "scopes: expected"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct key_record record = {.id = "untouched"};
        struct error err = {0};
        assert_int_equal(key_record_read(rows[i][0], strlen(rows[i][0]), &record, &err),
                         ERROR_INVALID);
        assert_string_equal(record.id, "untouched");
        if (strstr(err.text, rows[i][1]) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, rows[i][1]);
        assert_null(strstr(err.text, "ecret"));
    }
}

static int count_records(void *argument, const struct key_record *record, struct error *err)
{
    uint32_t *count = argument;
    if (strcmp(record->id, "stop") == 0)
        return error_set(err, ERROR_INVALID, "no further");
    ++*count;
    return 0;
}

static void a_file_is_lines_and_its_errors_have_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
        uint32_t count;
    } rows[] = {
        {"", "", 0},
        {"\n# a comment\n\n", "", 0},
        {"# of acme\n" LINE "\nb " DIGEST " scopes=admin\n", "", 2},
        {LINE "\nb " DIGEST " scopes=adm", "line 2: has no end", 1},
        {LINE "\n\nnonsense\n" LINE "\n", "line 3: expected sha256:", 1},
        {LINE "\nstop " DIGEST " scopes=admin\n" LINE "\n", "line 2: no further", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        uint32_t count = 0;
        int result = keys_read(rows[i].text, strlen(rows[i].text), count_records, &count, &err);
        assert_int_equal(result, rows[i].error[0] == '\0' ? 0 : ERROR_INVALID);
        assert_int_equal(strncmp(err.text, rows[i].error, strlen(rows[i].error)), 0);
        assert_int_equal(count, rows[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_and_written_back_as_it_was),
        cmocka_unit_test(a_key_is_good_until_the_second_it_expires),
        cmocka_unit_test(what_is_not_understood_is_refused_without_quoting_it),
        cmocka_unit_test(a_file_is_lines_and_its_errors_have_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
