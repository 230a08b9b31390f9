/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that `ebb top` draws on, by ncurses: the only file that knows it. There is one, as
 * ncurses has one; SIGINT, SIGTERM, SIGHUP and SIGWINCH must be blocked, for it would handle them, and
 * SIGQUIT, for it would not.
 *
 * Owner: the caller. Thread: main. Source: ncurses(3X).
 */
#ifndef EBB_TOP_SCREEN_H
#define EBB_TOP_SCREEN_H

#include <stdbool.h>

#include "vmm/top/view.h"

struct screen;

/* Takes the terminal. Returns 0, or -errno after an error message. */
int screen_open(struct screen **screen);
/* Gives it back as it was. NULL is allowed. */
void screen_close(struct screen *screen);

/* Whether it can show blocks for curves. */
bool screen_is_utf8(void);

/* Sets its size, at least 1 each; takes a new one after SIGWINCH. */
void screen_size(struct screen *screen, size_t *width, size_t *height);

/* Between these two top_draw() calls screen_line(), with the screen as its ctx. */
void screen_begin(struct screen *screen);
void screen_line(void *ctx, size_t row, enum top_style style, const char *text);
void screen_end(struct screen *screen);

/* Returns a character or an enum top_key that was typed, or -1: no more. Does not wait. */
int screen_key(struct screen *screen);

#endif
