/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credit of one connection (virtio 1.2 §5.10.6.3): each side says how many bytes it has room for and how many it has
 * passed on, both counted from the start and modulo 2^32; the other sends no more than there is room for.
 *
 * Pure. Thread: none of its own; its owner's lock covers it.
 */
#ifndef EBB_VIRTIO_VSOCK_FLOW_H
#define EBB_VIRTIO_VSOCK_FLOW_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that a connection keeps for a slow reader on the host. */
#define VSOCK_ROOM (128U << 10)

/* All zeros at the start of a connection. */
struct vsock_flow {
	/* From the guest. */
	uint32_t taken;
	uint32_t forwarded;
	uint32_t told; /* `forwarded` as the guest knows it */
	/* To the guest. */
	uint32_t given;
	uint32_t peer_room;
	uint32_t peer_forwarded;
};

/* The guest's packet says how much room it has, and how much it has passed on. Any values. */
void vsock_flow_hear(struct vsock_flow *flow, uint32_t room, uint32_t forwarded);

/* Returns how many bytes the guest has room for, 0 if what it says makes no sense. */
uint32_t vsock_flow_credit(const struct vsock_flow *flow);
void vsock_flow_give(struct vsock_flow *flow, uint32_t len);

/* Takes @len bytes from the guest. Returns false, without a change, if it has no credit for them. */
bool vsock_flow_take(struct vsock_flow *flow, uint32_t len);
/* Of the bytes taken, @len more have been passed on. */
void vsock_flow_forward(struct vsock_flow *flow, uint32_t len);

/* Returns whether it is time to tell the guest of its credit, if no other packet does. */
bool vsock_flow_is_news(const struct vsock_flow *flow);
/* Returns the value of `forwarded` for a packet to the guest, which then knows it. */
uint32_t vsock_flow_tell(struct vsock_flow *flow);

#endif
