/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/build_id.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

/* The linker's: where our own file begins, as it is mapped. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

static const ElfW(Ehdr) * head(void)
{
    return (const ElfW(Ehdr) *)(const void *)__ehdr_start;
}

static const ElfW(Phdr) * segment(uint32_t index)
{
    const char *at = __ehdr_start + head()->e_phoff + (size_t)index * head()->e_phentsize;
    return (const ElfW(Phdr) *)(const void *)at;
}

/* A note: three words, the name and the description, each filled up to four bytes. */
static const unsigned char *find_in_notes(const char *notes, size_t count, uint32_t *ret_bytes)
{
    while (count >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes, sizeof note);
        size_t name_bytes = (note.n_namesz + 3u) & ~(size_t)3;
        size_t whole = sizeof note + name_bytes + ((note.n_descsz + 3u) & ~(size_t)3);
        if (whole > count)
            return NULL;
        const char *name = notes + sizeof note;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            *ret_bytes = note.n_descsz;
            return (const unsigned char *)name + name_bytes;
        }
        notes += whole;
        count -= whole;
    }
    return NULL;
}

void build_id(char ret[2 * BUILD_ID_BYTES_MAX + 1])
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; bytes == NULL && i < head()->e_phnum; i++)
        if (segment(i)->p_type == PT_NOTE)
            bytes = find_in_notes(__ehdr_start + segment(i)->p_vaddr, segment(i)->p_memsz, &count);
    if (bytes == NULL) {
        memcpy(ret, "none", sizeof "none");
        return;
    }
    if (count > BUILD_ID_BYTES_MAX)
        count = BUILD_ID_BYTES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret[2 * count] = '\0';
}

bool build_id_offset(uintptr_t address, uintptr_t *ret_offset)
{
    uintptr_t image = (uintptr_t)__ehdr_start;
    for (uint32_t i = 0; i < head()->e_phnum; i++) {
        const ElfW(Phdr) *each = segment(i);
        uintptr_t first = image + each->p_vaddr;
        if (each->p_type != PT_LOAD || address < first || address - first >= each->p_memsz)
            continue;
        *ret_offset = address - image;
        return true;
    }
    return false;
}
