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

/* Queues of a pair: those of pair n begin with the queue n * NET_QUEUES. */
enum net_queue { NET_RECEIVE, NET_TRANSMIT, NET_QUEUES };

/* The control queue follows the pairs. */
#define NET_PAIRS_MAX ((VIRTIO_QUEUES_MAX - 1) / NET_QUEUES)

#define NET_QUEUE_SIZE 256
/* Linux's least MTU for IPv4 (ETH_MIN_MTU) and the specification's; for IPv6 it is 1280. */
#define NET_MTU_MIN 68
#define NET_MTU_MAX 65535

struct net_config {
	uint8_t mac[6];
	bool mac_given; /* a restored guest must have had it; else it keeps its own */
	uint16_t mtu;	/* 0: the driver's own; a restored guest must have had it */
	/* The driver may use so many pairs of queues, each with a backend; more than one only with save_advice. */
	unsigned int pairs;
	struct net_backend *backend[NET_PAIRS_MAX];
	/*
	 * A backend has failed: nothing is sent or received, and the link is down, until net_set_carrier(). Called on
	 * the worker, once for each failure, with the device's lock held. May be NULL.
	 */
	void (*lost)(void *ctx);
	void *ctx;
	/*
	 * If not NULL: the host's kernel serves the queues of each pair while the link is up, since the backends are
	 * descriptors that vhost-net accepts. vhost_open() had NET_VHOST_NEEDS.
	 */
	struct vhost *vhost[NET_PAIRS_MAX];
	/*
	 * While @lent, the descriptor of the backend of @pair is the kernel's, and the owner does not wait for it.
	 * Called with the device's lock held, on any thread; only with @vhost.
	 */
	void (*lend)(void *ctx, unsigned int pair, bool lent);
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

/* What is under way in a pair of queues. Thread: the worker, or the core while it keeps the worker out. */
struct net_pair {
	bool vhost_failed; /* since the last reset */
	struct {
		bool busy; /* the backend did not take the chain's frame yet */
		struct virtq_chain chain;
	} tx;
	struct {
		size_t len; /* of a frame for which the driver has no room yet; 0: no such frame */
		const uint8_t *frame;
		struct virtio_net_hdr_v1 header;
	} rx;
};

/* Owner: its creator, who may use the counters; all else is internal. */
struct net {
	struct virtio_device dev;
	struct net_counters counters[NET_PAIRS_MAX * NET_QUEUES]; /* of each queue */
	struct net_config config;
	atomic_bool carrier; /* the backend works */
	atomic_bool link;    /* as net_set_link() */
	atomic_bool held;    /* as net_hold() */
	atomic_int replug;   /* enum net_replug */
	uint64_t replug_at;  /* clock_ns(). Thread: as pair */
	bool patient; /* as worker_set_patient(), of the worker: a reset leaves it. Thread: as pair */
	/* The driver receives by so many; it is the driver's own affair by which it sends. Any thread reads it. */
	atomic_uint pairs;
	/* clock_ns(): until then commands wait; a reset leaves it. Thread: as pair */
	uint64_t next_command;
	struct net_pair pair[NET_PAIRS_MAX];
};

/* @host and the backend outlive the device. The link is up, and the carrier if the backend has a descriptor. */
void net_init(struct net *net, const struct net_config *config, const struct virtio_host *host);

/* Call when the descriptor of the backend of @pair became readable or writable. Thread: the worker. */
void net_ready(struct net *net, unsigned int pair);

/* Sets whether the backend works; call it when it works again after lost(). Any thread. */
void net_set_carrier(struct net *net, bool on);
/* Plugs the cable in, or pulls it out. Any thread. */
void net_set_link(struct net *net, bool up);
/* Holds all frames of both directions back, or lets them pass again. Any thread. */
void net_hold(struct net *net, bool held);
/* Sums one direction's counters of all pairs. Any thread. */
void net_sum(const struct net *net, enum net_queue direction, struct net_counters *sum);
/* Returns the state that the driver sees: carrier and link. */
bool net_is_up(const struct net *net);

/*
 * Shared by net.c, transmit.c, receive.c and control.c: virtio_device_ops.work of each kind of queue; the end of
 * a backend that failed.
 */
int net_transmit(struct net *net, unsigned int pair);
int net_receive(struct net *net, unsigned int pair);
int net_control(struct net *net, struct virtq *q);
void net_lost(struct net *net);

/*
 * control.c. Has the driver receive by @pairs. Returns 0, or -errno: then by as many as before. With the device's
 * lock held.
 */
int net_use_pairs(struct net *net, unsigned int pairs);

/*
 * lend.c. Lends the queues of @pair to the host's kernel, or takes them back, if it is time to: returns whether
 * they are lent. In any case takes them back. Both with the device's lock held, the first on the worker.
 */
bool net_lend(struct net *net, unsigned int pair);
void net_take_back(struct net *net, unsigned int pair);

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

static inline struct virtq *net_queue(struct net *net, unsigned int pair, enum net_queue which)
{
	return &net->dev.queue[pair * NET_QUEUES + which];
}

static inline struct net_counters *net_counters(struct net *net, unsigned int pair,
						enum net_queue which)
{
	return &net->counters[pair * NET_QUEUES + which];
}

static inline void net_count(struct net_counters *counters, size_t len)
{
	atomic_fetch_add(&counters->frames, 1);
	atomic_fetch_add(&counters->bytes, len);
}

#endif
