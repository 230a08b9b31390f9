/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to a descriptor that is shared with other processes, as standard output and error are,
 * without ever waiting for its reader, and without O_NONBLOCK, which would affect the other
 * processes, too.
 *
 * Only a slow disk can hold up a write to a file. A terminal that belongs to another user is polled
 * before each byte, so another process that fills it at that moment can still hold up a write.
 *
 * Thread: any, at the same time. Source: pipe(7), splice(2), proc(5) on /proc/PID/fd.
 */
#ifndef EBB_LIB_OUTLET_H
#define EBB_LIB_OUTLET_H

#include <pthread.h>
#include <sys/types.h>

enum outlet_kind {
	OUTLET_PLAIN, /* write(2) does not wait: a file, or a file description of our own */
	OUTLET_SOCKET,
	OUTLET_PIPE,	 /* of another user, and cannot be opened again */
	OUTLET_TERMINAL, /* likewise */
};

struct outlet {
	int fd; /* for poll(2) and epoll: writable when outlet_write() would write */
	int given;
	enum outlet_kind kind;
	/* OUTLET_PIPE: data goes through a pipe of our own. The lock is held only briefly. */
	int pipe[2];
	pthread_mutex_t lock;
};

/* The caller owns @fd and keeps it open. Always succeeds: at worst, later writes wait. */
void outlet_init(struct outlet *outlet, int fd);
/* The same with a given kind; for tests. */
void outlet_init_as(struct outlet *outlet, int fd, enum outlet_kind kind);
/* May be called twice. */
void outlet_release(struct outlet *outlet);

/*
 * Writes as much as there is room for. Returns the number of bytes or -errno: -EAGAIN if there is
 * no room. Up to PIPE_BUF bytes go into a pipe in one piece or not at all.
 */
ssize_t outlet_write(struct outlet *outlet, const void *data, size_t len);

/*
 * Opens the terminal, FIFO or pipe @fd again, as a non-blocking file description of our own.
 * Returns the descriptor, which the caller owns, or -1 if that is impossible: for other files, for
 * a pipe or a terminal of another user, or without /proc.
 */
int outlet_reopen(int fd, int access);

#endif
