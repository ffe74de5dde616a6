/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include "policy/identity.h"
#include "policy/identity_rules.h"
#include "policy/secret.h"
#include "policy/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FOLDER_MODE 0700

struct policy_model {
    struct policy_model *next;
    struct usage *usage;
};

struct policy {
    char *folder;
    int folder_fd; /* holds the lock on the folder */
    struct secret secret;
    struct identity_rules identity;
    struct policy_model *models; /* changed by the main thread, before the workers start */
};

/* mkdir -p, the last part private. */
static int make_folder(char *folder, struct error *err)
{
    for (char *slash = strchr(folder + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(folder, 0755) != 0 ? errno : 0;
        int result =
            failed == 0 || failed == EEXIST ? 0 : error_set_errno(err, failed, "%s", folder);
        *slash = '/';
        if (result != 0)
            return result;
    }
    if (mkdir(folder, STATE_FOLDER_MODE) != 0 && errno != EEXIST)
        return error_set_errno(err, errno, "%s", folder);
    return 0;
}

/* Two daemons on one folder would each count what the other does not see. */
static int lock_folder(struct policy *policy, struct error *err)
{
    policy->folder_fd = open(policy->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (policy->folder_fd < 0)
        return error_set_errno(err, errno, "%s", policy->folder);
    if (flock(policy->folder_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return error_set(err, ERROR_BUSY,
                         "%s: another weir counts here; give this one a folder of its own "
                         "(users.state, or --state FOLDER)",
                         policy->folder);
    return error_set_errno(err, errno, "%s: lock", policy->folder);
}

struct policy *policy_new(const struct policy_config *config, struct error *err)
{
    struct policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL) {
        error_no_memory(err);
        return NULL;
    }
    policy->folder_fd = -1;
    policy->folder = strdup(config->state_folder);
    if (policy->folder == NULL || policy->folder[0] == '\0') {
        if (policy->folder == NULL)
            error_no_memory(err);
        else
            error_set(err, ERROR_INVALID, "the state folder has no name");
        policy_free(policy);
        return NULL;
    }
    if (make_folder(policy->folder, err) != 0 || lock_folder(policy, err) != 0 ||
        secret_open(policy->folder, config->key_file, &policy->secret, err) != 0 ||
        identity_rules_load(&config->identity, &policy->identity, err) != 0) {
        policy_free(policy);
        return NULL;
    }
    return policy;
}

static void release_model(struct policy_model *model)
{
    usage_free(model->usage);
    free(model);
}

void policy_free(struct policy *policy)
{
    if (policy == NULL)
        return;
    while (policy->models != NULL) {
        struct policy_model *next = policy->models->next;
        release_model(policy->models);
        policy->models = next;
    }
    if (policy->folder_fd >= 0)
        close(policy->folder_fd);
    free(policy->folder);
    identity_rules_destroy(&policy->identity);
    explicit_bzero(&policy->secret, sizeof policy->secret);
    free(policy);
}

int policy_model_add(struct policy *policy, const struct policy_model_facts *facts,
                     int64_t now_unix, struct policy_model **ret, struct error *err)
{
    (void)now_unix;
    struct error local;
    if (err == NULL)
        err = &local;
    struct policy_model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return error_no_memory(err);
    model->usage = usage_new(policy->folder, facts->id, &policy->secret, err);
    if (model->usage == NULL) {
        release_model(model);
        return err->code;
    }
    model->next = policy->models;
    policy->models = model;
    *ret = model;
    return 0;
}

const struct assessment *policy_model_assessment(const struct policy_model *model)
{
    (void)model;
    return NULL;
}

void policy_admit(struct policy *policy, struct policy_model *model,
                  const struct policy_claims *claims, int64_t now_unix_us,
                  struct policy_decision *ret)
{
    struct identity identity =
        identity_of(&policy->identity, claims, policy->secret.users_key, now_unix_us / 1000000);
    usage_add(model->usage, usage_month(now_unix_us), &identity);
    ret->verdict = POLICY_GO;
    ret->identity = identity.class;
    ret->attribution[0] = '\0';
    ret->reason[0] = '\0';
}

void policy_usage(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                  struct policy_usage *ret)
{
    (void)policy;
    uint32_t month = usage_month(now_unix_us);
    *ret = (struct policy_usage){.year = (int32_t)(month / 12), .month = (int32_t)(month % 12 + 1)};
    usage_read(model->usage, month, ret);
}
