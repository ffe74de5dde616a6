/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/usage_fleet.h"

#include "policy/users/calendar.h"
#include "policy/users/usage_inner.h"

#include <stdlib.h>
#include <string.h>

#define OPEN_DAYS_MAX (2 * USAGE_LIVE_DAYS) /* of a scope: more are about to be closed */

struct usage_fleet {
    struct usage_fleet_config config;
    uint64_t listed_epochs; /* of all scopes, when the folder was last read; UINT64_MAX: never */
    uint32_t learned;       /* scopes, from others */
    uint64_t unnamed;
};

struct usage_fleet *usage_fleet_new(const struct usage_fleet_config *config, struct error *err)
{
    struct usage_fleet *fleet = calloc(1, sizeof *fleet);
    if (fleet == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    fleet->config = *config;
    fleet->listed_epochs = UINT64_MAX;
    return fleet;
}

void usage_fleet_free(struct usage_fleet *fleet)
{
    free(fleet);
}

uint64_t usage_fleet_unnamed(const struct usage_fleet *fleet)
{
    return fleet->unnamed;
}

/* -- Names -- */

int usage_fleet_learn(struct usage_fleet *fleet, uint64_t id, const struct usage_scope_name *name,
                      struct error *err)
{
    struct usage *usage = fleet->config.usage;
    struct usage_scope *scope;
    if (usage_scope_find(usage, id) != NULL)
        return 0;
    if (strlen(name->product) > USAGE_NAME_BYTES_MAX ||
        strlen(name->model) > USAGE_NAME_BYTES_MAX || strlen(name->family) > USAGE_NAME_BYTES_MAX ||
        usage_scope_id(usage, name->product, name->model) != id)
        return error_set(err, ERROR_INVALID, "a name that is not its scope's");
    if (fleet->learned == USAGE_FLEET_SCOPES_MAX)
        return error_set(err, ERROR_BUSY,
                         "other replicas count more than %u models that are not served here",
                         USAGE_FLEET_SCOPES_MAX);
    (void)pthread_mutex_lock(&usage->scopes_lock);
    bool known = usage_scope_find(usage, id) != NULL; /* somebody else may have added it */
    int result = known ? 0 : usage_scope_new(usage, name, &scope, err);
    if (!known && result == 0)
        result = usage_scopes_save(usage, err);
    (void)pthread_mutex_unlock(&usage->scopes_lock);
    fleet->learned += !known && result == 0;
    return result;
}

int usage_fleet_each_name(struct usage_fleet *fleet,
                          int (*on_name)(void *argument, uint64_t scope,
                                         const struct usage_scope_name *name, struct error *err),
                          void *argument, struct error *err)
{
    int result = 0;
    for (const struct usage_scope *scope = fleet->config.usage->scopes;
         scope != NULL && result == 0; scope = scope->next) {
        const struct usage_scope_name name = {
            .product = scope->product, .model = scope->model, .family = scope->family};
        result = on_name(argument, scope->id, &name, err);
    }
    return result;
}

static struct usage_scope *find_scope(struct usage_fleet *fleet, uint64_t id)
{
    struct usage_scope *scope = usage_scope_find(fleet->config.usage, id);
    if (scope != NULL || fleet->config.find_name == NULL)
        return scope;
    fleet->config.find_name(fleet->config.argument, id);
    return usage_scope_find(fleet->config.usage, id);
}

/* -- Listing -- */

struct listing {
    uint32_t first_day, last_day;
    int (*on_counter)(void *argument, const struct fleet_name *name, uint64_t changes,
                      struct error *err);
    void *argument;
};

/* A counter that is closed changes only by joins of the fleet's own, or while it is compared
 * anyway: its number of changes is 0, which none has that is open. */
static int list_files(struct usage_fleet *fleet, const struct listing *listing, struct error *err)
{
    struct usage *usage = fleet->config.usage;
    struct usage_name *names;
    uint32_t count;
    int result = usage_days_list(&usage->folder, &names, &count, err);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        const struct fleet_name name = {
            .scope = names[i].scope, .day = names[i].day, .class = names[i].class};
        if (name.day >= listing->first_day && name.day <= listing->last_day &&
            usage_scope_find(usage, name.scope) != NULL)
            result = listing->on_counter(listing->argument, &name, 0, err);
    }
    free(names);
    return result;
}

struct open_counter {
    struct fleet_name name;
    uint64_t changes;
};

/* Under the scope's lock. */
static uint32_t add_open(const struct usage_scope *scope, const struct usage_day *day,
                         struct open_counter *ret)
{
    uint32_t count = 0;
    for (uint32_t c = 0; c < USAGE_KEYED_COUNT; c++) {
        const struct counter *counter = atomic_load(&day->counters[c]);
        if (counter != NULL)
            ret[count++] = (struct open_counter){
                .name = {.scope = scope->id, .day = day->day, .class = (uint8_t)c},
                .changes = (uint64_t)day->serial << 32 | (uint32_t)counter_changes(counter)};
    }
    return count;
}

static int list_open(struct usage_scope *scope, const struct listing *listing, struct error *err)
{
    struct open_counter open[OPEN_DAYS_MAX * USAGE_KEYED_COUNT];
    uint32_t count = 0, days = 0;
    int result = 0;
    (void)pthread_mutex_lock(&scope->lock);
    for (uint32_t slot = 0; slot < USAGE_LIVE_DAYS; slot++) {
        const struct usage_day *day = atomic_load(&scope->live[slot]);
        if (day != NULL)
            count += add_open(scope, day, open + count);
    }
    for (const struct usage_day *day = scope->retired; day != NULL && days < USAGE_LIVE_DAYS;
         day = day->next, days++)
        count += add_open(scope, day, open + count);
    (void)pthread_mutex_unlock(&scope->lock);
    for (uint32_t i = 0; i < count && result == 0; i++)
        if (open[i].name.day >= listing->first_day && open[i].name.day <= listing->last_day)
            result = listing->on_counter(listing->argument, &open[i].name, open[i].changes, err);
    return result;
}

/* The folder is read when counters were opened or closed since; what is open, each time. */
static int list(void *self, uint32_t first_day, uint32_t last_day,
                int (*on_counter)(void *argument, const struct fleet_name *name, uint64_t changes,
                                  struct error *err),
                void *argument, struct error *err)
{
    struct usage_fleet *fleet = self;
    const struct listing listing = {.first_day = first_day,
                                    .last_day = last_day,
                                    .on_counter = on_counter,
                                    .argument = argument};
    uint64_t epochs = 0;
    int result = 0;
    for (struct usage_scope *scope = fleet->config.usage->scopes; scope != NULL;
         scope = scope->next)
        epochs += atomic_load(&scope->epoch) + 1;
    if (epochs != fleet->listed_epochs)
        result = list_files(fleet, &listing, err);
    if (result == 0)
        fleet->listed_epochs = epochs;
    for (struct usage_scope *scope = fleet->config.usage->scopes; scope != NULL && result == 0;
         scope = scope->next)
        result = list_open(scope, &listing, err);
    return result;
}

/* -- One counter -- */

static bool name_of(const struct fleet_name *name, struct usage_name *ret)
{
    *ret = (struct usage_name){.scope = name->scope, .day = name->day, .class = name->class};
    return name->class < USAGE_KEYED_COUNT && name->day <= CALENDAR_DAY_MAX &&
           usage_name_holds(ret);
}

/* Under the scope's lock. */
static int copy_counter(struct usage_scope *scope, const struct usage_name *name,
                        struct sketch **ret, struct error *err)
{
    const struct usage_day *day = usage_open_day(scope, name->day);
    struct counter *counter = day == NULL ? NULL : atomic_load(&day->counters[name->class]);
    if (counter != NULL)
        return counter_sketch(counter, ret, err);
    int result = usage_days_open(&scope->usage->folder, name, false, &counter, err);
    if (result != 0)
        return result;
    if (counter == NULL)
        return error_set(err, ERROR_NOT_FOUND, "nobody was counted");
    result = counter_sketch(counter, ret, err);
    counter_close(counter);
    return result;
}

static int sketch_of(void *self, const struct fleet_name *asked, struct sketch **ret,
                     struct error *err)
{
    struct usage_fleet *fleet = self;
    struct usage_name name;
    struct usage_scope *scope = usage_scope_find(fleet->config.usage, asked->scope);
    if (scope == NULL || !name_of(asked, &name))
        return error_set(err, ERROR_NOT_FOUND, "nobody was counted");
    (void)pthread_mutex_lock(&scope->lock);
    int result = copy_counter(scope, &name, ret, err);
    (void)pthread_mutex_unlock(&scope->lock);
    return result;
}

/* What cannot be taken now must not hold up the rest: the next comparison brings it again. */
static int join(void *self, const struct fleet_name *told, const struct sketch *sketch,
                struct error *err)
{
    struct usage_fleet *fleet = self;
    struct usage_name name;
    struct usage_scope *scope = name_of(told, &name) ? find_scope(fleet, told->scope) : NULL;
    if (scope == NULL) {
        fleet->unnamed++;
        return 0;
    }
    int result = usage_join(scope, &name, sketch, err);
    return result == ERROR_UNSUPPORTED ? 0 : result;
}

struct fleet_store usage_fleet_store(struct usage_fleet *fleet)
{
    return (struct fleet_store){.self = fleet, .list = list, .sketch = sketch_of, .join = join};
}
