/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that writes the output of a guest's console to a file of bounded size (turned_log.h): ebb itself opens and
 * renames no file once the guest runs, and a slow disk holds up no thread of it. The process ends with ebb.
 *
 * Thread: main.
 */
#ifndef EBB_DETACH_LOG_WRITER_H
#define EBB_DETACH_LOG_WRITER_H

#include <sys/types.h>

struct log_writer {
	int fd; /* a socket: what is sent there is written; -1: none */
	pid_t process;
};

#define LOG_WRITER_NONE                                                                            \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Opens the log @path. Returns 0, or -errno after an error message. Before any other thread runs. */
int log_writer_start(struct log_writer *writer, const char *path);
/* Waits until all is written, but ten seconds at the most. Without effect on LOG_WRITER_NONE. */
void log_writer_end(struct log_writer *writer);

#endif
