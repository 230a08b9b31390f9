// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/guest_stat.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "vmm/control/guest_figures.h"
#include "vmm/lib/sizes.h"
#include "vmm/lib/text.h"

#define PATH_PARTS_MAX 64   /* bytes of one part of a path */
#define STRING_MAX     128  /* bytes of a string that a figure may be */
#define NAME_MAX_BYTES 4096 /* likewise, of a file's name */

#define LIST_MAX       64 /* more than any guest has of a kind */
#define is_of_guest(f) (strncmp((f)->path, FIGURE_STATS "/", sizeof(FIGURE_STATS)) == 0)

/* --- paths ----------------------------------------------------------------------------------- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Returns the object that holds the last part of @path, or NULL. */
static json_t *holder(const json_t *object, const char *path)
{
	const char *slash;
	while ((slash = strchr(path, '/'))) {
		char part[PATH_PARTS_MAX];
		size_t len = min((size_t)(slash - path), sizeof(part) - 1);
		memcpy(part, path, len);
		part[len] = '\0';
		object = json_object_get(object, part);
		path = slash + 1;
	}
	return (json_t *)object;
}

static json_t *at(const json_t *object, const char *path)
{
	return json_object_get(holder(object, path), last_part(path));
}

uint64_t guest_stat_number(const json_t *stat, const char *path, uint64_t otherwise)
{
	const json_t *value = at(stat, path);
	return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

uint64_t guest_stat_own(const json_t *stat, uint64_t otherwise)
{
	uint64_t resident = guest_stat_number(stat, "memory/rss", otherwise);
	uint64_t own = guest_stat_number(stat, "memory/own", resident);
	return own < resident ? own : resident;
}

const char *guest_stat_text(const json_t *stat, const char *path)
{
	const char *text = json_string_value(at(stat, path));
	return text ? text : "";
}

/* --- checking -------------------------------------------------------------------------------- */

/* Returns the error in @value as a figure of @kind, or NULL. */
static const char *wrong_with(const json_t *value, enum figure_kind kind)
{
	switch (kind) {
	case FIGURE_GROUP:
		return json_is_object(value) || json_is_null(value) ? NULL : "is not an object";
	case FIGURE_LIST:
		return json_is_array(value) && json_array_size(value) <= LIST_MAX ? NULL
										  : "is not a list";
	case FIGURE_TEXT:
	case FIGURE_NAME:
		if (!json_is_string(value))
			return "is not a string";
		return json_string_length(value) > (kind == FIGURE_NAME ? NAME_MAX_BYTES
									: STRING_MAX) ||
				       json_string_length(value) != strlen(json_string_value(value))
			       ? "is not a name"
			       : NULL;
	case FIGURE_FLAG:
		return json_is_boolean(value) ? NULL : "is neither true nor false";
	case FIGURE_SECONDS:
		if (!json_is_number(value) || !isfinite(json_number_value(value)))
			return "is not a number";
		return json_number_value(value) < 0 ? "is below 0" : NULL;
	default:
		if (!json_is_integer(value))
			return "is not a whole number";
		return json_integer_value(value) < 0 ? "is below 0" : NULL;
	}
}

static const struct figure_list *list_of(const char *path)
{
	for (size_t i = 0; i < guest_lists_count; i++)
		if (strcmp(guest_lists[i].path, path) == 0)
			return &guest_lists[i];
	return NULL;
}

/* Returns a new object with the figures of one object of @list, or NULL with @error set. */
static json_t *check_object(const struct figure_list *list, const json_t *object,
			    struct option_error *error)
{
	json_t *checked = json_object();
	const char *wrong = wrong_with(object, FIGURE_GROUP), *path = list->name;
	for (size_t i = 0; i < list->figures && !wrong; i++) {
		json_t *value = json_object_get(object, list->figure[i].path);
		path = list->figure[i].path;
		wrong = value ? wrong_with(value, list->figure[i].kind) : NULL;
		if (value)
			json_object_set(checked, path, value);
	}
	if (!wrong)
		return checked;
	options_fail(error, "%s/%s %s", list->path, path, wrong);
	json_decref(checked);
	return NULL;
}

/* Returns a new list of such objects, or NULL with @error set. */
static json_t *check_list(const struct figure_list *list, const json_t *objects,
			  struct option_error *error)
{
	json_t *checked = json_array();
	for (size_t i = 0; i < json_array_size(objects); i++) {
		json_t *object = check_object(list, json_array_get(objects, i), error);
		if (!object) {
			json_decref(checked);
			return NULL;
		}
		json_array_append_new(checked, object);
	}
	return checked;
}

/* Returns a new reference to the known part of @value, which fits @figure; or NULL with @error. */
static json_t *checked(json_t *value, const struct figure *figure, struct option_error *error)
{
	enum figure_kind kind = figure->kind;
	if (kind == FIGURE_LIST)
		return check_list(list_of(figure->path), value, error);
	return kind == FIGURE_GROUP && json_is_object(value) ? json_object() : json_incref(value);
}

json_t *guest_stat_check(const json_t *answer, struct option_error *error)
{
	if (!json_is_object(answer)) {
		options_fail(error, "the answer is not an object");
		return NULL;
	}
	json_t *stat = json_object();
	for (size_t i = 0; i < guest_figures_count; i++) {
		const struct figure *figure = &guest_figures[i];
		json_t *value = at(answer, figure->path);
		if (!value)
			continue;
		const char *wrong = wrong_with(value, figure->kind);
		if (wrong && is_of_guest(figure) && json_is_integer(value))
			continue;
		if (wrong)
			options_fail(error, "%s %s", figure->path, wrong);
		value = wrong ? NULL : checked(value, figure, error);
		if (!value) {
			json_decref(stat);
			return NULL;
		}
		json_object_set_new(holder(stat, figure->path), last_part(figure->path), value);
	}
	return stat;
}

/* --- for people ------------------------------------------------------------------------------ */

static const char *for_people(const json_t *value, enum figure_kind kind, char *out)
{
	uint64_t number = (uint64_t)json_integer_value(value);
	time_t date = (time_t)number;
	struct tm tm;
	switch (kind) {
	case FIGURE_TEXT:
	case FIGURE_NAME:
		return text_escape(out, TEXT_MAX, json_string_value(value), false);
	case FIGURE_FLAG:
		return json_is_true(value) ? "yes" : "no";
	case FIGURE_BYTES:
		return text_size(out, number);
	case FIGURE_SECONDS:
		snprintf(out, TEXT_MAX, "%.1f s", json_number_value(value));
		return out;
	case FIGURE_MICROSECONDS:
		snprintf(out, TEXT_MAX, "%.3f s", (double)number / 1e6);
		return out;
	case FIGURE_DATE:
		if (number == 0 || !localtime_r(&date, &tm) ||
		    strftime(out, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
			return "never";
		return out;
	default:
		snprintf(out, TEXT_MAX, "%llu", (unsigned long long)number);
		return out;
	}
}

static void print_list(const struct figure_list *list, const json_t *objects, const char *label,
		       FILE *out)
{
	char text[TEXT_MAX];
	for (size_t i = 0; i < json_array_size(objects); i++) {
		const json_t *object = json_array_get(objects, i);
		fprintf(out, "\n%s %s\n", label,
			text_escape(text, sizeof(text), guest_stat_text(object, list->name),
				    false));
		for (size_t f = 0; f < list->figures; f++) {
			const struct figure *figure = &list->figure[f];
			const json_t *value = json_object_get(object, figure->path);
			if (value && figure->label)
				fprintf(out, "  %-28s  %s\n", figure->label,
					for_people(value, figure->kind, text));
		}
	}
}

void guest_stat_print(const json_t *stat, FILE *out)
{
	char text[TEXT_MAX];
	for (size_t i = 0; i < guest_figures_count; i++) {
		const struct figure *figure = &guest_figures[i];
		const json_t *value = at(stat, figure->path);
		bool inner = strchr(figure->path, '/');
		if (!value || !figure->label)
			continue;
		if (figure->kind == FIGURE_LIST)
			print_list(list_of(figure->path), value, figure->label, out);
		else if (figure->kind != FIGURE_GROUP)
			fprintf(out, "%*s%-*s  %s\n", inner ? 2 : 0, "", inner ? 28 : 30,
				figure->label, for_people(value, figure->kind, text));
		else
			fprintf(out, "\n%s%s\n", figure->label,
				json_is_null(value) ? ": none" : "");
	}
}

static const char *unit_of(enum figure_kind kind)
{
	if (kind == FIGURE_MICROSECONDS)
		return " (in microseconds)";
	return kind == FIGURE_BYTES ? " (in bytes)" : "";
}

void guest_stat_print_memory(const json_t *stat, FILE *out)
{
	char name[TEXT_MAX];
	bool any = false;
	fprintf(out, "*** Memory statistics of guest %s ***\n\n",
		text_escape(name, sizeof(name), guest_stat_text(stat, "name"), false));
	for (size_t i = 0; i < guest_figures_count; i++) {
		const struct figure *figure = &guest_figures[i];
		const json_t *value = is_of_guest(figure) ? at(stat, figure->path) : NULL;
		if (!value)
			continue;
		any = true;
		fprintf(out, "%.*s%s: %lld\n", (int)strlen(figure->help) - 1, figure->help,
			unit_of(figure->kind), (long long)json_integer_value(value));
	}
	fputs(any ? "\n" : "The guest has sent no statistics.\n\n", out);
}

/* --- for Prometheus -------------------------------------------------------------------------- */

static void print_label(const char *label, const char *text, FILE *out)
{
	char escaped[TEXT_MAX];
	fprintf(out, "%s=\"", label);
	for (const char *c = text_escape(escaped, sizeof(escaped), text, false); *c; c++) {
		if (*c == '\\' || *c == '"')
			fputc('\\', out);
		fputc(*c, out);
	}
	fputc('"', out);
}

static void print_head(const char *metric, const char *help, FILE *out)
{
	const char *last = strrchr(metric, '_');
	bool counter = last && strcmp(last, "_total") == 0;
	fprintf(out, "# HELP ebb_%s %s\n# TYPE ebb_%s %s\n", metric, help, metric,
		counter ? "counter" : "gauge");
}

/* @label and @name: of an object of a list, or NULL for a figure of the guest itself. */
static void print_sample(const struct figure *figure, const char *guest, const char *label,
			 const char *name, const json_t *value, FILE *out)
{
	fprintf(out, "ebb_%s{", figure->metric);
	print_label("guest", guest, out);
	if (label) {
		fputc(',', out);
		print_label(label, name, out);
	}
	bool text = figure->kind == FIGURE_TEXT || figure->kind == FIGURE_NAME;
	if (text) {
		fputc(',', out);
		print_label(last_part(figure->path), json_string_value(value), out);
	}
	fputs("} ", out);
	if (text || figure->kind == FIGURE_FLAG)
		fprintf(out, "%d\n", text || json_is_true(value));
	else if (figure->kind == FIGURE_SECONDS)
		fprintf(out, "%.3f\n", json_number_value(value));
	else if (figure->kind == FIGURE_MICROSECONDS)
		fprintf(out, "%.6f\n", (double)json_integer_value(value) / 1e6);
	else
		fprintf(out, "%lld\n", (long long)json_integer_value(value));
}

/* The format wants all lines of a metric together: HELP and TYPE once, then every guest. */
static void print_metric(const struct figure *figure, const json_t *guests, FILE *out)
{
	bool headed = false;
	for (size_t i = 0; i < json_array_size(guests); i++) {
		const json_t *guest = json_array_get(guests, i);
		const json_t *value = at(json_object_get(guest, "stat"), figure->path);
		if (!value)
			continue;
		if (!headed)
			print_head(figure->metric, figure->help, out);
		headed = true;
		print_sample(figure, guest_stat_text(guest, "name"), NULL, NULL, value, out);
	}
}

static void print_list_metric(const struct figure_list *list, const struct figure *figure,
			      const json_t *guests, FILE *out)
{
	bool headed = false;
	for (size_t i = 0; i < json_array_size(guests); i++) {
		const json_t *guest = json_array_get(guests, i);
		const json_t *objects = at(json_object_get(guest, "stat"), list->path);
		for (size_t o = 0; o < json_array_size(objects); o++) {
			const json_t *object = json_array_get(objects, o);
			const json_t *value = json_object_get(object, figure->path);
			if (!value)
				continue;
			if (!headed)
				print_head(figure->metric, figure->help, out);
			headed = true;
			print_sample(figure, guest_stat_text(guest, "name"), list->name,
				     guest_stat_text(object, list->name), value, out);
		}
	}
}

void guest_stat_print_metrics(const json_t *guests, FILE *out)
{
	print_head("up", "1 for a guest that lives and answers.", out);
	for (size_t i = 0; i < json_array_size(guests); i++) {
		const json_t *guest = json_array_get(guests, i);
		fputs("ebb_up{", out);
		print_label("guest", guest_stat_text(guest, "name"), out);
		fprintf(out, "} %d\n", json_is_object(json_object_get(guest, "stat")));
	}
	for (size_t f = 0; f < guest_figures_count; f++)
		if (guest_figures[f].metric)
			print_metric(&guest_figures[f], guests, out);
	for (size_t l = 0; l < guest_lists_count; l++)
		for (size_t f = 0; f < guest_lists[l].figures; f++)
			if (guest_lists[l].figure[f].metric)
				print_list_metric(&guest_lists[l], &guest_lists[l].figure[f],
						  guests, out);
}
