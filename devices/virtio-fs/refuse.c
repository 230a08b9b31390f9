// SPDX-License-Identifier: Apache-2.0
/*
 * Without a backend: each request is answered with ENOTCONN, which is what programs get from a FUSE
 * server that has ended. Otherwise they would wait forever, and so would the driver's removal.
 *
 * Source: <linux/fuse.h>; the kernel's fs/fuse/virtio_fs.c and dev.c.
 */
#include <endian.h>
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

#include "devices/virtio-fs/fs.h"

/* Copies the request's header. Returns false if there is none. */
static bool request_of(const struct ram *ram, const struct virtq_chain *chain,
		       struct fuse_in_header *in)
{
	struct virtq_cursor start = {0};

	return virtq_read(ram, chain, &start, in, sizeof(*in)) == sizeof(*in);
}

/* Returns the length of the answer that it wrote; a request that wants none has no room for one. */
static uint32_t answer(const struct ram *ram, const struct virtq_chain *chain)
{
	struct fuse_in_header in;
	struct fuse_out_header out = {.len = sizeof(out), .error = -ENOTCONN};

	if (!request_of(ram, chain, &in))
		return 0;
	out.unique = in.unique;
	ssize_t n = virtq_write(ram, chain, &out, sizeof(out));
	return n == sizeof(out) ? sizeof(out) : 0;
}

/* Answers the chains that the backend had. Returns 0 or -EPROTO. */
static int settle(struct fs *fs, unsigned int queue)
{
	struct inflight *inflight = &fs->queue[queue].inflight;
	struct virtq *q = &fs->dev.queue[queue];
	struct virtq_chain chain;

	/* It cannot be told which they are: the driver has to begin again. */
	if (!inflight->exact)
		return -EPROTO;
	q->next_used = inflight->used;
	for (int head = 0; (head = inflight_next(inflight, q, (unsigned int)head)) >= 0; head++) {
		if (virtq_chain_at(q, (uint16_t)head, &chain))
			return -EPROTO;
		virtq_push(q, &chain, answer(q->ram, &chain));
	}
	q->next_avail = inflight->avail;
	/* With a driver that keeps the rules, as many were made available as were returned now. */
	return q->next_avail == q->next_used ? 0 : -EPROTO;
}

int fs_refuse(struct fs *fs, unsigned int queue)
{
	struct virtq *q = &fs->dev.queue[queue];
	struct fuse_in_header in;
	struct virtq_chain chain;
	int got;

	if (fs->queue[queue].owed) {
		fs->queue[queue].owed = false;
		int error = settle(fs, queue);
		if (error)
			return error;
	}
	for (unsigned int i = 0; i < q->size; i++) {
		got = virtq_pop(q, &chain);
		if (got <= 0)
			return got;
		if (atomic_load(&fs->next) >= 0 && request_of(q->ram, &chain, &in) &&
		    in.opcode == FUSE_INIT) {
			virtq_unpop(q, 1);
			return 1;
		}
		virtq_push(q, &chain, answer(q->ram, &chain));
	}
	return -EAGAIN;
}
