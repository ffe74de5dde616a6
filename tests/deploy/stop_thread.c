/* SPDX-License-Identifier: Apache-2.0 */
/* stop_thread.c -- stops one thread of a process and no other, as a lock that is never let go of
 * would: a signal always stops them all.
 *     stop-thread THREAD SECONDS */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    pid_t thread = (pid_t)strtol(argv[1], NULL, 10);
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0 ||
        ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) != 0) {
        perror("stop-thread");
        return 1;
    }
    (void)puts("stopped");
    (void)fflush(stdout);
    (void)alarm((unsigned)strtoul(argv[2], NULL, 10)); /* ends us, which lets it go */
    /* A process is gone only when who traces one of its threads has taken note. */
    int status = 0;
    while (waitpid(thread, &status, __WALL) >= 0 && !WIFEXITED(status) && !WIFSIGNALED(status))
        continue;
    return 0;
}
