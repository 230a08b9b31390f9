// SPDX-License-Identifier: Apache-2.0
/* The balloon: its size, its target, free page reporting, the guest's statistics. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/json.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"
#include "vmm/machine/device_balloon.h"
#include "vmm/monitor/part.h"

/* Without a balloon both sources are closed and not in the loop. */
struct balloon_part {
	struct loop_source changed; /* eventfd: the driver wrote `actual` */
	struct loop_source timer;   /* timerfd: guest-stats-polling-interval */
	unsigned int interval;	    /* seconds; 0: only on request */
};

static struct balloon_part *part_of(const struct monitor *monitor)
{
	return monitor_state(monitor, &monitor_balloon);
}

struct balloon *monitor_balloon_here(const struct monitor *monitor, struct control_error *error)
{
	struct balloon *balloon = machine_balloon(monitor->machine);
	if (!balloon)
		control_fail_as(error, "DeviceNotActive", "No balloon device has been activated");
	return balloon;
}

/* --- the balloon's size as QEMU counts it: the memory left to the guest ----------------------- */

static json_t *guest_has(struct monitor *monitor, struct balloon *balloon)
{
	uint64_t actual = balloon_view(balloon, clock_ns()).actual;
	return json_pack("{s:I}", "actual",
			 (json_int_t)(ram_size(&monitor->machine->ram) - actual));
}

static json_t *query_balloon(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct balloon *balloon = monitor_balloon_here(ctx, error);
	(void)arguments;
	return balloon ? guest_has(ctx, balloon) : NULL;
}

static json_t *set_balloon(void *ctx, const json_t *arguments, struct control_error *error)
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
	/* Who sets the size means the whole balloon. */
	monitor_drop_lease(monitor);
	balloon_set_target(balloon, (uint64_t)left < size ? size - left : 0);
	return json_object();
}

static void changed(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(part_of(monitor)->changed.fd))
		monitor_event(monitor, "BALLOON_CHANGE",
			      guest_has(monitor, machine_balloon(monitor->machine)));
}

/* On a vCPU's thread. */
static void tell_changed(void *ctx)
{
	wake_ring(part_of(ctx)->changed.fd);
}

/* --- the guest's statistics ------------------------------------------------------------------ */

json_t *monitor_stats_object(const struct balloon_stats *stats, bool absent_too)
{
	json_t *object = json_object();
	for (unsigned int stat = 0; stat < BALLOON_STATS_ALL; stat++) {
		/* Jansson's integers end at 2^63 - 1. */
		json_int_t value = stats->value[stat] > INT64_MAX ? INT64_MAX : stats->value[stat];
		if (stats->present[stat])
			json_object_set_new(object, balloon_stat_name(stat), json_integer(value));
		else if (absent_too && stat < BALLOON_STAT_TAGS)
			json_object_set_new(object, balloon_stat_name(stat), json_integer(-1));
	}
	return object;
}

static void timer_rang(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(part_of(monitor)->timer.fd))
		balloon_stats_request(machine_balloon(monitor->machine));
}

int monitor_poll_stats(struct monitor *monitor, unsigned int seconds)
{
	struct balloon_part *part = part_of(monitor);
	int error = wake_timer_every(part->timer.fd, seconds);
	if (error)
		return error;
	part->interval = seconds;
	if (seconds > 0)
		balloon_stats_request(machine_balloon(monitor->machine));
	return 0;
}

unsigned int monitor_poll_interval(const struct monitor *monitor)
{
	return part_of(monitor)->interval;
}

static json_t *stats_request(void *ctx, const json_t *arguments, struct control_error *error)
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

/* --- figures ------------------------------------------------------------------------------------ */

static json_t *balloon_object(struct balloon *balloon)
{
	static const char *const state[] = {
		[BALLOON_NO_DRIVER] = "no-driver",
		[BALLOON_REACHED] = "reached",
		[BALLOON_MOVING] = "moving",
		[BALLOON_STUCK] = "stuck",
	};
	const struct balloon_counters *counters = &balloon->counters;
	struct balloon_view view = balloon_view(balloon, clock_ns());

	return json_pack("{s:o, s:o, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "target",
			 json_count(view.target), "actual", json_count(view.actual), "state",
			 state[view.state], "deflate-on-oom",
			 balloon_offers_deflate_on_oom(balloon), "deflates",
			 balloon_deflates_on_oom(balloon), "inflated",
			 json_count(counters->balloon.inflated << 12), "deflated",
			 json_count(counters->balloon.deflated << 12), "discarded",
			 json_count(counters->balloon.bytes), "failures",
			 json_count(counters->balloon.failures), "held-back",
			 json_count(counters->balloon.held_back));
}

static json_t *reporting_object(const struct balloon *balloon)
{
	const struct balloon_counters *counters = &balloon->counters;
	uint64_t features = balloon->dev.features;

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

static json_t *guest_stats_object(struct balloon *balloon)
{
	struct balloon_stats stats;
	balloon_stats_get(balloon, &stats);
	return json_pack("{s:o, s:o, s:o}", "updates", json_count(stats.updates), "last-update",
			 json_count(stats.updated), "stats", monitor_stats_object(&stats, false));
}

static void balloon_figures(struct monitor *monitor, json_t *stat)
{
	struct balloon *balloon = machine_balloon(monitor->machine);
	bool reporting = balloon && balloon_offers_reporting(balloon);

	json_object_set_new(stat, "balloon", balloon ? balloon_object(balloon) : json_null());
	json_object_set_new(stat, "reporting", reporting ? reporting_object(balloon) : json_null());
	json_object_set_new(stat, "guest-stats",
			    balloon ? guest_stats_object(balloon) : json_null());
}

static const struct control_command commands[] = {
	{"query-balloon", CONTROL_READS, query_balloon},
	{"balloon", CONTROL_ACTS, set_balloon},
	{"x-ebb-stats-request", CONTROL_ACTS, stats_request},
	{},
};

/* --- the part ---------------------------------------------------------------------------------- */

static int balloon_part_init(struct monitor *monitor)
{
	struct balloon_part *part = part_of(monitor);
	struct balloon *balloon = machine_balloon(monitor->machine);
	struct loop *loop = &monitor->machine->loop;

	part->changed = (struct loop_source){-1, changed, monitor};
	part->timer = (struct loop_source){-1, timer_rang, monitor};
	if (!balloon)
		return 0;
	part->changed.fd = wake_open();
	part->timer.fd = wake_timer_open();
	int error = part->changed.fd < 0 ? part->changed.fd
		    : part->timer.fd < 0 ? part->timer.fd
					 : loop_add(loop, &part->changed);
	if (!error)
		error = loop_add(loop, &part->timer);
	if (error)
		log_error("cannot watch the balloon: %s", strerror(-error));
	else
		balloon_on_changed(balloon, tell_changed, monitor);
	return error;
}

static void balloon_part_release(struct monitor *monitor)
{
	struct balloon_part *part = part_of(monitor);
	if (machine_balloon(monitor->machine))
		balloon_on_changed(machine_balloon(monitor->machine), NULL, NULL);
	if (part->changed.fd >= 0)
		close(part->changed.fd);
	if (part->timer.fd >= 0)
		close(part->timer.fd);
}

const struct monitor_part monitor_balloon = {
	.name = "balloon",
	.commands = commands,
	.state_size = sizeof(struct balloon_part),
	.init = balloon_part_init,
	.release = balloon_part_release,
	.figures = balloon_figures,
};
