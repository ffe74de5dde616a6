/* SPDX-License-Identifier: Apache-2.0 */
/* screen.h -- a terminal that is drawn again and again, and given back as it was.
 *
 * Signals come through a descriptor, so that an interrupt ends a wait of any kind. Where standard
 * output is no terminal, frames follow each other as plain text. */
#ifndef WEIR_DAEMON_COMMANDS_SCREEN_H
#define WEIR_DAEMON_COMMANDS_SCREEN_H

#include "base/error.h"
#include "base/text.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct screen {
    int signal_fd;
    bool terminal, color;
    bool stopped, resized; /* a signal said so */
    sigset_t before;       /* the mask, until screen_close() */
};

/* Whether colours are wanted: a terminal, not "dumb", and no NO_COLOR. */
bool screen_may_color(void);
/* Text to standard output; false when it takes none. */
bool screen_put(const struct text *text);

/* Blocks the signals and opens their descriptor; to be closed in any case. */
int screen_open(struct screen *screen, struct error *err);
void screen_close(struct screen *screen);
/* Takes what signals there are; true when one says to end. */
bool screen_take_signals(struct screen *screen);

/* Columns and lines of the terminal now; 0 where it is none. */
void screen_size(const struct screen *screen, uint32_t *ret_columns, uint32_t *ret_lines);
/* Until end_ms of screen_now_ms(), a stop, or a new size; true for that one alone. */
bool screen_wait(struct screen *screen, int64_t end_ms);
int64_t screen_now_ms(void);

/* What is asked for, and drawn, again and again. */
struct screen_show {
    uint32_t interval_s;
    /* Learns what there is; what was learnt before stays where that fails. */
    int (*ask)(void *argument, struct error *err);
    /* Rows ended by "\n". failure: of the newest question; "" if it did not fail. */
    void (*compose)(void *argument, const char *failure, struct text *out);
    void *argument;
};
/* Until a signal ends it; a new size is drawn at once. 0, or what the first question failed with,
 * or ERROR_IO when standard output takes no more. */
int screen_run(struct screen *screen, const struct screen_show *show, struct error *err);

#endif
