/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests that `ebb top` shows: a client each, all on one loop. In a frame each guest that has
 * answered the last one is asked once, one that rests each 5 s, or when its process has run; one that
 * is stuck keeps its old figures and costs the others nothing.
 *
 * Owner: the caller. Thread: the one that runs the loop; nothing blocks.
 */
#ifndef EBB_TOP_WATCH_H
#define EBB_TOP_WATCH_H

#include <stddef.h>

#include "vmm/lib/loop.h"
#include "vmm/top/figures.h"

struct top_watch;

/* Returns a new one without guests, or NULL: out of memory. */
struct top_watch *top_watch_new(struct loop *loop);
/* Before the loop is released. NULL is allowed. */
void top_watch_free(struct top_watch *watch);

/* Finds guests that came and went, and asks all. Returns 0, or -errno after an error message. */
int top_watch_frame(struct top_watch *watch);

/* Returns how many guests are still waited for: none that has missed a frame since its last answer. */
size_t top_watch_pending(const struct top_watch *watch);

/* Returns the guests, *@count of them, in any order; until the next frame. The caller may sort them. */
struct top_figures **top_watch_guests(struct top_watch *watch, size_t *count);

#endif
