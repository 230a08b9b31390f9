/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people and for programs: a JSON array of objects, printed in columns or as JSON.
 *
 * Thread: any.
 */
#ifndef EBB_LIB_TABLE_H
#define EBB_LIB_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

enum table_format {
	TABLE_TEXT,   /* a string, aligned left */
	TABLE_NUMBER, /* an integer, aligned right */
	TABLE_SIZE,   /* an integer, in bytes, shown by text_size(), aligned right */
};

struct table_column {
	const char *title;
	const char *key;
	enum table_format format;
};

#define TABLE_COLUMNS_MAX 8

/*
 * Prints up to TABLE_COLUMNS_MAX columns. A cell that is missing, or does not fit its column's
 * format, is "-". Texts are escaped by text_escape().
 */
void table_print(const struct table_column *column, size_t columns, const json_t *rows, FILE *out);

/* Prints @value as indented JSON in printable ASCII. */
void table_print_json(const json_t *value, FILE *out);

#endif
