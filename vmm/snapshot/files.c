// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"

/* How often opening is begun anew as the snapshot was replaced meanwhile: a save takes longer than that. */
#define TURNS 8
/* In one folder: it may be a stranger's. */
#define NAMES_MAX 100000U

void snapshot_id_text(const struct snapshot_id *id, char text[SNAPSHOT_ID_TEXT])
{
	for (unsigned int i = 0; i < sizeof(id->bytes); i++)
		text += snprintf(text, 3, "%02x", id->bytes[i]);
}

bool snapshot_id_read(const char *text, struct snapshot_id *id)
{
	if (strlen(text) != SNAPSHOT_ID_TEXT - 1 ||
	    strspn(text, "0123456789abcdef") != SNAPSHOT_ID_TEXT - 1)
		return false;
	for (unsigned int i = 0; i < sizeof(id->bytes); i++)
		sscanf(text + 2 * i, "%2hhx", &id->bytes[i]);
	return true;
}

void snapshot_base_name(const struct snapshot_id *id, char name[SNAPSHOT_BASE_NAME])
{
	snapshot_id_text(id, stpcpy(name, SNAPSHOT_BASE_PREFIX));
}

/* As snapshot_base_name() writes them: files that are on their way have others. */
static bool is_base(const char *name)
{
	const size_t prefix = sizeof(SNAPSHOT_BASE_PREFIX) - 1;
	struct snapshot_id id;

	return strncmp(name, SNAPSHOT_BASE_PREFIX, prefix) == 0 &&
	       snapshot_id_read(name + prefix, &id);
}

int snapshot_open_plain(int folder, const char *path)
{
	struct stat st;

	/* Before a device is opened, which may do something. */
	if (fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

int snapshot_open_beside(int folder, const char *name)
{
	int fd = snapshot_open_plain(folder, name);
	struct stat ours, around;

	if (fd < 0 ||
	    (fstat(fd, &ours) == 0 && fstat(folder, &around) == 0 &&
	     (ours.st_uid == around.st_uid || ours.st_uid == geteuid() || ours.st_uid == 0)))
		return fd;
	close(fd);
	return -EPERM;
}

static int open_bases(struct snapshot_files *files, int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int error = 0;

	if (!names) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		/* A folder that only lets files be opened: a whole snapshot needs no other. */
		return error == -EACCES ? 0 : error;
	}
	errno = 0;
	for (unsigned int looked = 0; !error && (entry = readdir(names)); errno = 0) {
		if (++looked > NAMES_MAX)
			error = -E2BIG;
		if (!is_base(entry->d_name))
			continue;
		if (files->bases == SNAPSHOT_BASES_MAX) {
			error = -E2BIG;
			continue;
		}
		memcpy(files->base[files->bases].name, entry->d_name, SNAPSHOT_BASE_NAME);
		files->base[files->bases++].fd = snapshot_open_beside(folder, entry->d_name);
	}
	if (!error && errno)
		error = -errno;
	closedir(names);
	return error;
}

/* Returns whether the folder has another snapshot by now: what this is based on may have been gone before it was opened. */
static bool is_replaced(const struct snapshot_files *files, int folder)
{
	struct stat ours, there;

	return fstat(files->snapshot, &ours) == 0 &&
	       fstatat(folder, "snapshot", &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino);
}

int snapshot_files_open(struct snapshot_files *files, int folder)
{
	int error, turn = 0;
	bool again;

	*files = (struct snapshot_files)SNAPSHOT_FILES_NONE;
	do {
		snapshot_files_close(files);
		files->snapshot = snapshot_open_plain(folder, "snapshot");
		files->working_set = snapshot_open_plain(folder, "working-set");
		error = files->snapshot < 0 ? files->snapshot : open_bases(files, folder);
		again = files->snapshot >= 0 && is_replaced(files, folder);
	} while (again && ++turn < TURNS);
	return error;
}

int snapshot_files_take_base(struct snapshot_files *files, const struct snapshot_id *id)
{
	char name[SNAPSHOT_BASE_NAME];

	snapshot_base_name(id, name);
	for (unsigned int i = 0; i < files->bases; i++) {
		if (strcmp(files->base[i].name, name) != 0)
			continue;
		int fd = files->base[i].fd;
		files->base[i].fd = -ENOENT; /* none is based on itself */
		return fd;
	}
	return -ENOENT;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void snapshot_files_close(struct snapshot_files *files)
{
	close_if_open(files->snapshot);
	close_if_open(files->working_set);
	for (unsigned int i = 0; i < files->bases; i++)
		close_if_open(files->base[i].fd);
	*files = (struct snapshot_files)SNAPSHOT_FILES_NONE;
}

int snapshot_not_opened(const char *folder, int error)
{
	if (error == -ENOENT || error == -ENOTDIR)
		log_error("there is no snapshot in '%s': \"ebb snapshot -n NAME %s\" makes one of "
			  "a running guest",
			  folder, folder);
	else if (error == -EINVAL)
		log_error("the snapshot in '%s' is no plain file", folder);
	else if (error == -E2BIG)
		log_error("cannot open the snapshot in '%s': " SNAPSHOT_BASES_TOO_MANY, folder);
	else
		log_error("cannot open the snapshot in '%s': %s", folder, strerror(-error));
	return error;
}
