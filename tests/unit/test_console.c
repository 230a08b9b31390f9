// SPDX-License-Identifier: Apache-2.0
/* The console on a pseudo-terminal, pipes and files, with a real UART behind it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/console.h"
#include "vmm/terminal.h"

#define LIMIT_MS 10000
#define CTRL_A	 "\001"

static struct loop loop;
static struct serial serial;
static struct console console;
static int quits;

/* What the guest has read, driven by the UART's interrupt as a guest's driver would be. */
static struct {
	char data[65536];
	size_t len;
	size_t stop_at; /* this many bytes stop the loop */
} guest;

static void on_interrupt(void *ctx, int level)
{
	(void)ctx;
	(void)level;
}

static void on_transmit(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	console_write(&console, data, len);
}

static void on_ready(void *ctx)
{
	(void)ctx;
	console_resume(&console);
}

static const struct serial_host serial_host = {NULL, on_interrupt, on_transmit, on_ready};

static uint8_t in(unsigned int offset)
{
	uint8_t value;
	serial_read(&serial, offset, &value, 1);
	return value;
}

static void out(unsigned int offset, uint8_t value)
{
	serial_write(&serial, offset, &value, 1);
}

/* The guest's driver: FIFO on, receive interrupt on. */
static void guest_listen(void)
{
	out(2, 0x01);
	out(1, 0x01);
}

/* A vCPU that reads all there is until @stop_at bytes have come, then stops the loop. */
static void *guest_read(void *ctx)
{
	(void)ctx;
	while (guest.len < guest.stop_at) {
		if (in(5) & 1)
			guest.data[guest.len++] = in(0);
		else
			sched_yield();
	}
	loop_stop(&loop);
	return NULL;
}

static void on_quit(void *ctx)
{
	(*(int *)ctx)++;
	loop_stop(&loop);
}

/* A test that hangs has failed: Check's own limit kills it. */
static void start(void)
{
	ck_assert_int_eq(loop_init(&loop), 0);
	serial_init(&serial, &serial_host);
	ck_assert_int_eq(console_init(&console, &loop, &serial, on_quit, &quits), 0);
}

static void finish(void)
{
	console_release(&console);
	serial_release(&serial);
	loop_release(&loop);
}

/* Runs the loop until the guest has read what is expected, and nothing else. */
static void expect_input(const char *want, size_t len)
{
	pthread_t vcpu;
	guest.stop_at = guest.len + len;
	atomic_store(&loop.stop, false);
	guest_listen();
	ck_assert_int_eq(pthread_create(&vcpu, NULL, guest_read, NULL), 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	pthread_join(vcpu, NULL);
	ck_assert_mem_eq(guest.data + guest.len - len, want, len);
}

static void write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t written = write(fd, data, len);
		ck_assert_int_gt(written, 0);
		data += written;
		len -= written;
	}
}

/* Exactly @len bytes. */
static void expect_output(int fd, const char *want, size_t len)
{
	char got[256];
	size_t have = 0;
	while (have < len) {
		struct pollfd pollfd = {.fd = fd, .events = POLLIN};
		ck_assert_int_eq(poll(&pollfd, 1, LIMIT_MS), 1);
		ssize_t more = read(fd, got + have, len - have);
		ck_assert_int_gt(more, 0);
		have += more;
	}
	ck_assert_mem_eq(got, want, len);
}

static void put(int fd, int number)
{
	ck_assert_int_eq(dup2(fd, number), number);
	close(fd);
}

/* A new terminal on standard input and output; returns the other side. */
static int terminal_open(void)
{
	int master, slave;
	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	ck_assert_int_eq(dup2(slave, STDOUT_FILENO), STDOUT_FILENO);
	put(slave, STDIN_FILENO);
	return master;
}

static bool is_raw(int fd)
{
	struct termios now;
	ck_assert_int_eq(tcgetattr(fd, &now), 0);
	return !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_iflag & (ICRNL | IXON));
}

static void same_termios(const struct termios *a, const struct termios *b)
{
	ck_assert_uint_eq(a->c_iflag, b->c_iflag);
	ck_assert_uint_eq(a->c_oflag, b->c_oflag);
	ck_assert_uint_eq(a->c_lflag, b->c_lflag);
	ck_assert_mem_eq(a->c_cc, b->c_cc, sizeof(a->c_cc));
}

START_TEST(test_terminal_is_raw_and_restored)
{
	struct termios before, now;
	int master = terminal_open();
	ck_assert_int_eq(tcgetattr(0, &before), 0);
	ck_assert(!is_raw(0));
	start();
	ck_assert(is_raw(0));
	ck_assert_int_eq(tcgetattr(0, &now), 0);
	ck_assert_uint_eq(now.c_oflag, before.c_oflag);
	ck_assert_uint_ne(now.c_oflag & OPOST, 0);
	/* The shell's end of the terminal is not made non-blocking. */
	ck_assert_int_eq(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(1, F_GETFL) & O_NONBLOCK, 0);

	/* As a shell leaves it after a stop. */
	ck_assert_int_eq(tcsetattr(0, TCSANOW, &before), 0);
	console_continued(&console);
	ck_assert(is_raw(0));

	finish();
	ck_assert_int_eq(tcgetattr(0, &now), 0);
	same_termios(&now, &before);
	console_release(&console);
	close(master);
}
END_TEST

/* A real one, not one that is sent. */
static void fault(void)
{
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*(volatile char *)page = 1;
}

/* Each way out that a child can take: exit(), and what a crash raises. */
static const int ends[] = {0, SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};

START_TEST(test_restored_on_every_way_out)
{
	struct termios before, now;
	int status;
	int master = terminal_open();
	ck_assert_int_eq(tcgetattr(0, &before), 0);
	/* Without the sanitizer's handlers, which would end it in their own way. */
	for (size_t i = 1; i < sizeof(ends) / sizeof(ends[0]); i++)
		signal(ends[i], SIG_DFL);
	pid_t pid = fork();
	if (pid == 0) {
		start();
		if (!is_raw(0))
			_exit(99);
		if (ends[_i] == SIGABRT)
			abort();
		else if (ends[_i] == SIGSEGV)
			fault();
		else if (ends[_i])
			raise(ends[_i]);
		exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (ends[_i])
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == ends[_i], "status %x",
			      status);
	else
		ck_assert_int_eq(status, 0);
	ck_assert_int_eq(tcgetattr(0, &now), 0);
	same_termios(&now, &before);
	close(master);
}
END_TEST

/* In the background the terminal is another's: not set, not read, until it is given to us. */
START_TEST(test_background)
{
	int status;
	int master, slave;
	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	pid_t shell = fork();
	if (shell == 0) {
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		dup2(slave, 0);
		dup2(slave, 1);
		pid_t job = fork();
		if (job == 0) {
			setpgid(0, 0);
			start();
			if (is_raw(0))
				_exit(2);
			/* A line for the shell: to read it would stop us with SIGTTIN. */
			write_all(master, "ls\n", 3);
			struct pollfd pollfd = {.fd = 0, .events = POLLIN};
			if (poll(&pollfd, 1, LIMIT_MS) != 1)
				_exit(3);
			console.input.ready(console.input.ctx);
			if (console.held_count || console.reading)
				_exit(4);
			/* What the shell's fg does. */
			signal(SIGTTOU, SIG_IGN);
			tcsetpgrp(0, getpgrp());
			signal(SIGTTOU, SIG_DFL);
			console_continued(&console);
			if (!is_raw(0) || !console.reading)
				_exit(5);
			finish();
			_exit(is_raw(0) ? 6 : 0);
		}
		waitpid(job, &status, WUNTRACED);
		if (WIFSTOPPED(status))
			kill(job, SIGKILL);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 7);
	}
	ck_assert_int_eq(waitpid(shell, &status, 0), shell);
	ck_assert_int_eq(status, 0);
	close(master);
	close(slave);
}
END_TEST

START_TEST(test_keys)
{
	int master = terminal_open();
	start();
	/* Control characters are the guest's, Ctrl-A alone is ours; doubled it is the guest's. */
	write_all(master, "a\003\r\032" CTRL_A CTRL_A "b" CTRL_A "?c" CTRL_A "hd", 13);
	expect_input("a\003\r\032" CTRL_A "bcd", 8);
	ck_assert_int_eq(quits, 0);

	/* Also when its two keys come apart. */
	write_all(master, "e" CTRL_A, 2);
	expect_input("e", 1);
	write_all(master, "x", 1);
	atomic_store(&loop.stop, false);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_int_eq(quits, 1);
	finish();
	close(master);
}
END_TEST

/* A guest that does not listen, or listens no more, can be ended all the same. */
START_TEST(test_escape_with_a_deaf_guest)
{
	static char keys[2000];
	int master = terminal_open();
	start();
	memset(keys, 'k', sizeof(keys));
	for (int i = 0; i < 20; i++) {
		write_all(master, keys, sizeof(keys));
		for (struct pollfd pollfd = {.fd = 0, .events = POLLIN}; poll(&pollfd, 1, 0) == 1;)
			console.input.ready(console.input.ctx);
	}
	ck_assert_uint_eq(console.held_count, CONSOLE_HELD);
	write_all(master, CTRL_A "x", 2);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_int_eq(quits, 1);
	finish();
	close(master);
}
END_TEST

/* A pipe has no escape keys; its end leaves the guest running, without a spinning loop. */
START_TEST(test_pipe_and_its_end)
{
	int fds[2];
	ck_assert_int_eq(pipe(fds), 0);
	put(fds[0], 0);
	write_all(fds[1], "a" CTRL_A "x" CTRL_A "h", 5);
	start();
	ck_assert(!console.terminal);
	expect_input("a" CTRL_A "x" CTRL_A "h", 5);
	ck_assert_int_eq(quits, 0);
	ck_assert(console.reading);
	close(fds[1]);
	/* The end comes through the loop; nothing else is in it that could be ready. */
	struct pollfd pollfd = {.fd = loop.epoll, .events = POLLIN};
	ck_assert_int_eq(poll(&pollfd, 1, LIMIT_MS), 1);
	console.input.ready(console.input.ctx);
	ck_assert(console.ended);
	console_resume(&console);
	console.resume.ready(console.resume.ctx);
	ck_assert(!console.reading);
	finish();
}
END_TEST

/* More than the FIFO, the UART and the console hold: nothing is lost, nothing is read too early. */
static void expect_all_of(size_t len)
{
	static char want[65536];
	for (size_t i = 0; i < len; i++)
		want[i] = i * 7 + i / 256;
	start();
	expect_input(want, len);
	finish();
}

static void *fill(void *ctx)
{
	for (size_t i = 0; i < 20000; i++) {
		char byte = i * 7 + i / 256;
		write_all(*(int *)ctx, &byte, 1);
	}
	close(*(int *)ctx);
	return NULL;
}

START_TEST(test_long_pipe)
{
	int fds[2];
	pthread_t writer;
	ck_assert_int_eq(pipe(fds), 0);
	put(fds[0], 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, fill, &fds[1]), 0);
	expect_all_of(20000);
	pthread_join(writer, NULL);
}
END_TEST

/* epoll cannot wait for a file. */
START_TEST(test_file)
{
	int fd = memfd_create("input", 0);
	int write_fd = dup(fd);
	fill(&write_fd);
	lseek(fd, 0, SEEK_SET);
	put(fd, 0);
	expect_all_of(20000);
}
END_TEST

START_TEST(test_backpressure)
{
	int fds[2];
	char bytes[4096] = {0};
	ck_assert_int_eq(pipe(fds), 0);
	put(fds[0], 0);
	write_all(fds[1], bytes, sizeof(bytes));
	start();
	/* Nobody listens: one read, and no more. */
	console.input.ready(console.input.ctx);
	ck_assert(!console.reading);
	int left;
	ck_assert_int_eq(ioctl(0, FIONREAD, &left), 0);
	ck_assert_uint_eq(left + console.held_count, sizeof(bytes));
	ck_assert_int_gt(left, 0);
	/* The guest's driver comes up, and that alone makes it go on. */
	expect_input(bytes, sizeof(bytes));
	ck_assert(console.reading);
	close(fds[1]);
	finish();
}
END_TEST

START_TEST(test_null)
{
	put(open("/dev/null", O_RDWR), 0);
	start();
	ck_assert(console.reading);
	console.input.ready(console.input.ctx);
	ck_assert(console.ended);
	ck_assert(!console.reading);
	finish();
}
END_TEST

START_TEST(test_closed_stdio)
{
	close(0);
	close(1);
	close(2);
	int err = console_ensure_stdio();
	/* The next one that is opened is none of the three. */
	int next = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(err, 0);
	ck_assert_int_ge(next, 3);
	start();
	out(0, 'a');
	finish();
	close(next);
}
END_TEST

START_TEST(test_output)
{
	int fds[2];
	put(open("/dev/null", O_RDWR), 0);
	if (_i == 0)
		ck_assert_int_eq(pipe(fds), 0);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	put(fds[1], 1);
	start();
	ck_assert_int_eq(console.output, _i == 0 ? CONSOLE_OUTPUT_PLAIN : CONSOLE_OUTPUT_SOCKET);
	out(0, 'h');
	out(0, 'i');
	expect_output(fds[0], "hi", 2);
	finish();
	close(fds[0]);
}
END_TEST

/* A file is shared with who started us: what they wrote before and write after stays. */
START_TEST(test_output_to_a_file)
{
	char got[16] = "";
	int fd = memfd_create("output", 0);
	put(open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(dup2(fd, 1), 1);
	write_all(fd, "<", 1);
	start();
	out(0, 'h');
	out(0, 'i');
	finish();
	write_all(fd, ">", 1);
	ck_assert_int_eq(pread(fd, got, sizeof(got), 0), 4);
	ck_assert_str_eq(got, "<hi>");
	close(fd);
}
END_TEST

/* 0: our own description; 1: as where that cannot be had; 2: a socket. */
static void open_output(int kind, int fds[2])
{
	put(open("/dev/null", O_RDWR), 0);
	if (kind == 2)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	else
		ck_assert_int_eq(pipe(fds), 0);
	put(fds[1], 1);
	start();
	if (kind == 1) {
		close(console.output_fd);
		console.output_fd = 1;
		console.output = CONSOLE_OUTPUT_POLL;
	}
}

static atomic_int finished;

/* A prime number of bytes, so that no part written twice or left out looks right by chance. */
#define MUCH  9973
#define TIMES 100

static void *write_much(void *ctx)
{
	static uint8_t data[MUCH];
	(void)ctx;
	for (int i = 0; i < MUCH; i++)
		data[i] = i % 251;
	for (int i = 0; i < TIMES; i++)
		console_write(&console, data, sizeof(data));
	atomic_store(&finished, 1);
	return NULL;
}

START_TEST(test_all_is_written_to_a_slow_reader)
{
	int fds[2];
	pthread_t vcpu;
	uint8_t buffer[4096];
	size_t have = 0;
	open_output(_i, fds);
	ck_assert_int_eq(pthread_create(&vcpu, NULL, write_much, NULL), 0);
	while (have < MUCH * TIMES) {
		ssize_t more = read(fds[0], buffer, sizeof(buffer));
		ck_assert_int_gt(more, 0);
		for (ssize_t i = 0; i < more; i++, have++)
			/* An assertion for each byte takes minutes, emulated. */
			if (buffer[i] != have % MUCH % 251)
				ck_abort_msg("byte %zu is %u", have, buffer[i]);
	}
	pthread_join(vcpu, NULL);
	finish();
	/* The last of it: nothing follows. */
	close(1);
	ck_assert_int_eq(read(fds[0], buffer, sizeof(buffer)), 0);
	close(fds[0]);
}
END_TEST

START_TEST(test_hangup_ends_a_blocked_write)
{
	int fds[2];
	pthread_t vcpu;
	open_output(_i, fds);
	ck_assert_int_eq(pthread_create(&vcpu, NULL, write_much, NULL), 0);
	/* It is full when it cannot be written to. */
	for (struct pollfd pollfd = {.fd = 1, .events = POLLOUT}; poll(&pollfd, 1, 0) != 0;)
		sched_yield();
	ck_assert_int_eq(atomic_load(&finished), 0);
	console_hangup(&console);
	pthread_join(vcpu, NULL);
	out(0, 'a');
	finish();
	close(fds[0]);
}
END_TEST

/* The reader leaves: neither a signal nor an endless loop, and later output costs nothing. */
START_TEST(test_reader_gone)
{
	int fds[2];
	ck_assert_int_eq(console_ensure_stdio(), 0);
	open_output(_i, fds);
	close(fds[0]);
	out(0, 'a');
	ck_assert(atomic_load(&console.silent));
	out(0, 'b');
	finish();
}
END_TEST

Suite *console_suite(void);
Suite *console_suite(void)
{
	Suite *suite = suite_create("console");
	TCase *tcase = tcase_create("console");
	tcase_add_test(tcase, test_terminal_is_raw_and_restored);
	tcase_add_loop_test(tcase, test_restored_on_every_way_out, 0,
			    sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(tcase, test_background);
	tcase_add_test(tcase, test_keys);
	tcase_add_test(tcase, test_escape_with_a_deaf_guest);
	tcase_add_test(tcase, test_pipe_and_its_end);
	tcase_add_test(tcase, test_long_pipe);
	tcase_add_test(tcase, test_file);
	tcase_add_test(tcase, test_backpressure);
	tcase_add_test(tcase, test_null);
	tcase_add_test(tcase, test_closed_stdio);
	tcase_add_loop_test(tcase, test_output, 0, 2);
	tcase_add_test(tcase, test_output_to_a_file);
	tcase_add_loop_test(tcase, test_all_is_written_to_a_slow_reader, 0, 3);
	tcase_add_loop_test(tcase, test_hangup_ends_a_blocked_write, 0, 3);
	tcase_add_loop_test(tcase, test_reader_gone, 0, 3);
	tcase_set_timeout(tcase, LIMIT_MS / 1000 * 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
