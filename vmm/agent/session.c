// SPDX-License-Identifier: Apache-2.0
/* The session's loop, and what it decides. */
#include "vmm/agent/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/agent/keys.h"
#include "vmm/agent/pump.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/outlet.h"
#include "vmm/lib/starved.h"
#include "vmm/lib/terminal.h"

#define ESC 0x1b
/* How long the guest's process may go on after its agent has closed the control stream without a report. */
#define DEATH_MS 10000
/* Signals and sizes on their way to the agent: if it takes none, more are dropped. */
#define EVENTS_MAX 16

struct session {
	const struct session_config *config;
	struct session_result *result;
	int stream[AGENT_STREAMS]; /* connections; -1: none, yet or any more */
	struct pump pump[AGENT_STREAMS];
	struct outlet outlet[AGENT_STREAMS];
	int input;   /* standard input, opened again where that can be */
	size_t sent; /* of the command */
	struct agent_event event[EVENTS_MAX];
	unsigned int events;
	size_t reported; /* bytes of the report */
	int signals;	 /* descriptor */
	int asked;	 /* the signal that the command is to end by, or 0 */
	int64_t begun, deadline;
	int64_t starved;       /* ms that the deadline was moved already */
	enum session_end late; /* what it means if the deadline comes */
	struct keys keys;
	bool over, guest_ended, asked_terminal;
};

/* What poll(2) is told, in this order. */
enum {
	POLL_LISTENERS,
	POLL_CONTROL = POLL_LISTENERS + AGENT_STREAMS,
	POLL_PUMPS,
	POLL_GUEST = POLL_PUMPS + 2 * AGENT_STREAMS,
	POLL_CONSOLE,
	POLL_SIGNALS,
	POLLS,
};

static void end(struct session *session, enum session_end why)
{
	if (session->over)
		return;
	session->over = true;
	session->result->end = why;
	session->result->took_ms = clock_ms() - session->begun;
}

static void end_by(struct session *session, int signal)
{
	session->result->signal = signal;
	end(session, SESSION_SIGNALLED);
}

/* --- to the agent ----------------------------------------------------------------------------- */

static void add_event(struct session *session, struct agent_event event)
{
	if (session->events < EVENTS_MAX)
		session->event[session->events++] = event;
}

static void add_size(struct session *session)
{
	struct winsize size;
	if (session->config->terminal && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		add_event(session, (struct agent_event){.kind = AGENT_SIZE,
							.rows = size.ws_row,
							.columns = size.ws_col});
}

static bool has_something_to_send(const struct session *session)
{
	return session->sent < session->config->command->size || session->events;
}

/* Events go in one piece or not at all: a Unix socket never takes a part of so few bytes. */
static void send_control(struct session *session)
{
	const struct command *command = session->config->command;
	int fd = session->stream[AGENT_CONTROL];

	while (session->sent < command->size) {
		ssize_t n = send(fd, command->data + session->sent, command->size - session->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			return;
		session->sent += (size_t)n;
	}
	while (session->events) {
		if (send(fd, session->event, sizeof(session->event[0]),
			 MSG_DONTWAIT | MSG_NOSIGNAL) <= 0)
			return;
		memmove(session->event, session->event + 1,
			--session->events * sizeof(session->event[0]));
	}
}

/* --- what the user wants ----------------------------------------------------------------------- */

static bool has_reported(const struct session *session)
{
	return session->reported == sizeof(session->result->report);
}

static bool runs(const struct session *session)
{
	return session->stream[AGENT_CONTROL] >= 0 && !session->guest_ended;
}

/* The first is the command's; a second one is not. */
static void ask_to_end(struct session *session, int signal)
{
	if (!runs(session) || session->asked) {
		end_by(session, signal);
		return;
	}
	session->asked = signal;
	add_event(session, (struct agent_event){.kind = AGENT_SIGNAL, .signal = (uint16_t)signal});
	if (signal == SIGINT)
		return;
	session->deadline = clock_ms() + session->config->grace_ms;
	session->late = has_reported(session) ? SESSION_REPORTED : SESSION_SIGNALLED;
	session->result->signal = signal;
}

static void take_signal(struct session *session)
{
	struct signalfd_siginfo info;

	if (read(session->signals, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGINT:
	case SIGTERM:
	case SIGHUP:
		ask_to_end(session, (int)info.ssi_signo);
		return;
	case SIGCONT:
		if (session->config->terminal)
			keys_raw();
		/* fall through */
	case SIGWINCH:
		add_size(session);
		return;
	default:
		add_event(session, (struct agent_event){.kind = AGENT_SIGNAL,
							.signal = (uint16_t)info.ssi_signo});
	}
}

static void watch_keys(struct session *session, const char *data, size_t count)
{
	if (keys_end(&session->keys, data, count, clock_ms()))
		end_by(session, SIGINT);
}

/* --- from the agent ----------------------------------------------------------------------------- */

static bool is_report(const struct agent_report *report)
{
	switch (report->kind) {
	case AGENT_EXITED:
		return report->value <= 255;
	case AGENT_KILLED:
		return report->value >= 1 && report->value < 128;
	case AGENT_NOT_RUN:
	case AGENT_FAILED:
		return report->value >= 1 && report->value < 4096;
	default:
		return false;
	}
}

static void accept_stream(struct session *session, unsigned int number)
{
	int *listener = &session->config->sockets->fd[number];
	int fd = *listener < 0 ? -1 : accept4(*listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	close(*listener);
	*listener = -1;
	session->stream[number] = fd;
	switch (number) {
	case AGENT_CONTROL:
		/* A signal that came before has ended the session. */
		session->deadline = INT64_MAX;
		return;
	case AGENT_INPUT:
		session->pump[number].to = fd;
		return;
	default:
		session->pump[number].from = fd;
	}
}

/* Streams that the agent has made by now are accepted: it makes them before it reports anything. */
static void accept_the_rest(struct session *session)
{
	for (unsigned int i = 0; i < AGENT_STREAMS; i++)
		accept_stream(session, i);
}

static void close_stream(struct session *session, unsigned int number)
{
	if (session->stream[number] >= 0)
		close(session->stream[number]);
	session->stream[number] = -1;
}

static void read_control(struct session *session)
{
	struct agent_report *report = &session->result->report;
	char *end_of_it = (char *)report + session->reported;
	ssize_t n = recv(session->stream[AGENT_CONTROL], end_of_it,
			 sizeof(*report) - session->reported, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_stream(session, AGENT_CONTROL);
		session->deadline = clock_ms() + DEATH_MS;
		session->late = SESSION_GUEST_DIED;
		return;
	}
	session->reported += (size_t)n;
	if (!has_reported(session))
		return;
	if (!is_report(report)) {
		end(session, SESSION_BROKEN);
		return;
	}
	/* If the user wants the end, what is left of the grace is for the streams. */
	session->late = SESSION_REPORTED;
	accept_the_rest(session);
	/* The reason is on the console, which may come later: until the agent, told so, has powered off. */
	if (report->kind == AGENT_FAILED) {
		close_stream(session, AGENT_CONTROL);
		session->deadline = clock_ms() + DEATH_MS;
		session->late = SESSION_REPORTED;
	}
}

bool session_read_console(int console, char kept[SESSION_CONSOLE + 1])
{
	char data[1024];
	ssize_t n = read(console, data, sizeof(data));

	if (n <= 0)
		return false;
	size_t len = strlen(kept), drop = 0;
	for (ssize_t i = 0; i < n; i++)
		data[i] = data[i] ? data[i] : ' ';
	if (len + (size_t)n > SESSION_CONSOLE)
		drop = len + (size_t)n - SESSION_CONSOLE;
	memmove(kept, kept + drop, len - drop);
	memcpy(kept + len - drop, data, (size_t)n);
	kept[len - drop + (size_t)n] = '\0';
	return true;
}

static bool read_console(struct session *session)
{
	return session_read_console(session->config->console, session->result->console);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static bool output_done(const struct session *session, unsigned int number)
{
	bool comes = !session->guest_ended && !has_reported(session);

	return pump_done(&session->pump[number]) || (session->stream[number] < 0 && !comes);
}

static void finish_pump(struct session *session, unsigned int number)
{
	const struct pump *pump = &session->pump[number];

	if (session->stream[number] < 0 || !pump_done(pump))
		return;
	if (number == AGENT_INPUT && !pump->broken)
		shutdown(session->stream[number], SHUT_WR);
	else
		close_stream(session, number);
}

/* Keys that the guest does not take: only ^C counts. */
static void drop_keys(struct session *session)
{
	char keys[256];
	ssize_t n = read(session->input, keys, sizeof(keys));

	if (n > 0)
		watch_keys(session, keys, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		session->pump[AGENT_INPUT].ended = true;
}

static void move(struct session *session, unsigned int number, const struct pollfd *poll)
{
	struct pump *pump = &session->pump[number];

	if (number == AGENT_INPUT && session->config->terminal && poll[0].revents &&
	    (session->stream[number] < 0 || pump->broken || pump->head + pump->size == PUMP_SIZE)) {
		drop_keys(session);
		return;
	}
	const char *bytes = NULL;
	bool was_done = pump_done(pump);
	size_t n = pump_move(pump, poll, &bytes);

	if (n && session->config->terminal && number == AGENT_INPUT)
		watch_keys(session, bytes, n);
	if (n && session->config->terminal && number == AGENT_OUTPUT)
		session->asked_terminal |= memchr(bytes, ESC, n) != NULL;
	if (!was_done)
		finish_pump(session, number);
}

static void prepare(const struct session *session, struct pollfd *poll)
{
	int control = session->stream[AGENT_CONTROL];
	bool reported = has_reported(session);
	short events =
		(short)((reported ? 0 : POLLIN) | (has_something_to_send(session) ? POLLOUT : 0));

	for (unsigned int i = 0; i < AGENT_STREAMS; i++) {
		poll[POLL_LISTENERS + i] =
			(struct pollfd){session->config->sockets->fd[i], POLLIN, 0};
		pump_wait(&session->pump[i], &poll[POLL_PUMPS + 2 * i]);
	}
	/* A pump without its connection does not read ahead. But ^C is heard always: see drop_keys(). */
	if (session->stream[AGENT_INPUT] < 0)
		poll[POLL_PUMPS + 2 * AGENT_INPUT].fd = -1;
	if (session->config->terminal && !session->pump[AGENT_INPUT].ended)
		poll[POLL_PUMPS + 2 * AGENT_INPUT].fd = session->input;
	/* In the background a read would stop ebb; the shell sends SIGCONT when it is in the foreground. */
	if (isatty(session->input) && !terminal_is_ours(session->input))
		poll[POLL_PUMPS + 2 * AGENT_INPUT].fd = -1;
	poll[POLL_CONTROL] = (struct pollfd){reported ? -1 : control, events, 0};
	poll[POLL_GUEST] = (struct pollfd){session->guest_ended ? -1 : session->config->guest,
					   session->config->hangs_up ? 0 : POLLIN, 0};
	poll[POLL_CONSOLE] =
		(struct pollfd){session->guest_ended ? -1 : session->config->console, POLLIN, 0};
	poll[POLL_SIGNALS] = (struct pollfd){session->signals, POLLIN, 0};
}

static void act(struct session *session, const struct pollfd *poll)
{
	if (poll[POLL_SIGNALS].revents)
		take_signal(session);
	if (poll[POLL_CONSOLE].revents)
		read_console(session);
	for (unsigned int i = 0; i < AGENT_STREAMS; i++)
		if (poll[POLL_LISTENERS + i].revents)
			accept_stream(session, i);
	if (session->stream[AGENT_CONTROL] >= 0 && poll[POLL_CONTROL].revents) {
		send_control(session);
		read_control(session);
	}
	for (unsigned int i = AGENT_INPUT; i < AGENT_STREAMS; i++)
		move(session, i, &poll[POLL_PUMPS + 2 * i]);
	if (poll[POLL_GUEST].revents) {
		session->guest_ended = true;
		while (read_console(session))
			;
		accept_the_rest(session);
		if (session->stream[AGENT_CONTROL] >= 0 && !has_reported(session))
			read_control(session);
		if (!session->asked)
			session->deadline = INT64_MAX;
	}
}

/* Gives a guest that starts the time that it waited for a processor, which may be for its own vCPUs: not without end. */
static void wait_for_starved(struct session *session)
{
	pid_t pid = session->config->pid;
	int64_t starved = pid && session->late == SESSION_LATE ? starved_ms(pid) : 0;
	int64_t most = session->begun + (int64_t)SESSION_START_MOST * session->config->start_ms;
	int64_t more = starved - session->starved;

	if (more > 0)
		session->deadline =
			session->deadline + more < most ? session->deadline + more : most;
	session->starved = starved;
}

static void decide(struct session *session)
{
	bool reported = has_reported(session);

	if (clock_ms() >= session->deadline)
		wait_for_starved(session);
	if (clock_ms() >= session->deadline)
		end(session, session->late);
	if (!session->guest_ended && (!reported || session->result->report.kind == AGENT_FAILED))
		return;
	if (output_done(session, AGENT_OUTPUT) && output_done(session, AGENT_ERRORS))
		end(session, reported ? SESSION_REPORTED : SESSION_GUEST_DIED);
}

static int wait_ms(const struct session *session)
{
	int64_t left = session->deadline - clock_ms();

	if (session->deadline == INT64_MAX)
		return -1;
	return left < 0 ? 0 : left > 1000 ? 1000 : (int)left;
}

static ssize_t write_outlet(void *ctx, int fd, const void *data, size_t size)
{
	(void)fd;
	return outlet_write(ctx, data, size);
}

static void init(struct session *session)
{
	session->begun = clock_ms();
	session->deadline = session->begun + session->config->start_ms;
	session->late = SESSION_LATE;
	keys_init(&session->keys);
	for (unsigned int i = 0; i < AGENT_STREAMS; i++) {
		session->stream[i] = -1;
		pump_init(&session->pump[i], -1, -1, NULL, NULL);
	}
	/* Others may read the same pipe: a description of our own does not wait when they were first. */
	int own = outlet_reopen(STDIN_FILENO, O_RDONLY);
	session->input = own < 0 ? STDIN_FILENO : own;
	pump_init(&session->pump[AGENT_INPUT], session->input, -1, NULL, NULL);
	for (unsigned int i = AGENT_OUTPUT; i < AGENT_STREAMS; i++) {
		struct outlet *outlet = &session->outlet[i];
		outlet_init(outlet, i == AGENT_OUTPUT ? STDOUT_FILENO : STDERR_FILENO);
		pump_init(&session->pump[i], -1, outlet->fd, write_outlet, outlet);
	}
	if (session->config->terminal == AGENT_TERMINAL)
		session->pump[AGENT_ERRORS].ended = true;
}

static void release(struct session *session)
{
	if (session->asked_terminal)
		terminal_discard_answers();
	for (unsigned int i = 0; i < AGENT_STREAMS; i++)
		close_stream(session, i);
	outlet_release(&session->outlet[AGENT_OUTPUT]);
	outlet_release(&session->outlet[AGENT_ERRORS]);
	if (session->input != STDIN_FILENO)
		close(session->input);
	close(session->config->console);
	close(session->signals);
	free(session);
}

void session_signals(sigset_t *signals)
{
	static const int taken[] = {SIGINT,  SIGTERM, SIGHUP,	SIGQUIT,
				    SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};

	sigemptyset(signals);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		struct sigaction action;
		if (sigaction(taken[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(signals, taken[i]);
	}
}

int session_run(const struct session_config *config, struct session_result *result)
{
	struct session *session = calloc(1, sizeof(*session));
	struct pollfd fds[POLLS];

	*result = (struct session_result){0};
	if (!session) {
		log_error("out of memory");
		close(config->console);
		return -ENOMEM;
	}
	session->config = config;
	session->result = result;
	session->signals = signalfd(-1, config->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (session->signals < 0) {
		int error = -errno;
		log_error("cannot receive signals for the command: %s", strerror(-error));
		close(config->console);
		free(session);
		return error;
	}
	init(session);
	while (!session->over) {
		prepare(session, fds);
		if (poll(fds, POLLS, wait_ms(session)) >= 0)
			act(session, fds);
		decide(session);
	}
	release(session);
	return 0;
}
