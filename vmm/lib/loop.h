/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptor → callback (epoll). The main thread runs one, each device's worker its own.
 *
 * Thread: callbacks run on the thread in loop_run(). loop_add(), loop_remove() and loop_stop() may
 * be called from any thread; a source must not be removed by another thread while its loop runs.
 */
#ifndef EBB_LIB_LOOP_H
#define EBB_LIB_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>

/* Owned by the caller, at a fixed address while it is in a loop. */
struct loop_source {
	int fd;
	void (*ready)(void *ctx);
	void *ctx;
};

struct loop {
	int epoll;
	int wake; /* eventfd: loop_stop() */
	atomic_bool stop;
};

/* Return 0 or -errno; -EPERM from loop_add() is a file that epoll cannot wait for. */
int loop_init(struct loop *loop);
void loop_release(struct loop *loop);

int loop_add(struct loop *loop, struct loop_source *source);
void loop_remove(struct loop *loop, struct loop_source *source);

/* What a source in the loop waits for: to be readable, as it is when added, or to be writable. */
int loop_wait_for(struct loop *loop, struct loop_source *source, bool writable);

/* Serves sources until loop_stop(). Returns 0 or -errno. */
int loop_run(struct loop *loop);

/*
 * Waits up to @milliseconds (-1: without limit) for a source that is ready, and serves it: one turn of
 * loop_run(), for a thread that waits for something else than loop_stop(). Returns 0, also when there
 * was none or a signal came, or -errno.
 */
int loop_turn(struct loop *loop, int milliseconds);
void loop_stop(struct loop *loop);

#endif
