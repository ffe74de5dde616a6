/* SPDX-License-Identifier: Apache-2.0 */
/* report.h -- what `weir report` was asked for. Internal to report.c and report_verify.c. Main
 * thread. */
#ifndef WEIR_DAEMON_COMMANDS_REPORT_H
#define WEIR_DAEMON_COMMANDS_REPORT_H

#include "daemon/state_folder.h"
#include "policy/ledger.h"
#include "policy/report/report.h"

#include <stdbool.h>

#define REPORT_FILE_BYTES_MAX (256u << 20)

enum report_format { REPORT_PLAIN, REPORT_HTML, REPORT_JSON, REPORT_CSV };

struct report_command {
    const char *month, *model, *family, *config, *state, *output, *key,
        *verify; /* NULL: not given */
    enum report_format format;
    bool organisation, format_given, sign, help;
    char folder[STATE_PATH_MAX]; /* of the ledger */
    char *operator_name;         /* owned; "" or NULL when it is not declared */
};

/* The exit status for an error, whose text is told. */
int report_complain(const struct error *err);
/* ERROR_NOT_FOUND where there is none: looking must not make one. */
struct ledger *report_open_ledger(const char *folder, struct error *err);
int report_verify(const struct report_command *command);

#endif
