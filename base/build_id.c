/* SPDX-License-Identifier: Apache-2.0 */
#include "base/build_id.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

/* Names and contents of notes are padded to words. */
static size_t padded(size_t bytes)
{
    return (bytes + 3) & ~(size_t)3;
}

static void put_digits(const uint8_t *bytes, size_t count, char *ret)
{
    if (2 * count >= BUILD_ID_TEXT_BYTES)
        return;
    for (size_t i = 0; i < count; i++) {
        ret[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        ret[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    ret[2 * count] = '\0';
}

/* A segment of notes: each a head, a name, and what it says. */
static void read_notes(const uint8_t *at, size_t count, char *ret)
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

/* The first object that is shown is the program itself. */
static int on_object(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    for (uint32_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type == PT_NOTE)
            read_notes((const uint8_t *)(object->dlpi_addr + segment->p_vaddr), segment->p_memsz,
                       argument);
    }
    return 1; /* no further ones */
}

void build_id_read(char ret[BUILD_ID_TEXT_BYTES])
{
    ret[0] = '\0';
    (void)dl_iterate_phdr(on_object, ret);
}
