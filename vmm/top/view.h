/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `ebb top` shows at the moment, as lines of text for a screen of any size; and what a key does
 * to it. The lines are of printable ASCII, but for the curves and bars of a screen.
 *
 * Pure. Owner: the caller. Thread: its owner's.
 */
#ifndef EBB_TOP_VIEW_H
#define EBB_TOP_VIEW_H

#include <stddef.h>

#include "vmm/lib/options.h"
#include "vmm/top/figures.h"

#define TOP_WIDTH_MAX 512		      /* columns of the screen that are used */
#define TOP_LINE_SIZE (4 * TOP_WIDTH_MAX + 1) /* bytes of a line, with the terminator */

enum top_column {
	TOP_NAME,
	TOP_STATUS,
	TOP_SIZE,
	TOP_USED,
	TOP_HELD,
	TOP_EXCESS,
	TOP_REPORTED,
	TOP_BALLOON,
	TOP_PSI,
	TOP_CPU,
	TOP_DISK,
	TOP_NETWORK,
	TOP_STALLS,
	TOP_AGES,
	TOP_COLUMNS,
};

struct top_host {
	uint64_t total, available; /* as the keeper counts: of its cgroup, too */
	uint64_t
		pressure; /* PSI: 1/100 of a percent of the last 10 s in which a task waited for memory */
};

struct top_view {
	enum top_column sort;
	bool reverse;
	char filter[VM_NAME_MAX + 1]; /* a part of the name */
	bool typing;		      /* the filter */
	bool paused;
	bool detail;
	bool ascii;			/* curves and bars of ASCII */
	bool plain;			/* no keys act on it: no line of keys, no selected row */
	char selected[VM_NAME_MAX + 1]; /* the name; "": the first */
	size_t first;			/* row on the screen */
	size_t page;			/* rows that the last drawing had room for */
};

enum top_style {
	TOP_PLAIN,
	TOP_HEAD,     /* titles of columns */
	TOP_SELECTED, /* the row that keys act on */
	TOP_FAINT,    /* the line of keys; guests that do not answer */
};

/* Keys that are no characters. */
enum top_key {
	TOP_KEY_NONE = 0x100,
	TOP_KEY_UP,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_LEFT,
	TOP_KEY_RIGHT,
	TOP_KEY_ENTER,
	TOP_KEY_ESCAPE,
	TOP_KEY_BACKSPACE,
};

enum top_outcome { TOP_GO_ON, TOP_QUIT };

struct top_view top_view_start(void);

/* Returns the column that @name (its title in any case) names, or -1 with @error set. */
int top_column_named(const char *name, struct option_error *error);

/* Takes a key or a character. @guest is in the order of top_arrange(), and so are @count of them. */
enum top_outcome top_key(struct top_view *view, int key, struct top_figures *const *guest,
			 size_t count);

/* Sorts the guests. Returns how many the filter leaves: they come first. */
size_t top_arrange(const struct top_view *view, struct top_figures **guest, size_t count);

#define TOP_HEAD_LINES 3 /* before the guests, where there is room */

/* Returns the selected row of @count, or the first. */
size_t top_selected(const struct top_view *view, struct top_figures *const *guest, size_t count);

/*
 * Draws @width times @height, both at least 1: calls @line for each line that is not empty, from the
 * top. @guest is all guests, of which top_arrange() left @shown.
 */
typedef void top_line(void *ctx, size_t row, enum top_style style, const char *text);
void top_draw(struct top_view *view, const struct top_host *host, struct top_figures *const *guest,
	      size_t shown, size_t count, size_t width, size_t height, top_line *line, void *ctx);

/* Returns a new object: the figures of the host and of @count guests, sizes in bytes. */
json_t *top_json(const struct top_host *host, struct top_figures *const *guest, size_t count);

#endif
