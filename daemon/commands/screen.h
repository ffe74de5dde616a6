/* SPDX-License-Identifier: Apache-2.0 */
/* screen.h -- a terminal that is drawn again and again, and given back as it was.
 *
 * Signals come through a descriptor, so that an interrupt ends a wait of any kind. Where standard
 * output is no terminal, frames follow each other as plain text. */
#ifndef WEIR_DAEMON_COMMANDS_SCREEN_H
#define WEIR_DAEMON_COMMANDS_SCREEN_H

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

/* Blocks the signals and opens their descriptor: false and errno. The terminal is not touched. */
bool screen_open(struct screen *screen);
void screen_close(struct screen *screen);
/* Takes what signals there are; true when one says to end. argument: the screen. */
bool screen_take_signals(void *argument);

void screen_enter(const struct screen *screen); /* the terminal's other page */
void screen_leave(const struct screen *screen);
/* Columns and lines of the terminal now; 0 where it is none. */
void screen_size(const struct screen *screen, uint32_t *ret_columns, uint32_t *ret_lines);
/* Rows ended by "\n", line by line over what stood there, so that nothing flickers. False when
 * standard output takes none. */
bool screen_draw(const struct screen *screen, const struct text *rows);
/* Until end_ms of screen_now_ms(), a stop, or a new size; true for that one alone. */
bool screen_wait(struct screen *screen, int64_t end_ms);
int64_t screen_now_ms(void);

#endif
