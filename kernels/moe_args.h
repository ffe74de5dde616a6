/* SPDX-License-Identifier: Apache-2.0 */
/* moe_args.h -- what the ops of a mixture of experts are given, and what each computes.
 *
 *     scores  -> moe_route -> each entry's (row and rank) expert, and its place among that expert's
 *     [rows] -> moe_linear -> [places] -> gated -> moe_linear -> [places] -> moe_combine -> [rows]
 *
 * A grouped product reads and writes by place, so that an expert's rows lie together. */
#ifndef WEIR_KERNELS_MOE_ARGS_H
#define WEIR_KERNELS_MOE_ARGS_H

#include "kernels/op_args.h"

#define MOE_EXPERTS_MAX 1024u
#define MOE_CHOSEN_MAX  32u

/* Each row's top_k experts by score, heaviest first (ties: the lower one; NaN is below all), and
 * their weights of the softmax, times `scale` (Shazeer et al. 2017). `renormalise`: of the softmax
 * over the chosen alone. An entry is row * top_k + rank; expert e has the places expert_begins[e]
 * up to expert_begins[e + 1], its entries ascending: the rows that a grouped product gives it. */
struct moe_route_args {
    const float *scores;           /* device [rows, experts] */
    uint32_t rows, experts, top_k; /* top_k up to MOE_CHOSEN_MAX and experts */
    bool renormalise;
    float scale;
    uint32_t *chosen;        /* device [rows, top_k] */
    float *weights;          /* device [rows, top_k] */
    uint32_t *expert_begins; /* device [experts + 1] */
    uint32_t *order;         /* device [rows * top_k]: place -> entry */
    uint32_t *places;        /* device [rows * top_k]: entry -> place */
};

/* out[p] = W[e] x[p], for the places p of each expert e; or of x[row of p's entry], where x is not
 * by place. Each row has the bits that linear() gives it with its expert's matrix. */
struct moe_linear_args {
    const float *x; /* device [rows, columns]; by_place: [rows * top_k, columns] */
    bool by_place;
    uint32_t rows, experts, top_k;
    const uint32_t *expert_begins, *order; /* device, of the last moe_route() */
    uint32_t weight_count;                 /* 1..LINEAR_WEIGHTS_MAX, all with the same columns */
    const struct weight *weights[LINEAR_WEIGHTS_MAX]; /* of `experts` matrices */
    float *outs[LINEAR_WEIGHTS_MAX]; /* device [rows * top_k, weight rows], by place; not x */
};

/* out[r] = the sum of weights[r][rank] * x[places[r][rank]] in ascending rank, a fused multiply-add
 * each; then + shared[r], times the logistic function of shared_scores[r] where there are any. */
struct moe_combine_args {
    const float *x;         /* device [rows * top_k, width], by place */
    const uint32_t *places; /* device [rows, top_k] */
    const float *weights;   /* device [rows, top_k] */
    uint32_t rows, top_k, width;
    const float *shared;        /* device [rows, width] or NULL: what every row is given */
    const float *shared_scores; /* device [rows] or NULL */
    float *out;                 /* device [rows, width]; not x, may be shared */
};

#endif
