/* SPDX-License-Identifier: Apache-2.0 */
/* Under systemd's MemoryDenyWriteExecute= no page can be written and run, so that PCRE2 interprets
 * what it compiles to machine code elsewhere. The kernel's own switch for that shows that both cut
 * alike; it cannot be taken back, so that each case is a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "models/pretokenizer.h"

#define SET_MDWE         65 /* PR_SET_MDWE and its flag, of Linux 6.3 */
#define REFUSE_EXEC_GAIN 1
#define RUN_BYTES        (1u << 20)
#define PIECES_MAX       (4u * RUN_BYTES)
#define EXIT_UNSUPPORTED 77

static const char *const names[] = {"", "gpt-2", "smollm", "llama-bpe", "qwen2"};

/* A hash over where the pieces end; 0 for a text that cannot be cut. */
static uint64_t cut(const char *name, const char *text, size_t count)
{
    struct pretokenizer_traits traits;
    struct pretokenizer *pretokenizer = pretokenizer_new(name, &traits, NULL);
    if (pretokenizer == NULL)
        return 0;
    struct pretokenizer_walk *walk = pretokenizer_walk_new(pretokenizer);
    uint64_t hash = UINT64_C(14695981039346656037);
    const char *piece;
    size_t piece_count;
    int result = walk == NULL ? -1 : 1;
    if (walk != NULL)
        pretokenizer_walk_start(walk, text, count);
    for (uint32_t i = 0; result == 1 && i < PIECES_MAX; i++) {
        result = pretokenizer_walk_next(walk, &piece, &piece_count, NULL);
        if (result == 1)
            hash = (hash ^ (uint64_t)(piece - text + (ptrdiff_t)piece_count)) *
                   UINT64_C(1099511628211);
    }
    pretokenizer_walk_free(walk);
    pretokenizer_free(pretokenizer);
    return result == 0 ? hash : 0;
}

static bool may_write_and_run(void)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    (void)munmap(page, 4096);
    return true;
}

/* As cut(), in a child that can make no page executable. Exit statuses: 0, 1, EXIT_UNSUPPORTED. */
static int cut_without_machine_code(const char *text, size_t count, const uint64_t *expected)
{
    pid_t child = fork();
    if (child == 0) {
        if (prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0 || may_write_and_run())
            _exit(EXIT_UNSUPPORTED);
        bool same = true;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            same = same && cut(names[i], text, count) == expected[i];
        _exit(same ? 0 : 1);
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_same_without_machine_code(const char *text, size_t count)
{
    uint64_t expected[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        expected[i] = cut(names[i], text, count);
        assert_int_not_equal(expected[i], 0);
    }
    int status = cut_without_machine_code(text, count, expected);
    if (status == EXIT_UNSUPPORTED)
        skip();
    assert_int_equal(status, 0);
}

static void prose_is_cut_alike_where_no_page_may_be_run(void **state)
{
    (void)state;
    static const char text[] = "It's 12345 o'clock,  \n\n\tand \xc3\x9c"
                               "ber \xe4\xbd\xa0\xe5\xa5\xbd"
                               " \xf0\x9f\x8c\x8a!!! \xff\xfe x\r\n   y  ";
    expect_same_without_machine_code(text, sizeof text - 1);
}

/* The interpreter counts its steps and its heap, and must run out of neither. */
static void long_runs_are_cut_alike_where_no_page_may_be_run(void **state)
{
    (void)state;
    static const char runs[] = {' ', '\n', 'a', '7', '!'};
    char *text = malloc(RUN_BYTES + 2);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof runs; i++) {
        memset(text, runs[i], RUN_BYTES);
        memcpy(text + RUN_BYTES, "x ", 2);
        expect_same_without_machine_code(text, RUN_BYTES + 2);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prose_is_cut_alike_where_no_page_may_be_run),
        cmocka_unit_test(long_runs_are_cut_alike_where_no_page_may_be_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
