// SPDX-License-Identifier: Apache-2.0
/* The keeper of a guest that waits for a command. */
#include "vmm/cmd/sandbox_member.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/sandbox_guest.h"
#include "vmm/lib/child.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/text.h"
#include "vmm/lib/version.h"

struct keeper {
	const struct sandbox_member *member;
	struct sandbox_guest guest;
	char console[SESSION_CONSOLE + 1]; /* the last of it */
};

/*
 * Waits for @fd until @deadline (clock_ms()), and reads the console meanwhile: a guest that nobody reads stands still. Returns
 * false if the guest ends first, or nobody has it any more.
 */
static bool wait_for(struct keeper *keeper, int fd, int64_t deadline)
{
	struct pollfd fds[] = {{.fd = CHILD_CONTROL, .events = POLLRDHUP},
			       {.fd = keeper->guest.pidfd, .events = POLLIN},
			       {.fd = fd, .events = POLLIN},
			       {.fd = keeper->guest.console, .events = POLLIN}};

	while (clock_ms() < deadline) {
		int64_t left = deadline - clock_ms();
		int n = poll(fds, 4, left > INT_MAX ? -1 : left < 0 ? 0 : (int)left);
		if (n < 0 && errno != EINTR)
			return false;
		if (n <= 0)
			continue;
		if (fds[0].revents || fds[1].revents)
			return false;
		if (fds[3].revents && !session_read_console(keeper->guest.console, keeper->console))
			fds[3].fd = -1; /* its end */
		if (fds[2].revents)
			return true;
	}
	return false;
}

static bool is_wanted(void)
{
	struct pollfd control = {.fd = CHILD_CONTROL, .events = POLLRDHUP};

	return poll(&control, 1, 0) == 0;
}

/* Gives all that a session needs to whoever has asked. */
static bool hand_over(struct keeper *keeper)
{
	struct sandbox_guest *guest = &keeper->guest;
	struct sandbox_member_note note = {.version = EBB_VERSION,
					   .network = keeper->member->request->network};
	int part[SANDBOX_PARTS] = {guest->console, guest->server};
	char byte;

	snprintf(note.place, sizeof(note.place), "%s", guest->place);
	memcpy(part + SANDBOX_STREAMS, guest->sockets.fd, sizeof(guest->sockets.fd));
	recv(CHILD_CONTROL, &byte, 1, MSG_DONTWAIT);
	bool sent = pass_fds_send_now(CHILD_CONTROL, &note, sizeof(note), part, SANDBOX_PARTS) ==
		    sizeof(note);
	if (!sent && errno != EPIPE)
		log_error("cannot pass on the guest that was taken, which ends: %s",
			  strerror(errno));
	session_close(&guest->sockets, false);
	close(guest->console);
	close(guest->server);
	guest->console = guest->server = -1;
	return sent;
}

/* Returns whether its agent came, and whoever had the guest then has no more use for it. */
static bool keep(struct keeper *keeper)
{
	if (!wait_for(keeper, keeper->guest.sockets.fd[AGENT_CONTROL],
		      clock_ms() + SESSION_START_S * 1000))
		return false;
	if (send(CHILD_CONTROL, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 &&
	    wait_for(keeper, CHILD_CONTROL, INT64_MAX) && hand_over(keeper))
		wait_for(keeper, -1, INT64_MAX);
	return true;
}

/* The last line of what the guest, which has ended, wrote. */
static void say_last_words(struct keeper *keeper)
{
	char words[TEXT_MAX], *text = keeper->console;

	while (session_read_console(keeper->guest.console, text))
		;
	size_t size = strlen(text);
	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		text[--size] = '\0';
	const char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	log_error("the guest %s did not come to its agent; its last words: %s",
		  strchr(keeper->member->name, '=') + 1,
		  *line ? text_escape(words, sizeof(words), line, false) : "none");
}

void sandbox_member_run(const void *ctx, int control)
{
	struct keeper keeper = {.member = ctx};
	struct sandbox_guest *guest = &keeper.guest;
	sigset_t ends;

	sandbox_guest_init(guest);
	sigemptyset(&guest->signals);
	/* It ends when nobody has the guest, and not before it has removed the files. */
	end_signals(&ends);
	child_begin("sandbox-keeper", control, &ends, true);
	sandbox_forget_environment();
	bool started = sandbox_guest_start(guest, keeper.member->request, keeper.member->name,
					   CHILD_CONTROL) == 0;
	bool failed = started && !keep(&keeper) && is_wanted();
	/* One that could not be started has said why. */
	if (sandbox_guest_stop(guest) != EXIT_NOT_STARTED && failed)
		say_last_words(&keeper);
	sandbox_guest_remove(guest);
}
