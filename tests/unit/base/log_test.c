/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What one event looks like, without its timestamp. */
static void written(enum log_format format, char *ret, size_t ret_bytes)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct log *log = log_new(ends[1], LOG_LEVEL_INFO, format);
    log_event(log, LOG_LEVEL_DEBUG, "too_quiet", LOG_I64("n", 1));
    log_event(log, LOG_LEVEL_WARN, "model_loaded", LOG_STRING("model", "a b\"\n"),
              LOG_STRING("plain", "x-1"), LOG_I64("delta", -3), LOG_U64("bytes", 7),
              LOG_F64("ratio", 0.5), LOG_STRING("none", NULL));
    log_event(NULL, LOG_LEVEL_ERROR, "nowhere", LOG_I64("n", 1));
    ssize_t count = read(ends[0], ret, ret_bytes - 1);
    assert_true(count > 0);
    ret[count] = '\0';
    log_free(log);
    close(ends[0]);
    close(ends[1]);
}

static void logfmt_quotes_what_is_not_plain(void **state)
{
    (void)state;
    char line[512];
    written(LOG_FORMAT_LOGFMT, line, sizeof line);
    assert_memory_equal(line, "ts=20", 5);
    assert_string_equal(strchr(line, ' '),
                        " level=warn event=model_loaded model=\"a b\\\"\\n\" plain=x-1 delta=-3 "
                        "bytes=7 ratio=0.5 none=\"\"\n");
}

static void json_is_one_object_a_line(void **state)
{
    (void)state;
    char line[512];
    written(LOG_FORMAT_JSON, line, sizeof line);
    assert_string_equal(
        strstr(line, ",\"level\""),
        ",\"level\":\"warn\",\"event\":\"model_loaded\",\"model\":\"a b\\\"\\n\","
        "\"plain\":\"x-1\",\"delta\":-3,\"bytes\":7,\"ratio\":0.5,\"none\":\"\"}\n");
}

static void the_time_is_of_rfc_3339(void **state)
{
    (void)state;
    struct text line;
    text_init(&line);
    log_line(&line, LOG_FORMAT_LOGFMT, 1709210096007999, LOG_LEVEL_INFO, "x",
             (const struct log_field[]){LOG_I64("n", INT64_MIN), {0}});
    assert_string_equal(text_string(&line), "ts=2024-02-29T12:34:56.007Z level=info event=x "
                                            "n=-9223372036854775808\n");
    text_destroy(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_what_is_not_plain),
        cmocka_unit_test(json_is_one_object_a_line),
        cmocka_unit_test(the_time_is_of_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
