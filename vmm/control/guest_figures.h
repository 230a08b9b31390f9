/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All figures in the answer to x-ebb-stat: path, unit and names. Constant; thread: any.
 */
#ifndef EBB_CONTROL_GUEST_FIGURES_H
#define EBB_CONTROL_GUEST_FIGURES_H

#include <stddef.h>

/* The path of the guest's own statistics. */
#define FIGURE_STATS "guest-stats/stats"

enum figure_kind {
	FIGURE_GROUP, /* an object, or null if the guest was started without it */
	FIGURE_LIST,  /* an array of objects, each with the figures of its guest_lists */
	FIGURE_TEXT,
	FIGURE_NAME, /* a file's name: a longer text */
	FIGURE_COUNT,
	FIGURE_BYTES,
	FIGURE_SECONDS,
	FIGURE_MICROSECONDS, /* a whole number; shown in seconds */
	FIGURE_DATE,	     /* seconds since 1970; 0: never */
	FIGURE_FLAG,
};

/* A metric whose name ends in _total is a counter, any other a gauge. */
struct figure {
	const char *path;
	enum figure_kind kind;
	const char *label;
	const char *metric; /* without "ebb_", or NULL */
	const char *help;
};

extern const struct figure guest_figures[];
extern const size_t guest_figures_count;

/* The objects of a FIGURE_LIST. Their metrics have a label with the object's name. */
struct figure_list {
	const char *path; /* of the list */
	const char *name; /* the first figure, and the label: the object's name */
	const struct figure *figure;
	size_t figures;
};

extern const struct figure_list guest_lists[];
extern const size_t guest_lists_count;

#endif
