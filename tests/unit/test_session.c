// SPDX-License-Identifier: Apache-2.0
/* The host's half of `ebb sandbox`, with an agent that is a process of the test, and mostly a liar. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "tests/unit/said.h"
#include "vmm/agent/keys.h"
#include "vmm/agent/session.h"
#include "vmm/lib/clock.h"

#define MUCH  (4U << 20)
#define NEVER 3600000U /* milliseconds: longer than the test may take */

static char path[96];
static struct session_sockets sockets;
static struct command command;
static struct session_result result;
static int console[2],
	life[2]; /* the guest's process has ended when the other end of life[0] is closed */
static enum agent_terminal terminal;
static int keys;		/* the other side of the terminal */
static int input[2], output[2]; /* standard input and output of the session */

static void setup(void)
{
	runtime_dir_setup();
	snprintf(path, sizeof(path), "%s/v", top);
	ck_assert_int_eq(session_listen(&sockets, path), 0);
	ck_assert(pipe2(console, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(life, O_CLOEXEC) == 0);
	ck_assert(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
	command_add(&command, AGENT_ARGUMENT, "true");
	ck_assert_int_eq(command_finish(&command, &(struct agent_command){0}), 0);
	signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
	session_close(&sockets, true);
	command_release(&command);
	runtime_dir_teardown();
}

/* --- the agent's side -------------------------------------------------------------------------- */

static int dial(enum agent_stream stream)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s_%d", path,
		 AGENT_PORT + (int)stream);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void put(int fd, const void *data, size_t size)
{
	if (write(fd, data, size) != (ssize_t)size)
		_exit(2);
}

static void report(int control, uint32_t kind, uint32_t value)
{
	struct agent_report what = {kind, value};
	put(control, &what, sizeof(what));
}

/* Reads the command as far as it is expected. */
static void take_command(int control)
{
	char data[256];
	for (size_t left = command.size; left;) {
		ssize_t n = read(control, data, left < sizeof(data) ? left : sizeof(data));
		if (n <= 0)
			_exit(2);
		left -= (size_t)n;
	}
}

typedef void agent(int value);

/* Runs @agent in a process, and the session with it. */
static void with(agent *play, int value, unsigned int grace_ms)
{
	struct session_config config = {.sockets = &sockets,
					.command = &command,
					.start_ms = SESSION_START_S * 1000,
					.grace_ms = grace_ms,
					.terminal = terminal};
	sigset_t signals;

	session_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < AGENT_STREAMS; i++)
			close(sockets.fd[i]);
		close(life[0]);
		close(console[0]);
		close(input[1]);
		close(output[0]);
		play(value);
		_exit(0);
	}
	close(life[1]);
	close(console[1]);
	int old[] = {dup(0), dup(1)};
	dup2(input[0], 0);
	dup2(output[1], 1);
	close(input[0]);
	close(output[1]);
	config.guest = life[0];
	config.console = console[0];
	config.signals = &signals;
	ck_assert_int_eq(session_run(&config, &result), 0);
	dup2(old[0], 0);
	dup2(old[1], 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Waits for the session to end. */
static void stay(int fd)
{
	struct pollfd end = {.fd = fd, .events = 0};
	poll(&end, 1, -1);
}

/* --- as it should be ----------------------------------------------------------------------------- */

/* Sends back what comes, until it ends. */
static void echo(int status)
{
	static char data[30000];
	int control = dial(AGENT_CONTROL);
	take_command(control);
	int in = dial(AGENT_INPUT), out = dial(AGENT_OUTPUT), errors = dial(AGENT_ERRORS);
	ssize_t n;

	while ((n = read(in, data, sizeof(data))) > 0)
		put(out, data, (size_t)n);
	close(out);
	close(errors);
	report(control, AGENT_EXITED, (uint32_t)status);
	stay(control);
}

/* What goes in comes out while more goes in, byte for byte. */
START_TEST(both_ways_at_once)
{
	static unsigned char data[65536];
	pid_t writer = fork();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + (i >> 8));
	if (writer == 0) {
		close(input[0]);
		for (unsigned int i = 0; i < MUCH / sizeof(data); i++)
			put(input[1], data, sizeof(data));
		_exit(0);
	}
	close(input[1]);
	input[1] = -1;
	pid_t reader = fork();
	if (reader == 0) {
		unsigned char got[4096];
		size_t all = 0;
		ssize_t n;
		close(output[1]);
		while ((n = read(output[0], got, sizeof(got))) > 0)
			for (ssize_t i = 0; i < n; i++)
				if (got[i] != data[all++ % sizeof(data)])
					_exit(1);
		_exit(all == MUCH ? 0 : 1);
	}
	with(echo, 7, NEVER);
	int status;
	close(1);
	ck_assert_int_eq(waitpid(reader, &status, 0), reader);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(result.end, SESSION_REPORTED);
	ck_assert_uint_eq(result.report.kind, AGENT_EXITED);
	ck_assert_uint_eq(result.report.value, 7);
}
END_TEST

/* Output that nobody reads any more ends the stream, so that the command is told. */
static void write_until_refused(int value)
{
	int control = dial(AGENT_CONTROL);
	int out = dial(AGENT_OUTPUT);
	static char data[65536];
	(void)value;

	signal(SIGPIPE, SIG_IGN);
	while (write(out, data, sizeof(data)) > 0)
		;
	report(control, AGENT_KILLED, SIGPIPE);
	stay(control);
}

START_TEST(reader_leaves)
{
	close(output[0]);
	output[0] = open("/dev/null", O_RDONLY);
	with(write_until_refused, 0, NEVER);
	ck_assert_int_eq(result.end, SESSION_REPORTED);
	ck_assert_uint_eq(result.report.kind, AGENT_KILLED);
}
END_TEST

/* --- signals --------------------------------------------------------------------------------------- */

/* Tells the session's process by a signal, and reports the signal that it is told of. */
static void heed(int signal)
{
	struct agent_event event;
	int control = dial(AGENT_CONTROL);

	take_command(control);
	kill(getppid(), signal);
	if (read(control, &event, sizeof(event)) != sizeof(event) || event.kind != AGENT_SIGNAL)
		_exit(2);
	report(control, AGENT_KILLED, event.signal);
	stay(control);
}

START_TEST(signals_are_the_commands)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1};
	/* What a shell starts in the background ignores SIGINT and SIGQUIT, and then so does the session. */
	signal(signals[_i], SIG_DFL);
	with(heed, signals[_i], NEVER);
	ck_assert_int_eq(result.end, SESSION_REPORTED);
	ck_assert_uint_eq(result.report.value, (unsigned int)signals[_i]);
}
END_TEST

/* Floods what it can, reads nothing, and heeds nothing. */
static void flood(int signal)
{
	static char data[65536];
	int control = dial(AGENT_CONTROL), out = dial(AGENT_OUTPUT), errors = dial(AGENT_ERRORS);
	struct pollfd fds[] = {{out, POLLOUT, 0}, {errors, POLLOUT, 0}, {console[1], POLLOUT, 0}};

	fcntl(out, F_SETFL, O_NONBLOCK);
	fcntl(errors, F_SETFL, O_NONBLOCK);
	for (uint64_t i = 0; control >= 0; i++) {
		poll(fds, 3, 10);
		for (int j = 0; j < 3; j++)
			if (write(fds[j].fd, data, sizeof(data)) < 0 && errno != EAGAIN)
				_exit(2);
		/* Twice, and more, since two that wait are one. */
		kill(getppid(), signal);
	}
}

START_TEST(ends_when_asked)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	signal(signals[_i % 3], SIG_DFL);
	/* Its output goes nowhere, as fast as it comes; or stands still. */
	if (_i >= 3) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, output[1]);
		dup2(null, 2);
	} else {
		int full[2];
		ck_assert_int_eq(pipe2(full, O_CLOEXEC), 0);
		dup2(full[1], 2);
	}
	with(flood, signals[_i % 3], NEVER);
	ck_assert_int_eq(result.end, SESSION_SIGNALLED);
	ck_assert_int_eq(result.signal, signals[_i % 3]);
}
END_TEST

/* Hears the signal, and does nothing about it. */
static void ignore(int signal)
{
	int control = dial(AGENT_CONTROL);
	take_command(control);
	kill(getppid(), signal);
	for (;;)
		pause();
}

START_TEST(ends_when_not_heeded)
{
	with(ignore, SIGTERM, 100);
	ck_assert_int_eq(result.end, SESSION_SIGNALLED);
	ck_assert_int_eq(result.signal, SIGTERM);
}
END_TEST

/* Keys come where the guest takes none: it never connects for them, has ended that stream, or does not read it. */
static void take_no_keys(int how)
{
	static char many[3 * 65536];
	int control = dial(AGENT_CONTROL);
	int in = how ? dial(AGENT_INPUT) : -1;

	if (how == 1)
		close(in);
	fcntl(keys, F_SETFL, O_NONBLOCK);
	memset(many, 'x', sizeof(many));
	for (struct pollfd room = {keys, POLLOUT, 0}; control >= 0;) {
		/* First more than anybody holds. */
		for (size_t sent = 0; how == 2 && sent < sizeof(many);) {
			ssize_t n = write(keys, many, sizeof(many) - sent);
			sent += n > 0 ? (size_t)n : 0;
			poll(&room, 1, -1);
		}
		how = 0;
		if (write(keys, "\3\3\3", 3) < 0 && errno != EAGAIN)
			_exit(2);
		clock_sleep_ms(10);
	}
}

START_TEST(keys_are_heard)
{
	int slave;

	close(input[0]);
	close(input[1]);
	ck_assert_int_eq(openpty(&input[1], &slave, NULL, NULL, NULL), 0);
	input[0] = slave;
	keys = dup(input[1]);
	int old = dup(0);
	dup2(slave, 0);
	ck_assert_int_eq(keys_raw(), 0);
	dup2(old, 0);
	terminal = AGENT_TERMINAL;
	with(take_no_keys, _i, NEVER);
	ck_assert_int_eq(result.end, SESSION_SIGNALLED);
	ck_assert_int_eq(result.signal, SIGINT);
}
END_TEST

/* Reports, and keeps a stream open that never ends. */
static void linger(int signal)
{
	int control = dial(AGENT_CONTROL), out = dial(AGENT_OUTPUT);

	take_command(control);
	kill(getppid(), signal);
	report(control, AGENT_EXITED, 3);
	stay(out);
}

START_TEST(grace_is_for_the_streams_too)
{
	with(linger, SIGTERM, 300);
	/* The report may come after the grace. */
	ck_assert(result.end == SESSION_REPORTED || result.end == SESSION_SIGNALLED);
}
END_TEST

/* Before there is a command to tell. */
static void be_silent(int signal)
{
	kill(getppid(), signal);
	for (;;)
		pause();
}

START_TEST(ends_before_it_began)
{
	with(be_silent, SIGINT, NEVER);
	ck_assert_int_eq(result.end, SESSION_SIGNALLED);
}
END_TEST

/* --- a hostile guest ------------------------------------------------------------------------------- */

static const struct agent_report reports[] = {
	{0, 0},
	{AGENT_EXITED, 256},
	{AGENT_EXITED, UINT32_MAX},
	{AGENT_KILLED, 0},
	{AGENT_KILLED, 128},
	{AGENT_NOT_RUN, 0},
	{AGENT_NOT_RUN, 4096},
	{AGENT_FAILED, UINT32_MAX},
	{AGENT_FAILED + 1, 1},
	{UINT32_MAX, UINT32_MAX},
};

static void send_report(int number)
{
	int control = dial(AGENT_CONTROL);
	const char *bytes = (const char *)&reports[number];

	/* By the byte. */
	for (size_t i = 0; i < sizeof(reports[0]); i++)
		put(control, bytes + i, 1);
	stay(control);
}

START_TEST(false_reports)
{
	with(send_report, _i, NEVER);
	ck_assert_int_eq(result.end, SESSION_BROKEN);
}
END_TEST

/* A stream is taken once. */
static void come_again(int number)
{
	int control = dial(AGENT_CONTROL);
	int first = dial(AGENT_OUTPUT);

	put(first, "x", 1);
	/* It may wait in the backlog until the first one is accepted; then it is closed. */
	for (int fd; (fd = dial((enum agent_stream)number)) >= 0; close(fd)) {
		char byte;
		if (read(fd, &byte, 1) > 0)
			_exit(2);
	}
	close(first);
	report(control, AGENT_EXITED, 0);
	stay(control);
}

START_TEST(second_connections)
{
	with(come_again, _i ? AGENT_OUTPUT : AGENT_CONTROL, NEVER);
	ck_assert_int_eq(result.end, SESSION_REPORTED);
	char byte;
	ck_assert_int_eq(read(output[0], &byte, 1), 1);
}
END_TEST

/* What it wrote before counts, and the last of its console is kept. */
static void die(int with_control)
{
	char line[64];
	int control = with_control ? dial(AGENT_CONTROL) : -1;
	int out = dial(AGENT_OUTPUT);

	put(out, "last", 4);
	for (int i = 0; i < 1000; i++) {
		int len = snprintf(line, sizeof(line), "line %d\n", i);
		struct pollfd room = {console[1], POLLOUT, 0};
		while (write(console[1], line, (size_t)len) < 0)
			poll(&room, 1, -1);
	}
	(void)control;
}

START_TEST(guest_dies)
{
	char text[8] = "";
	with(die, _i, NEVER);
	ck_assert_int_eq(result.end, SESSION_GUEST_DIED);
	ck_assert_uint_le(strlen(result.console), SESSION_CONSOLE);
	ck_assert_str_eq(result.console + strlen(result.console) - 9, "line 999\n");
	ck_assert_int_eq(read(output[0], text, sizeof(text)), 4);
	ck_assert_str_eq(text, "last");
}
END_TEST

/* The reason comes after the report; the agent powers off when the control stream ends. */
static void give_up(int value)
{
	int control = dial(AGENT_CONTROL);

	report(control, AGENT_FAILED, (uint32_t)value);
	stay(control);
	put(console[1], "ebb-agent: why\n", 15);
}

START_TEST(agent_fails)
{
	with(give_up, ENOENT, NEVER);
	ck_assert_int_eq(result.end, SESSION_REPORTED);
	ck_assert_uint_eq(result.report.kind, AGENT_FAILED);
	ck_assert_str_eq(result.console, "ebb-agent: why\n");
}
END_TEST

/* --- the host's side ---------------------------------------------------------------------------------- */

/* Signals are blocked: a session that cannot read them could not be ended. */
START_TEST(signals_cannot_be_read)
{
	sigset_t signals;
	const struct session_config config = {.sockets = &sockets,
					      .command = &command,
					      .console = console[0],
					      .signals = &signals};
	struct rlimit files;

	session_signals(&signals);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	said_begin();
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, files.rlim_max});
	ck_assert_int_eq(session_run(&config, &result), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &files);
	ck_assert_ptr_nonnull(strstr(said_end(), "cannot receive signals"));
}
END_TEST

START_TEST(names_go)
{
	char name[128];
	struct stat about;

	snprintf(name, sizeof(name), "%s_%d", path, AGENT_PORT);
	ck_assert_int_eq(stat(name, &about), 0);
	session_close(&sockets, true);
	ck_assert_int_lt(stat(name, &about), 0);
	/* A name that is too long, and a folder that is not there. */
	ck_assert_int_lt(session_listen(&sockets, "/nonesuch/v"), 0);
}
END_TEST

Suite *session_suite(void);
Suite *session_suite(void)
{
	Suite *suite = suite_create("session");
	TCase *tc = tcase_create("session");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, both_ways_at_once);
	tcase_add_test(tc, reader_leaves);
	tcase_add_loop_test(tc, signals_are_the_commands, 0, 5);
	tcase_add_loop_test(tc, ends_when_asked, 0, 6);
	tcase_add_test(tc, ends_when_not_heeded);
	tcase_add_loop_test(tc, keys_are_heard, 0, 3);
	tcase_add_test(tc, grace_is_for_the_streams_too);
	tcase_add_test(tc, ends_before_it_began);
	tcase_add_loop_test(tc, false_reports, 0, sizeof(reports) / sizeof(reports[0]));
	tcase_add_loop_test(tc, second_connections, 0, 2);
	tcase_add_loop_test(tc, guest_dies, 0, 2);
	tcase_add_test(tc, agent_fails);
	tcase_add_test(tc, signals_cannot_be_read);
	tcase_add_test(tc, names_go);
	suite_add_tcase(suite, tc);
	return suite;
}
