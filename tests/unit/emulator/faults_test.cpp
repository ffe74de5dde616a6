/* SPDX-License-Identifier: Apache-2.0 */
/* faults_test.cpp -- what is wrong is told, each time, by the build that promises it. */
#include "child.h"
#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#if defined(__SANITIZE_ADDRESS__)
#define BUILD 1
#elif defined(__SANITIZE_THREAD__)
#define BUILD 3
#elif defined(WEIR_SANITIZED)
#define BUILD 2
#else
#define BUILD 0
#endif

static const char UNNOTICED[] = "unnoticed"; /* it ran and left numbers */
static const char POISON[] = "poison";       /* it left NaN */
static const char UNKNOWN[] = "";            /* the compiler decides */
static const char SIGNALLED[] = "signal";    /* a signal, or a sanitizer's word for it */
static const char RACE[] = "data race";
static const char RED[] = "use-after-poison";

struct expectation {
    const char *fault;
    const char *setting;
    const char *words[4]; /* plain, address, undefined, thread; NULL as plain */
};

static const struct expectation expectations[] = {
    {"shared_past_end", NULL, {POISON, RED}},
    {"dynamic_past_end", NULL, {POISON, RED}},
    {"device_past_end", NULL, {SIGNALLED}},
    {"misaligned_vector", NULL, {UNKNOWN, UNKNOWN, "misaligned address"}},
    {"misaligned_copy", NULL, {"both are to be 16-byte aligned"}},
    {"misaligned_matrix", NULL, {"not 16-byte aligned"}},
    {"static_shared_too_large", NULL, {"of static shared memory"}},
    {"divergent_barriers", NULL, {"divergent barriers: "}},
    {"divergent_barriers", "WEIR_EMULATOR_ORDER=random", {"divergent barriers: "}},
    {"barrier_meets_collective", NULL, {"deadlock in (barrier_meets_collective)"}},
    {"lanes_gone", NULL, {"deadlock in (lanes_gone)"}},
    {"lanes_gone", "WEIR_EMULATOR_ORDER=reverse", {"of which fff00000 are gone"}},
    {"source_not_in_mask", NULL, {"which is not among lanes 0000ffff"}},
    {"caller_not_in_mask", NULL, {"is not among the lanes 0000ffff that it names"}},
    {"divergent_collectives", NULL, {"divergent collectives: lane "}},
    {"no_barrier", NULL, {POISON, NULL, NULL, RACE}},
    {"warp_barrier_across_warps", NULL, {POISON, NULL, NULL, RACE}},
    {"no_barrier_before_overwrite", NULL, {UNNOTICED, NULL, NULL, RACE}},
    {"overwritten_by_a_warp_ahead", NULL, {POISON, NULL, NULL, RACE}},
    {"overwritten_by_a_warp_ahead", "WEIR_EMULATOR_ORDER=reverse", {POISON, NULL, NULL, RACE}},
    {"blocks_write_one_place", NULL, {UNNOTICED, NULL, NULL, RACE}},
    {"same_threads_write_one_place", NULL, {UNNOTICED, NULL, NULL, RACE}},
    {"shared_not_written", NULL, {POISON}},
    {"device_not_written", NULL, {POISON}},
    {"copy_waited_for_too_late", NULL, {POISON, NULL, NULL, RACE}},
    {"copy_waited_for_too_late", "WEIR_EMULATOR_COPIES=early", {UNNOTICED}},
    {"copy_issued_too_early", NULL, {UNNOTICED, NULL, NULL, RACE}},
    {"copy_issued_too_early", "WEIR_EMULATOR_COPIES=early", {POISON, NULL, NULL, RACE}},
    {"copy_never_waited_for", NULL, {"that it never waited for"}},
    {"copy_never_waited_for", "WEIR_EMULATOR_COPIES=early", {"that it never waited for"}},
    {"copies_in_stages", NULL, {UNNOTICED}},
    {"copies_in_stages", "WEIR_EMULATOR_COPIES=early", {UNNOTICED}},
    {"copies_in_stages", "WEIR_EMULATOR_ORDER=reverse", {UNNOTICED}},
    {"fences_both", NULL, {UNNOTICED}},
    {"fences_both", "WEIR_EMULATOR_ORDER=random", {UNNOTICED}},
    {"fences_no_writer", NULL, {UNNOTICED, NULL, NULL, RACE}},
    {"fences_no_reader", NULL, {UNNOTICED, NULL, NULL, RACE}},
    {"fences_before_write", NULL, {UNNOTICED, NULL, NULL, RACE}},
    {"right_sum", NULL, {UNNOTICED}},
    {"right_sum", "WEIR_EMULATOR_ORDER=random", {UNNOTICED}},
    {"right_groups", NULL, {UNNOTICED}},
    {"right_groups", "WEIR_EMULATOR_ORDER=reverse", {UNNOTICED}},
    {"right_groups", "WEIR_EMULATOR_ORDER=random", {UNNOTICED}},
    {"host_reads_device", NULL, {UNNOTICED}},
    {"host_reads_device", "WEIR_EMULATOR_PROTECT=1", {SIGNALLED}},
    {"pinned_source_changed_early", NULL, {"the device got 1"}},
    {"pinned_source_changed_early", "WEIR_EMULATOR_STREAMS=lazy", {"the device got 2"}},
    {"pageable_source_changed_early", "WEIR_EMULATOR_STREAMS=lazy", {"the device got 1"}},
    {"result_read_early", NULL, {"the host got 5"}},
    {"result_read_early", "WEIR_EMULATOR_STREAMS=lazy", {"the host got -nan"}},
    {"copy_past_end", NULL, {"runs past its allocation of 256"}},
    {"slack_touched", NULL, {UNNOTICED, RED}},
    {"host_memory_given_to_a_kernel", NULL, {"argument 1 of (fill) is 0x"}},
    {"graph_outlives_its_memory", NULL, {"argument 1 of (fill) is 0x"}},
    {"never_freed", NULL, {UNNOTICED, "LeakSanitizer"}},
};

/* -- In the child -- */

static const struct fault *find_fault(const char *name)
{
    for (const struct fault *each = kernel_faults; each->name != NULL; each++) {
        if (strcmp(each->name, name) == 0)
            return each;
    }
    for (const struct fault *each = host_faults; each->name != NULL; each++) {
        if (strcmp(each->name, name) == 0)
            return each;
    }
    return NULL;
}

static int commit_fault(const char *name)
{
    const struct fault *fault = find_fault(name);
    float values[FAULT_FLOATS], *device;
    cudaStream_t stream;
    if (fault == NULL || cudaMalloc((void **)&device, sizeof values) != cudaSuccess ||
        cudaStreamCreate(&stream) != cudaSuccess)
        return 2;
    fault->run(device, stream);
    cudaError_t error = cudaStreamSynchronize(stream);
    if (error == cudaSuccess)
        error = cudaMemcpy(values, device, sizeof values, cudaMemcpyDeviceToHost);
    if (error != cudaSuccess)
        (void)printf("%s\n", cudaGetErrorName(error));
    bool poison = false;
    unsigned threads = strcmp(name, "source_not_in_mask") == 0 ? 16 : FAULT_FLOATS;
    for (unsigned i = 0; i < threads && i < FAULT_FLOATS; i++)
        poison |= values[i] != values[i];
    (void)puts(poison ? POISON : UNNOTICED);
    (void)cudaFree(device);
    (void)cudaStreamDestroy(stream);
    return 0;
}

/* -- In the test -- */

static bool is_met(const struct child *child, const char *words)
{
    if (words == UNKNOWN)
        return true;
    if (words == SIGNALLED)
        return child->exit_status == -1 || child_said(child, "SEGV");
    if (words == UNNOTICED)
        return child->exit_status == 0 && child_said(child, UNNOTICED);
    return child_said(child, words);
}

static void every_fault_is_told(void **state)
{
    static struct child child;
    (void)state;
    unsigned missed = 0;
    for (const struct expectation &each : expectations) {
        const char *words = each.words[BUILD] != NULL ? each.words[BUILD] : each.words[0];
        child_run(&child, each.fault, each.setting);
        if (is_met(&child, words))
            continue;
        missed++;
        print_message("%s, %s: '%s' is not what it said, but, with status %d:\n%.2000s\n",
                      each.fault, each.setting != NULL ? each.setting : "as it is", words,
                      child.exit_status, child.output);
    }
    assert_int_equal(missed, 0);
}

/* Where to look: file and line of both sides, and who ran. */
static void reports_name_the_place(void **state)
{
    static struct child child;
    (void)state;
    child_run(&child, "divergent_barriers", NULL);
    assert_true(child_said(&child, "kernel_faults.cpp:"));
    assert_true(child_said(&child, "in (divergent_barriers), block (0, 0, 0), thread (32, 0, 0)"));
    child_run(&child, "barrier_meets_collective", NULL);
    assert_true(child_said(&child, "32 of its threads wait at "));
    assert_true(child_said(&child, "in a barrier, first thread 0"));
    assert_true(child_said(&child, "in a collective of lanes ffffffff, first thread 16"));
}

/* The barrier of right_sum() is told, and missed when it is left out. */
static void a_barrier_left_out_is_missed(void **state)
{
    static struct child child;
    static char sites[64] = "WEIR_EMULATOR_SITES=/tmp/weir-sites-XXXXXX";
    static char skip[256] = "WEIR_EMULATOR_SKIP=";
    char *path = strchr(sites, '=') + 1;
    size_t used = strlen(skip);
    (void)state;
    int made = mkstemp(path);
    assert_true(made >= 0);
    child_run(&child, "right_sum", sites);
    assert_true(is_met(&child, UNNOTICED));
    ssize_t got = read(made, skip + used, sizeof skip - 1 - used);
    (void)close(made);
    (void)unlink(path);
    assert_true(got > 1 && skip[used + (size_t)got - 1] == '\n');
    skip[used + (size_t)got - 1] = '\0';
    assert_non_null(strstr(skip, "kernel_faults.cpp:"));
    assert_null(strchr(skip, '\n')); /* it is the only one */
    child_run(&child, "right_sum", skip);
    assert_true(is_met(&child, BUILD == 3 ? RACE : POISON));
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return commit_fault(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_told),
        cmocka_unit_test(reports_name_the_place),
        cmocka_unit_test(a_barrier_left_out_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
