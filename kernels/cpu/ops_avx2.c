/* SPDX-License-Identifier: Apache-2.0 */
/* ops_avx2.c -- every op over two AVX registers a lanes value. */
#include "kernels/cpu/lanes_avx2.h"

#include "kernels/cpu/attention_body.h"
#include "kernels/cpu/kv_body.h"
#include "kernels/cpu/moe_body.h"
#include "kernels/cpu/ops_body.h"

const struct cpu_ops cpu_ops_avx2 = {
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rope = rope,
    .kv_write = kv_write,
    .attend = attend,
    .add = add,
    .gated = gated,
    .moe_route = moe_route,
    .moe_combine = moe_combine,
};
