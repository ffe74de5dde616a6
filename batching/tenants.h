/* SPDX-License-Identifier: Apache-2.0 */
/* tenants.h -- queues of waiting sequences, and whose turn it is.
 *
 * Priority classes first; in a class the tenant that was served least, by its weight; in a tenant
 * the senior sequence. Engine thread only. */
#ifndef WEIR_BATCHING_TENANTS_H
#define WEIR_BATCHING_TENANTS_H

#include "batching/sequence.h"

#include <stdint.h>

struct tenants;

/* generations_max: joined and not left. NULL without memory. */
struct tenants *tenants_new(uint32_t generations_max);
void tenants_free(struct tenants *tenants); /* NULL is fine */

/* A generation of the tenant arrives; it must leave again. The newest weight counts. */
struct tenant *tenants_join(struct tenants *tenants, uint64_t id, float weight);
void tenants_leave(struct tenant *tenant);

void tenants_enqueue(struct tenants *tenants, struct sequence *sequence);
void tenants_dequeue(struct tenants *tenants, struct sequence *sequence);
/* Whose turn it is, still queued, or NULL. */
struct sequence *tenants_peek(const struct tenants *tenants);
/* The tenant was served so many tokens. */
void tenants_charge(struct tenants *tenants, struct tenant *tenant, uint32_t tokens);

/* Tokens by weight, counted from where the tenant was lifted to; 0 for one not known. */
double tenants_served(const struct tenants *tenants, uint64_t id);

#endif
