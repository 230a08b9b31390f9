// SPDX-License-Identifier: Apache-2.0
#include "vmm/detach/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/detach/turned_log.h"
#include "vmm/lib/child.h"
#include "vmm/lib/log.h"

#define END_MS 10000

static _Noreturn void write_log(int control, const char *path)
{
	struct turned_log log;
	uint8_t data[4096];
	sigset_t none;
	ssize_t len;

	sigemptyset(&none);
	child_begin("console-log", control, &none, true);
	int32_t error = turned_log_open(&log, path);
	send(CHILD_CONTROL, &error, sizeof(error), MSG_NOSIGNAL);
	if (error)
		_exit(1);
	while ((len = recv(CHILD_CONTROL, data, sizeof(data), 0)) != 0)
		if (len > 0)
			turned_log_write(&log, data, (size_t)len);
		else if (errno != EINTR)
			break;
	_exit(0);
}

int log_writer_start(struct log_writer *writer, const char *path)
{
	int32_t error = -EPIPE;
	int pair[2];

	*writer = (struct log_writer)LOG_WRITER_NONE;
	pid_t process = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0)
		process = fork();
	if (process < 0) {
		error = -errno;
		log_error("cannot start a process for the console's file: %s", strerror(-error));
		return error;
	}
	if (process == 0)
		write_log(pair[1], path);
	close(pair[1]);
	*writer = (struct log_writer){pair[0], process};
	if (recv(pair[0], &error, sizeof(error), MSG_WAITALL) != sizeof(error))
		log_error("the process for the console's file ended");
	if (error)
		log_writer_end(writer);
	return error;
}

void log_writer_end(struct log_writer *writer)
{
	struct pollfd ended = {.fd = writer->fd, .events = POLLIN};

	if (writer->fd < 0)
		return;
	shutdown(writer->fd, SHUT_WR);
	if (poll(&ended, 1, END_MS) > 0)
		waitpid(writer->process, NULL, 0);
	close(writer->fd);
	writer->fd = -1;
}
