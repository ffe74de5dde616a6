/* SPDX-License-Identifier: Apache-2.0 */
/* Licences in the life of a server: at its start, on a signal, on the first of a month. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/reload.h"
#include "daemon/rules.h"
#include "policy/license/assessment.h"
#include "tests/unit/server/stage.h"

static void breached_model_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    stage_write_config(fixture, "free-1", "research-1", "production: yes");
    stage_read_config(fixture);
    struct server *server = stage_start(fixture);
    assert_int_equal(server_count_models(server, MODEL_SERVED), 1);
    assert_int_equal(server_count_models(server, MODEL_REFUSED), 1);
    assert_int_equal(stage.models, 1); /* not a byte of its weights was read */
    assert_int_equal(stage_logged(fixture, "level=error event=model_refused model=b"), 1);
    assert_true(stage_logged(fixture, "research-1/research-only") > 0);
    assert_null(server_find_model(server, "b"));
    assert_int_equal(server_model_state(server_find_slot(server, "b")), MODEL_REFUSED);
    assert_ptr_equal(server_find_model(server, ""), &server->models[0]);
    server_stop(server);
    stage_expect_nothing_left();
}

static void acknowledged_breach_is_served(void **state)
{
    struct fixture *fixture = *state;
    stage_write_config(fixture, "free-1", "research-1",
                       "production: yes, acknowledge: [{condition: research-1/research-only, "
                       "reference: C-7}]");
    stage_read_config(fixture);
    struct server *server = stage_start(fixture);
    assert_int_equal(server_count_models(server, MODEL_SERVED), 2);
    assert_int_equal(stage_logged(fixture, "level=warn event=license_condition model=b condition="
                                           "research-1/research-only"),
                     1);
    assert_int_equal(stage_logged(fixture, "acknowledged=C-7"), 1);
    server_stop(server);
}

static void server_without_a_model_left_does_not_start(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    stage_write_config(fixture, "research-1", "research-1", "production: yes");
    stage_read_config(fixture);
    assert_null(server_start(fixture->config, fixture->log, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_non_null(strstr(err.text, "all 2 models are refused, the first for this: model 'a'"));
    assert_non_null(strstr(err.text, "operator.acknowledge"));
    assert_int_equal(stage.steps, WORKERS + MODELS); /* sockets and headers */
    stage_expect_nothing_left();
}

/* -- Reloading -- */

#define NOW (clock_unix_us() / 1000000)

static enum verdict verdict_of(const struct server *server, uint32_t index)
{
    return policy_model_assessment(server->models[index].policy)->verdict;
}

static struct server *start_research(struct fixture *fixture)
{
    stage_write_config(fixture, "free-1", "research-1", "production: no, commercial: no");
    stage_read_config(fixture);
    struct server *server = stage_start(fixture);
    assert_int_equal(verdict_of(server, 1), VERDICT_MET);
    return server;
}

static void reload_changes_verdicts_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start_research(fixture);
    stage_write_config(fixture, "free-1", "research-1", "production: yes, commercial: no");
    reload(server, NOW);
    assert_int_equal(verdict_of(server, 1), VERDICT_BREACH);
    assert_int_equal(server_count_models(server, MODEL_SERVED), 2); /* it goes on being served */
    assert_int_equal(stage_logged(fixture, "level=error event=license_changed model=b"), 1);
    assert_int_equal(stage_logged(fixture, "verdict=breach before=met served=yes"), 1);
    assert_int_equal(stage_logged(fixture, "event=license_changed model=a"), 0);
    assert_int_equal(stage_logged(fixture, "models_changed=1"), 1);
    stage_write_config(fixture, "free-1", "research-1", "production: no, commercial: no");
    reload(server, NOW);
    assert_int_equal(verdict_of(server, 1), VERDICT_MET);
    server_stop(server);
    stage_expect_nothing_left();
}

static void reload_that_changes_nothing_keeps_the_rules(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start_research(fixture);
    const struct rules *rules = server->rules;
    for (uint32_t i = 0; i < 3; i++)
        reload(server, NOW);
    assert_ptr_equal(server->rules, rules);
    assert_int_equal(stage_logged(fixture, "event=reload_refused"), 0);
    assert_int_equal(stage_logged(fixture, "event=reloaded"), 3);
    server_stop(server);
}

static void bad_reload_is_refused_and_the_old_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start_research(fixture);
    const struct assessment *before = policy_model_assessment(server->models[1].policy);
    stage_write_config(fixture, "free-1", "research-1", "production: yes, domicile: Atlantis");
    reload(server, NOW);
    assert_int_equal(stage_logged(fixture, "level=error event=reload_refused"), 1);
    assert_true(stage_logged(fixture, "operator.domicile") > 0);
    stage_write_config(fixture, "free-1", "research-1", "production: yes");
    stage_write_file(fixture, "licenses/unreadable.yaml", "id: [\n");
    reload(server, NOW);
    assert_int_equal(stage_logged(fixture, "level=error event=reload_refused"), 2);
    assert_true(stage_logged(fixture, "unreadable.yaml:") > 0);
    assert_ptr_equal(policy_model_assessment(server->models[1].policy), before);
    server_stop(server);
}

static void reload_takes_up_changed_licences(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start_research(fixture);
    char path[128];
    stage_path(fixture, "licenses/research-1.yaml", path);
    assert_int_equal(unlink(path), 0);
    reload(server, NOW);
    assert_int_equal(verdict_of(server, 1), VERDICT_REVIEW); /* nobody knows it any more */
    server_stop(server);
}

static void refused_model_that_is_cleared_asks_for_a_restart(void **state)
{
    struct fixture *fixture = *state;
    stage_write_config(fixture, "free-1", "research-1", "production: yes");
    stage_read_config(fixture);
    struct server *server = stage_start(fixture);
    stage_write_config(fixture, "free-1", "research-1", "production: no, commercial: no");
    reload(server, NOW);
    assert_int_equal(server_count_models(server, MODEL_SERVED), 1);
    assert_int_equal(stage_logged(fixture, "served=no remedy=\"it is no more refused"), 1);
    server_stop(server);
}

static void first_of_the_month_weighs_once(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    int64_t now = NOW;
    server_watch(server, 1, now);
    assert_int_equal(stage_logged(fixture, "event=month_weighed"), 0);
    now += 32 * 86400;
    server_watch(server, 2, now);
    server_watch(server, 3, now + 1);
    assert_int_equal(stage_logged(fixture, "event=month_weighed"), 1);
    server_watch(server, 4, now + 32 * 86400);
    assert_int_equal(stage_logged(fixture, "event=month_weighed"), 2);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(breached_model_is_left_out),
        STAGE_TEST(acknowledged_breach_is_served),
        STAGE_TEST(server_without_a_model_left_does_not_start),
        STAGE_TEST(reload_changes_verdicts_and_says_so),
        STAGE_TEST(reload_that_changes_nothing_keeps_the_rules),
        STAGE_TEST(bad_reload_is_refused_and_the_old_goes_on),
        STAGE_TEST(reload_takes_up_changed_licences),
        STAGE_TEST(refused_model_that_is_cleared_asks_for_a_restart),
        STAGE_TEST(first_of_the_month_weighs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
