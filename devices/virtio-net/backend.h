/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The carrier of a guest's frames on the host: a stream to passt (stream.h), a tap interface
 * (tap.h). The device knows backends by this table alone.
 *
 * Thread: the device's worker; offload() also main, at a restore. Nothing here waits.
 */
#ifndef EBB_VIRTIO_NET_BACKEND_H
#define EBB_VIRTIO_NET_BACKEND_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The longest frame: an IP packet of 64 KiB - 1, an Ethernet header, a VLAN's tag. */
#define NET_FRAME_MAX (65535 + 14 + 4)
/* An Ethernet header. */
#define NET_FRAME_MIN 14

struct net_backend;

struct net_backend_ops {
	/*
	 * Sends a frame of @len bytes, which lie in @iov[1] up to @iov[@n - 1]; iov[0] is free for
	 * data that the backend puts in front of them. Returns 0; -EAGAIN if it cannot take the
	 * frame now (the descriptor becomes writable); another -errno if this frame cannot be sent,
	 * or -EPIPE if none can any more.
	 */
	int (*send)(struct net_backend *backend, const struct virtio_net_hdr_v1 *header,
		    struct iovec *iov, unsigned int n, size_t len);
	/*
	 * Returns the length of the next frame, with *@frame (valid until the next call) and *@header set; -EAGAIN if
	 * there is none (the descriptor becomes readable), or -EPIPE if none will come any more.
	 */
	ssize_t (*receive)(struct net_backend *backend, struct virtio_net_hdr_v1 *header,
			   const uint8_t **frame);
	/*
	 * Sends the rest of a half-sent frame. The descriptor has become writable. NULL: there is
	 * never one.
	 */
	void (*flush)(struct net_backend *backend);
	/*
	 * Sets which of VIRTIO_NET_F_GUEST_* the driver accepted: it gets no other frames. NULL: the
	 * backend has no offloads.
	 */
	void (*offload)(struct net_backend *backend, uint64_t features);
	/*
	 * Of several backends of one network, all but the first: whether frames for the guest come to this one. Returns 0
	 * or -errno. NULL: nothing to do.
	 */
	int (*attach)(struct net_backend *backend, bool on);
};

/* Embedded in the backend's own struct. Owner: the device's creator. */
struct net_backend {
	const struct net_backend_ops *ops;
	int fd; /* non-blocking; -1: there is none now, and neither function is called */
	/* VIRTIO_NET_F_*: the offloads that the backend does or accepts. */
	uint64_t features;
};

#endif
