// SPDX-License-Identifier: Apache-2.0
/*
 * x-ebb-reclaim: the guest gives back now what it can. Its answer takes the guest's time, so the
 * command is answered later: when the balloon says that it is over, or at the deadline.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/machine/machine.h"
#include "vmm/mem/usage.h"
#include "vmm/monitor/monitor.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/* What a guest has for it unless it is said, and at most. */
#define TIMEOUT_MS    10000
#define TIMEOUT_S_MAX 86400

static uint64_t resident(struct monitor *monitor)
{
	struct ram_usage usage;
	ram_usage(&monitor->machine->ram, &usage);
	return usage.rss;
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
	/* 0 would be the driver's own choice. */
	if (request->timeout_ms == 0)
		request->timeout_ms = 1;
	return true;
}

/* Whether @arguments are all right; *@request is what they say. */
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

static json_t *result(struct monitor *monitor, const struct balloon_reclaim_view *view)
{
	const struct balloon_reclaim_answer *answer = &view->answer;
	return json_pack(
		"{s:s, s:f, s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:f}}", "status",
		view->state == BALLOON_RECLAIM_DONE ? "done" : "timeout", "elapsed",
		(double)view->elapsed / NS_PER_S, "rss-before", json_count(monitor->reclaim_before),
		"rss-after", json_count(resident(monitor)), "guest", "drained",
		json_count(answer->drained), "cache", json_count(answer->cache), "compacted",
		json_count(answer->compacted), "reported", json_count(answer->reported), "free",
		json_count(answer->free), "elapsed", answer->elapsed_ms / 1000.0);
}

/* Why there is no result. */
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
			"the guest's driver for its balloon went away before it answered");
	default:
		return control_fail_as(error, "GuestFailed", "the guest says that it failed");
	}
}

/* Answers who asked, if it is over. */
static void look(struct monitor *monitor)
{
	struct control_error error = {.class = NULL};
	if (!monitor->reclaim)
		return;
	struct balloon_reclaim_view view =
		balloon_reclaim_view(&monitor->machine->balloon, clock_ns());
	if (view.state == BALLOON_RECLAIM_ASKED)
		return;
	bool has_result =
		view.state == BALLOON_RECLAIM_DONE || view.state == BALLOON_RECLAIM_TIMEOUT;
	uint64_t command = monitor->reclaim;
	monitor->reclaim = 0;
	explain(monitor, &view, &error);
	control_server_answer(monitor->server, command, has_result ? result(monitor, &view) : NULL,
			      &error);
}

static void came(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(monitor->reclaimed.fd))
		look(monitor);
}

static void timer_rang(void *ctx)
{
	struct monitor *monitor = ctx;
	if (wake_take(monitor->reclaim_timer.fd))
		look(monitor);
}

void monitor_reclaimed(void *ctx)
{
	struct monitor *monitor = ctx;
	wake_ring(monitor->reclaimed.fd);
}

/* --- the command ----------------------------------------------------------------------------- */

/* Why the guest cannot be asked. */
static json_t *refuse(const struct monitor *monitor, int error, struct control_error *why)
{
	if (error == -ENODEV)
		return control_fail_as(why, "DeviceNotActive",
				       "the guest has no driver for its balloon (yet)");
	if (error == -EBUSY)
		return control_fail_as(why, "GuestBusy",
				       "the guest is still at an earlier request");
	if (!monitor->machine->config->free_page_reporting)
		return control_fail_as(why, "GuestUnsupported",
				       "the guest was started without --free-page-reporting");
	return control_fail_as(
		why, "GuestUnsupported",
		"the guest's kernel cannot give memory back when asked: its balloon driver "
		"does not know VIRTIO_BALLOON_F_EBB_RECLAIM");
}

json_t *monitor_reclaim(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	struct balloon *balloon = monitor_balloon_here(monitor, error);
	struct balloon_reclaim_request request;
	if (!balloon)
		return NULL;
	error->text[0] = '\0';
	if (!read_arguments(arguments, &request, error))
		return NULL;
	if (monitor->paused)
		return control_fail_as(error, "GuestPaused", "the guest is paused");
	if (monitor->reclaim)
		return refuse(monitor, -EBUSY, error);

	monitor->reclaim_before = resident(monitor);
	int refused = balloon_reclaim(balloon, &request, clock_ns());
	if (refused)
		return refuse(monitor, refused, error);
	wake_timer_at(monitor->reclaim_timer.fd, balloon_reclaim_view(balloon, 0).deadline);
	monitor->reclaim = control_server_defer(monitor->server);
	return NULL;
}

/* --- sources --------------------------------------------------------------------------------- */

int monitor_reclaim_init(struct monitor *monitor)
{
	struct loop *loop = &monitor->machine->loop;
	monitor->reclaimed = (struct loop_source){-1, came, monitor};
	monitor->reclaim_timer = (struct loop_source){-1, timer_rang, monitor};

	monitor->reclaimed.fd = wake_open();
	monitor->reclaim_timer.fd = wake_timer_open();
	int error = 0;
	if (monitor->reclaimed.fd < 0 || monitor->reclaim_timer.fd < 0)
		error = -errno;
	if (!error)
		error = loop_add(loop, &monitor->reclaimed);
	if (!error)
		error = loop_add(loop, &monitor->reclaim_timer);
	if (error)
		log_error("cannot watch for the guest's answers: %s", strerror(-error));
	return error;
}

void monitor_reclaim_ended(struct monitor *monitor)
{
	struct control_error error = {.class = NULL};
	if (!monitor->reclaim)
		return;
	control_fail_as(&error, "DeviceNotActive", "the guest ended before it answered");
	control_server_answer(monitor->server, monitor->reclaim, NULL, &error);
	monitor->reclaim = 0;
}

void monitor_reclaim_release(struct monitor *monitor)
{
	if (monitor->reclaimed.fd >= 0)
		close(monitor->reclaimed.fd);
	if (monitor->reclaim_timer.fd >= 0)
		close(monitor->reclaim_timer.fd);
	monitor->reclaimed.fd = monitor->reclaim_timer.fd = -1;
}
