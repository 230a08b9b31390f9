/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console on ebb's standard input and output: the other side is a device, serial or virtio.
 *
 * A terminal is made raw (its output processing stays, so that our own lines look right) and is
 * restored on every way out, a crash included. Ctrl-A x ends ebb, Ctrl-A Ctrl-A sends one Ctrl-A,
 * Ctrl-A h lists the keys; they work only if standard input is a terminal. Standard input may also
 * be a pipe, a file, /dev/null, or closed; at its end the guest keeps running.
 */
#ifndef EBB_CONSOLE_H
#define EBB_CONSOLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/loop.h"
#include "vmm/lib/outlet.h"

/*
 * Bytes of input that wait for the guest. When this is full, ebb stops reading the terminal, which
 * holds up a long paste, as long as the guest takes some of it in each CONSOLE_PATIENCE_MS. If it
 * does not, ebb reads and drops further input, as a real serial line does, so that the escape keys
 * still work.
 */
#define CONSOLE_HELD	    16384
#define CONSOLE_PATIENCE_MS 1000

/* Copied by console_init(). The functions are called on the loop's thread. */
struct console_config {
	int output; /* -1: the guest's output is dropped */
	bool drops; /* console_write() does not wait: what there is no room for is lost, which is said once */
	bool input; /* standard input is the guest's; otherwise it is left alone */
	/* Gives the guest's device input. Returns how much it took; console_resume() asks for the rest. */
	size_t (*receive)(void *ctx, const uint8_t *data, size_t len);
	void (*quit)(void *ctx); /* called for Ctrl-A x */
	void *ctx;
};

struct console {
	struct loop *loop;
	struct console_config config;

	/* The loop's thread. */
	struct loop_source input;    /* standard input, or a descriptor in place of it */
	struct loop_source resume;   /* an eventfd: console_resume() */
	struct loop_source patience; /* a timer: the guest took nothing */
	int input_fd;
	bool terminal; /* input is a terminal: it has escape keys */
	bool reading;  /* input is in the loop */
	bool ended;    /* there is no more input */
	bool escape;   /* the last key was Ctrl-A */
	bool deaf;     /* the guest takes nothing: input that does not fit is lost */
	bool loss_told;
	uint8_t held[CONSOLE_HELD]; /* read, and not yet taken by the guest's device */
	size_t held_first, held_count;

	/* Any thread. */
	struct outlet output;
	atomic_bool asked; /* the guest may have sent the terminal a query: see terminal.h */
	atomic_bool silent;
	atomic_bool drop_told;

	/* What the loop's thread writes for a thread that waits in console_write(). */
	pthread_mutex_t turn;	     /* of threads that have something */
	struct loop_source asked_to; /* an eventfd */
	struct loop_source room;     /* output.fd, in the loop while it @waits */
	bool waits;
	pthread_mutex_t lock; /* for the rest */
	pthread_cond_t written;
	const uint8_t *data;
	size_t left;
};

/*
 * Starts to read standard input, on @loop, for the guest. Main thread. Returns 0, or -errno after an
 * error message.
 */
int console_init(struct console *console, struct loop *loop, const struct console_config *config);
void console_release(struct console *console);

/*
 * Takes the terminal, if there is one: until then its keys are the shell's, and Ctrl-C ends ebb. Main
 * thread, in the sandbox. Returns 0, or -errno after an error message.
 */
int console_begin(struct console *console);

/*
 * Called after SIGCONT: the shell may have changed the terminal, or given it to ebb. The loop's
 * thread.
 */
void console_continued(struct console *console);

/*
 * Writes the guest's output to standard output; any thread but the loop's. Returns when all is written, or after
 * console_hangup(), or when the reader is gone (output is dropped from then on); with config.drops, at once.
 */
void console_write(struct console *console, const uint8_t *data, size_t len);

/*
 * The same without waiting. Returns how many bytes were written or dropped, or -EAGAIN: console->output.fd
 * tells when there is room.
 */
ssize_t console_try_write(struct console *console, const uint8_t *data, size_t len);

/* Makes all calls of console_write(), now and later, return at once. Any thread. */
void console_hangup(struct console *console);

/* Continues with input that the guest's device did not take. Any thread. */
void console_resume(struct console *console);

/* Returns whether the console is on a terminal that tells its size, in characters. Main thread. */
bool console_size(uint16_t *columns, uint16_t *rows);

#endif
