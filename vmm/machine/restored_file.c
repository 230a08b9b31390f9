// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/restored_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/machine/machine.h"

bool restored_file_changed(struct restored_file *file)
{
	char events[4096];

	if (file->machine && file->changes.fd >= 0 &&
	    read(file->changes.fd, events, sizeof(events)) > 0)
		file->changed = true;
	return file->changed;
}

static void has_event(void *ctx)
{
	struct restored_file *file = ctx;

	if (restored_file_changed(file))
		machine_stop(file->machine, MACHINE_CRASHED);
}

static int watch(struct restored_file *file, int fd)
{
	char path[64];

	/* The file that is open, whatever has its name now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (file->changes.fd < 0 || inotify_add_watch(file->changes.fd, path, IN_MODIFY) < 0)
		return -errno;
	return loop_add(&file->machine->loop, &file->changes);
}

void restored_file_watch(struct restored_file *file, struct machine *machine, int fd)
{
	*file = (struct restored_file){
		.changes = {inotify_init1(IN_CLOEXEC | IN_NONBLOCK), has_event, file},
		.machine = machine,
	};
	int error = watch(file, fd);
	if (error)
		log_warn("the host cannot tell when the snapshot changes: %s; raise "
			 "fs.inotify.max_user_instances, and keep the snapshot as it is while the "
			 "guest runs, or restore it with --restore-all",
			 strerror(-error));
}

/* A vCPU ended as KVM has no page for it. */
static bool page_is_missing(const struct machine *machine)
{
	for (unsigned int i = 0; i < machine->cpus.count; i++) {
		const struct cpu *cpu = &machine->cpus.cpu[i];
		if (cpu->started && cpu->end == VCPU_ERROR && cpu->error == EFAULT)
			return true;
	}
	return false;
}

bool restored_file_explain(const struct restored_file *file)
{
	if (!file->machine || !(file->changed || page_is_missing(file->machine)))
		return false;
	log_error("memory of the guest is in a snapshot that was written to or cut, or cannot be "
		  "read: keep a snapshot as it is while guests run from it, or restore them with "
		  "--restore-all");
	return true;
}

void restored_file_release(struct restored_file *file)
{
	if (file->machine && file->changes.fd >= 0)
		close(file->changes.fd);
	*file = (struct restored_file){0};
}
