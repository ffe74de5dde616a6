/* SPDX-License-Identifier: Apache-2.0 */
/* flag_value.h -- flags of commands and their values: "--flag VALUE" or "--flag=VALUE". */
#ifndef WEIR_DAEMON_COMMANDS_FLAG_VALUE_H
#define WEIR_DAEMON_COMMANDS_FLAG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether argv[*at] is the flag and has a value, be it an empty one; *at is then the last argument
 * that was read, and *ret borrowed from argv. */
bool flag_value(const char *flag, int argc, char **argv, int *at, const char **ret);

bool flag_is_help(const char *argument); /* --help, or -h */
/* A whole number of seconds from 1 to most: false, and *ret as it was, for anything else. */
bool flag_seconds(const char *value, uint32_t most, uint32_t *ret);

/* Says what is wrong with the command line of "weir COMMAND", and where to read on: EX_USAGE. */
int flag_misused(const char *command, const char *message, const char *what);
/* 0 for what --url may be, as far as its end tells; else as flag_misused(). */
int flag_check_url(const char *command, const char *url);

#endif
