// SPDX-License-Identifier: Apache-2.0
/* x-ebb-snapshot: saves the guest to the socket that came with the command, and answers when it is saved. */
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/machine/save.h"
#include "vmm/monitor/part.h"
#include "vmm/snapshot/pages.h"

static void saved(struct monitor *monitor, uint64_t command)
{
	const struct saver *saver = &monitor->saver;
	struct control_error error = {.class = NULL};
	json_t *result = NULL;

	if (saver->resume)
		monitor_resume(monitor);
	if (saver->error)
		control_fail(&error, "%s", saver->why.text);
	else
		result = json_pack("{s:o, s:o, s:f}", "bytes", json_count(saver->bytes), "memory",
				   json_count(saver->pages * SNAPSHOT_PAGE), "stopped",
				   (double)saver->stood / NS_PER_S);
	control_server_answer(monitor->server, command, result, &error);
}

/* Returns whether it took @socket; else @error is set. */
static bool begin(struct monitor *monitor, int socket, struct control_error *error)
{
	struct saver *saver = &monitor->saver;
	struct why why = {""};

	if (saver->saves) {
		control_fail_as(error, "GuestBusy", "the guest is being saved already");
		return false;
	}
	if (socket < 0) {
		control_fail(error, "a socket must come with the command (SCM_RIGHTS), for the "
				    "snapshot to go to");
		return false;
	}
	if (machine_can_save(monitor->machine, &why)) {
		control_fail_as(error, "NotSupported", "%s", why.text);
		return false;
	}
	/* A restored guest has nobody who would end it. */
	monitor_end_lease(monitor);
	saver->resume = monitor_pause(monitor);
	saver_begin(saver, socket, saved, control_server_defer(monitor->server));
	return true;
}

static json_t *snapshot(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	void *first = json_object_iter((json_t *)arguments);
	int socket = control_server_take_descriptor(monitor->server);
	bool taken = false;

	if (first)
		control_fail(error, "Parameter '%.100s' is unexpected",
			     json_object_iter_key(first));
	else
		taken = begin(monitor, socket, error);
	if (!taken && socket >= 0)
		close(socket);
	return NULL;
}

static const struct control_command commands[] = {
	{"x-ebb-snapshot", CONTROL_ACTS, snapshot},
	{},
};

const struct monitor_part monitor_snapshot = {
	.name = "snapshot",
	.commands = commands,
};
