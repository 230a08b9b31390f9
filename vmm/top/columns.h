/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The columns of `ebb top`: titles, widths, figures as texts. Pure. Thread: any.
 */
#ifndef EBB_TOP_COLUMNS_H
#define EBB_TOP_COLUMNS_H

#include "vmm/top/view.h"

#define TOP_CELL_SIZE (4 * VM_NAME_MAX + 1)

enum top_format {
	TOP_TEXT, /* aligned left; the others are aligned right */
	TOP_BYTES,
	TOP_COUNT,
	TOP_PERCENT, /* of figures in 1/1000 */
	TOP_BAR,     /* how old a guest's memory is; of figures in bytes */
};

struct top_column_row {
	const char *title;
	const char *key; /* in JSON */
	enum top_format format;
	size_t width;
};

extern const struct top_column_row top_columns[TOP_COLUMNS];

/* Returns the figure of a column that is no text, or TOP_UNKNOWN. */
uint64_t top_figure(const struct top_figures *guest, enum top_column column);

/* Returns the text of TOP_NAME or TOP_STATUS. */
const char *top_text(const struct top_figures *guest, enum top_column column);

/* Writes a figure in up to 6 characters, "-" if it is unknown. @out has TOP_CELL_SIZE. Returns @out. */
const char *top_format(char *out, uint64_t figure, enum top_format format);

#endif
