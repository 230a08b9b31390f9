/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over a stream socket, each after its length in 4 bytes, big-endian: the protocol of passt
 * and of QEMU's -netdev stream. The peer's data is not trusted: an invalid length ends the stream.
 *
 * Thread: the worker, but for init and release: main.
 * Source: passt(1), and QEMU's net/stream.c.
 */
#ifndef EBB_VIRTIO_NET_STREAM_H
#define EBB_VIRTIO_NET_STREAM_H

#include "devices/virtio-net/backend.h"

/* passt's longest frame. */
#define STREAM_FRAME_MAX 65535

struct stream {
	struct net_backend backend;
	/* Bytes received and not yet used: [start, end) of `in`. */
	size_t start, end;
	/* Bytes of a frame whose start was sent: [sent, pending) of `out`. */
	size_t sent, pending;
	uint8_t in[2 * (4 + STREAM_FRAME_MAX)];
	uint8_t out[4 + STREAM_FRAME_MAX];
};

/* There is no stream before stream_attach(). The buffers are not touched before they are needed. */
void stream_init(struct stream *stream);
void stream_release(struct stream *stream);

/* Uses the connected socket @fd from now on, and closes it in the end. */
void stream_attach(struct stream *stream, int fd);
/* Closes the stream; received and half-sent frames are lost. */
void stream_detach(struct stream *stream);

#endif
