/* SPDX-License-Identifier: Apache-2.0 */
/* Which device a model gets, and what the log says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/server/stage.h"

#define GIB (UINT64_C(1) << 30)

static void ask_for(struct fixture *fixture, const char *device)
{
    free(fixture->config->device);
    fixture->config->device = strdup(device);
    assert_non_null(fixture->config->device);
}

static struct device_room gpu_of(uint64_t total_gib, uint64_t free_gib)
{
    return (struct device_room){"GPU of a stage", total_gib * GIB, free_gib * GIB};
}

static void without_a_gpu_auto_serves_on_the_cpu_and_says_why(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    assert_int_equal(
        stage_logged(fixture, "event=no_gpu model=a device=double reason=\"no GPU on this stage\""),
        1);
    assert_int_equal(stage_logged(fixture, "event=device_memory"), 0);
    server_stop(server);
    stage_expect_nothing_left();
}

static void cuda_without_a_gpu_does_not_start(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    ask_for(fixture, "cuda");
    assert_null(server_start(fixture->config, fixture->log, &err));
    assert_string_equal(err.text, "model 'a': engine.device 'cuda': no GPU on this stage");
    stage_expect_nothing_left();
}

static void cpu_does_not_look_for_a_gpu(void **state)
{
    struct fixture *fixture = *state;
    stage.gpu = gpu_of(24, 24);
    ask_for(fixture, "cpu");
    server_stop(stage_start(fixture));
    assert_int_equal(stage_logged(fixture, "event=no_gpu"), 0);
    assert_int_equal(stage_logged(fixture, "device=double"), MODELS);
    stage_expect_nothing_left();
}

static void a_gpu_with_room_serves_and_the_log_has_the_table(void **state)
{
    struct fixture *fixture = *state;
    stage.gpu = gpu_of(24, 24);
    stage.gpu_weight_bytes = GIB;
    server_stop(stage_start(fixture));
    assert_int_equal(stage_logged(fixture, "device=gpu-double"), MODELS);
    assert_int_equal(stage_logged(fixture, "event=device_memory model=a device=\"GPU of a stage\""),
                     1);
    assert_int_equal(stage_logged(fixture, "weight_bytes=1073741824 step_bytes=512"), MODELS);
    assert_int_equal(stage.engine.context, 2048);
    /* 64 sequences of the whole context are less than what is free. */
    assert_true(stage.engine.kv_memory_bytes == UINT64_C(64) * 2048 / 16 * 4096);
    stage_expect_nothing_left();
}

static void a_model_too_large_for_the_gpu_is_told_in_numbers(void **state)
{
    struct fixture *fixture = *state;
    stage.gpu = gpu_of(24, 20);
    stage.gpu_weight_bytes = 30 * GIB;
    server_stop(stage_start(fixture)); /* auto: the CPU takes it */
    assert_int_equal(stage_logged(fixture, "event=no_gpu model=a device=double"), 1);
    assert_int_equal(stage_logged(fixture, "'GPU of a stage' has 24576 MiB, 20480 free"), MODELS);
    assert_int_equal(stage_logged(fixture, "30720 for weights"), MODELS);
    struct error err = {0};
    ask_for(fixture, "cuda");
    assert_null(server_start(fixture->config, fixture->log, &err));
    assert_int_equal(err.code, ERROR_NO_MEMORY);
    assert_non_null(strstr(err.text, "30720 for weights"));
    stage_expect_nothing_left();
}

static void failure_of_any_step_on_a_gpu_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    ask_for(fixture, "cuda");
    for (uint32_t fail_at = 1, started = 0; started == 0; fail_at++) {
        memset(&stage, 0, sizeof stage);
        stage.gpu = gpu_of(24, 24);
        stage.fail_at = fail_at;
        struct error err = {0};
        struct server *server = server_start(fixture->config, fixture->log, &err);
        started = server != NULL;
        if (server == NULL)
            assert_non_null(strstr(err.text, "failed"));
        server_stop(server);
        stage_expect_nothing_left();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(without_a_gpu_auto_serves_on_the_cpu_and_says_why),
        STAGE_TEST(cuda_without_a_gpu_does_not_start),
        STAGE_TEST(cpu_does_not_look_for_a_gpu),
        STAGE_TEST(a_gpu_with_room_serves_and_the_log_has_the_table),
        STAGE_TEST(a_model_too_large_for_the_gpu_is_told_in_numbers),
        STAGE_TEST(failure_of_any_step_on_a_gpu_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
