/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXTS_WANTED         4u    /* full contexts at once */
#define SEQUENCE_TOKENS_WANTED  1024u /* of each sequence that may run */
#define CONTEXT_TOKENS_MIN      256u  /* a context cut below this serves nobody */
#define AVAILABLE_UNKNOWN_BYTES (UINT64_C(1) << 30)

/* The number after `key` (NULL: at the start) in a small file of /proc or /sys; false when it is
 * not there, or "max". */
static bool read_number(const char *path, const char *key, uint64_t *ret)
{
    char bytes[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t count = fread(bytes, 1, sizeof bytes - 1, file);
    (void)fclose(file);
    bytes[count] = '\0';
    const char *at = bytes;
    if (key != NULL) {
        at = strstr(bytes, key);
        if (at == NULL)
            return false;
        at += strlen(key);
    }
    char *after;
    unsigned long long value = strtoull(at, &after, 10);
    if (after == at)
        return false;
    *ret = value;
    return true;
}

/* Inside a container the group's own files are at the root of the mount; that is where limits
 * that matter to a daemon in a container stand. Under systemd the path is in /proc/self/cgroup. */
static bool group_number(const char *name, uint64_t *ret)
{
    char group[512] = "", path[640];
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file != NULL) {
        char line[512];
        while (fgets(line, sizeof line, file) != NULL)
            if (strncmp(line, "0::", 3) == 0) {
                line[strcspn(line, "\n")] = '\0';
                (void)snprintf(group, sizeof group, "%s", line + 3);
            }
        (void)fclose(file);
    }
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, name);
    return read_number(path, NULL, ret);
}

static bool group_available(uint64_t *ret)
{
    uint64_t limit, used;
    if (!group_number("memory.max", &limit) || !group_number("memory.current", &used))
        return false;
    *ret = limit > used ? limit - used : 0;
    return true;
}

uint64_t memory_total(void)
{
    uint64_t system_kib, total = 0, group;
    if (read_number("/proc/meminfo", "MemTotal:", &system_kib))
        total = system_kib * 1024;
    if (group_number("memory.max", &group) && (total == 0 || group < total))
        total = group;
    return total;
}

bool memory_read(struct memory_use *ret)
{
    unsigned long long virtual_pages, resident_pages, file_pages;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return false;
    int got = fscanf(file, "%llu %llu %llu", &virtual_pages, &resident_pages, &file_pages);
    (void)fclose(file);
    if (got != 3)
        return false;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *ret = (struct memory_use){.virtual_bytes = virtual_pages * page,
                               .resident_bytes = resident_pages * page,
                               .file_bytes = file_pages * page};
    return true;
}

uint64_t memory_used(void)
{
    struct memory_use use;
    if (!memory_read(&use) || use.file_bytes > use.resident_bytes)
        return 0;
    return use.resident_bytes - use.file_bytes;
}

bool memory_is_over(bool was_over, uint64_t used_bytes, uint64_t watermark_bytes)
{
    if (watermark_bytes == 0)
        return false;
    if (was_over)
        return used_bytes > watermark_bytes - watermark_bytes / 32;
    return used_bytes > watermark_bytes;
}

uint64_t memory_available(void)
{
    uint64_t system_kib, available = 0, group;
    if (read_number("/proc/meminfo", "MemAvailable:", &system_kib))
        available = system_kib * 1024;
    if (group_available(&group) && (available == 0 || group < available))
        available = group;
    return available;
}

static uint64_t tokens_to_bytes(const struct model_shape *shape, uint64_t tokens)
{
    return (tokens + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS * shape->kv_block_bytes;
}

int kv_plan(const struct kv_request *request, struct kv_plan *ret, struct error *err)
{
    const struct model_shape *shape = request->shape;
    uint32_t context = request->context == 0 ? shape->context : request->context;
    if (context > shape->context)
        return error_set(err, ERROR_INVALID,
                         "engine.context: %u tokens asked, but the model was made for %u", context,
                         shape->context);
    uint64_t bytes = request->kv_memory_bytes;
    if (bytes == 0) {
        uint64_t available =
            request->available_bytes == 0 ? AVAILABLE_UNKNOWN_BYTES : request->available_bytes;
        uint64_t share =
            available / 2 / (request->models_to_come == 0 ? 1 : request->models_to_come);
        uint32_t each = context < SEQUENCE_TOKENS_WANTED ? context : SEQUENCE_TOKENS_WANTED;
        uint64_t contexts = tokens_to_bytes(shape, (uint64_t)context * CONTEXTS_WANTED);
        uint64_t sequences = tokens_to_bytes(shape, (uint64_t)each * request->max_sequences);
        bytes = contexts > sequences ? contexts : sequences;
        bytes = bytes < share ? bytes : share;
    }
    uint64_t tokens = bytes / shape->kv_block_bytes * KV_BLOCK_TOKENS;
    bool cut = tokens < context;
    if (cut && (request->context != 0 || tokens < CONTEXT_TOKENS_MIN))
        return error_set(err, ERROR_INVALID,
                         "a sequence of %u tokens needs %llu MiB for keys and values, and there "
                         "are %llu MiB: raise engine.kv_memory or lower engine.context",
                         context, (unsigned long long)(tokens_to_bytes(shape, context) >> 20) + 1,
                         (unsigned long long)(bytes >> 20));
    ret->bytes = bytes;
    ret->context = cut ? (uint32_t)tokens : context;
    ret->context_cut = cut;
    return 0;
}
