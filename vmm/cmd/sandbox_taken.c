// SPDX-License-Identifier: Apache-2.0
/* A guest that waited for a command, as the process that takes it knows it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cmd/sandbox_guest.h"
#include "vmm/cmd/sandbox_member.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/lib/version.h"

/* The keeper's own limit for a guest's end, and a little more. */
#define END_MS (SANDBOX_STOP_MS + 5000)
/* The keeper has all that it sends. */
#define NOTE_MS 10000
/* Between two looks for signals. */
#define LOOK_MS 100

static bool has_option(int fd, int option, int wanted)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

static bool is_listener(int fd)
{
	return has_option(fd, SO_DOMAIN, AF_UNIX) && has_option(fd, SO_TYPE, SOCK_STREAM) &&
	       has_option(fd, SO_ACCEPTCONN, 1);
}

static bool is_pipe(int fd)
{
	struct stat about;

	return fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode);
}

/* A folder of the user's own, that the view may hide. */
static bool is_place(const char place[64])
{
	struct stat about;

	return memchr(place, '\0', 64) && *place == '/' && lstat(place, &about) == 0 &&
	       S_ISDIR(about.st_mode) && about.st_uid == geteuid();
}

/*
 * Not of another kind, and so that they are not waited for. Whoever else has them could change that: the pool, which is this
 * user's own, and has nothing to gain.
 */
static int check(const struct sandbox_member_note *note, const int part[SANDBOX_PARTS])
{
	if (note->network > 1 || !is_place(note->place) || !is_pipe(part[SANDBOX_CONSOLE]) ||
	    !has_option(part[SANDBOX_SERVER], SO_DOMAIN, AF_UNIX) ||
	    !has_option(part[SANDBOX_SERVER], SO_TYPE, SOCK_SEQPACKET))
		return -EPROTO;
	for (unsigned int i = SANDBOX_STREAMS; i < SANDBOX_PARTS; i++)
		if (!is_listener(part[i]))
			return -EPROTO;
	for (unsigned int i = 0; i < SANDBOX_PARTS; i++)
		if (fcntl(part[i], F_SETFL, O_NONBLOCK) < 0)
			return -EPROTO;
	return 0;
}

/* Asks, and waits for the answer. Returns 0 or -errno. */
static int ask(int control)
{
	int64_t deadline = clock_ms() + NOTE_MS;
	struct pollfd came = {.fd = control, .events = POLLIN};

	if (send(control, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return errno == EPIPE || errno == ECONNRESET ? -EPIPE : -EPROTO;
	while (clock_ms() < deadline) {
		if (end_signal_waits())
			return -EINTR;
		if (poll(&came, 1, LOOK_MS) > 0)
			return 0;
	}
	return -EPROTO;
}

/* Before all else: the message of another version may be longer or shorter, but it begins so. */
static bool is_other_version(const struct sandbox_member_note *note, ssize_t got)
{
	return got >= (ssize_t)sizeof(note->version) &&
	       strncmp(note->version, EBB_VERSION, sizeof(note->version)) != 0;
}

int sandbox_taken_receive(int control, struct sandbox_taken *taken)
{
	struct sandbox_member_note note = {};
	int part[SANDBOX_PARTS];

	int error = ask(control);
	if (error)
		return error;
	ssize_t got = pass_fds_receive(control, &note, sizeof(note), part, SANDBOX_PARTS);
	error = got == 0 || (got < 0 && errno == ECONNRESET) ? -EPIPE
		: is_other_version(&note, got)		     ? -ESTALE
		: got == sizeof(note) && part[0] >= 0	     ? check(&note, part)
							     : -EPROTO;
	if (error) {
		for (unsigned int i = 0; i < SANDBOX_PARTS; i++)
			if (part[i] >= 0)
				close(part[i]);
		return error;
	}
	*taken = (struct sandbox_taken){.console = part[SANDBOX_CONSOLE],
					.server = part[SANDBOX_SERVER],
					.network = note.network};
	memcpy(taken->place, note.place, sizeof(taken->place));
	memcpy(taken->sockets.fd, part + SANDBOX_STREAMS, sizeof(taken->sockets.fd));
	return 0;
}

void sandbox_taken_close(struct sandbox_taken *taken)
{
	session_close(&taken->sockets, false);
	if (taken->console >= 0)
		close(taken->console);
	if (taken->server >= 0)
		close(taken->server);
	taken->console = taken->server = -1;
}

void sandbox_taken_end(int control)
{
	/* The keeper may have sent something meanwhile, which is not the end. */
	struct pollfd ended = {.fd = control};

	/* The keeper sees this, and closes its own end last of all. */
	shutdown(control, SHUT_WR);
	while (poll(&ended, 1, END_MS) < 0 && errno == EINTR)
		;
	close(control);
}
