// SPDX-License-Identifier: Apache-2.0
#include "vmm/monitor/saver.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"
#include "vmm/machine/save.h"
#include "vmm/monitor/monitor.h"

/* How long a client may take nothing, while the guest stands still. */
#define CLIENT_LIMIT_NS (30 * NS_PER_S)
/* How often a save that waits for its client looks whether the machine has ended. */
#define LOOK_MS 100
/* How long to wait for the worker when the machine has ended. */
#define PATIENCE_NS NS_PER_S

/* --- on the worker ------------------------------------------------------------------------------ */

/* Waits until the client takes more. Returns 0 or -errno. */
static int wait_for_client(const struct saver *saver, uint64_t deadline)
{
	struct pollfd socket = {.fd = saver->socket, .events = POLLOUT};

	for (;;) {
		int ready = poll(&socket, 1, LOOK_MS);
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (atomic_load(&saver->monitor->machine->end) != MACHINE_RUNS)
			return -ECANCELED;
		if (clock_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

static int socket_write(void *ctx, const void *data, size_t len)
{
	const struct saver *saver = ctx;
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t sent = send(saver->socket, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN) {
			int error = wait_for_client(saver, clock_ns() + CLIENT_LIMIT_NS);
			if (error)
				return error;
			continue;
		}
		if (sent < 0 && errno != EINTR)
			return -errno;
		if (sent > 0)
			at += sent, len -= (size_t)sent;
	}
	return atomic_load(&saver->monitor->machine->end) == MACHINE_RUNS ? 0 : -ECANCELED;
}

static void close_socket(struct saver *saver)
{
	if (saver->socket >= 0)
		close(saver->socket);
	saver->socket = -1;
}

static void explain(struct saver *saver)
{
	switch (saver->error) {
	case -EPIPE:
	case -ECONNRESET:
		why_set(&saver->why, saver->error, "the client ended before it had the snapshot");
		break;
	case -ETIMEDOUT:
		why_set(&saver->why, saver->error, "the client read nothing for 30 seconds");
		break;
	case -ECANCELED:
		why_set(&saver->why, saver->error, "the guest ended before it was saved");
		break;
	case -ENOTSOCK:
		why_set(&saver->why, saver->error, "the descriptor that came with it is no socket");
		break;
	}
}

static void save(void *ctx)
{
	struct saver *saver = ctx;
	struct snapshot_writer writer = {.write = socket_write, .ctx = saver};
	uint64_t start = clock_ns();

	if (!wake_take(saver->wanted.fd))
		return;
	saver->why = (struct why){""};
	saver->error = machine_save(saver->monitor->machine, &writer, &saver->pages, &saver->why);
	explain(saver);
	saver->bytes = writer.offset;
	saver->stood = clock_ns() - start;
	/* Not on the loop: what a client passed can make its last close wait. */
	close_socket(saver);
	wake_ring(saver->done.fd);
}

/* --- on the loop -------------------------------------------------------------------------------- */

static void has_saved(void *ctx)
{
	struct saver *saver = ctx;

	if (!wake_take(saver->done.fd))
		return;
	saver->saves = false;
	saver->saved(saver->monitor, saver->ticket);
}

int saver_init(struct saver *saver, struct monitor *monitor)
{
	*saver = (struct saver){
		.monitor = monitor,
		.wanted = {-1, save, saver},
		.done = {-1, has_saved, saver},
		.socket = -1,
	};
	int error = worker_init(&saver->worker);
	if (error)
		return error;
	saver->wanted.fd = wake_open();
	saver->done.fd = wake_open();
	if (saver->wanted.fd < 0 || saver->done.fd < 0)
		error = saver->wanted.fd < 0 ? saver->wanted.fd : saver->done.fd;
	if (!error)
		error = loop_add(&saver->worker.loop, &saver->wanted);
	if (!error)
		error = loop_add(&monitor->machine->loop, &saver->done);
	if (error)
		log_error("cannot set up the thread that saves the guest: %s", strerror(-error));
	return error;
}

bool saver_release(struct saver *saver)
{
	if (!saver->monitor)
		return true;
	if (!worker_stop(&saver->worker, clock_ns() + PATIENCE_NS)) {
		log_warn("saving the guest still hangs: ebb ends without waiting for it");
		return false;
	}
	worker_release(&saver->worker);
	close_socket(saver);
	if (saver->wanted.fd >= 0)
		close(saver->wanted.fd);
	if (saver->done.fd >= 0)
		close(saver->done.fd);
	*saver = (struct saver){.socket = -1};
	return true;
}

int saver_start(struct saver *saver, const struct worker_guard *guard)
{
	return worker_start(&saver->worker, "snapshot", guard);
}

void saver_begin(struct saver *saver, int socket,
		 void (*saved)(struct monitor *monitor, uint64_t ticket), uint64_t ticket)
{
	saver->saves = true;
	saver->socket = socket;
	saver->saved = saved;
	saver->ticket = ticket;
	wake_ring(saver->wanted.fd);
}
