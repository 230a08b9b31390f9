/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function when a file descriptor is ready (epoll). The main thread runs one loop, each
 * worker its own.
 *
 * Thread: callbacks run on the thread that is in loop_run(). loop_add(), loop_mute(), the functions
 * that undo it, and loop_stop() may be called from any thread; loop_remove(), too, but while the loop runs only from its own thread.
 */
#ifndef EBB_LIB_LOOP_H
#define EBB_LIB_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>

/* Owner: the caller. It must not move while it is in a loop. */
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

/* Return 0 or -errno; loop_add() returns -EPERM for a file that epoll cannot wait for. */
int loop_init(struct loop *loop);
void loop_release(struct loop *loop);

int loop_add(struct loop *loop, struct loop_source *source);
/*
 * Adds a source that is called once each time it becomes readable or writable, not for as long as
 * it stays so: for a callback that may leave input unread.
 */
int loop_add_edge(struct loop *loop, struct loop_source *source);
/* Adds a source that is called for urgent events only (EPOLLPRI), as PSI's triggers have them. */
int loop_add_urgent(struct loop *loop, struct loop_source *source);
void loop_remove(struct loop *loop, struct loop_source *source);

/* Makes a source in the loop wait until it is readable, the default, or writable. */
int loop_wait_for(struct loop *loop, struct loop_source *source, bool writable);
/* Makes a source in the loop wait as loop_add_edge() does. */
int loop_wait_for_edge(struct loop *loop, struct loop_source *source);
/*
 * Keeps a source in the loop, but does not call it any more, except for an event that the loop has
 * taken already. The two functions above undo this, and call it if it is ready then.
 */
void loop_mute(struct loop *loop, struct loop_source *source);

/* Serves sources until loop_stop(). Returns 0 or -errno. */
int loop_run(struct loop *loop);

/*
 * Waits up to @milliseconds (-1: without limit) for a source to be ready, and serves it: one turn
 * of loop_run(), for a thread that does not wait for loop_stop(). Returns 0, also if none was ready
 * or a signal came, or -errno.
 */
int loop_turn(struct loop *loop, int milliseconds);
void loop_stop(struct loop *loop);

#endif
