/* SPDX-License-Identifier: Apache-2.0 */
/* policy_fleet_members.c -- who counts along, who is missing, and what others serve.
 *
 * A replica is known by an id in its state folder, not by its process: whoever begins again with
 * the same folder tells what it did not tell before, and is no second replica. It registers after
 * each exchange, up to when it has told everything. One that ends as it should tells the rest and
 * leaves; one that does not is missing, by name, for a week. */
#include "base/clock.h"
#include "policy/policy_fleet_state.h"
#include "policy/users/usage_days.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define FILE_NAME         "fleet.id" /* 16 hexadecimal digits and a line's end */
#define FILE_BYTES        17u
#define SECOND_US         INT64_C(1000000)
#define NAMES_US          UINT64_C(600000000) /* between readings of what scopes are called */
#define NAMES_RETRY_US    UINT64_C(5000000)
#define LOOKUPS_A_SECOND  16u
#define CURRENT_GRACE_US  (3 * SECOND_US)
#define MISSING_US        (60 * SECOND_US) /* beyond what is current: then the log is told */
#define EXPECTED_US       (7 * 86400 * SECOND_US)
#define CLOCK_OFFSET_US   (60 * SECOND_US)
#define REPLICAS_A_READER 64u /* as many more make all of them read half, a third ... as often */
#define GONE_A_TURN       8u

/* -- Life -- */

static int make_id(const struct usage_folder *folder, uint64_t *ret, struct error *err)
{
    char text[FILE_BYTES + 1];
    uint64_t id = 0;
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
        return error_set_errno(err, errno, "random bytes");
    id |= 1;
    (void)snprintf(text, sizeof text, "%016" PRIx64 "\n", id);
    int result = usage_days_write(folder, FILE_NAME, text, FILE_BYTES, err);
    if (result == 0)
        *ret = id;
    return result;
}

static int load_id(const struct usage_folder *folder, uint64_t *ret, struct error *err)
{
    char *bytes, *end;
    size_t count;
    struct error why = {0};
    int result = usage_days_read(folder, FILE_NAME, FILE_BYTES, &bytes, &count, &why);
    if (result == ERROR_NOT_FOUND)
        return make_id(folder, ret, err);
    if (result != 0)
        return error_set(err, result, "%s", why.text);
    uint64_t id = strtoull(bytes, &end, 16);
    bool good = count == FILE_BYTES && end == bytes + FILE_BYTES - 1 && id != 0;
    free(bytes);
    if (!good) /* nothing hangs on it but that a restart is no second replica */
        return make_id(folder, ret, err);
    *ret = id;
    return 0;
}

static void name_host(char ret[FLEET_HOST_BYTES])
{
    if (gethostname(ret, FLEET_HOST_BYTES) != 0)
        (void)snprintf(ret, FLEET_HOST_BYTES, "?");
    ret[FLEET_HOST_BYTES - 1] = '\0';
}

int policy_fleet_members_open(struct policy_fleet *fleet, const uint8_t *key, struct error *err)
{
    const struct usage_folder folder = {.path = fleet->policy->folder};
    const struct fleet_registry_config registry = {.key = key,
                                                   .key_id = fleet->policy->secret.key_id,
                                                   .replica = fleet->replica,
                                                   .redis = fleet->redis};
    struct fleet_members *members = &fleet->members;
    int result = load_id(&folder, &members->self.id, err);
    if (result != 0)
        return result;
    members->self.process = fleet->replica;
    name_host(members->self.host);
    members->offset_us = INT64_MIN;
    members->registry = fleet_registry_new(&registry, err);
    return members->registry == NULL ? ERROR_NO_MEMORY : 0;
}

void policy_fleet_members_close(struct policy_fleet *fleet)
{
    fleet_registry_free(fleet->members.registry);
    fleet->members.registry = NULL;
}

/* -- What scopes are called -- */

static int on_scope(void *argument, const struct fleet_scope *scope, struct error *err)
{
    struct policy_fleet *fleet = argument;
    struct fleet_members *members = &fleet->members;
    const struct usage_scope_name name = {
        .product = scope->product, .model = scope->model, .family = scope->family};
    struct error why = {0};
    (void)err;
    if (usage_fleet_learn(fleet->counters, scope->id, &name, &why) != 0 &&
        strcmp(why.text, members->name_noted) != 0) {
        memcpy(members->name_noted, why.text, sizeof members->name_noted);
        policy_fleet_note(fleet, "fleet: '%.200s': %s", scope->model, why.text);
    }
    if (members->there_count < FLEET_SCOPES_MAX)
        members->there[members->there_count++] = scope->id;
    return 0;
}

static int write_scope(void *argument, uint64_t scope, const struct usage_scope_name *name,
                       struct error *err)
{
    struct policy_fleet *fleet = argument;
    const struct fleet_members *members = &fleet->members;
    for (uint32_t i = 0; i < members->there_count; i++)
        if (members->there[i] == scope)
            return 0;
    const struct fleet_scope said = {
        .id = scope, .product = name->product, .model = name->model, .family = name->family};
    return fleet_scope_write(members->registry, &said, err);
}

int policy_fleet_names_step(struct policy_fleet *fleet, struct error *err)
{
    struct fleet_members *members = &fleet->members;
    struct fleet_status status;
    uint64_t now_us = clock_monotonic_us();
    fleet_status(fleet->fleet, &status);
    if (now_us < members->names_us && status.epoch_changes == members->names_epoch)
        return 0;
    members->names_us = now_us + NAMES_RETRY_US;
    members->there_count = 0;
    int result = fleet_scopes_read(members->registry, on_scope, fleet, err);
    if (result == 0)
        result = usage_fleet_each_name(fleet->counters, write_scope, fleet, err);
    if (result != 0)
        return error_wrap(err, "fleet");
    members->names_us = now_us + NAMES_US;
    members->names_epoch = status.epoch_changes;
    return 0;
}

void policy_fleet_find_name(void *argument, uint64_t scope)
{
    struct policy_fleet *fleet = argument;
    struct fleet_members *members = &fleet->members;
    uint64_t second = clock_monotonic_us() / 1000000;
    if (members->lookup_second != second) {
        members->lookup_second = second;
        members->lookups = 0;
    }
    if (members->lookups++ >= LOOKUPS_A_SECOND)
        return;
    (void)fleet_scope_read(members->registry, scope, on_scope, fleet, NULL);
}

/* -- Who is there -- */

struct survey {
    struct policy_fleet *fleet;
    int64_t store_us;   /* now, by the store's clock */
    int64_t counted_us; /* the least of all */
    uint32_t count, current, gone_count;
    struct fleet_replica gone[GONE_A_TURN];
};

static int64_t current_us(const struct policy_fleet *fleet)
{
    return 3 * (int64_t)fleet->sync_ms * 1000 + CURRENT_GRACE_US;
}

static uint64_t *find_missing(struct fleet_members *members, uint64_t id)
{
    for (uint32_t i = 0; i < members->missing_count; i++)
        if (members->missing[i] == id)
            return &members->missing[i];
    return NULL;
}

/* The log is told once of each, and once that it is back. */
static void note_member(struct policy_fleet *fleet, const struct fleet_replica *replica,
                        int64_t silent_us)
{
    struct fleet_members *members = &fleet->members;
    uint64_t *noted = find_missing(members, replica->id);
    if (silent_us > current_us(fleet) + MISSING_US && noted == NULL &&
        members->missing_count < FLEET_MISSING_MAX) {
        members->missing[members->missing_count++] = replica->id;
        policy_fleet_note(fleet,
                          "fleet: replica %016" PRIx64 " (%s) is missing: not heard for %lld s; "
                          "what it counts meanwhile is in no figure here",
                          replica->id, replica->host, (long long)(silent_us / SECOND_US));
    } else if (silent_us <= current_us(fleet) && noted != NULL) {
        *noted = members->missing[--members->missing_count];
        policy_fleet_note(fleet, "fleet: replica %016" PRIx64 " (%s) is heard again", replica->id,
                          replica->host);
    }
}

static void take_self(struct policy_fleet *fleet, const struct fleet_replica *replica)
{
    struct fleet_replica *self = &fleet->members.self;
    if (self->first_seen_unix_us == 0 || replica->first_seen_unix_us < self->first_seen_unix_us)
        self->first_seen_unix_us = replica->first_seen_unix_us;
    if (replica->process != self->process && self->seen_unix_us != 0 &&
        replica->seen_unix_us > self->seen_unix_us && !fleet->members.twin_noted) {
        fleet->members.twin_noted = true;
        policy_fleet_note(fleet,
                          "fleet: another daemon (%s) uses this one's id %016" PRIx64
                          ": its state folder was copied; stop it, remove fleet.id there, and "
                          "start it again",
                          replica->host, replica->id);
    }
}

static int on_replica(void *argument, const struct fleet_replica *replica, struct error *err)
{
    struct survey *survey = argument;
    struct policy_fleet *fleet = survey->fleet;
    int64_t silent_us = survey->store_us - replica->seen_unix_us;
    (void)err;
    if (replica->id == fleet->members.self.id) {
        take_self(fleet, replica);
        return 0;
    }
    if (silent_us > EXPECTED_US) {
        if (survey->gone_count < GONE_A_TURN)
            survey->gone[survey->gone_count++] = *replica;
        return 0;
    }
    survey->count++;
    survey->current += silent_us <= current_us(fleet) ? 1 : 0;
    if (replica->counted_unix_us < survey->counted_us)
        survey->counted_us = replica->counted_unix_us;
    note_member(fleet, replica, silent_us);
    return 0;
}

static int remove_gone(struct survey *survey, struct error *err)
{
    struct policy_fleet *fleet = survey->fleet;
    int result = 0;
    for (uint32_t i = 0; i < survey->gone_count && result == 0; i++) {
        const struct fleet_replica *gone = &survey->gone[i];
        uint64_t *noted = find_missing(&fleet->members, gone->id);
        result = fleet_registry_remove(fleet->members.registry, gone->id, err);
        if (noted != NULL)
            *noted = fleet->members.missing[--fleet->members.missing_count];
        policy_fleet_note(fleet,
                          "fleet: replica %016" PRIx64 " (%s) was not heard for a week and is "
                          "expected no more; should it come back, its users are added",
                          gone->id, gone->host);
    }
    return result;
}

static int survey_all(struct policy_fleet *fleet, int64_t store_us, int64_t synced_us,
                      struct error *err)
{
    struct fleet_members *members = &fleet->members;
    struct survey survey = {
        .fleet = fleet, .store_us = store_us, .counted_us = synced_us, .count = 1, .current = 1};
    int result = fleet_registry_read(members->registry, on_replica, &survey, err);
    if (result == 0)
        result = remove_gone(&survey, err);
    if (result != 0)
        return result;
    /* What they had told when they were read of is here once all was exchanged after that. */
    if (members->promised_at_us != 0 && synced_us > members->promised_at_us &&
        members->promised_us > members->heard_us)
        members->heard_us = members->promised_us;
    members->promised_us = survey.counted_us;
    members->promised_at_us = clock_unix_us();
    members->replicas = survey.count;
    members->current = survey.current;
    members->read_us = clock_monotonic_us() +
                       (uint64_t)fleet->sync_ms * 1000 * (1 + survey.count / REPLICAS_A_READER);
    return 0;
}

static void take_offset(struct policy_fleet *fleet, int64_t offset_us)
{
    struct fleet_members *members = &fleet->members;
    bool far = offset_us > CLOCK_OFFSET_US || offset_us < -CLOCK_OFFSET_US;
    members->offset_us = offset_us;
    if (far != members->offset_noted)
        policy_fleet_note(fleet,
                          far ? "fleet: this machine's clock is %+.0f s off the store's: users are "
                                "counted on the wrong day around midnight; set it by NTP"
                              : "fleet: this machine's clock is %+.1f s off the store's again",
                          (double)offset_us / 1e6);
    members->offset_noted = far;
}

int policy_fleet_members_step(struct policy_fleet *fleet, struct error *err)
{
    struct fleet_members *members = &fleet->members;
    struct fleet_status status;
    int64_t store_us = 0;
    fleet_status(fleet->fleet, &status);
    if (status.synced_unix_us == members->self.counted_unix_us)
        return 0; /* nothing new to say: not even that we are there */
    int result = fleet_registry_clock(members->registry, &store_us, err);
    if (result == 0)
        take_offset(fleet, clock_unix_us() - store_us);
    if (result == 0 && clock_monotonic_us() >= members->read_us)
        result = survey_all(fleet, store_us, status.synced_unix_us, err);
    if (result == 0) {
        if (members->self.first_seen_unix_us == 0)
            members->self.first_seen_unix_us = store_us;
        members->self.seen_unix_us = store_us;
        members->self.counted_unix_us = status.synced_unix_us;
        result = fleet_registry_write(members->registry, &members->self, err);
    }
    return result == 0 ? 0 : error_wrap(err, "fleet");
}

void policy_fleet_members_leave(struct policy_fleet *fleet)
{
    (void)fleet_registry_remove(fleet->members.registry, fleet->members.self.id, NULL);
}
