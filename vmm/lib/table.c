// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/table.h"

#include <stdlib.h>

#include "vmm/lib/text.h"

static const char *cell_text(const struct table_column *column, const json_t *row, char *out)
{
	const json_t *value = json_object_get(row, column->key);
	if (column->format == TABLE_TEXT && json_is_string(value))
		return text_escape(out, TEXT_MAX, json_string_value(value), false);
	if (column->format == TABLE_TEXT || !json_is_integer(value) ||
	    json_integer_value(value) < 0)
		return "-";
	if (column->format == TABLE_SIZE)
		return text_size(out, (uint64_t)json_integer_value(value));
	snprintf(out, TEXT_MAX, "%lld", (long long)json_integer_value(value));
	return out;
}

static void print_cell(const char *text, size_t width, bool right, bool last, FILE *out)
{
	int pad = (int)(width - text_width(text));
	if (right)
		fprintf(out, "%*s%s", pad, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table_column *column, size_t columns, const json_t *rows, FILE *out)
{
	char text[TEXT_MAX];
	size_t width[TABLE_COLUMNS_MAX];

	for (size_t c = 0; c < columns; c++) {
		width[c] = text_width(column[c].title);
		for (size_t i = 0; i < json_array_size(rows); i++) {
			const json_t *row = json_array_get(rows, i);
			size_t this = text_width(cell_text(&column[c], row, text));
			width[c] = this > width[c] ? this : width[c];
		}
	}
	for (size_t c = 0; c < columns; c++)
		print_cell(column[c].title, width[c], column[c].format != TABLE_TEXT,
			   c + 1 == columns, out);
	for (size_t i = 0; i < json_array_size(rows); i++)
		for (size_t c = 0; c < columns; c++)
			print_cell(cell_text(&column[c], json_array_get(rows, i), text), width[c],
				   column[c].format != TABLE_TEXT, c + 1 == columns, out);
}

void table_print_json(const json_t *value, FILE *out)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	/* Jansson does not escape DEL, which can only be within a string. */
	for (const char *c = text; c && *c; c++)
		fprintf(out, *c == 0x7f ? "\\u%04x" : "%c", *c);
	free(text);
	fputc('\n', out);
}
