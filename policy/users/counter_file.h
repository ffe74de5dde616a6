/* SPDX-License-Identifier: Apache-2.0 */
/* counter_file.h -- a counter's mapped file (the picture is in counter.h): its header, its room on
 * the disk, its syncs and its seal. What the body means is counter.c's. */
#ifndef WEIR_POLICY_USERS_COUNTER_FILE_H
#define WEIR_POLICY_USERS_COUNTER_FILE_H

#include "policy/users/counter.h"

#include <assert.h>
#include <stdint.h>

#define COUNTER_LIST_AT      4096u
#define COUNTER_REGISTERS_AT (COUNTER_LIST_AT + 8u * SKETCH_EXACT_MAX)
#define COUNTER_FILE_BYTES   (COUNTER_REGISTERS_AT + (1u << SKETCH_P))

/* Far apart, so that no flipped bit makes one the other. */
enum counter_form { COUNTER_EXACT = 'E', COUNTER_REGISTERS = 'R' };
#define COUNTER_SEALED 'S'

struct counter_header {
    char magic[8];
    uint64_t key_id, id;
    uint32_t day;
    uint8_t class, p;
    _Atomic uint8_t form; /* one byte, so that the turn is one store */
    uint8_t zero;
    uint32_t crc;             /* of what is before `form` */
    _Atomic uint8_t has_zero; /* the hash 0 is among the exact ones */
    _Atomic uint8_t sealed;   /* COUNTER_SEALED: seal_crc is right */
    uint8_t zeros[2];
    _Atomic uint64_t count; /* slots of the list up to the last hash */
    uint32_t seal_crc;      /* of all that is above it and of the body */
    uint32_t zeros_too;
};
static_assert(sizeof(struct counter_header) == 56, "the file's layout");

struct counter_file {
    char *path;
    int fd;
    struct counter_header *header; /* the mapping's beginning */
    uint64_t *list;                /* in it; SKETCH_EXACT_MAX slots */
    uint8_t *registers;            /* in it */
    bool entry_synced;             /* its name is on disk; syncing thread */
    bool sync_failed;              /* pages may be called clean that are not; syncing thread */
};

/* Opens or makes it and checks header and seal; on failure *ret is untouched. */
int counter_file_open(const char *path, const struct counter_name *name, struct counter_file *ret,
                      struct error *err);
void counter_file_close(struct counter_file *file);

/* Room on the disk for these bytes, before a store to the mapping would find that there is none. */
int counter_file_reserve(const struct counter_file *file, uint32_t at, uint32_t count,
                         struct error *err);
/* The first run of bytes at or after `at` that are not a hole; false when all up to `end` is. */
bool counter_file_next_run(const struct counter_file *file, uint32_t at, uint32_t end,
                           uint32_t *ret_begin, uint32_t *ret_end);

int counter_file_sync(struct counter_file *file, struct error *err);
/* Empties the list and gives its room back. */
void counter_file_drop_list(struct counter_file *file);

/* A seal lets the next opening see flipped bits. It is put on when all is synced; it is off, on
 * disk too, before anything changes. */
void counter_file_seal(struct counter_file *file);
int counter_file_unseal(struct counter_file *file, struct error *err);

#endif
