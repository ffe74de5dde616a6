/* SPDX-License-Identifier: Apache-2.0 */
/* findings.h -- a recognition while it is being made.
 *
 * What files say of themselves is hostile: every string is cut to a length, made valid UTF-8 on
 * one line, and kept in one arena with a limit. Lists have limits too; a licence beyond its limit
 * is a doubt, not a silence. As with struct text, a failed allocation is remembered and asked for
 * once, at the end (findings_take). One recognition's; not shared between threads. */
#ifndef WEIR_POLICY_LICENSE_FINDINGS_H
#define WEIR_POLICY_LICENSE_FINDINGS_H

#include "policy/license/recognition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FINDINGS_NAMES_MAX     16u
#define FINDINGS_SENTENCES_MAX 32u
#define FINDINGS_DOUBTS_MAX    32u
#define FINDINGS_FILES_MAX     32u
#define FINDINGS_NAME_BYTES    256u  /* of a name, a label or a path's shown end */
#define FINDINGS_REASON_BYTES  3072u /* of a sentence */

struct findings {
    struct arena *arena;
    struct recognition *made; /* in the arena */
    /* What `made` shows as const. */
    const char **names, **disagreements, **files;
    struct recognition_doubt *doubts;
    bool settled; /* by the operator: doubts and disagreements are dropped */
    bool failed;  /* an allocation failed */
};

/* ERROR_NO_MEMORY. */
int findings_init(struct findings *findings, const char *model, struct error *err);
/* Hands the recognition over, or ERROR_NO_MEMORY; either way findings is empty after. */
int findings_take(struct findings *findings, struct recognition **ret, struct error *err);
void findings_destroy(struct findings *findings); /* fine after findings_take() */

/* Copies in the arena, never NULL: "" when memory ran out. */
const char *findings_copy(struct findings *findings, const char *bytes, size_t count);
const char *findings_format(struct findings *findings, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Each leaves out what is there already; case does not count for names. Strings are borrowed from
 * the catalogue or the arena, but for a name's. */
void findings_name(struct findings *findings, const char *name);
void findings_file(struct findings *findings, const char *path);
void findings_license(struct findings *findings, const struct recognised_license *license);
void findings_doubt(struct findings *findings, const char *id, const char *reason,
                    const char *remedy);
void findings_disagree(struct findings *findings, const char *sentence);

#endif
