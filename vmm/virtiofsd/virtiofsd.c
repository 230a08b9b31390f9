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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/read_all.h"
#include "vmm/virtiofsd/view.h"
#include "vmm/virtiofsd/virtiofsd.h"

/* The longest that `virtiofsd --help` may take. */
#define HELP_MS 10000

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		backend_fail("map the user into a namespace of its own");
	close(fd);
}

static void ignore_setgroups(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(setgroups), 0) ||
	    seccomp_load(filter))
		backend_fail("filter a system call");
	seccomp_release(filter);
}

/* As in `unshare --map-root-user`. */
static void make_user_namespace(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64];

	/*
	 * ebb has closed its memory to others of its user, and with it its own files in /proc, which the
	 * maps are written to. This process has nothing of the guest, and becomes another program.
	 */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (unshare(CLONE_NEWUSER) < 0)
		backend_fail("make a user namespace, which sharing a folder needs without root");
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_file("/proc/self/gid_map", map);
	ignore_setgroups();
}

/* Its mounts: see view.h. */
static void make_mounts(const struct virtiofsd_config *config)
{
	char text[256];
	const char *what = NULL;
	int error = config->parts	? view_make(config->dir, config->parts, &what)
		    : config->read_only ? view_make_read_only(config->dir, &what)
					: 0;

	if (!error)
		return;
	errno = -error;
	if (*what != '/')
		backend_fail(what);
	snprintf(text, sizeof(text), "share %s", what);
	backend_fail(text);
}

static void raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* --- the program ----------------------------------------------------------------------------- */

/* Asks the program for its kind: the two take other options, and their version numbers overlap. */
static enum virtiofsd_kind ask_kind(const char *path)
{
	char help[16384] = "";
	int out[2];

	if (pipe2(out, O_CLOEXEC) < 0)
		return VIRTIOFSD_C;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		execl(path, "virtiofsd", "--help", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	if (pid > 0) {
		read_all(out[0], help, sizeof(help) - 1, HELP_MS);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(out[0]);
	return virtiofsd_kind_of(help);
}

static _Noreturn void become(const void *data, const char *path, int socket)
{
	const struct virtiofsd_config *config = data;
	struct virtiofsd_arguments arguments = {0};
	enum virtiofsd_kind kind = ask_kind(path);
	bool limited = geteuid() != 0;

	if (limited) {
		raise_limit();
		make_user_namespace();
	}
	make_mounts(config);
	virtiofsd_arguments(&arguments, kind, config, socket, limited);
	backend_exec(path, arguments.argv, socket);
}

const struct backend_program virtiofsd_program = {
	.name = "virtiofsd",
	/* Distributions keep it out of the PATH: Debian and Ubuntu, Fedora, Arch. */
	.dirs = "/usr/lib/qemu:/usr/libexec:/usr/lib",
	.package = "virtiofsd, or qemu-system-common in Debian 12",
	.keeper = "fs-keeper",
	.listens = true,
	.become = become,
};
