// SPDX-License-Identifier: Apache-2.0
/* The figures of a view, for programs. */
#include "vmm/lib/json.h"
#include "vmm/top/columns.h"

static void set(json_t *object, const char *key, uint64_t figure, enum top_format format)
{
	if (figure == TOP_UNKNOWN)
		return;
	json_object_set_new(object, key,
			    format == TOP_PERCENT ? json_real((double)figure / 10)
						  : json_count(figure));
}

static json_t *ages_object(const struct top_ages *ages)
{
	static const char *const key[TOP_AGE_COUNT] = {
		[TOP_ALL] = "all",     [TOP_10S] = "10s", [TOP_1MIN] = "1min",
		[TOP_10MIN] = "10min", [TOP_1H] = "1h",
	};
	json_t *object = json_object();
	for (int age = 0; age < TOP_AGE_COUNT; age++)
		set(object, key[age], ages->bytes[age], TOP_BYTES);
	return object;
}

static json_t *guest_object(const struct top_figures *guest)
{
	json_t *object = json_object();
	for (int i = 0; i < TOP_COLUMNS; i++) {
		const struct top_column_row *column = &top_columns[i];
		if (column->format == TOP_TEXT)
			json_object_set_new(object, column->key, json_string(top_text(guest, i)));
		else
			set(object, column->key, top_figure(guest, i), column->format);
	}
	if (guest->both.bytes[TOP_ALL] != TOP_UNKNOWN)
		json_object_set_new(object, "ages",
				    json_pack("{s:o, s:o}", "programs",
					      ages_object(&guest->ages[TOP_PROGRAMS]), "files",
					      ages_object(&guest->ages[TOP_FILES])));
	if (guest->pid)
		json_object_set_new(object, "pid", json_integer(guest->pid));
	return object;
}

json_t *top_json(const struct top_host *host, struct top_figures *const *guest, size_t count)
{
	json_t *object = json_object();
	json_t *about = json_object();
	json_t *guests = json_array();
	set(about, "total", host->total, TOP_BYTES);
	set(about, "available", host->available, TOP_BYTES);
	if (host->pressure != TOP_UNKNOWN)
		json_object_set_new(about, "pressure", json_real((double)host->pressure / 100));
	for (size_t i = 0; i < count; i++)
		json_array_append_new(guests, guest_object(guest[i]));
	json_object_set_new(object, "host", about);
	json_object_set_new(object, "guests", guests);
	return object;
}
