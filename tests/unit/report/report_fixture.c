/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/report/report_fixture.h"

static const char verdict[] =
    "{\"license\":\"kimi-k2.5\",\"licenses\":[{\"id\":\"kimi-k2.5\",\"family\":\"kimi\"}],"
    "\"verdict\":\"watch\",\"literal\":\"watch\",\"conservative\":\"obligation\",\"conditions\":["
    "{\"id\":\"kimi-k2.5/ui-name\",\"kind\":\"threshold\",\"clause\":\"final paragraph\","
    "\"summary\":\"Show <it>.\",\"text\":\"Kimi & \\\"K2.5\\\"\",\"scope\":\"all_products\","
    "\"any_of\":[{\"metric\":\"mau\",\"op\":\">\",\"value\":1000,\"window\":\"month\"}],"
    "\"verdict\":\"obligation\",\"literal\":\"watch\",\"conservative\":\"obligation\","
    "\"acknowledged\":\"contract 7\"},{\"id\":\"kimi-k2.5/notice\",\"kind\":\"notice\","
    "\"verdict\":\"met\",\"literal\":\"met\",\"conservative\":\"met\"}]}";

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/weir-report-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->ledger = ledger_open(fixture->folder, NULL);
    assert_non_null(fixture->ledger);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    report_free(fixture->report);
    ledger_close(fixture->ledger);
    DIR *entries = opendir(fixture->folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(entries), entry->d_name, 0), 0);
    closedir(entries);
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

void fixture_row(struct fixture *fixture, int64_t at_unix, const struct ledger_entry *row)
{
    struct ledger_entry entry = *row;
    struct error err = {0};
    entry.at_unix = at_unix;
    assert_int_equal(ledger_append(fixture->ledger, &entry, NULL, &err), 0);
    assert_string_equal(err.text, "");
}

void fixture_verdict(struct fixture *fixture, int64_t at_unix, const char *model)
{
    const struct ledger_entry row = {
        .kind = "license_verdict", .model = model, .subject = "", .body = verdict};
    fixture_row(fixture, at_unix, &row);
}

struct report_month fixture_month(const char *model, uint64_t lower, uint64_t upper)
{
    return (struct report_month){
        .product = "",
        .model = model,
        .family = "kimi",
        .month = MONTH,
        .lower = {lower, lower, lower},
        .best = {upper, upper, upper},
        .upper = {upper, upper, upper},
        .exact = true,
        .coverage = 0.75,
        .anonymous_requests = 12345,
        .state = REPORT_PROVISIONAL,
        .sketch_sha256 = "",
        .key_id = UINT64_C(0xfedcba9876543210),
        .daily = {{1, lower / 2, lower / 2, upper / 2}, {31, lower, upper, upper}},
        .day_count = 2};
}

void fixture_write(struct fixture *fixture, const struct report_month *month)
{
    struct error err = {0};
    assert_int_equal(report_month_append(fixture->ledger, month, AFTERWARDS, NULL, &err), 0);
    assert_string_equal(err.text, "");
}

void fixture_tamper(struct fixture *fixture, const char *sql)
{
    char path[FOLDER_BYTES + 16];
    sqlite3 *db;
    (void)snprintf(path, sizeof path, "%s/" LEDGER_FILE, fixture->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_true(sqlite3_total_changes(db) > 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

struct report *fixture_collect(struct fixture *fixture, const char *model, const char *family)
{
    struct error err = {0};
    const struct report_request request = {
        .month = MONTH, .model = model, .family = family, .now_unix = AFTERWARDS};
    report_free(fixture->report);
    fixture->report = NULL;
    assert_int_equal(report_collect(fixture->ledger, &request, &fixture->report, &err), 0);
    assert_string_equal(err.text, "");
    return fixture->report;
}
