/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An io_uring: reads, writes and flushes of one queue of a disk that the host's kernel does at the
 * same time. The buffers of a job must stay where they are, and mapped, until ring_take() has
 * returned it.
 *
 * Thread: open and close on the main thread, the rest on one thread at a time. Source: io_uring(7), liburing.
 */
#ifndef EBB_VIRTIO_BLK_RING_H
#define EBB_VIRTIO_BLK_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring;

enum ring_kind { RING_READ, RING_WRITE, RING_FLUSH };

struct ring_job {
	enum ring_kind kind;
	int fd;
	const struct iovec
		*iov; /* stays, too, until the job is taken; not for a flush, as @n and @offset */
	unsigned int n;
	uint64_t offset;
	unsigned int tag; /* the caller's name for it */
	bool patient;	  /* let a thread that may wait do it: it came back with -EAGAIN before */
};

/* @depth: the most jobs in flight. Returns 0, or -errno if the host has no io_uring for ebb. */
int ring_open(struct ring **ring, unsigned int depth);
/* No job may be in flight. Accepts NULL. */
void ring_close(struct ring *ring);

/* Rings @fd, an eventfd, whenever a job is done, unless the ring is quiet. Returns 0 or -errno. */
int ring_set_bell(struct ring *ring, int fd);
void ring_quiet(struct ring *ring, bool quiet);

/*
 * Adds a job. The caller counts them: at most the depth are in flight. ring_submit() starts those
 * added.
 */
void ring_add(struct ring *ring, const struct ring_job *job);
/* Returns 0, or -errno if the host has not taken all jobs: call it again later. */
int ring_submit(struct ring *ring);

/* Returns whether a job was done, with its *@tag, and *@result: the bytes moved or -errno. */
bool ring_take(struct ring *ring, unsigned int *tag, int *result);
/* Waits until a job is done, for a tenth of a second at most. */
void ring_wait(struct ring *ring);

#endif
