/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/profile/heap.h"

#include "policy/render/json_writer.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENAS_MAX     4096u
#define NAME_BYTES_MAX 64
#define READ_BYTES     65536u
#define REMEDY         "start weir with MALLOC_CONF=prof:true in its environment"

heap_control heap_own_control(void)
{
    heap_control control = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "mallctl");
    memcpy(&control, &symbol, sizeof control); /* ISO C has no cast for it, POSIX has the promise */
    return control;
}

static bool read_size(heap_control control, const char *name, uint64_t *ret)
{
    size_t value = 0, bytes = sizeof value;
    if (control(name, &value, &bytes, NULL, 0) != 0 || bytes != sizeof value)
        return false;
    *ret = value;
    return true;
}

static bool read_bool(heap_control control, const char *name)
{
    bool value = false;
    size_t bytes = sizeof value;
    return control(name, &value, &bytes, NULL, 0) == 0 && value;
}

static uint32_t read_u32(heap_control control, const char *name)
{
    unsigned value = 0;
    size_t bytes = sizeof value;
    return control(name, &value, &bytes, NULL, 0) == 0 ? value : 0;
}

/* What this jemalloc does not know is left out. */
static void write_size(heap_control control, const char *name, const char *key, struct text *out)
{
    uint64_t value;
    if (read_size(control, name, &value))
        json_write_u64(out, key, value);
}

static void write_arena(heap_control control, uint32_t index, uint64_t page_bytes, struct text *out)
{
    static const struct {
        const char *name, *key;
        bool pages;
    } members[] = {{"small.allocated", "small_allocated_bytes", false},
                   {"large.allocated", "large_allocated_bytes", false},
                   {"pactive", "active_bytes", true},
                   {"pdirty", "dirty_bytes", true},
                   {"resident", "resident_bytes", false},
                   {"mapped", "mapped_bytes", false},
                   {"retained", "retained_bytes", false},
                   {"tcache_bytes", "thread_cached_bytes", false}};
    char name[NAME_BYTES_MAX];
    (void)snprintf(name, sizeof name, "arena.%u.initialized", index);
    if (!read_bool(control, name))
        return;
    json_write_open(out, NULL, '{');
    json_write_u64(out, "index", index);
    (void)snprintf(name, sizeof name, "stats.arenas.%u.nthreads", index);
    json_write_u64(out, "threads", read_u32(control, name));
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        uint64_t value;
        (void)snprintf(name, sizeof name, "stats.arenas.%u.%s", index, members[i].name);
        if (read_size(control, name, &value))
            json_write_u64(out, members[i].key, members[i].pages ? value * page_bytes : value);
    }
    json_write_close(out, '}');
}

int heap_totals(heap_control control, struct text *out, struct error *err)
{
    uint64_t epoch = 1, page_bytes = 0, allocated;
    const char *version = "";
    size_t bytes = sizeof version;
    if (control == NULL)
        return error_set(err, ERROR_UNSUPPORTED, "this build of weir is without jemalloc");
    (void)control("epoch", NULL, NULL, &epoch, sizeof epoch); /* figures are as of then */
    if (!read_size(control, "stats.allocated", &allocated))
        return error_set(err, ERROR_UNSUPPORTED, "this jemalloc keeps no statistics");
    (void)control("version", &version, &bytes, NULL, 0);
    (void)read_size(control, "arenas.page", &page_bytes);
    text_append_char(out, '{');
    json_write_string(out, "object", "heap");
    json_write_string(out, "jemalloc", version);
    json_write_u64(out, "allocated_bytes", allocated);
    write_size(control, "stats.active", "active_bytes", out);
    write_size(control, "stats.metadata", "metadata_bytes", out);
    write_size(control, "stats.resident", "resident_bytes", out);
    write_size(control, "stats.mapped", "mapped_bytes", out);
    write_size(control, "stats.retained", "retained_bytes", out);
    json_write_bool(out, "profiling", read_bool(control, "opt.prof"));
    json_write_open(out, "arenas", '[');
    uint32_t arenas = read_u32(control, "arenas.narenas");
    for (uint32_t i = 0; i < arenas && i < ARENAS_MAX; i++)
        write_arena(control, i, page_bytes, out);
    json_write_close(out, ']');
    text_append_char(out, '}');
    return 0;
}

static int read_all(int fd, struct text *out, struct error *err)
{
    ssize_t got;
    if (lseek(fd, 0, SEEK_SET) != 0)
        return error_set_errno(err, errno, "the profile");
    while (text_reserve(out, READ_BYTES) &&
           (got = read(fd, out->bytes + out->count, READ_BYTES)) != 0) {
        if (got < 0)
            return error_set_errno(err, errno, "the profile");
        out->count += (size_t)got;
        out->bytes[out->count] = '\0';
    }
    return out->failed ? error_no_memory(err) : 0;
}

/* jemalloc writes to a path alone: this one is of memory, and nobody else's. */
int heap_dump(heap_control control, struct text *out, struct error *err)
{
    char path[NAME_BYTES_MAX];
    const char *name = path;
    if (control == NULL)
        return error_set(err, ERROR_UNSUPPORTED, "this build of weir is without jemalloc");
    if (!read_bool(control, "config.prof"))
        return error_set(err, ERROR_UNSUPPORTED,
                         "this jemalloc was built without profiling (--enable-prof)");
    if (!read_bool(control, "opt.prof"))
        return error_set(err, ERROR_REFUSED, "allocations are not sampled: " REMEDY);
    int fd = memfd_create("heap", MFD_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "memory for the profile");
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int failed = control("prof.dump", NULL, NULL, &name, sizeof name);
    int result =
        failed == 0 ? read_all(fd, out, err) : error_set_errno(err, failed, "jemalloc's prof.dump");
    (void)close(fd);
    return result;
}
