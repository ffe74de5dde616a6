/* SPDX-License-Identifier: Apache-2.0 */
#include "base/build_id.h"

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

/* Names and contents of notes are padded to words. */
static size_t padded(size_t bytes)
{
    return (bytes + 3) & ~(size_t)3;
}

static void put_digits(const char *bytes, size_t count, char *ret)
{
    if (2 * count >= BUILD_ID_TEXT_BYTES)
        return;
    for (size_t i = 0; i < count; i++) {
        ret[2 * i] = "0123456789abcdef"[(unsigned char)bytes[i] >> 4];
        ret[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    ret[2 * count] = '\0';
}

/* A segment of notes: each a head, a name, and what it says. */
static void read_notes(const char *at, size_t count, char *ret)
{
    ElfW(Nhdr) note;
    while (count >= sizeof note) {
        memcpy(&note, at, sizeof note);
        size_t name = sizeof note + padded(note.n_namesz), whole = name + padded(note.n_descsz);
        if (whole > count)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
            memcmp(at + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0)
            put_digits(at + name, note.n_descsz, ret);
        at += whole;
        count -= whole;
    }
}

void build_id_read(char ret[BUILD_ID_TEXT_BYTES])
{
    ret[0] = '\0';
    for (uint32_t i = 0; i < head()->e_phnum; i++)
        if (segment(i)->p_type == PT_NOTE)
            read_notes(__ehdr_start + segment(i)->p_vaddr, segment(i)->p_memsz, ret);
}

bool build_id_offset(uintptr_t address, uintptr_t *ret_offset)
{
    uintptr_t image = (uintptr_t)__ehdr_start;
    for (uint32_t i = 0; i < head()->e_phnum; i++) {
        uintptr_t first = image + segment(i)->p_vaddr;
        if (segment(i)->p_type != PT_LOAD || address < first ||
            address - first >= segment(i)->p_memsz)
            continue;
        *ret_offset = address - image;
        return true;
    }
    return false;
}
