// SPDX-License-Identifier: Apache-2.0
/*
 * x-ebb-reclaim: asks the guest to give back memory now. The guest takes its time, so the command
 * is answered later: when the balloon reports that the request is over, or at its deadline.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/machine/device_balloon.h"
#include "vmm/monitor/part.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/* The guest's time limit: the default, and the longest. */
#define TIMEOUT_MS    10000
#define TIMEOUT_S_MAX 86400

struct reclaim {
	struct loop_source over;  /* eventfd: the balloon's request is over */
	struct loop_source timer; /* timerfd: its deadline */
	uint64_t command;	  /* the deferred command, or 0 */
	struct balloon_reclaim_request request;
	bool asked;	 /* the guest has been asked */
	uint64_t before; /* guest RAM in host memory before the request, bytes */
};

static struct reclaim *reclaim_of(const struct monitor *monitor)
{
	return monitor_state(monitor, &monitor_reclaim);
}

/* --- the arguments --------------------------------------------------------------------------- */

static bool set_cache(const json_t *value, struct balloon_reclaim_request *request)
{
	const char *word = json_string_value(value);
	json_int_t bytes = json_integer_value(value);
	if (word ? strcmp(word, "all") != 0 : !json_is_integer(value) || bytes < 0)
		return false;
	request->cache = word ? BALLOON_RECLAIM_ALL : (uint64_t)bytes;
	return true;
}

static bool set_timeout(const json_t *value, struct balloon_reclaim_request *request)
{
	double seconds = json_number_value(value);
	if (!json_is_number(value) || !(seconds > 0 && seconds <= TIMEOUT_S_MAX))
		return false;
	request->timeout_ms = (uint32_t)(seconds * 1000);
	/* 0 would mean the driver's default. */
	if (request->timeout_ms == 0)
		request->timeout_ms = 1;
	return true;
}

/* Sets *@request. Returns whether @arguments are valid; if not, *@error is set. */
static bool read_arguments(const json_t *arguments, struct balloon_reclaim_request *request,
			   struct control_error *error)
{
	json_t *object = (json_t *)arguments;
	*request = (struct balloon_reclaim_request){.timeout_ms = TIMEOUT_MS};
	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
		const char *key = json_object_iter_key(at);
		const json_t *value = json_object_iter_value(at);
		const char *expected = NULL;
		if (strcmp(key, "cache") == 0)
			expected = set_cache(value, request) ? NULL : "bytes, or \"all\"";
		else if (strcmp(key, "timeout") == 0)
			expected = set_timeout(value, request) ? NULL : "seconds, up to a day";
		else if (strcmp(key, "compact") == 0)
			expected = json_is_boolean(value) ? NULL : "boolean";
		else
			control_fail(error, "Parameter '%.100s' is unexpected", key);
		if (expected)
			control_fail(error, "Invalid parameter type for '%s', expected: %s", key,
				     expected);
		if (error->text[0])
			return false;
	}
	request->compact = json_is_true(json_object_get(arguments, "compact"));
	return true;
}

/* --- the answer ------------------------------------------------------------------------------ */

static json_t *result(const struct monitor *monitor, const struct balloon_reclaim_view *view)
{
	const struct balloon_reclaim_answer *answer = &view->answer;
	return json_pack("{s:s, s:f, s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:f}}", "status",
			 view->state == BALLOON_RECLAIM_DONE ? "done" : "timeout", "elapsed",
			 (double)view->elapsed / NS_PER_S, "rss-before",
			 json_count(reclaim_of(monitor)->before), "rss-after",
			 json_count(monitor_resident(monitor)), "guest", "drained",
			 json_count(answer->drained), "cache", json_count(answer->cache),
			 "compacted", json_count(answer->compacted), "reported",
			 json_count(answer->reported), "free", json_count(answer->free), "elapsed",
			 answer->elapsed_ms / 1000.0);
}

/* Sets *@error to the reason why there is no result. Returns NULL. */
static json_t *explain(const struct monitor *monitor, const struct balloon_reclaim_view *view,
		       struct control_error *error)
{
	switch (view->state) {
	case BALLOON_RECLAIM_UNANSWERED:
		return control_fail_as(
			error, "GuestTimeout", "the guest did not answer within %.1f s%s",
			(double)view->elapsed / NS_PER_S, monitor->paused ? "; it is paused" : "");
	case BALLOON_RECLAIM_GONE:
		return control_fail_as(
			error, "DeviceNotActive",
			"the guest's balloon driver was reset or misbehaved before it answered");
	default:
		return control_fail_as(error, "GuestFailed",
				       "the guest answered that it failed to give back memory");
	}
}

/* Called when the request is over and the memory was measured again. */
static void measured_after(struct monitor *monitor, uint64_t command)
{
	struct reclaim *reclaim = reclaim_of(monitor);
	struct control_error error = {.class = NULL};
	if (reclaim->command != command)
		return;
	struct balloon_reclaim_view view =
		balloon_reclaim_view(machine_balloon(monitor->machine), clock_ns());
	bool has_result =
		view.state == BALLOON_RECLAIM_DONE || view.state == BALLOON_RECLAIM_TIMEOUT;
	reclaim->command = 0;
	explain(monitor, &view, &error);
	control_server_answer(monitor->server, command, has_result ? result(monitor, &view) : NULL,
			      &error);
}

/* If the request is over, measures the memory; the client is answered after that. */
static void look(struct monitor *monitor)
{
	struct reclaim *reclaim = reclaim_of(monitor);
	if (!reclaim->command || !reclaim->asked)
		return;
	struct balloon_reclaim_view view =
		balloon_reclaim_view(machine_balloon(monitor->machine), clock_ns());
	if (view.state == BALLOON_RECLAIM_ASKED)
		return;
	reclaim->asked = false;
	/* The thread runs by now. If too many callers wait, answer with the last figures. */
	if (measure_prepare(&monitor->measure) == 0)
		measure_ask(&monitor->measure, measured_after, reclaim->command);
	else
		measured_after(monitor, reclaim->command);
}

static void came(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(reclaim_of(monitor)->over.fd))
		look(monitor);
}

static void timer_rang(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(reclaim_of(monitor)->timer.fd))
		look(monitor);
}

/* On the balloon's worker. */
static void tell_over(void *ctx)
{
	wake_ring(reclaim_of(ctx)->over.fd);
}

/* --- the command ----------------------------------------------------------------------------- */

/* Sets *@why to the reason why the guest cannot be asked. Returns NULL. */
static json_t *refuse(const struct monitor *monitor, int error, struct control_error *why)
{
	if (error == -ENODEV)
		return control_fail_as(why, "DeviceNotActive",
				       "the guest runs no balloon driver (yet)");
	if (error == -EBUSY)
		return control_fail_as(why, "GuestBusy",
				       "the guest has not finished an earlier request");
	if (!balloon_offers_reporting(machine_balloon(monitor->machine)))
		return control_fail_as(why, "GuestUnsupported",
				       "free page reporting is off for this guest");
	return control_fail_as(
		why, "GuestUnsupported",
		"the guest's kernel cannot give back memory on request: its balloon driver "
		"does not support VIRTIO_BALLOON_F_EBB_RECLAIM");
}

/* Called when the memory was measured: asks the guest. */
static void measured_before(struct monitor *monitor, uint64_t command)
{
	struct reclaim *reclaim = reclaim_of(monitor);
	struct balloon *balloon = machine_balloon(monitor->machine);
	struct control_error error = {.class = NULL};

	reclaim->before = monitor_resident(monitor);
	int refused = balloon_reclaim(balloon, &reclaim->request, clock_ns());
	if (refused) {
		reclaim->command = 0;
		refuse(monitor, refused, &error);
		control_server_answer(monitor->server, command, NULL, &error);
		return;
	}
	reclaim->asked = true;
	wake_timer_at(reclaim->timer.fd, balloon_reclaim_view(balloon, 0).deadline);
}

static json_t *reclaim_command(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	struct reclaim *reclaim = reclaim_of(monitor);
	struct balloon_reclaim_request request;
	if (!monitor_balloon_here(monitor, error))
		return NULL;
	error->text[0] = '\0';
	if (!read_arguments(arguments, &request, error))
		return NULL;
	if (monitor->paused)
		return control_fail_as(error, "GuestPaused", "the guest is paused");
	if (reclaim->command)
		return refuse(monitor, -EBUSY, error);
	int failed = measure_prepare(&monitor->measure);
	if (failed)
		return control_fail(error, "cannot measure the guest's memory: %s",
				    strerror(-failed));

	reclaim->request = request;
	reclaim->command = control_server_defer(monitor->server);
	measure_ask(&monitor->measure, measured_before, reclaim->command);
	return NULL;
}

static void reclaim_figures(struct monitor *monitor, json_t *stat)
{
	const struct balloon *balloon = machine_balloon(monitor->machine);
	json_t *object = NULL;
	if (balloon && balloon_offers_reporting(balloon)) {
		const struct balloon_counters *counters = &balloon->counters;
		object = json_pack("{s:b, s:o, s:o, s:o}", "negotiated", balloon_reclaims(balloon),
				   "requests", json_count(counters->reclaim.requests), "answered",
				   json_count(counters->reclaim.answered), "timeouts",
				   json_count(counters->reclaim.timeouts));
	}
	json_object_set_new(stat, "reclaim", object ? object : json_null());
}

static const struct control_command commands[] = {
	{"x-ebb-reclaim", CONTROL_ACTS, reclaim_command},
	{},
};

/* --- the part ---------------------------------------------------------------------------------- */

static int reclaim_init(struct monitor *monitor)
{
	struct reclaim *reclaim = reclaim_of(monitor);
	struct balloon *balloon = machine_balloon(monitor->machine);
	struct loop *loop = &monitor->machine->loop;

	reclaim->over = (struct loop_source){-1, came, monitor};
	reclaim->timer = (struct loop_source){-1, timer_rang, monitor};
	if (!balloon)
		return 0;
	reclaim->over.fd = wake_open();
	reclaim->timer.fd = wake_timer_open();
	int error = reclaim->over.fd < 0    ? reclaim->over.fd
		    : reclaim->timer.fd < 0 ? reclaim->timer.fd
					    : loop_add(loop, &reclaim->over);
	if (!error)
		error = loop_add(loop, &reclaim->timer);
	if (error)
		log_error("cannot watch for the guest's answers: %s", strerror(-error));
	else
		balloon_on_reclaimed(balloon, tell_over, monitor);
	return error;
}

/* Tells the waiting client that no answer will come. */
static void reclaim_ended(struct monitor *monitor, enum machine_end end)
{
	struct reclaim *reclaim = reclaim_of(monitor);
	struct control_error error = {.class = NULL};
	(void)end;
	if (!reclaim->command)
		return;
	control_fail_as(&error, "DeviceNotActive", "the guest ended before it answered");
	control_server_answer(monitor->server, reclaim->command, NULL, &error);
	reclaim->command = 0;
}

static void reclaim_release(struct monitor *monitor)
{
	struct reclaim *reclaim = reclaim_of(monitor);
	if (machine_balloon(monitor->machine))
		balloon_on_reclaimed(machine_balloon(monitor->machine), NULL, NULL);
	if (reclaim->over.fd >= 0)
		close(reclaim->over.fd);
	if (reclaim->timer.fd >= 0)
		close(reclaim->timer.fd);
}

const struct monitor_part monitor_reclaim = {
	.name = "reclaim",
	.commands = commands,
	.state_size = sizeof(struct reclaim),
	.init = reclaim_init,
	.ended = reclaim_ended,
	.release = reclaim_release,
	.figures = reclaim_figures,
};
