/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/admin_key.h"

#include "policy/alerts/webhook.h"
#include "policy/users/private_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

int admin_url_check(const char *command, const char *url)
{
    struct error err = {0};
    size_t count = strlen(url);
    if (count == 0 || url[count - 1] == '/') {
        (void)fprintf(stderr,
                      "weir %s: --url: expected scheme, host and port, without a '/' at the end; "
                      "weir %s --help tells the rest\n",
                      command, command);
        return EX_USAGE;
    }
    if (webhook_check_url(url, false, &err) == 0)
        return 0;
    (void)fprintf(stderr, "weir %s: --url: %s\n", command, err.text);
    return EX_USAGE;
}

static int read_key_file(const char *command, const char *path, char *ret)
{
    const struct private_file_rules rules = {
        .bytes_min = 1, .bytes_max = ADMIN_KEY_BYTES_MAX, .forbidden = 077};
    struct error err = {0};
    size_t count = 0;
    int result = private_file_read(path, &rules, (uint8_t *)ret, &count, NULL, &err);
    if (result != 0) {
        (void)fprintf(stderr, "weir %s: %s\n", command, err.text);
        return result == ERROR_REFUSED ? EX_NOPERM : EX_NOINPUT;
    }
    while (count > 0 && (ret[count - 1] == '\n' || ret[count - 1] == '\r'))
        count--;
    ret[count] = '\0';
    return 0;
}

int admin_key_find(const char *command, const char *key_file, bool needed,
                   char ret[ADMIN_KEY_BYTES_MAX + 1])
{
    const char *variable = getenv(ADMIN_KEY_VARIABLE);
    ret[0] = '\0';
    if (key_file != NULL) {
        int status = read_key_file(command, key_file, ret);
        if (status != 0)
            return status;
    } else if (variable != NULL && strlen(variable) <= ADMIN_KEY_BYTES_MAX) {
        memcpy(ret, variable, strlen(variable) + 1);
    }
    bool plain = ret[0] != '\0' || (!needed && key_file == NULL);
    for (const char *at = ret; *at != '\0'; at++)
        plain = plain && *at > ' ' && *at <= '~'; /* it becomes a line of a header */
    if (plain)
        return 0;
    (void)fprintf(stderr,
                  "weir %s: no key: --key-file FILE, or $" ADMIN_KEY_VARIABLE
                  ", holds one of access.admin_keys\n",
                  command);
    return EX_NOPERM;
}
