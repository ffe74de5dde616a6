/* SPDX-License-Identifier: Apache-2.0 */
/* ops_scalar.c -- every op in plain C: what the vector versions must equal, bit for bit. */
#include "kernels/cpu/lanes_scalar.h"

#include "kernels/cpu/attention_body.h"
#include "kernels/cpu/kv_body.h"
#include "kernels/cpu/moe_body.h"
#include "kernels/cpu/ops_body.h"

const struct cpu_ops cpu_ops_scalar = {
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
