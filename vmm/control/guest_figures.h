/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every figure of what x-ebb-stat answers: its place, its unit and its names. Constant; thread: any.
 */
#ifndef EBB_CONTROL_GUEST_FIGURES_H
#define EBB_CONTROL_GUEST_FIGURES_H

#include <stddef.h>

/* Where the guest's own statistics are. */
#define STATS "guest-stats/stats"

enum figure_kind {
	GROUP, /* an object, or null where the guest was started without it */
	LIST,  /* an array of objects, each with guest_disk_figures */
	TEXT,
	NAME, /* of a file: a longer text */
	COUNT,
	BYTES,
	SECONDS,
	DATE, /* seconds since 1970; 0: never */
	FLAG,
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
