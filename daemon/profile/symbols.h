/* SPDX-License-Identifier: Apache-2.0 */
/* symbols.h -- what an address of this process is called.
 *
 * Of our own file the symbol table is read, so that static functions have names too; of libraries,
 * which are stripped, what they export. What has no name is called by its file: "[libc.so.6]".
 * Not shared between threads; not for handlers of signals. */
#ifndef WEIR_DAEMON_PROFILE_SYMBOLS_H
#define WEIR_DAEMON_PROFILE_SYMBOLS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define SYMBOLS_NAME_MAX 255u
#define SYMBOLS_UNKNOWN  "[unknown]"

struct symbols;

struct symbols *symbols_new(struct error *err);
void symbols_free(struct symbols *symbols); /* NULL is fine */
/* One pointer for one name, alive as long as the symbols. Without memory SYMBOLS_UNKNOWN. Clones
 * that a compiler made of a function (".isra.0", ".cold") have its name. */
const char *symbols_find(struct symbols *symbols, uintptr_t address);
const char *symbols_intern(struct symbols *symbols, const char *name);

/* -- The symbol table of a file of this machine's kind -- */

struct elf_function {
    uint64_t first, bytes;
    const char *name; /* borrowed: the file */
};
/* Ordered by address; count 0 for a stripped file. ERROR_INVALID for what is no such file, or one
 * whose tables lie outside it. *ret is the caller's to free. */
int elf_functions(const void *file, size_t file_bytes, struct elf_function **ret,
                  uint32_t *ret_count, struct error *err);

#endif
