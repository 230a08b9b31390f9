// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KINDS (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
/* Milliseconds: some hundred microseconds are usual, while a busy host makes networks one by one. */
#define MAKE_MS 10000
#define NAMES	(NAMESPACES_NAMES + 1) /* from the root */
#define PLAIN	(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* --- the maker ------------------------------------------------------------------------------- */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return error;
}

/*
 * The user is itself there, so that sockets name it as before (SO_PEERCRED); all others have no
 * number. A user may map its group only after giving up to change its groups.
 */
static int map_user(unsigned int uid, unsigned int gid)
{
	char map[64];
	int error = write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (!error)
		error = write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return error ? error : write_file("/proc/self/gid_map", map);
}

/* Returns a descriptor of a new, empty file system that is mounted nowhere, or -errno. */
static int make_empty(void)
{
	int type = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (type < 0 || fsconfig(type, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int root = fsmount(type, FSMOUNT_CLOEXEC, PLAIN);
	return root < 0 ? -errno : root;
}

/*
 * Makes an empty tree the only one, with the working directory mounted in it: a descriptor of that
 * mount leads nowhere else by "..", as one of the directory itself would.
 */
static int change_root(void)
{
	struct mount_attr plain = {.attr_set = PLAIN};
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};

	int names = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (names < 0 ||
	    mount_setattr(names, "", AT_EMPTY_PATH | AT_RECURSIVE, &plain, sizeof(plain)) < 0)
		return -errno;
	int root = make_empty();
	if (root < 0)
		return root;
	if (mkdirat(root, NAMES, 0700) < 0 ||
	    move_mount(root, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    move_mount(names, "", root, NAMES, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    mount_setattr(root, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0)
		return -errno;
	/* The old tree comes to lie on the new one, and is taken away: see pivot_root(2). */
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0)
		return -errno;
	return 0;
}

static int make_all(int directory)
{
	unsigned int uid = geteuid(), gid = getegid();
	/* The working directory moves into the new namespace; a descriptor would not. */
	if (fchdir(directory) < 0 || unshare(KINDS) < 0)
		return -errno;
	int error = map_user(uid, gid);
	return error ? error : change_root();
}

/* Is there until ebb has joined: a process that has ended has no namespaces. */
static _Noreturn void make(int directory, int report, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	int error = make_all(directory);
	if (write(report, &error, sizeof(error)) != sizeof(error))
		_exit(0);
	for (;;)
		pause();
}

/* --- ebb ------------------------------------------------------------------------------------- */

void namespaces_begin(struct namespaces *namespaces, int directory)
{
	int pipes[2];
	pid_t self = getpid();

	*namespaces = (struct namespaces)NAMESPACES_NONE;
	if (pipe2(pipes, O_CLOEXEC) < 0) {
		namespaces->error = -errno;
		return;
	}
	namespaces->maker = fork();
	if (namespaces->maker == 0)
		make(directory, pipes[1], self);
	close(pipes[1]);
	namespaces->report = pipes[0];
	if (namespaces->maker < 0) {
		namespaces->error = -errno;
		namespaces->maker = 0;
	}
}

/* Waits for the maker's result: 0 or -errno. */
static int take_report(const struct namespaces *namespaces)
{
	struct pollfd report = {.fd = namespaces->report, .events = POLLIN};
	int ready, error;

	if (namespaces->error)
		return namespaces->error;
	do
		ready = poll(&report, 1, MAKE_MS);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return -ETIMEDOUT;
	return read(namespaces->report, &error, sizeof(error)) == sizeof(error) ? error : -ECHILD;
}

static int join_all(pid_t maker)
{
	int process = (int)syscall(SYS_pidfd_open, maker, 0);
	if (process < 0)
		return -errno;
	int error = setns(process, KINDS) < 0 ? -errno : 0;
	close(process);
	return error;
}

/* The old descriptor's ".." is the host's tree. */
static int replace_directory(int directory)
{
	int names = open(NAMESPACES_NAMES, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (names < 0)
		return -errno;
	int error = dup3(names, directory, O_CLOEXEC) < 0 ? -errno : 0;
	close(names);
	return error;
}

int namespaces_join(struct namespaces *namespaces, int directory)
{
	int error = take_report(namespaces);
	if (!error)
		error = join_all(namespaces->maker);
	if (!error)
		error = replace_directory(directory);
	namespaces_release(namespaces);
	return error;
}

int namespaces_try(int directory)
{
	struct namespaces namespaces;
	namespaces_begin(&namespaces, directory);
	int error = take_report(&namespaces);
	namespaces_release(&namespaces);
	return error;
}

void namespaces_release(struct namespaces *namespaces)
{
	if (namespaces->report >= 0)
		close(namespaces->report);
	if (namespaces->maker > 0) {
		kill(namespaces->maker, SIGKILL);
		while (waitpid(namespaces->maker, NULL, 0) < 0 && errno == EINTR)
			;
	}
	namespaces->maker = 0;
	namespaces->report = -1;
}
