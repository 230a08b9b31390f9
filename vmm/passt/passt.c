// SPDX-License-Identifier: Apache-2.0
/* ebb's side: the keeper's life, and its messages. */
#include "vmm/passt/passt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/signal_waits.h"

/* A little more than the keeper's limit, thirty seconds. */
#define START_MS 35000
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

int passt_take(struct passt *passt, char *why)
{
	struct passt_message note;
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {&note, sizeof(note)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};

	if (passt->control < 0)
		return -EPIPE;
	ssize_t got = recvmsg(passt->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (got != sizeof(note))
		return -EPIPE;
	if (note.error) {
		note.why[sizeof(note.why) - 1] = '\0';
		strcpy(why, note.why);
		return -ENOMSG;
	}
	passt->serial = note.serial;
	int fd = socket_of(&message);
	return fd < 0 ? -EPIPE : fd;
}

void passt_give_up(struct passt *passt)
{
	if (passt->control >= 0)
		send(passt->control, &passt->serial, sizeof(passt->serial),
		     MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Waits for the first message. */
static int first_socket(struct passt *passt, char *why)
{
	struct pollfd control = {.fd = passt->control, .events = POLLIN};
	int fd = -EAGAIN;

	for (unsigned int i = 0; i < START_MS / POLL_MS && fd == -EAGAIN; i++) {
		if (poll(&control, 1, POLL_MS) > 0)
			fd = passt_take(passt, why);
		else if (signal_waits())
			fd = -EINTR;
	}
	if (fd < 0 && fd != -ENOMSG)
		snprintf(why, PASST_WHY_SIZE, "%s",
			 fd == -EINTR ? "a signal came" : "it does not answer");
	return fd;
}

int passt_start(struct passt *passt, const struct passt_config *config, char *why)
{
	int pair[2];

	*passt = (struct passt){.control = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		int error = errno;
		snprintf(why, PASST_WHY_SIZE, "no socket: %s", strerror(error));
		return -error;
	}
	passt->keeper = fork();
	if (passt->keeper == 0)
		passt_keep(config, pair[1]);
	int error = errno;
	close(pair[1]);
	passt->control = pair[0];
	if (passt->keeper < 0) {
		passt->keeper = 0;
		passt_stop(passt);
		snprintf(why, PASST_WHY_SIZE, "no process: %s", strerror(error));
		return -error;
	}
	passt->pidfd = (int)syscall(SYS_pidfd_open, passt->keeper, 0);
	if (passt->pidfd < 0) {
		error = errno;
		close(passt->control); /* the keeper ends */
		waitpid(passt->keeper, NULL, 0);
		*passt = (struct passt){.control = -1};
		snprintf(why, PASST_WHY_SIZE, "cannot watch its keeper: %s; use Linux 5.3 or newer",
			 strerror(error));
		return -error;
	}
	int fd = first_socket(passt, why);
	if (fd < 0)
		passt_stop(passt);
	return fd;
}

/*
 * Waits for the keeper to end, and kills one that does not: it may have been stopped. By its
 * descriptor: the sandbox refuses signals to a PID, which can be any process.
 */
static void reap(const struct passt *passt)
{
	struct pollfd ended = {.fd = passt->pidfd, .events = POLLIN};

	if (poll(&ended, 1, STOP_MS) <= 0)
		syscall(SYS_pidfd_send_signal, passt->pidfd, SIGKILL, NULL, 0);
	while (waitpid(passt->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	close(passt->pidfd);
}

void passt_stop(struct passt *passt)
{
	if (passt->keeper > 0 || passt->control > 0)
		close(passt->control);
	if (passt->keeper > 0)
		reap(passt);
	*passt = (struct passt){.control = -1};
}
