/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor that is shared with other processes, as standard output and error are, written
 * without ever waiting for its reader, and without O_NONBLOCK, which would hit those others, too.
 *
 * Only a disk's own slowness can hold a write to a file up. A terminal that belongs to another user
 * is asked before each byte, so another process that fills it just then can still hold us up.
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
	OUTLET_PIPE,	 /* somebody else's, which cannot be opened again */
	OUTLET_TERMINAL, /* likewise */
};

struct outlet {
	int fd; /* for poll(2) and epoll: writable when outlet_write() would write */
	int given;
	enum outlet_kind kind;
	/* OUTLET_PIPE: what is written goes through a pipe of our own; the lock is never waited for long. */
	int pipe[2];
	pthread_mutex_t lock;
};

/* @fd stays the caller's, and open. Always succeeds: what cannot be had makes writes wait. */
void outlet_init(struct outlet *outlet, int fd);
/* The same, as if that kind had been found; for tests. */
void outlet_init_as(struct outlet *outlet, int fd, enum outlet_kind kind);
/* Also twice. */
void outlet_release(struct outlet *outlet);

/*
 * Writes what there is room for. Returns the number of bytes or -errno: -EAGAIN when there is none.
 * At most PIPE_BUF bytes go into a pipe in one piece or not at all.
 */
ssize_t outlet_write(struct outlet *outlet, const void *data, size_t len);

/*
 * The terminal, FIFO or pipe @fd under a non-blocking file description of our own. Returns the
 * descriptor, the caller's, or -1 where there is none to be had: other files, a pipe or a terminal
 * of another user, no /proc.
 */
int outlet_reopen(int fd, int access);

#endif
