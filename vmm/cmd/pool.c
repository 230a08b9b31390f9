// SPDX-License-Identifier: Apache-2.0
/*
 * ebb pool: keeps some clones of a snapshot ready, paused, and gives them out, one at a time: `ebb pool take`. What is
 * given out is a guest like any other. The process that keeps them is as a keeper's: it has a name among the guests, and
 * one command.
 *
 * It starts one clone in a turn of its loop, which waits for that: then it looks at its socket again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/cmd/clones.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/control/runtime.h"
#include "vmm/control/server.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"
#include "vmm/lib/wake.h"

#define TAKE	  "x-ebb-pool-take"
#define READY_MAX 100
/* How long a clone may take to start; so it may if it is started only when it is wanted. */
#define TAKE_MS 60000
/* A pool that serves as many as it can is asked again. */
#define AGAIN_MS 100
/* How often it looks whether some have ended, and tries again what failed. */
#define LOOK_S 10

enum { FROM, READY };

static const struct option options[] = {
	{FROM, 0, "from", "DIR", "the snapshot that the clones go on from", false},
	{READY, 0, "ready", "N", "how many are kept ready [1]", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb pool", "[take] NAME [-- OPTION...]",
	"Keeps clones of a snapshot ready: guests NAME-1, NAME-2, … that are paused, until\n"
	"\"ebb pool take NAME\" lets one go on and prints its name. Another is started in\n"
	"its place. Ctrl-C ends the pool, and those that nobody took. What follows -- is\n"
	"as for \"ebb clone\".",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	const char *name, *from;
	bool take;
	unsigned int ready; /* 0: not given */
	char **argv;	    /* to find the first of the options for `ebb run` */
	struct clones clones;
	char service[VM_NAME_MAX + 1];
	char pattern[CLONES_PATTERN_MAX];
};

struct pool {
	struct loop loop;
	struct loop_source signals, timer;
	struct runtime_name name;
	struct control_server *server;
	const struct clones *clones;
	unsigned int wanted;
	unsigned int last;		      /* number of the clone that was started last */
	unsigned int count, ready[READY_MAX]; /* their numbers, the oldest first */
};

/* --- options ------------------------------------------------------------------------------------- */

static int set_name(struct request *request, const char *word, struct option_error *error)
{
	if (request->name)
		return options_fail(error, "two names are given: '%s' and '%s'; a pool has one",
				    request->name, word);
	const char *wrong = vm_name_error(word);
	if (wrong || strlen(word) > VM_NAME_MAX - strlen(RUNTIME_POOL))
		return options_fail(error, "the name \"%s\" %s", word,
				    wrong ? wrong : "is too long");
	request->name = word;
	snprintf(request->service, sizeof(request->service), RUNTIME_POOL "%s", word);
	return 0;
}

static int apply_word(struct request *request, const char *word, struct option_error *error)
{
	if (request->clones.option)
		return OPTIONS_END;
	if (*word == '-') {
		clones_set_options(&request->clones, request->argv, word);
		return OPTIONS_END;
	}
	if (request->name || request->take || strcmp(word, "take") != 0)
		return set_name(request, word, error);
	request->take = true;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	uint64_t number = 0;

	if (id == OPTION_WORD)
		return apply_word(request, value, error);
	if (id == FROM) {
		if (strcmp(value, "-") == 0)
			return options_fail(error, CLONES_NO_STREAM);
		request->from = value;
		return 0;
	}
	if (options_number(value, &number, NULL) || number == 0 || number > READY_MAX)
		return options_fail(error, "\"%s\" is not a number of clones; write 1 to %d", value,
				    READY_MAX);
	request->ready = (unsigned int)number;
	return 0;
}

static int check(const struct request *request)
{
	if (!request->name)
		log_error("name the pool: ebb pool NAME --from DIR, or ebb pool take NAME");
	else if (request->take && (request->from || request->ready || request->clones.option))
		log_error("\"ebb pool take\" takes no options: they are those of the pool");
	else if (!request->take && (!request->from || !*request->from))
		log_error("a pool needs a snapshot: ebb pool %s --from DIR", request->name);
	else
		return EXIT_DONE;
	return EXIT_USAGE;
}

/* --- its clones ---------------------------------------------------------------------------------- */

static int send_all(void *ctx, struct guests *guests, int status)
{
	guests_ask(guests, ctx, NULL, CONTROL_ANSWER_MS);
	return guests_finish(guests, status, NULL, NULL);
}

/* Has a clone do it. Returns whether it did. */
static bool tell(const struct pool *pool, unsigned int number, const char *command)
{
	char *name = clones_name(pool->clones, number);
	const struct guest_choice choice = {.name = name};
	bool done = name && guests_run(&choice, send_all, (void *)command) == EXIT_DONE;

	free(name);
	return done;
}

/* Returns the number for another, which no guest has; or 0 after an error message. */
static unsigned int next_number(struct pool *pool)
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
static bool start_one(struct pool *pool)
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

static void forget(struct pool *pool, unsigned int at)
{
	pool->count--;
	memmove(pool->ready + at, pool->ready + at + 1,
		(pool->count - at) * sizeof(pool->ready[0]));
}

/* Those that were ended by somebody else. */
static void forget_ended(struct pool *pool)
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
	struct pool *pool = ctx;
	bool more = true;

	wake_take(pool->timer.fd);
	forget_ended(pool);
	if (pool->count < pool->wanted)
		more = start_one(pool);
	bool now = more && pool->count < pool->wanted;
	wake_timer_at(pool->timer.fd, clock_ns() + (now ? 0 : LOOK_S * NS_PER_S));
}

/* @taker is what came with the command: the end of a pipe whose other end only the client has; or -1. */
static bool has_gone(int taker)
{
	struct pollfd end = {.fd = taker};

	return poll(&end, 1, 0) > 0 && end.revents;
}

/* Returns the number of a clone that goes on, or 0. A clone that starts takes a while: its taker may be gone by then. */
static unsigned int give_one(struct pool *pool, int taker)
{
	bool started = false;

	while (!started) {
		started = pool->count == 0;
		if ((started && !start_one(pool)) || has_gone(taker))
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
	struct pool *pool = ctx;
	int taker = control_server_take_descriptor(pool->server);

	(void)arguments;
	unsigned int number = give_one(pool, taker);
	if (taker >= 0)
		close(taker);
	wake_timer_at(pool->timer.fd, clock_ns());
	if (!number)
		return control_fail(error, "no clone is ready, and none starts: the pool's own ebb "
					   "says why");
	char *name = clones_name(pool->clones, number);
	json_t *answer = json_pack("{s:o}", "name", json_text(name ? name : ""));
	free(name);
	return answer;
}

/* --- its life ------------------------------------------------------------------------------------ */

static const struct control_command commands[] = {
	{TAKE, CONTROL_ACTS, take},
	{},
};

static void signal_came(void *ctx)
{
	struct pool *pool = ctx;
	struct signalfd_siginfo info;

	if (read(pool->signals.fd, &info, sizeof(info)) == sizeof(info))
		loop_stop(&pool->loop);
}

static int start(struct pool *pool, const char *service, const sigset_t *ends)
{
	int error = loop_init(&pool->loop);

	if (!error) {
		pool->signals.fd = signalfd(-1, ends, SFD_CLOEXEC | SFD_NONBLOCK);
		pool->timer.fd = wake_timer_open();
		error = pool->signals.fd < 0 || pool->timer.fd < 0 ? -errno : 0;
	}
	if (!error)
		error = loop_add(&pool->loop, &pool->signals);
	if (!error)
		error = loop_add(&pool->loop, &pool->timer);
	if (error) {
		log_error("cannot start the pool: %s", strerror(-error));
		return error;
	}
	error = runtime_claim(&pool->name, service);
	int listener = error ? error : runtime_listen(&pool->name);
	return listener < 0 ? listener
			    : control_server_init(&pool->server, &pool->loop, listener,
						  pool->name.directory, commands, pool);
}

static void release(struct pool *pool)
{
	for (unsigned int at = 0; at < pool->count; at++)
		clones_end(pool->clones, pool->ready[at], pool->ready[at]);
	control_server_release(pool->server);
	runtime_release(&pool->name);
	if (pool->timer.fd >= 0)
		close(pool->timer.fd);
	if (pool->signals.fd >= 0)
		close(pool->signals.fd);
	loop_release(&pool->loop);
}

static int keep(struct request *request)
{
	struct pool pool = {
		.loop = {.epoll = -1, .wake = -1},
		.name = {.directory = -1, .fd = -1},
		.clones = &request->clones,
		.wanted = request->ready ? request->ready : 1,
	};
	sigset_t ends, mask;

	pool.signals = (struct loop_source){-1, signal_came, &pool};
	pool.timer = (struct loop_source){-1, fill, &pool};
	request->clones.folder = request->from;
	request->clones.limit_ms = TAKE_MS;
	clones_pattern(request->pattern, request->name);
	request->clones.pattern = request->pattern;
	if (saved_machine_find(request->from, &request->clones.saved) != 0 ||
	    clones_check(&request->clones, READY_MAX) != EXIT_DONE ||
	    clones_check_saved(&request->clones) != EXIT_DONE)
		return EXIT_USAGE;
	end_signals_hold(&ends, &mask);
	request->clones.mask = &mask;
	int error = start(&pool, request->service, &ends);
	if (!error) {
		log_info("keeping %u clones ready; \"ebb pool take %s\" takes one, Ctrl-C ends it",
			 pool.wanted, request->name);
		wake_timer_at(pool.timer.fd, clock_ns());
		error = loop_run(&pool.loop);
	}
	release(&pool);
	return error ? EXIT_FAILED : EXIT_DONE;
}

/* --- ebb pool take ------------------------------------------------------------------------------- */

static int say_failure(const struct request *request, const struct control_call *call, int error)
{
	char text[TEXT_MAX];
	const char *why = json_string_value(call->reply);

	if (error == -ENOENT) {
		log_error("no pool called \"%s\" runs; \"ebb pool %s --from DIR\" starts one",
			  request->name, request->name);
		return EXIT_USAGE;
	}
	log_error("the pool \"%s\" gives no guest: %s", request->name,
		  why ? text_escape(text, sizeof(text), why, false) : strerror(-error));
	return EXIT_FAILED;
}

/* While it starts a clone it greets nobody; and it may have too many clients at once. */
static int open_call(struct control_call *call, struct loop *loop, const char *service)
{
	int64_t deadline = clock_ms() + TAKE_MS;

	for (;;) {
		control_call_open(call, loop, service);
		int error = control_call_wait(call, loop);
		if ((error != -ETIMEDOUT && error != -EREMOTEIO) || clock_ms() >= deadline)
			return error;
		control_call_close(call);
		clock_sleep_ms(AGAIN_MS);
	}
}

/* The other end of @taker is closed when this process ends. */
static int ask(const struct request *request, int taker)
{
	struct loop loop;
	struct control_call call;
	char text[TEXT_MAX];
	int error = loop_init(&loop), status = EXIT_DONE;

	if (error) {
		log_error("cannot ask the pool: %s", strerror(-error));
		return EXIT_FAILED;
	}
	error = open_call(&call, &loop, request->service);
	if (!error) {
		control_client_pass(call.client, taker);
		control_call_start(&call, TAKE, NULL, TAKE_MS);
		error = control_call_wait(&call, &loop);
	}
	const char *name = error ? NULL : json_string_value(json_object_get(call.reply, "name"));
	if (name)
		puts(text_escape(text, sizeof(text), name, false));
	else
		status = say_failure(request, &call, error ? error : -EPROTO);
	control_call_close(&call);
	loop_release(&loop);
	return status;
}

static int take_one(const struct request *request)
{
	int taker[2];

	if (pipe2(taker, O_CLOEXEC) < 0) {
		log_error("cannot make a pipe for the pool: %s", strerror(errno));
		return EXIT_FAILED;
	}
	int status = ask(request, taker[0]);
	close(taker[0]);
	close(taker[1]);
	return status;
}

int cmd_pool(int argc, char **argv)
{
	struct request request = {.argv = argv};
	int status = cmd_parse(&table, argc, argv, apply, &request);

	if (status >= 0)
		return status;
	status = check(&request);
	if (status != EXIT_DONE)
		return status;
	return request.take ? take_one(&request) : keep(&request);
}
