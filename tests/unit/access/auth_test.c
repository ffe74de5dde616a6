/* SPDX-License-Identifier: Apache-2.0 */
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

#include "daemon/access/keys_file.h"
#include "daemon/api/auth.h"

#define NOW INT64_C(1796061600)

struct place {
    char folder[32], path[64], yaml[512];
    struct config *config;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    strncpy(place->folder, "/tmp/weir-auth-XXXXXX", sizeof place->folder - 1);
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->path, sizeof place->path, "%s/" KEYS_CREDENTIAL, place->folder);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    (void)unlink(place->path);
    (void)rmdir(place->folder);
    config_free(place->config);
    free(place);
    return 0;
}

/* rest: of the file's access section and what follows. */
static void configure(struct place *place, const char *rest)
{
    struct error err = {0};
    (void)snprintf(place->yaml, sizeof place->yaml, "access:\n%s", rest);
    config_free(place->config);
    place->config = NULL;
    (void)config_parse_yaml("w", place->yaml, strlen(place->yaml), &place->config, &err);
    assert_string_equal(err.text, "");
}

static void write_file(const struct place *place, const char *text, mode_t mode)
{
    (void)unlink(place->path);
    int fd = open(place->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void append_key(struct text *out, const char *key, const char *id, const char *rest)
{
    uint8_t digest[KEY_DIGEST_BYTES];
    key_digest(key, digest);
    text_append_format(out, "%s sha256:", id);
    for (size_t i = 0; i < sizeof digest; i++)
        text_append_format(out, "%02x", digest[i]);
    text_append_format(out, " %s\n", rest);
}

static struct auth *make(struct place *place)
{
    struct error err = {0};
    struct auth *auth = auth_new(place->config, &err);
    assert_string_equal(err.text, "");
    return auth;
}

static enum auth_outcome ask_for(const struct auth *auth, const char *header, unsigned scope,
                                 struct auth_identity *ret)
{
    const struct auth_question question = {
        .authorization = header, .scope = scope, .now_unix = NOW};
    return auth_check(auth, NULL, &question, ret);
}

static enum auth_outcome ask(const struct auth *auth, const char *key, unsigned scope)
{
    char header[256];
    struct auth_identity identity;
    (void)snprintf(header, sizeof header, "Bearer %s", key);
    return ask_for(auth, header, scope, &identity);
}

static void configure_file(struct place *place)
{
    char rest[256];
    (void)snprintf(rest, sizeof rest,
                   "  keys_file: %s\n  api_keys: [{key: sk-inline-1, tenant: inner}]\n"
                   "tenants: [{name: acme, priority: 3}]\n",
                   place->path);
    configure(place, rest);
}

static void each_key_has_its_scopes_and_its_end(void **state)
{
    struct place *place = *state;
    struct text file;
    text_init(&file);
    append_key(&file, "good", "g", "tenant=acme scopes=inference");
    append_key(&file, "look", "l", "scopes=usage");
    append_key(&file, "boss", "b", "scopes=admin");
    append_key(&file, "late", "e", "scopes=inference expires=2026-11-30T18:00:00Z");
    append_key(&file, "soon", "s", "scopes=inference expires=2026-11-30T18:00:01Z");
    append_key(&file, "gone", "r", "scopes=inference revoked=2026-01-01T00:00:00Z");
    write_file(place, text_string(&file), 0640);
    configure_file(place);
    struct auth *auth = make(place);
    static const struct {
        const char *key;
        enum auth_outcome inference, usage, admin;
    } rows[] = {
        {"good", AUTH_GRANTED, AUTH_SCOPE, AUTH_SCOPE},
        {"look", AUTH_SCOPE, AUTH_GRANTED, AUTH_SCOPE},
        {"boss", AUTH_SCOPE, AUTH_GRANTED, AUTH_GRANTED},
        {"late", AUTH_EXPIRED, AUTH_EXPIRED, AUTH_EXPIRED},
        {"soon", AUTH_GRANTED, AUTH_SCOPE, AUTH_SCOPE},
        {"gone", AUTH_REVOKED, AUTH_REVOKED, AUTH_REVOKED},
        {"sk-inline-1", AUTH_GRANTED, AUTH_SCOPE, AUTH_SCOPE},
        {"nobody", AUTH_UNKNOWN, AUTH_UNKNOWN, AUTH_UNKNOWN},
        {"", AUTH_UNKNOWN, AUTH_UNKNOWN, AUTH_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(ask(auth, rows[i].key, SCOPE_INFERENCE), rows[i].inference);
        assert_int_equal(ask(auth, rows[i].key, SCOPE_USAGE), rows[i].usage);
        assert_int_equal(ask(auth, rows[i].key, SCOPE_ADMIN), rows[i].admin);
    }
    struct auth_identity identity;
    assert_int_equal(ask_for(auth, NULL, SCOPE_INFERENCE, &identity), AUTH_ABSENT);
    assert_int_equal(ask_for(auth, "Basic good", SCOPE_INFERENCE, &identity), AUTH_UNKNOWN);
    assert_int_equal(ask_for(auth, "Bearer good", SCOPE_INFERENCE, &identity), AUTH_GRANTED);
    assert_string_equal(identity.tenant, "acme");
    assert_string_equal(identity.key_id, "g");
    assert_string_equal(identity.key, "g"); /* what stands for it elsewhere is never the key */
    assert_int_equal(identity.rules->priority, 3);
    assert_true(auth_has_admin(auth));
    struct auth_counts counts = auth_counts(auth);
    assert_int_equal(counts.configured, 1);
    assert_int_equal(counts.filed, 6);
    assert_int_equal(counts.revoked, 1);
    auth_free(auth);
    text_destroy(&file);
}

static void an_empty_file_lets_nobody_in(void **state)
{
    struct place *place = *state;
    char rest[128];
    write_file(place, "# none yet\n", 0600);
    (void)snprintf(rest, sizeof rest, "  keys_file: %s\n", place->path);
    configure(place, rest);
    struct auth *auth = make(place);
    struct auth_identity identity;
    assert_int_equal(ask_for(auth, NULL, SCOPE_INFERENCE, &identity), AUTH_ABSENT);
    assert_false(auth_has_admin(auth));
    auth_free(auth);
    configure(place, "  admin_keys: [{key: an-admin-key-0123}]\n"); /* as it always was */
    auth = make(place);
    assert_int_equal(ask_for(auth, NULL, SCOPE_INFERENCE, &identity), AUTH_GRANTED);
    assert_string_equal(identity.tenant, "");
    assert_non_null(identity.rules);
    assert_int_equal(ask(auth, "an-admin-key-0123", SCOPE_ADMIN), AUTH_GRANTED);
    auth_free(auth);
}

static void a_credential_of_systemd_is_taken(void **state)
{
    struct place *place = *state;
    struct text file;
    text_init(&file);
    append_key(&file, "good", "g", "scopes=inference");
    write_file(place, text_string(&file), 0440);
    configure(place, "  api_keys: []\n");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", place->folder, 1), 0);
    struct auth *auth = make(place);
    assert_int_equal(ask(auth, "good", SCOPE_INFERENCE), AUTH_GRANTED);
    assert_int_equal(ask(auth, "bad", SCOPE_INFERENCE), AUTH_UNKNOWN);
    auth_free(auth);
    (void)unlink(place->path); /* no such credential: no keys */
    auth = make(place);
    assert_int_equal(ask(auth, "bad", SCOPE_INFERENCE), AUTH_GRANTED);
    auth_free(auth);
    text_destroy(&file);
}

static void expect_refused(struct place *place, const char *text, mode_t mode, const char *says)
{
    struct error err = {0};
    write_file(place, text, mode);
    assert_null(auth_new(place->config, &err));
    assert_int_equal(strncmp(err.text, "access.keys_file: ", 18), 0);
    if (strstr(err.text, says) == NULL || strstr(err.text, place->path) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static void an_unsound_file_is_refused_whole(void **state)
{
    struct place *place = *state;
    struct text file;
    text_init(&file);
    append_key(&file, "good", "g", "scopes=inference");
    size_t one = file.count;
    configure_file(place);
    expect_refused(place, text_string(&file), 0644, "mode 644 lets others");
    expect_refused(place, text_string(&file), 0660, "mode 660 lets others");
    append_key(&file, "good", "h", "scopes=admin");
    expect_refused(place, text_string(&file), 0600, "line 2: the same key is in a line above");
    file.bytes[file.count = one] = '\0';
    append_key(&file, "sk-inline-1", "h", "scopes=admin");
    expect_refused(place, text_string(&file), 0600, "line 2: the same key is in weir.yaml");
    file.bytes[file.count = one] = '\0';
    append_key(&file, "other", "g", "scopes=admin");
    expect_refused(place, text_string(&file), 0600, "two keys have the id 'g'");
    struct error err = {0};
    (void)unlink(place->path);
    assert_null(auth_new(place->config, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    text_destroy(&file);
}

static void many_keys_are_found_each_by_itself(void **state)
{
    struct place *place = *state;
    struct text file;
    char key[32], id[32];
    text_init(&file);
    for (uint32_t i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "key-%u", i);
        (void)snprintf(id, sizeof id, "id-%u", i);
        append_key(&file, key, id, i % 2 == 0 ? "scopes=inference" : "tenant=t scopes=usage");
    }
    write_file(place, text_string(&file), 0600);
    configure_file(place);
    struct auth *auth = make(place);
    for (uint32_t i = 0; i < 3010; i++) {
        (void)snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(ask(auth, key, SCOPE_INFERENCE), i >= 3000    ? AUTH_UNKNOWN
                                                          : i % 2 == 0 ? AUTH_GRANTED
                                                                       : AUTH_SCOPE);
    }
    auth_free(auth);
    text_destroy(&file);
}

static void another_file_is_seen(void **state)
{
    struct place *place = *state;
    write_file(place, "# one\n", 0600);
    configure_file(place);
    struct auth *auth = make(place);
    struct auth_files before = auth_files_read(auth), now = auth_files_now(auth);
    assert_true(auth_files_same(&before, &now));
    write_file(place, "# another\n", 0600);
    now = auth_files_now(auth);
    assert_false(auth_files_same(&before, &now));
    (void)unlink(place->path);
    now = auth_files_now(auth);
    assert_false(auth_files_same(&before, &now));
    auth_free(auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_key_has_its_scopes_and_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_file_lets_nobody_in, setup, teardown),
        cmocka_unit_test_setup_teardown(a_credential_of_systemd_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unsound_file_is_refused_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(many_keys_are_found_each_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(another_file_is_seen, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
