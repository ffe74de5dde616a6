/* SPDX-License-Identifier: Apache-2.0 */
/* counter_fixture.h -- for the tests of counters: one beside a sketch of the same users. What a
 * killed process leaves is what a second opening of the same file sees: both are the page cache. */
#ifndef WEIR_TESTS_POLICY_COUNTER_FIXTURE_H
#define WEIR_TESTS_POLICY_COUNTER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/users/counter.h"
#include "policy/users/counter_file.h"
#include "tests/unit/policy/counter_disk.h"
#include "tests/unit/policy/scratch.h"

#define MANY 100000u /* users, well behind the turn */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* SplitMix64 (S. Vigna, public domain): the i-th user of every test. */
static inline uint64_t user(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static const struct counter_name name = {.id = 77, .key_id = 99, .day = 20781, .class = 1};

struct fixture {
    char folder[SCRATCH_PATH_BYTES], path[SCRATCH_PATH_BYTES];
    struct counter *counter;
    struct error err;
};

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    scratch_make(fixture->folder);
    assert_true(snprintf(fixture->path, sizeof fixture->path, "%.200s/day", fixture->folder) > 0);
    memset(&disk, 0, sizeof disk);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    disk.sync_fails = disk.full = false;
    counter_close(fixture->counter);
    free(disk.image);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static inline int try_open(struct fixture *fixture, struct counter **ret)
{
    fixture->err = (struct error){0};
    return counter_open(fixture->path, &name, ret, &fixture->err);
}

static inline struct counter *open_file(struct fixture *fixture)
{
    struct counter *counter = NULL;
    int result = try_open(fixture, &counter);
    if (result != 0)
        print_error("%s\n", fixture->err.text);
    assert_int_equal(result, 0);
    return counter;
}

static inline void reopen(struct fixture *fixture)
{
    counter_close(fixture->counter);
    fixture->counter = open_file(fixture);
}

static inline void add(struct counter *counter, uint64_t hash)
{
    struct journal_record record;
    assert_true(counter_add(counter, hash, &record, NULL) >= 0);
}

static inline void add_users(struct counter *counter, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++)
        add(counter, user(i));
}

static inline struct sketch *sketch_of_users(uint32_t p, uint64_t first, uint64_t count)
{
    struct sketch *sketch = sketch_new(p);
    assert_non_null(sketch);
    for (uint64_t i = first; i < first + count; i++)
        assert_int_equal(sketch_add(sketch, user(i), NULL, NULL), 0);
    return sketch;
}

/* Takes the sketch. */
static inline void assert_holds_sketch(const struct counter *counter, struct sketch *expected)
{
    struct sketch *held = NULL;
    struct text left, right;
    text_init(&left);
    text_init(&right);
    assert_int_equal(counter_sketch(counter, &held, NULL), 0);
    sketch_write(held, &left);
    sketch_write(expected, &right);
    assert_int_equal(left.count, right.count);
    assert_memory_equal(left.bytes, right.bytes, left.count);
    text_destroy(&left);
    text_destroy(&right);
    sketch_free(held);
    sketch_free(expected);
}

static inline void assert_holds_users(const struct counter *counter, uint64_t count)
{
    assert_holds_sketch(counter, sketch_of_users(SKETCH_P, 0, count));
}

static inline void assert_has_users(const struct counter *counter, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_true(counter_has(counter, user(i)));
}

static inline void write_at(const struct fixture *fixture, uint64_t at, const void *bytes,
                            size_t count)
{
    int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, (off_t)at), count);
    close(fd);
}

static inline void read_at(const struct fixture *fixture, uint64_t at, void *bytes, size_t count)
{
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, count, (off_t)at), count);
    close(fd);
}

static inline void flip(const struct fixture *fixture, uint64_t at, uint32_t bit)
{
    uint8_t byte;
    read_at(fixture, at, &byte, 1);
    byte ^= (uint8_t)(1u << bit);
    write_at(fixture, at, &byte, 1);
}

/* Where the file, closed or not, cannot be opened, and says why. */
static inline void assert_refused(struct fixture *fixture, int code, const char *reason)
{
    struct counter *counter = NULL;
    assert_int_equal(try_open(fixture, &counter), code);
    assert_null(counter);
    assert_non_null(strstr(fixture->err.text, fixture->path));
    if (strstr(fixture->err.text, reason) == NULL)
        fail_msg("'%s' does not say '%s'", fixture->err.text, reason);
}

static inline void close_file(struct fixture *fixture)
{
    counter_close(fixture->counter);
    fixture->counter = NULL;
}

static inline uint64_t disk_bytes(const struct fixture *fixture)
{
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

#define COUNTER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
