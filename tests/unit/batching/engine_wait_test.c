/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine says of waiting: one that has measured itself, held in the middle of a step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "batching/engine.h"
#include "tests/unit/batching/client.h"
#include "tests/unit/batching/fake_model.h"

#define CLASS  7
#define FAR    1000000
#define PROMPT 33u

static void submit(struct client *client, struct collected *one, int32_t priority)
{
    struct generation_request request = client_request(1, PROMPT, 60);
    request.priority = priority;
    assert_int_equal(client_submit(client, &request, one), 0);
}

/* One ran to its end, so times are known; another is held in a step, and the queue is empty. */
static void start(struct client *client, struct collected *got, struct engine_config config)
{
    client_start(client, config);
    assert_int_equal(engine_wait_us(client->engine, 0), 0); /* nothing is known */
    submit(client, &got[0], 0);
    client_await(client, &got[0]);
    fake_model_hold(client->model);
    submit(client, &got[1], 0);
    fake_model_await_step(client->model);
}

static void stop(struct client *client, struct collected *got)
{
    client_stop(client);
    free(got);
}

static void only_the_same_and_better_classes_are_ahead(void **state)
{
    (void)state;
    struct client client;
    struct collected *got = calloc(6, sizeof *got);
    assert_non_null(got);
    start(&client, got, (struct engine_config){.max_sequences = 1});
    uint64_t turn_us = engine_wait_us(client.engine, 0);
    assert_true(turn_us > 0); /* whoever runs must end */
    for (uint32_t i = 2; i < 5; i++)
        submit(&client, &got[i], CLASS);
    assert_int_equal(engine_wait_us(client.engine, -CLASS), turn_us);
    assert_int_equal(engine_wait_us(client.engine, 0), turn_us);
    assert_true(engine_wait_us(client.engine, CLASS) >= 4 * turn_us);
    assert_true(engine_wait_us(client.engine, FAR) >= 4 * turn_us);
    submit(&client, &got[5], -CLASS);
    assert_true(engine_wait_us(client.engine, -CLASS) >= 2 * turn_us);
    assert_true(engine_wait_us(client.engine, 0) >= 2 * turn_us);
    assert_true(engine_wait_us(client.engine, CLASS) >= 5 * turn_us);
    fake_model_run_freely(client.model);
    for (uint32_t i = 1; i < 6; i++)
        client_await(&client, &got[i]);
    stop(&client, got);
}

static void who_is_cancelled_in_the_queue_is_ahead_of_nobody(void **state)
{
    (void)state;
    struct client client;
    struct collected *got = calloc(4, sizeof *got);
    assert_non_null(got);
    start(&client, got, (struct engine_config){.max_sequences = 1});
    uint64_t turn_us = engine_wait_us(client.engine, FAR);
    submit(&client, &got[2], CLASS);
    submit(&client, &got[3], 0);
    assert_true(engine_wait_us(client.engine, FAR) >= 3 * turn_us);
    engine_cancel(client.engine, got[2].id);
    engine_cancel(client.engine, got[3].id);
    fake_model_release(client.model, 1); /* the cancellations are taken before the next step */
    client_await(&client, &got[2]);
    client_await(&client, &got[3]);
    fake_model_await_step(client.model);
    turn_us = engine_wait_us(client.engine, -FAR);
    assert_int_equal(engine_wait_us(client.engine, FAR), turn_us);
    fake_model_run_freely(client.model);
    client_await(&client, &got[1]);
    stop(&client, got);
}

static void who_finds_a_seat_does_not_wait(void **state)
{
    (void)state;
    struct client client;
    struct collected *got = calloc(2, sizeof *got);
    assert_non_null(got);
    start(&client, got, (struct engine_config){.max_sequences = 2});
    assert_int_equal(engine_wait_us(client.engine, FAR), 0);
    fake_model_run_freely(client.model);
    client_await(&client, &got[1]);
    stop(&client, got);
}

/* Seats are free, but no blocks: those that run are as many as can. */
static void without_blocks_somebody_has_to_end(void **state)
{
    (void)state;
    struct client client;
    struct collected *got = calloc(3, sizeof *got);
    assert_non_null(got);
    const struct engine_config small = {.context = 96, .kv_blocks = 6, .max_sequences = 8};
    start(&client, got, small);
    assert_int_equal(engine_wait_us(client.engine, 0), 0);
    fake_model_release(client.model, 20);
    client_await_tokens(&client, &got[1], 20); /* it has four blocks of the six */
    fake_model_await_step(client.model);
    submit(&client, &got[2], 0); /* three, and one to go on: it stays in the queue */
    fake_model_release(client.model, 1);
    client_await_tokens(&client, &got[1], 21);
    fake_model_await_step(client.model);
    assert_int_equal(got[2].choices[0].count, 0);
    assert_true(engine_wait_us(client.engine, 0) > 0);
    fake_model_run_freely(client.model);
    client_await(&client, &got[1]);
    client_await(&client, &got[2]);
    stop(&client, got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_same_and_better_classes_are_ahead),
        cmocka_unit_test(who_is_cancelled_in_the_queue_is_ahead_of_nobody),
        cmocka_unit_test(who_finds_a_seat_does_not_wait),
        cmocka_unit_test(without_blocks_somebody_has_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
