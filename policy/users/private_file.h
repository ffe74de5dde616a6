/* SPDX-License-Identifier: Apache-2.0 */
/* private_file.h -- small files of keys: read whole, within bounds, and only where nobody else
 * could have. */
#ifndef WEIR_POLICY_USERS_PRIVATE_FILE_H
#define WEIR_POLICY_USERS_PRIVATE_FILE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct private_file_rules {
    size_t bytes_min, bytes_max;
    mode_t forbidden; /* permission bits that must not be set, e.g. 077 */
};

/* ret holds bytes_max. ERROR_NOT_FOUND; ERROR_REFUSED for the mode; ERROR_INVALID for anything but
 * a regular file of such a size; ERROR_IO. *ret_mode, which may be NULL: its permission bits. A
 * file of $CREDENTIALS_DIRECTORY is taken to be read by no group, whatever its mode says. */
int private_file_read(const char *path, const struct private_file_rules *rules, uint8_t *ret,
                      size_t *ret_count, mode_t *ret_mode, struct error *err);

#endif
