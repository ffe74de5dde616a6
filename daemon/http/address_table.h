/* SPDX-License-Identifier: Apache-2.0 */
/* address_table.h -- how many connections there are, how many each address has, and which addresses
 * must wait. One for all listeners, for the kernel spreads a client's connections over all workers.
 * An IPv6 address counts as its /64: whoever has one has all of them. Any thread. */
#ifndef WEIR_DAEMON_HTTP_ADDRESS_TABLE_H
#define WEIR_DAEMON_HTTP_ADDRESS_TABLE_H

#include "base/error.h"
#include "daemon/http/address.h"

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_PAUSES_MAX 4096u

struct address_table;

struct address_table *address_table_new(struct error *err);
/* NULL is fine; every connection has been given back. */
void address_table_free(struct address_table *table);

/* One connection more of all; false where there are `most` already. */
bool address_table_open(struct address_table *table, uint32_t most);
void address_table_close(struct address_table *table);

/* One connection more of this address; false where it has `most` already, or there is no memory to
 * remember it. */
bool address_table_add(struct address_table *table, const struct address *address, uint32_t most);
void address_table_remove(struct address_table *table, const struct address *address);

/* What is opened by this address until then (monotonic) is refused. At most ADDRESS_PAUSES_MAX are
 * remembered, the newer for the older. */
void address_table_pause(struct address_table *table, const struct address *address,
                         uint64_t until_us);
bool address_table_paused(struct address_table *table, const struct address *address,
                          uint64_t now_us);

uint32_t address_table_count(struct address_table *table); /* addresses that have any */
/* Proves the invariants; asserts. For tests. */
void address_table_check(struct address_table *table);

#endif
