// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-blk/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WAIT_NS 100000000
/*
 * No completion is lost, and a wait can have a time limit without a request of its own: Linux 5.11.
 */
#define NEEDED (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)

struct ring {
	struct io_uring uring;
	bool has_bell;
};

/*
 * The kernel does what an io_uring is told to without asking a filter of system calls: opening files
 * and sockets, too. So it is restricted to what a disk needs, before it is enabled (Linux 5.10).
 */
static int restrict_and_enable(struct io_uring *uring)
{
	struct io_uring_restriction allowed[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_ASYNC},
		{.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_EVENTFD},
	};
	int error = io_uring_register_restrictions(uring, allowed,
						   sizeof(allowed) / sizeof(allowed[0]));
	return error ? error : io_uring_enable_rings(uring);
}

int ring_open(struct ring **ring, unsigned int depth)
{
	struct ring *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	int error = io_uring_queue_init(depth, &new->uring, IORING_SETUP_R_DISABLED);
	if (error) {
		free(new);
		return error;
	}
	/* A child process, as the one that keeps passt, has nothing to do with it. */
	io_uring_ring_dontfork(&new->uring);
	bool fit = (new->uring.features &NEEDED) == NEEDED;
	error = fit ? restrict_and_enable(&new->uring) : -ENOSYS;
	if (error)
		ring_close(new);
	else
		*ring = new;
	return error;
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

int ring_set_bell(struct ring *ring, int fd)
{
	if (ring->has_bell)
		return 0;
	int error = io_uring_register_eventfd(&ring->uring, fd);
	ring->has_bell = error == 0;
	return error;
}

void ring_quiet(struct ring *ring, bool quiet)
{
	/* Fails only on kernels before 5.8, with needless rings as the only effect. */
	io_uring_cq_eventfd_toggle(&ring->uring, !quiet);
	/*
	 * The kernel adds a completion, then reads the flag; here the flag is written, then the caller
	 * looks for completions: without a full barrier neither might see the other.
	 */
	atomic_thread_fence(memory_order_seq_cst);
}

void ring_add(struct ring *ring, const struct ring_job *job)
{
	/*
	 * Cannot be NULL: at most the ring's depth are in flight, and each turn submits the jobs it
	 * has added.
	 */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	switch (job->kind) {
	case RING_READ:
		io_uring_prep_readv(sqe, job->fd, job->iov, job->n, job->offset);
		break;
	case RING_WRITE:
		io_uring_prep_writev(sqe, job->fd, job->iov, job->n, job->offset);
		break;
	case RING_FLUSH:
		io_uring_prep_fsync(sqe, job->fd, IORING_FSYNC_DATASYNC);
		break;
	}
	if (job->patient)
		sqe->flags |= IOSQE_ASYNC;
	io_uring_sqe_set_data64(sqe, job->tag);
}

int ring_submit(struct ring *ring)
{
	int submitted = io_uring_submit(&ring->uring);
	if (submitted < 0)
		return submitted;
	return io_uring_sq_ready(&ring->uring) ? -EAGAIN : 0;
}

bool ring_take(struct ring *ring, unsigned int *tag, int *result)
{
	struct io_uring_cqe *cqe;
	if (io_uring_peek_cqe(&ring->uring, &cqe))
		return false;
	*tag = (unsigned int)io_uring_cqe_get_data64(cqe);
	*result = cqe->res;
	io_uring_cqe_seen(&ring->uring, cqe);
	return true;
}

void ring_wait(struct ring *ring)
{
	struct __kernel_timespec limit = {.tv_nsec = WAIT_NS};
	struct io_uring_cqe *cqe;
	io_uring_wait_cqe_timeout(&ring->uring, &cqe, &limit);
}
