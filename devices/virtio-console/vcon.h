/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio console device (virtio 1.2 §5.3): port 0 is the guest's console (hvc0), if it has one, and each other port a
 * channel of bytes with a name. README.md has the theory of operation.
 *
 * Thread: init on main, with no other in the device; of the rest each function says its own. vcon->lock is held only
 * briefly, and never while a byte is written to the host.
 */
#ifndef EBB_VIRTIO_CONSOLE_VCON_H
#define EBB_VIRTIO_CONSOLE_VCON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "devices/virtio/device.h"

/* Each has two queues, and two more are for control messages. */
#define VCON_PORTS_MAX	((VIRTIO_QUEUES_MAX - 2) / 2)
#define VCON_NAME_MAX	31   /* bytes */
#define VCON_INPUT	2048 /* bytes for the guest that a port holds */
#define VCON_QUEUE_SIZE 64

/* Linux takes the byte after this one, ^O, for a SysRq key (drivers/tty/hvc/hvc_console.c). */
#define VCON_SYSRQ 0x0f

enum { VCON_RECEIVE, VCON_TRANSMIT, VCON_CONTROL_TO_GUEST, VCON_CONTROL_FROM_GUEST };

/* The host's side; outlives the device. Both run on the device's worker, without vcon->lock. */
struct vcon_host {
	void *ctx;
	/*
	 * Takes bytes that the guest sent. Returns how many, or -EAGAIN if there is no room: then the port waits for
	 * vcon_output_ready(). What cannot be delivered counts as taken.
	 */
	ssize_t (*transmit)(void *ctx, unsigned int port, const uint8_t *data, size_t len);
	/* There is room again after vcon_receive() took less than it was given. */
	void (*receive_ready)(void *ctx, unsigned int port);
};

struct vcon_config {
	bool console;			      /* there is a port 0 */
	const char *name[VCON_PORTS_MAX - 1]; /* of port 1, …; at most VCON_NAME_MAX bytes */
	unsigned int names;
	const struct vcon_host *host;
};

struct vcon_port {
	bool present;
	char name[VCON_NAME_MAX + 1]; /* "": the console */

	/* The worker's, but for reset and snapshots, which the core keeps apart from it. */
	struct virtq_cursor sent; /* what the host has of the first chain that waits */
	bool full;		  /* the host takes nothing now */
	bool cut; /* the program that got the chain's beginning has left: nobody gets its rest */

	/* Under vcon->lock. */
	bool ready;	 /* the driver knows the port */
	bool guest_open; /* a program of the guest has it open, or its console */
	bool host_open;
	uint8_t tell; /* control messages that the driver has to get: one bit for each kind */
	bool held_back;
	uint8_t input
		[VCON_INPUT]; /* a ring; the bytes from @first on do not move until the worker has taken them */
	unsigned int first, count;
};

struct vcon {
	struct virtio_device dev;
	const struct vcon_host *host;
	atomic_bool held;
	bool size_told; /* the driver had a change of the configuration since its start; the worker's, as vcon_port.sent */
	pthread_mutex_t lock;
	uint16_t columns, rows; /* of the console; 0: unknown */
	unsigned int ports;	/* the places in use, present or not */
	struct vcon_port port[VCON_PORTS_MAX];
};

/* Makes the device. @host outlives it, @config need not. */
void vcon_init(struct vcon *vcon, const struct vcon_config *config, const struct virtio_host *host);
void vcon_release(struct vcon *vcon);

/*
 * Takes bytes for the guest: none before the driver was told that the program before has left. Returns how many;
 * host->receive_ready() asks for the rest. Any thread, one for each port.
 */
size_t vcon_receive(struct vcon *vcon, unsigned int port, const uint8_t *data, size_t len);

/* As vcon_receive(), of a SysRq key for the console. Returns 0, or -EAGAIN if the guest has not read what came before. */
int vcon_sysrq(struct vcon *vcon, uint8_t key);

/* The host's terminal has another size, in characters. Any thread, with none of the device's locks held. */
void vcon_resize(struct vcon *vcon, uint16_t columns, uint16_t rows);

/*
 * A program of the host is at the other end of a named port, or no more. What one leaves behind the guest gets until the
 * next one comes. On the worker.
 */
void vcon_set_host_open(struct vcon *vcon, unsigned int port, bool open);

/* There is room again after host->transmit() returned -EAGAIN. On the worker. */
void vcon_output_ready(struct vcon *vcon, unsigned int port);

/* Leaves guest RAM alone while @held. Any thread. */
void vcon_hold(struct vcon *vcon, bool held);

#endif
