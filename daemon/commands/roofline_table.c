/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_table.c -- the answer to `weir bench --roofline`, for people and for programs. */
#include "daemon/commands/cell.h"
#include "daemon/commands/roofline_run.h"

#include <inttypes.h>
#include <string.h>

#define NAME_COLUMNS 64u
#define MEGA         1e6

/* -- for people -- */

static void write_head(const struct roofline_request *request, const struct roofline_answer *answer,
                       struct text *out)
{
    const struct gpu *gpu = request->gpu;
    const struct model_shape *shape = &answer->shape;
    const char *name = answer->name[0] != '\0' ? answer->name : request->path;
    char parameters[CELL_NUMBER_BYTES], weights[CELL_NUMBER_BYTES], cache[CELL_NUMBER_BYTES];
    const size_t name_bytes = strlen(name);
    cell_number((double)shape->parameters, parameters);
    cell_bytes((double)answer->weight_bytes, weights);
    cell_bytes((double)shape->kv_block_bytes / KV_BLOCK_TOKENS, cache);
    text_append_string(out, "model  ");
    cell_name(out, name, name_bytes < NAME_COLUMNS ? (uint32_t)name_bytes : NAME_COLUMNS);
    text_append_format(out,
                       "\n       %s, %u layers of %u, %u heads of %u on %u KV heads; %s weights in "
                       "%s, %s of cache a token\n",
                       answer->architecture, shape->layers, shape->width, shape->heads,
                       shape->head_dim, shape->kv_heads, parameters, weights, cache);
    text_append_format(out,
                       "GPU    %s: %g GB, %g GB/s, %u SMs; %g Tops of 8 bits, %g Tflops of 16, "
                       "%g of 32\n       (%s)\n",
                       gpu->full_name, gpu->memory_gb, gpu->memory_gb_s, gpu->sm_count,
                       gpu->int8_tops, gpu->half_tflops, gpu->float_tflops, gpu->source);
}

static void write_title(const struct roofline_case *of, struct text *out)
{
    if (of->prefill)
        text_append_format(out, "\nprefill of a prompt of %" PRIu32 "\n", of->tokens);
    else
        text_append_format(out, "\ndecode of %" PRIu32 ", context %" PRIu32 "\n", of->sequences,
                           of->tokens);
}

static void write_kernel(const struct roofline_request *request, const struct roofline_case *of,
                         const struct roofline_kernel *kernel, struct text *out)
{
    const char *bound;
    const double us = roofline_us(request, of, kernel, &bound);
    text_append_format(out, "  %-18s %8" PRIu64 " %11.2f %11.2f %12.1f %12.1f %11.1f %5.1f%%  %s\n",
                       kernel->name, kernel->launches, (double)kernel->read_bytes / MEGA,
                       (double)(kernel->written_bytes + kernel->bus_bytes) / MEGA,
                       (double)(kernel->int8_ops + kernel->half_ops) / MEGA,
                       (double)kernel->float_ops / MEGA, us, 100 * us / of->us, bound);
}

static void write_case(const struct roofline_request *request, const struct roofline_case *of,
                       struct text *out)
{
    write_title(of, out);
    text_append_format(out, "  %-18s %8s %11s %11s %12s %12s %11s %6s  %s\n", "kernel", "launches",
                       "MB read", "MB written", "M tensor ops", "M other ops", "us", "share",
                       "bound by");
    for (uint32_t i = 0; i < of->kernel_count; i++)
        write_kernel(request, of, &of->kernels[i], out);
}

static void write_summary(const struct roofline_request *request,
                          const struct roofline_answer *answer, struct text *out)
{
    text_append_format(out, "\n%-8s %9s %8s %12s %14s  %s\n", "at most", "sequences", "tokens",
                       "ms", "tokens/s", "weights and cache");
    for (uint32_t i = 0; i < answer->case_count; i++) {
        const struct roofline_case *of = &answer->cases[i];
        char memory[CELL_NUMBER_BYTES];
        cell_bytes((double)of->memory_bytes, memory);
        text_append_format(out, "%-8s %9" PRIu32 " %8" PRIu32 " %12.3f %14.0f  %s%s\n",
                           of->prefill ? "prefill" : "decode", of->sequences, of->tokens,
                           of->us / 1e3, of->tokens_per_second, memory,
                           of->fits ? "" : ": more than the GPU has");
    }
    text_append_format(
        out,
        "\nNo GPU was asked. %g us a launch are added, in a graph half; what is assumed "
        "besides: weir bench --help\n",
        request->launch_us);
}

void roofline_write_table(const struct roofline_request *request,
                          const struct roofline_answer *answer, struct text *out)
{
    write_head(request, answer, out);
    for (uint32_t i = 0; i < answer->case_count; i++)
        write_case(request, &answer->cases[i], out);
    write_summary(request, answer, out);
}

/* -- for programs -- */

static void put_string(struct text *out, const char *key, const char *value)
{
    text_append_format(out, "\"%s\": ", key);
    text_append_json(out, value, strlen(value));
    text_append_string(out, ", ");
}

static void put_u64(struct text *out, const char *key, uint64_t value)
{
    text_append_format(out, "\"%s\": %" PRIu64 ", ", key, value);
}

/* The last member of its object. */
static void put_double_end(struct text *out, const char *key, double value)
{
    text_append_format(out, "\"%s\": ", key);
    text_append_json_double(out, value);
    text_append_char(out, '}');
}

static void put_double(struct text *out, const char *key, double value)
{
    text_append_format(out, "\"%s\": ", key);
    text_append_json_double(out, value);
    text_append_string(out, ", ");
}

static void put_kernel(const struct roofline_request *request, const struct roofline_case *of,
                       const struct roofline_kernel *kernel, struct text *out)
{
    const char *bound;
    const double us = roofline_us(request, of, kernel, &bound);
    text_append_char(out, '{');
    put_string(out, "name", kernel->name);
    put_u64(out, "launches", kernel->launches);
    put_u64(out, "read_bytes", kernel->read_bytes);
    put_u64(out, "written_bytes", kernel->written_bytes);
    put_u64(out, "bus_bytes", kernel->bus_bytes);
    put_u64(out, "int8_ops", kernel->int8_ops);
    put_u64(out, "half_ops", kernel->half_ops);
    put_u64(out, "float_ops", kernel->float_ops);
    put_string(out, "bound_by", bound);
    put_double_end(out, "us", us);
}

static void put_case(const struct roofline_request *request, const struct roofline_case *of,
                     struct text *out)
{
    text_append_string(out, "{\"kernels\": [");
    for (uint32_t i = 0; i < of->kernel_count; i++) {
        text_append_string(out, i == 0 ? "" : ", ");
        put_kernel(request, of, &of->kernels[i], out);
    }
    text_append_string(out, "], ");
    put_string(out, "kind", of->prefill ? "prefill" : "decode");
    put_u64(out, "sequences", of->sequences);
    put_u64(out, "tokens", of->tokens);
    put_u64(out, "memory_bytes", of->memory_bytes);
    text_append_format(out, "\"fits\": %s, ", of->fits ? "true" : "false");
    put_double(out, "us", of->us);
    put_double_end(out, "tokens_per_second", of->tokens_per_second);
}

static void put_gpu(const struct gpu *gpu, struct text *out)
{
    text_append_string(out, "\"gpu\": {");
    put_string(out, "id", gpu->name);
    put_string(out, "name", gpu->full_name);
    put_string(out, "source", gpu->source);
    put_double(out, "memory_gb", gpu->memory_gb);
    put_double(out, "memory_gb_s", gpu->memory_gb_s);
    put_double(out, "int8_tops", gpu->int8_tops);
    put_double(out, "half_tflops", gpu->half_tflops);
    put_double(out, "float_tflops", gpu->float_tflops);
    put_double(out, "bus_gb_s", gpu->bus_gb_s);
    put_double(out, "l2_mb", gpu->l2_mb);
    put_double_end(out, "sm_count", gpu->sm_count);
    text_append_string(out, ", ");
}

void roofline_write_json(const struct roofline_request *request,
                         const struct roofline_answer *answer, struct text *out)
{
    text_append_char(out, '{');
    put_string(out, "model", request->path);
    put_string(out, "name", answer->name);
    put_string(out, "architecture", answer->architecture);
    put_u64(out, "parameters", answer->shape.parameters);
    put_u64(out, "weight_bytes", answer->weight_bytes);
    put_u64(out, "cache_bytes_a_token", answer->shape.kv_block_bytes / KV_BLOCK_TOKENS);
    put_gpu(request->gpu, out);
    text_append_string(out, "\"cases\": [");
    for (uint32_t i = 0; i < answer->case_count; i++) {
        text_append_string(out, i == 0 ? "" : ", ");
        put_case(request, &answer->cases[i], out);
    }
    text_append_string(out, "], ");
    put_u64(out, "step_tokens", request->step_tokens);
    put_double_end(out, "launch_us", request->launch_us);
    text_append_char(out, '\n');
}
