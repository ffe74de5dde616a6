/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/flag_value.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

bool flag_value(const char *flag, int argc, char **argv, int *at, const char **ret)
{
    size_t count = strlen(flag);
    const char *argument = argv[*at];
    if (strncmp(argument, flag, count) != 0)
        return false;
    if (argument[count] == '=')
        *ret = argument + count + 1;
    else if (argument[count] == '\0' && *at + 1 < argc)
        *ret = argv[++*at];
    else
        return false;
    return true;
}

int flag_misused(const char *command, const char *message, const char *what)
{
    (void)fprintf(stderr, "weir %s: %.200s%.200s; weir %s --help tells the rest\n", command,
                  message, what, command);
    return EX_USAGE;
}
