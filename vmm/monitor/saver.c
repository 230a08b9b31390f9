// SPDX-License-Identifier: Apache-2.0
#include "vmm/monitor/saver.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/machine/device_blk.h"
#include "vmm/machine/live.h"
#include "vmm/machine/save.h"
#include "vmm/machine/track.h"
#include "vmm/monitor/part.h"
#include "vmm/snapshot/stream.h"

/* How long a client may take nothing, or say nothing, while the guest stands still. */
#define CLIENT_LIMIT_NS (30 * NS_PER_S)
/* How often a save that waits for its client looks whether the machine has ended. */
#define LOOK_MS 100

/* --- on the worker ------------------------------------------------------------------------------ */

/* Waits until the client takes more (POLLOUT), or has said something (POLLIN). Returns 0 or -errno. */
static int wait_for_client(const struct saver *saver, short events, uint64_t deadline)
{
	struct pollfd socket = {.fd = saver->socket, .events = events};

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
			int error = wait_for_client(saver, POLLOUT, clock_ns() + CLIENT_LIMIT_NS);
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

/*
 * The client finds the end of what comes, and says so, by a byte of 0. Of a guest that is sent it has passed on all but the last
 * section by then. Whoever reads there runs nothing without that section, which the client passes on only when we have answered:
 * so until that byte comes, the guest can go on here, and afterwards it must not. If it copies the disks, it has done so by then;
 * while it does, it sends other bytes. Returns 0 if it came, or -errno.
 */
static int hear_commit(void *ctx)
{
	const struct saver *saver = ctx;
	char byte = 1;

	if (shutdown(saver->socket, SHUT_WR) < 0)
		return -EPIPE;
	while (byte) {
		int error = wait_for_client(saver, POLLIN, clock_ns() + CLIENT_LIMIT_NS);
		if (error)
			return error;
		if (recv(saver->socket, &byte, sizeof(byte), MSG_DONTWAIT) != sizeof(byte))
			return -EPIPE;
	}
	return 0;
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
		why_set(&saver->why, saver->error,
			"the client, or who reads from it, took nothing for 30 "
			"seconds");
		break;
	case -ECANCELED:
		why_set(&saver->why, saver->error, "the guest ended before it was saved");
		break;
	case -ENOTSOCK:
		why_set(&saver->why, saver->error, "the descriptor that came with it is no socket");
		break;
	default:
		if (saver->error && !saver->why.text[0])
			why_set(&saver->why, saver->error, "the snapshot cannot be written: %s",
				strerror(-saver->error));
	}
}

/* What can be done while the guest runs: its disks are flushed, which may take long; then most of its memory is sent. */
static int save_ahead(struct saver *saver)
{
	struct machine *machine = saver->monitor->machine;

	int error = disks_flush_ahead(machine, &saver->why);
	if (!error && atomic_load(&machine->end) != MACHINE_RUNS)
		error = -ECANCELED;
	return error || !saver->downtime
		       ? error
		       : live_save(machine, &saver->writer, saver->downtime, &saver->why);
}

static void save(void *ctx)
{
	struct saver *saver = ctx;

	if (saver->after) {
		live_end(saver->monitor->machine);
		if (!saver->what)
			track_saved(saver->monitor->machine, NULL, true);
		return;
	}
	saver->error = saver->stands ? saver->what(saver->monitor->machine, &saver->writer,
						   &saver->pages, &saver->why)
				     : save_ahead(saver);
	explain(saver);
	if (!saver->error && !saver->stands)
		return;
	saver->stood = saver->stands ? clock_ns() - saver->since : 0;
	/* Not on the loop: what a client passed can make its last close wait. */
	close_socket(saver);
}

/* --- on the loop -------------------------------------------------------------------------------- */

static void stand(struct saver *saver)
{
	saver->since = clock_ns();
	saver->resume = monitor_pause(saver->monitor);
	saver->writer.paused = !saver->resume;
	saver->stands = true;
}

static void has_saved(void *ctx)
{
	struct saver *saver = ctx;

	if (!saver->error && !saver->stands && !saver->after) {
		stand(saver);
		job_begin(&saver->job);
		return;
	}
	/* One that was sent, and its client has committed to that, is to go on elsewhere, and must not go on here, too. */
	if (saver->resume && (saver->error || !saver_moves(saver)))
		monitor_resume(saver->monitor);
	saver->resume = saver->stands = false;
	if (saver->monitor->machine->live) {
		saver->after = true;
		job_begin(&saver->job);
		return;
	}
	saver->saves = saver->after = false;
	saver->saved(saver->monitor, saver->ticket);
}

int saver_init(struct saver *saver, struct monitor *monitor)
{
	*saver = (struct saver){.monitor = monitor, .socket = -1};
	return job_init(&saver->job, &monitor->machine->loop, "saves the guest", save, has_saved,
			saver);
}

bool saver_release(struct saver *saver)
{
	if (!saver->monitor)
		return true;
	if (!job_release(&saver->job)) {
		log_warn("saving the guest still hangs: ebb ends without waiting for it");
		return false;
	}
	close_socket(saver);
	live_free(saver->monitor->machine);
	track_free(saver->monitor->machine);
	*saver = (struct saver){.socket = -1};
	return true;
}

int saver_start(struct saver *saver, const struct worker_guard *guard)
{
	return job_start(&saver->job, "snapshot", guard);
}

void saver_begin(struct saver *saver, saver_what what, int socket,
		 void (*saved)(struct monitor *monitor, uint64_t ticket), uint64_t ticket)
{
	saver->saves = true;
	saver->what = what;
	saver->socket = socket;
	saver->saved = saved;
	saver->ticket = ticket;
	saver->resume = false;
	saver->why = (struct why){""};
	saver->writer = (struct snapshot_writer){
		.write = socket_write,
		.ctx = saver,
		.finish = saver_moves(saver) || saver->disks ? hear_commit : NULL,
		.sparse = saver->sparse,
		.increment = saver->increment,
		.track = saver->track,
		.stays = saver->stays,
	};
	if (what != machine_save)
		stand(saver);
	job_begin(&saver->job);
}

void saver_drop(struct saver *saver, void (*dropped)(struct monitor *monitor, uint64_t ticket),
		uint64_t ticket)
{
	saver->saves = saver->after = true;
	saver->what = NULL;
	saver->error = 0;
	saver->saved = dropped;
	saver->ticket = ticket;
	job_begin(&saver->job);
}
