/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/state_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int state_folder_find(const char *configured, char *ret, size_t ret_bytes, struct error *err)
{
    const char *systemd = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int count;
    if (configured[0] != '\0')
        count = snprintf(ret, ret_bytes, "%s", configured);
    else if (systemd != NULL && systemd[0] == '/') /* may be a list "a:b": the first is ours */
        count = snprintf(ret, ret_bytes, "%.*s", (int)strcspn(systemd, ":"), systemd);
    else if (xdg != NULL && xdg[0] == '/')
        count = snprintf(ret, ret_bytes, "%s/weir", xdg);
    else if (home != NULL && home[0] == '/')
        count = snprintf(ret, ret_bytes, "%s/.local/state/weir", home);
    else
        return error_set(err, ERROR_INVALID,
                         "no folder for user counts: set users.state, or $HOME");
    if (count < 0 || (size_t)count >= ret_bytes)
        return error_set(err, ERROR_INVALID, "users.state: the path is too long");
    return 0;
}
