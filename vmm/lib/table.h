/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of figures, for people and for programs alike: a JSON array of objects, printed as such or
 * as columns.
 *
 * Thread: any.
 */
#ifndef EBB_LIB_TABLE_H
#define EBB_LIB_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

enum table_format {
	TABLE_TEXT,   /* to the left */
	TABLE_NUMBER, /* to the right */
	TABLE_SIZE,   /* to the right: bytes, shown in MiB */
};

struct table_column {
	const char *title;
	const char *key;
	enum table_format format;
};

#define TABLE_COLUMNS_MAX 8

/* What a row does not have, or has as another type than its column, is "-". Nothing of a row
 * steers the terminal. */
void table_print(const struct table_column *column, size_t columns, const json_t *rows, FILE *out);

/* @value on lines of its own, in ASCII. */
void table_print_json(const json_t *value, FILE *out);

#endif
