/* SPDX-License-Identifier: Apache-2.0 */
/* refusals.h -- how often somebody was refused by a licence within a minute, so that it may be told
 * to wait. One a worker: over all of them a client may ask as many times more. Worker's thread. */
#ifndef WEIR_DAEMON_API_REFUSALS_H
#define WEIR_DAEMON_API_REFUSALS_H

#include <stdint.h>

#define REFUSALS_A_MINUTE 30u
#define REFUSALS_SLOTS    1024u
#define REFUSALS_WAYS     4u /* slots that one asker may have */

struct refusals_slot {
    uint64_t asker;    /* hash of who asks; 0: empty */
    uint64_t began_us; /* the minute */
    uint32_t count;
};

/* All zeros is none yet. An asker that finds no slot takes that of the oldest minute, which is then
 * forgotten: memory is bounded, and who has so many addresses is not held back by this. */
struct refusals {
    struct refusals_slot slots[REFUSALS_SLOTS];
};

/* asker: an API key or an address; NULL: all that have neither. Counts one, and returns after how
 * many seconds it may come again: 0 while it is within REFUSALS_A_MINUTE. */
uint32_t refusals_note(struct refusals *refusals, const char *asker, uint64_t now_us);

#endif
