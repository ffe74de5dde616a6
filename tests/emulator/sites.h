/* SPDX-License-Identifier: Apache-2.0 */
/* sites.h -- barriers and waits by their place in the source: told, and left out.
 *
 * A barrier that may be left out unnoticed is one that no test watches. WEIR_EMULATOR_SITES names
 * a file that gets a line for each place that was reached; WEIR_EMULATOR_SKIP names one of them,
 * which then does nothing. tests/mutants runs a test without each in turn. */
#ifndef WEIR_EMULATOR_SITES_H
#define WEIR_EMULATOR_SITES_H

#include "include/emulator/engine.h"
#include "settings.h"

bool sites_visit(struct emulator_site site);

/* Whether what stands there is to be left out. */
static inline bool site_is_skipped(struct emulator_site site)
{
    return settings()->watch_sites && sites_visit(site);
}

#endif
