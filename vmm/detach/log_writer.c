// SPDX-License-Identifier: Apache-2.0
#include "vmm/detach/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/detach/turned_log.h"
#include "vmm/lib/child.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/signal_waits.h"

#define START_MS 30000
#define POLL_MS	 100 /* between two checks for signals */
#define END_MS	 10000

/* What it writes comes through a pipe, whose read end is the first message to it. */
static _Noreturn void write_log(int control, const char *path)
{
	struct turned_log log;
	uint8_t data[4096];
	sigset_t none;
	ssize_t len;
	int output;

	sigemptyset(&none);
	child_begin("console-log", control, &none, true);
	int32_t error = pass_fd_receive(CHILD_CONTROL, data, 1, &output) == 1
				? turned_log_open(&log, path)
				: -EPIPE;
	send(CHILD_CONTROL, &error, sizeof(error), MSG_NOSIGNAL);
	if (error)
		_exit(1);
	while ((len = read(output, data, sizeof(data))) != 0)
		if (len > 0)
			turned_log_write(&log, data, (size_t)len);
		else if (errno != EINTR)
			break;
	_exit(0);
}

/* Starts the process. Returns 0 or -errno. */
static int start(struct log_writer *writer, const char *path)
{
	int control[2], output[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return -errno;
	if (pipe2(output, O_CLOEXEC) < 0) {
		int error = -errno;
		close(control[0]);
		close(control[1]);
		return error;
	}
	pid_t process = pass_fd_send(control[0], "", 1, output[0]) == 1 ? fork() : -1;
	int error = process < 0 ? -errno : 0;
	if (process == 0)
		write_log(control[1], path);
	close(control[1]);
	close(output[0]);
	*writer = (struct log_writer){output[1], control[0], process};
	return error;
}

/* The file system may be slow: then the process, which ends by itself, is not waited for in the end either. */
static int wait_for_start(struct log_writer *writer)
{
	struct pollfd said = {.fd = writer->control, .events = POLLIN};
	int32_t error = -EPIPE;

	for (int i = 0; i < START_MS / POLL_MS && poll(&said, 1, POLL_MS) <= 0; i++) {
		if (signal_waits()) {
			log_error("a signal came while the console's file was opened");
			writer->process = -1;
			return -EINTR;
		}
	}
	if (!said.revents) {
		log_error("the console's file cannot be opened: it takes too long");
		writer->process = -1;
	} else if (recv(writer->control, &error, sizeof(error), 0) != sizeof(error)) {
		log_error("the process for the console's file ended");
	}
	return error;
}

int log_writer_start(struct log_writer *writer, const char *path)
{
	*writer = (struct log_writer)LOG_WRITER_NONE;
	int error = start(writer, path);

	if (error)
		log_error("cannot start a process for the console's file: %s", strerror(-error));
	else
		error = wait_for_start(writer);
	if (error)
		log_writer_end(writer);
	return error;
}

void log_writer_end(struct log_writer *writer)
{
	struct pollfd ended = {.fd = writer->control, .events = POLLIN};

	if (writer->fd < 0)
		return;
	close(writer->fd);
	if (writer->process > 0 && poll(&ended, 1, END_MS) > 0)
		waitpid(writer->process, NULL, 0);
	close(writer->control);
	*writer = (struct log_writer)LOG_WRITER_NONE;
}
