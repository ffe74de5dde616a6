/* SPDX-License-Identifier: Apache-2.0 */
/* experts.h -- a feed-forward block that is a mixture of experts: each row goes to a few of many
 * (Shazeer et al. 2017), and to one that all share, where the family has it.
 *
 * One `struct experts` a network: what its file says, and one step's activations, which layers use
 * in turn. One `struct experts_layer` a layer: weights. Engine thread only. */
#ifndef WEIR_MODELS_ARCH_EXPERTS_H
#define WEIR_MODELS_ARCH_EXPERTS_H

#include "models/arch/arch.h"

/* What differs between families. */
enum experts_presence { EXPERTS_NEVER, EXPERTS_BY_FILE, EXPERTS_ALWAYS };
struct experts_family {
    enum experts_presence presence;
    bool renormalise;   /* weights are of the softmax over the chosen alone */
    bool shared;        /* there is an expert for all rows, weighed by a score of its own */
    bool hidden_is_cut; /* without expert_feed_forward_length: feed_forward_length / top_k */
};

struct experts {
    /* fixed at load */
    uint32_t count; /* 0: the network has no mixture */
    uint32_t top_k;
    uint32_t width, hidden, shared_hidden; /* 0: no shared expert */
    bool renormalise;
    float scale;
    uint32_t *begins; /* device [count + 1]; of a step, but of no row's size */

    /* activations, device; one step's */
    float *scores;    /* [rows, count] */
    float *routes;    /* [4 * rows * top_k]: weights; then, as numbers, chosen, order, places */
    float *gate, *up; /* [rows * top_k, hidden], by place */
    float *said;      /* [rows * top_k, width], by place */
    float *shared_gate, *shared_up; /* [rows, shared_hidden] */
    float *shared;                  /* [rows, width] */
    float *shared_scores;           /* [rows] */
};

struct experts_layer {
    struct weight *router;           /* [count, width] */
    struct weight *gate, *up, *down; /* of `count` matrices */
    struct weight *shared_router;    /* [1, width] */
    struct weight *shared_gate, *shared_up, *shared_down;
};

/* Everything of *ret that the file says. feed_forward: its feed_forward_length. */
int experts_read(const struct arch_loader *loader, const struct experts_family *family,
                 uint32_t width, uint32_t feed_forward, struct experts *ret, struct error *err);
/* Takes begins, which experts_destroy() gives back; activations are the architecture's to take. */
bool experts_load(struct experts *experts, struct arch_loader *loader, struct error *err);
bool experts_load_layer(const struct experts *experts, struct arch_loader *loader, uint32_t layer,
                        struct experts_layer *ret, struct error *err);
void experts_destroy(struct experts *experts, struct backend *backend);
void experts_destroy_layer(struct experts_layer *layer, struct backend *backend);
size_t experts_layer_bytes(const struct experts_layer *layer, const struct backend *backend);

#define EXPERTS_ACTIVATIONS 9
void experts_list_activations(struct experts *experts,
                              struct arch_activation ret[EXPERTS_ACTIVATIONS]);

/* out[r] = what x[r]'s experts say of it. x, out: device [rows, width]. */
void experts_forward(struct experts *experts, const struct experts_layer *layer,
                     struct backend *backend, const float *x, uint32_t rows, float *out);

#endif
