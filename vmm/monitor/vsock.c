// SPDX-License-Identifier: Apache-2.0
/* The name of the guest's socket, for programs that connect to it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/part.h"

struct state {
	char *path; /* from the root on, or NULL: there is none */
};

static int init(struct monitor *monitor)
{
	struct state *state = monitor_state(monitor, &monitor_vsock);
	const struct vm_vsock *vsock = &monitor->machine->config->vsock;
	char folder[PATH_MAX] = "";

	if (!vsock->wanted || vsock->vhost)
		return 0;
	/* Once it is in the sandbox, ebb can no longer tell where it was started. */
	if (vsock->path[0] != '/' && !getcwd(folder, sizeof(folder))) {
		log_error("cannot tell where the socket %s is: %s", vsock->path, strerror(errno));
		return -errno;
	}
	if (asprintf(&state->path, "%s%s%s", folder, folder[0] ? "/" : "", vsock->path) >= 0)
		return 0;
	state->path = NULL;
	log_error("out of memory");
	return -ENOMEM;
}

static void release(struct monitor *monitor)
{
	struct state *state = monitor_state(monitor, &monitor_vsock);

	if (state)
		free(state->path);
}

static json_t *query(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	const struct state *state = monitor_state(monitor, &monitor_vsock);
	(void)arguments;

	if (!monitor->machine->config->vsock.wanted)
		return control_fail_as(error, "DeviceNotFound",
				       "the guest was started without a vsock device");
	return json_pack("{s:o, s:o}", "path", state->path ? json_text(state->path) : json_null(),
			 "cid", json_count(monitor->machine->config->vsock.cid));
}

static const struct control_command commands[] = {
	{"x-ebb-vsock", CONTROL_READS, query},
	{},
};

const struct monitor_part monitor_vsock = {
	.name = "vsock",
	.commands = commands,
	.state_size = sizeof(struct state),
	.init = init,
	.release = release,
};
