// SPDX-License-Identifier: Apache-2.0
/*
 * A guest that is sent while it runs (--live) stays stopped once it was sent. When all has come, the end of it is held back
 * until standard output has taken the rest; then we commit to it, by a byte to the guest's ebb; when that has answered, the end
 * follows, without which nobody runs what was read. So what fails before the answer lets the guest go on here, and nowhere else.
 *
 * If its disks are to be saved, too (--disks copy), the guest likewise stands still once all has come, until we have copied them.
 */
#include "vmm/cmd/snapshot_receive.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/write_all.h"

/*
 * No answer and no byte for so long: ebb itself waits 30 s for us, 10 s for the guest's requests, and as long as it takes for
 * its disks to be flushed, which it does first, while the guest runs.
 */
#define SILENCE_MS 60000
#define FOREVER_MS (24 * 3600 * 1000)
/* Another may have been killed while the guest was saved for it, which its ebb needs a moment to notice and to end. */
#define BUSY_MS 2000
/* Who reads from us may take nothing for so long, while the guest stands still. */
#define READER_MS 30000
/* How long one may stand still that is saved and goes on, if it writes no faster than that. */
#define STAYS_MS 10
/* The last section, which a pipe takes as a whole or not at all. */
#define LAST (SNAPSHOT_SECTION + SNAPSHOT_END_SIZE)
_Static_assert(LAST <= PIPE_BUF, "it is written at once");

/* From a stream the guest's ebb has left out the pages of zeros. */
int snapshot_pass_on(struct request *request, size_t keep)
{
	struct snapshot_file *file = &request->file;
	size_t len = file->held > keep ? file->held - keep : 0;
	int error = write_all(STDOUT_FILENO, file->data, len);

	file->held -= len;
	memmove(file->data, file->data + len, file->held);
	return error;
}

/* Waits until standard output takes the end at once. Returns 0 or -errno. */
static int wait_for_reader(void)
{
	struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};

	int ready = poll(&reader, 1, READER_MS);
	if (ready <= 0)
		return ready < 0 ? -errno : -ETIMEDOUT;
	return !(reader.revents & POLLOUT) || reader.revents & POLLERR ? -EPIPE : 0;
}

static void close_theirs(struct request *request)
{
	if (request->theirs >= 0)
		close(request->theirs);
	request->theirs = -1;
}

/* Does what the guest stands still for, and commits to it. Returns 0 or -errno. */
static int commit(struct request *request)
{
	/* From here on only the guest's ebb has it: if that ends, it is closed. */
	close_theirs(request);
	int error = request->copies
			    ? snapshot_disks_copy(&request->disks, &request->file, request->in.fd)
			    : wait_for_reader();

	request->heard = clock_ms();
	/* If it is gone, the answer says so. */
	if (error == -ECANCELED)
		return 0;
	request->committed = !error;
	if (!error)
		send(request->in.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	return error;
}

/* As take(), what comes until the snapshot's first byte has: the disks. */
static bool take_first(struct request *request)
{
	int disk = snapshot_disks_take(&request->disks, request->in.fd, request->file.data);

	if (disk < 0 && disk != -EAGAIN)
		request->error = disk;
	if (disk == 0)
		request->bytes = request->file.held = 1;
	return disk >= 0;
}

/* Takes some of what is there. Returns whether there was any. */
static bool take(struct request *request)
{
	struct snapshot_file *file = &request->file;

	if (request->copies && !request->bytes)
		return take_first(request);
	ssize_t got = recv(request->in.fd, file->data + file->held, sizeof(file->data) - file->held,
			   MSG_DONTWAIT);
	if (got <= 0)
		return false;
	request->heard = clock_ms();
	request->bytes += (uint64_t)got;
	file->held += (size_t)got;
	request->error = request->stream ? snapshot_pass_on(request, request->live_ms ? LAST : 0)
					 : snapshot_file_write(file);
	return true;
}

static void on_data(void *ctx)
{
	struct request *request = ctx;
	char more;

	if (take(request) || request->error || !(request->live_ms || request->copies) ||
	    request->committed ||
	    recv(request->in.fd, &more, sizeof(more), MSG_DONTWAIT | MSG_PEEK) != 0)
		return;
	/* All that ebb sends has come. */
	loop_mute(request->loop, &request->in);
	request->error = commit(request);
}

/* Serves the loop until the command is answered, or nothing came for a long time, or the disk is full. */
static void receive(struct request *request, struct guests *guests, struct control_call *call)
{
	request->heard = clock_ms();
	while (call->pending && !request->error && !request->silent) {
		if (loop_turn(&guests->loop, 1000) < 0)
			break;
		request->silent = clock_ms() - request->heard > SILENCE_MS;
	}
}

static json_t *arguments_of(const struct request *request)
{
	json_t *arguments = json_object();

	if (request->base)
		json_object_set_new(arguments, "increment", json_true());
	if (request->copies)
		json_object_set_new(arguments, "disks", json_true());
	if (request->track)
		json_object_set_new(arguments, "track", json_true());
	if (request->live_ms)
		json_object_set_new(arguments, "downtime-limit", json_integer(request->live_ms));
	else if (request->stream)
		json_object_set_new(arguments, "sparse", json_true());
	else if (request->what->is_guest && !request->base)
		json_object_update_new(arguments, json_pack("{s:b, s:i}", "stays", true,
							    "downtime-limit", STAYS_MS));
	return arguments;
}

/* What has come is of no use. Its ebb finds that out, and lets it go on; then we say so. */
static void give_up(struct request *request, struct guests *guests, struct guest *guest)
{
	close(request->in.fd);
	request->in.fd = -1;
	control_call_wait_until(&guest->call, &guests->loop, clock_ms() + SILENCE_MS);
}

/* Asks the ebb of @guest for it, and takes what comes until that has answered. Returns 0 or -errno. */
static int ask(struct request *request, struct guests *guests, struct guest *guest)
{
	int pair[2];

	if (request->in.fd >= 0)
		close(request->in.fd);
	request->in.fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	request->loop = &guests->loop;
	request->in = (struct loop_source){pair[0], on_data, request};
	request->theirs = pair[1];
	int error = loop_add(&guests->loop, &request->in);
	if (!error) {
		control_client_pass(guest->call.client, pair[1]);
		control_call_start(&guest->call, request->what->command, arguments_of(request),
				   FOREVER_MS);
		receive(request, guests, &guest->call);
		loop_remove(&guests->loop, &request->in);
	}
	close_theirs(request);
	return error;
}

/* Returns whether to ask again, after a moment. */
static bool is_busy(const struct request *request, const struct guest *guest, int64_t deadline)
{
	if (request->bytes || guest->call.err != -EREMOTEIO || clock_ms() > deadline ||
	    strcmp(control_client_error_class(guest->call.client), "GuestBusy") != 0)
		return false;
	poll(NULL, 0, 20);
	return true;
}

void snapshot_receive(struct request *request, struct guests *guests, struct guest *guest)
{
	int64_t deadline = clock_ms() + BUSY_MS;
	int error;

	do
		error = ask(request, guests, guest);
	while (!error && is_busy(request, guest, deadline));
	request->error = error ? error : request->error;
	/* The answer can overtake the last bytes, which are in our socket by then. */
	while (!request->error && !guest->call.pending && !guest->call.err && take(request))
		;
	if (!request->error && !request->stream)
		request->error = snapshot_file_write_rest(&request->file);
	if (request->error && (request->live_ms || request->copies) && !error)
		give_up(request, guests, guest);
}
