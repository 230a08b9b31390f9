/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device on a stream, the guest's side of it, and the peer at the stream's other end. Buffers for
 * receiving lie from NET_RX on, NET_BUFFER bytes each; what is sent lies from NET_TX on.
 */
#ifndef EBB_TEST_FAKE_NET_H
#define EBB_TEST_FAKE_NET_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "devices/virtio-net/net.h"
#include "devices/virtio-net/stream.h"
#include "tests/unit/fake_driver.h"

#define NET_V1	   (1ULL << VIRTIO_F_VERSION_1)
#define NET_MERGE  (1ULL << VIRTIO_NET_F_MRG_RXBUF)
#define NET_ALL	   (NET_V1 | NET_MERGE | 1ULL << VIRTIO_NET_F_STATUS | 1ULL << VIRTIO_NET_F_MAC)
#define NET_HEADER sizeof(struct virtio_net_hdr_v1)
#define NET_RX	   BLOCKS_GPA
#define NET_BUFFER 2048U
#define NET_TX	   (BLOCKS_GPA + 16 * MIB)
#define NET_RING   64

extern struct fake_driver net_guest;
extern struct net net;
extern struct stream net_stream;
extern int net_peer; /* non-blocking */
extern unsigned int net_lost_times;

void net_setup(void);
/* The same, with queues that @vhost serves, and as net_config.lend. */
void net_setup_with(struct vhost *vhost, void (*lend)(void *ctx, unsigned int pair, bool lent));
/* A new device with another address and a new peer takes the place of the one that is there. */
void net_plug_another(void);
void net_teardown(void);

/* Starts the driver with @features. */
void net_start(uint64_t features);
/* Makes @n buffers of NET_BUFFER bytes available, and rings. Each begins with byte 0xee. */
void net_give(unsigned int n);

/* The peer sends a frame of @len bytes: @tag, @tag + 1, …; and the device looks. */
void net_peer_sends(size_t len, uint8_t tag);
/* The bytes as they are, and the device looks. */
void net_peer_writes(const void *bytes, size_t len);
/* Returns the length of the next frame that came to the peer, or 0. @frame has room for STREAM_FRAME_MAX bytes. */
size_t net_peer_gets(uint8_t *frame);

/* The driver sends @header and a frame of @len bytes, as above, in @pieces buffers. Returns whether it was used. */
bool net_sends_with(const struct virtio_net_hdr_v1 *header, size_t len, uint8_t tag,
		    unsigned int pieces);
bool net_sends(size_t len, uint8_t tag);

/* Takes the next frame that was received, of @len bytes from @tag on, in @buffers buffers. */
void net_got(size_t len, uint8_t tag, unsigned int buffers);

bool net_needs_reset(void);
/* Whether @frame is @len bytes from @tag on. */
bool net_frame_is(const uint8_t *frame, size_t len, uint8_t tag);

#endif
