/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/gguf.h"
#include "tests/unit/models/gguf_builder.h"

struct fixture {
    struct gguf_builder builder;
    struct text file;
    struct error err;
};

static void fixture_init(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    gguf_builder_init(&fixture->builder);
}

static void fixture_destroy(struct fixture *fixture)
{
    gguf_builder_destroy(&fixture->builder);
    text_destroy(&fixture->file);
}

/* Opens a copy of exactly its size, so that a sanitizer sees any byte read past the end. */
static struct gguf *open_copy(const struct text *file, size_t count, struct error *err, char **ret)
{
    *ret = malloc(count + (count == 0));
    assert_non_null(*ret);
    if (count > 0)
        memcpy(*ret, file->bytes, count);
    return gguf_open_memory(*ret, count, err);
}

/* The file must be refused with this code and with `words` in the text. */
static void assert_refused(struct fixture *fixture, int code, const char *words)
{
    char *copy;
    gguf_builder_file(&fixture->builder, 256, &fixture->file);
    struct gguf *gguf = open_copy(&fixture->file, fixture->file.count, &fixture->err, &copy);
    assert_null(gguf);
    assert_int_equal(fixture->err.code, code);
    if (strstr(fixture->err.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", fixture->err.text, words);
    free(copy);
    fixture_destroy(fixture);
}

static void put_every_kind(struct gguf_builder *builder)
{
    static const char *const names[] = {"one", "", "three"};
    static const int32_t numbers[] = {-1, 2};
    static const float floats[] = {0.5f};
    const double pi = 3.5;
    gguf_builder_u32(builder, "u32", 4000000000u);
    gguf_builder_string(builder, "string", "hello");
    gguf_builder_key(builder, "i8", 1);
    text_append_char(&builder->keys, (char)-3);
    gguf_builder_key(builder, "u64", 10);
    gguf_put_u64(&builder->keys, UINT64_MAX);
    gguf_builder_key(builder, "f64", 12);
    text_append(&builder->keys, &pi, sizeof pi);
    gguf_builder_key(builder, "bool", 7);
    text_append_char(&builder->keys, 1);
    gguf_builder_strings(builder, "strings", names, 3);
    gguf_builder_i32s(builder, "i32s", numbers, 2);
    gguf_builder_f32s(builder, "f32s", floats, 1);
    gguf_builder_tensor(builder, "a", 32, 2, 2, 0);  /* Q4_0: 36 bytes */
    gguf_builder_tensor(builder, "b", 4, 1, 0, 64);  /* F32: 16 bytes */
    gguf_builder_tensor(builder, "c", 7, 3, 99, 96); /* a type of the future */
}

static void check_scalars(const struct gguf *gguf)
{
    uint64_t u64 = 0;
    double f64 = 0;
    bool boolean = false;
    char small[4];
    struct gguf_string string;
    assert_true(gguf_get_u64(gguf, "u32", &u64) && u64 == 4000000000u);
    assert_true(gguf_get_u64(gguf, "u64", &u64) && u64 == UINT64_MAX);
    assert_false(gguf_get_u64(gguf, "i8", &u64)); /* negative: does not fit */
    assert_false(gguf_get_u64(gguf, "string", &u64));
    assert_false(gguf_get_u64(gguf, "missing", &u64));
    assert_true(u64 == UINT64_MAX);
    assert_true(gguf_get_f64(gguf, "f64", &f64) && f64 == 3.5);
    assert_false(gguf_get_f64(gguf, "u32", &f64));
    assert_true(gguf_get_bool(gguf, "bool", &boolean) && boolean);
    assert_true(gguf_get_string(gguf, "string", &string) && string.count == 5);
    assert_true(gguf_copy_string(gguf, "string", small, sizeof small));
    assert_string_equal(small, "hel");
}

static void check_arrays(const struct gguf *gguf)
{
    struct gguf_array array;
    struct gguf_string string;
    uint64_t cursor = 0;
    assert_true(gguf_get_array(gguf, "strings", &array) && array.kind == GGUF_ARRAY_STRINGS);
    assert_true(gguf_array_next_string(&array, &cursor, &string) && string.count == 3);
    assert_true(gguf_array_next_string(&array, &cursor, &string) && string.count == 0);
    assert_true(gguf_array_next_string(&array, &cursor, &string) && string.count == 5);
    assert_false(gguf_array_next_string(&array, &cursor, &string));
    assert_true(gguf_get_array(gguf, "i32s", &array) && array.kind == GGUF_ARRAY_INTEGERS);
    assert_int_equal(gguf_array_integer(&array, 0), -1);
    assert_int_equal(gguf_array_integer(&array, 1), 2);
    assert_true(gguf_get_array(gguf, "f32s", &array) && array.kind == GGUF_ARRAY_FLOATS);
    assert_true(gguf_array_float(&array, 0) == 0.5);
    assert_false(gguf_get_array(gguf, "u32", &array));
}

static void every_kind_reads_back(void **state)
{
    (void)state;
    struct fixture fixture;
    char *copy;
    fixture_init(&fixture);
    put_every_kind(&fixture.builder);
    gguf_builder_file(&fixture.builder, 128, &fixture.file);
    struct gguf *gguf = open_copy(&fixture.file, fixture.file.count, &fixture.err, &copy);
    assert_non_null(gguf);
    check_scalars(gguf);
    check_arrays(gguf);
    assert_int_equal(gguf_tensor_count(gguf), 3);
    const struct gguf_tensor *a = gguf_tensor_find(gguf, "a");
    assert_int_equal(a->bytes_count, 36);
    assert_int_equal(a->shape[0], 32);
    assert_int_equal(a->shape[1], 2);
    assert_int_equal(a->shape[3], 1);
    const struct gguf_tensor *b = gguf_tensor_find(gguf, "b");
    assert_int_equal(((const uint8_t *)b->bytes)[0], 64);
    assert_int_equal(gguf_tensor_find(gguf, "c")->bytes_count, 0);
    assert_null(gguf_tensor_find(gguf, "d"));
    gguf_close(gguf);
    free(copy);
    fixture_destroy(&fixture);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    put_every_kind(&fixture.builder);
    gguf_builder_file(&fixture.builder, 128, &fixture.file);
    size_t needed = fixture.file.count - 128 + 96; /* tensor c begins there, its size unknown */
    for (size_t count = 0; count <= fixture.file.count; count++) {
        char *copy;
        struct gguf *gguf = open_copy(&fixture.file, count, &fixture.err, &copy);
        assert_true((gguf != NULL) == (count >= needed));
        gguf_close(gguf);
        free(copy);
    }
    fixture_destroy(&fixture);
}

static void version_2_is_read_others_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t version;
        const char *words;
    } refused[] = {
        {0, "version 0"}, {1, "version 1"}, {4, "version 4"}, {0x03000000, "big-endian"}};
    struct fixture fixture;
    char *copy;
    fixture_init(&fixture);
    fixture.builder.version = 2;
    gguf_builder_file(&fixture.builder, 0, &fixture.file);
    struct gguf *gguf = open_copy(&fixture.file, fixture.file.count, &fixture.err, &copy);
    assert_non_null(gguf);
    gguf_close(gguf);
    free(copy);
    fixture_destroy(&fixture);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        fixture_init(&fixture);
        fixture.builder.version = refused[i].version;
        assert_refused(&fixture, ERROR_UNSUPPORTED, refused[i].words);
    }
}

static void names_are_unique(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    gguf_builder_u32(&fixture.builder, "twice", 1);
    gguf_builder_u32(&fixture.builder, "twice", 2);
    assert_refused(&fixture, ERROR_INVALID, "key 'twice': given a second time at byte 45");
    fixture_init(&fixture);
    gguf_builder_tensor(&fixture.builder, "twice", 8, 1, 0, 0);
    gguf_builder_tensor(&fixture.builder, "twice", 8, 1, 0, 32);
    assert_refused(&fixture, ERROR_INVALID, "tensor 'twice': given a second time");
}

static void broken_values_are_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    gguf_builder_key(&fixture.builder, "k", 13);
    assert_refused(&fixture, ERROR_INVALID, "key 'k': unknown value kind 13 at byte 33");
    fixture_init(&fixture);
    gguf_builder_key(&fixture.builder, "k", 7);
    text_append_char(&fixture.builder.keys, 2);
    assert_refused(&fixture, ERROR_INVALID, "bool at byte 37 is 2");
    fixture_init(&fixture);
    gguf_builder_key(&fixture.builder, "k", 9);
    gguf_put_u32(&fixture.builder.keys, 9);
    gguf_put_u64(&fixture.builder.keys, 1);
    assert_refused(&fixture, ERROR_UNSUPPORTED, "key 'k': array of arrays");
    fixture_init(&fixture);
    gguf_builder_key(&fixture.builder, "k", 9);
    gguf_put_u32(&fixture.builder.keys, 10);
    gguf_put_u64(&fixture.builder.keys, UINT64_MAX / 8 + 2);
    assert_refused(&fixture, ERROR_INVALID, "elements");
    fixture_init(&fixture);
    gguf_builder_key(&fixture.builder, "k", 8);
    gguf_put_u64(&fixture.builder.keys, UINT64_MAX - 3);
    assert_refused(&fixture, ERROR_INVALID, "bytes");
    fixture_init(&fixture);
    fixture.builder.key_count = 1u << 20;
    assert_refused(&fixture, ERROR_INVALID, "1048576 keys, the limit is 65536");
    fixture_init(&fixture);
    gguf_builder_u32(&fixture.builder, "", 1);
    assert_refused(&fixture, ERROR_INVALID, "name of 0 bytes");
}

static void alignment_is_a_power_of_two(void **state)
{
    (void)state;
    static const uint32_t refused[] = {0, 4, 24, 1u << 17};
    struct fixture fixture;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        fixture_init(&fixture);
        gguf_builder_u32(&fixture.builder, "general.alignment", refused[i]);
        assert_refused(&fixture, ERROR_INVALID, "general.alignment");
    }
    fixture_init(&fixture);
    gguf_builder_string(&fixture.builder, "general.alignment", "32");
    assert_refused(&fixture, ERROR_INVALID, "general.alignment");
    fixture_init(&fixture);
    gguf_builder_u32(&fixture.builder, "general.alignment", 64);
    gguf_builder_tensor(&fixture.builder, "t", 8, 1, 0, 32);
    assert_refused(&fixture, ERROR_INVALID, "offset 32 is no multiple of the alignment 64");
}

static void broken_tensors_are_refused(void **state)
{
    (void)state;
    static const uint32_t removed[] = {4, 5, 31, 32, 33, 36, 37, 38};
    static const struct {
        uint64_t columns, rows;
        uint32_t type;
        uint64_t offset;
        const char *words;
    } broken[] = {
        {33, 1, 2, 0, "tensor 't': rows of 33 weights"},
        {0, 1, 0, 0, "dimension 0"},
        {UINT64_C(1) << 40, UINT64_C(1) << 40, 0, 0, "too large"},
        {UINT64_C(1) << 62, 1, 0, 0, "more than the file"},
        {8, 1, 0, 16, "offset 16 is no multiple"},
        {8, 1, 0, 256, "past the end"},
        {8, 1, 0, UINT64_MAX - 31, "past the end"},
        {72, 1, 0, 0, "past the end"},
    };
    struct fixture fixture;
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        fixture_init(&fixture);
        gguf_builder_tensor(&fixture.builder, "t", 256, 1, removed[i], 0);
        assert_refused(&fixture, ERROR_INVALID, "was removed from the format");
    }
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        fixture_init(&fixture);
        gguf_builder_tensor(&fixture.builder, "t", broken[i].columns, broken[i].rows,
                            broken[i].type, broken[i].offset);
        assert_refused(&fixture, ERROR_INVALID, broken[i].words);
    }
    fixture_init(&fixture);
    gguf_put_string(&fixture.builder.tensors, "t");
    gguf_put_u32(&fixture.builder.tensors, 5);
    fixture.builder.tensor_count = 1;
    assert_refused(&fixture, ERROR_INVALID, "5 dimensions");
}

static void what_is_no_file_is_refused_by_name(void **state)
{
    (void)state;
    char folder[] = "/tmp/weir-gguf-XXXXXX";
    char path[64];
    struct error err;
    assert_non_null(mkdtemp(folder));
    assert_null(gguf_open(folder, &err));
    assert_non_null(strstr(err.text, "a directory"));
    (void)snprintf(path, sizeof path, "%s/f", folder);
    assert_null(gguf_open(path, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(gguf_open(path, &err)); /* and does not wait for a writer */
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(unlink(path), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_null(gguf_open(path, &err));
    assert_non_null(strstr(err.text, "empty"));
    assert_int_equal(fputs("not a model", file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    assert_null(gguf_open(path, &err));
    assert_non_null(strstr(err.text, "no GGUF file"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_reads_back),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(version_2_is_read_others_are_refused),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(broken_values_are_refused),
        cmocka_unit_test(alignment_is_a_power_of_two),
        cmocka_unit_test(broken_tensors_are_refused),
        cmocka_unit_test(what_is_no_file_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
