// SPDX-License-Identifier: Apache-2.0
/*
 * The command: its pipes or its terminal, each with a stream to the host, until it has ended and all that it wrote has
 * gone. Then everything else that it started is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/agent/agent.h"
#include "vmm/agent/pump.h"

struct relay {
	int control;
	int stream[AGENT_STREAMS];
	int inner
		[AGENT_STREAMS]; /* the other side of a stream: the agent's end of a pipe, or the terminal */
	int outer[AGENT_STREAMS]; /* the command's end */
	int master, slave;	  /* of the terminal, or -1 */
	struct pump pump[AGENT_STREAMS];
	pid_t pid; /* of the command; 0: it has ended */
	struct agent_report report;
	char event[sizeof(struct agent_event)];
	size_t event_size;
};

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- before ------------------------------------------------------------------------------------- */

static void unblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void make_terminal(struct relay *relay, const struct agent_command *head)
{
	struct winsize size = {.ws_row = head->rows, .ws_col = head->columns};

	if (openpty(&relay->master, &relay->slave, NULL, NULL, &size) < 0)
		fail("make a terminal");
	fcntl(relay->master, F_SETFD, FD_CLOEXEC);
	fcntl(relay->slave, F_SETFD, FD_CLOEXEC);
	unblock(relay->master);
}

static void make_pipes(struct relay *relay, enum agent_stream first)
{
	for (int i = (int)first; i <= AGENT_ERRORS; i++) {
		int ends[2];
		bool input = i == AGENT_INPUT;
		if (pipe2(ends, O_CLOEXEC) < 0)
			fail("make a pipe");
		relay->inner[i] = ends[input ? 1 : 0];
		relay->outer[i] = ends[input ? 0 : 1];
		unblock(relay->inner[i]);
	}
}

static void make_streams(struct relay *relay, const struct agent_command *head)
{
	int last = head->terminal == AGENT_TERMINAL ? AGENT_OUTPUT : AGENT_ERRORS;

	for (int i = 0; i < AGENT_STREAMS; i++) {
		relay->stream[i] = relay->inner[i] = relay->outer[i] = -1;
		pump_init(&relay->pump[i], -1, -1, NULL, NULL);
		relay->pump[i].ended = true;
	}
	relay->master = relay->slave = -1;
	if (head->terminal)
		make_terminal(relay, head);
	if (head->terminal != AGENT_TERMINAL)
		make_pipes(relay, head->terminal ? AGENT_ERRORS : AGENT_INPUT);
	for (int i = AGENT_INPUT; i <= last; i++) {
		relay->stream[i] = dial((enum agent_stream)i);
		unblock(relay->stream[i]);
		int inner = relay->inner[i] < 0 ? relay->master : relay->inner[i];
		bool input = i == AGENT_INPUT;
		pump_init(&relay->pump[i], input ? relay->stream[i] : inner,
			  input ? inner : relay->stream[i], NULL, NULL);
	}
}

/* In the child. Writes errno to @failure if the command cannot be run. */
static _Noreturn void become(struct relay *relay, const struct wanted *wanted, int failure)
{
	sigset_t none;

	setsid();
	if (relay->slave >= 0)
		ioctl(relay->slave, TIOCSCTTY, 0);
	for (int i = AGENT_INPUT; i <= AGENT_ERRORS; i++)
		dup2(relay->outer[i] < 0 ? relay->slave : relay->outer[i], i - AGENT_INPUT);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	environ = wanted->environment;
	execvp(wanted->argv[0], wanted->argv);
	int error = errno;
	ssize_t written = write(failure, &error, sizeof(error));
	_exit(written == sizeof(error) ? 127 : 126);
}

/* Returns 0, or errno. */
static int start(struct relay *relay, const struct wanted *wanted)
{
	int failure[2], error = 0;

	if (pipe2(failure, O_CLOEXEC) < 0)
		fail("make a pipe");
	relay->pid = fork();
	if (relay->pid < 0)
		fail("start a process");
	if (relay->pid == 0)
		become(relay, wanted, failure[1]);
	close(failure[1]);
	for (int i = 0; i < AGENT_STREAMS; i++)
		shut(&relay->outer[i]);
	ssize_t n = read(failure[0], &error, sizeof(error));
	close(failure[0]);
	return n == sizeof(error) ? error : 0;
}

/* --- while it runs ------------------------------------------------------------------------------ */

static void heed(struct relay *relay, const struct agent_event *event)
{
	const struct winsize size = {.ws_row = event->rows, .ws_col = event->columns};

	if (event->kind == AGENT_SIZE && relay->master >= 0)
		ioctl(relay->master, TIOCSWINSZ, &size);
	/* As a terminal does: all of its group. */
	if (event->kind == AGENT_SIGNAL && relay->pid > 0)
		kill(-relay->pid, event->signal);
}

/* Returns false if the host has gone. */
static bool read_events(struct relay *relay)
{
	ssize_t n = read(relay->control, relay->event + relay->event_size,
			 sizeof(relay->event) - relay->event_size);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	relay->event_size += (size_t)n;
	if (relay->event_size == sizeof(relay->event)) {
		struct agent_event event;
		memcpy(&event, relay->event, sizeof(event));
		relay->event_size = 0;
		heed(relay, &event);
	}
	return true;
}

/* Collects every process that has ended: orphans are init's children. */
static void reap(struct relay *relay)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != relay->pid)
			continue;
		relay->pid = 0;
		relay->report =
			WIFSIGNALED(status)
				? (struct agent_report){AGENT_KILLED, (uint32_t)WTERMSIG(status)}
				: (struct agent_report){AGENT_EXITED,
							(uint32_t)WEXITSTATUS(status)};
	}
}

/* No process is left that could write, so the streams end where the pipes do. */
static void end_others(struct relay *relay)
{
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	shut(&relay->slave);
	relay->pump[AGENT_INPUT].ended = relay->pump[AGENT_INPUT].broken = true;
}

static void finish_pumps(struct relay *relay)
{
	for (int i = AGENT_INPUT; i <= AGENT_ERRORS; i++) {
		if (!pump_done(&relay->pump[i]) || relay->stream[i] < 0)
			continue;
		/* The terminal is shared by two streams. */
		shut(&relay->inner[i]);
		shut(&relay->stream[i]);
	}
}

static bool all_said(const struct relay *relay)
{
	return pump_done(&relay->pump[AGENT_OUTPUT]) && pump_done(&relay->pump[AGENT_ERRORS]);
}

/* Returns false if the host has gone. */
static bool relay_once(struct relay *relay, int children)
{
	struct pollfd fds[2 + 2 * AGENT_STREAMS] = {
		{.fd = relay->control, .events = POLLIN},
		{.fd = children, .events = POLLIN},
	};
	struct signalfd_siginfo info;
	const char *bytes;

	for (int i = 0; i < AGENT_STREAMS; i++)
		pump_wait(&relay->pump[i], fds + 2 + 2 * i);
	if (poll(fds, 2 + 2 * AGENT_STREAMS, -1) < 0)
		return true;
	for (int i = 0; i < AGENT_STREAMS; i++)
		pump_move(&relay->pump[i], fds + 2 + 2 * i, &bytes);
	finish_pumps(relay);
	if (fds[1].revents && read(children, &info, sizeof(info)) > 0 && relay->pid) {
		reap(relay);
		if (!relay->pid)
			end_others(relay);
	}
	return !fds[0].revents || read_events(relay);
}

struct agent_report run_command(const struct wanted *wanted, int control)
{
	struct relay whole = {.control = control}; /* a quarter of a MiB */
	struct relay *relay = &whole;
	sigset_t children;

	make_streams(relay, &wanted->head);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	int ended = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	int error = start(relay, wanted);
	unblock(control);
	bool heard = ended >= 0;
	while (heard && (relay->pid || !all_said(relay)))
		heard = relay_once(relay, ended);
	if (relay->pid)
		end_others(relay);
	sync();
	/* Write the report in one piece. */
	fcntl(control, F_SETFL, fcntl(control, F_GETFL) & ~O_NONBLOCK);
	if (error)
		return (struct agent_report){AGENT_NOT_RUN, (uint32_t)error};
	return relay->report;
}
