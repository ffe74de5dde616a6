/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/flag_value.h"

#include <stdio.h>
#include <stdlib.h>
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

bool flag_is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

bool flag_seconds(const char *value, uint32_t most, uint32_t *ret)
{
    char *end;
    unsigned long seconds = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || seconds < 1 || seconds > most)
        return false;
    *ret = (uint32_t)seconds;
    return true;
}

int flag_misused(const char *command, const char *message, const char *what)
{
    (void)fprintf(stderr, "weir %s: %.200s%.200s; weir %s --help tells the rest\n", command,
                  message, what, command);
    return EX_USAGE;
}

int flag_check_url(const char *command, const char *url)
{
    size_t count = strlen(url);
    return count > 0 && url[count - 1] != '/'
               ? 0
               : flag_misused(command,
                              "--url: expected scheme, host and port, without a '/' at the end",
                              "");
}
