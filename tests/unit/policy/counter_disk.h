/* SPDX-License-Identifier: Apache-2.0 */
/* counter_disk.h -- a disk that can fail, for a test that includes this once: its two functions win
 * over the C library's. */
#ifndef WEIR_TESTS_POLICY_COUNTER_DISK_H
#define WEIR_TESTS_POLICY_COUNTER_DISK_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/users/counter_file.h"

static struct {
    bool full, sync_fails;
    uint32_t syncs;
    uint32_t first_page_syncs; /* of these, of the header alone */
    uint8_t *image;            /* what is on it for sure, if a test wants to know */
} disk;

int posix_fallocate(int fd, off_t at, off_t count)
{
    if (disk.full)
        return ENOSPC;
    return syscall(SYS_fallocate, fd, 0, at, count) == 0 ? 0 : errno;
}

int msync(void *bytes, size_t count, int flags)
{
    if (disk.sync_fails) {
        errno = EIO;
        return -1;
    }
    disk.syncs++;
    disk.first_page_syncs += count == COUNTER_LIST_AT;
    if (disk.image != NULL)
        memcpy(disk.image, bytes, count);
    return (int)syscall(SYS_msync, bytes, count, flags);
}

#endif
