// SPDX-License-Identifier: Apache-2.0
/*
 * Two processes. The child is a guest as of `ebb run`, with the same sandbox around it; of the user's streams it has
 * standard error, to write its own messages. This one has those, and nothing of the guest but sockets: it passes bytes on and ends the child.
 *
 * The child is in a session of its own, so that no key of the terminal reaches it; it ends with this process,
 * however that ends.
 */
#include "vmm/cmd/sandbox_run.h"

#include <signal.h>

#include "vmm/agent/session.h"
#include "vmm/cmd/sandbox_guest.h"
#include "vmm/cmd/sandbox_session.h"
#include "vmm/lib/fatal.h"

static void undo(void *guest)
{
	sandbox_guest_remove(guest);
}

/* The guest's process is there. Returns the exit status. */
static int with_guest(struct sandbox_guest *guest, const struct sandbox_request *request,
		      const sigset_t *signals)
{
	const struct sandbox_session session = {
		.sockets = &guest->sockets,
		.terminal = sandbox_terminal(),
		.network = request->network,
		.guest = guest->pidfd,
		.pid = guest->pid,
		.console = guest->console,
		.signals = signals,
	};
	struct command command = {0};
	struct session_result result;

	/* Only now: the guest's process has none of the command's variables. */
	sandbox_describe(&command, request, session.terminal);
	int error = sandbox_session(&session, &command, &result);
	int status = sandbox_guest_stop(guest);
	command_release(&command);
	return error ? EXIT_SANDBOX : sandbox_conclude(&result, request, status);
}

int sandbox_run(struct sandbox_request *request)
{
	struct sandbox_guest guest;
	struct fatal_undo forget = {undo, &guest, NULL};
	sigset_t signals;
	int status = EXIT_SANDBOX;

	sandbox_guest_init(&guest);
	session_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, &guest.signals);
	fatal_undo_add(&forget);
	if (sandbox_guest_start(&guest, request, NULL, -1) == 0)
		status = with_guest(&guest, request, &signals);
	else
		sandbox_guest_stop(&guest);
	sandbox_guest_remove(&guest);
	fatal_undo_remove(&forget);
	return status;
}
