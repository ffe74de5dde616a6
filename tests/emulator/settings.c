/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "counted.h"
#include "include/emulator/engine.h"
#include "sanitizer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct settings current;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static unsigned number(const char *name, unsigned absent, unsigned max)
{
    const char *text = getenv(name);
    if (text == NULL || *text == '\0')
        return absent;
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != '\0' || *text == '-' || errno != 0 || value > max)
        emulator_fail("%s='%s': a number up to %u is wanted", name, text, max);
    return (unsigned)value;
}

/* Which of the words; the first where the variable is absent. */
static unsigned word(const char *name, const char *const words[], unsigned count)
{
    const char *text = getenv(name);
    if (text == NULL || *text == '\0')
        return 0;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return i;
    }
    emulator_fail("%s='%s': not one of its words, which begin with '%s'", name, text, words[0]);
}

static const char *text_or_null(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? text : NULL;
}

static void read_environment(void)
{
    static const char *const streams[] = {"eager", "lazy"};
    static const char *const copies[] = {"late", "early"};
    static const char *const orders[] = {"forward", "reverse", "random"};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct settings read = {
        .devices = number("WEIR_EMULATOR_DEVICES", 1, 8),
        .driver = number("WEIR_EMULATOR_DRIVER", 13000, 99999),
        .sm = number("WEIR_EMULATOR_SM", 90, 999),
        .memory_bytes = (size_t)number("WEIR_EMULATOR_MEMORY_MIB", 1024, 1u << 20) << 20,
        .out_of_memory_at = number("WEIR_EMULATOR_OUT_OF_MEMORY_AT", 0, UINT32_MAX),
        .lost_at = number("WEIR_EMULATOR_LOST_AT", 0, UINT32_MAX),
        .protect = number("WEIR_EMULATOR_PROTECT", 0, 1) != 0,
        .lazy_streams = word("WEIR_EMULATOR_STREAMS", streams, 2) != 0,
        .early_copies = word("WEIR_EMULATOR_COPIES", copies, 2) != 0,
        .order = (enum thread_order)word("WEIR_EMULATOR_ORDER", orders, 3),
        .seed = number("WEIR_EMULATOR_SEED", 1, UINT32_MAX),
        .sites_path = text_or_null("WEIR_EMULATOR_SITES"),
        .skipped_site = text_or_null("WEIR_EMULATOR_SKIP"),
        .workers = number("WEIR_EMULATOR_WORKERS", processors > 0 ? (unsigned)processors : 1, 64),
    };
    /* One thread under TSan: its fibers are then all told apart, and what they race for is seen.
     * And one where traffic is counted, in counters that no one guards. */
    if (read.workers == 0 || tsan_is_linked() || counted_is_linked())
        read.workers = 1;
    read.watch_sites = read.sites_path != NULL || read.skipped_site != NULL;
    current = read;
}

const struct settings *settings(void)
{
    (void)pthread_once(&once, read_environment);
    return &current;
}

void settings_reload(void)
{
    (void)settings();
    read_environment();
}
