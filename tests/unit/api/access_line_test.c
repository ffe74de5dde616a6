/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/api/access_line.h"

#define NOW INT64_C(1796083200123456)

static void expect(const struct access_record *record, enum log_format format, const char *line)
{
    struct text out;
    text_init(&out);
    access_line(&out, format, NOW, record);
    assert_string_equal(text_string(&out), line);
    text_destroy(&out);
}

static const struct access_record probe = {
    .request_id = "req_1",
    .method = "GET",
    .route = "/health",
    .version = HTTP_1_1,
    .status = 200,
    .bytes_out = 15,
    .duration_us = 1500,
};

static void what_does_not_apply_is_left_out(void **state)
{
    (void)state;
    expect(&probe, LOG_FORMAT_LOGFMT,
           "ts=2026-12-01T00:00:00.123Z level=info event=request request_id=req_1 method=GET "
           "route=/health status=200 duration_ms=1.5 protocol=HTTP/1.1 tls=no bytes_in=0 "
           "bytes_out=15\n");
}

static void a_generation_says_all(void **state)
{
    (void)state;
    struct access_record record = probe;
    record.version = HTTP_2;
    record.tls = true;
    record.tenant = "acme";
    record.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    record.address = "192.0.2.1";
    record.bytes_in = 40;
    record.model = "m \"1\"";
    record.finish = "stop";
    record.user_class = "verified";
    record.prompt_tokens = 7;
    record.completion_tokens = 9;
    record.cached_tokens = 4;
    record.queue_us = 250;
    record.ttft_us = 1000;
    expect(&record, LOG_FORMAT_JSON,
           "{\"ts\":\"2026-12-01T00:00:00.123Z\",\"level\":\"info\",\"event\":\"request\","
           "\"request_id\":\"req_1\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
           "\"method\":\"GET\",\"route\":\"/health\",\"status\":200,"
           "\"duration_ms\":1.5,\"protocol\":\"HTTP/2\",\"tls\":\"yes\",\"bytes_in\":40,"
           "\"bytes_out\":15,\"tenant\":\"acme\",\"address\":\"192.0.2.1\","
           "\"model\":\"m \\\"1\\\"\",\"prompt_tokens\":7,\"completion_tokens\":9,"
           "\"cached_tokens\":4,\"queue_ms\":0.25,\"ttft_ms\":1,\"finish\":\"stop\","
           "\"user_class\":\"verified\"}\n");
}

static void a_name_cannot_forge_a_line(void **state)
{
    (void)state;
    struct access_record record = probe;
    record.tenant = "a\nlevel=error";
    expect(&record, LOG_FORMAT_LOGFMT,
           "ts=2026-12-01T00:00:00.123Z level=info event=request request_id=req_1 method=GET "
           "route=/health status=200 duration_ms=1.5 protocol=HTTP/1.1 tls=no bytes_in=0 "
           "bytes_out=15 tenant=\"a\\nlevel=error\"\n");
}

static void errors_and_slow_ones_pass_any_sample(void **state)
{
    (void)state;
    const struct access_rules none = {.sample = 0, .slow_ms = 100};
    const struct access_rules tenth = {.sample = 100000, .slow_ms = 100};
    const struct access_rules all = {.sample = ACCESS_SAMPLE_ALL, .slow_ms = 100};
    assert_false(access_wanted(&none, 200, 99999, 0));
    assert_false(access_wanted(&none, 499, 0, 0));
    assert_true(access_wanted(&none, 500, 0, 0));
    assert_true(access_wanted(&none, 200, 100000, 0));
    assert_true(access_wanted(&all, 200, 0, UINT64_MAX));
    uint32_t passed = 0;
    for (uint64_t draw = 0; draw < ACCESS_SAMPLE_ALL; draw++)
        passed += access_wanted(&tenth, 200, 0, draw);
    assert_int_equal(passed, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_apply_is_left_out),
        cmocka_unit_test(a_generation_says_all),
        cmocka_unit_test(a_name_cannot_forge_a_line),
        cmocka_unit_test(errors_and_slow_ones_pass_any_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
