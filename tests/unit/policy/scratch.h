/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.h -- a folder of its own for a test, gone after it. */
#ifndef WEIR_TESTS_POLICY_SCRATCH_H
#define WEIR_TESTS_POLICY_SCRATCH_H

#include <stddef.h>

#define SCRATCH_PATH_BYTES 512

void scratch_make(char ret[SCRATCH_PATH_BYTES]);
void scratch_make_in_memory(char ret[SCRATCH_PATH_BYTES]); /* where nothing waits for a disk */
void scratch_remove(const char *folder);                   /* its files, and it */
void scratch_write(const char *folder, const char *name, const void *bytes, size_t count);
/* The path of the only file whose name begins so. */
void scratch_find(const char *folder, const char *prefix, char ret[SCRATCH_PATH_BYTES]);

#endif
