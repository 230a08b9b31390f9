// SPDX-License-Identifier: Apache-2.0
/*
 * A pool of clones: they are paused, until one is let go on for who takes it. What is given out is a guest like any other.
 *
 * It starts one clone in a turn of its loop, which waits for that: then it looks at its socket again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/cmd/clones.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/cmd/pool.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"
#include "vmm/snapshot/saved_disks.h"

struct clone_pool {
	struct pool base;
	const struct clones *clones;
	unsigned int wanted;
	unsigned int last;			   /* number of the clone that was started last */
	unsigned int count, ready[POOL_READY_MAX]; /* their numbers, the oldest first */
};

static int send_all(void *ctx, struct guests *guests, int status)
{
	guests_ask(guests, ctx, NULL, CONTROL_ANSWER_MS);
	return guests_finish(guests, status, NULL, NULL);
}

/* Has a clone do it. Returns whether it did. */
static bool tell(const struct clone_pool *pool, unsigned int number, const char *command)
{
	char *name = clones_name(pool->clones, number);
	const struct guest_choice choice = {.name = name};
	bool done = name && guests_run(&choice, send_all, (void *)command) == EXIT_DONE;

	free(name);
	return done;
}

/* Returns the number for another, which no guest has; or 0 after an error message. */
static unsigned int next_number(struct clone_pool *pool)
{
	struct runtime_guest *live = NULL;
	ssize_t lives = runtime_list(&live);

	if (lives < 0)
		return 0;
	do
		pool->last++;
	while (clones_runs(pool->clones, pool->last, live, lives));
	free(live);
	return pool->last;
}

/* Returns whether there is one more. */
static bool start_one(struct clone_pool *pool)
{
	unsigned int number = next_number(pool);
	if (!number)
		return false;
	bool started = clones_start(pool->clones, number) == EXIT_DONE;
	if (started && tell(pool, number, "stop")) {
		pool->ready[pool->count++] = number;
		return true;
	}
	if (started)
		clones_end(pool->clones, number, number);
	return false;
}

static void forget(struct clone_pool *pool, unsigned int at)
{
	pool->count--;
	memmove(pool->ready + at, pool->ready + at + 1,
		(pool->count - at) * sizeof(pool->ready[0]));
}

/* Those that were ended by somebody else. */
static void forget_ended(struct clone_pool *pool)
{
	struct runtime_guest *live = NULL;
	ssize_t lives = runtime_list(&live);

	for (unsigned int at = 0; at < pool->count && lives >= 0;) {
		if (clones_runs(pool->clones, pool->ready[at], live, lives))
			at++;
		else
			forget(pool, at);
	}
	free(live);
}

/* One, and then the next. */
static void fill(void *ctx)
{
	struct clone_pool *pool = ctx;
	bool more = true;

	wake_take(pool->base.timer.fd);
	forget_ended(pool);
	if (pool->count < pool->wanted)
		more = start_one(pool);
	bool now = more && pool->count < pool->wanted;
	pool_look(&pool->base, now ? 0 : POOL_LOOK_S * 1000);
}

/* Returns the number of a clone that goes on, or 0. A clone that starts takes a while: its taker may be gone by then. */
static unsigned int give_one(struct clone_pool *pool, int taker)
{
	bool started = false;

	while (!started) {
		started = pool->count == 0;
		if ((started && !start_one(pool)) || pool_has_gone(taker))
			return 0;
		unsigned int number = pool->ready[0];
		forget(pool, 0);
		if (tell(pool, number, "cont"))
			return number;
		clones_end(pool->clones, number, number);
	}
	return 0;
}

static json_t *take(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct clone_pool *pool = ctx;
	int taker = control_server_take_descriptor(pool->base.server);

	(void)arguments;
	unsigned int number = give_one(pool, taker);
	if (taker >= 0)
		close(taker);
	pool_look(&pool->base, 0);
	if (!number)
		return control_fail(error, "no clone is ready, and none starts: the pool's own ebb "
					   "says why");
	char *name = clones_name(pool->clones, number);
	json_t *answer = json_pack("{s:o}", "name", json_text(name ? name : ""));
	free(name);
	return answer;
}

static json_t *no_sandbox(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)ctx;
	(void)arguments;
	return control_fail(error, "it keeps clones of a snapshot: \"ebb pool take\" takes one");
}

static const struct control_command commands[] = {
	{POOL_TAKE, CONTROL_ACTS, take},
	{POOL_SANDBOX, CONTROL_ACTS, no_sandbox},
	{},
};

int pool_keep_clones(const struct clones *wanted, const char *name, unsigned int ready)
{
	struct clones clones = *wanted;
	struct clone_pool pool = {.clones = &clones, .wanted = ready};
	char pattern[CLONES_PATTERN_MAX];
	sigset_t ends, mask;

	clones_pattern(pattern, name);
	clones.pattern = pattern;
	clones.disks_saved = saved_disks_count(clones.folder);
	/* Copying disks takes as long as it takes. */
	clones.limit_ms = clones.disks_saved ? 0 : POOL_TAKE_MS;
	if (saved_machine_find(clones.folder, arch_map.name, &clones.saved) != 0 ||
	    clones_check(&clones, POOL_READY_MAX) != EXIT_DONE ||
	    clones_check_saved(&clones) != EXIT_DONE)
		return EXIT_USAGE;
	end_signals_hold(&ends, &mask);
	clones.mask = &mask;
	int error = pool_start(&pool.base, name, commands, fill, &pool, &ends);
	if (!error) {
		log_info("keeping %u clones ready; \"ebb pool take %s\" takes one, Ctrl-C ends it",
			 ready, name);
		error = pool_serve(&pool.base);
	}
	for (unsigned int at = 0; at < pool.count; at++)
		clones_end(&clones, pool.ready[at], pool.ready[at]);
	pool_release(&pool.base);
	return error ? EXIT_FAILED : EXIT_DONE;
}
