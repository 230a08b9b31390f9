/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of a named port of the virtio console: one program of the host at a time, by a stream socket that it
 * passed with a command. What the guest writes while there is none is dropped.
 *
 * Thread: the device's worker, unless said otherwise.
 */
#ifndef EBB_MACHINE_CONSOLE_PORT_H
#define EBB_MACHINE_CONSOLE_PORT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "devices/virtio-console/vcon.h"
#include "vmm/lib/loop.h"

struct console_port {
	struct vcon *vcon;
	struct loop *loop;
	unsigned int number;
	struct loop_source stream;  /* fd: -1: nobody is there */
	struct loop_source arrival; /* an eventfd: a stream is in @next */
	atomic_int next;	    /* or -1 */
	atomic_bool taken;
	bool full;  /* the guest's bytes wait for the program */
	bool waits; /* the program's wait for the guest */
	bool gone; /* the program has left; its bytes that wait are the guest's until the next one comes */
};

/* Thread: main. init() returns 0 or -errno. Call release() in both cases, when the worker has ended. */
int console_port_init(struct console_port *port, struct vcon *vcon, unsigned int number,
		      struct loop *loop);
void console_port_release(struct console_port *port);

/* Thread: main. Takes the socket @fd over and returns 0; or returns -EBUSY if another program is there. */
int console_port_attach(struct console_port *port, int fd);

/* As functions of struct vcon_host. */
ssize_t console_port_transmit(struct console_port *port, const uint8_t *data, size_t len);
void console_port_resume(struct console_port *port);

#endif
