// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/restored_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/machine/machine.h"

/* Events of other kinds do no harm: IN_IGNORED tells that the file is gone. */
static void note(struct restored_file *file, const struct inotify_event *event)
{
	/* Events were lost. */
	file->changed |= (event->mask & IN_Q_OVERFLOW) != 0;
	for (unsigned int i = 0; i < file->watches && event->mask & IN_MODIFY; i++)
		file->watched[i].changed |= file->watched[i].watch == event->wd;
}

/* The guest may end of what is missing before there is an event: the kernel tells of a cut after it is done. */
static bool is_shorter(const struct restored_file *file)
{
	struct stat st;

	for (unsigned int i = 0; i < file->count; i++)
		if (file->file[i].fd >= 0 && fstat(file->file[i].fd, &st) == 0 &&
		    (uint64_t)st.st_size < file->file[i].size)
			return true;
	return false;
}

bool restored_file_changed(struct restored_file *file)
{
	_Alignas(struct inotify_event) char events[4096];
	ssize_t len = 0;

	if (file->machine && file->changes.fd >= 0)
		len = read(file->changes.fd, events, sizeof(events));
	for (ssize_t at = 0; at < len;) {
		const struct inotify_event *event = (const void *)(events + at);
		note(file, event);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	for (unsigned int i = 0; i < file->watches; i++)
		file->changed |= file->watched[i].used && file->watched[i].changed;
	file->changed |= is_shorter(file);
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
	struct stat st;

	if (file->watches == sizeof(file->watched) / sizeof(file->watched[0]))
		return -ENOSPC;
	/* The file that is open, whatever has its name now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int number = inotify_add_watch(file->changes.fd, path, IN_MODIFY);
	if (number < 0 || fstat(fd, &st) < 0)
		return -errno;
	file->watched[file->watches].device = st.st_dev;
	file->watched[file->watches].inode = st.st_ino;
	file->watched[file->watches++].watch = number;
	return 0;
}

static int start(struct restored_file *file)
{
	file->changes.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return file->changes.fd < 0 ? -errno : loop_add(&file->machine->loop, &file->changes);
}

static const char *advice(int error)
{
	switch (error) {
	case -EMFILE:
		return "raise fs.inotify.max_user_instances, and ";
	case -ENOSPC:
		return "raise fs.inotify.max_user_watches, and ";
	default:
		return "";
	}
}

static void say_unwatched(int error)
{
	log_warn("the host cannot tell when the snapshot changes: %s; %skeep the snapshot as it is "
		 "while the guest runs, or restore it with --restore-all",
		 strerror(-error), advice(error));
}

void restored_file_watch(struct restored_file *file, struct machine *machine, int fd)
{
	int error = 0;

	if (!file->machine) {
		*file = (struct restored_file){
			.changes = {-1, has_event, file},
			.machine = machine,
		};
		error = start(file);
	}
	if (!error && file->changes.fd >= 0)
		error = watch(file, fd);
	if (error && !file->unwatched)
		say_unwatched(error);
	file->unwatched |= error != 0;
}

void restored_file_use(struct restored_file *file, int fd)
{
	struct stat st = {0};

	uint64_t size = fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
	for (unsigned int i = 0; i < file->watches; i++)
		file->watched[i].used |=
			file->watched[i].inode == st.st_ino && file->watched[i].device == st.st_dev;
	off_t end = (off_t)size - (off_t)sizeof(file->id);
	if (file->count == 0 &&
	    pread(fd, &file->id, sizeof(file->id), end) != (ssize_t)sizeof(file->id))
		file->id = (struct snapshot_id){0};
	file->file[file->count].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	file->file[file->count++].size = size;
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
	for (unsigned int i = 0; i < file->count; i++)
		if (file->file[i].fd >= 0)
			close(file->file[i].fd);
	*file = (struct restored_file){0};
}
