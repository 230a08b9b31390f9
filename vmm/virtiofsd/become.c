// SPDX-License-Identifier: Apache-2.0
/*
 * What a child of the keeper does to itself before it becomes virtiofsd.
 *
 * A user without privileges gets a user namespace, in which it is root, and so may make the other
 * namespaces that virtiofsd confines itself to. In such a namespace a process cannot leave its
 * groups (user_namespaces(7)), but QEMU's virtiofsd insists on it: a filter makes setgroups() do
 * nothing and succeed. The process keeps what rights its user has, and gets no others.
 *
 * A read-only folder is read-only by its mount, so that virtiofsd, however wrong, cannot write it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/virtiofsd/virtiofsd.h"

static _Noreturn void fail(const char *what)
{
	dprintf(STDERR_FILENO, "cannot %s: %s\n", what, strerror(errno));
	_exit(127);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail("map the user into a namespace of its own");
	close(fd);
}

static void ignore_setgroups(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(setgroups), 0) ||
	    seccomp_load(filter))
		fail("filter a system call");
	seccomp_release(filter);
}

/* As in `unshare --map-root-user`. */
static void make_user_namespace(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER) < 0)
		fail("make a user namespace, which sharing a folder needs without root");
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_file("/proc/self/gid_map", map);
	ignore_setgroups();
}

static void make_read_only(const char *dir)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		fail("make a mount namespace");
	/* With all that is mounted below it. */
	int tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0 ||
	    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		fail("make the folder read-only");
	close(tree);
}

static void raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

void virtiofsd_become(const struct virtiofsd_config *config, const char *program,
		      enum virtiofsd_kind kind, int fd, int errors)
{
	struct virtiofsd_arguments arguments = {0};
	bool limited = geteuid() != 0;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(errors, STDERR_FILENO);
	if (limited) {
		raise_limit();
		make_user_namespace();
	}
	if (config->read_only)
		make_read_only(config->dir);
	virtiofsd_arguments(&arguments, kind, config, fd, limited);
	fcntl(fd, F_SETFD, 0);
	execv(program, (char *const *)arguments.argv);
	fail("start virtiofsd");
}
