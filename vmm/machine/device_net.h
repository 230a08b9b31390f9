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

struct network {
	struct device device;
	char id[16]; /* net0, net1, …: for clients */
	enum vm_network_mode mode;
	struct net net;
	struct log_limit log;
	/*
	 * On the worker's loop: the backend's descriptor; for passt, also its keeper's; with vhost, what the
	 * kernel says of broken rings.
	 */
	struct loop_source frames, news, broken;
	struct vhost vhost; /* with vhost=1 */
	struct backend passt;
	union {
		struct stream stream;
		struct tap tap;
	};
};

extern const struct device_kind device_net;

/* Returns the machine's network @number, counted from 0, or NULL after the last. */
struct network *machine_network(const struct machine *machine, unsigned int number);

#endif
