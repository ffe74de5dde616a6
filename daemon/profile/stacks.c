/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/profile/stacks.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS (2u * STACKS_MAX) /* of the table: at most half full, so that a search is short */

struct stack {
    size_t first; /* in names */
    uint32_t count;
    uint64_t samples;
};

struct stacks {
    const char **names; /* of all stacks, one after the other */
    size_t name_count, name_capacity;
    struct stack *all;
    uint32_t count, capacity;
    uint64_t samples, others;
    uint32_t slots[SLOTS]; /* index + 1, by hash; 0 is free */
};

struct stacks *stacks_new(struct error *err)
{
    struct stacks *stacks = calloc(1, sizeof *stacks);
    if (stacks == NULL)
        (void)error_no_memory(err);
    return stacks;
}

void stacks_free(struct stacks *stacks)
{
    if (stacks == NULL)
        return;
    free(stacks->names);
    free(stacks->all);
    free(stacks);
}

/* Where the stack is, or belongs. */
static uint32_t *find(struct stacks *stacks, const char *const *names, uint32_t count)
{
    size_t bytes = count * sizeof *names;
    uint64_t at = XXH3_64bits(names, bytes) % SLOTS;
    for (;; at = (at + 1) % SLOTS) {
        uint32_t *slot = &stacks->slots[at];
        if (*slot == 0)
            return slot;
        const struct stack *stack = &stacks->all[*slot - 1];
        if (stack->count == count && memcmp(stacks->names + stack->first, names, bytes) == 0)
            return slot;
    }
}

static bool make_room(struct stacks *stacks, uint32_t count)
{
    if (stacks->count == STACKS_MAX)
        return false;
    if (stacks->count == stacks->capacity) {
        uint32_t capacity = stacks->capacity == 0 ? 256 : 2 * stacks->capacity;
        struct stack *all = realloc(stacks->all, capacity * sizeof *all);
        if (all == NULL)
            return false;
        stacks->all = all;
        stacks->capacity = capacity;
    }
    if (stacks->name_capacity - stacks->name_count < count) {
        size_t capacity = 2 * stacks->name_capacity + 64 * STACKS_DEPTH_MAX;
        const char **names = realloc(stacks->names, capacity * sizeof *names);
        if (names == NULL)
            return false;
        stacks->names = names;
        stacks->name_capacity = capacity;
    }
    return true;
}

void stacks_add(struct stacks *stacks, const char *const *names, uint32_t count, uint64_t samples)
{
    assert(count > 0 && count <= STACKS_DEPTH_MAX);
    stacks->samples += samples;
    uint32_t *slot = find(stacks, names, count);
    if (*slot != 0) {
        stacks->all[*slot - 1].samples += samples;
        return;
    }
    if (!make_room(stacks, count)) {
        stacks->others += samples;
        return;
    }
    memcpy(stacks->names + stacks->name_count, names, count * sizeof *names);
    stacks->all[stacks->count++] =
        (struct stack){.first = stacks->name_count, .count = count, .samples = samples};
    stacks->name_count += count;
    *slot = stacks->count;
}

uint64_t stacks_samples(const struct stacks *stacks)
{
    return stacks->samples;
}

/* What separates frames and lines is in no name. */
static void write_name(struct text *out, const char *name)
{
    for (; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;
        text_append_char(out, c == ';' ? ':' : c < ' ' || c == 127 ? '_' : *name);
    }
}

static void write_stack(const struct stacks *stacks, const struct stack *stack, struct text *out)
{
    for (uint32_t i = stack->count; i-- > 0;) {
        write_name(out, stacks->names[stack->first + i]);
        text_append_char(out, i > 0 ? ';' : ' ');
    }
    text_append_u64(out, stack->samples);
    text_append_char(out, '\n');
}

/* Of those with as many samples, who came first. */
static int heavier(const void *left, const void *right)
{
    const struct stack *a = left, *b = right;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    return a->first < b->first ? -1 : 1;
}

void stacks_fold(struct stacks *stacks, size_t bytes_max, struct text *out)
{
    uint64_t others = stacks->others;
    if (stacks->count > 0)
        qsort(stacks->all, stacks->count, sizeof *stacks->all, heavier);
    memset(stacks->slots, 0, sizeof stacks->slots); /* they named places */
    size_t kept = out->count;
    for (uint32_t i = 0; i < stacks->count; i++) {
        if (out->count == kept)
            write_stack(stacks, &stacks->all[i], out);
        if (out->count <= bytes_max)
            kept = out->count;
        else
            others += stacks->all[i].samples;
    }
    if (out->count > kept) {
        out->count = kept;
        out->bytes[kept] = '\0';
    }
    if (others == 0)
        return;
    text_append_string(out, STACKS_OTHERS " ");
    text_append_u64(out, others);
    text_append_char(out, '\n');
}
