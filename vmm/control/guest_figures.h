/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every figure of what x-ebb-stat answers: its place, its unit and its names. Constant; thread: any.
 */
#ifndef EBB_CONTROL_GUEST_FIGURES_H
#define EBB_CONTROL_GUEST_FIGURES_H

#include <stddef.h>

/* Where the guest's own statistics are. */
#define FIGURE_STATS "guest-stats/stats"

enum figure_kind {
	FIGURE_GROUP, /* an object, or null where the guest was started without it */
	FIGURE_LIST,  /* an array of objects, each with guest_disk_figures */
	FIGURE_TEXT,
	FIGURE_NAME, /* of a file: a longer text */
	FIGURE_COUNT,
	FIGURE_BYTES,
	FIGURE_SECONDS,
	FIGURE_DATE, /* seconds since 1970; 0: never */
	FIGURE_FLAG,
};

/* Counters' metrics end in _total, which is how they are told from gauges. */
struct figure {
	const char *path;
	enum figure_kind kind;
	const char *label;
	const char *metric; /* without "ebb_", or NULL */
	const char *help;
};

extern const struct figure guest_figures[];
extern const size_t guest_figures_count;

/* Of each disk. Its metrics have a label for the disk's name. */
extern const struct figure guest_disk_figures[];
extern const size_t guest_disk_figures_count;

#endif
