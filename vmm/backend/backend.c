// SPDX-License-Identifier: Apache-2.0
/* ebb's side: the keeper's life, and its messages. */
#include "vmm/backend/backend.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/pass_fd.h"
#include "vmm/lib/signal_waits.h"

/* A little more than the keeper's limit, thirty seconds. */
#define START_MS 35000
#define POLL_MS	 100 /* between two checks for signals */
/* The keeper only has to notice that ebb's end is closed. */
#define STOP_MS 1000

int backend_take(struct backend *backend, char *why)
{
	struct backend_message note = {};
	int fd;

	if (backend->control < 0)
		return -EPIPE;
	ssize_t got = pass_fd_receive(backend->control, &note, sizeof(note), &fd);
	if (got < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (got != sizeof(note))
		return -EPIPE;
	if (note.error) {
		note.why[sizeof(note.why) - 1] = '\0';
		strcpy(why, note.why);
		return -ENOMSG;
	}
	atomic_store(&backend->serial, note.serial);
	return fd < 0 ? -EPIPE : fd;
}

int backend_wait(struct backend *backend, char *why, int ms)
{
	struct pollfd control = {.fd = backend->control, .events = POLLIN};
	int result = -EAGAIN;

	for (int waited = 0; waited < ms && result == -EAGAIN; waited += POLL_MS) {
		if (poll(&control, 1, POLL_MS) > 0)
			result = backend_take(backend, why);
		else if (end_signal_waits())
			result = -EINTR;
	}
	return result;
}

void backend_end(struct backend *backend)
{
	uint32_t serial = atomic_load(&backend->serial);

	if (backend->control >= 0)
		send(backend->control, &serial, sizeof(serial), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Sets @why, and returns -@error. */
static int fail(char *why, const char *what, int error, const char *advice)
{
	snprintf(why, BACKEND_WHY_SIZE, "%s: %s%s", what, strerror(error), advice);
	return -error;
}

/* Forks the keeper. Returns 0, or -errno with @why set. */
static int start_keeper(struct backend *backend, const struct backend_program *program,
			const void *config, char *why)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(why, "no socket", errno, "");
	backend->control = pair[0];
	backend->keeper = fork();
	if (backend->keeper == 0)
		backend_keep(program, config, pair[1]);
	int error = errno;
	close(pair[1]);
	if (backend->keeper < 0) {
		backend->keeper = 0;
		return fail(why, "no process", error, "");
	}
	backend->pidfd = (int)syscall(SYS_pidfd_open, backend->keeper, 0);
	if (backend->pidfd >= 0)
		return 0;
	error = errno;
	close(backend->control); /* the keeper ends */
	waitpid(backend->keeper, NULL, 0);
	*backend = (struct backend){.control = -1};
	return fail(why, "cannot watch its keeper", error, "; use Linux 5.3 or newer");
}

int backend_start(struct backend *backend, const struct backend_program *program,
		  const void *config, char *why)
{
	*backend = (struct backend){.control = -1, .stop_ms = program->stop_ms};
	int error = start_keeper(backend, program, config, why);
	int fd = error ? error : backend_wait(backend, why, START_MS);
	if (fd >= 0)
		return fd;
	if (!error && fd != -ENOMSG)
		snprintf(why, BACKEND_WHY_SIZE, "%s",
			 fd == -EINTR ? "a signal came" : "it does not answer");
	backend_stop(backend);
	return fd;
}

int backend_give(struct backend *backend, int socket, int to)
{
	const struct backend_message note = {.serial = atomic_load(&backend->serial)};
	const int fd[] = {socket, backend->control};

	if (pass_fds_send_now(to, &note, sizeof(note), fd, 2) != sizeof(note))
		return -errno;
	close(backend->control);
	backend->control = -1;
	return 0;
}

int backend_adopt(struct backend *backend, int from)
{
	struct backend_message note = {};
	int fd[2];

	ssize_t got = pass_fds_receive(from, &note, sizeof(note), fd, 2);
	if (got < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (got == sizeof(note) && fd[0] >= 0) {
		*backend = (struct backend){.control = fd[1], .serial = note.serial};
		return fd[0];
	}
	for (unsigned int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return got == 0 || (got < 0 && errno == ECONNRESET) ? -EPIPE : -EPROTO;
}

/*
 * Waits for the keeper to end, and kills one that does not: it may have been stopped. By its
 * descriptor: the sandbox refuses signals to a PID, which can be any process.
 */
static void reap(const struct backend *backend)
{
	struct pollfd ended = {.fd = backend->pidfd, .events = POLLIN};

	if (poll(&ended, 1, STOP_MS + (int)backend->stop_ms) <= 0)
		syscall(SYS_pidfd_send_signal, backend->pidfd, SIGKILL, NULL, 0);
	while (waitpid(backend->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	close(backend->pidfd);
}

void backend_stop(struct backend *backend)
{
	if (backend->control > 0)
		close(backend->control);
	if (backend->keeper > 0)
		reap(backend);
	*backend = (struct backend){.control = -1};
}
