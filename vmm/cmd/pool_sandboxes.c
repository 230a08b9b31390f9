// SPDX-License-Identifier: Apache-2.0
/*
 * A pool of guests for `ebb sandbox --pool`: each has started up to its agent (sandbox_member.h), and is passed on with
 * the socket that it belongs to; from then on it is the taker's alone. They are not paused: a guest whose agent waits does
 * nothing, but goes on giving its memory back, and the keeper can ask it for more.
 *
 * One starts at a time. A taker for whom none is ready waits, at its own socket, for the next.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/pool.h"
#include "vmm/cmd/sandbox_guest.h"
#include "vmm/cmd/sandbox_member.h"
#include "vmm/lib/child.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/wake.h"

/* The next one starts so long after one was taken, unless somebody waits: the command has the CPUs first. */
#define HEAD_START_MS 200
#define WAITING_MAX   64

struct sandboxes;

struct member {
	struct child child; /* .process: 0: none here */
	struct loop_source source;
	struct sandboxes *pool;
	bool ready;
	unsigned int number;
};

struct sandboxes {
	struct pool base;
	struct sandbox_request *request;
	const char *name;
	unsigned int wanted;
	unsigned int last; /* number of the one that was started last */
	struct member member[POOL_READY_MAX];
	int waiting[WAITING_MAX]; /* sockets of takers, the first first */
	unsigned int waits;
};

/* --- members ------------------------------------------------------------------------------------- */

static void forget(struct member *member)
{
	loop_remove(&member->pool->base.loop, &member->source);
	close(member->child.control);
	close(member->child.pidfd);
	member->child = CHILD_NONE;
}

static bool one_starts(const struct sandboxes *pool)
{
	for (unsigned int i = 0; i < POOL_READY_MAX; i++)
		if (pool->member[i].child.process && !pool->member[i].ready)
			return true;
	return false;
}

/* The ready one that has waited longest, or NULL. */
static struct member *find_ready(struct sandboxes *pool)
{
	struct member *found = NULL;

	for (unsigned int i = 0; i < POOL_READY_MAX; i++) {
		struct member *one = &pool->member[i];
		if (one->child.process && one->ready && (!found || one->number < found->number))
			found = one;
	}
	return found;
}

static unsigned int count_ready(const struct sandboxes *pool)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < POOL_READY_MAX; i++)
		count += pool->member[i].child.process && pool->member[i].ready;
	return count;
}

/* --- takers -------------------------------------------------------------------------------------- */

static int next_waiting(struct sandboxes *pool)
{
	int taker = pool->waiting[0];

	pool->waits--;
	memmove(pool->waiting, pool->waiting + 1, pool->waits * sizeof(pool->waiting[0]));
	return taker;
}

/* Closes @taker. One that has gone gets none, and leaves it for the next. */
static void give(struct member *member, int taker)
{
	if (!pool_has_gone(taker) && pass_fd_send_now(taker, "", 1, member->child.control) == 1)
		forget(member);
	close(taker);
}

static void serve_waiting(struct sandboxes *pool)
{
	struct member *member;

	while (pool->waits && (member = find_ready(pool)))
		give(member, next_waiting(pool));
}

/* Those who have gone no longer wait. */
static void drop_gone(struct sandboxes *pool)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < pool->waits; i++)
		if (pool_has_gone(pool->waiting[i]))
			close(pool->waiting[i]);
		else
			pool->waiting[left++] = pool->waiting[i];
	pool->waits = left;
}

/* None starts: they see their sockets closed. */
static void send_away(struct sandboxes *pool)
{
	while (pool->waits)
		close(next_waiting(pool));
}

static json_t *sandbox(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct sandboxes *pool = ctx;
	int taker = control_server_take_descriptor(pool->base.server);

	(void)arguments;
	if (taker < 0)
		return control_fail(error, "no socket came with the command");
	if (pool->waits == WAITING_MAX)
		drop_gone(pool);
	if (pool->waits == WAITING_MAX) {
		close(taker);
		return control_fail(error, "%d wait for a guest already", WAITING_MAX);
	}
	pool->waiting[pool->waits++] = taker;
	serve_waiting(pool);
	pool_look(&pool->base, pool->waits ? 0 : HEAD_START_MS);
	return json_object();
}

static json_t *no_clone(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)ctx;
	(void)arguments;
	return control_fail(error, "it keeps guests for \"ebb sandbox --pool\"");
}

static const struct control_command commands[] = {
	{POOL_SANDBOX, CONTROL_ACTS, sandbox},
	{POOL_TAKE, CONTROL_ACTS, no_clone},
	{},
};

/* --- starting ------------------------------------------------------------------------------------ */

/* A member's socket: it is ready, or has ended. */
static void member_stirs(void *ctx)
{
	struct member *member = ctx;
	struct sandboxes *pool = member->pool;
	struct pollfd state = {.fd = member->child.control, .events = POLLIN};

	poll(&state, 1, 0);
	if (state.revents & POLLHUP) {
		bool failed = !member->ready;
		forget(member);
		if (failed)
			send_away(pool);
		pool_look(&pool->base, failed ? POOL_LOOK_S * 1000 : 0);
	} else if (state.revents & POLLIN) {
		char byte;
		recv(member->child.control, &byte, 1, MSG_DONTWAIT);
		member->ready = true;
		serve_waiting(pool);
		pool_look(&pool->base, 0);
	}
}

/* Writes --name=NAME of the next one, which no guest has. Returns false after an error message. */
static bool next_name(struct sandboxes *pool, char *option, size_t size)
{
	struct runtime_guest *live = NULL;
	ssize_t lives = runtime_list(&live);

	if (lives < 0)
		return false;
	do
		snprintf(option, size, "--name=%s-%u", pool->name, ++pool->last);
	while (runtime_find(live, lives, strchr(option, '=') + 1));
	free(live);
	return true;
}

/* Returns whether one starts. */
static bool start_one(struct sandboxes *pool)
{
	char name[VM_NAME_MAX + 32];
	const struct sandbox_member what = {pool->request, name};
	struct member *member = pool->member;

	while (member < pool->member + POOL_READY_MAX && member->child.process)
		member++;
	if (member == pool->member + POOL_READY_MAX || !next_name(pool, name, sizeof(name)))
		return false;
	int error = child_start(&member->child, sandbox_member_run, &what);
	if (error) {
		log_error("cannot start a process for a guest: %s", strerror(-error));
		return false;
	}
	member->source = (struct loop_source){member->child.control, member_stirs, member};
	member->pool = pool;
	member->ready = false;
	member->number = pool->last;
	error = loop_add_edge(&pool->base.loop, &member->source);
	if (error) {
		log_error("cannot wait for a guest: %s", strerror(-error));
		forget(member);
	}
	return !error;
}

static void fill(void *ctx)
{
	struct sandboxes *pool = ctx;
	bool fails = false;

	wake_take(pool->base.timer.fd);
	/* Those that were taken, and have ended, too. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (!one_starts(pool) && count_ready(pool) < pool->wanted)
		fails = !start_one(pool);
	if (fails)
		send_away(pool);
	pool_look(&pool->base, POOL_LOOK_S * 1000);
}

/* --- its life ------------------------------------------------------------------------------------ */

/* All end at the same time. */
static void end_all(struct sandboxes *pool)
{
	int64_t deadline = clock_ms() + SANDBOX_STOP_MS;

	for (unsigned int i = 0; i < POOL_READY_MAX; i++)
		if (pool->member[i].child.process)
			close(pool->member[i].child.control);
	for (unsigned int i = 0; i < POOL_READY_MAX; i++) {
		const struct child *child = &pool->member[i].child;
		struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
		int64_t left = deadline - clock_ms();
		if (child->process)
			poll(&ended, 1, left > 0 ? (int)left : 0);
	}
}

int pool_keep_sandboxes(char *const *option, size_t options, const char *name, unsigned int ready)
{
	struct sandboxes *pool = calloc(1, sizeof(*pool));
	sigset_t ends;

	if (!pool) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	pool->name = name;
	pool->wanted = ready;
	pool->request = sandbox_request_for_pool((int)options, (char **)option);
	if (!pool->request) {
		free(pool);
		return EXIT_USAGE;
	}
	end_signals_hold(&ends, NULL);
	int error = pool_start(&pool->base, name, commands, fill, pool, &ends);
	if (!error) {
		log_info("keeping %u guests ready; \"ebb sandbox --pool %s -- COMMAND\" takes one, "
			 "Ctrl-C ends those that nobody took",
			 ready, name);
		error = pool_serve(&pool->base);
	}
	send_away(pool);
	end_all(pool);
	pool_release(&pool->base);
	sandbox_request_release(pool->request);
	free(pool);
	return error ? EXIT_FAILED : EXIT_DONE;
}
