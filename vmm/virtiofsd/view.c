// SPDX-License-Identifier: Apache-2.0
/*
 * All parts are opened before anything is mounted: the place of the view may hide one of them.
 *
 * What is between the parts is a tmpfs of a few folders. It is made read-only, too: otherwise the guest
 * could fill the host's memory with it.
 */
#include "vmm/virtiofsd/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Private: what the host mounts later would come as it is, writable. */
static int leave_mounts(const char **what)
{
	*what = "make a mount namespace";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return 0;
}

/* Returns what @file is, with all that is mounted below it, as a mount that is nowhere yet; or -errno. */
static int clone_tree(int file, bool read_only)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int tree = open_tree(file, "",
			     AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (tree < 0)
		return -errno;
	if (!read_only ||
	    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		return tree;
	int error = errno;
	close(tree);
	return -error;
}

static int attach(int tree, const char *path)
{
	return move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int view_make_read_only(const char *dir, const char **what)
{
	int error = leave_mounts(what);

	if (error)
		return error;
	*what = "make the folder read-only";
	int file = open(dir, O_PATH | O_CLOEXEC);
	if (file < 0)
		return -errno;
	int tree = clone_tree(file, true);
	close(file);
	if (tree < 0)
		return tree;
	error = attach(tree, dir);
	close(tree);
	return error;
}

/* --- a view ---------------------------------------------------------------------------------- */

enum part_kind { PART_LEFT_OUT, PART_LINK, PART_FOLDER, PART_FILE };

struct part {
	enum part_kind kind;
	int tree; /* of a folder or file */
	char link[PATH_MAX];
};

/*
 * A user's folder lies where another guest may swap a part of its path for a symbolic link, also when virtiofsd is
 * started again, long after the path was found: none is followed. The system's own may be links themselves.
 */
static int open_file(const struct bind *bind)
{
	const struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				     .resolve = bind->optional ? 0 : RESOLVE_NO_SYMLINKS};
	int file = (int)syscall(SYS_openat2, AT_FDCWD, bind->source, &how, sizeof(how));
	return file < 0 ? -errno : file;
}

static int take_part(struct part *part, const struct bind *bind, int file)
{
	struct stat about;

	if (fstat(file, &about) < 0)
		return -errno;
	if (S_ISLNK(about.st_mode) && !bind->optional)
		return -ELOOP;
	if (S_ISLNK(about.st_mode)) {
		ssize_t len = readlinkat(file, "", part->link, sizeof(part->link) - 1);
		if (len < 0)
			return -errno;
		part->link[len] = '\0';
		part->kind = PART_LINK;
		return 0;
	}
	part->tree = clone_tree(file, bind->read_only);
	if (part->tree < 0)
		return part->tree;
	part->kind = S_ISDIR(about.st_mode) ? PART_FOLDER : PART_FILE;
	return 0;
}

static int open_part(struct part *part, const struct bind *bind)
{
	int file = open_file(bind);

	part->kind = PART_LEFT_OUT;
	if (file < 0)
		return file == -ENOENT && bind->optional ? 0 : file;
	int error = take_part(part, bind, file);
	close(file);
	return error;
}

/* Makes the folders that lead to @path, below the first @top bytes of it. */
static int make_parents(char *path, size_t top)
{
	for (char *slash = strchr(path + top + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int made = mkdir(path, 0755);
		int error = made < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (error)
			return error;
	}
	return 0;
}

static int place_part(const struct part *part, const char *dir, const char *at)
{
	char path[PATH_MAX + 256];
	int error = 0;

	if (part->kind == PART_LEFT_OUT)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", dir, at) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	error = make_parents(path, strlen(dir));
	if (error)
		return error;
	if (part->kind == PART_LINK)
		return symlink(part->link, path) < 0 ? -errno : 0;
	if (part->kind == PART_FOLDER)
		error = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
	else
		error = mknod(path, S_IFREG | 0644, 0) < 0 && errno != EEXIST ? -errno : 0;
	return error ? error : attach(part->tree, path);
}

int view_make(const char *dir, const struct bind *parts, const char **what)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	/* Half a MiB; the process then becomes another program, which closes the trees. */
	struct part part[VIEW_PARTS_MAX];
	unsigned int count = 0;
	int error = leave_mounts(what);

	for (; !error && parts[count].source; count++) {
		*what = parts[count].source;
		error = count < VIEW_PARTS_MAX ? open_part(&part[count], &parts[count]) : -E2BIG;
	}
	if (error)
		return error;
	*what = "mount a tmpfs";
	if (mount("ebb", dir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
		return -errno;
	for (unsigned int i = 0; i < count && !error; i++) {
		*what = parts[i].source;
		error = place_part(&part[i], dir, parts[i].at);
	}
	if (error)
		return error;
	*what = "make the view read-only";
	return mount_setattr(AT_FDCWD, dir, 0, &read_only, sizeof(read_only)) < 0 ? -errno : 0;
}
