/* SPDX-License-Identifier: Apache-2.0 */
/* Admitting a user who was counted before in the day: no system call, no allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/policy.h"
#include "policy/policy_users.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define NOW_US   INT64_C(1796000000000000)
#define EXACT    1000u
#define MANY     40000u /* registers, not hashes */
#define ADMITTED 200000u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* jemalloc's; a sanitizer's allocator has none. */
int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct policy *policy;
    struct policy_model *model;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    scratch_make(fixture->folder);
    fixture->catalogue = few_licenses();
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue}};
    const struct policy_model_facts facts = {.id = "q", .path = fixture->folder};
    fixture->policy = policy_new(&config, NULL);
    assert_non_null(fixture->policy);
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, NULL), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    policy_free(fixture->policy);
    catalogue_free(fixture->catalogue);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

/* How many of them changed what is counted. */
static uint32_t admit(struct fixture *fixture, uint32_t users, uint32_t count)
{
    uint32_t changes = 0;
    for (uint32_t i = 0; i < count; i++) {
        char user[16];
        struct policy_decision decision;
        const struct policy_claims claims = {.tenant = "acme", .user = user};
        (void)snprintf(user, sizeof user, "user-%u", i % users);
        policy_admit(fixture->policy, fixture->model, &claims, NOW_US, &decision);
        changes += decision.sequence != 0;
    }
    return changes;
}

/* In a process whose every call of the system but read, write and exit is death. */
static void admit_without_the_system(struct fixture *fixture, uint32_t users)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        (void)syscall(SYS_exit, 2);
    uint32_t changes = admit(fixture, users, ADMITTED);
    (void)syscall(SYS_exit, changes == 0 ? 0 : 3);
}

static void known_users_cost_no_system_call(void **state)
{
    static const uint32_t users[] = {EXACT, MANY};
    if (SANITIZED)
        skip(); /* a sanitizer has calls of its own */
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        int status = 0;
        assert_in_range(admit(*state, users[i], users[i]), 1, users[i]);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            admit_without_the_system(*state, users[i]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void known_users_cost_no_allocation(void **state)
{
    static const uint32_t users[] = {EXACT, MANY};
    uint64_t *allocated = NULL;
    size_t bytes = sizeof allocated;
    if (mallctl == NULL || mallctl("thread.allocatedp", &allocated, &bytes, NULL, 0) != 0)
        skip();
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        assert_in_range(admit(*state, users[i], users[i]), 1, users[i]);
        uint64_t before = *allocated;
        assert_int_equal(admit(*state, users[i], ADMITTED), 0);
        assert_true(*allocated == before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_users_cost_no_system_call, setup, teardown),
        cmocka_unit_test_setup_teardown(known_users_cost_no_allocation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
