/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "daemon/http/connection.h"
#include "daemon/http/h2_guard.h"

#define MAX       20u
#define WINDOW_US ((uint64_t)H2_GUARD_WINDOW_MS * 1000u)
#define LATER     (UINT64_C(1000) * 1000u * 1000u)

static const struct listener_limits most = {.resets_max = MAX, .control_frames_max = MAX};

static struct h2_guard started(void)
{
    struct h2_guard guard;
    h2_guard_init(&guard, &most);
    const char preface[] = CONNECTION_PREFACE;
    assert_int_equal(h2_guard_read(&guard, preface, sizeof preface - 1, LATER), HTTP_ABUSE_NONE);
    return guard;
}

/* A frame's bytes are read, in two pieces. */
static enum http_abuse received(struct h2_guard *guard, uint8_t type, size_t bytes, bool ends,
                                uint64_t now_us)
{
    char frame[H2_FRAME_HEAD_BYTES + 64] = {0, 0, (char)bytes, (char)type, ends};
    size_t count = H2_FRAME_HEAD_BYTES + bytes, cut = now_us % count;
    enum http_abuse first = h2_guard_read(guard, frame, cut, now_us);
    enum http_abuse second = h2_guard_read(guard, frame + cut, count - cut, now_us);
    return first != HTTP_ABUSE_NONE ? first : second;
}

/* A verdict is the end of a guard: taken from a copy. */
static void expect(const struct h2_guard *before, unsigned count, uint8_t type, size_t bytes,
                   enum http_abuse kind, uint64_t now_us)
{
    struct h2_guard guard = *before;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(received(&guard, type, bytes, false, now_us), HTTP_ABUSE_NONE);
    assert_int_equal(received(&guard, type, bytes, false, now_us), kind);
}

static void each_kind_of_frame_has_its_own_count_in_a_window(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    const struct {
        uint8_t type;
        size_t bytes;
        enum http_abuse kind;
    } kinds[] = {
        {NGHTTP2_SETTINGS, 6, HTTP_ABUSE_SETTINGS},
        {NGHTTP2_PING, 8, HTTP_ABUSE_PING},
        {NGHTTP2_PRIORITY, 5, HTTP_ABUSE_PRIORITY},
        {NGHTTP2_WINDOW_UPDATE, 4, HTTP_ABUSE_WINDOW_UPDATE},
        {NGHTTP2_RST_STREAM, 4, HTTP_ABUSE_RESET},
        {NGHTTP2_DATA, 0, HTTP_ABUSE_EMPTY_FRAME},
        {0xbb, 3, HTTP_ABUSE_UNKNOWN_FRAME},
    };
    const size_t count = sizeof kinds / sizeof *kinds;
    for (size_t i = 0; i < count; i++)
        for (unsigned n = 0; n < MAX; n++)
            assert_int_equal(received(&guard, kinds[i].type, kinds[i].bytes, false, LATER), 0);
    for (size_t i = 0; i < count; i++) {
        expect(&guard, 0, kinds[i].type, kinds[i].bytes, kinds[i].kind, LATER);
        expect(&guard, MAX, kinds[i].type, kinds[i].bytes, kinds[i].kind, LATER + WINDOW_US);
    }
}

static void what_is_below_the_limit_in_each_window_is_never_abuse(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    for (uint64_t window = 1; window < 100; window++)
        for (unsigned i = 0; i < MAX; i++) {
            uint64_t now_us = LATER + window * WINDOW_US + i;
            assert_int_equal(received(&guard, NGHTTP2_PING, 8, false, now_us), 0);
            assert_int_equal(received(&guard, NGHTTP2_RST_STREAM, 4, false, now_us), 0);
        }
}

static void frames_that_carry_or_end_something_are_not_counted(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    for (unsigned i = 0; i < 10 * MAX; i++) {
        assert_int_equal(received(&guard, NGHTTP2_DATA, 1, false, LATER), 0);
        assert_int_equal(received(&guard, NGHTTP2_DATA, 0, true, LATER), 0);
        assert_int_equal(received(&guard, NGHTTP2_HEADERS, 9, false, LATER), 0);
        assert_int_equal(received(&guard, NGHTTP2_GOAWAY, 8, false, LATER), 0);
    }
}

static void resets_of_both_sides_share_a_budget(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    for (unsigned i = 0; i < MAX / 2; i++) {
        assert_int_equal(received(&guard, NGHTTP2_RST_STREAM, 4, false, LATER), 0);
        assert_int_equal(h2_guard_sent(&guard, NGHTTP2_RST_STREAM, NGHTTP2_PROTOCOL_ERROR, LATER),
                         0);
    }
    assert_int_equal(h2_guard_sent(&guard, NGHTTP2_RST_STREAM, NGHTTP2_STREAM_CLOSED, LATER),
                     HTTP_ABUSE_PROVOKED_RESET);
}

static void resets_of_our_own_making_are_nobodys_fault(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    for (unsigned i = 0; i < 10 * MAX; i++) {
        assert_int_equal(h2_guard_sent(&guard, NGHTTP2_RST_STREAM, NGHTTP2_NO_ERROR, LATER), 0);
        assert_int_equal(h2_guard_sent(&guard, NGHTTP2_RST_STREAM, NGHTTP2_INTERNAL_ERROR, LATER),
                         0);
    }
}

static void data_sent_pays_for_window_updates_into_the_next_window(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    for (unsigned i = 0; i < MAX; i++)
        assert_int_equal(h2_guard_sent(&guard, NGHTTP2_DATA, 0, LATER), 0);
    unsigned allowed = MAX + H2_UPDATES_A_DATA * MAX;
    for (unsigned i = 0; i < allowed; i++)
        assert_int_equal(received(&guard, NGHTTP2_WINDOW_UPDATE, 4, false, LATER), 0);
    expect(&guard, allowed, NGHTTP2_WINDOW_UPDATE, 4, HTTP_ABUSE_WINDOW_UPDATE, LATER + WINDOW_US);
    expect(&guard, MAX, NGHTTP2_WINDOW_UPDATE, 4, HTTP_ABUSE_WINDOW_UPDATE, LATER + 2 * WINDOW_US);
}

static void a_header_block_has_limits_of_its_own(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    for (int block = 0; block < 3; block++) {
        assert_int_equal(received(&guard, NGHTTP2_HEADERS, 9, false, LATER), 0);
        expect(&guard, H2_CONTINUATIONS_MAX, NGHTTP2_CONTINUATION, 9, HTTP_ABUSE_CONTINUATION,
               LATER);
    }
    h2_guard_block(&guard);
    assert_int_equal(h2_guard_decoded(&guard, H2_DECODED_BYTES_MAX - 32), 0);
    assert_int_equal(h2_guard_decoded(&guard, 0), HTTP_ABUSE_HEADER_BOMB);
    h2_guard_block(&guard);
    assert_int_equal(h2_guard_decoded(&guard, 100), 0);
}

static void only_windows_that_leave_crumbs_count(void **state)
{
    (void)state;
    struct h2_guard guard = started();
    for (unsigned i = 0; i < 10 * MAX; i++)
        assert_int_equal(h2_guard_cut(&guard, H2_TINY_BYTES, LATER), 0);
    for (unsigned i = 0; i < MAX; i++)
        assert_int_equal(h2_guard_cut(&guard, H2_TINY_BYTES - 1, LATER), 0);
    assert_int_equal(h2_guard_cut(&guard, 1, LATER), HTTP_ABUSE_TINY_WINDOW);
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    for (unsigned a = 0; a < HTTP_ABUSE_COUNT; a++)
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(http_abuse_name(a), http_abuse_name(b));
}

static void limits_that_change_hold_for_what_is_counted_already(void **state)
{
    (void)state;
    struct listener_limits limits = most;
    struct h2_guard guard = started();
    guard.limits = &limits;
    for (unsigned i = 0; i < MAX; i++) {
        assert_int_equal(received(&guard, NGHTTP2_PING, 8, false, LATER), HTTP_ABUSE_NONE);
        assert_int_equal(received(&guard, NGHTTP2_RST_STREAM, 4, false, LATER), HTTP_ABUSE_NONE);
    }
    limits.control_frames_max = 2 * MAX;
    expect(&guard, MAX, NGHTTP2_PING, 8, HTTP_ABUSE_PING, LATER);
    expect(&guard, 0, NGHTTP2_RST_STREAM, 4, HTTP_ABUSE_RESET, LATER);
    limits.resets_max = 2 * MAX;
    limits.control_frames_max = 1;
    expect(&guard, MAX, NGHTTP2_RST_STREAM, 4, HTTP_ABUSE_RESET, LATER);
    expect(&guard, 0, NGHTTP2_PING, 8, HTTP_ABUSE_PING, LATER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_frame_has_its_own_count_in_a_window),
        cmocka_unit_test(what_is_below_the_limit_in_each_window_is_never_abuse),
        cmocka_unit_test(frames_that_carry_or_end_something_are_not_counted),
        cmocka_unit_test(resets_of_both_sides_share_a_budget),
        cmocka_unit_test(resets_of_our_own_making_are_nobodys_fault),
        cmocka_unit_test(data_sent_pays_for_window_updates_into_the_next_window),
        cmocka_unit_test(a_header_block_has_limits_of_its_own),
        cmocka_unit_test(only_windows_that_leave_crumbs_count),
        cmocka_unit_test(limits_that_change_hold_for_what_is_counted_already),
        cmocka_unit_test(every_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
