// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/control/runtime.h"
#include "vmm/lib/log.h"

/* The watch is the name's own directory, whatever its path names by now. */
int runtime_watch(const struct runtime_name *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", name->directory);
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int err = 0;
	if (fd < 0 || inotify_add_watch(fd, path, IN_CREATE | IN_MOVED_TO) < 0)
		err = -errno;
	if (!err)
		return fd;
	log_error("cannot watch for guests: %s%s", strerror(-err),
		  err == -EMFILE || err == -ENOSPC
			  ? "; raise fs.inotify.max_user_instances and max_user_watches"
			  : "");
	if (fd >= 0)
		close(fd);
	return err;
}

/* inotify says nothing of a directory that is still open. */
bool runtime_is_gone(const struct runtime_name *name)
{
	struct stat st;
	return fstat(name->directory, &st) < 0 || st.st_nlink == 0;
}

/* Whether @file is a guest's control socket; then sets @guest to its name. */
static bool is_socket(const char *file, char guest[VM_NAME_MAX + 1])
{
	const char *suffix = strrchr(file, '.');
	size_t len = suffix ? (size_t)(suffix - file) : 0;
	if (len == 0 || len > VM_NAME_MAX || strcmp(suffix, ".sock") != 0)
		return false;
	memcpy(guest, file, len);
	guest[len] = '\0';
	return !vm_name_lookup_error(guest);
}

int runtime_started(int fd, void (*started)(void *ctx, const char *guest), void *ctx)
{
	/* Events have lengths of their own; one at least fits. */
	char bytes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	char guest[VM_NAME_MAX + 1];
	const struct inotify_event *event;
	int result = 0;
	ssize_t len = read(fd, bytes, sizeof(bytes));
	if (len < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (ssize_t at = 0; at < len; at += (ssize_t)(sizeof(*event) + event->len)) {
		event = (const struct inotify_event *)(bytes + at);
		if (event->mask & IN_Q_OVERFLOW)
			result = -EOVERFLOW;
		else if (event->len && is_socket(event->name, guest))
			started(ctx, guest);
	}
	return result;
}
