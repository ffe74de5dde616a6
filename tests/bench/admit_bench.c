/* SPDX-License-Identifier: Apache-2.0 */
/* admit_bench.c -- what letting a user in costs who was counted before in the day: identity, the
 * flag of its key, the count, and the watch of ids; from one and from two workers.
 *
 *     policy_admit threads=1 ns=...
 */
#include "base/clock.h"
#include "policy/license/catalogue.h"
#include "policy/policy.h"
#include "policy/policy_users.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define USERS   4096u
#define KEYS    16u
#define ROUNDS  2000000u
#define THREADS 2u
#define NOW_US  INT64_C(1795996800000000)

struct admitting {
    struct policy *policy;
    struct policy_model *model;
    uint32_t worker;
    uint64_t ns_each;
};

struct names {
    char users[USERS][24], keys[KEYS][24];
};

static void admit(const struct admitting *admitting, const struct names *names, uint32_t i)
{
    struct policy_decision decision;
    const struct policy_claims claims = {.tenant = "acme",
                                         .api_key = names->keys[i % KEYS],
                                         .user = names->users[i % USERS],
                                         .address = "192.0.2.7",
                                         .request_id = "0123456789abcdef",
                                         .worker = admitting->worker};
    policy_admit(admitting->policy, admitting->model, &claims, NOW_US, &decision);
}

static void *admit_all(void *argument)
{
    struct admitting *admitting = argument;
    struct names *names = malloc(sizeof *names);
    assert(names != NULL);
    for (uint32_t i = 0; i < USERS; i++)
        (void)snprintf(names->users[i], sizeof names->users[i], "user-%u", i);
    for (uint32_t i = 0; i < KEYS; i++)
        (void)snprintf(names->keys[i], sizeof names->keys[i], "sk-0123456789-%u", i);
    for (uint32_t i = 0; i < USERS; i++)
        admit(admitting, names, i);
    uint64_t started_us = clock_monotonic_us();
    for (uint32_t i = 0; i < ROUNDS; i++)
        admit(admitting, names, i * 7919u);
    admitting->ns_each = (clock_monotonic_us() - started_us) * 1000 / ROUNDS;
    free(names);
    return NULL;
}

static void bench(struct policy *policy, struct policy_model *model, uint32_t threads)
{
    pthread_t running[THREADS];
    struct admitting admitting[THREADS];
    uint64_t ns = 0;
    for (uint32_t i = 0; i < threads; i++) {
        admitting[i] = (struct admitting){.policy = policy, .model = model, .worker = i};
        int failed = pthread_create(&running[i], NULL, admit_all, &admitting[i]);
        assert(failed == 0);
    }
    for (uint32_t i = 0; i < threads; i++) {
        (void)pthread_join(running[i], NULL);
        ns += admitting[i].ns_each;
    }
    (void)printf("policy_admit threads=%u ns=%llu\n", threads, (unsigned long long)(ns / threads));
}

int main(void)
{
    char folder[] = "/tmp/weir-admit-XXXXXX", command[64];
    struct policy_model *model;
    struct error err = {0};
    const char *made = mkdtemp(folder);
    const char *const folders[] = {"config/licenses"};
    struct catalogue *catalogue = catalogue_load(folders, 1, &err);
    assert(made != NULL && catalogue != NULL);
    const struct policy_config config = {
        .state_folder = folder, .rules = {.catalogue = catalogue}, .worker_count = THREADS};
    struct policy *policy = policy_new(&config, &err);
    assert(policy != NULL);
    const struct policy_model_facts facts = {.id = "m", .path = folder};
    int result = policy_model_add(policy, &facts, 0, &model, &err);
    assert(result == 0);
    for (uint32_t threads = 1; threads <= THREADS; threads++)
        bench(policy, model, threads);
    policy_free(policy);
    catalogue_free(catalogue);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 ? 0 : 1;
}
