/* SPDX-License-Identifier: Apache-2.0 */
/* experts.c -- routing and its products, in the order of the figure:
 *
 *     x --+-> router -> the top_k highest, weights by softmax ------------------+
 *         +-> each one's gate, up -> silu(gate) * up -> down -> weighed sum <---+--> + --> out
 *         +-> shared gate, up -> silu(gate) * up -> down -> * logistic(x . shared router) --+
 *
 * Between the two grouped products rows lie by place, an expert's together; the weighed sum brings
 * them back, in each row's own order of its experts, so company does not show in a bit. */
#include "models/arch/experts.h"

#include <stddef.h>
#include <string.h>

#define GATING_SOFTMAX 1u /* of the key expert_gating_func */

/* -- the forward pass -- */

/* What moe_route() says of a step's rows. */
struct routes {
    float *weights;
    uint32_t *chosen, *order, *places;
};

static struct routes routes_of(const struct experts *experts, uint32_t rows)
{
    const size_t entries = (size_t)rows * experts->top_k;
    uint32_t *numbers = (uint32_t *)experts->routes + entries;
    return (struct routes){experts->routes, numbers, numbers + entries, numbers + 2 * entries};
}

static void route(struct experts *experts, const struct experts_layer *layer,
                  struct backend *backend, const float *x, uint32_t rows)
{
    const struct routes routes = routes_of(experts, rows);
    backend->ops->linear(backend, &(struct linear_args){.x = x,
                                                        .rows = rows,
                                                        .weight_count = 1,
                                                        .weights = {layer->router},
                                                        .outs = {experts->scores}});
    backend->ops->moe_route(backend, &(struct moe_route_args){.scores = experts->scores,
                                                              .rows = rows,
                                                              .experts = experts->count,
                                                              .top_k = experts->top_k,
                                                              .renormalise = experts->renormalise,
                                                              .scale = experts->scale,
                                                              .chosen = routes.chosen,
                                                              .weights = routes.weights,
                                                              .expert_begins = experts->begins,
                                                              .order = routes.order,
                                                              .places = routes.places});
}

static void silu_gate(struct backend *backend, float *gate, const float *up, uint64_t count)
{
    backend->ops->gated(
        backend,
        &(struct gated_args){
            .gate = gate, .up = up, .count = count, .activation = ACTIVATION_SILU, .out = gate});
}

/* said: [rows * top_k, width], by place */
static void ask_chosen(struct experts *experts, const struct experts_layer *layer,
                       struct backend *backend, const float *x, uint32_t rows)
{
    struct moe_linear_args args = {
        .x = x,
        .rows = rows,
        .experts = experts->count,
        .top_k = experts->top_k,
        .expert_begins = experts->begins,
        .order = routes_of(experts, rows).order,
        .weight_count = 2,
        .weights = {layer->gate, layer->up},
        .outs = {experts->gate, experts->up}, /* [rows * top_k, hidden] */
    };
    backend->ops->moe_linear(backend, &args);
    silu_gate(backend, experts->gate, experts->up,
              (uint64_t)rows * experts->top_k * experts->hidden);
    args.x = experts->gate;
    args.by_place = true;
    args.weight_count = 1;
    args.weights[0] = layer->down;
    args.outs[0] = experts->said;
    backend->ops->moe_linear(backend, &args);
}

/* shared: [rows, width], shared_scores: [rows] */
static void ask_shared(struct experts *experts, const struct experts_layer *layer,
                       struct backend *backend, const float *x, uint32_t rows)
{
    struct linear_args args = {
        .x = x,
        .rows = rows,
        .weight_count = 3,
        .weights = {layer->shared_gate, layer->shared_up, layer->shared_router},
        .outs = {experts->shared_gate, experts->shared_up, experts->shared_scores},
    };
    backend->ops->linear(backend, &args);
    silu_gate(backend, experts->shared_gate, experts->shared_up,
              (uint64_t)rows * experts->shared_hidden);
    args.x = experts->shared_gate;
    args.weight_count = 1;
    args.weights[0] = layer->shared_down;
    args.outs[0] = experts->shared;
    backend->ops->linear(backend, &args);
}

void experts_forward(struct experts *experts, const struct experts_layer *layer,
                     struct backend *backend, const float *x, uint32_t rows, float *out)
{
    const bool shared = experts->shared_hidden > 0;
    route(experts, layer, backend, x, rows);
    ask_chosen(experts, layer, backend, x, rows);
    if (shared)
        ask_shared(experts, layer, backend, x, rows);
    const struct routes routes = routes_of(experts, rows);
    backend->ops->moe_combine(
        backend, &(struct moe_combine_args){.x = experts->said,
                                            .places = routes.places,
                                            .weights = routes.weights,
                                            .rows = rows,
                                            .top_k = experts->top_k,
                                            .width = experts->width,
                                            .shared = shared ? experts->shared : NULL,
                                            .shared_scores = shared ? experts->shared_scores : NULL,
                                            .out = out});
}

void experts_list_activations(struct experts *experts,
                              struct arch_activation ret[EXPERTS_ACTIVATIONS])
{
    const uint32_t top_k = experts->top_k;
    const bool shared = experts->shared_hidden > 0;
    const struct arch_activation list[EXPERTS_ACTIVATIONS] = {
        {&experts->scores, false, experts->count},
        {&experts->routes, false, 4 * top_k},
        {&experts->gate, false, top_k * experts->hidden},
        {&experts->up, false, top_k * experts->hidden},
        {&experts->said, false, top_k * experts->width},
        {&experts->shared_gate, false, experts->shared_hidden},
        {&experts->shared_up, false, experts->shared_hidden},
        {&experts->shared, false, shared ? experts->width : 0},
        {&experts->shared_scores, false, shared ? 1 : 0},
    };
    memcpy(ret, list, sizeof list);
}

/* -- loading -- */

/* How many, and how a score becomes a weight. */
static int read_routing(const struct arch_loader *loader, const struct experts_family *family,
                        struct experts *ret, struct error *err)
{
    uint32_t gating = GATING_SOFTMAX, groups = 1;
    ret->renormalise = family->renormalise;
    ret->scale = 1.0f;
    int code;
    if ((code = arch_read_u32(loader, "expert_used_count", 1,
                              ret->count < MOE_CHOSEN_MAX ? ret->count : MOE_CHOSEN_MAX,
                              &ret->top_k, err)) != 0 ||
        (code = arch_read_optional_float(loader, "expert_weights_scale", &ret->scale, err)) != 0 ||
        (code = arch_read_optional_u32(loader, "expert_gating_func", 0, UINT32_MAX, &gating,
                                       err)) != 0 ||
        (code = arch_read_optional_u32(loader, "expert_group_count", 0, UINT32_MAX, &groups,
                                       err)) != 0)
        return code;
    arch_read_optional_bool(loader, "expert_weights_norm", &ret->renormalise);
    if (gating > GATING_SOFTMAX)
        return error_set(err, ERROR_UNSUPPORTED,
                         "key '%s.expert_gating_func' is %u: 1, the softmax, is implemented",
                         loader->prefix, gating);
    if (groups > 1)
        return error_set(err, ERROR_UNSUPPORTED,
                         "key '%s.expert_group_count' is %u: experts in one group are implemented",
                         loader->prefix, groups);
    return 0;
}

int experts_read(const struct arch_loader *loader, const struct experts_family *family,
                 uint32_t width, uint32_t feed_forward, struct experts *ret, struct error *err)
{
    int code = 0;
    if (family->presence == EXPERTS_ALWAYS)
        code = arch_read_u32(loader, "expert_count", 1, MOE_EXPERTS_MAX, &ret->count, err);
    else if (family->presence == EXPERTS_BY_FILE)
        code = arch_read_optional_u32(loader, "expert_count", 0, MOE_EXPERTS_MAX, &ret->count, err);
    if (code != 0 || ret->count == 0)
        return code;
    ret->width = width;
    if ((code = read_routing(loader, family, ret, err)) != 0)
        return code;
    ret->hidden = family->hidden_is_cut ? feed_forward / ret->top_k : feed_forward;
    if ((code = arch_read_optional_u32(loader, "expert_feed_forward_length", 1, ARCH_WIDTH_MAX,
                                       &ret->hidden, err)) != 0)
        return code;
    if (ret->hidden == 0)
        return error_set(err, ERROR_INVALID, "key '%s.expert_feed_forward_length' is missing",
                         loader->prefix);
    if (!family->shared)
        return 0;
    ret->shared_hidden = feed_forward;
    return arch_read_optional_u32(loader, "expert_shared_feed_forward_length", 1, ARCH_WIDTH_MAX,
                                  &ret->shared_hidden, err);
}

bool experts_load(struct experts *experts, struct arch_loader *loader, struct error *err)
{
    experts->begins = (uint32_t *)arch_activations(loader->backend, 1, experts->count + 1, err);
    return experts->begins != NULL;
}

bool experts_load_layer(const struct experts *experts, struct arch_loader *loader, uint32_t layer,
                        struct experts_layer *ret, struct error *err)
{
    const uint32_t width = experts->width, hidden = experts->hidden, count = experts->count;
    const uint32_t shared = experts->shared_hidden;
    const struct {
        const char *name;
        uint32_t shape[3]; /* columns, rows, matrices */
        struct weight **to;
    } matrices[] = {
        {"ffn_gate_inp.weight", {width, count, 1}, &ret->router},
        {"ffn_gate_exps.weight", {width, hidden, count}, &ret->gate},
        {"ffn_up_exps.weight", {width, hidden, count}, &ret->up},
        {"ffn_down_exps.weight", {hidden, width, count}, &ret->down},
        {ARCH_SHARED_ROUTER, {width, 1, 1}, &ret->shared_router},
        {"ffn_gate_shexp.weight", {width, shared, 1}, &ret->shared_gate},
        {"ffn_up_shexp.weight", {width, shared, 1}, &ret->shared_up},
        {"ffn_down_shexp.weight", {shared, width, 1}, &ret->shared_down},
    };
    const size_t wanted = shared > 0 ? 8 : 4;
    for (size_t i = 0; i < wanted; i++) {
        *matrices[i].to = arch_matrices(loader, layer, matrices[i].name, matrices[i].shape, err);
        if (*matrices[i].to == NULL)
            return false;
    }
    return true;
}

void experts_destroy(struct experts *experts, struct backend *backend)
{
    backend->ops->memory_free(backend, experts->begins);
}

#define LAYER_WEIGHTS 8

static void list_weights(const struct experts_layer *layer, struct weight *ret[LAYER_WEIGHTS])
{
    struct weight *const list[LAYER_WEIGHTS] = {
        layer->router,        layer->gate,        layer->up,        layer->down,
        layer->shared_router, layer->shared_gate, layer->shared_up, layer->shared_down};
    memcpy(ret, list, sizeof list);
}

void experts_destroy_layer(struct experts_layer *layer, struct backend *backend)
{
    struct weight *weights[LAYER_WEIGHTS];
    list_weights(layer, weights);
    for (size_t i = 0; i < LAYER_WEIGHTS; i++)
        backend->ops->weight_free(backend, weights[i]);
}

size_t experts_layer_bytes(const struct experts_layer *layer, const struct backend *backend)
{
    struct weight *weights[LAYER_WEIGHTS];
    size_t bytes = 0;
    list_weights(layer, weights);
    for (size_t i = 0; i < LAYER_WEIGHTS; i++)
        if (weights[i] != NULL)
            bytes += backend->ops->weight_bytes(weights[i]);
    return bytes;
}
