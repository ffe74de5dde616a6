/* SPDX-License-Identifier: Apache-2.0 */
/* symbols.c -- two tables: addresses that were asked for, and names, each once.
 *
 * A profile asks for the same thousand addresses again and again. dladdr() goes through all symbols
 * of a library each time, and takes the loader's lock, so what it says is remembered. */
#include "daemon/profile/symbols.h"

#include "base/build_id.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define OWN_FILE    "/proc/self/exe"
#define TABLE_FIRST 1024u       /* slots */
#define ENTRIES_MAX (1u << 20u) /* of a table; what is beyond has no name */

struct entry {
    uintptr_t address; /* of the table of addresses */
    const char *name;  /* NULL: free */
};

struct table {
    struct entry *slots;
    uint32_t size, count; /* size: a power of two */
};

struct symbols {
    const void *file; /* our own, mapped; NULL when it cannot be */
    size_t file_bytes;
    struct elf_function *functions;
    uint32_t function_count;
    struct table addresses, names; /* names: owned */
};

/* -- The file -- */

static const void *within(const void *file, size_t file_bytes, uint64_t offset, uint64_t bytes)
{
    if (offset > file_bytes || bytes > file_bytes - offset)
        return NULL;
    return (const char *)file + offset;
}

static int by_address(const void *left, const void *right)
{
    const struct elf_function *a = left, *b = right;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* Sections may lie anywhere, so each word is copied out. */
static uint32_t take_functions(const void *table, uint64_t table_bytes, const char *names,
                               uint64_t names_bytes, struct elf_function *to)
{
    uint32_t count = 0;
    for (uint64_t at = 0; table_bytes - at >= sizeof(ElfW(Sym)); at += sizeof(ElfW(Sym))) {
        ElfW(Sym) symbol;
        memcpy(&symbol, (const char *)table + at, sizeof symbol);
        if ((symbol.st_info & 15) != STT_FUNC || symbol.st_size == 0 ||
            symbol.st_shndx == SHN_UNDEF || symbol.st_name >= names_bytes)
            continue;
        to[count++] = (struct elf_function){
            .first = symbol.st_value, .bytes = symbol.st_size, .name = names + symbol.st_name};
    }
    return count;
}

static int read_table(const void *file, size_t file_bytes, const ElfW(Shdr) sections[2],
                      struct elf_function **ret, uint32_t *ret_count, struct error *err)
{
    const ElfW(Shdr) *symbols = &sections[0], *strings = &sections[1];
    const void *table = within(file, file_bytes, symbols->sh_offset, symbols->sh_size);
    const char *names = within(file, file_bytes, strings->sh_offset, strings->sh_size);
    if (table == NULL || names == NULL || strings->sh_size == 0 ||
        names[strings->sh_size - 1] != '\0' || symbols->sh_size / sizeof(ElfW(Sym)) > ENTRIES_MAX)
        return error_set(err, ERROR_INVALID, "its symbol table is not within it");
    struct elf_function *functions =
        malloc(symbols->sh_size / sizeof(ElfW(Sym)) * sizeof *functions + 1);
    if (functions == NULL)
        return error_no_memory(err);
    uint32_t count = take_functions(table, symbols->sh_size, names, strings->sh_size, functions);
    qsort(functions, count, sizeof *functions, by_address);
    *ret = functions;
    *ret_count = count;
    return 0;
}

int elf_functions(const void *file, size_t file_bytes, struct elf_function **ret,
                  uint32_t *ret_count, struct error *err)
{
    ElfW(Ehdr) head;
    ElfW(Shdr) sections[2]; /* symbols, and the names that they have */
    if (file_bytes < sizeof head)
        return error_set(err, ERROR_INVALID, "shorter than an ELF header");
    memcpy(&head, file, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_type != ET_DYN ||
        head.e_shentsize != sizeof *sections)
        return error_set(err, ERROR_INVALID, "not a position-independent ELF file");
    const char *at =
        within(file, file_bytes, head.e_shoff, (uint64_t)head.e_shnum * sizeof *sections);
    if (at == NULL)
        return error_set(err, ERROR_INVALID, "its sections are not within it");
    for (uint32_t i = 0; i < head.e_shnum; i++) {
        memcpy(&sections[0], at + i * sizeof *sections, sizeof *sections);
        if (sections[0].sh_type != SHT_SYMTAB || sections[0].sh_link >= head.e_shnum)
            continue;
        memcpy(&sections[1], at + sections[0].sh_link * sizeof *sections, sizeof *sections);
        return read_table(file, file_bytes, sections, ret, ret_count, err);
    }
    *ret = NULL;
    *ret_count = 0;
    return 0;
}

/* Without it names are those that we export, as a library's. */
static void map_own_file(struct symbols *symbols)
{
    struct stat status;
    int fd = open(OWN_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        void *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED) {
            symbols->file = file;
            symbols->file_bytes = (size_t)status.st_size;
        }
    }
    (void)close(fd);
    if (symbols->file != NULL)
        (void)elf_functions(symbols->file, symbols->file_bytes, &symbols->functions,
                            &symbols->function_count, NULL);
}

/* -- The tables -- */

static uint32_t slot_of(const struct table *table, uint64_t hash)
{
    return (uint32_t)(hash & (table->size - 1));
}

static uint64_t hash_of(const struct entry *entry)
{
    return entry->address != 0 ? XXH3_64bits(&entry->address, sizeof entry->address)
                               : XXH3_64bits(entry->name, strlen(entry->name));
}

/* Room for one more, at most half full. */
static bool table_grow(struct table *table)
{
    if (2 * (table->count + 1) <= table->size)
        return true;
    struct table larger = {.size = table->size == 0 ? TABLE_FIRST : 2 * table->size,
                           .count = table->count};
    if (larger.size > 2 * ENTRIES_MAX)
        return false;
    larger.slots = calloc(larger.size, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    for (uint32_t i = 0; i < table->size; i++) {
        if (table->slots[i].name == NULL)
            continue;
        uint32_t at = slot_of(&larger, hash_of(&table->slots[i]));
        while (larger.slots[at].name != NULL)
            at = slot_of(&larger, at + 1);
        larger.slots[at] = table->slots[i];
    }
    free(table->slots);
    *table = larger;
    return true;
}

struct symbols *symbols_new(struct error *err)
{
    struct symbols *symbols = calloc(1, sizeof *symbols);
    if (symbols == NULL || !table_grow(&symbols->addresses) || !table_grow(&symbols->names)) {
        (void)error_no_memory(err);
        symbols_free(symbols);
        return NULL;
    }
    map_own_file(symbols);
    return symbols;
}

void symbols_free(struct symbols *symbols)
{
    if (symbols == NULL)
        return;
    for (uint32_t i = 0; i < symbols->names.size; i++)
        free((char *)symbols->names.slots[i].name);
    free(symbols->names.slots);
    free(symbols->addresses.slots);
    free(symbols->functions);
    if (symbols->file != NULL)
        (void)munmap((void *)symbols->file, symbols->file_bytes);
    free(symbols);
}

const char *symbols_intern(struct symbols *symbols, const char *name)
{
    struct table *table = &symbols->names;
    if (!table_grow(table))
        return SYMBOLS_UNKNOWN;
    uint32_t at = slot_of(table, XXH3_64bits(name, strlen(name)));
    for (; table->slots[at].name != NULL; at = slot_of(table, at + 1))
        if (strcmp(table->slots[at].name, name) == 0)
            return table->slots[at].name;
    char *copy = strdup(name);
    if (copy == NULL)
        return SYMBOLS_UNKNOWN;
    table->slots[at].name = copy;
    table->count++;
    return copy;
}

/* -- An address's name -- */

static const char *own_name(const struct symbols *symbols, uintptr_t address)
{
    uintptr_t offset;
    if (symbols->function_count == 0 || !build_id_offset(address, &offset))
        return NULL;
    uint32_t low = 0, high = symbols->function_count; /* the first that begins behind it */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (symbols->functions[middle].first <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    const struct elf_function *function = &symbols->functions[low - 1];
    return offset - function->first < function->bytes ? function->name : NULL;
}

static void name_address(const struct symbols *symbols, uintptr_t address,
                         char ret[SYMBOLS_NAME_MAX + 1])
{
    Dl_info info = {0};
    const char *name = own_name(symbols, address);
    bool loaded = name == NULL && dladdr((const void *)address, &info) != 0;
    if (loaded)
        name = info.dli_sname;
    if (name != NULL && name[0] != '\0') {
        size_t count = strcspn(name + 1, ".") + 1;
        (void)snprintf(ret, SYMBOLS_NAME_MAX + 1, "%.*s", (int)count, name);
    } else if (loaded && info.dli_fname != NULL && info.dli_fname[0] != '\0') {
        const char *slash = strrchr(info.dli_fname, '/');
        (void)snprintf(ret, SYMBOLS_NAME_MAX + 1, "[%s]",
                       slash == NULL ? info.dli_fname : slash + 1);
    } else {
        (void)snprintf(ret, SYMBOLS_NAME_MAX + 1, SYMBOLS_UNKNOWN);
    }
}

const char *symbols_find(struct symbols *symbols, uintptr_t address)
{
    struct table *table = &symbols->addresses;
    char name[SYMBOLS_NAME_MAX + 1];
    if (address == 0 || !table_grow(table))
        return SYMBOLS_UNKNOWN;
    uint32_t at = slot_of(table, XXH3_64bits(&address, sizeof address));
    for (; table->slots[at].name != NULL; at = slot_of(table, at + 1))
        if (table->slots[at].address == address)
            return table->slots[at].name;
    name_address(symbols, address, name);
    table->slots[at] = (struct entry){.address = address, .name = symbols_intern(symbols, name)};
    table->count++;
    return table->slots[at].name;
}
