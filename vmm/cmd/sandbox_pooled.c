// SPDX-License-Identifier: Apache-2.0
/*
 * ebb sandbox --pool: a guest that has started already. The pool gives a socket, by which everything else of the guest comes
 * (sandbox_member.h). The folders are this process's to give: virtiofsd is started here, with what this user, in this
 * place, may see, and then passed to the guest. The pool knows of no folder and no command.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/vhost-user/frontend.h"
#include "vmm/backend/backend.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/pool.h"
#include "vmm/cmd/sandbox_guest.h"
#include "vmm/cmd/sandbox_member.h"
#include "vmm/cmd/sandbox_run.h"
#include "vmm/cmd/sandbox_session.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/virtiofsd/virtiofsd.h"

/* Between two looks for signals. */
#define LOOK_MS 100
/* So many guests may end, one after the other, before they have the command. */
#define TAKE_TIMES 4

/* --- from the pool ------------------------------------------------------------------------------- */

/* Waits for the guest's socket at @from. Returns it, or -errno. */
static int wait_for_guest(int from)
{
	int64_t deadline = clock_ms() + SESSION_START_S * 1000;
	char note;
	int control;

	while (clock_ms() < deadline) {
		struct pollfd came = {.fd = from, .events = POLLIN};
		if (end_signal_waits())
			return -EINTR;
		if (poll(&came, 1, LOOK_MS) <= 0)
			continue;
		ssize_t got = pass_fd_receive(from, &note, sizeof(note), &control);
		return control >= 0 ? control : got == 0 ? -EPIPE : -EPROTO;
	}
	return -ETIMEDOUT;
}

static void say_none(const char *pool, int error)
{
	if (error == -ETIMEDOUT)
		log_error("the pool \"%s\" had no guest ready within %d s", pool, SESSION_START_S);
	else if (error == -EPIPE)
		log_error(
			"the pool \"%s\" gives no guest: none starts, and the pool's own ebb says "
			"why; or it has ended",
			pool);
	else if (error == -ESTALE)
		log_error("the pool \"%s\" is of another version of ebb: start it again", pool);
	else if (error != -EINTR)
		log_error("what came from the pool \"%s\" is no guest: %s", pool, strerror(-error));
}

/* Returns the guest's socket, or -errno after an error message (-EINTR: without one). */
static int take_guest(const char *pool)
{
	struct loop loop;
	struct control_call call;
	int pair[2] = {-1, -1};

	int error = loop_init(&loop);
	if (!error && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		error = -errno;
		loop_release(&loop);
	}
	if (error) {
		log_error("cannot ask the pool: %s", strerror(-error));
		return error;
	}
	error = pool_ask(&call, &loop, pool, POOL_SANDBOX, pair[1], CONTROL_ANSWER_MS);
	close(pair[1]);
	if (error && error != -EINTR)
		pool_say_failure(pool, &call, error, "--sandbox");
	if (!error) {
		error = wait_for_guest(pair[0]);
		if (error < 0)
			say_none(pool, error);
	}
	control_call_close(&call);
	loop_release(&loop);
	close(pair[0]);
	return error;
}

/* --- the guest ----------------------------------------------------------------------------------- */

struct pooled {
	int control; /* the guest's socket; -1: none */
	struct sandbox_taken taken;
	struct backend server; /* of the folders */
	int socket;	       /* its; -1: none */
	struct command command;
	enum agent_terminal terminal;
	sigset_t signals;
};

/* Returns 0, -ESRCH if the guest has ended, or -errno after an error message (-EINTR: without one). */
static int take(struct pooled *pooled, const struct sandbox_request *request)
{
	pooled->control = take_guest(request->pool);
	if (pooled->control < 0)
		return pooled->control;
	int error = sandbox_taken_receive(pooled->control, &pooled->taken);
	if (!error)
		return 0;
	/* Whatever it is, its end is not waited for. */
	close(pooled->control);
	pooled->control = -1;
	if (error == -EPIPE)
		return -ESRCH;
	say_none(request->pool, error);
	return error;
}

/* Returns 0, or -errno after an error message (-EINTR: without one). */
static int start_server(struct pooled *pooled, const struct sandbox_request *request)
{
	const struct virtiofsd_config config = {.dir = pooled->taken.place,
						.parts = request->files.part};
	char why[BACKEND_WHY_SIZE];

	pooled->socket = backend_start(&pooled->server, &virtiofsd_program, &config, why);
	if (pooled->socket == -EINTR)
		return -EINTR;
	if (pooled->socket < 0) {
		log_error("cannot start virtiofsd for the folders: %s", why);
		return pooled->socket;
	}
	/* Here, not in the guest's ebb, whose words the pool has. */
	int error = vhost_user_probe(pooled->socket, clock_ns() + BACKEND_READY_MS * NS_PER_MS);
	int said =
		error && error != -EINTR ? backend_wait(&pooled->server, why, BACKEND_WHY_MS) : 0;
	if (error == -EINTR || said == -EINTR)
		return -EINTR;
	if (error && said == -ENOMSG)
		log_error("virtiofsd cannot serve the folders: %s", why);
	else if (error)
		log_error("virtiofsd cannot serve the folders: it does not speak vhost-user as ebb "
			  "does (%s)",
			  strerror(-error));
	return error;
}

/* Takes a guest, and gives it its folders' server. Returns as take(). */
static int prepare_one(struct pooled *pooled, const struct sandbox_request *request)
{
	int error = take(pooled, request);

	if (!error)
		error = start_server(pooled, request);
	if (error)
		return error;
	error = backend_give(&pooled->server, pooled->socket, pooled->taken.server);
	if (error == -EPIPE || error == -ECONNRESET)
		return -ESRCH;
	if (error)
		log_error("cannot give virtiofsd to the guest: %s", strerror(-error));
	return error;
}

/* Of what a guest was to be given, nothing has come to it. */
static void let_go(struct pooled *pooled)
{
	sandbox_taken_close(&pooled->taken);
	if (pooled->control >= 0)
		sandbox_taken_end(pooled->control);
	pooled->control = -1;
	if (pooled->socket >= 0)
		close(pooled->socket);
	pooled->socket = -1;
	backend_stop(&pooled->server);
}

/* A guest may end while it is passed on; until it has the command, another one will do. Returns as start_server(). */
static int prepare(struct pooled *pooled, const struct sandbox_request *request)
{
	for (unsigned int i = 0; i < TAKE_TIMES; i++) {
		int error = prepare_one(pooled, request);
		if (error != -ESRCH)
			return error;
		let_go(pooled);
	}
	log_error("the guests that the pool \"%s\" gave have ended, %d one after the other; the "
		  "pool's own ebb may say why",
		  request->pool, TAKE_TIMES);
	return -ESRCH;
}

static int run(struct pooled *pooled, const struct sandbox_request *request)
{
	const struct sandbox_session session = {
		.sockets = &pooled->taken.sockets,
		.terminal = pooled->terminal,
		.network = pooled->taken.network,
		.guest = pooled->control,
		.hangs_up = true,
		.console = pooled->taken.console,
		.signals = &pooled->signals,
	};
	struct session_result result;

	pooled->taken.console = -1; /* the session closes it */
	int error = sandbox_session(&session, &pooled->command, &result);
	return error ? EXIT_SANDBOX : sandbox_conclude(&result, request, EXIT_GUEST_FAILED);
}

/* The one that waits, as a session that it comes to ends by it. Others are for a command that does not begin. */
static int ended_by_signal(void)
{
	const struct timespec now = {0};
	sigset_t ends;

	end_signals(&ends);
	int signal = sigtimedwait(&ends, NULL, &now);

	return signal > 0 ? EXIT_SIGNAL + signal : EXIT_SANDBOX;
}

int sandbox_run_pooled(struct sandbox_request *request)
{
	struct pooled pooled = {.server.control = -1, .socket = -1, .control = -1};

	pooled.taken.console = pooled.taken.server = -1;

	for (unsigned int i = 0; i < AGENT_STREAMS; i++)
		pooled.taken.sockets.fd[i] = -1;
	pooled.terminal = sandbox_terminal();
	session_signals(&pooled.signals);
	sigprocmask(SIG_BLOCK, &pooled.signals, NULL);
	sandbox_describe(&pooled.command, request, pooled.terminal);
	/* Only then: virtiofsd, which the guest can attack, gets no variable of the user's. */
	sandbox_forget_environment();
	int error = prepare(&pooled, request);
	int status = error == -EINTR ? ended_by_signal()
		     : error	     ? EXIT_SANDBOX
				     : run(&pooled, request);
	let_go(&pooled);
	command_release(&pooled.command);
	return status;
}
