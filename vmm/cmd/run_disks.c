// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/run_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/lib/copy_file.h"
#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/lib/text.h"
#include "vmm/snapshot/files.h"
#include "vmm/snapshot/saved_machine.h"

static bool no_signal_waits(void *ctx)
{
	(void)ctx;
	return !signal_waits();
}

/* Beside the saved one, with which it can share blocks; else where there is room on a disk. Returns a descriptor or -errno. */
static int make_file(int folder)
{
	const char *base = getenv("TMPDIR");

	int fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = open(base && *base ? base : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int make_copy(struct run_disks *disks, int folder, int from, struct copy_file *copy)
{
	*copy = (struct copy_file){
		.from = from, .to = make_file(folder), .goes_on = no_signal_waits};
	if (copy->to < 0)
		return copy->to;
	disks->copy[disks->count++] = copy->to;
	return copy_file(copy);
}

/* In place @number: those before it were given, or are there already. */
static int add_disk(struct run_disks *disks, struct vm_disks *all, unsigned int number)
{
	unsigned int place = number < all->count ? number : all->count;
	struct vm_disk *disk = &all->disk[place];

	if (all->count == VM_DISKS_MAX)
		return -E2BIG;
	memmove(disk + 1, disk, (all->count - place) * sizeof(*disk));
	*disk = (struct vm_disk){.name = disks->name[disks->count - 1], .raw = true, .said = true};
	snprintf(disk->file, sizeof(disk->file), "/proc/self/fd/%d", disks->copy[disks->count - 1]);
	all->count++;
	return 0;
}

static int take(struct run_disks *disks, struct vm_config *config, int folder, unsigned int number,
		const struct saved_disks *saved, struct copy_file *copy)
{
	char name[SAVED_DISK_NAME];

	saved_disk_name(number, &saved->id, name);
	if (asprintf(&disks->name[disks->count], "%s/%s", config->boot.restore, name) < 0) {
		disks->name[disks->count] = NULL;
		return -ENOMEM;
	}
	int error = make_copy(disks, folder, saved->fd[number], copy);
	return error ? error : add_disk(disks, &config->disks, number);
}

static void say(const char *folder, unsigned int count, unsigned int sharing, uint64_t bytes)
{
	char size[TEXT_SIZE_MAX];

	text_size(size, bytes);
	if (sharing == count)
		log_info("disks of '%s': a private copy of each, which shares its blocks; what is "
			 "written goes with the guest",
			 folder);
	else
		log_info("disks of '%s': a private copy of each, %s; what is written goes with the "
			 "guest",
			 folder, size);
}

static int take_all(struct run_disks *disks, struct vm_config *config, int folder,
		    const struct saved_disks *saved)
{
	unsigned int sharing = 0;
	uint64_t bytes = 0;
	int error = 0;

	for (unsigned int i = 0; i < SAVED_DISKS_MAX && !error; i++) {
		struct copy_file copy = {0};
		if (saved->fd[i] < 0)
			continue;
		error = take(disks, config, folder, i, saved, &copy);
		sharing += copy.shares;
		bytes += copy.bytes;
		if (error)
			log_error(
				"cannot make a private copy of disk %u of the snapshot in '%s': %s",
				i, config->boot.restore, strerror(-error));
	}
	if (!error && disks->count)
		say(config->boot.restore, disks->count, sharing, bytes);
	return error;
}

/* Before anything is copied. */
static int check_count(const struct vm_config *config, unsigned int saved)
{
	struct saved_machine machine;

	int error = saved_machine_find(config->boot.restore, arch_map.name, &machine);
	if (error || config->disks.count + saved == machine.disks)
		return error;
	log_error("the snapshot in '%s' has %u of its guest's disks (%u) itself: give -d for the "
		  "others alone",
		  config->boot.restore, saved, machine.disks);
	return -EINVAL;
}

int run_disks_init(struct run_disks *disks, struct vm_config *config)
{
	const char *restore = config->boot.restore;
	struct saved_disks saved;

	if (!restore || strcmp(restore, "-") == 0)
		return 0;
	int folder = open(restore, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	disks->snapshot = folder < 0 ? -errno : snapshot_open_plain(folder, "snapshot");
	/* What is wrong there is said when the snapshot is opened to be read. */
	int error = 0;
	if (disks->snapshot >= 0) {
		error = saved_disks_open(&saved, folder, disks->snapshot);
		if (error)
			log_error("the disks of the snapshot in '%s' cannot be opened: %s", restore,
				  strerror(-error));
		else if (saved.count)
			error = check_count(config, saved.count);
		if (!error)
			error = take_all(disks, config, folder, &saved);
		saved_disks_close(&saved);
	}
	if (folder >= 0)
		close(folder);
	return error;
}

int run_disks_check(const struct run_disks *disks, const struct vm_config *config)
{
	struct stat ours, there;
	char path[PATH_MAX];

	if (!disks->count)
		return 0;
	int len = snprintf(path, sizeof(path), "%s/snapshot", config->boot.restore);
	if (len < (int)sizeof(path) && fstat(disks->snapshot, &ours) == 0 &&
	    lstat(path, &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
		return 0;
	log_error("the snapshot in '%s' was replaced or removed just now: try again",
		  config->boot.restore);
	return -EAGAIN;
}

void run_disks_release(struct run_disks *disks)
{
	if (disks->snapshot >= 0)
		close(disks->snapshot);
	disks->snapshot = -1;
	for (unsigned int i = 0; i < disks->count; i++)
		close(disks->copy[i]);
	for (unsigned int i = 0; i < SAVED_DISKS_MAX; i++)
		free(disks->name[i]);
	*disks = (struct run_disks)RUN_DISKS_NONE;
}
