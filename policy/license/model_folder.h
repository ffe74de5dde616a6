/* SPDX-License-Identifier: Apache-2.0 */
/* model_folder.h -- what lies beside the weights: which files may hold a licence, and their bytes.
 *
 * The folder is listed once. Licence texts (LICENSE*, LICENCE*, COPYING*, *LICENSE*.txt) come in
 * the order of their promise: a file named for the model or the weights before a plain one, which
 * then binds code alone. Files named for code or for third parties bind those and are left out.
 * Use policies (USE_POLICY*, ACCEPTABLE_USE*) follow.
 *
 * Names and files are hostile: a FIFO must not hold us, sizes have limits, and a link is followed
 * only within the folder (or to the blobs of a hub's cache), for what is in a text that we do not
 * know is shown to clients. Read-only; a folder belongs to its caller. */
#ifndef WEIR_POLICY_LICENSE_MODEL_FOLDER_H
#define WEIR_POLICY_LICENSE_MODEL_FOLDER_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_FOLDER_TEXTS_MAX   8u
#define MODEL_FOLDER_ENTRIES_MAX 131072u
#define MODEL_FOLDER_NAME_BYTES  256u

struct model_folder_text {
    char name[MODEL_FOLDER_NAME_BYTES];
    bool use_policy;  /* by its name; else a licence */
    uint32_t promise; /* the more the surer it is the weights' own; equal ones stand together */
};

struct model_folder {
    int fd;
    char *path; /* as it was given, without the file */
    char *real; /* without links */
    uint64_t device, inode;
    struct model_folder_text texts[MODEL_FOLDER_TEXTS_MAX]; /* the most promising first */
    uint32_t text_count;
    uint32_t left_out;                    /* texts beyond the limit */
    bool cut;                             /* there are more entries than we look at */
    char card[MODEL_FOLDER_NAME_BYTES];   /* README.md as it is spelled, "" for none */
    char config[MODEL_FOLDER_NAME_BYTES]; /* config.json, "" for none */
    bool has_projector;                   /* an mmproj*.gguf that is this model's */
};

/* path: of the folder or of a file in it, which need not exist. ERROR_IO or ERROR_NOT_FOUND when
 * the folder cannot be listed. */
int model_folder_open(struct model_folder *folder, const char *path, struct error *err);
/* path: of a licence text or a card. Its folder, as if nothing else lay in it. */
int model_folder_open_text(struct model_folder *folder, const char *path, struct error *err);
void model_folder_close(struct model_folder *folder); /* all zero is fine */

/* A folder nearby that is named for a model, "name" or "org/name": below, beside or above the
 * given one, or in the same hub's cache. ERROR_NOT_FOUND when there is none. */
int model_folder_open_near(struct model_folder *folder, const struct model_folder *from,
                           const char *model, struct error *err);

/* Appends the first bytes_max bytes of a file. The error's text says why not, without the name. */
int model_folder_read(const struct model_folder *folder, const char *name, size_t bytes_max,
                      struct text *ret, struct error *err);

#endif
