// SPDX-License-Identifier: Apache-2.0
/* ebb's side: the keeper's life, and its messages. */
#include "vmm/virtiofsd/virtiofsd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"

/* A little more than what the keeper's look at the program may take. */
#define START_MS 15000
#define POLL_MS	 100 /* between two checks for signals */
/* The keeper only has to notice that ebb's end is closed. */
#define STOP_MS 1000

/* Returns the descriptor that came with @message, or -1. */
static int socket_of(struct msghdr *message)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof(fd)))
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int virtiofsd_take(struct virtiofsd *server, char *why)
{
	struct virtiofsd_message note;
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {&note, sizeof(note)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};

	if (server->control < 0)
		return -EPIPE;
	ssize_t got = recvmsg(server->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (got != sizeof(note))
		return -EPIPE;
	if (note.error) {
		note.why[sizeof(note.why) - 1] = '\0';
		strcpy(why, note.why);
		return -ENOMSG;
	}
	atomic_store(&server->serial, note.serial);
	int fd = socket_of(&message);
	return fd < 0 ? -EPIPE : fd;
}

int virtiofsd_wait(struct virtiofsd *server, char *why, int ms)
{
	struct pollfd control = {.fd = server->control, .events = POLLIN};
	int result = -EAGAIN;

	for (int waited = 0; waited < ms && result == -EAGAIN; waited += POLL_MS) {
		if (poll(&control, 1, POLL_MS) > 0)
			result = virtiofsd_take(server, why);
		else if (signal_waits())
			result = -EINTR;
	}
	return result;
}

void virtiofsd_end(struct virtiofsd *server)
{
	uint32_t serial = atomic_load(&server->serial);

	if (server->control >= 0)
		send(server->control, &serial, sizeof(serial), MSG_NOSIGNAL | MSG_DONTWAIT);
}

int virtiofsd_start(struct virtiofsd *server, const struct virtiofsd_config *config)
{
	char why[VIRTIOFSD_WHY_SIZE];
	int pair[2];

	*server = (struct virtiofsd){.control = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		int error = errno;
		log_error("cannot create a socket for virtiofsd: %s", strerror(error));
		return -error;
	}
	server->keeper = fork();
	if (server->keeper == 0)
		virtiofsd_keep(config, pair[1]);
	int error = errno;
	close(pair[1]);
	server->control = pair[0];
	if (server->keeper < 0) {
		server->keeper = 0;
		virtiofsd_stop(server);
		log_error("cannot start a process for virtiofsd: %s", strerror(error));
		return -error;
	}
	server->pidfd = (int)syscall(SYS_pidfd_open, server->keeper, 0);
	if (server->pidfd < 0) {
		error = errno;
		close(server->control); /* the keeper ends */
		waitpid(server->keeper, NULL, 0);
		*server = (struct virtiofsd){.control = -1};
		log_error(
			"cannot watch the process that keeps virtiofsd: %s; use Linux 5.3 or newer",
			strerror(error));
		return -error;
	}
	int fd = virtiofsd_wait(server, why, START_MS);
	if (fd >= 0)
		return fd;
	log_error("cannot start virtiofsd for the folder %s: %s", config->dir,
		  fd == -ENOMSG	 ? why
		  : fd == -EINTR ? "a signal came meanwhile"
				 : "it does not answer");
	virtiofsd_stop(server);
	return fd;
}

/*
 * Waits for the keeper to end, and kills one that does not: it may have been stopped. By its
 * descriptor: the sandbox refuses signals to a PID, which can be any process.
 */
static void reap(const struct virtiofsd *server)
{
	struct pollfd ended = {.fd = server->pidfd, .events = POLLIN};

	if (poll(&ended, 1, STOP_MS) <= 0)
		syscall(SYS_pidfd_send_signal, server->pidfd, SIGKILL, NULL, 0);
	while (waitpid(server->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	close(server->pidfd);
}

void virtiofsd_stop(struct virtiofsd *server)
{
	if (server->keeper > 0 || server->control > 0)
		close(server->control);
	if (server->keeper > 0)
		reap(server);
	*server = (struct virtiofsd){.control = -1};
}
