/* SPDX-License-Identifier: Apache-2.0 */
/* byte_map.h -- byte strings to small numbers, sized once.
 *
 * Open addressing over borrowed strings, at most half full. The hash is seeded from the system's
 * randomness for each map, so a hostile file can't choose names that collide. Filled by one
 * thread; read by any afterwards. */
#ifndef WEIR_MODELS_BYTE_MAP_H
#define WEIR_MODELS_BYTE_MAP_H

#include <stddef.h>
#include <stdint.h>

#define BYTE_MAP_NONE UINT32_MAX

struct byte_map;

/* Room for `capacity` strings. NULL when there is no memory. */
struct byte_map *byte_map_new(uint32_t capacity);
void byte_map_free(struct byte_map *map); /* NULL is fine */

/* Enters a string unless it is there already. Returns the number it now has: `value`, or the one
 * that was entered first. `bytes` is borrowed and must outlive the map; count < UINT32_MAX,
 * value != BYTE_MAP_NONE. No more than `capacity` different strings. */
uint32_t byte_map_add(struct byte_map *map, const char *bytes, size_t count, uint32_t value);
/* The number of a string, or BYTE_MAP_NONE. */
uint32_t byte_map_find(const struct byte_map *map, const char *bytes, size_t count);

#endif
