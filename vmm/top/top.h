/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ebb top`: the guests of this user, again and again. It looks only: its guests' clients know two
 * commands, and neither changes anything.
 *
 *     watch.c    a client for each guest ──► figures.c  what happened in a second
 *     view.c     order, keys ──► draw.c  lines ──► screen.c  ncurses, or standard output
 *
 * Thread: main, on one loop; nothing blocks.
 */
#ifndef EBB_TOP_TOP_H
#define EBB_TOP_TOP_H

#include "vmm/top/view.h"

struct top_options {
	struct top_view view;  /* at the start */
	unsigned int interval; /* milliseconds between two frames */
	bool batch;	       /* print frames instead of drawing them */
	bool once;	       /* print one */
	bool json;
};

/* Returns 0 after `q`, a signal, or the one frame; or -errno after an error message. */
int top_run(const struct top_options *options);

#endif
