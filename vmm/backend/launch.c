// SPDX-License-Identifier: Apache-2.0
/*
 * One start of a program, by the keeper.
 *
 * A socket that listens is made and connected before the program runs: so its name lives in a
 * directory of the keeper's own, and only for a moment; nobody else can connect.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/backend/backend.h"
#include "vmm/lib/find_program.h"
#include "vmm/lib/unix_address.h"

bool backend_find(const struct backend_program *program, char *path)
{
	return find_program(getenv("PATH"), program->name, path) ||
	       find_program(program->dirs, program->name, path);
}

/* Sets @pair to a socket of ebb's, and one that listens, to which the former is connected. */
static int make_listener(const char *keeper, int pair[2])
{
	struct sockaddr_un name;
	char dir[64];

	snprintf(dir, sizeof(dir), "/tmp/ebb-%s-XXXXXX", keeper);
	if (!mkdtemp(dir))
		return -1;
	unix_address(&name, "%s/socket", dir); /* it fits */
	pair[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	pair[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = pair[0] >= 0 && pair[1] >= 0 &&
		  bind(pair[1], (struct sockaddr *)&name, sizeof(name)) == 0 &&
		  listen(pair[1], 1) == 0 &&
		  connect(pair[0], (struct sockaddr *)&name, sizeof(name)) == 0;
	int error = errno;
	unlink(name.sun_path);
	rmdir(dir);
	errno = error;
	return ok ? 0 : -1;
}

_Noreturn void backend_fail(const char *what)
{
	dprintf(STDERR_FILENO, "cannot %s: %s\n", what, strerror(errno));
	_exit(127);
}

_Noreturn void backend_exec(const char *path, const char *const *argv, int socket)
{
	fcntl(socket, F_SETFD, 0);
	execv(path, (char *const *)argv);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", path, strerror(errno));
	_exit(127);
}

/*
 * A core would have the guest's memory in it. No limit but this one also keeps Linux from handing a core to a program, as
 * core_pattern says on many hosts; and after exec(2) a process can be dumped again. A plain user whose hard limit is 0 cannot
 * have it: then such a program gets a core, but without any memory. That file is root's while the process cannot be dumped.
 * Source: core(5), fs/coredump.c.
 */
static void forbid_cores(void)
{
	const struct rlimit one = {1, 1};

	setrlimit(RLIMIT_CORE, &one);
	prctl(PR_SET_DUMPABLE, 1);
	int filter = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	if (filter < 0) /* no /proc */
		return;
	if (write(filter, "0", 1) < 0)
		backend_fail("keep the guest's memory out of a core");
	close(filter);
}

static _Noreturn void become(const struct backend_program *program, const char *path,
			     const void *config, int socket, int errors)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(errors, STDERR_FILENO);
	forbid_cores();
	program->become(config, path, socket);
	_exit(127);
}

int backend_launch(const struct backend_program *program, const char *path, const void *config,
		   int errors, pid_t *child)
{
	int pair[2] = {-1, -1};

	*child = -1;
	int failed = program->listens ? make_listener(program->keeper, pair)
				      : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	if (!failed)
		*child = fork();
	if (*child == 0)
		become(program, path, config, pair[1], errors);
	int error = errno;
	/* Only ebb and the program may hold the socket: when one ends, the other is told. */
	if (pair[1] >= 0)
		close(pair[1]);
	if (*child > 0)
		return pair[0];
	*child = 0;
	if (pair[0] >= 0)
		close(pair[0]);
	errno = error;
	return -1;
}
