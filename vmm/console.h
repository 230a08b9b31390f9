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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/serial/serial.h"
#include "vmm/loop.h"

struct console {
	struct loop *loop;
	struct serial *serial;
	void (*quit)(void *ctx); /* the escape key's x */
	void *quit_ctx;
	/* Filled in by the console's author. */
};

/*
 * Starts to read standard input, on @loop, into @serial. Main thread.
 * Returns 0 or -errno having said what is wrong.
 */
int console_init(struct console *console, struct loop *loop, struct serial *serial,
		 void (*quit)(void *ctx), void *quit_ctx);
void console_release(struct console *console);

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
