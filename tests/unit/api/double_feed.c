/* SPDX-License-Identifier: Apache-2.0 */
/* What policy/ answers at the admin door: feeds that take as many pieces as a test wants, and one
 * group with one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_feed.h"
#include "policy/policy_fleet.h"
#include "policy/policy_groups.h"
#include "policy/policy_lines.h"
#include "tests/unit/api/doubles.h"

struct policy_feed {
    struct policy *policy;
    uint32_t pieces;
};

void world_open_admin(struct world *world)
{
    world->admin =
        (struct config_admin_key){.key = (char *)"sk-admin-0123456789", .name = (char *)"ops"};
    world->config.admin_keys = &world->admin;
    world->config.admin_key_count = 1;
    world_renew(world);
}

uint64_t policy_key_id(const struct policy *policy, uint32_t year)
{
    (void)policy;
    return UINT64_C(0xc0ffee) + year;
}

int policy_feed_new(struct policy *policy, const struct policy_feed_request *request,
                    int64_t now_unix_us, struct policy_feed **ret, const char **ret_member,
                    struct error *err)
{
    (void)now_unix_us;
    *ret_member = "product";
    policy->feed_class = request->class;
    if (policy->feed_error != 0)
        return error_set(err, policy->feed_error, "as the test wants");
    struct policy_feed *feed = malloc(sizeof *feed);
    assert_non_null(feed);
    *feed = (struct policy_feed){.policy = policy, .pieces = policy->feed_pieces};
    policy->feeds_open++;
    *ret = feed;
    return 0;
}

void policy_feed_free(struct policy_feed *feed)
{
    if (feed == NULL)
        return;
    feed->policy->feeds_open--;
    free(feed);
}

uint32_t policy_feed_ignored(const struct policy_feed *feed)
{
    (void)feed;
    return 1;
}

const char *policy_feed_product(const struct policy_feed *feed)
{
    (void)feed;
    return "chat";
}

int policy_feed_step(struct policy_feed *feed, uint64_t *ret_sequence, struct error *err)
{
    (void)err;
    *ret_sequence = ++feed->policy->feed_steps;
    return --feed->pieces > 0 ? 1 : 0;
}

uint32_t policy_groups_each(struct policy *policy, uint32_t month, int64_t now_unix_us,
                            void (*on_group)(void *argument, const struct policy_group *group),
                            void *argument)
{
    (void)policy;
    (void)now_unix_us;
    const struct policy_group group = {.kind = "organisation",
                                       .name = "",
                                       .known = true,
                                       .windows = {{.window = USAGE_WINDOW_MONTH,
                                                    .first_day = month == 2023 * 12 + 10 ? 1 : 2,
                                                    .coverage = 1}},
                                       .window_count = 1};
    on_group(argument, &group);
    return 1;
}

uint32_t policy_lines(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                      struct policy_line *ret, uint32_t capacity)
{
    (void)policy;
    (void)model;
    (void)now_unix_us;
    assert_true(capacity > 0);
    *ret = (struct policy_line){.license = "free-1",
                                .condition = "free-1/size",
                                .kind = "organisation",
                                .name = "",
                                .threshold = 100,
                                .lower = 10,
                                .upper = 25,
                                .days_early = 30,
                                .days = NAN,
                                .days_late = INFINITY};
    return 1;
}

void policy_messages(const struct policy *policy, struct policy_messages *ret)
{
    (void)policy;
    *ret = (struct policy_messages){.pending = 1};
}

void policy_usage(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                  struct policy_usage *ret)
{
    (void)policy;
    (void)model;
    (void)now_unix_us;
    memset(ret, 0, sizeof *ret);
}

/* Alone. */
void policy_fleet_status(const struct policy *policy, int64_t now_unix_us,
                         struct policy_fleet_status *ret)
{
    (void)policy;
    (void)now_unix_us;
    *ret = (struct policy_fleet_status){.complete = true};
}
