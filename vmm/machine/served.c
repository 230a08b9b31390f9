// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/served.h"

#include <errno.h>
#include <string.h>

#include "vmm/lib/clock.h"

static void socket_ready(void *ctx)
{
	struct served *served = ctx;
	vhost_user_device_stirs(served->device);
}

static void call_rang(void *ctx)
{
	struct served_call *call = ctx;
	vhost_user_device_called(call->device, call->queue);
}

static void found(void *ctx, int socket)
{
	struct served *served = ctx;

	served->socket.fd = socket;
	/* If this fails, the backend's end is noticed with the next request. */
	loop_add_edge(served->loop, &served->socket);
}

static void lost(void *ctx)
{
	struct served *served = ctx;
	loop_remove(served->loop, &served->socket);
}

static void end(void *ctx)
{
	struct served *served = ctx;
	backend_end(&served->backend);
}

/* On the worker: a message from the keeper is waiting. */
static void news_ready(void *ctx)
{
	struct served *served = ctx;
	const char *program = served->program->name, *name = served->device->config.name;
	char why[BACKEND_WHY_SIZE];
	int fd = backend_take(&served->backend, why);

	if (fd == -EAGAIN)
		return;
	if (fd == -ENOMSG) {
		log_guest(&served->log, "%s of %s has ended: %s; it is started again", program,
			  name, why);
		return;
	}
	if (fd < 0) {
		loop_remove(served->loop, &served->news);
		log_guest(&served->log,
			  "%s cannot be started again for %s: its keeper has ended; restart the "
			  "guest if it is lost",
			  program, name);
		return;
	}
	vhost_user_device_came(served->device, fd);
}

static struct loop_source news_of(struct served *served)
{
	return (struct loop_source){served->backend.control, news_ready, served};
}

/* On the worker: the backend that was waited for, or the end of all who could give one. */
static void adopt(void *ctx)
{
	struct served *served = ctx;
	int fd = backend_adopt(&served->backend, served->news.fd);

	if (fd == -EAGAIN)
		return;
	loop_remove(served->loop, &served->news);
	/* Whoever had the guest has gone, and it ends. */
	if (fd == -EPIPE)
		return;
	if (fd < 0) {
		log_guest(&served->log, "what came for %s is no server: the guest gets errors",
			  served->device->config.name);
		vhost_user_device_give_up(served->device);
		return;
	}
	served->news = news_of(served);
	/* If this fails, no later one is noticed. */
	loop_add(served->loop, &served->news);
	vhost_user_device_came(served->device, fd);
	vhost_user_device_stirs(served->device);
}

struct vhost_user_config served_init(struct served *served, struct vhost_user_device *device,
				     struct loop *loop)
{
	*served = (struct served){.device = device,
				  .loop = loop,
				  .backend.control = -1,
				  .socket = {-1, socket_ready, served}};
	return (struct vhost_user_config){.found = found, .lost = lost, .end = end, .ctx = served};
}

/* @source: what tells of a backend. */
static int watch(struct served *served, struct loop_source source)
{
	served->news = source;
	int error = loop_add(served->loop, &served->news);
	for (unsigned int i = 0; i < served->device->kind->queues && !error; i++) {
		struct served_call *call = &served->call[i];
		int fd = vhost_user_device_call(served->device, i);
		*call = (struct served_call){{fd, call_rang, call}, served->device, i};
		error = loop_add(served->loop, &call->source);
	}
	if (error)
		log_error("cannot wait for %s: %s", served->program->name, strerror(-error));
	return error;
}

int served_start(struct served *served, const struct backend_program *program, const void *config,
		 const char *what)
{
	char why[BACKEND_WHY_SIZE];

	served->program = program;
	int fd = backend_start(&served->backend, program, config, why);
	if (fd < 0) {
		log_error("cannot start %s for %s: %s", program->name, what, why);
		return fd;
	}
	int error = vhost_user_device_open(served->device, fd,
					   clock_ns() + BACKEND_READY_MS * NS_PER_MS);
	if (!error)
		return watch(served, news_of(served));
	if (error == -EPIPE && backend_wait(&served->backend, why, BACKEND_WHY_MS) == -ENOMSG)
		log_error("%s cannot serve %s: %s", program->name, what, why);
	else
		log_error("%s cannot serve %s: it does not speak vhost-user as ebb does (%s)",
			  program->name, what, strerror(-error));
	return error;
}

int served_await(struct served *served, const struct backend_program *program, int from)
{
	served->program = program;
	vhost_user_device_await(served->device);
	return watch(served, (struct loop_source){from, adopt, served});
}

void served_release(struct served *served)
{
	backend_stop(&served->backend);
}
