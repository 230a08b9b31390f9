/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART as the PC has it (National Semiconductor PC16550D data sheet; the guest's driver is
 * drivers/tty/serial/8250). Eight registers, a receive queue, transmission that never waits.
 *
 * vCPU threads come in through serial_read() and serial_write(), the console's thread through
 * serial_receive(). One lock inside.
 */
#ifndef EBB_SERIAL_H
#define EBB_SERIAL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_SIZE 8 /* bytes of address space */

/* The host's side; outlives the UART. */
struct serial_host {
	void *ctx;
	/* The interrupt line's new level. */
	void (*interrupt)(void *ctx, int level);
	/* The guest sent these bytes. Called without the UART's lock, on a vCPU's thread. */
	void (*transmit)(void *ctx, const uint8_t *data, size_t len);
	/* There is room again after serial_receive() took less than it was given. */
	void (*receive_ready)(void *ctx);
};

struct serial {
	const struct serial_host *host;
	pthread_mutex_t lock;
	/* Filled in by the UART's author. */
};

void serial_init(struct serial *serial, const struct serial_host *host);
void serial_release(struct serial *serial);

void serial_read(struct serial *serial, uint64_t offset, void *data, unsigned int len);
void serial_write(struct serial *serial, uint64_t offset, const void *data, unsigned int len);

/* Bytes for the guest. Returns how many were taken; receive_ready() tells when to offer the rest. */
size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len);

#endif
