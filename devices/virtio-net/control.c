// SPDX-License-Identifier: Apache-2.0
/* The driver's commands. There is one: by how many pairs of queues it receives (virtio 1.2 §5.1.6.5.6). */
#include <endian.h>
#include <errno.h>

#include "devices/virtio-net/net.h"
#include "vmm/lib/clock.h"

/* From a command that changes the number of pairs to the next one that is heard: the host's kernel works for each. */
#define PACE_NS (100 * NS_PER_MS)

struct command {
	struct virtio_net_ctrl_hdr header;
	uint16_t pairs;
} __attribute__((packed));

/* Has frames come to the first @pairs backends only. Returns 0, or the first -errno. */
static int attach(struct net *net, unsigned int pairs)
{
	int error = 0;

	for (unsigned int i = 1; i < net->config.pairs; i++) {
		struct net_backend *backend = net->config.backend[i];
		if (backend->fd < 0 || !backend->ops->attach)
			continue;
		int failed = backend->ops->attach(backend, i < pairs);
		error = error ? error : failed;
	}
	return error;
}

int net_use_pairs(struct net *net, unsigned int pairs)
{
	const struct virtio_host *host = net->dev.host;
	unsigned int before = atomic_load(&net->pairs);

	if (pairs == before)
		return 0;
	for (unsigned int i = pairs; i < before; i++) {
		net_take_back(net, i);
		if (net->pair[i].rx.len > 0)
			atomic_fetch_add(&net_counters(net, i, NET_RECEIVE)->dropped, 1);
		net->pair[i].rx.len = 0;
	}
	int error = attach(net, pairs);
	if (error)
		attach(net, before);
	else
		atomic_store(&net->pairs, pairs);
	/* The host's kernel may serve the pairs that were added. */
	for (unsigned int i = before * NET_QUEUES; i < pairs * NET_QUEUES; i++)
		host->defer(host->ctx, i);
	return error;
}

static uint8_t obey(struct net *net, const struct command *command)
{
	unsigned int pairs = le16toh(command->pairs);

	if (command->header.class != VIRTIO_NET_CTRL_MQ ||
	    command->header.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return VIRTIO_NET_ERR;
	if (!(net->dev.features >> VIRTIO_NET_F_MQ & 1) || pairs < 1 || pairs > net->config.pairs)
		return VIRTIO_NET_ERR;
	if (pairs != atomic_load(&net->pairs))
		net->next_command = clock_ns() + PACE_NS;
	return net_use_pairs(net, pairs) ? VIRTIO_NET_ERR : VIRTIO_NET_OK;
}

/* One command a turn: the host's kernel may take some milliseconds for it, and a reset waits. */
int net_control(struct net *net, struct virtq *q)
{
	const struct virtio_host *host = net->dev.host;
	const struct ram *ram = host->ram;
	struct virtq_cursor cursor = {0};
	struct virtq_chain chain;
	struct command command;
	uint8_t more, answer = VIRTIO_NET_ERR;

	if (clock_ns() < net->next_command) {
		host->defer_until(host->ctx, (unsigned int)(q - net->dev.queue), net->next_command);
		return 0;
	}
	int popped = virtq_pop(q, &chain);
	if (popped <= 0)
		return popped;
	ssize_t len = virtq_read(ram, &chain, &cursor, &command, sizeof(command));
	ssize_t rest = len < 0 ? len : virtq_read(ram, &chain, &cursor, &more, sizeof(more));
	/* The place of the answer is checked before the command has an effect. */
	if (rest < 0 || virtq_write(ram, &chain, &answer, sizeof(answer)) != sizeof(answer))
		return -EPROTO;
	if (len == sizeof(command) && rest == 0)
		answer = obey(net, &command);
	virtq_write(ram, &chain, &answer, sizeof(answer));
	virtq_push(q, &chain, sizeof(answer));
	return -EAGAIN;
}
