/* SPDX-License-Identifier: Apache-2.0 */
/* license_unreadable.h -- what a file named LICENSE is when it is no plain text. Pure; any
 * thread. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_UNREADABLE_H
#define WEIR_POLICY_LICENSE_LICENSE_UNREADABLE_H

#include "base/error.h"

#include <stddef.h>

/* 0 for UTF-8 text; else ERROR_UNSUPPORTED with what the bytes are and what to do about it. */
int license_unreadable(const char *bytes, size_t count, struct error *err);

#endif
