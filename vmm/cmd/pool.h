/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pools of clones and of sandboxes have in common: a process with a name among the guests, one command at its socket, a timer, and
 * an end by a signal; and how it is asked. Thread: main.
 */
#ifndef EBB_CMD_POOL_H
#define EBB_CMD_POOL_H

#include "vmm/control/call.h"
#include "vmm/control/runtime.h"
#include "vmm/control/server.h"
#include "vmm/lib/loop.h"

#define POOL_READY_MAX 100
/* How long a clone may take to start, also one that is started only when somebody asks. */
#define POOL_TAKE_MS 60000
/* How often a pool looks whether some have ended, and tries again what failed. */
#define POOL_LOOK_S 10

/* Every pool answers both commands: the other kind of pool's with an error that says what it keeps. */
#define POOL_TAKE    "x-ebb-pool-take"
#define POOL_SANDBOX "x-ebb-pool-sandbox"

struct pool {
	struct loop loop;
	struct loop_source signals, timer;
	struct runtime_name name;
	struct control_server *server;
};

/*
 * Holds the name of the pool @name, and its socket. Returns 0, or -errno after an error message; pool_release() follows in any
 * case.
 */
int pool_start(struct pool *pool, const char *name, const struct control_command *commands,
	       void (*fill)(void *ctx), void *ctx, const sigset_t *ends);
/*
 * Serves @commands and calls @fill, both with @ctx, at once and at each ring of the timer (pool_look()), until one of the
 * signals @ends comes. Returns 0 or -errno.
 */
int pool_serve(struct pool *pool);
void pool_release(struct pool *pool);
/* @fill is called in @ms. */
void pool_look(struct pool *pool, unsigned int ms);

/* Returns whether the process at the other end of the pipe or socket @taker has gone; -1: it has not. */
bool pool_has_gone(int taker);

/* What is wrong with the name of a pool, or NULL. */
const char *pool_name_error(const char *name);

/*
 * Asks the pool @name: starts the command with @fd, and waits up to @ms for its answer; for a pool that is busy, up to
 * POOL_TAKE_MS before. Returns call->err, or -EINTR if a signal waits.
 */
int pool_ask(struct control_call *call, struct loop *loop, const char *name, const char *command,
	     int fd, int ms);
/* After that: why the pool gave none. @start: what starts such a pool. Returns an exit status of `ebb pool`. */
int pool_say_failure(const char *name, const struct control_call *call, int error,
		     const char *start);

/* A pool of clones, and one of sandboxes: pool_clones.c, pool_sandboxes.c. Return the exit status. */
struct clones;
int pool_keep_clones(const struct clones *wanted, const char *name, unsigned int ready);
int pool_keep_sandboxes(char *const *option, size_t options, const char *name, unsigned int ready);

#endif
