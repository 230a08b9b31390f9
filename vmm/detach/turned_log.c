// SPDX-License-Identifier: Apache-2.0
#include "vmm/detach/turned_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"

/* Never waits, as it would for the reader of a FIFO. */
#define FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

static int open_file(struct turned_log *log)
{
	struct stat st;

	log->fd = openat(log->directory, log->name, FLAGS, 0600);
	if (log->fd < 0)
		return -errno;
	if (fstat(log->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	log->size = (uint64_t)st.st_size;
	return 0;
}

/* Splits @path into a directory, which is opened, and a name. */
static int open_directory(struct turned_log *log, const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (strlen(path) >= sizeof(directory) || strlen(name) > NAME_MAX - 2)
		return -ENAMETOOLONG;
	snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(name - path) : 1,
		 slash ? path : ".");
	memcpy(log->name, name, strlen(name) + 1);
	snprintf(log->turned, sizeof(log->turned), "%.*s.1", NAME_MAX - 2, name);
	log->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return log->directory < 0 ? -errno : 0;
}

int turned_log_open(struct turned_log *log, const char *path)
{
	*log = (struct turned_log){.directory = -1, .fd = -1};
	int error = open_directory(log, path);
	if (!error)
		error = open_file(log);
	if (!error)
		return 0;
	log_error(
		"cannot write the log: %s; name a regular file in a directory that exists, not '%s'",
		error == -EINVAL ? "not a regular file" : strerror(-error), path);
	turned_log_close(log);
	return error;
}

void turned_log_close(struct turned_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	if (log->directory >= 0)
		close(log->directory);
	log->fd = log->directory = -1;
}

static int turn(struct turned_log *log)
{
	close(log->fd);
	log->fd = -1;
	if (renameat(log->directory, log->name, log->directory, log->turned) < 0 && errno != ENOENT)
		return -errno;
	return open_file(log);
}

void turned_log_write(struct turned_log *log, const void *data, size_t len)
{
	if (log->fd >= 0 && log->size > 0 && log->size + len > TURNED_LOG_MAX && turn(log) != 0)
		turned_log_close(log);
	while (log->fd >= 0 && len > 0) {
		ssize_t written = write(log->fd, data, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		log->size += (uint64_t)written;
		data = (const char *)data + written;
		len -= (size_t)written;
	}
}

int turned_log_default(char *path, size_t size, const char *guest)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int len = -1;

	if (state && state[0] == '/')
		len = snprintf(path, size, "%s/ebb/%s.log", state, guest);
	else if (home && home[0] == '/')
		len = snprintf(path, size, "%s/.local/state/ebb/%s.log", home, guest);
	if (len < 0 || (size_t)len >= size) {
		log_error("there is no home directory for the guest's log; name a file with --log");
		return -ENOENT;
	}
	/* Makes what is missing of the directories; turned_log_open() tells what is wrong with them. */
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	return 0;
}
