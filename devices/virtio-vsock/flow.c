// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-vsock/flow.h"

void vsock_flow_hear(struct vsock_flow *flow, uint32_t room, uint32_t forwarded)
{
	flow->peer_room = room;
	flow->peer_forwarded = forwarded;
}

uint32_t vsock_flow_credit(const struct vsock_flow *flow)
{
	uint32_t waiting = flow->given - flow->peer_forwarded;

	/* Also if the guest claims to have passed on more than it was given: the difference wraps. */
	return waiting < flow->peer_room ? flow->peer_room - waiting : 0;
}

void vsock_flow_give(struct vsock_flow *flow, uint32_t len)
{
	flow->given += len;
}

bool vsock_flow_take(struct vsock_flow *flow, uint32_t len)
{
	if (len > VSOCK_ROOM - (flow->taken - flow->forwarded))
		return false;
	flow->taken += len;
	return true;
}

void vsock_flow_forward(struct vsock_flow *flow, uint32_t len)
{
	flow->forwarded += len;
}

/* A guest that waits for room has sent VSOCK_ROOM bytes since it was told: well above a quarter. */
bool vsock_flow_is_news(const struct vsock_flow *flow)
{
	return flow->forwarded - flow->told >= VSOCK_ROOM / 4;
}

uint32_t vsock_flow_tell(struct vsock_flow *flow)
{
	flow->told = flow->forwarded;
	return flow->told;
}
