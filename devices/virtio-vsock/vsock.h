/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio socket device (virtio 1.2 §5.10): streams between programs of the guest and programs of the host, which
 * reach it by Unix sockets. README.md beside this file tells the theory of operation.
 *
 * Threads: init and release on main, with no other in the device. The rest is the worker's, but for vsock_hold() and the
 * counters: any thread. A lock guards the connections: it is taken after the core's.
 */
#ifndef EBB_VIRTIO_VSOCK_H
#define EBB_VIRTIO_VSOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio-vsock/flow.h"
#include "devices/virtio-vsock/packet.h"
#include "devices/virtio/device.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/loop.h"

enum vsock_queue { VSOCK_RECEIVE, VSOCK_TRANSMIT, VSOCK_EVENT, VSOCK_QUEUES };

/* The driver keeps the receive queue full of buffers of 4 KiB. */
#define VSOCK_QUEUE_SIZE 128
/* Those that are being made among them. */
#define VSOCK_CONNECTIONS_MAX 256
/* The time that each step of making a connection may take, on either side. */
#define VSOCK_LIMIT_NS (30 * NS_PER_S)
/* Ports of the host's programs, of which the guest is told: from here on. */
#define VSOCK_PORT_FIRST (1U << 30)

struct vsock_config {
	uint64_t cid;
	struct loop *loop; /* the worker's; outlives the device */
	int listener; /* for programs of the host; the device closes it in the end. Non-blocking */
	/*
	 * Asks for a connection to the program of the host that serves @port, without waiting; vsock_dialled() gets it
	 * later. Returns 0 or -errno. Called with the device's locks held: it must not call the device.
	 */
	int (*dial)(void *ctx, uint64_t call, uint32_t port);
	void *ctx;
};

enum vsock_state {
	VSOCK_FREE,
	VSOCK_HELLO,   /* a program of the host has connected, and not named a port yet */
	VSOCK_ASKED,   /* the guest was asked for a connection */
	VSOCK_DIALLED, /* the guest has asked for one */
	VSOCK_OPEN,
	VSOCK_LINGERS, /* the guest has forgotten it, the program of the host reads what is left */
};

/* Of a restored guest: until it has heard that its connections are no more, it gets no packets. */
enum vsock_event {
	VSOCK_EVENT_NONE,
	VSOCK_EVENT_OWED,
	VSOCK_EVENT_TOLD, /* it has not given the buffer back */
};

/* Packets that the guest is to get: bits. */
enum vsock_owed {
	VSOCK_OWES_REQUEST = 1,
	VSOCK_OWES_RESPONSE = 2,
	VSOCK_OWES_SHUTDOWN = 4,
	VSOCK_OWES_CREDIT = 8,
};

struct vsock_connection {
	struct vsock *vsock;
	struct loop_source source; /* the socket, on the worker's loop; -1: there is none yet */
	enum vsock_state state;
	unsigned int owed;
	uint64_t call;	   /* of the dialling: tells it from others in this place */
	uint64_t deadline; /* clock_ns(); 0: none */
	uint32_t guest_port, host_port;
	uint8_t guest_shut, host_shut; /* what each side does no more: VIRTIO_VSOCK_SHUTDOWN_* */
	bool readable;		       /* the socket may have more to read */
	struct vsock_flow flow;
	/* From the guest, not taken by the socket yet: a ring of VSOCK_ROOM bytes, or NULL if empty. */
	uint8_t *buffer;
	uint32_t start, len;
};

/* A reset that the guest is to get for a connection that is no more, or never was. */
struct vsock_reset {
	uint64_t cid; /* that the guest meant */
	uint32_t guest_port, host_port;
	uint16_t type;
};

/*
 * The guest's packets wait while half of this is full. The rest is for connections that end at the host: there are no more
 * of them, since resets leave before a program's next connection is told.
 */
#define VSOCK_RESETS_MAX (2 * VSOCK_CONNECTIONS_MAX)

/* They only grow. */
struct vsock_counters {
	atomic_ullong opened;
	atomic_ullong
		refused; /* connections that the other side, a limit, or a program's first line prevented */
	atomic_ullong broken;  /* open connections that ended with an error or against the rules */
	atomic_ullong dropped; /* packets that are not from this guest */
	atomic_ullong to_guest, from_guest; /* bytes */
};

/* Owner: its creator, who may read the counters; all else is internal. */
struct vsock {
	struct virtio_device dev;
	struct vsock_config config;
	struct vsock_counters counters;
	atomic_bool held;
	struct loop_source listener;
	struct loop_source
		timer; /* rings while a connection has a deadline, or the listener rests */

	pthread_mutex_t lock; /* guards the rest */
	bool active;	      /* the guest has a driver */
	bool ticks;	      /* the timer is set */
	bool rests;	      /* the listener is not in the loop */
	bool waits;	      /* packets from the guest wait for room among the resets */
	enum vsock_event event;
	uint16_t event_seen; /* the driver's index of the event queue when it was told */
	uint64_t calls;
	uint32_t next_port;
	unsigned int most; /* no connection is at this place or behind it */
	unsigned int turn; /* where the next look for one with packets begins */
	uint64_t ready[VSOCK_CONNECTIONS_MAX / 64]; /* bit: it may have a packet for the guest */
	unsigned int first_reset, resets;
	struct vsock_reset reset[VSOCK_RESETS_MAX];
	struct vsock_connection connection[VSOCK_CONNECTIONS_MAX];
};

/*
 * Makes the device in a struct of zeros, most of which stays untouched, and costs no memory, until it is used. @host outlives
 * it. Returns 0 or -errno; call vsock_release() in either case.
 */
int vsock_init(struct vsock *vsock, const struct vsock_config *config,
	       const struct virtio_host *host);
/* Closes all sockets. Accepts a zeroed struct. */
void vsock_release(struct vsock *vsock);

/* The answer to dial(): a connected, non-blocking socket, from now on the device's; or -errno. */
void vsock_dialled(struct vsock *vsock, uint64_t call, int fd);

/* Leaves the guest's memory alone, or goes on. */
void vsock_hold(struct vsock *vsock, bool held);

#endif
