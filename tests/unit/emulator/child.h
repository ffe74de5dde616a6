/* SPDX-License-Identifier: Apache-2.0 */
/* child.h -- this test's own program, run again to do something that ends it. */
#ifndef WEIR_TESTS_EMULATOR_CHILD_H
#define WEIR_TESTS_EMULATOR_CHILD_H

#include <stdbool.h>
#include <stddef.h>

struct child {
    int exit_status; /* -1 where a signal ended it */
    char output[65536];
};

/* Runs /proc/self/exe with the argument, and NAME=VALUE added to the environment unless NULL. */
void child_run(struct child *child, const char *argument, const char *setting);
/* Whether it told of the words. */
bool child_said(const struct child *child, const char *words);

#endif
