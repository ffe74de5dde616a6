/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/trace_context.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

static void sound_parents_are_continued(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool sampled;
    } cases[] = {
        {"00-" TRACE "-" SPAN "-01", true},
        {"00-" TRACE "-" SPAN "-00", false},
        {"00-" TRACE "-" SPAN "-ff", true},  /* flags we do not know are ignored */
        {"00-" TRACE "-" SPAN "-02", false}, /* the random flag of level 2 */
        {"01-" TRACE "-" SPAN "-01", true},  /* later versions, as far as we know them */
        {"cc-" TRACE "-" SPAN "-01-what-the-future-will-be-like", true},
        {"fe-" TRACE "-" SPAN "-01-", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace_parent parent;
        assert_true(trace_parent_read(cases[i].value, &parent));
        assert_string_equal(parent.trace_id, TRACE);
        assert_string_equal(parent.span_id, SPAN);
        assert_int_equal(parent.sampled, cases[i].sampled);
    }
}

/* The cases of the specification's own test suite that a single header can show. */
static void parents_that_are_not_sound_begin_a_new_trace(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "00",
        "-00-" TRACE "-" SPAN "-01",
        "ff-" TRACE "-" SPAN "-01",
        "ff-" TRACE "-" SPAN "-01-more",
        "00-" TRACE "-" SPAN "-01-what-the-future-will-be-like",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-01.",
        "cc-" TRACE "-" SPAN "-01.what-the-future-will-not-be-like",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-.bf92f3577b34da6a3ce929d0e0e4736-" SPAN "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-" TRACE "-" SPAN "-0A",
        "00-" TRACE "-" SPAN "-.0",
        "00-" TRACE "-" SPAN "-1",
        "00-" TRACE "-" SPAN "-001",
        "0-" TRACE "-" SPAN "-01",
        "000-" TRACE "-" SPAN "-01",
        ".0-" TRACE "-" SPAN "-01",
        "0.-" TRACE "-" SPAN "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-" SPAN "-01",
        "00-" TRACE "7-" SPAN "-01",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        " 00-" TRACE "-" SPAN "-01",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace_parent parent = {.trace_id = "untouched"};
        if (trace_parent_read(cases[i], &parent))
            fail_msg("taken: '%s'", cases[i]);
        assert_string_equal(parent.trace_id, "untouched");
    }
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct trace_parent parent = {.sampled = true}, back;
    char value[TRACE_PARENT_BYTES + 1];
    trace_id_of(0x4bf92f3577b34da6, 0xa3ce929d0e0e4736, parent.trace_id);
    span_id_of(0x00f067aa0ba902b7, parent.span_id);
    trace_parent_write(&parent, value);
    assert_string_equal(value, "00-" TRACE "-" SPAN "-01");
    assert_true(trace_parent_read(value, &back));
    assert_memory_equal(&back, &parent, sizeof back);
    parent.sampled = false;
    trace_id_of(0, 0, parent.trace_id); /* all zero would mean none */
    span_id_of(0, parent.span_id);
    trace_parent_write(&parent, value);
    assert_string_equal(value, "00-00000000000000000000000000000001-0000000000000001-00");
    assert_true(trace_parent_read(value, &back));
}

static void a_draw_depends_on_the_trace_alone(void **state)
{
    (void)state;
    char id[TRACE_ID_DIGITS + 1];
    trace_id_of(123, 1999999, id);
    assert_int_equal(trace_draw(id), 999999);
    trace_id_of(UINT64_MAX, 1999999, id);
    assert_int_equal(trace_draw(id), 999999);
    trace_id_of(0, 5, id);
    assert_int_equal(trace_draw(id), 5);
}

static void expect_state(const char *list, const char *kept)
{
    char ret[TRACE_STATE_BYTES_MAX + 1];
    trace_state_read(list, ret);
    assert_string_equal(ret, kept);
}

static void sound_states_are_kept(void **state)
{
    (void)state;
    expect_state("", "");
    expect_state("foo=1", "foo=1");
    expect_state("foo=1,bar=2", "foo=1,bar=2");
    expect_state("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3");
    expect_state(",,foo=1,,", "foo=1");
    expect_state("foo=1;bar", "foo=1;bar");
    expect_state("fw529a3039@dt=FfD,0a@b=x", "fw529a3039@dt=FfD,0a@b=x");
    expect_state("a_-*/0=!~ x", "a_-*/0=!~ x");
    expect_state("foo= 1", "foo= 1"); /* a space may lead a value */
}

static void states_that_are_not_sound_are_dropped_whole(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "foo",
        "foo=",
        "=1",
        "foo=1,foo=1",
        "foo=1,foo=2",
        "Foo=1",
        "foo =1",
        "foo.bar=1",
        "foo@=1",
        "@foo=1",
        "foo@@bar=1",
        "foo@bar@baz=1",
        "foo=1=2",
        "0foo=1",
        "foo@0bar=1",
        "foo=\x01",
        "foo=\xc3\xa4",
        "foo=1;bar=2", /* a second '=' */
        "a@aaaaaaaaaaaaaaa=1",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_state(cases[i], "");
    char list[400] = "";
    size_t used = 0;
    for (int i = 0; i < 32; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%sk%d=1", i == 0 ? "" : ",", i);
    expect_state(list, list);
    (void)snprintf(list + used, sizeof list - used, ",k32=1");
    expect_state(list, "");
}

static void lengths_have_their_limits(void **state)
{
    (void)state;
    char list[1200], key[300];
    memset(key, 'z', sizeof key);
    (void)snprintf(list, sizeof list, "%.256s=1", key);
    expect_state(list, list);
    (void)snprintf(list, sizeof list, "%.257s=1", key);
    expect_state(list, "");
    (void)snprintf(list, sizeof list, "%.241s@%.14s=1", key, key);
    expect_state(list, list);
    (void)snprintf(list, sizeof list, "%.242s@v=1", key);
    expect_state(list, "");
    (void)snprintf(list, sizeof list, "k=%.256s", key);
    expect_state(list, list);
    (void)snprintf(list, sizeof list, "k=%.257s", key);
    expect_state(list, "");
    /* beyond what we keep, whole members go, from the right */
    (void)snprintf(list, sizeof list, "a=%.250s,b=%.250s,c=%.100s", key, key, key);
    char kept[TRACE_STATE_BYTES_MAX + 1];
    (void)snprintf(kept, sizeof kept, "a=%.250s,b=%.250s", key, key);
    expect_state(list, kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_parents_are_continued),
        cmocka_unit_test(parents_that_are_not_sound_begin_a_new_trace),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(a_draw_depends_on_the_trace_alone),
        cmocka_unit_test(sound_states_are_kept),
        cmocka_unit_test(states_that_are_not_sound_are_dropped_whole),
        cmocka_unit_test(lengths_have_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
