// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/saved_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/snapshot/files.h"

#define PREFIX	   "disk"
#define UNFINISHED ".unfinished"

int saved_disks_id(int snapshot, struct snapshot_id *id)
{
	struct stat st;

	if (fstat(snapshot, &st) < 0)
		return -errno;
	ssize_t got = pread(snapshot, id, sizeof(*id), st.st_size - (off_t)sizeof(*id));
	if (got < 0)
		return -errno;
	return got == (ssize_t)sizeof(*id) ? 0 : -EINVAL;
}

void saved_disk_name(unsigned int number, const struct snapshot_id *id, char name[SAVED_DISK_NAME])
{
	int at = snprintf(name, SAVED_DISK_NAME, PREFIX "%u-", number % SAVED_DISKS_MAX);

	snapshot_id_text(id, name + at);
}

void saved_disk_unfinished(unsigned int number, char name[SAVED_DISK_NAME])
{
	snprintf(name, SAVED_DISK_NAME, PREFIX "%u" UNFINISHED, number);
}

bool saved_disk_is_name(const char *name)
{
	struct snapshot_id id;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	name += strlen(PREFIX);
	size_t number = strspn(name, "0123456789");
	if (number < 1 || number > 2)
		return false;
	name += number;
	if (strcmp(name, UNFINISHED) == 0)
		return true;
	return *name == '-' && snapshot_id_read(name + 1, &id);
}

int saved_disks_open(struct saved_disks *disks, int folder, int snapshot)
{
	char name[SAVED_DISK_NAME];

	disks->count = 0;
	for (unsigned int i = 0; i < SAVED_DISKS_MAX; i++)
		disks->fd[i] = -1;
	int error = 0;
	if (saved_disks_id(snapshot, &disks->id) != 0)
		return 0;
	for (unsigned int i = 0; i < SAVED_DISKS_MAX && !error; i++) {
		saved_disk_name(i, &disks->id, name);
		disks->fd[i] = snapshot_open_beside(folder, name);
		disks->count += disks->fd[i] >= 0;
		if (disks->fd[i] < 0 && disks->fd[i] != -ENOENT)
			error = disks->fd[i];
	}
	return error;
}

void saved_disks_close(struct saved_disks *disks)
{
	for (unsigned int i = 0; i < SAVED_DISKS_MAX; i++) {
		if (disks->fd[i] >= 0)
			close(disks->fd[i]);
		disks->fd[i] = -1;
	}
	disks->count = 0;
}

unsigned int saved_disks_count(const char *folder)
{
	struct saved_disks disks;
	unsigned int count = 0;

	int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int snapshot = dir < 0 ? -1 : snapshot_open_plain(dir, "snapshot");
	if (snapshot >= 0) {
		saved_disks_open(&disks, dir, snapshot);
		count = disks.count;
		saved_disks_close(&disks);
		close(snapshot);
	}
	if (dir >= 0)
		close(dir);
	return count;
}
