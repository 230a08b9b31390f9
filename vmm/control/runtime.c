// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/config.h"
#include "vmm/util/log.h"

/* Each try is lost only to a guest that ended just then. */
#define CLAIM_TRIES 1000

static int directory_path(char *path, size_t size)
{
	const char *ours = getenv("EBB_RUNTIME_DIR");
	const char *session = getenv("XDG_RUNTIME_DIR");
	int len;
	if (ours && *ours)
		len = snprintf(path, size, "%s", ours);
	else if (session && *session)
		len = snprintf(path, size, "%s/ebb", session);
	else if (geteuid() == 0)
		len = snprintf(path, size, "/run/ebb");
	else
		len = snprintf(path, size, "/tmp/ebb-%u", geteuid());
	return (size_t)len < size ? 0 : -ENAMETOOLONG;
}

/* Parents too; what exists already is left as it is. */
static int make_directory(const char *path)
{
	char part[PATH_MAX];
	for (size_t i = 1; path[i - 1]; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/* Of the open directory, so that nobody can put another one in its place after the check. */
static int check_directory(int fd, const char *path)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid()) {
		log_error("%s belongs to user %u; name another directory with EBB_RUNTIME_DIR",
			  path, st.st_uid);
		return -EACCES;
	}
	if (st.st_mode & 077) {
		log_error("%s is open to other users; chmod 700 it, or name another directory "
			  "with EBB_RUNTIME_DIR",
			  path);
		return -EACCES;
	}
	return 0;
}

/* The directory's file descriptor, or -errno having said what is wrong. */
static int open_directory(char *path, size_t size)
{
	int err = directory_path(path, size);
	if (!err)
		err = make_directory(path);
	int fd = -1;
	if (!err) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
	}
	if (err) {
		/* The path comes last: it may be longer than a line. */
		log_error("guests' names cannot be kept: %s; name with EBB_RUNTIME_DIR another "
			  "directory than %s",
			  strerror(-err), path);
		return err;
	}
	err = check_directory(fd, path);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* The name's file, locked and still the one in the directory: a file descriptor or -errno. */
static int lock_file(int directory, const char *file)
{
	for (int i = 0; i < CLAIM_TRIES; i++) {
		struct stat locked;
		struct stat named;
		int fd = openat(directory, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int err = -errno;
			close(fd);
			return err;
		}
		/* Between open and lock its owner may have ended and removed it. */
		if (fstat(fd, &locked) == 0 &&
		    fstatat(directory, file, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		    locked.st_ino == named.st_ino && locked.st_dev == named.st_dev)
			return fd;
		close(fd);
	}
	return -EWOULDBLOCK;
}

static void say_busy(int directory, const char *file, const char *guest)
{
	char text[16] = "";
	int fd = openat(directory, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	long pid = len > 0 ? strtol(text, NULL, 10) : 0;
	/* Its owner may have come just now, and not have written it yet. */
	if (pid > 0)
		log_error("the name \"%s\" is in use by process %ld; choose another with --name",
			  guest, pid);
	else
		log_error("the name \"%s\" is in use; choose another with --name", guest);
}

static int write_pid(int fd)
{
	int len = ftruncate(fd, 0) < 0 ? -1 : dprintf(fd, "%d\n", getpid());
	return len < 0 ? -errno : 0;
}

int runtime_claim(struct runtime_name *name, const char *guest)
{
	char file[VM_NAME_MAX + sizeof(".lock")];
	char path[PATH_MAX];
	*name = (struct runtime_name){.fd = -1};

	const char *wrong = vm_name_error(guest);
	if (wrong) {
		log_error("the name \"%s\" %s; choose another with --name", guest, wrong);
		return -EINVAL;
	}
	int directory = open_directory(path, sizeof(path));
	if (directory < 0)
		return directory;

	int err = 0;
	snprintf(file, sizeof(file), "%s.lock", guest);
	if ((size_t)snprintf(name->path, sizeof(name->path), "%s/%s", path, file) >=
	    sizeof(name->path)) {
		err = -ENAMETOOLONG;
		goto out;
	}
	name->fd = lock_file(directory, file);
	if (name->fd < 0)
		err = name->fd;
	else
		err = write_pid(name->fd);
out:
	if (err == -EWOULDBLOCK) {
		say_busy(directory, file, guest);
		err = -EBUSY;
	} else if (err) {
		log_error("cannot keep the name \"%s\" in %s: %s", guest, path, strerror(-err));
	}
	close(directory);
	if (err)
		runtime_release(name);
	return err;
}

void runtime_release(struct runtime_name *name)
{
	if (name->fd >= 0) {
		/* While it is locked: a rival either still waits for it or has a file of its own.
		 */
		unlink(name->path);
		close(name->fd);
	}
	name->fd = -1;
}
