// SPDX-License-Identifier: Apache-2.0
/* The monitor's commands about memory: the balloon, its statistics, and all that `ebb stat` shows. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/machine/machine.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/usage.h"
#include "vmm/monitor/monitor.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

#define BALLOON_PATH "/machine/peripheral/balloon0"
/* A guest that is asked more often than that does nothing else. */
#define STATS_INTERVAL_MAX 86400

struct balloon *monitor_balloon_here(struct monitor *monitor, struct control_error *error)
{
	if (monitor->machine->config->balloon)
		return &monitor->machine->balloon;
	control_fail_as(error, "DeviceNotActive", "No balloon device has been activated");
	return NULL;
}

/* --- the balloon, as QEMU counts: what the guest has left ------------------------------------- */

static json_t *guest_has(struct monitor *monitor, struct balloon *balloon)
{
	uint64_t actual = balloon_view(balloon, clock_ns()).actual;
	return json_pack("{s:I}", "actual",
			 (json_int_t)(ram_size(&monitor->machine->ram) - actual));
}

json_t *monitor_query_balloon(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct balloon *balloon = monitor_balloon_here(ctx, error);
	(void)arguments;
	return balloon ? guest_has(ctx, balloon) : NULL;
}

json_t *monitor_balloon(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	struct balloon *balloon = monitor_balloon_here(monitor, error);
	const json_t *value = balloon ? monitor_integer(arguments, "value", error) : NULL;
	if (!value)
		return NULL;

	json_int_t left = json_integer_value(value);
	uint64_t size = ram_size(&monitor->machine->ram);
	if (left <= 0)
		return control_fail(error, "Parameter 'value' expects a size in bytes");
	balloon_set_target(balloon, (uint64_t)left < size ? size - left : 0);
	return json_object();
}

static void balloon_changed(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(monitor->balloon_changed.fd))
		control_server_event(monitor->server, "BALLOON_CHANGE",
				     guest_has(monitor, &monitor->machine->balloon));
}

void monitor_balloon_changed(void *ctx)
{
	struct monitor *monitor = ctx;
	wake_ring(monitor->balloon_changed.fd);
}

/* --- the guest's statistics ------------------------------------------------------------------ */

static json_t *stats_object(const struct balloon_stats *stats, bool absent_too)
{
	json_t *object = json_object();
	for (unsigned int stat = 0; stat < BALLOON_STATS_ALL; stat++) {
		/* JSON's integers end at 2^63 here: what a guest says beyond that is no figure. */
		json_int_t value = stats->value[stat] > INT64_MAX ? INT64_MAX : stats->value[stat];
		if (stats->present[stat])
			json_object_set_new(object, balloon_stat_name(stat), json_integer(value));
		else if (absent_too && stat < BALLOON_STAT_TAGS)
			json_object_set_new(object, balloon_stat_name(stat), json_integer(-1));
	}
	return object;
}

static void stats_timer_rang(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(monitor->stats_timer.fd))
		balloon_stats_request(&monitor->machine->balloon);
}

json_t *monitor_stats_request(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct balloon *balloon = monitor_balloon_here(ctx, error);
	struct balloon_stats stats;
	(void)arguments;
	if (!balloon)
		return NULL;
	balloon_stats_get(balloon, &stats);
	balloon_stats_request(balloon);
	return json_pack("{s:I}", "updates", (json_int_t)stats.updates);
}

/* --- QOM: of QEMU's tree of objects, the way to the balloon ----------------------------------- */

static const struct {
	const char *path, *name, *type;
} qom_properties[] = {
	{"/", "machine", "child<container>"},
	{"/machine", "peripheral", "child<container>"},
	{"/machine/peripheral", "balloon0", "child<virtio-balloon-device>"},
	{BALLOON_PATH, "type", "string"},
	{BALLOON_PATH, "guest-stats", "guest statistics"},
	{BALLOON_PATH, "guest-stats-polling-interval", "int"},
	{BALLOON_PATH, "deflate-on-oom", "bool"},
	{BALLOON_PATH, "free-page-reporting", "bool"},
};

static json_t *no_such_path(const char *path, struct control_error *error)
{
	return control_fail_as(error, "DeviceNotFound", "Device '%.100s' not found", path);
}

/* The string @name of @arguments, or NULL and *@error filled in. */
static const char *string_argument(const json_t *arguments, const char *name,
				   struct control_error *error)
{
	const char *text = json_string_value(json_object_get(arguments, name));
	if (!text)
		control_fail(error, "Parameter '%s' is missing or no string", name);
	return text;
}

json_t *monitor_qom_list(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	bool balloon = monitor->machine->config->balloon;
	const char *path = string_argument(arguments, "path", error);
	if (!path)
		return NULL;

	json_t *list = json_array();
	bool found = false;
	for (size_t i = 0; i < sizeof(qom_properties) / sizeof(qom_properties[0]); i++) {
		bool of_balloon = strstr(qom_properties[i].path, "balloon0") != NULL;
		if (strcmp(qom_properties[i].path, path) != 0 || (of_balloon && !balloon))
			continue;
		found = true;
		if (strcmp(qom_properties[i].name, "balloon0") == 0 && !balloon)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", qom_properties[i].name,
						      "type", qom_properties[i].type));
	}
	if (found)
		return list;
	json_decref(list);
	return no_such_path(path, error);
}

/* The property's name, where @arguments name one of the balloon's; or NULL and *@error filled in. */
static const char *balloon_property(struct monitor *monitor, const json_t *arguments,
				    struct control_error *error)
{
	const char *path = string_argument(arguments, "path", error);
	const char *property = path ? string_argument(arguments, "property", error) : NULL;
	if (!property)
		return NULL;
	if (strcmp(path, BALLOON_PATH) != 0 || !monitor->machine->config->balloon) {
		no_such_path(path, error);
		return NULL;
	}
	return property;
}

static json_t *no_such_property(const char *property, struct control_error *error)
{
	return control_fail(error, "Property 'virtio-balloon-device.%.100s' not found", property);
}

json_t *monitor_qom_get(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	const struct vm_config *config = monitor->machine->config;
	const char *property = balloon_property(monitor, arguments, error);
	if (!property)
		return NULL;

	if (strcmp(property, "guest-stats") == 0) {
		struct balloon_stats stats;
		balloon_stats_get(&monitor->machine->balloon, &stats);
		return json_pack("{s:o, s:I}", "stats", stats_object(&stats, true), "last-update",
				 (json_int_t)stats.updated);
	}
	if (strcmp(property, "guest-stats-polling-interval") == 0)
		return json_integer(monitor->stats_interval);
	if (strcmp(property, "type") == 0)
		return json_string("virtio-balloon-device");
	if (strcmp(property, "deflate-on-oom") == 0)
		return json_boolean(config->deflate_on_oom);
	if (strcmp(property, "free-page-reporting") == 0)
		return json_boolean(config->free_page_reporting);
	return no_such_property(property, error);
}

json_t *monitor_qom_set(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	const char *property = balloon_property(monitor, arguments, error);
	if (!property)
		return NULL;
	if (strcmp(property, "guest-stats-polling-interval") != 0)
		return no_such_property(property, error);

	const json_t *value = monitor_integer(arguments, "value", error);
	if (!value)
		return NULL;
	json_int_t interval = json_integer_value(value);
	if (interval < 0 || interval > STATS_INTERVAL_MAX)
		return control_fail(error, "timer value must be 0 to %d seconds",
				    STATS_INTERVAL_MAX);
	int failed = wake_timer_every(monitor->stats_timer.fd, (unsigned int)interval);
	if (failed)
		return control_fail(error, "cannot set the timer: %s", strerror(-failed));
	monitor->stats_interval = interval;
	if (interval > 0)
		balloon_stats_request(&monitor->machine->balloon);
	return json_object();
}

/* --- x-ebb-stat: all that there is to say ---------------------------------------------------- */

static json_t *memory_object(const struct machine *machine)
{
	static const char *const backing[] = {
		[RAM_ANON] = "anon", [RAM_MEMFD] = "memfd", [RAM_HUGETLBFS] = "hugetlbfs"};
	static const char *const discard[] = {
		[DISCARD_DONTNEED] = "dontneed", [DISCARD_FREE] = "free"};
	const struct ram *ram = &machine->ram;
	struct ram_usage usage = {0};

	/* What cannot be read is 0: a figure that is missing shall not hide the others. */
	ram_usage(ram, &usage);
	return json_pack("{s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "size",
			 json_count(ram_size(ram)), "backing", backing[ram->backing], "page-size",
			 json_count(ram->page_size), "discard", discard[ram->discard], "rss",
			 json_count(usage.rss), "pss", json_count(usage.pss), "huge",
			 json_count(usage.huge), "lazy-free", json_count(usage.lazyfree), "swap",
			 json_count(usage.swap), "locked", json_count(usage.locked), "inhibits",
			 json_count(ram_discard_inhibits(ram)));
}

static json_t *balloon_object(struct machine *machine)
{
	static const char *const state[] = {
		[BALLOON_NO_DRIVER] = "no-driver",
		[BALLOON_REACHED] = "reached",
		[BALLOON_MOVING] = "moving",
		[BALLOON_STUCK] = "stuck",
	};
	const struct balloon_counters *counters = &machine->balloon.counters;
	struct balloon_view view = balloon_view(&machine->balloon, clock_ns());

	return json_pack("{s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o}", "target",
			 json_count(view.target), "actual", json_count(view.actual), "state",
			 state[view.state], "deflate-on-oom", machine->config->deflate_on_oom,
			 "inflated", json_count(counters->balloon.inflated << 12), "deflated",
			 json_count(counters->balloon.deflated << 12), "discarded",
			 json_count(counters->balloon.bytes), "failures",
			 json_count(counters->balloon.failures), "held-back",
			 json_count(counters->balloon.held_back));
}

static json_t *reporting_object(const struct machine *machine)
{
	const struct balloon_counters *counters = &machine->balloon.counters;
	uint64_t features = machine->balloon.dev.features;

	return json_pack("{s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "enabled", 1,
			 "negotiated", (features >> VIRTIO_BALLOON_F_REPORTING) & 1, "poison",
			 (features >> VIRTIO_BALLOON_F_PAGE_POISON) & 1, "reports",
			 json_count(counters->reporting.reports), "blocks",
			 json_count(counters->reporting.blocks), "bytes",
			 json_count(counters->reporting.bytes), "ranges",
			 json_count(counters->reporting.ranges), "failures",
			 json_count(counters->reporting.failures), "held-back",
			 json_count(counters->reporting.held_back));
}

static json_t *reclaim_object(const struct machine *machine)
{
	const struct balloon_counters *counters = &machine->balloon.counters;

	return json_pack("{s:b, s:o, s:o, s:o}", "negotiated", balloon_reclaims(&machine->balloon),
			 "requests", json_count(counters->reclaim.requests), "answered",
			 json_count(counters->reclaim.answered), "timeouts",
			 json_count(counters->reclaim.timeouts));
}

static json_t *guest_stats_object(struct machine *machine)
{
	struct balloon_stats stats;
	balloon_stats_get(&machine->balloon, &stats);
	return json_pack("{s:o, s:o, s:o}", "updates", json_count(stats.updates), "last-update",
			 json_count(stats.updated), "stats", stats_object(&stats, false));
}

json_t *monitor_stat(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	struct machine *machine = monitor->machine;
	const struct vm_config *config = machine->config;
	uint64_t started = monitor->started.tv_sec * NS_PER_S + monitor->started.tv_nsec;
	(void)arguments, (void)error;

	return json_pack("{s:s, s:i, s:s, s:f, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
			 config->name, "pid", (int)getpid(), "status", monitor_status(monitor),
			 "uptime", (double)(clock_ns() - started) / NS_PER_S, "cpus",
			 (int)config->cpus, "memory", memory_object(machine), "balloon",
			 config->balloon ? balloon_object(machine) : json_null(), "reporting",
			 config->free_page_reporting ? reporting_object(machine) : json_null(),
			 "reclaim",
			 config->free_page_reporting ? reclaim_object(machine) : json_null(),
			 "guest-stats", config->balloon ? guest_stats_object(machine) : json_null(),
			 "disks", monitor_disks_list(&machine->disks));
}

/* --- sources --------------------------------------------------------------------------------- */

int monitor_memory_init(struct monitor *monitor)
{
	struct loop *loop = &monitor->machine->loop;
	monitor->balloon_changed = (struct loop_source){-1, balloon_changed, monitor};
	monitor->stats_timer = (struct loop_source){-1, stats_timer_rang, monitor};

	monitor->balloon_changed.fd = wake_open();
	monitor->stats_timer.fd = wake_timer_open();
	int error = 0;
	if (monitor->balloon_changed.fd < 0 || monitor->stats_timer.fd < 0)
		error = -errno;
	if (!error)
		error = loop_add(loop, &monitor->balloon_changed);
	if (!error)
		error = loop_add(loop, &monitor->stats_timer);
	if (error)
		log_error("cannot watch the balloon: %s", strerror(-error));
	return error;
}

void monitor_memory_release(struct monitor *monitor)
{
	if (monitor->balloon_changed.fd >= 0)
		close(monitor->balloon_changed.fd);
	if (monitor->stats_timer.fd >= 0)
		close(monitor->stats_timer.fd);
	monitor->balloon_changed.fd = monitor->stats_timer.fd = -1;
}
