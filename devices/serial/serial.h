/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART as the PC has it (National Semiconductor PC16550D data sheet; the guest's driver is
 * drivers/tty/serial/8250). Eight registers, a receive FIFO; a byte is sent as it is written.
 *
 * The line is held back rather than overrun: bytes are taken only while the guest listens (it has
 * the receive interrupt on, or it polls) and the FIFO has room. What arrives before a driver is up
 * would otherwise be cleared away by its start.
 *
 * vCPU threads come in through serial_read() and serial_write(), the console's thread through
 * serial_receive(). One lock inside.
 */
#ifndef EBB_SERIAL_H
#define EBB_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_SIZE 8  /* bytes of address space */
#define SERIAL_FIFO 16 /* bytes that the guest can have waiting */

/* The host's side; outlives the UART. */
struct serial_host {
	void *ctx;
	/* The interrupt line's new level. Called with the UART's lock, so that levels keep their
	 * order. */
	void (*interrupt)(void *ctx, int level);
	/* The guest sent these bytes. Called without the UART's lock, on a vCPU's thread. */
	void (*transmit)(void *ctx, const uint8_t *data, size_t len);
	/*
	 * There is room again after serial_receive() took less than it was given. Called without
	 * the UART's lock, on a vCPU's thread.
	 */
	void (*receive_ready)(void *ctx);
};

struct serial {
	const struct serial_host *host;
	pthread_mutex_t lock;
	/* Registers, by the data sheet's names. */
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t lsr_overrun;  /* LSR's one bit that is remembered until it is read */
	uint8_t msr_changes;  /* MSR's low half, remembered until it is read */
	bool thr_empty_event; /* the transmitter ran empty and nobody has looked yet */
	int level;	      /* of the interrupt line, as last reported */
	/* The receive FIFO, a ring. */
	uint8_t fifo[SERIAL_FIFO];
	unsigned int first, count;
	unsigned int break_at; /* which of the bytes there is a break's, from 1 on; 0: none */
	unsigned int polls;    /* of LSR since the guest last wrote something */
	bool held_back;	       /* serial_receive() took less than it was given */
};

void serial_init(struct serial *serial, const struct serial_host *host);
void serial_release(struct serial *serial);

void serial_read(struct serial *serial, uint64_t offset, void *data, unsigned int len);
void serial_write(struct serial *serial, uint64_t offset, const void *data, unsigned int len);

/* Bytes for the guest. Returns how many were taken; receive_ready() tells when to offer the rest.
 */
size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len);

/*
 * A break on the line, then @key: Linux takes it for SysRq (Documentation/admin-guide/sysrq.rst).
 * Returns 0, or -EAGAIN where the guest does not listen or has not read what came before.
 */
int serial_break(struct serial *serial, uint8_t key);

#endif
