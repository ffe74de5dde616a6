/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/users/secret.h"
#include "tests/unit/policy/scratch.h"

#define ROOT "0123456789abcdef0123456789abcdef"

struct fixture {
    char folder[SCRATCH_PATH_BYTES], credentials[SCRATCH_PATH_BYTES];
    char path[SCRATCH_PATH_BYTES + 32], credential[SCRATCH_PATH_BYTES + 32];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    scratch_make(fixture->folder);
    scratch_make(fixture->credentials);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/root", fixture->folder);
    (void)snprintf(fixture->credential, sizeof fixture->credential, "%s/weir-root-key",
                   fixture->credentials);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    scratch_remove(fixture->folder);
    scratch_remove(fixture->credentials);
    free(fixture);
    return 0;
}

static void write_root(const char *folder, const char *name, const char *root, mode_t mode)
{
    char path[SCRATCH_PATH_BYTES + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    scratch_write(folder, name, root, strlen(root));
    assert_int_equal(chmod(path, mode), 0);
}

static struct secret open_secret(const struct fixture *fixture, const char *key_file)
{
    struct secret secret;
    struct error err = {0};
    int result = secret_open(fixture->folder, key_file, &secret, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return secret;
}

static bool same(const struct secret *a, const struct secret *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* By an implementation of RFC 5869 in another language: a rewrite must not change what files were
 * made with. */
static void derived_keys_never_change(void **state)
{
    struct fixture *fixture = *state;
    struct secret_epoch epoch;
    static const uint8_t users_key[] = {0x3f, 0x99, 0x82, 0xce, 0x72, 0xef, 0x1b, 0x91,
                                        0x16, 0xb8, 0x2d, 0x1b, 0x68, 0xf0, 0x6c, 0x2a};
    static const uint8_t users_2026[] = {0x72, 0x88, 0x5f, 0xa5, 0x9b, 0x97, 0x70, 0xfd,
                                         0x4e, 0xa4, 0x9b, 0x0d, 0x28, 0x01, 0xcb, 0x5e};
    static const uint8_t blobs_2026[] = {0x1e, 0x5e, 0x90, 0x71, 0x77, 0x69, 0x5c, 0x6d,
                                         0xcd, 0xdf, 0xd9, 0x7f, 0x17, 0xf6, 0x02, 0x99,
                                         0x95, 0x98, 0x33, 0x1c, 0x3c, 0xdb, 0x92, 0xf3,
                                         0x6e, 0xf4, 0x8b, 0xfc, 0x3a, 0x44, 0x94, 0xcd};
    write_root(fixture->folder, "root", ROOT, 0600);
    struct secret secret = open_secret(fixture, fixture->path);
    assert_memory_equal(secret.users_key, users_key, sizeof users_key);
    assert_int_equal(secret_epoch(&secret, 2026, &epoch, NULL), 0);
    assert_memory_equal(epoch.users, users_2026, sizeof users_2026);
    assert_memory_equal(epoch.blobs, blobs_2026, sizeof blobs_2026);
    assert_int_equal(epoch.year, 2026);
}

static void years_and_purposes_share_no_key(void **state)
{
    struct fixture *fixture = *state;
    struct secret_epoch epochs[2], again;
    struct secret secret = open_secret(fixture, NULL);
    assert_int_equal(secret_epoch(&secret, 2026, &epochs[0], NULL), 0);
    assert_int_equal(secret_epoch(&secret, 2027, &epochs[1], NULL), 0);
    assert_int_equal(secret_epoch(&secret, 2026, &again, NULL), 0);
    assert_memory_equal(epochs[0].users, again.users, sizeof again.users);
    assert_true(epochs[0].key_id == again.key_id);
    assert_true(epochs[0].key_id != epochs[1].key_id && epochs[0].key_id != secret.key_id);
    const uint8_t *keys[] = {epochs[0].users,  epochs[0].requests, epochs[0].cap,
                             epochs[0].blobs,  epochs[1].users,    epochs[1].requests,
                             epochs[1].cap,    epochs[1].blobs,    secret.users_key,
                             secret.files_key, secret.epochs_root};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], SIPHASH_KEY_BYTES);
}

static void missing_key_is_made_once(void **state)
{
    struct fixture *fixture = *state;
    char made[SCRATCH_PATH_BYTES];
    struct stat status;
    struct secret first = open_secret(fixture, NULL), second = open_secret(fixture, NULL);
    assert_true(same(&first, &second));
    scratch_find(fixture->folder, "users.key", made);
    assert_int_equal(stat(made, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_size, 32);
}

static void credential_goes_before_the_folders_key_and_after_a_named_one(void **state)
{
    struct fixture *fixture = *state;
    struct secret of_folder = open_secret(fixture, NULL);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", fixture->credentials, 1), 0);
    struct secret still_of_folder = open_secret(fixture, NULL); /* the unit has other credentials */
    assert_true(same(&of_folder, &still_of_folder));
    write_root(fixture->credentials, "weir-root-key", ROOT, 0400);
    struct secret of_credential = open_secret(fixture, NULL);
    assert_false(same(&of_folder, &of_credential));
    write_root(fixture->folder, "root", ROOT ROOT, 0600);
    struct secret named = open_secret(fixture, fixture->path);
    assert_false(same(&named, &of_credential));
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    struct secret named_alone = open_secret(fixture, fixture->path);
    assert_true(same(&named, &named_alone));
}

static void key_that_others_may_read_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct secret secret = {.key_id = 7};
    struct error err = {0};
    write_root(fixture->folder, "root", ROOT, 0640);
    assert_int_equal(secret_open(fixture->folder, fixture->path, &secret, &err), ERROR_REFUSED);
    assert_non_null(strstr(err.text, "mode 640"));
    assert_int_equal(secret.key_id, 7);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", fixture->credentials, 1), 0);
    /* what an access list's mask looks like in the mode; others may not even so */
    write_root(fixture->credentials, "weir-root-key", ROOT, 0440);
    assert_int_equal(secret_open(fixture->folder, NULL, &secret, NULL), 0);
    assert_int_equal(chmod(fixture->credential, 0444), 0);
    assert_int_equal(secret_open(fixture->folder, NULL, &secret, &err), ERROR_REFUSED);
    assert_non_null(strstr(err.text, "mode 444"));
}

/* A setting may name a credential: by its path, as systemd's %d writes it. */
static void named_credential_may_show_the_mask_of_an_access_list(void **state)
{
    struct fixture *fixture = *state;
    struct secret secret;
    struct error err = {0};
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", fixture->credentials, 1), 0);
    write_root(fixture->credentials, "weir-root-key", ROOT, 0440);
    assert_int_equal(secret_open(fixture->folder, fixture->credential, &secret, NULL), 0);
    assert_int_equal(chmod(fixture->credential, 0460), 0);
    assert_int_equal(secret_open(fixture->folder, fixture->credential, &secret, &err),
                     ERROR_REFUSED);
    /* A folder below is none of systemd's. */
    char parent[SCRATCH_PATH_BYTES];
    (void)snprintf(parent, sizeof parent, "%s", fixture->folder);
    *strrchr(parent, '/') = '\0';
    write_root(fixture->folder, "root", ROOT, 0440);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", parent, 1), 0);
    assert_int_equal(secret_open(fixture->folder, fixture->path, &secret, &err), ERROR_REFUSED);
}

static void short_and_missing_keys_are_named(void **state)
{
    struct fixture *fixture = *state;
    struct secret secret;
    struct error err = {0};
    assert_int_equal(secret_open(fixture->folder, fixture->path, &secret, &err), ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, fixture->path));
    write_root(fixture->folder, "root", "short", 0600);
    assert_int_equal(secret_open(fixture->folder, fixture->path, &secret, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "expected 32 to 4096 bytes, got 5"));
    assert_int_equal(secret_open("/nonexistent/folder", NULL, &secret, &err), ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(derived_keys_never_change, setup, teardown),
        cmocka_unit_test_setup_teardown(years_and_purposes_share_no_key, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_key_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(
            credential_goes_before_the_folders_key_and_after_a_named_one, setup, teardown),
        cmocka_unit_test_setup_teardown(key_that_others_may_read_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(named_credential_may_show_the_mask_of_an_access_list, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(short_and_missing_keys_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
