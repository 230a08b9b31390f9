// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that somebody has put into the balloon for a while only: beyond the target that `balloon`
 * set, until the lease ends. So what the keeper took comes back when the keeper dies.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"
#include "vmm/machine/device_balloon.h"
#include "vmm/monitor/part.h"

#define LEASE_MAX 3600 /* seconds */

/* Without a balloon the timer is closed and not in the loop. */
struct lease_part {
	struct loop_source timer; /* timerfd: the lease's end */
	uint64_t leased;	  /* bytes; 0: there is no lease */
	uint64_t own;		  /* the target without it, in bytes */
};

static struct lease_part *part_of(const struct monitor *monitor)
{
	return monitor_state(monitor, &monitor_lease);
}

static uint64_t target_of(const struct monitor *monitor)
{
	return balloon_view(machine_balloon(monitor->machine), clock_ns()).target;
}

void monitor_drop_lease(struct monitor *monitor)
{
	struct lease_part *part = part_of(monitor);
	if (part->leased)
		wake_timer_at(part->timer.fd, 0);
	part->leased = 0;
}

/* Makes the lease @extra bytes, as far as the balloon may hold them. */
static void lease(struct monitor *monitor, uint64_t extra, uint64_t seconds)
{
	struct lease_part *part = part_of(monitor);
	struct balloon *balloon = machine_balloon(monitor->machine);
	uint64_t own = part->leased ? part->own : target_of(monitor);
	/* Not beyond the guest's RAM: no overflow, and the balloon bounds it further. */
	uint64_t size = ram_size(&monitor->machine->ram);
	uint64_t most = size > own ? size - own : 0;
	uint64_t target = balloon_set_target(balloon, own + (extra < most ? extra : most));
	part->own = own;
	part->leased = target > own ? target - own : 0;
	wake_timer_at(part->timer.fd, part->leased ? clock_ns() + seconds * NS_PER_S : 0);
}

void monitor_end_lease(struct monitor *monitor)
{
	if (part_of(monitor)->leased)
		lease(monitor, 0, 0);
}

static void ended(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(part_of(monitor)->timer.fd))
		monitor_end_lease(monitor);
}

/* A guest that cannot take its memory back might kill for lack of it. */
static bool may_lease(const struct balloon *balloon, struct control_error *error)
{
	if (balloon_deflates_on_oom(balloon))
		return true;
	control_fail_as(
		error, "GuestUnsupported",
		balloon_offers_deflate_on_oom(balloon)
			? "The guest's driver does not deflate the balloon when memory is short"
			: "The guest was started without --deflate-on-oom");
	return false;
}

static json_t *set_lease(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	struct balloon *balloon = monitor_balloon_here(monitor, error);
	const json_t *extra = balloon ? monitor_integer(arguments, "extra", error) : NULL;
	const json_t *seconds = extra ? monitor_integer(arguments, "lease", error) : NULL;
	if (!seconds)
		return NULL;
	if (json_integer_value(extra) < 0)
		return control_fail(error, "Parameter 'extra' expects a size in bytes");
	if (json_integer_value(seconds) < 1 || json_integer_value(seconds) > LEASE_MAX)
		return control_fail(error, "Parameter 'lease' expects 1 to 3600 seconds");
	if (json_integer_value(extra) > 0 && !may_lease(balloon, error))
		return NULL;
	if (monitor->saver.saves)
		return control_fail_as(error, "GuestBusy", "The guest is being saved");
	lease(monitor, (uint64_t)json_integer_value(extra), (uint64_t)json_integer_value(seconds));
	return json_pack("{s:o, s:o}", "target", json_count(target_of(monitor)), "leased",
			 json_count(part_of(monitor)->leased));
}

/* After the balloon's own. */
static void lease_figures(struct monitor *monitor, json_t *stat)
{
	json_t *balloon = json_object_get(stat, "balloon");
	if (json_is_object(balloon))
		json_object_set_new(balloon, "leased", json_count(part_of(monitor)->leased));
}

static const struct control_command commands[] = {
	{"x-ebb-balloon", CONTROL_ACTS, set_lease},
	{},
};

static int lease_init(struct monitor *monitor)
{
	struct lease_part *part = part_of(monitor);
	part->timer = (struct loop_source){-1, ended, monitor};
	if (!machine_balloon(monitor->machine))
		return 0;
	part->timer.fd = wake_timer_open();
	int err = part->timer.fd < 0 ? part->timer.fd
				     : loop_add(&monitor->machine->loop, &part->timer);
	if (err)
		log_error("cannot watch the balloon's lease: %s", strerror(-err));
	return err;
}

static void lease_release(struct monitor *monitor)
{
	if (part_of(monitor)->timer.fd >= 0)
		close(part_of(monitor)->timer.fd);
}

const struct monitor_part monitor_lease = {
	.name = "lease",
	.commands = commands,
	.state_size = sizeof(struct lease_part),
	.init = lease_init,
	.release = lease_release,
	.figures = lease_figures,
};
