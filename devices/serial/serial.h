/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART as in a PC: eight registers and a receive FIFO. A byte is sent as it is written.
 *
 * Input is held back rather than lost: bytes are taken only while the guest listens (its receive
 * interrupt is enabled, or it polls) and the FIFO has room. A driver clears the FIFO when it
 * starts, and would lose earlier input.
 *
 * Thread: serial_read() and serial_write() on any vCPU's, serial_receive() and serial_break() on
 * the loop's; a lock inside. Init and release while no other thread uses the UART.
 * Source: National Semiconductor PC16550D data sheet; Linux, drivers/tty/serial/8250.
 */
#ifndef EBB_SERIAL_H
#define EBB_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/record.h"

#define SERIAL_SIZE 8  /* bytes of address space */
#define SERIAL_FIFO 16 /* bytes that can wait for the guest */

/* The host's side; outlives the UART. */
struct serial_host {
	void *ctx;
	/*
	 * Sets the interrupt line. Called with the UART's lock held, so that levels keep their
	 * order.
	 */
	void (*interrupt)(void *ctx, int level);
	/* Takes bytes that the guest sent. Called without the UART's lock, on a vCPU's thread. */
	void (*transmit)(void *ctx, const uint8_t *data, size_t len);
	/*
	 * Reports that there is room again after serial_receive() took less than it was given.
	 * Called without the UART's lock, on a vCPU's thread.
	 */
	void (*receive_ready)(void *ctx);
};

struct serial {
	const struct serial_host *host;
	pthread_mutex_t lock;
	/* Registers, by the data sheet's names. */
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t lsr_overrun;  /* LSR's overrun bit, kept until LSR is read */
	uint8_t msr_changes;  /* MSR's low half, kept until MSR is read */
	bool thr_empty_event; /* the transmitter ran empty, and IIR has not reported it yet */
	int level;	      /* of the interrupt line, as last set */
	/* The receive FIFO, a ring. */
	uint8_t fifo[SERIAL_FIFO];
	unsigned int first, count;
	unsigned int break_at; /* the place in the FIFO of a break's byte, from 1 on; 0: none */
	unsigned int polls;    /* reads of LSR since the guest wrote THR, IER or FCR */
	bool held_back;	       /* serial_receive() took less than it was given */
};

void serial_init(struct serial *serial, const struct serial_host *host);
void serial_release(struct serial *serial);

void serial_read(struct serial *serial, uint64_t offset, void *data, unsigned int len);
void serial_write(struct serial *serial, uint64_t offset, const void *data, unsigned int len);

/* Sends bytes to the guest. Returns how many it took; receive_ready() asks for the rest. */
size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len);

/*
 * Sends a break, then @key: Linux handles that as SysRq (Documentation/admin-guide/sysrq.rst).
 * Returns 0, or -EAGAIN if the guest does not listen or has not read earlier input.
 */
int serial_break(struct serial *serial, uint8_t key);

/*
 * Write and read the registers and the FIFO, while no vCPU runs. Restoring sets the interrupt line, so the interrupt
 * controllers come first; it returns 0 or -EINVAL.
 */
void serial_save(struct serial *serial, struct record *record);
int serial_restore(struct serial *serial, struct record_in *in);

#endif
