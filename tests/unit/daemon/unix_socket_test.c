/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http/unix_socket.h"

static char folder[64], path[96];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/weir-unix-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/weir.sock", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static bool answers(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool connected = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return connected;
}

static void a_socket_has_its_mode_whatever_the_umask(void **state)
{
    static const mode_t modes[] = {0600, 0660, 0666};
    (void)state;
    mode_t before = umask(0077);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct unix_place place;
        struct stat found;
        int fd = unix_socket_listen(path, modes[i], &place, NULL);
        assert_true(fd >= 0);
        assert_int_equal(stat(path, &found), 0);
        assert_int_equal(found.st_mode & 07777, modes[i]);
        assert_true(answers());
        close(fd);
        unix_socket_remove(path, &place);
        assert_int_equal(access(path, F_OK), -1);
    }
    (void)umask(before);
}

static void a_dead_socket_is_replaced_and_a_living_one_is_not(void **state)
{
    (void)state;
    struct unix_place place, other;
    struct error err = {0};
    int fd = unix_socket_listen(path, 0600, &place, &err);
    assert_true(fd >= 0);
    assert_int_equal(unix_socket_listen(path, 0600, &other, &err), -1);
    assert_int_equal(err.code, ERROR_BUSY);
    assert_non_null(strstr(err.text, "is in use: stop its owner"));
    assert_true(answers()); /* undisturbed */
    close(fd);              /* as a killed process leaves it */
    assert_int_equal(access(path, F_OK), 0);
    fd = unix_socket_listen(path, 0600, &other, &err);
    assert_true(fd >= 0);
    assert_true(answers());
    unix_socket_remove(path, &place); /* the first one ends late: what is there now stays */
    assert_int_equal(access(path, F_OK), 0);
    close(fd);
    unix_socket_remove(path, &other);
    assert_int_equal(access(path, F_OK), -1);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    (void)state;
    struct unix_place place;
    struct error err = {0};
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(unix_socket_listen(path, 0600, &place, &err), -1);
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "something else is there"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/nonexistent", path), 0);
    assert_int_equal(unix_socket_listen(path, 0600, &place, &err), -1);
    assert_int_equal(err.code, ERROR_INVALID);
    assert_int_equal(unlink(path), 0);
    char far[UNIX_SOCKET_PATH_MAX + 2];
    memset(far, 'x', sizeof far);
    far[sizeof far - 1] = '\0';
    assert_int_equal(unix_socket_listen(far, 0600, &place, &err), -1);
    assert_int_equal(unix_socket_listen("/nonexistent/weir.sock", 0600, &place, &err), -1);
    assert_non_null(strstr(err.text, "/nonexistent/weir.sock"));
    assert_int_equal(unix_socket_listen("", 0600, &place, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_has_its_mode_whatever_the_umask),
        cmocka_unit_test(a_dead_socket_is_replaced_and_a_living_one_is_not),
        cmocka_unit_test(what_is_no_socket_is_left_alone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
