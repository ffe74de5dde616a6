/* SPDX-License-Identifier: Apache-2.0 */
/* check_targets.h -- what an argument of `weir check` stands for: models, texts, or a name.
 *
 * In a tree of folders each GGUF file is a model (of one in parts, the first part); so is a folder
 * without GGUF but with other weights or a config.json; and one with a card or a licence text
 * alone, when nothing above or below it is a model. Names that begin with '.' are not looked at.
 * Links are followed, but never back to a folder on the way. Main thread. */
#ifndef WEIR_DAEMON_COMMANDS_CHECK_TARGETS_H
#define WEIR_DAEMON_COMMANDS_CHECK_TARGETS_H

#include "base/error.h"
#include "base/text.h"
#include "daemon/config.h"

#include <stdint.h>

#define CHECK_TARGETS_MAX 16384u
#define CHECK_DEPTH_MAX   8u       /* folders below the one that was named */
#define CHECK_ENTRIES_MAX 1048576u /* of all folders together */

enum check_kind {
    CHECK_WEIGHTS, /* a GGUF file */
    CHECK_FOLDER,  /* a model without one */
    CHECK_TEXT,    /* a file that is itself a licence or a card */
    CHECK_NAME     /* no file: a licence's id, or a published model */
};

struct check_target {
    enum check_kind kind;
    char *id;            /* the configured one, or from the path below the named folder */
    char *path;          /* "" for CHECK_NAME */
    const char *license; /* chosen in the configuration, or ""; borrowed from it */
};

struct check_targets {
    const struct config *config; /* borrowed; NULL for none */
    struct check_target *items;
    uint32_t count, capacity;
    uint64_t entries;
    struct text troubles; /* a line each: what could not be looked at */
};

void check_targets_init(struct check_targets *targets, const struct config *config);
void check_targets_destroy(struct check_targets *targets);

/* Appends, in the order of ids, what one argument stands for: a configured model's id, a path, or
 * else a name. ERROR_NOT_FOUND for a folder in which there is nothing to check; ERROR_BUSY when
 * there is more than the limits take. */
int check_targets_add(struct check_targets *targets, const char *argument, struct error *err);
/* Every configured model. */
int check_targets_add_configured(struct check_targets *targets, struct error *err);

#endif
