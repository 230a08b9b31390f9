/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's serial console on ebb's standard input and output.
 *
 * A terminal is made raw (its output processing stays, so that our own lines look right) and is
 * restored on every way out, a crash included. Ctrl-A x ends ebb, Ctrl-A Ctrl-A sends one Ctrl-A,
 * Ctrl-A h tells the keys; only where standard input is a terminal. Works with a pipe, a file,
 * /dev/null, or no standard input at all; the input's end leaves the guest running.
 */
#ifndef EBB_CONSOLE_H
#define EBB_CONSOLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/serial/serial.h"
#include "vmm/lib/loop.h"
#include "vmm/lib/outlet.h"

/*
 * What a terminal has typed ahead of the guest. When this is full the terminal is not read, which
 * holds a long paste up, for as long as the guest takes some of it in each CONSOLE_PATIENCE_MS.
 * When it does not, what a person types is read and lost, as on a real line, for the escape keys'
 * sake.
 */
#define CONSOLE_HELD	    16384
#define CONSOLE_PATIENCE_MS 1000

struct console {
	struct loop *loop;
	struct serial *serial;
	void (*quit)(void *ctx); /* the escape key's x */
	void *quit_ctx;

	/* The loop's thread. */
	struct loop_source input;    /* standard input, or what stands in for it */
	struct loop_source resume;   /* an eventfd: console_resume() */
	struct loop_source patience; /* a timer: the guest took nothing */
	int input_fd;
	bool terminal; /* input is a person's: it has escape keys */
	bool reading;  /* input is in the loop */
	bool ended;    /* there is no more input */
	bool escape;   /* the last key was Ctrl-A */
	bool deaf;     /* the guest takes nothing: what does not fit is lost */
	bool loss_told;
	uint8_t held[CONSOLE_HELD]; /* read, and not yet taken by the UART */
	size_t held_first, held_count;

	/* Any thread. */
	struct outlet output;
	atomic_bool asked; /* the guest may have asked the terminal something: see terminal.h */
	int hangup;	   /* eventfd, never read: console_hangup() */
	atomic_bool silent;
};

/*
 * First of all in main(): standard input, output and error are open (on /dev/null if need be), so
 * that no file of ours is taken for one of them; and a reader that leaves, or a file that may grow no
 * more (ulimit -f), is an error of write(2), not a signal. Returns 0 or -errno.
 */
int console_ensure_stdio(void);

/*
 * Starts to read standard input, on @loop, into @serial. Main thread.
 * Returns 0 or -errno having said what is wrong.
 */
int console_init(struct console *console, struct loop *loop, struct serial *serial,
		 void (*quit)(void *ctx), void *quit_ctx);
void console_release(struct console *console);

/* SIGCONT came: the shell may have changed the terminal, or given it to us. The loop's thread. */
void console_continued(struct console *console);

/*
 * The guest's output, to standard output; any thread. Returns when all is written, or when
 * console_hangup() was called, or the reader is gone (the output is dropped from then on).
 */
void console_write(struct console *console, const uint8_t *data, size_t len);

/* From any thread: wakes and ends all console_write(), now and later. */
void console_hangup(struct console *console);

/* serial_host.receive_ready: input that was held back can go on. Any thread. */
void console_resume(struct console *console);

#endif
