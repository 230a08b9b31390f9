/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio network device (virtio 1.2 §5.1): frames between a guest's driver and a backend on the host.
 * README.md beside this file tells the theory of operation.
 *
 * Threads: init on the main thread, with no other in the device. Any thread may read the counters, and set and read
 * the link; the rest is the worker's.
 */
#ifndef EBB_VIRTIO_NET_H
#define EBB_VIRTIO_NET_H

#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/vhost/vhost.h"
#include "devices/virtio-net/backend.h"
#include "devices/virtio/device.h"

enum net_queue { NET_RECEIVE, NET_TRANSMIT, NET_QUEUES };

#define NET_QUEUE_SIZE 256
/* Linux's least MTU for IPv4 (ETH_MIN_MTU) and the specification's; for IPv6 it is 1280. */
#define NET_MTU_MIN 68
#define NET_MTU_MAX 65535

struct net_config {
	uint8_t mac[6];
	bool mac_given; /* a restored guest must have had it; else it keeps its own */
	uint16_t mtu;	/* 0: the driver's own; a restored guest must have had it */
	struct net_backend *backend;
	/*
	 * The backend has failed: nothing is sent or received, and the link is down, until net_set_carrier(). Called on
	 * the worker, once for each failure, with the device's lock held. May be NULL.
	 */
	void (*lost)(void *ctx);
	void *ctx;
	/*
	 * If not NULL: the host's kernel serves the queues while the link is up, since the backend is a
	 * descriptor that vhost-net accepts. vhost_open() had NET_VHOST_NEEDS.
	 */
	struct vhost *vhost;
	/*
	 * While @lent, the backend's descriptor is the kernel's, and the owner does not wait for it.
	 * Called with the device's lock held, on any thread; only with @vhost.
	 */
	void (*lend)(void *ctx, bool lent);
	const char *save_advice; /* as in struct virtio_device */
};

/* Of a restored guest, whose driver is to find the link down, and then up again. Frames pass meanwhile. */
enum net_replug {
	NET_REPLUG_NONE,
	NET_REPLUG_DOWN,  /* the driver has not read it yet */
	NET_REPLUG_SEEN,  /* it has */
	NET_REPLUG_WAITS, /* until replug_at */
};

/* The backend's header always has room for a number of buffers. */
#define NET_VHOST_NEEDS (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_NET_F_MRG_RXBUF)

/* Counters of one direction. They only grow; the worker writes them, any thread reads them. */
struct net_counters {
	atomic_ullong frames;
	atomic_ullong bytes;   /* of these frames */
	atomic_ullong dropped; /* frames: the link was down, or the other side did not take them */
	atomic_ullong refused; /* frames with a wrong header or length */
};

/* Owner: its creator, who may use the counters; all else is internal. */
struct net {
	struct virtio_device dev;
	struct net_counters counters[NET_QUEUES];
	struct net_config config;
	atomic_bool carrier; /* the backend works */
	atomic_bool link;    /* as net_set_link() */
	atomic_bool held;    /* as net_hold() */
	atomic_int replug;   /* enum net_replug */
	uint64_t replug_at;  /* clock_ns(). Thread: as tx */
	bool vhost_failed;   /* since the last reset. Thread: as tx */

	/* Thread: the worker, or the core while it keeps the worker out. */
	struct {
		bool busy; /* the backend did not take the chain's frame yet */
		struct virtq_chain chain;
		bool patient; /* as worker_set_patient(), of the worker: a reset leaves it */
	} tx;
	struct {
		size_t len; /* of a frame for which the driver has no room yet; 0: no such frame */
		const uint8_t *frame;
		struct virtio_net_hdr_v1 header;
	} rx;
};

/* @host and the backend outlive the device. The link is up, and the carrier if the backend has a descriptor. */
void net_init(struct net *net, const struct net_config *config, const struct virtio_host *host);

/* Call when the backend's descriptor became readable or writable. Thread: the worker. */
void net_ready(struct net *net);

/* Sets whether the backend works; call it when it works again after lost(). Any thread. */
void net_set_carrier(struct net *net, bool on);
/* Plugs the cable in, or pulls it out. Any thread. */
void net_set_link(struct net *net, bool up);
/* Holds all frames of both directions back, or lets them pass again. Any thread. */
void net_hold(struct net *net, bool held);
/* Returns the state that the driver sees: carrier and link. */
bool net_is_up(const struct net *net);

/*
 * Shared by net.c, transmit.c and receive.c: virtio_device_ops.work of each queue; the end of a
 * backend that failed.
 */
int net_transmit(struct net *net, struct virtq *q);
int net_receive(struct net *net, struct virtq *q);
void net_lost(struct net *net);

/*
 * lend.c. Lends the queues to the host's kernel, or takes them back, if it is time to: returns whether
 * they are lent. In any case takes them back. Both with the device's lock held, the first on the worker.
 */
bool net_lend(struct net *net);
void net_take_back(struct net *net);

/* save.c: virtio_device_ops of the same names. */
bool net_settled(struct virtio_device *dev);
void net_save(struct virtio_device *dev, struct record *record);
int net_restore(struct virtio_device *dev, struct record_in *in);
/* The driver reads the link's status. Thread: a vCPU's. */
void net_status_read(struct net *net);
/* Lets the driver find the link up again, if it is time to. On the worker, as work(). */
void net_replug(struct net *net);

static inline struct net *net_of(struct virtio_device *dev)
{
	return (struct net *)((char *)dev - offsetof(struct net, dev));
}

static inline void net_count(struct net_counters *counters, size_t len)
{
	atomic_fetch_add(&counters->frames, 1);
	atomic_fetch_add(&counters->bytes, len);
}

#endif
