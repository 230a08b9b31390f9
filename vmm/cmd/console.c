// SPDX-License-Identifier: Apache-2.0
/* ebb console: shows a detached guest's console on this terminal, and passes on what is typed. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/control/runtime.h"
#include "vmm/detach/hub.h"
#include "vmm/lib/log.h"
#include "vmm/lib/terminal.h"
#include "vmm/lib/write_all.h"

#define CTRL_A 0x01
#define ESC    0x1b
/* For the guest's ebb to take the terminal's size: the console stands still meanwhile. */
#define SIZE_MS 1000
#define PORT_MS 5000

enum { OPTION_WATCH, OPTION_PORT };

static const struct option options[] = {
	OPTION_NAME_LINE,
	{OPTION_WATCH, 0, "watch", NULL, "only watch; leave the input to others", false},
	{OPTION_PORT, 0, "port", "NAME",
	 "instead of the console, the port that the guest has\nby 'ebb run --port NAME'; also without --detach;\nthe end of the input does not end it",
	 false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb console", "[NAME]",
	"Attaches this terminal to the console of a guest that runs with --detach.\n"
	"Ctrl-A x leaves it; the guest continues. Of several, the first has the input.",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	bool watch;
	const char *port; /* or NULL: the console */
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	if (id == OPTION_WATCH)
		request->watch = true;
	if (id == OPTION_PORT)
		request->port = value;
	if (id == OPTION_WORD)
		id = OPTION_CHOICE_NAME;
	return guest_choice_apply(&request->choice, id, value, error);
}

struct attached {
	struct guests *guests;
	int fd;
	int resized;   /* a signalfd of SIGWINCH, or -1 */
	bool terminal; /* standard input is one, and raw: it has escape keys */
	bool reading;  /* standard input is passed on */
	bool escape;   /* the last key was Ctrl-A */
	bool left;     /* Ctrl-A x */
	bool is_port;  /* the end of input is not the end of output */
	bool greeted;
	bool writes; /* it came first: this terminal's size is the guest's console's, if that has one */
	bool asked;	 /* the guest may have sent the terminal a query: see terminal.h */
	char held[1024]; /* input that there was no room for: @held_count bytes from @held_first */
	size_t held_first, held_count;
};

/*
 * For the one that came first. The guest has few places for clients: one is taken only for that moment. A serial console
 * has no size: its ebb refuses.
 */
static void tell_size(struct attached *attached)
{
	struct guests *guests = attached->guests;
	struct guest *guest = guests->guest[0];
	struct winsize size;

	if (!attached->terminal || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
		return;
	control_call_open(&guest->call, &guests->loop, guest->name);
	if (control_call_wait(&guest->call, &guests->loop) == 0)
		guests_ask_quietly(
			guests, "x-ebb-console-resize",
			json_pack("{s:i, s:i}", "columns", size.ws_col, "rows", size.ws_row),
			SIZE_MS);
	control_call_close(&guest->call);
}

static void window_resized(struct attached *attached)
{
	struct signalfd_siginfo info;

	if (read(attached->resized, &info, sizeof(info)) == sizeof(info) && attached->writes)
		tell_size(attached);
}

static int watch_size(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Takes the escape keys out of @data. Returns how many bytes are left. */
static size_t take_escapes(struct attached *attached, char *data, size_t len)
{
	size_t left = 0;
	for (size_t i = 0; i < len && !attached->left; i++) {
		bool escaped = attached->escape;
		attached->escape = !escaped && data[i] == CTRL_A;
		if (escaped && data[i] == 'x')
			attached->left = true;
		else if (escaped ? data[i] == CTRL_A : data[i] != CTRL_A)
			data[left++] = data[i];
	}
	return left;
}

/* No more input: somebody else may have the guest's. */
static void end_input(struct attached *attached)
{
	attached->reading = false;
	if (!attached->is_port)
		shutdown(attached->fd, SHUT_WR);
}

/* Sends what there is room for; what nobody reads any more is dropped. */
static void send_held(struct attached *attached)
{
	ssize_t sent = send(attached->fd, attached->held + attached->held_first,
			    attached->held_count, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	size_t gone = sent < 0 ? attached->held_count : (size_t)sent;
	attached->held_first += gone;
	attached->held_count -= gone;
}

/* Only when all before it is sent: a guest that does not read holds up what is typed, but not its own output. */
static void read_input(struct attached *attached)
{
	ssize_t len = read(STDIN_FILENO, attached->held, sizeof(attached->held));
	if (len < 0 && errno == EINTR)
		return;
	if (len <= 0) {
		end_input(attached);
		return;
	}
	attached->held_first = 0;
	attached->held_count = attached->terminal
				       ? take_escapes(attached, attached->held, (size_t)len)
				       : (size_t)len;
	if (attached->held_count)
		send_held(attached);
}

/* The first byte tells whether this client has the guest's input. */
static void greet(struct attached *attached, char hello)
{
	attached->greeted = true;
	if (hello == HUB_WATCHES && attached->reading)
		log_warn(
			"another 'ebb console' has the guest's input; this one gets it when that one leaves");
	attached->writes = hello == HUB_WRITES;
	if (attached->writes)
		tell_size(attached);
}

/* Returns false at the guest's end, or if standard output fails. */
static bool show_output(struct attached *attached)
{
	char data[4096];
	ssize_t len = recv(attached->fd, data, sizeof(data), MSG_DONTWAIT);
	if (len < 0)
		return errno == EAGAIN || errno == EINTR;
	const char *from = data;
	if (len > 0 && !attached->greeted) {
		greet(attached, data[0]);
		from++;
	}
	attached->asked |= memchr(data, ESC, (size_t)len) != NULL;
	return write_all(STDOUT_FILENO, from, (size_t)(data + len - from)) == 0 && len > 0;
}

static void attach(struct attached *attached)
{
	bool more = true;
	while (more && !attached->left) {
		bool held = attached->held_count > 0;
		struct pollfd fds[] = {
			{.fd = attached->fd, .events = held ? POLLIN | POLLOUT : POLLIN},
			{.fd = attached->reading && !held ? STDIN_FILENO : -1, .events = POLLIN},
			{.fd = attached->resized, .events = POLLIN},
		};
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents & ~POLLOUT)
			more = show_output(attached);
		if (fds[0].revents & POLLOUT)
			send_held(attached);
		if (fds[1].revents)
			read_input(attached);
		if (fds[2].revents)
			window_resized(attached);
	}
}

static int connect_to(const struct guest *guest)
{
	int fd = runtime_connect_console(guest->name);
	if (fd == -ECONNREFUSED)
		log_error(
			"the guest \"%s\" was not started with --detach: its console is where it was started",
			guest->shown);
	else if (fd == -EAGAIN || fd == -ENOENT)
		log_error("the guest \"%s\" does not answer now; try again", guest->shown);
	return fd;
}

static int connect_to_port(struct guests *guests, const char *name)
{
	struct guest *guest = guests->guest[0];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("cannot make a socket for the port: %s", strerror(errno));
		return -errno;
	}
	control_client_pass(guest->call.client, pair[1]);
	guests_ask(guests, "x-ebb-console-attach", json_pack("{s:s}", "port", name), PORT_MS);
	close(pair[1]);
	if (guest->reply)
		return pair[0];
	close(pair[0]);
	return -ENOENT;
}

/* A port has neither keys nor a size. */
static int port(const struct request *request, struct guests *guests, int status)
{
	struct attached attached = {.guests = guests,
				    .fd = connect_to_port(guests, request->port),
				    .resized = -1,
				    .reading = !request->watch,
				    .is_port = true,
				    .greeted = true};

	if (attached.fd < 0)
		return EXIT_FAILED;
	control_call_close(&guests->guest[0]->call);
	attach(&attached);
	close(attached.fd);
	return status;
}

static int console(void *ctx, struct guests *guests, int status)
{
	const struct request *request = ctx;
	const struct guest *guest = guests->guest[0];

	if (request->port)
		return port(request, guests, status);
	struct attached attached = {.guests = guests,
				    .fd = connect_to(guest),
				    .resized = watch_size(),
				    .reading = true};

	if (attached.fd < 0)
		return EXIT_FAILED;
	control_call_close(&guests->guest[0]->call);
	if (request->watch)
		end_input(&attached);
	attached.terminal = attached.reading && terminal_is_ours(STDIN_FILENO) &&
			    terminal_raw(STDIN_FILENO) == 0;
	if (attached.terminal)
		log_info("attached to \"%s\"; Ctrl-A x leaves it", guest->shown);
	attach(&attached);
	if (attached.asked)
		terminal_discard_answers();
	terminal_restore();
	close(attached.resized);
	close(attached.fd);
	if (attached.terminal)
		log_info(attached.left ? "\"%s\" continues" : "\"%s\" has ended", guest->shown);
	return status;
}

int cmd_console(int argc, char **argv)
{
	struct request request = {.watch = false};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	return status >= 0 ? status : guests_run(&request.choice, console, &request);
}
