/* SPDX-License-Identifier: Apache-2.0 */
/* counter_file.c -- a sparse file of fixed size, mapped whole.
 *
 * What a store into a mapping costs when the disk is full is SIGBUS. So the file is sparse, and
 * every page is reserved (posix_fallocate) before the first store to it: a day of few users takes
 * two pages.
 *
 * A file of no bytes, or of zeros alone, is one whose making was cut short; it is made again. Its
 * header arrives by one small write, so a killed process leaves none or all of it.
 *
 * Read faults of a broken disk still are SIGBUS; so they are for the program's own pages. */
#include "policy/users/counter_file.h"

#include "policy/users/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BYTES 4096u

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is the machine's");
static_assert(COUNTER_REGISTERS_AT % PAGE_BYTES == 0, "a page has one use");

static struct counter_header header_of(const struct counter_name *name)
{
    struct counter_header header = {
        .magic = "WCNT1",
        .key_id = name->key_id,
        .id = name->id,
        .day = name->day,
        .class = name->class,
        .p = SKETCH_P,
        .form = COUNTER_EXACT,
    };
    header.crc = crc32c(0, &header, offsetof(struct counter_header, form));
    return header;
}

static int check_header(const struct counter_header *found, const struct counter_name *name,
                        struct error *err)
{
    struct counter_header expected = header_of(name);
    if (memcmp(found->magic, expected.magic, sizeof expected.magic) != 0)
        return error_set(err, ERROR_INVALID, "not a counter of users; move it away");
    if (found->crc != crc32c(0, found, offsetof(struct counter_header, form)))
        return error_set(err, ERROR_INVALID, "the header is damaged");
    if (found->key_id != expected.key_id)
        return error_set(err, ERROR_INVALID,
                         "counted under another key of pseudonyms: bring that key back, or move "
                         "the file away and lose the users in it");
    if (found->p != expected.p)
        return error_set(err, ERROR_UNSUPPORTED, "it has 2^%u registers, not 2^%u", found->p,
                         expected.p);
    if (memcmp(found, &expected, offsetof(struct counter_header, form)) != 0)
        return error_set(err, ERROR_INVALID, "it counts something else: day %u, class %u",
                         found->day, found->class);
    if ((found->form != COUNTER_EXACT && found->form != COUNTER_REGISTERS) || found->zero != 0 ||
        found->has_zero > 1 || found->zeros[0] != 0 || found->zeros[1] != 0 ||
        found->zeros_too != 0 || found->count > SKETCH_EXACT_MAX)
        return error_set(err, ERROR_INVALID, "the header is damaged");
    return 0;
}

static uint32_t seal_of(const struct counter_file *file)
{
    const struct counter_header *header = file->header;
    uint64_t count = header->count;
    uint8_t has_zero = header->has_zero;
    uint32_t crc = crc32c(0, header, offsetof(struct counter_header, crc));
    crc = crc32c(crc, &has_zero, sizeof has_zero);
    crc = crc32c(crc, &count, sizeof count);
    /* To the end of the page, whose free slots must still be free. */
    crc = crc32c(crc, file->list,
                 (count * sizeof file->list[0] + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ull));
    if (header->form == COUNTER_REGISTERS)
        crc = crc32c(crc, file->registers, (size_t)1 << SKETCH_P);
    return crc;
}

int counter_file_reserve(const struct counter_file *file, uint32_t at, uint32_t count,
                         struct error *err)
{
    /* Stores dirty whole pages of the processor's, which may be larger than ours. */
    uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
    uint32_t begin = at / page * page, end = (at + count + page - 1) / page * page;
    int code;
    if (end > COUNTER_FILE_BYTES)
        end = COUNTER_FILE_BYTES;
    do
        code = posix_fallocate(file->fd, begin, end - begin);
    while (code == EINTR);
    return code == 0 ? 0 : error_set_errno(err, code, "%s: no room", file->path);
}

bool counter_file_next_run(const struct counter_file *file, uint32_t at, uint32_t end,
                           uint32_t *ret_begin, uint32_t *ret_end)
{
    if (at >= end)
        return false;
    off_t begin = lseek(file->fd, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO)
        return false;
    off_t stop = begin < 0 ? -1 : lseek(file->fd, begin, SEEK_HOLE);
    if (begin < 0 || stop < 0) { /* a file system that does not tell: no holes */
        begin = at;
        stop = end;
    }
    if (begin >= end)
        return false;
    *ret_begin = (uint32_t)begin;
    *ret_end = stop < end ? (uint32_t)stop : end;
    return true;
}

static bool body_is_empty(const struct counter_file *file)
{
    const uint8_t *bytes = (const uint8_t *)file->header;
    uint32_t begin, end, at = COUNTER_LIST_AT;
    for (; counter_file_next_run(file, at, COUNTER_FILE_BYTES, &begin, &end); at = end)
        for (uint32_t i = begin; i < end; i++)
            if (bytes[i] != 0)
                return false;
    return true;
}

static int write_header(const struct counter_file *file, const struct counter_name *name,
                        struct error *err)
{
    struct counter_header header = header_of(name);
    int result = counter_file_reserve(file, 0, COUNTER_LIST_AT, err);
    if (result != 0)
        return result;
    if (pwrite(file->fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return error_set_errno(err, errno, "writing the header");
    return 0;
}

/* The file is open and mapped. */
static int take_up(const struct counter_file *file, const struct counter_name *name,
                   struct error *err)
{
    static const struct counter_header nothing;
    if (memcmp(file->header, &nothing, sizeof nothing) == 0) {
        if (!body_is_empty(file))
            return error_set(err, ERROR_INVALID, "the header is gone");
        return write_header(file, name, err);
    }
    int result = check_header(file->header, name, err);
    if (result == 0 && file->header->sealed == COUNTER_SEALED &&
        file->header->seal_crc != seal_of(file))
        return error_set(err, ERROR_INVALID, "it has changed since it was closed: damaged");
    return result;
}

/* Opens what may be anything, and gives a new file its size. */
static int open_plain(struct counter_file *file, struct error *err)
{
    struct stat status;
    file->fd =
        open(file->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (file->fd < 0 || fstat(file->fd, &status) != 0)
        return error_set_errno(err, errno, "opening");
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "not a plain file; move it away");
    if (status.st_size == 0)
        return ftruncate(file->fd, COUNTER_FILE_BYTES) == 0 ? 0
                                                            : error_set_errno(err, errno, "making");
    if (status.st_size != COUNTER_FILE_BYTES)
        return error_set(err, ERROR_INVALID, "%lld bytes, not %u: cut short",
                         (long long)status.st_size, COUNTER_FILE_BYTES);
    return 0;
}

static int open_mapped(struct counter_file *file, const struct counter_name *name,
                       struct error *err)
{
    int result = open_plain(file, err);
    if (result != 0)
        return result;
    uint8_t *bytes =
        mmap(NULL, COUNTER_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    if (bytes == MAP_FAILED)
        return error_set_errno(err, errno, "mapping");
    file->header = (struct counter_header *)bytes;
    file->list = (uint64_t *)(bytes + COUNTER_LIST_AT);
    file->registers = bytes + COUNTER_REGISTERS_AT;
    return take_up(file, name, err);
}

int counter_file_open(const char *path, const struct counter_name *name, struct counter_file *ret,
                      struct error *err)
{
    struct counter_file file = {.fd = -1, .path = strdup(path)};
    if (file.path == NULL)
        return error_no_memory(err);
    int result = open_mapped(&file, name, err);
    if (result != 0) {
        (void)error_wrap(err, "%s", path);
        counter_file_close(&file);
        return result;
    }
    *ret = file;
    return 0;
}

void counter_file_close(struct counter_file *file)
{
    if (file->header != NULL)
        (void)munmap(file->header, COUNTER_FILE_BYTES);
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    *file = (struct counter_file){.fd = -1};
}

/* Makes the pages of these bytes dirty, by swapping a byte for itself: safe beside those who change
 * it. */
static void touch(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i += PAGE_BYTES) {
        uint8_t byte = __atomic_load_n(&bytes[i], __ATOMIC_RELAXED);
        (void)__atomic_compare_exchange_n(&bytes[i], &byte, byte, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
    }
}

/* After a failed sync the kernel may call pages clean that are not on disk: all that were stored to
 * are written again. */
static void dirty_again(const struct counter_file *file)
{
    touch((uint8_t *)file->header, sizeof *file->header);
    touch((uint8_t *)file->list, file->header->count * sizeof file->list[0]);
    if (file->header->form == COUNTER_REGISTERS)
        touch(file->registers, (size_t)1 << SKETCH_P);
}

static int sync_entry(const struct counter_file *file, struct error *err)
{
    char *folder = strdup(file->path);
    if (folder == NULL)
        return error_no_memory(err);
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder] = '\0'; /* "/" stays */
    int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd >= 0 && fsync(fd) == 0
                     ? 0
                     : error_set_errno(err, errno, "%s: syncing its folder", file->path);
    if (fd >= 0)
        close(fd);
    free(folder);
    return result;
}

int counter_file_sync(struct counter_file *file, struct error *err)
{
    if (file->sync_failed)
        dirty_again(file);
    file->sync_failed = msync(file->header, COUNTER_FILE_BYTES, MS_SYNC) != 0;
    if (file->sync_failed)
        return error_set_errno(err, errno, "%s: syncing", file->path);
    if (file->entry_synced)
        return 0;
    int result = sync_entry(file, err);
    file->entry_synced = result == 0;
    return result;
}

void counter_file_drop_list(struct counter_file *file)
{
    uint64_t count = file->header->count;
    /* The count goes last: a file that has one has hashes, or torn zeros. */
    if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, COUNTER_LIST_AT,
                  COUNTER_REGISTERS_AT - COUNTER_LIST_AT) != 0)
        memset(file->list, 0, count * sizeof file->list[0]); /* these pages were stored to before */
    file->header->has_zero = 0;
    file->header->count = 0;
}

void counter_file_seal(struct counter_file *file)
{
    file->header->seal_crc = seal_of(file);
    atomic_store_explicit(&file->header->sealed, COUNTER_SEALED, memory_order_release);
}

int counter_file_unseal(struct counter_file *file, struct error *err)
{
    atomic_store(&file->header->sealed, 0);
    /* In the first page alone; a power cut must not keep the seal and lose what it was put on. */
    if (msync(file->header, PAGE_BYTES, MS_SYNC) == 0)
        return 0;
    return error_set_errno(err, errno, "%s: syncing", file->path);
}
