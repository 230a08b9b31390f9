/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a packet, in the byte order of this processor, and the line by which a program of the host names a port
 * of the guest.
 *
 * Pure. Thread: any. Source: virtio 1.2 §5.10.6; Firecracker's docs/vsock.md for the line.
 */
#ifndef EBB_VIRTIO_VSOCK_PACKET_H
#define EBB_VIRTIO_VSOCK_PACKET_H

#include <linux/virtio_vsock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VSOCK_HOST_CID 2
#define VSOCK_HEADER   sizeof(struct virtio_vsock_hdr)

/* Any value is possible in a packet from the guest. */
struct vsock_packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len; /* bytes after the header */
	uint16_t type;
	uint16_t op;
	uint32_t flags;
	uint32_t room;	    /* buf_alloc */
	uint32_t forwarded; /* fwd_cnt */
};

void vsock_packet_parse(struct vsock_packet *packet, const struct virtio_vsock_hdr *header);
void vsock_packet_write(const struct vsock_packet *packet, struct virtio_vsock_hdr *header);

/* The longest line, with its end: "CONNECT 4294967295\n". */
#define VSOCK_LINE_MAX 19

/*
 * Parses "CONNECT PORT\n" at the start of the @len bytes at @text. Returns the line's length with @port set, 0 if more bytes
 * may complete it, or -EPROTO.
 */
ssize_t vsock_line_parse(const char *text, size_t len, uint32_t *port);

#endif
