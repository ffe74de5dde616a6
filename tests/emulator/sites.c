/* SPDX-License-Identifier: Apache-2.0 */
#include "sites.h"

#include "fiber.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITES_MAX 1024u

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct emulator_site seen[SITES_MAX];
static unsigned seen_count;

/* One line a place, appended: several programs may write to one file. */
static void tell(const char *path, struct emulator_site site)
{
    (void)pthread_mutex_lock(&mutex);
    unsigned i = 0;
    while (i < seen_count && !is_same_site(seen[i], site))
        i++;
    FILE *file = i == seen_count && i < SITES_MAX ? fopen(path, "a") : NULL;
    if (file != NULL) {
        seen[seen_count++] = site;
        (void)fprintf(file, "%s:%d\n", site.file, site.line);
        (void)fclose(file);
    }
    (void)pthread_mutex_unlock(&mutex);
}

bool sites_visit(struct emulator_site site)
{
    if (settings()->sites_path != NULL)
        tell(settings()->sites_path, site);
    const char *skipped = settings()->skipped_site;
    const char *colon = skipped != NULL ? strrchr(skipped, ':') : NULL;
    return colon != NULL && site.line == strtol(colon + 1, NULL, 10) &&
           strncmp(site.file, skipped, (size_t)(colon - skipped)) == 0 &&
           site.file[colon - skipped] == '\0';
}
