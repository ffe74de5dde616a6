/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/access/key_make.h"
#include "daemon/access/keys_edit.h"
#include "daemon/access/keys_file.h"

#define WRITERS 8u
#define EACH    25u

struct place {
    char folder[32], path[64], link[64];
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    strncpy(place->folder, "/tmp/weir-edit-XXXXXX", sizeof place->folder - 1);
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->path, sizeof place->path, "%s/keys", place->folder);
    (void)snprintf(place->link, sizeof place->link, "%s/link", place->folder);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    (void)unlink(place->path);
    (void)unlink(place->link);
    assert_int_equal(rmdir(place->folder), 0); /* nothing else is left about */
    free(place);
    return 0;
}

static int append_one(const char *path, struct error *err)
{
    struct key_record record = {.scopes = SCOPE_INFERENCE};
    struct keys_edit edit;
    struct text text;
    int result = key_make_id(record.id, err);
    if (result == 0)
        result = keys_edit_begin(path, true, &edit, err);
    if (result != 0)
        return result;
    text_init(&text);
    text_append(&text, edit.bytes, edit.count);
    key_digest(record.id, record.digest);
    key_record_write(&record, &text);
    result = keys_edit_commit(&edit, &text, err);
    text_destroy(&text);
    keys_edit_end(&edit);
    return result;
}

static int count_records(void *argument, const struct key_record *record, struct error *err)
{
    (void)record;
    (void)err;
    ++*(uint32_t *)argument;
    return 0;
}

static uint32_t count_in(const char *path)
{
    char *bytes = NULL;
    size_t count = 0;
    uint32_t records = 0;
    assert_int_equal(keys_file_load(path, &bytes, &count, NULL), 0);
    assert_int_equal(keys_read(bytes, count, count_records, &records, NULL), 0);
    free(bytes);
    return records;
}

static void *write_on(void *argument)
{
    struct place *place = argument;
    for (uint32_t i = 0; i < EACH; i++) {
        struct error err = {0};
        assert_int_equal(append_one(place->path, &err), 0);
    }
    return NULL;
}

static void writers_lose_nothing_of_each_other_s(void **state)
{
    struct place *place = *state;
    pthread_t writers[WRITERS];
    for (uint32_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_on, place), 0);
    for (uint32_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    assert_int_equal(count_in(place->path), WRITERS * EACH);
}

static void mode_and_link_stay(void **state)
{
    struct place *place = *state;
    struct stat status;
    assert_int_equal(append_one(place->path, NULL), 0);
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(chmod(place->path, 0640), 0);
    assert_int_equal(symlink(place->path, place->link), 0);
    assert_int_equal(append_one(place->link, NULL), 0);
    assert_int_equal(lstat(place->link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(count_in(place->path), 2);
}

static void what_cannot_be_written_stays_as_it_was(void **state)
{
    struct place *place = *state;
    struct keys_edit edit;
    struct error err = {0};
    struct text text;
    assert_int_equal(append_one(place->path, NULL), 0);
    assert_int_equal(keys_edit_begin(place->path, false, &edit, &err), 0);
    text_init(&text);
    text.failed = true;
    assert_int_equal(keys_edit_commit(&edit, &text, &err), ERROR_NO_MEMORY);
    keys_edit_end(&edit);
    assert_int_equal(count_in(place->path), 1);
    assert_int_equal(chmod(place->path, 0644), 0);
    assert_int_equal(keys_edit_begin(place->path, false, &edit, &err), ERROR_REFUSED);
    (void)unlink(place->path);
    assert_int_equal(keys_edit_begin(place->path, false, &edit, &err), ERROR_NOT_FOUND);
    text_destroy(&text);
}

static void a_made_key_is_told_from_its_look_alikes(void **state)
{
    (void)state;
    char key[KEY_BYTES], other[KEY_BYTES];
    assert_int_equal(key_make(key, NULL), 0);
    assert_int_equal(key_make(other, NULL), 0);
    assert_string_not_equal(key, other);
    assert_true(key_looks_made(key));
    for (size_t i = 0; i < sizeof key - 1; i++) {
        char before = key[i];
        key[i] = before == 'x' ? 'y' : 'x';
        assert_false(key_looks_made(key));
        key[i] = before;
    }
    assert_false(key_looks_made(""));
    assert_false(key_looks_made("weir_sk_"));
    char id[KEY_ID_BYTES_MAX + 1];
    assert_int_equal(key_make_id(id, NULL), 0);
    assert_true(key_id_fits(id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writers_lose_nothing_of_each_other_s, setup, teardown),
        cmocka_unit_test_setup_teardown(mode_and_link_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_stays_as_it_was, setup, teardown),
        cmocka_unit_test(a_made_key_is_told_from_its_look_alikes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
