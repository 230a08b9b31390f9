// SPDX-License-Identifier: Apache-2.0
/* The two forks, and the guest's side. */
#include "vmm/detach/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"

/* Closes what is open of @count descriptors. */
static void close_all(const int *fd, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* --- the keeper's process ----------------------------------------------------------------------- */

/* Makes the pipes the standard streams of this process, which becomes the guest's. */
static void take_streams(const int streams[6])
{
	dup2(streams[0], STDIN_FILENO);
	dup2(streams[3], STDOUT_FILENO);
	dup2(streams[5], STDERR_FILENO);
	close_all(streams, 6);
}

/* Starts the guest's process and keeps it. Returns only there. */
static int become_keeper(struct detach *detach, int caller, const char *name, const char *log)
{
	/* Standard input, output and error, each its end to read and its end to write. */
	int streams[6] = {-1, -1, -1, -1, -1, -1};
	int ready[2] = {-1, -1};
	pid_t guest = -1;

	setsid();
	if (pipe2(streams, O_CLOEXEC) == 0 && pipe2(streams + 2, O_CLOEXEC) == 0 &&
	    pipe2(streams + 4, O_CLOEXEC) == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ready) == 0)
		guest = fork();
	if (guest < 0) {
		log_error("cannot start a process for the guest: %s", strerror(errno));
		_exit(2);
	}
	if (guest == 0) {
		close(caller);
		close(ready[0]);
		take_streams(streams);
		detach->ready = ready[1];
		return 1;
	}
	close(streams[0]);
	close(streams[3]);
	close(streams[5]);
	close(ready[1]);
	const struct keeper_ends ends = {guest,	     streams[2], streams[4],
					 streams[1], ready[0],	 caller};
	detach_keep(&ends, name, log);
}

/* --- the caller's process ------------------------------------------------------------------------ */

/* Waits until the guest runs or has failed. */
static int await_result(struct detach *detach, int keeper)
{
	struct detach_result result;
	ssize_t got;

	do
		got = recv(keeper, &result, sizeof(result), MSG_WAITALL);
	while (got < 0 && errno == EINTR);
	if (got != sizeof(result)) {
		log_error(
			"the process that keeps the guest's console ended; look into the kernel's log");
		return -EPIPE;
	}
	detach->guest = result.guest;
	detach->status = result.status;
	return 0;
}

int detach_start(struct detach *detach, const char *name, const char *log)
{
	int pair[2];

	*detach = (struct detach)DETACH_NONE;
	pid_t keeper = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0)
		keeper = fork();
	if (keeper < 0) {
		int error = -errno;
		log_error("cannot start a process for the guest: %s", strerror(-error));
		return error;
	}
	if (keeper == 0) {
		close(pair[0]);
		return become_keeper(detach, pair[1], name, log);
	}
	close(pair[1]);
	int error = await_result(detach, pair[0]);
	close(pair[0]);
	return error;
}

/* --- the guest's process ------------------------------------------------------------------------- */

void detach_ready(struct detach *detach, int listener)
{
	char byte = 0;

	/* If the keeper is gone, the guest runs without a console. */
	pass_fd_send(detach->ready, &byte, 1, listener);
	close(listener);
	close(detach->ready);
	detach->ready = -1;
}
