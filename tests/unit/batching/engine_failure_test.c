/* SPDX-License-Identifier: Apache-2.0 */
/* A device that fails: in a step, in its numbers, for good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "tests/unit/batching/client.h"
#include "tests/unit/batching/fake_model.h"

static void failed_step_ends_its_sequences_and_the_engine_goes_on(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.prefix_cache = true});
    struct collected *got = client_collected_new(3);
    fake_model_fail_next(client.model, 1);
    struct generation_request request = client_request(1, 50, 20);
    assert_int_equal(client_submit(&client, &request, &got[0]), 0);
    client_await(&client, &got[0]);
    assert_int_equal(got[0].choices[0].finish, FINISH_ERROR);
    fake_model_give_nan_next(client.model, 1);
    request = client_request(1, 50, 20);
    assert_int_equal(client_submit(&client, &request, &got[1]), 0);
    client_await(&client, &got[1]);
    assert_int_equal(got[1].choices[0].finish, FINISH_NAN);
    request = client_request(1, 50, 20);
    assert_int_equal(client_submit(&client, &request, &got[2]), 0);
    client_await(&client, &got[2]);
    assert_int_equal(got[2].choices[0].finish, FINISH_LENGTH);
    client_expect_greedy(&got[2], 0, 1);
    client_stop(&client);
    free(got);
}

static void lost_device_ends_everything_and_takes_nothing_more(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.max_sequences = 2});
    struct collected *got = client_collected_new(4);
    struct error err = {0};
    fake_model_hold(client.model);
    for (uint32_t i = 0; i < 4; i++) { /* two run, two wait */
        struct generation_request request = client_request(1 + i, 20, 50);
        assert_int_equal(client_submit(&client, &request, &got[i]), 0);
    }
    fake_model_await_step(client.model);
    assert_null(engine_failure(client.engine));
    fake_model_release(client.model, 2);
    fake_model_await_step(client.model);
    fake_model_lose_next(client.model);
    fake_model_run_freely(client.model);
    for (uint32_t i = 0; i < 4; i++) {
        client_await(&client, &got[i]);
        assert_int_equal(got[i].choices[0].finish, FINISH_LOST);
    }
    assert_string_equal(engine_failure(client.engine)->text, "device lost for good");
    assert_int_equal(engine_admission(client.engine, 0, NULL, &err), ERROR_CLOSED);
    struct engine_stats stats;
    engine_stats(client.engine, &stats);
    assert_int_equal(stats.steps_failed, 1);
    assert_int_equal(stats.kv.referenced_count, 0);
    client_stop(&client);
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_step_ends_its_sequences_and_the_engine_goes_on),
        cmocka_unit_test(lost_device_ends_everything_and_takes_nothing_more),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    setenv("FAKE_MODEL_DRAWS", "1", 1);
    return failed + cmocka_run_group_tests_name("on a device that draws", tests, NULL, NULL);
}
