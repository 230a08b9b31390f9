// SPDX-License-Identifier: Apache-2.0
/* A pool's life, and how it is asked. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/pool.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/lib/text.h"
#include "vmm/lib/wake.h"

/* A pool that serves as many as it can is asked again. */
#define AGAIN_MS 100

static void service_of(char service[VM_NAME_MAX + 1], const char *name)
{
	snprintf(service, VM_NAME_MAX + 1, RUNTIME_POOL "%s", name);
}

const char *pool_name_error(const char *name)
{
	const char *wrong = vm_name_error(name);

	if (!wrong && strlen(name) > VM_NAME_MAX - strlen(RUNTIME_POOL))
		wrong = "is too long";
	return wrong;
}

/* --- its life ------------------------------------------------------------------------------------ */

static void signal_came(void *ctx)
{
	struct pool *pool = ctx;
	struct signalfd_siginfo info;

	if (read(pool->signals.fd, &info, sizeof(info)) == sizeof(info))
		loop_stop(&pool->loop);
}

static int watch(struct pool *pool, const sigset_t *ends)
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
	if (error)
		log_error("cannot start the pool: %s", strerror(-error));
	return error;
}

int pool_start(struct pool *pool, const char *name, const struct control_command *commands,
	       void (*fill)(void *ctx), void *ctx, const sigset_t *ends)
{
	char service[VM_NAME_MAX + 1];

	*pool = (struct pool){
		.loop = {.epoll = -1, .wake = -1},
		.signals = {-1, signal_came, pool},
		.timer = {-1, fill, ctx},
		.name = {.directory = -1, .fd = -1},
	};
	service_of(service, name);
	int error = watch(pool, ends);
	if (!error)
		error = runtime_claim(&pool->name, service);
	int listener = error ? error : runtime_listen(&pool->name);
	return listener < 0 ? listener
			    : control_server_init(&pool->server, &pool->loop, listener,
						  pool->name.directory, commands, ctx);
}

int pool_serve(struct pool *pool)
{
	pool_look(pool, 0);
	return loop_run(&pool->loop);
}

void pool_release(struct pool *pool)
{
	control_server_release(pool->server);
	runtime_release(&pool->name);
	if (pool->timer.fd >= 0)
		close(pool->timer.fd);
	if (pool->signals.fd >= 0)
		close(pool->signals.fd);
	loop_release(&pool->loop);
}

void pool_look(struct pool *pool, unsigned int ms)
{
	wake_timer_at(pool->timer.fd, clock_ns() + ms * NS_PER_MS);
}

bool pool_has_gone(int taker)
{
	struct pollfd end = {.fd = taker};

	return poll(&end, 1, 0) > 0 && end.revents;
}

/* --- how it is asked ----------------------------------------------------------------------------- */

/* While it starts a clone it greets nobody; and it may have too many clients at once. */
static int open_call(struct control_call *call, struct loop *loop, const char *name)
{
	int64_t deadline = clock_ms() + POOL_TAKE_MS;
	char service[VM_NAME_MAX + 1];

	service_of(service, name);
	for (;;) {
		control_call_open(call, loop, service);
		int error = control_call_wait(call, loop);
		if ((error != -ETIMEDOUT && error != -EREMOTEIO) || clock_ms() >= deadline)
			return error;
		control_call_close(call);
		if (end_signal_waits())
			return -EINTR;
		clock_sleep_ms(AGAIN_MS);
	}
}

int pool_ask(struct control_call *call, struct loop *loop, const char *name, const char *command,
	     int fd, int ms)
{
	int error = open_call(call, loop, name);

	if (error)
		return error;
	control_client_pass(call->client, fd);
	control_call_start(call, command, NULL, ms);
	return control_call_wait(call, loop);
}

int pool_say_failure(const char *name, const struct control_call *call, int error,
		     const char *start)
{
	char text[TEXT_MAX];
	const char *why = json_string_value(call->reply);

	if (error == -ENOENT) {
		log_error("no pool called \"%s\" runs; \"ebb pool %s %s\" starts one", name, name,
			  start);
		return EXIT_USAGE;
	}
	log_error("the pool \"%s\" gives no guest: %s", name,
		  why ? text_escape(text, sizeof(text), why, false) : strerror(-error));
	return EXIT_FAILED;
}
