/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU behind its table: memory, and ops cut into tasks for more threads or fewer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/backend.h"
#include "tests/unit/kernels/random_values.h"

static struct backend *open_with(uint32_t threads)
{
    struct error err = {0};
    struct backend *backend =
        backend_open(&(struct backend_config){"cpu", threads, CPU_LEVEL_AUTO, NULL, KV_F16}, &err);
    if (backend == NULL)
        fail_msg("%s", err.text);
    return backend;
}

static void an_unknown_device_is_refused_by_name(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(
        backend_open(&(struct backend_config){"tpu", 1, CPU_LEVEL_AUTO, NULL, KV_F16}, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "'tpu'"));
    backend_close(NULL);
}

static void memory_is_zeroed_aligned_and_copied(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 64, 1000, 1 << 20, (5 << 20) + 3};
    struct backend *backend = open_with(1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t bytes = sizes[i];
        unsigned char *host = malloc(bytes), *device;
        device = backend->ops->memory_alloc(backend, bytes, NULL);
        assert_non_null(device);
        assert_int_equal((uintptr_t)device % 64, 0);
        memset(host, 1, bytes);
        backend->ops->copy_from_device(backend, host, device, bytes);
        for (size_t at = 0; at < bytes; at++)
            assert_int_equal(host[at], 0);
        memset(host, 0xa5, bytes);
        backend->ops->copy_to_device(backend, device, host, bytes);
        assert_memory_equal(device, host, bytes);
        backend->ops->memory_free(backend, device);
        free(host);
    }
    backend->ops->memory_free(backend, NULL);
    struct error err = {0};
    assert_null(backend->ops->memory_alloc(backend, SIZE_MAX - 8, &err));
    assert_int_equal(err.code, ERROR_NO_MEMORY);
    assert_null(backend->ops->memory_alloc(backend, SIZE_MAX / 4, &err));
    assert_int_equal(err.code, ERROR_NO_MEMORY);
    assert_int_equal(backend->ops->synchronize(backend, &err), 0);
    backend_close(backend);
}

static void a_context_past_exact_positions_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    struct backend *backend = open_with(1);
    struct reserve_args args = {
        .rows_max = 4, .spans_max = 4, .columns_max = 64, .context_max = (1u << 24) + 1};
    assert_int_equal(backend->ops->reserve(backend, &args, &err), ERROR_UNSUPPORTED);
    args.context_max = 1u << 24;
    assert_int_equal(backend->ops->reserve(backend, &args, &err), 0);
    backend_close(backend);
}

/* Everything a layer does between its matrices, on `rows` rows of two sequences. */
enum { HEADS = 6, KV_HEADS = 2, DIM = 64, WIDTH = HEADS * DIM, PAIR = KV_HEADS * DIM, ROWS = 300 };

static void run_ops(struct backend *backend, float *out)
{
    const struct backend_ops *ops = backend->ops;
    float *x = random_floats(ROWS * WIDTH, 1, 1), *delta = random_floats(ROWS * WIDTH, 1, 2);
    float *gain = random_floats(WIDTH, 1, 3), *q = random_floats(ROWS * WIDTH, 1, 4);
    float *k = random_floats(ROWS * PAIR, 1, 5), *v = random_floats(ROWS * PAIR, 1, 6);
    float *attended = random_floats(ROWS * WIDTH, 1, 7);
    float *frequencies = random_floats(DIM / 2, 1, 8);
    uint32_t positions[ROWS], table[64];
    const struct attention_span spans[] = {{0, 1, 100, 0}, {1, ROWS - 1, 0, 32}};
    for (uint32_t i = 0; i < 64; i++)
        table[i] = 63 - i;
    for (uint32_t i = 0; i < ROWS; i++)
        positions[i] = i == 0 ? 100 : i - 1;
    void *cache = ops->memory_alloc(backend, 64 * 2 * PAIR * KV_BLOCK_TOKENS * 2, NULL);
    assert_non_null(cache);

    ops->rms_norm(backend, &(struct rms_norm_args){x, delta, gain, 1e-5f, ROWS, WIDTH, q});
    ops->rope(backend, &(struct rope_args){q, ROWS, HEADS, DIM, DIM, ROPE_NORM, frequencies,
                                           positions, 1.0f});
    ops->kv_write(backend,
                  &(struct kv_write_args){k, v, cache, KV_HEADS, DIM, spans, 2, table, KV_F16});
    ops->attention(backend, &(struct attention_args){q, cache, HEADS, KV_HEADS, DIM, 0.125f, 0, 0,
                                                     spans, 2, table, attended, NULL, KV_F16});
    ops->add(backend, &(struct add_args){x, attended, ROWS * WIDTH});
    ops->gated(backend, &(struct gated_args){x, attended, ROWS * WIDTH, ACTIVATION_SILU, x});
    ops->gather(backend, &(struct gather_args){x, (uint32_t[]){299, 0, 299}, 3, WIDTH, out});
    memcpy(out + 3 * WIDTH, x, ROWS * WIDTH * sizeof *x);

    ops->memory_free(backend, cache);
    free(x), free(delta), free(gain), free(q), free(k), free(v), free(attended), free(frequencies);
}

static void results_do_not_know_how_many_threads_there_were(void **state)
{
    (void)state;
    static float one[(ROWS + 3) * WIDTH], other[(ROWS + 3) * WIDTH];
    struct backend *backend = open_with(1);
    run_ops(backend, one);
    backend_close(backend);
    assert_memory_equal(one, one + (3 + 299) * WIDTH, WIDTH * sizeof *one);
    assert_memory_equal(one + WIDTH, one + 3 * WIDTH, WIDTH * sizeof *one);
    for (uint32_t i = 0; i < (ROWS + 3) * WIDTH; i++)
        assert_true(isfinite(one[i]));
    for (uint32_t threads = 2; threads < 6; threads++) {
        backend = open_with(threads);
        run_ops(backend, other);
        backend_close(backend);
        assert_memory_equal(one, other, sizeof one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_device_is_refused_by_name),
        cmocka_unit_test(memory_is_zeroed_aligned_and_copied),
        cmocka_unit_test(a_context_past_exact_positions_is_refused),
        cmocka_unit_test(results_do_not_know_how_many_threads_there_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
