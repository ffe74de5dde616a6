/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void become(const char *argument, const char *setting, int output)
{
    (void)dup2(output, STDOUT_FILENO);
    (void)dup2(output, STDERR_FILENO);
    if (setting != NULL)
        (void)putenv(const_cast<char *>(setting));
    /* Reports do not need a symbol for every frame, which takes seconds. */
    (void)execl("/proc/self/exe", "emulator-child", argument, (char *)NULL);
    _exit(127);
}

void child_run(struct child *child, const char *argument, const char *setting)
{
    int ends[2];
    child->exit_status = -1;
    child->output[0] = '\0';
    if (pipe(ends) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0)
        become(argument, setting, ends[1]);
    (void)close(ends[1]);
    size_t used = 0;
    char spill[4096];
    for (;;) {
        bool room = used + 1 < sizeof child->output;
        ssize_t got = room ? read(ends[0], child->output + used, sizeof child->output - 1 - used)
                           : read(ends[0], spill, sizeof spill);
        if (got <= 0)
            break;
        if (room)
            used += (size_t)got;
    }
    child->output[used] = '\0';
    (void)close(ends[0]);
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status))
        child->exit_status = WEXITSTATUS(status);
}

bool child_said(const struct child *child, const char *words)
{
    return strstr(child->output, words) != NULL;
}
