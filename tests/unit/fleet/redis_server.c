/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "redis_server.h"

/* Debian's redis-tools has the server's program under this name, and no service that begins. */
const char *redis_server_program(void)
{
    static const char *const programs[] = {"/usr/bin/redis-server", "/usr/bin/valkey-server",
                                           "/usr/bin/redis-check-rdb"};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        if (access(programs[i], X_OK) == 0)
            return programs[i];
    return NULL;
}

/* It says when it listens. */
static void wait_until_ready(int fd)
{
    char said[8192] = "";
    size_t count = 0;
    while (strstr(said, "eady to accept connections at") == NULL) {
        ssize_t more = read(fd, said + count, sizeof said - 1 - count);
        if (more <= 0)
            fail_msg("the server did not begin: %s", said);
        count += (size_t)more;
        said[count] = '\0';
    }
}

void redis_server_begin(struct redis_server *server, const char *password)
{
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t parent = getpid();
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(out[1], STDOUT_FILENO);
        if (getppid() == parent)
            (void)execl(redis_server_program(), "redis-server", "--port", "0", "--unixsocket",
                        server->socket, "--save", "", "--appendonly", "no", "--dir", server->folder,
                        "--requirepass", password, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    wait_until_ready(out[0]);
    close(out[0]);
}

void redis_server_kill(struct redis_server *server)
{
    assert_int_equal(kill(server->pid, SIGKILL), 0);
    assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
    (void)unlink(server->socket);
}

void redis_server_folder(struct redis_server *server)
{
    (void)snprintf(server->folder, sizeof server->folder, "/tmp/weir-fleet-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    (void)snprintf(server->socket, sizeof server->socket, "%s/socket", server->folder);
}
