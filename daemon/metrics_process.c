/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/memory.h"
#include "daemon/metrics_state.h"

#include <dirent.h>
#include <sys/resource.h>

void render_family(struct text *out, const char *name, const char *type, const char *help)
{
    text_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void render_value(struct text *out, const char *name, const char *type, const char *help,
                         double value)
{
    render_family(out, name, type, help);
    text_append_format(out, "%s ", name);
    text_append_json_double(out, value);
    text_append_char(out, '\n');
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void render_memory(struct text *out)
{
    struct memory_use use;
    if (!memory_read(&use))
        return;
    render_value(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                 (double)use.virtual_bytes);
    render_value(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                 (double)use.resident_bytes);
}

static void render_files(struct text *out)
{
    struct rlimit limit;
    DIR *folder = opendir("/proc/self/fd");
    if (folder != NULL) {
        uint32_t count = 0;
        while (readdir(folder) != NULL)
            count++;
        (void)closedir(folder);
        render_value(out, "process_open_fds", "gauge", "Open file descriptors.",
                     count - 3.0); /* ".", "..", and the folder's own */
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        render_value(out, "process_max_fds", "gauge", "Most file descriptors allowed.",
                     (double)limit.rlim_cur);
}

void render_process(int64_t started_unix_us, struct text *out)
{
    struct rusage usage;
    render_value(out, "process_start_time_seconds", "gauge",
                 "Start of the process, in seconds since 1970.", (double)started_unix_us / 1e6);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        render_value(out, "process_cpu_seconds_total", "counter", "User and system time spent.",
                     seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
    render_memory(out);
    render_files(out);
}
