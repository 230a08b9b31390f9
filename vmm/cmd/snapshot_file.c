// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/snapshot_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/write_all.h"
#include "vmm/lib/zero.h"

#define PAGE 4096U
/* What is to replace a base. */
#define UNFINISHED_BASE "base.unfinished"

static int fail(const struct snapshot_file *file, const char *what)
{
	int error = errno;
	log_error("cannot %s '%s': %s", what, file->folder, strerror(error));
	return -error;
}

static bool is_snapshot(const struct snapshot_file *file)
{
	return strcmp(file->name, SNAPSHOT_FILE) == 0;
}

static const char *unfinished(const struct snapshot_file *file)
{
	return is_snapshot(file) ? SNAPSHOT_FILE ".unfinished" : WORKING_SET_FILE ".unfinished";
}

/* Returns whether nothing has its name. */
static bool remove_unfinished(const struct snapshot_file *file)
{
	return unlinkat(file->dir, unfinished(file), 0) == 0 || errno == ENOENT;
}

/* --- begun --------------------------------------------------------------------------------------- */

static int open_folder(struct snapshot_file *file)
{
	if (is_snapshot(file)) {
		file->made = mkdir(file->folder, 0700) == 0;
		if (!file->made && errno != EEXIST)
			return fail(file, "make the folder");
	}
	file->dir = open(file->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->dir < 0)
		return fail(file, "open the folder");
	if (flock(file->dir, LOCK_EX | LOCK_NB) < 0) {
		log_error("another \"ebb snapshot\" is writing to '%s': wait for it", file->folder);
		return -EBUSY;
	}
	if (is_snapshot(file) || faccessat(file->dir, SNAPSHOT_FILE, F_OK, 0) == 0)
		return 0;
	log_error("there is no snapshot in '%s': name the folder that the guest was restored from",
		  file->folder);
	return -ENOENT;
}

/* A file without a name is gone when this process is; not all file systems have such. */
static int open_file(struct snapshot_file *file)
{
	file->fd = openat(file->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file->fd >= 0)
		return 0;
	if (!remove_unfinished(file))
		return fail(file, "replace an unfinished snapshot in");
	file->fd = openat(file->dir, unfinished(file), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	file->named = file->fd >= 0;
	return file->fd < 0 ? fail(file, "write a snapshot to") : 0;
}

int snapshot_file_begin(struct snapshot_file *file)
{
	int error = open_folder(file);
	return error ? error : open_file(file);
}

int snapshot_file_again(struct snapshot_file *file)
{
	int before = file->fd;

	file->held = 0;
	/* Its name is the new one's. */
	if (file->named && !remove_unfinished(file))
		return fail(file, "replace an unfinished snapshot in");
	file->named = false;
	int error = open_file(file);
	if (!error)
		return before;
	close(before);
	return error;
}

int snapshot_file_add_disk(struct snapshot_file *file, unsigned int number)
{
	struct snapshot_disk *disk = &file->disk[file->disks];
	char name[SAVED_DISK_NAME];

	disk->number = number;
	disk->fd = openat(file->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (disk->fd < 0) {
		saved_disk_unfinished(number, name);
		unlinkat(file->dir, name, 0);
		disk->fd = openat(file->dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		disk->named = disk->fd >= 0;
	}
	if (disk->fd < 0)
		return -errno;
	file->disks++;
	return disk->fd;
}

/* Gives @fd the name @name in the folder, which rename() needs of a file without one. */
static int give_name(const struct snapshot_file *file, int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, file->dir, name, AT_SYMLINK_FOLLOW);
}

/* Has the folder keep @fd as @name, whatever had that name. Sets *@linked if nothing had. Returns 0 or -errno. */
static int keep(const struct snapshot_file *file, int fd, const char *name, bool *linked)
{
	struct stat ours, there;

	/* It may have come by a copy, which nothing has brought to the disk yet. */
	if (fsync(fd) < 0 || fstat(fd, &ours) < 0)
		return -errno;
	/* Whose owner is another can be changed by that one; see docs/snapshots.md. */
	if (ours.st_uid != geteuid() && ours.st_uid != 0)
		return -EPERM;
	*linked = give_name(file, fd, name) == 0;
	if (*linked)
		return 0;
	if (errno != EEXIST || fstatat(file->dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (there.st_dev == ours.st_dev && there.st_ino == ours.st_ino)
		return 0;
	/* A copy, a damaged one, or no such base at all: only the one that was read is known to be right. */
	if ((unlinkat(file->dir, UNFINISHED_BASE, 0) < 0 && errno != ENOENT) ||
	    give_name(file, fd, UNFINISHED_BASE) < 0 ||
	    renameat(file->dir, UNFINISHED_BASE, file->dir, name) < 0) {
		int error = errno;
		unlinkat(file->dir, UNFINISHED_BASE, 0);
		return -error;
	}
	return 0;
}

static const char *link_advice(int error)
{
	switch (error) {
	case -EXDEV:
	case -EPERM:
		return "; choose a folder on the same file system, which has hard links, as the "
		       "owner of the snapshot";
	case -ENOENT:
		return "; it was replaced just now: try again";
	default:
		return "";
	}
}

int snapshot_file_link(struct snapshot_file *file, const struct snapshot_chain *bases,
		       const char *from)
{
	char name[SNAPSHOT_BASE_NAME];
	int error = 0;

	file->bases = bases;
	for (unsigned int i = 0; i < bases->count && !error; i++) {
		snapshot_base_name(&bases->layer[i]->id, name);
		error = keep(file, bases->layer[i]->fd, name, &file->linked[i]);
	}
	if (error)
		log_error("the snapshot in '%s' cannot be kept in '%s', too: %s%s", from,
			  file->folder, strerror(-error), link_advice(error));
	return error;
}

/* --- written ------------------------------------------------------------------------------------- */

int snapshot_file_write(struct snapshot_file *file)
{
	size_t end = file->held - file->held % PAGE, at = 0;
	int error = 0;

	while (at < end && !error) {
		size_t from = at;
		while (at < end && !is_zero(file->data + at, PAGE))
			at += PAGE;
		error = write_all(file->fd, file->data + from, at - from);
		for (from = at; at < end && is_zero(file->data + at, PAGE);)
			at += PAGE;
		if (!error && at > from && lseek(file->fd, (off_t)(at - from), SEEK_CUR) < 0)
			error = -errno;
	}
	file->held -= end;
	memmove(file->data, file->data + end, file->held);
	return error;
}

/*
 * The file has its full size then: the rest is no hole, whatever it holds; if there is none, the last page had the head of
 * the end's section, which is not zero.
 */
int snapshot_file_write_rest(struct snapshot_file *file)
{
	return write_all(file->fd, file->data, file->held);
}

int snapshot_file_put(void *ctx, const void *data, size_t len)
{
	struct snapshot_file *file = ctx;
	const uint8_t *from = data;
	int error = 0;

	while (len > 0 && !error) {
		size_t room = sizeof(file->data) - file->held;
		size_t some = len < room ? len : room;
		memcpy(file->data + file->held, from, some);
		file->held += some;
		from += some;
		len -= some;
		if (file->held == sizeof(file->data))
			error = snapshot_file_write(file);
	}
	return error;
}

/* --- finished ------------------------------------------------------------------------------------ */

static bool is_needed(const struct snapshot_file *file, const char *name)
{
	char base[SNAPSHOT_BASE_NAME];

	for (unsigned int i = file->first; file->bases && i < file->bases->count; i++) {
		snapshot_base_name(&file->bases->layer[i]->id, base);
		if (strcmp(base, name) == 0)
			return true;
	}
	return false;
}

/* Another disk than those that were saved now, or one that was not finished. */
static bool is_old_disk(const struct snapshot_file *file, const struct snapshot_id *id,
			const char *name)
{
	char ours[SAVED_DISK_NAME];

	for (unsigned int i = 0; i < file->disks; i++) {
		saved_disk_name(file->disk[i].number, id, ours);
		if (strcmp(ours, name) == 0)
			return false;
	}
	return saved_disk_is_name(name);
}

/* Returns whether @name is a base that is not needed any more. */
static bool is_old_base(const struct snapshot_file *file, const char *name)
{
	static const char digits[] = "0123456789abcdef";
	const char *id = name + strlen(SNAPSHOT_BASE_PREFIX);

	return strlen(name) == SNAPSHOT_BASE_NAME - 1 &&
	       strncmp(name, SNAPSHOT_BASE_PREFIX, strlen(SNAPSHOT_BASE_PREFIX)) == 0 &&
	       strspn(id, digits) == strlen(id) && !is_needed(file, name);
}

static void remove_or_warn(const struct snapshot_file *file, const char *name)
{
	if (unlinkat(file->dir, name, 0) < 0 && errno != ENOENT)
		log_warn("'%s' in '%s' is not needed any more, and cannot be removed: %s", name,
			 file->folder, strerror(errno));
}

/* Removes what only the snapshot needed that was there before. */
static void remove_others(const struct snapshot_file *file, const struct snapshot_id *id)
{
	int fd = openat(file->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_old_base(file, entry->d_name) || is_old_disk(file, id, entry->d_name))
			remove_or_warn(file, entry->d_name);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

/* Before the snapshot has its name: it tells which disks are its own. */
static int publish_disks(struct snapshot_file *file, const struct snapshot_id *id)
{
	char name[SAVED_DISK_NAME];
	int error = 0;

	for (unsigned int i = 0; i < file->disks && !error; i++) {
		struct snapshot_disk *disk = &file->disk[i];
		saved_disk_name(disk->number, id, name);
		error = keep(file, disk->fd, name, &disk->linked);
	}
	errno = -error;
	return error ? fail(file, "finish the disks in") : 0;
}

int snapshot_file_publish(struct snapshot_file *file)
{
	struct snapshot_id id = {{0}};

	errno = is_snapshot(file) ? -saved_disks_id(file->fd, &id) : 0;
	if (errno)
		return fail(file, "finish the snapshot in");
	int error = publish_disks(file, &id);
	if (error)
		return error;
	if (fsync(file->fd) < 0 || ((file->bases || file->disks) && fsync(file->dir) < 0))
		return fail(file, "finish the snapshot in");
	/* What has that name was left by one that was killed: the folder is locked. */
	if (!file->named &&
	    (!remove_unfinished(file) || give_name(file, file->fd, unfinished(file)) < 0))
		return fail(file, "finish the snapshot in");
	if (renameat(file->dir, unfinished(file), file->dir, file->name) < 0)
		return fail(file, "finish the snapshot in");
	/* From here on the folder's snapshot needs its bases, whatever else fails. */
	memset(file->linked, 0, sizeof(file->linked));
	for (unsigned int i = 0; i < file->disks; i++)
		file->disk[i].linked = false;
	/* Of the snapshot that was there before. Where it stays, it says itself that it is of another. */
	if (is_snapshot(file))
		remove_or_warn(file, WORKING_SET_FILE);
	if (fsync(file->dir) < 0)
		return fail(file, "finish the snapshot in");
	/* Until the new name is on the disk, the old snapshot may be the one that is found. */
	if (is_snapshot(file)) {
		remove_or_warn(file, UNFINISHED_BASE);
		remove_others(file, &id);
	}
	return 0;
}

static void end_disks(struct snapshot_file *file)
{
	struct snapshot_id id;
	char name[SAVED_DISK_NAME];

	for (unsigned int i = 0; i < file->disks; i++) {
		const struct snapshot_disk *disk = &file->disk[i];
		saved_disk_unfinished(disk->number, name);
		if (disk->named)
			unlinkat(file->dir, name, 0);
		if (disk->linked && saved_disks_id(file->fd, &id) == 0) {
			saved_disk_name(disk->number, &id, name);
			unlinkat(file->dir, name, 0);
		}
		close(disk->fd);
	}
}

void snapshot_file_end(struct snapshot_file *file, bool done)
{
	char name[SNAPSHOT_BASE_NAME];

	end_disks(file);
	if (!done && file->fd >= 0)
		unlinkat(file->dir, unfinished(file), 0);
	for (unsigned int i = 0; !done && i < SNAPSHOT_CHAIN_MAX; i++) {
		if (!file->linked[i])
			continue;
		snapshot_base_name(&file->bases->layer[i]->id, name);
		unlinkat(file->dir, name, 0);
	}
	if (file->fd >= 0)
		close(file->fd);
	if (file->dir >= 0)
		close(file->dir);
	if (!done && file->made)
		rmdir(file->folder);
}
