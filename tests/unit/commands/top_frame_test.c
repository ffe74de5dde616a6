/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/commands/cell.h"
#include "daemon/commands/top_frame.h"

static void expect_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%g, expected %g", value, expected);
}

#define E(name) name "{model_name=\"m\",engine=\"0\"} "
#define COMMON(cpu, steps, rows, prompt, cached, output, tenant, answers)                          \
    "weir_build_info{version=\"0.1.0\",build_id=\"ab\"} 1\nweir_ready 1\nweir_connections 12\n"    \
    "weir_open_requests 3\nprocess_start_time_seconds 1000\n"                                      \
    "process_resident_memory_bytes 536870912\nprocess_cpu_seconds_total " cpu                      \
    "\n" E("vllm:num_requests_running") "7\n" E("vllm:num_requests_waiting") "2\n" E(              \
        "vllm:kv_cache_usage_perc") "0.34\nweir_engine_steps_total{model=\"m\"} " steps            \
                                    "\nweir_engine_rows_total{model=\"m\"} " rows                  \
                                    "\n" E("vllm:prompt_tokens_total") prompt                      \
        "\n" E("vllm:prompt_tokens_cached_total") cached "\n" E("vllm:generation_tokens_total")    \
            output "\nweir_tenant_generation_tokens_total{tenant=\"acme\",model=\"m\"} " tenant    \
                   "\nweir_tenant_generation_tokens_total{tenant=\"\",model=\"m\"} 5\n"            \
                   "weir_http_requests_total{route=\"/a\",method=\"GET\",status=\"200\"} " answers \
                   "\nweir_mau{model=\"m\",window=\"month\",bound=\"lower\"} 90112\n"              \
                   "weir_mau{model=\"m\",window=\"month\",bound=\"best\"} 120345\n"                \
                   "weir_mau{model=\"m\",window=\"month\",bound=\"upper\"} 131002\n"               \
                   "weir_mau{model=\"m\",window=\"day\",bound=\"upper\"} 9\n"                      \
                   "weir_license_headroom_ratio{model=\"m\",license=\"l\",condition=\"a\"} 0.9\n"  \
                   "weir_license_headroom_ratio{model=\"m\",license=\"l\",condition=\"b\"} 0.04\n" \
                   "weir_license_crossing_days{model=\"m\",license=\"l\",condition=\"b\","         \
                   "bound=\"early\"} 12.4\n"

static const char before[] = COMMON("10", "100", "1000", "500", "0", "0", "0", "0");
static const char after[] =
    COMMON("13", "200", "1800", "2500", "500", "620", "600",
           "104") "weir_http_requests_total{route=\"/a\",method=\"GET\",status=\"503\"} 1\n";

static struct exposition parse(const char *text)
{
    struct exposition exposition;
    assert_int_equal(exposition_parse(text, strlen(text), &exposition, NULL), 0);
    return exposition;
}

static struct top_view *view_of(const char *first, const char *second)
{
    struct exposition now = parse(second), then = {.count = 0};
    struct top_view *view = malloc(sizeof *view);
    assert_non_null(view);
    if (first != NULL)
        then = parse(first);
    top_view_read(first == NULL ? NULL : &then, &now, 2, 1000 + 3 * 86400 + 4 * 3600 + 12 * 60,
                  view);
    exposition_destroy(&then);
    exposition_destroy(&now);
    return view;
}

static void expect_frame(struct top_view *view, const struct top_look *look, const char *expected)
{
    struct text out;
    text_init(&out);
    top_frame(view, look, &out);
    assert_false(out.failed);
    assert_string_equal(text_string(&out), expected);
    text_destroy(&out);
    free(view);
}

static void a_frame_shows_now_and_rates_since_before(void **state)
{
    (void)state;
    expect_frame(
        view_of(before, after), &(struct top_look){.url = "http://x:1"},
        "weir 0.1.0  http://x:1  up 3d 04:12  ready  512 MiB  1.5 cores\n"
        "12 connections  3 requests open  52.5 answers/s  0.5 errors/s\n"
        "\n"
        "MODEL     STREAMS  QUEUE  BATCH   KV  CACHED  PROMPT/s  OUTPUT/s  TTFT p50  TTFT p95"
        "  ITL p50  ITL p95\n"
        "m               7      2      8  34%     25%      1000       310         -         -"
        "        -        -\n"
        "\n"
        "THIS MONTH   LOWER    USERS    UPPER  HEADROOM    CROSSING\n"
        "m           90,112  120,345  131,002        4%  in 12 days\n"
        "\n"
        "TENANT    OUTPUT/s  GENERATED\n"
        "acme           300        600\n"
        "(none)           0          5\n");
}

static void models_that_did_not_load_are_counted(void **state)
{
    (void)state;
    static const char late[] =
        "weir_build_info{version=\"0.1.0\",build_id=\"ab\"} 1\nweir_ready 1\n"
        "weir_model_loaded{model=\"m\"} 1\n"
        "weir_model_loaded{model=\"late\"} 0\n";
    struct top_view *view = view_of(NULL, late);
    struct text out;
    text_init(&out);
    top_frame(view, &(struct top_look){.url = "u"}, &out);
    assert_non_null(strstr(text_string(&out), "  ready  "));
    assert_non_null(strstr(text_string(&out), "  1 MODEL NOT LOADED\n"));
    text_destroy(&out);
    free(view);
}

static void a_first_frame_has_no_rates(void **state)
{
    (void)state;
    struct top_view *view = view_of(NULL, after);
    assert_true(isnan(view->answer_rate));
    assert_true(isnan(view->models[0].output_rate));
    assert_true(isnan(view->models[0].batch));
    expect_near(view->models[0].streams, 7, 0);
    free(view);
}

static void a_daemon_started_anew_counts_from_nothing(void **state)
{
    (void)state;
    struct top_view *view = view_of(after, before);
    expect_near(view->models[0].output_rate, 0, 0);
    expect_near(view->models[0].prompt_rate, 250, 0);
    expect_near(view->cpu, 5, 0);
    free(view);
}

static void what_has_no_room_is_cut(void **state)
{
    (void)state;
    expect_frame(view_of(before, after),
                 &(struct top_look){.url = "http://x:1", .columns = 40, .lines = 7},
                 "weir 0.1.0  http://x:1  up 3d 04:12  re~\n"
                 "12 connections  3 requests open  52.5 a~\n"
                 "\n"
                 "MODEL     STREAMS  QUEUE  BATCH   KV\n"
                 "m               7      2      8  34%\n"
                 "...\n");
}

static void colors_only_where_wanted_and_names_obey_nobody(void **state)
{
    (void)state;
    for (int color = 0; color < 2; color++) {
        struct top_view *view = view_of(before, after);
        struct text out;
        text_init(&out);
        memcpy(view->models[0].name, "m\033[2J", 6);
        top_frame(view, &(struct top_look){.url = "u", .color = color == 1, .failure = "no answer"},
                  &out);
        assert_non_null(strstr(text_string(&out), "m?[2J"));
        assert_non_null(strstr(text_string(&out), "OLD FIGURES: no answer"));
        assert_int_equal(strchr(text_string(&out), '\033') != NULL, color == 1);
        assert_int_equal(strstr(text_string(&out), "\033[31mm?") != NULL, color == 1);
        text_destroy(&out);
        free(view);
    }
}

static void numbers_are_short(void **state)
{
    (void)state;
    char cell[CELL_NUMBER_BYTES];
#define EXPECT(write, value, expected)                                                             \
    do {                                                                                           \
        write(value, cell);                                                                        \
        assert_string_equal(cell, expected);                                                       \
    } while (0)
    EXPECT(cell_number, 0.0, "0");
    EXPECT(cell_number, 7.25, "7.2");
    EXPECT(cell_number, 120.4, "120");
    EXPECT(cell_number, 9999.0, "9999");
    EXPECT(cell_number, 12345.0, "12.3k");
    EXPECT(cell_number, 999999.0, "1.0M");
    EXPECT(cell_number, 4.5e9, "4.5G");
    EXPECT(cell_number, NAN, "-");
    EXPECT(cell_number, INFINITY, "-");
    EXPECT(cell_share, 0.123, "12%");
    EXPECT(cell_share, -0.5, "-50%");
    EXPECT(cell_seconds, 0.0021, "2.1 ms");
    EXPECT(cell_seconds, 0.25, "250 ms");
    EXPECT(cell_seconds, 1.25, "1.25 s");
    EXPECT(cell_seconds, 61.0, "61 s");
    EXPECT(cell_bytes, 1000.0, "1000 B");
    EXPECT(cell_bytes, 1536.0, "1.5 KiB");
    EXPECT(cell_bytes, 3.0 * (1 << 30), "3.0 GiB");
    EXPECT(cell_uptime, 59.0, "00:00");
    EXPECT(cell_uptime, 86399.0, "23:59");
    EXPECT(cell_uptime, 86400.0 * 40, "40d 00:00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_shows_now_and_rates_since_before),
        cmocka_unit_test(models_that_did_not_load_are_counted),
        cmocka_unit_test(a_first_frame_has_no_rates),
        cmocka_unit_test(a_daemon_started_anew_counts_from_nothing),
        cmocka_unit_test(what_has_no_room_is_cut),
        cmocka_unit_test(colors_only_where_wanted_and_names_obey_nobody),
        cmocka_unit_test(numbers_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
