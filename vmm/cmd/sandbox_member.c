// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/sandbox_member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/sandbox_guest.h"
#include "vmm/lib/child.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/text.h"
#include "vmm/lib/version.h"

/* The keeper's own limit for a guest's end, and a little more. */
#define END_MS (SANDBOX_STOP_MS + 5000)
/* The console, and the sockets at which the agent's streams arrive. */
#define PARTS (1 + AGENT_STREAMS)

struct sandbox_member_note {
	char version[32]; /* of ebb */
	uint32_t network;
};

/* --- the keeper ---------------------------------------------------------------------------------- */

static bool tell(struct sandbox_guest *guest, const struct sandbox_member *member)
{
	struct sandbox_member_note note = {.version = EBB_VERSION,
					   .network = member->request->network};
	int part[PARTS] = {guest->console};

	memcpy(part + 1, guest->sockets.fd, sizeof(guest->sockets.fd));
	bool told =
		pass_fds_send_now(CHILD_CONTROL, &note, sizeof(note), part, PARTS) == sizeof(note);
	session_close(&guest->sockets, false);
	close(guest->console);
	return told;
}

/* Waits for @fd, up to @ms. Returns false if the guest ends first, or nobody has it any more. */
static bool wait_for(int fd, const struct sandbox_guest *guest, int ms)
{
	struct pollfd fds[] = {{.fd = CHILD_CONTROL, .events = POLLRDHUP},
			       {.fd = guest->pidfd, .events = POLLIN},
			       {.fd = fd, .events = POLLIN}};
	int n;

	do
		n = poll(fds, 3, ms);
	while (n < 0 && errno == EINTR);
	return n > 0 && !fds[0].revents && !fds[1].revents;
}

static bool is_wanted(void)
{
	struct pollfd control = {.fd = CHILD_CONTROL, .events = POLLRDHUP};

	return poll(&control, 1, 0) == 0;
}

/* The last line of what is in the console's pipe, which holds no more than 64 KiB. */
static void say_last_words(int console, const char *name)
{
	char data[SESSION_CONSOLE], words[TEXT_MAX];
	ssize_t n, size = 0;

	while ((n = read(console, data, sizeof(data) - 1)) > 0)
		size = n;
	while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r'))
		size--;
	data[size] = '\0';
	const char *line = strrchr(data, '\n');
	line = line ? line + 1 : data;
	log_error("the guest %s did not come to its agent; its last words: %s", name,
		  *line ? text_escape(words, sizeof(words), line, false) : "none");
}

/* Returns whether its agent came, and whoever had the guest then has no more use for it. */
static bool keep(struct sandbox_guest *guest, const struct sandbox_member *member)
{
	if (!wait_for(guest->sockets.fd[AGENT_CONTROL], guest, SESSION_START_S * 1000))
		return false;
	if (tell(guest, member))
		wait_for(-1, guest, -1);
	return true;
}

void sandbox_member_run(const void *ctx, int control)
{
	const struct sandbox_member *member = ctx;
	struct sandbox_guest guest;

	sandbox_guest_init(&guest);
	sigemptyset(&guest.signals);
	child_begin("sandbox-keeper", control, &guest.signals, true);
	sandbox_forget_environment();
	bool started =
		sandbox_guest_start(&guest, member->request, member->name, CHILD_CONTROL) == 0;
	bool failed = started && !keep(&guest, member) && is_wanted();
	/* One that could not be started has said why. */
	if (sandbox_guest_stop(&guest) != EXIT_NOT_STARTED && failed)
		say_last_words(guest.console, strchr(member->name, '=') + 1);
	sandbox_guest_remove(&guest);
}

/* --- who takes it -------------------------------------------------------------------------------- */

static bool is_listener(int fd)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) == 0 && value == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) == 0 && value == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

static bool is_pipe(int fd)
{
	struct stat about;

	return fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode);
}

/* None of them may be anything that could be waited for without end. */
static int check(const struct sandbox_member_note *note, const int part[PARTS])
{
	if (strncmp(note->version, EBB_VERSION, sizeof(note->version)) != 0)
		return -ESTALE;
	if (note->network > 1 || !is_pipe(part[0]))
		return -EPROTO;
	for (unsigned int i = 0; i < PARTS; i++)
		if ((i && !is_listener(part[i])) || fcntl(part[i], F_SETFL, O_NONBLOCK) < 0)
			return -EPROTO;
	return 0;
}

int sandbox_member_receive(int control, struct sandbox_taken *taken)
{
	struct sandbox_member_note note = {};
	int part[PARTS];

	ssize_t got = pass_fds_receive(control, &note, sizeof(note), part, PARTS);
	int error = got == 0				  ? -EPIPE
		    : got == sizeof(note) && part[0] >= 0 ? check(&note, part)
							  : -EPROTO;
	if (error) {
		for (unsigned int i = 0; i < PARTS; i++)
			if (part[i] >= 0)
				close(part[i]);
		return error;
	}
	*taken = (struct sandbox_taken){.console = part[0], .network = note.network};
	memcpy(taken->sockets.fd, part + 1, sizeof(taken->sockets.fd));
	return 0;
}

void sandbox_member_end(int control)
{
	struct pollfd ended = {.fd = control, .events = POLLIN};

	/* The keeper sees this, and closes its own end last of all. */
	shutdown(control, SHUT_WR);
	while (poll(&ended, 1, END_MS) < 0 && errno == EINTR)
		;
	close(control);
}
