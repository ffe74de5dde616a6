/* SPDX-License-Identifier: Apache-2.0 */
/* flag_value.h -- a flag of a command and its value: "--flag VALUE" or "--flag=VALUE". */
#ifndef WEIR_DAEMON_COMMANDS_FLAG_VALUE_H
#define WEIR_DAEMON_COMMANDS_FLAG_VALUE_H

#include <stdbool.h>

/* Whether argv[*at] is the flag and has a value, be it an empty one; *at is then the last argument
 * that was read, and *ret borrowed from argv. */
bool flag_value(const char *flag, int argc, char **argv, int *at, const char **ret);

/* Says what is wrong with the command line of "weir COMMAND", and where to read on: EX_USAGE. */
int flag_misused(const char *command, const char *message, const char *what);

#endif
