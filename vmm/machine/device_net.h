/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's networks, in the order of the guest's interfaces. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_NET_H
#define EBB_MACHINE_DEVICE_NET_H

#include "devices/vhost/vhost.h"
#include "devices/virtio-net/net.h"
#include "devices/virtio-net/stream.h"
#include "devices/virtio-net/tap.h"
#include "vmm/lib/log.h"
#include "vmm/lib/loop.h"
#include "vmm/machine/device.h"
#include "vmm/passt/passt.h"

/*
 * One pair of queues. On the worker's loop: the backend's descriptor; with vhost, what the kernel says of broken
 * rings.
 */
struct network_pair {
	struct network *network;
	struct loop_source frames, broken;
	struct vhost vhost; /* with vhost=1 */
};

struct network {
	struct device device;
	char id[16]; /* net0, net1, …: for clients */
	enum vm_network_mode mode;
	struct net net;
	struct log_limit log;
	struct network_pair pair[NET_PAIRS_MAX];
	struct loop_source news; /* from passt's keeper, on the worker's loop */
	struct backend passt;
	union {
		struct stream stream;
		struct tap tap[NET_PAIRS_MAX];
	};
};

extern const struct device_kind device_net;

/* Returns the machine's network @number, counted from 0, or NULL after the last. */
struct network *machine_network(const struct machine *machine, unsigned int number);

#endif
