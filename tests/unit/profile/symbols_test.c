/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/profile/symbols.h"

__attribute__((noinline, used)) static int a_static_function(int number)
{
    return number * 7 + 1;
}

static void our_own_functions_are_named_static_ones_too(void **state)
{
    (void)state;
    struct error err = {0};
    struct symbols *symbols = symbols_new(&err);
    assert_non_null(symbols);
    uintptr_t at = (uintptr_t)&a_static_function;
    const char *name = symbols_find(symbols, at);
    assert_string_equal(name, "a_static_function");
    assert_ptr_equal(symbols_find(symbols, at + 1), name); /* one name, one pointer */
    assert_ptr_equal(symbols_find(symbols, at), name);
    assert_ptr_equal(symbols_intern(symbols, "a_static_function"), name);
    assert_string_equal(symbols_find(symbols, (uintptr_t)&symbols_new), "symbols_new");
    symbols_free(symbols);
}

static void what_has_no_name_is_called_by_its_file(void **state)
{
    (void)state;
    struct error err = {0};
    struct symbols *symbols = symbols_new(&err);
    assert_non_null(symbols);
    static const char of_no_function[] = "x";
    const char *name = symbols_find(symbols, (uintptr_t)of_no_function + 100000);
    assert_true(name[0] == '[' || name[0] == '_'); /* the file, or a symbol of the linker's */
    assert_string_equal(symbols_find(symbols, 0), SYMBOLS_UNKNOWN);
    assert_string_equal(symbols_find(symbols, 1), SYMBOLS_UNKNOWN);
    assert_string_equal(symbols_find(symbols, UINTPTR_MAX), SYMBOLS_UNKNOWN);
    symbols_free(symbols);
}

static void many_addresses_are_remembered(void **state)
{
    (void)state;
    struct error err = {0};
    struct symbols *symbols = symbols_new(&err);
    assert_non_null(symbols);
    char name[32];
    const char *all[5000];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "function-%d", i);
        all[i] = symbols_intern(symbols, name);
        assert_string_equal(symbols_find(symbols, (uintptr_t)i + 1), SYMBOLS_UNKNOWN);
    }
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "function-%d", i);
        assert_ptr_equal(symbols_intern(symbols, name), all[i]);
    }
    symbols_free(symbols);
}

/* -- The symbol table -- */

struct file {
    ElfW(Ehdr) head;
    ElfW(Sym) symbols[5];
    char names[32];
    ElfW(Shdr) sections[3];
};

static void make_file(struct file *file)
{
    memset(file, 0, sizeof *file);
    memcpy(file->head.e_ident, ELFMAG, SELFMAG);
    file->head.e_type = ET_DYN;
    file->head.e_shoff = offsetof(struct file, sections);
    file->head.e_shnum = 3;
    file->head.e_shentsize = sizeof(ElfW(Shdr));
    memcpy(file->names, "\0late\0early\0", 12);
    file->symbols[1] = (ElfW(Sym)){
        .st_name = 1, .st_info = STT_FUNC, .st_value = 200, .st_size = 10, .st_shndx = 1};
    file->symbols[2] = (ElfW(Sym)){
        .st_name = 6, .st_info = STT_FUNC, .st_value = 100, .st_size = 5, .st_shndx = 1};
    file->symbols[3] = (ElfW(Sym)){/* not a function */
                                   .st_name = 6,
                                   .st_info = STT_OBJECT,
                                   .st_value = 300,
                                   .st_size = 5,
                                   .st_shndx = 1};
    file->symbols[4] = (ElfW(Sym)){/* a name that lies elsewhere */
                                   .st_name = 32,
                                   .st_info = STT_FUNC,
                                   .st_value = 400,
                                   .st_size = 5,
                                   .st_shndx = 1};
    file->sections[1] = (ElfW(Shdr)){.sh_type = SHT_SYMTAB,
                                     .sh_offset = offsetof(struct file, symbols),
                                     .sh_size = sizeof file->symbols,
                                     .sh_link = 2};
    file->sections[2] = (ElfW(Shdr)){.sh_type = SHT_STRTAB,
                                     .sh_offset = offsetof(struct file, names),
                                     .sh_size = sizeof file->names};
}

static void functions_are_ordered_and_other_symbols_left_out(void **state)
{
    (void)state;
    struct file file;
    struct elf_function *functions;
    uint32_t count;
    struct error err = {0};
    make_file(&file);
    assert_int_equal(elf_functions(&file, sizeof file, &functions, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_string_equal(functions[0].name, "early");
    assert_int_equal(functions[0].first, 100);
    assert_int_equal(functions[0].bytes, 5);
    assert_string_equal(functions[1].name, "late");
    free(functions);
    file.sections[1].sh_type = SHT_PROGBITS; /* stripped */
    assert_int_equal(elf_functions(&file, sizeof file, &functions, &count, &err), 0);
    assert_int_equal(count, 0);
    assert_null(functions);
}

static void tables_outside_the_file_are_refused(void **state)
{
    (void)state;
    struct file sound, file;
    struct elf_function *functions;
    uint32_t count;
    struct error err = {0};
    make_file(&sound);
    for (size_t bytes = 0; bytes < sizeof sound; bytes++) {
        char *cut = malloc(bytes + 1); /* of this size, for a sanitizer to see what is behind */
        assert_non_null(cut);
        memcpy(cut, &sound, bytes);
        assert_int_equal(elf_functions(cut, bytes, &functions, &count, &err), ERROR_INVALID);
        free(cut);
    }
    for (int kind = 0; kind < 7; kind++) {
        file = sound;
        file.head.e_ident[0] ^= kind == 0;
        file.head.e_type += kind == 1;
        file.head.e_shentsize += kind == 2;
        file.sections[1].sh_offset = kind == 3 ? UINT64_MAX : file.sections[1].sh_offset;
        file.sections[1].sh_size = kind == 4 ? UINT64_MAX - 100 : file.sections[1].sh_size;
        file.sections[2].sh_size = kind == 5 ? 0 : file.sections[2].sh_size;
        file.names[31] = kind == 6 ? 'x' : '\0'; /* the last one does not end */
        assert_int_equal(elf_functions(&file, sizeof file, &functions, &count, &err),
                         ERROR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_functions_are_named_static_ones_too),
        cmocka_unit_test(what_has_no_name_is_called_by_its_file),
        cmocka_unit_test(many_addresses_are_remembered),
        cmocka_unit_test(functions_are_ordered_and_other_symbols_left_out),
        cmocka_unit_test(tables_outside_the_file_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
