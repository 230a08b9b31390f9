/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that writes the output of a guest's console to a file of bounded size (turned_log.h): ebb itself opens and
 * renames no file once the guest runs, and a slow disk holds up no thread of it: what a full pipe does not take, ebb drops
 * (struct console_config). The process ends with ebb.
 *
 * Thread: main.
 */
#ifndef EBB_DETACH_LOG_WRITER_H
#define EBB_DETACH_LOG_WRITER_H

#include <sys/types.h>

struct log_writer {
	int fd;	     /* a pipe: what is sent there is written; -1: none */
	int control; /* a socket, on which the process says how it began, and which ends with it */
	pid_t process;
};

#define LOG_WRITER_NONE                                                                            \
	{                                                                                          \
		.fd = -1, .control = -1                                                            \
	}

/*
 * Opens the log @path. Returns 0, or -errno after an error message: also if a signal comes meanwhile (signal_waits.h), or
 * after 30 seconds. Before any other thread runs.
 */
int log_writer_start(struct log_writer *writer, const char *path);
/* Closes the pipe, after all others who write there; waits until all is written, but ten seconds at the most. Without effect on LOG_WRITER_NONE. */
void log_writer_end(struct log_writer *writer);

#endif
