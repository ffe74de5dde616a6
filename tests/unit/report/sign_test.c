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

#include "policy/report/sign.h"
#include "tests/unit/report/report_fixture.h"

#define DOCUMENT "what was counted"

static struct sign_key *open_key(const char *folder)
{
    struct sign_key *key = NULL;
    struct error err = {0};
    assert_int_equal(sign_key_open(folder, NULL, &key, &err), 0);
    assert_string_equal(err.text, "");
    return key;
}

static void path_of(const struct fixture *fixture, const char *name, char ret[FOLDER_BYTES * 2])
{
    (void)snprintf(ret, FOLDER_BYTES * 2, "%s/%s", fixture->folder, name);
}

static void the_key_is_made_once_and_kept_from_others(void **state)
{
    struct fixture *fixture = *state;
    char path[FOLDER_BYTES * 2], public[FOLDER_BYTES * 2];
    struct stat status;
    struct error err = {0};
    path_of(fixture, SIGN_KEY_FILE, path);
    path_of(fixture, SIGN_PUBLIC_FILE, public);
    struct sign_key *first = open_key(fixture->folder), *again = open_key(fixture->folder);
    struct sign_key *other = NULL;
    assert_string_equal(sign_key_fingerprint(first), sign_key_fingerprint(again));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(sign_key_read_public(public, &other, &err), 0);
    assert_string_equal(sign_key_fingerprint(first), sign_key_fingerprint(other));
    sign_key_free(first);
    sign_key_free(again);
    sign_key_free(other);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(sign_key_open(fixture->folder, NULL, &other, &err), ERROR_REFUSED);
    assert_int_equal(sign_key_open(fixture->folder, public, &other, &err), ERROR_REFUSED);
}

static void a_signature_holds_for_its_bytes_alone(void **state)
{
    struct fixture *fixture = *state;
    struct text signature;
    struct error err = {0};
    struct sign_key *key = open_key(fixture->folder);
    text_init(&signature);
    assert_int_equal(sign_document(key, DOCUMENT, strlen(DOCUMENT), &signature, &err), 0);
    assert_true(signature.count < SIGN_TEXT_BYTES_MAX);
    assert_int_equal(sign_check(key, DOCUMENT, strlen(DOCUMENT), signature.bytes, &err), 0);
    assert_int_equal(sign_check(key, DOCUMENT, strlen(DOCUMENT) - 1, signature.bytes, &err),
                     ERROR_INVALID);
    assert_non_null(strstr(err.text, "not the one that was signed"));
    /* No byte of it may be otherwise, nor one be missing: one signature has one spelling. */
    for (size_t i = 0; i < signature.count; i++) {
        char before = signature.bytes[i];
        signature.bytes[i] = before == 'Z' ? 'Y' : 'Z';
        assert_int_equal(sign_check(key, DOCUMENT, strlen(DOCUMENT), signature.bytes, NULL),
                         ERROR_INVALID);
        signature.bytes[i] = '\0';
        assert_int_equal(sign_check(key, DOCUMENT, strlen(DOCUMENT), signature.bytes, NULL),
                         ERROR_INVALID);
        signature.bytes[i] = before;
    }
    text_destroy(&signature);
    sign_key_free(key);
}

static void another_key_is_named(void **state)
{
    struct fixture *fixture = *state;
    char path[FOLDER_BYTES * 2];
    struct text signature;
    struct error err = {0};
    struct sign_key *key = open_key(fixture->folder);
    text_init(&signature);
    assert_int_equal(sign_document(key, DOCUMENT, strlen(DOCUMENT), &signature, &err), 0);
    path_of(fixture, SIGN_KEY_FILE, path);
    assert_int_equal(unlink(path), 0);
    struct sign_key *other = open_key(fixture->folder);
    assert_int_equal(sign_check(other, DOCUMENT, strlen(DOCUMENT), signature.bytes, &err),
                     ERROR_INVALID);
    assert_non_null(strstr(err.text, "another key"));
    text_destroy(&signature);
    sign_key_free(key);
    sign_key_free(other);
}

static void what_is_no_key_is_refused(void **state)
{
    static const char rsa[] =
        "-----BEGIN PRIVATE KEY-----\nnot base64\n-----END PRIVATE KEY-----\n";
    struct fixture *fixture = *state;
    char path[FOLDER_BYTES * 2];
    struct sign_key *key = NULL;
    struct error err = {0};
    path_of(fixture, "other.pem", path);
    assert_int_equal(sign_key_open(fixture->folder, path, &key, &err), ERROR_NOT_FOUND);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(rsa, 1, strlen(rsa), file), strlen(rsa));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(sign_key_open(fixture->folder, path, &key, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "Ed25519"));
    assert_int_equal(sign_key_read_public(fixture->folder, &key, &err), ERROR_INVALID);
    assert_null(key);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(the_key_is_made_once_and_kept_from_others),
        WITH_FOLDER(a_signature_holds_for_its_bytes_alone),
        WITH_FOLDER(another_key_is_named),
        WITH_FOLDER(what_is_no_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
