// SPDX-License-Identifier: Apache-2.0
#include "vmm/guest_stat.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "vmm/util/text.h"

#define PATH_PARTS_MAX 64  /* bytes of one part of a path */
#define STRING_MAX     128 /* bytes of a string that a figure may be */

enum kind {
	GROUP, /* an object, or null where the guest was started without it */
	TEXT,
	COUNT,
	BYTES,
	SECONDS,
	DATE, /* seconds since 1970; 0: never */
	FLAG,
};

#define STATS "guest-stats/stats"

/* Counters' metrics end in _total, which is how they are told from gauges. */
static const struct figure {
	const char *path;
	enum kind kind;
	const char *label;
	const char *metric; /* without "ebb_", or NULL */
	const char *help;
} figures[] = {
	{"name", TEXT, "name", NULL, NULL},
	{"pid", COUNT, "process", "process_id", "Process that runs the guest."},
	{"status", TEXT, "status", "status", "1 for the guest's status."},
	{"uptime", SECONDS, "up for", "uptime_seconds", "Time since the guest was started."},
	{"cpus", COUNT, "CPUs", "cpus", "Virtual CPUs."},

	{"memory", GROUP, "memory", NULL, NULL},
	{"memory/size", BYTES, "size", "memory_size_bytes", "The guest's RAM."},
	{"memory/backing", TEXT, "made of", "memory_backing", "1 for what guest RAM is made of."},
	{"memory/page-size", BYTES, "page size", "memory_page_size_bytes",
	 "Page size of what guest RAM is made of."},
	{"memory/discard", TEXT, "taken back by", "memory_discard",
	 "1 for how memory is taken back."},
	{"memory/rss", BYTES, "resident", "memory_resident_bytes", "Guest RAM in host memory."},
	{"memory/pss", BYTES, "its share", "memory_proportional_bytes",
	 "Guest RAM in host memory, shared pages in proportion."},
	{"memory/huge", BYTES, "in huge pages", "memory_huge_bytes",
	 "Guest RAM in the host's huge pages."},
	{"memory/lazy-free", BYTES, "free when wanted", "memory_lazy_free_bytes",
	 "Guest RAM in host memory that the host takes when it wants it."},
	{"memory/swap", BYTES, "swapped out", "memory_swapped_bytes", "Guest RAM in host swap."},
	{"memory/locked", BYTES, "locked", "memory_locked_bytes", "Guest RAM locked in memory."},
	{"memory/inhibits", COUNT, "reasons not to discard", "memory_discard_inhibits",
	 "Reasons for which guest RAM is not discarded now."},

	{"balloon", GROUP, "balloon", NULL, NULL},
	{"balloon/target", BYTES, "target", "balloon_target_bytes",
	 "What is asked to be in the balloon."},
	{"balloon/actual", BYTES, "actual", "balloon_actual_bytes", "What is in the balloon."},
	{"balloon/state", TEXT, "state", "balloon_state", "1 for the balloon's state."},
	{"balloon/deflate-on-oom", FLAG, "deflates on OOM", "balloon_deflate_on_oom",
	 "1 where a guest short of memory takes it out of the balloon."},
	{"balloon/inflated", BYTES, "went in", "balloon_inflated_bytes_total",
	 "Memory that went into the balloon."},
	{"balloon/deflated", BYTES, "came out", "balloon_deflated_bytes_total",
	 "Memory that came out of the balloon."},
	{"balloon/discarded", BYTES, "given to the host", "balloon_discarded_bytes_total",
	 "Memory that went into the balloon and on to the host."},
	{"balloon/failures", COUNT, "failures", "balloon_failures_total",
	 "Discards of ballooned memory that failed."},

	{"reporting", GROUP, "free page reporting", NULL, NULL},
	{"reporting/enabled", FLAG, "enabled", "reporting_enabled",
	 "1 where the guest was offered to report free pages."},
	{"reporting/negotiated", FLAG, "the guest reports", "reporting_negotiated",
	 "1 where the guest reports free pages."},
	{"reporting/poison", FLAG, "pages are poisoned", "reporting_poison",
	 "1 where the guest fills free pages with a pattern."},
	{"reporting/reports", COUNT, "reports", "reporting_reports_total", "Reports."},
	{"reporting/blocks", COUNT, "blocks", "reporting_blocks_total", "Free blocks reported."},
	{"reporting/bytes", BYTES, "reported", "reporting_reported_bytes_total",
	 "Free memory reported."},
	{"reporting/ranges", COUNT, "ranges", "reporting_ranges_total",
	 "Ranges discarded, after neighbours were merged."},
	{"reporting/failures", COUNT, "failures", "reporting_failures_total",
	 "Discards of reported memory that failed."},
	{"reporting/held-back", BYTES, "held back", "reporting_held_back_bytes_total",
	 "Reported memory that was not discarded."},

	{"reclaim", GROUP, "reclaim", NULL, NULL},
	{"reclaim/negotiated", FLAG, "the guest can be asked", "reclaim_negotiated",
	 "1 where the guest gives memory back when asked."},
	{"reclaim/requests", COUNT, "requests", "reclaim_requests_total",
	 "Times that the guest was asked to give memory back."},
	{"reclaim/answered", COUNT, "answered", "reclaim_answered_total",
	 "Times that the guest answered that in time."},
	{"reclaim/timeouts", COUNT, "not answered in time", "reclaim_timeouts_total",
	 "Times that the guest did not answer that in time."},

	{"guest-stats", GROUP, "the guest's own statistics", NULL, NULL},
	{"guest-stats/updates", COUNT, "updates", "guest_stats_updates_total",
	 "Times that the guest sent its statistics."},
	{"guest-stats/last-update", DATE, "as of", "guest_stats_last_update_timestamp_seconds",
	 "When the guest last sent its statistics."},
	{STATS, GROUP, NULL, NULL, NULL},
	{STATS "/stat-swap-in", BYTES, "swapped in", "guest_swap_in_bytes_total",
	 "Memory that the guest swapped in."},
	{STATS "/stat-swap-out", BYTES, "swapped out", "guest_swap_out_bytes_total",
	 "Memory that the guest swapped out."},
	{STATS "/stat-major-faults", COUNT, "major page faults", "guest_major_faults_total",
	 "Page faults in the guest that read from a disk."},
	{STATS "/stat-minor-faults", COUNT, "minor page faults", "guest_minor_faults_total",
	 "Page faults in the guest that did not."},
	{STATS "/stat-free-memory", BYTES, "free memory", "guest_free_bytes",
	 "Memory that the guest uses for nothing."},
	{STATS "/stat-total-memory", BYTES, "total memory", "guest_total_bytes",
	 "Memory that the guest has."},
	{STATS "/stat-available-memory", BYTES, "available memory", "guest_available_bytes",
	 "Memory that the guest could give to programs without swapping."},
	{STATS "/stat-disk-caches", BYTES, "disk caches", "guest_disk_caches_bytes",
	 "File caches that the guest could drop."},
	{STATS "/stat-htlb-pgalloc", COUNT, "huge pages taken", "guest_hugetlb_allocations_total",
	 "Huge pages that the guest allocated."},
	{STATS "/stat-htlb-pgfail", COUNT, "huge pages refused", "guest_hugetlb_failures_total",
	 "Huge pages that the guest could not allocate."},
	{STATS "/stat-oom-kills", COUNT, "processes killed for memory", "guest_oom_kills_total",
	 "Processes that the guest killed for want of memory."},
	{STATS "/stat-alloc-stalls", COUNT, "allocations that stalled",
	 "guest_allocation_stalls_total", "Allocations in the guest that had to wait."},
	{STATS "/stat-async-scans", BYTES, "scanned in the background",
	 "guest_async_scanned_bytes_total", "Memory that the guest scanned in the background."},
	{STATS "/stat-direct-scans", BYTES, "scanned while one waited",
	 "guest_direct_scanned_bytes_total",
	 "Memory that the guest scanned while a process waited."},
	{STATS "/stat-async-reclaims", BYTES, "reclaimed in the background",
	 "guest_async_reclaimed_bytes_total", "Memory that the guest reclaimed in the background."},
	{STATS "/stat-direct-reclaims", BYTES, "reclaimed while one waited",
	 "guest_direct_reclaimed_bytes_total",
	 "Memory that the guest reclaimed while a process waited."},
	{STATS "/stat-ebb-passes", COUNT, "reporting passes", "guest_reporting_passes_total",
	 "Times that the guest looked for free blocks to report."},
	{STATS "/stat-ebb-blocks", COUNT, "blocks reported", "guest_reporting_blocks_total",
	 "Free blocks that the guest reported."},
	{STATS "/stat-ebb-blocks-early", COUNT, "blocks taken back early",
	 "guest_reporting_blocks_early_total",
	 "Blocks that the guest wanted back while it was reporting."},
	{STATS "/stat-ebb-pages-drained", COUNT, "pages drained", "guest_drained_pages_total",
	 "Free pages that the guest took off its CPUs' own lists."},
	{STATS "/stat-ebb-pages-unzeroed", COUNT, "pages not zeroed again",
	 "guest_unzeroed_pages_total",
	 "Pages that the guest need not zero, as the host had done so."},
};

#define FIGURES	       (sizeof(figures) / sizeof(figures[0]))
#define is_of_guest(f) (strncmp((f)->path, STATS "/", sizeof(STATS)) == 0)

/* --- paths ----------------------------------------------------------------------------------- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* The object that holds the last part of @path, or NULL. */
static json_t *holder(const json_t *object, const char *path)
{
	const char *slash;
	while ((slash = strchr(path, '/'))) {
		char part[PATH_PARTS_MAX];
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
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

const char *guest_stat_text(const json_t *stat, const char *path)
{
	const char *text = json_string_value(at(stat, path));
	return text ? text : "";
}

/* --- checking -------------------------------------------------------------------------------- */

/* What is wrong with @value as a figure of @kind, or NULL. */
static const char *wrong_with(const json_t *value, enum kind kind)
{
	switch (kind) {
	case GROUP:
		return json_is_object(value) || json_is_null(value) ? NULL : "is no object";
	case TEXT:
		if (!json_is_string(value))
			return "is no string";
		/* Jansson may have let a NUL through, which would end the string early. */
		return json_string_length(value) > STRING_MAX ||
				       json_string_length(value) != strlen(json_string_value(value))
			       ? "is no name"
			       : NULL;
	case FLAG:
		return json_is_boolean(value) ? NULL : "is neither true nor false";
	case SECONDS:
		if (!json_is_number(value) || !isfinite(json_number_value(value)))
			return "is no number";
		return json_number_value(value) < 0 ? "is below 0" : NULL;
	default:
		if (!json_is_integer(value))
			return "is no whole number";
		return json_integer_value(value) < 0 ? "is below 0" : NULL;
	}
}

json_t *guest_stat_check(const json_t *answer, struct option_error *error)
{
	if (!json_is_object(answer)) {
		options_fail(error, "the answer is no object");
		return NULL;
	}
	json_t *stat = json_object();
	for (size_t i = 0; i < FIGURES; i++) {
		const struct figure *figure = &figures[i];
		json_t *value = at(answer, figure->path);
		if (!value)
			continue;
		const char *wrong = wrong_with(value, figure->kind);
		if (wrong && is_of_guest(figure) && json_is_integer(value))
			continue;
		if (wrong) {
			options_fail(error, "%s %s", figure->path, wrong);
			json_decref(stat);
			return NULL;
		}
		value = figure->kind == GROUP && json_is_object(value) ? json_object()
								       : json_incref(value);
		json_object_set_new(holder(stat, figure->path), last_part(figure->path), value);
	}
	return stat;
}

/* --- for people ------------------------------------------------------------------------------ */

static const char *for_people(const json_t *value, enum kind kind, char *out)
{
	uint64_t number = (uint64_t)json_integer_value(value);
	time_t date = (time_t)number;
	struct tm tm;
	switch (kind) {
	case TEXT:
		return text_escape(out, TEXT_MAX, json_string_value(value), false);
	case FLAG:
		return json_is_true(value) ? "yes" : "no";
	case BYTES:
		return text_size(out, number);
	case SECONDS:
		snprintf(out, TEXT_MAX, "%.1f s", json_number_value(value));
		return out;
	case DATE:
		if (number == 0 || !localtime_r(&date, &tm) ||
		    strftime(out, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
			return "never";
		return out;
	default:
		snprintf(out, TEXT_MAX, "%llu", (unsigned long long)number);
		return out;
	}
}

void guest_stat_print(const json_t *stat, FILE *out)
{
	char text[TEXT_MAX];
	for (size_t i = 0; i < FIGURES; i++) {
		const struct figure *figure = &figures[i];
		const json_t *value = at(stat, figure->path);
		bool inner = strchr(figure->path, '/');
		if (!value || !figure->label)
			continue;
		if (figure->kind != GROUP)
			fprintf(out, "%*s%-*s  %s\n", inner ? 2 : 0, "", inner ? 28 : 30,
				figure->label, for_people(value, figure->kind, text));
		else
			fprintf(out, "\n%s%s\n", figure->label,
				json_is_null(value) ? ": none" : "");
	}
}

void guest_stat_print_memory(const json_t *stat, FILE *out)
{
	char name[TEXT_MAX];
	bool any = false;
	fprintf(out, "*** Memory statistics of guest %s ***\n\n",
		text_escape(name, sizeof(name), guest_stat_text(stat, "name"), false));
	for (size_t i = 0; i < FIGURES; i++) {
		const struct figure *figure = &figures[i];
		const json_t *value = is_of_guest(figure) ? at(stat, figure->path) : NULL;
		if (!value)
			continue;
		any = true;
		fprintf(out, "%.*s%s: %lld\n", (int)strlen(figure->help) - 1, figure->help,
			figure->kind == BYTES ? " (in bytes)" : "",
			(long long)json_integer_value(value));
	}
	fputs(any ? "\n" : "The guest has sent none.\n\n", out);
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

static void print_sample(const struct figure *figure, const char *guest, const json_t *value,
			 FILE *out)
{
	fprintf(out, "ebb_%s{", figure->metric);
	print_label("guest", guest, out);
	if (figure->kind == TEXT) {
		fputc(',', out);
		print_label(last_part(figure->path), json_string_value(value), out);
	}
	fputs("} ", out);
	if (figure->kind == TEXT || figure->kind == FLAG)
		fprintf(out, "%d\n", figure->kind == TEXT || json_is_true(value));
	else if (figure->kind == SECONDS)
		fprintf(out, "%.3f\n", json_number_value(value));
	else
		fprintf(out, "%lld\n", (long long)json_integer_value(value));
}

/* A metric's lines must not be mixed with another's: HELP and TYPE once, then every guest. */
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
		print_sample(figure, guest_stat_text(guest, "name"), value, out);
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
	for (size_t f = 0; f < FIGURES; f++)
		if (figures[f].metric)
			print_metric(&figures[f], guests, out);
}
