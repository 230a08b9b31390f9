// SPDX-License-Identifier: Apache-2.0
/* The console on a pseudo-terminal: raw while we have it, as it was on every way out; and our keys. */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/unit/console_bench.h"
#include "vmm/lib/clock.h"

/* A new terminal on standard input and output; returns the other side. */
static int terminal_open(void)
{
	int master, slave;
	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	ck_assert_int_eq(dup2(slave, STDOUT_FILENO), STDOUT_FILENO);
	console_bench_put(slave, STDIN_FILENO);
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
	console_bench_start();
	ck_assert(is_raw(0));
	ck_assert_int_eq(tcgetattr(0, &now), 0);
	ck_assert_uint_eq(now.c_oflag, before.c_oflag);
	ck_assert_uint_ne(now.c_oflag & OPOST, 0);
	/* The shell's end of the terminal is not made non-blocking. */
	ck_assert_int_eq(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(1, F_GETFL) & O_NONBLOCK, 0);

	/* As a shell leaves it after a stop. */
	ck_assert_int_eq(tcsetattr(0, TCSANOW, &before), 0);
	console_continued(&console_bench.console);
	ck_assert(is_raw(0));

	console_bench_finish();
	ck_assert_int_eq(tcgetattr(0, &now), 0);
	same_termios(&now, &before);
	console_release(&console_bench.console);
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
		console_bench_start();
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
			console_bench_start();
			if (is_raw(0))
				_exit(2);
			/* A line for the shell: to read it would stop us with SIGTTIN. */
			console_bench_write(master, "ls\n", 3);
			struct pollfd pollfd = {.fd = 0, .events = POLLIN};
			if (poll(&pollfd, 1, CONSOLE_BENCH_LIMIT_MS) != 1)
				_exit(3);
			console_bench.console.input.ready(console_bench.console.input.ctx);
			if (console_bench.console.held_count || console_bench.console.reading)
				_exit(4);
			/* What the shell's fg does. */
			signal(SIGTTOU, SIG_IGN);
			tcsetpgrp(0, getpgrp());
			signal(SIGTTOU, SIG_DFL);
			console_continued(&console_bench.console);
			if (!is_raw(0) || !console_bench.console.reading)
				_exit(5);
			console_bench_finish();
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
	console_bench_start();
	/* Control characters are the guest's, Ctrl-A alone is ours; doubled it is the guest's. */
	console_bench_write(master, "a\003\r\032" CTRL_A CTRL_A "b" CTRL_A "?c" CTRL_A "hd", 13);
	console_bench_expect("a\003\r\032" CTRL_A "bcd", 8);
	ck_assert_int_eq(console_bench.quits, 0);

	/* Also when its two keys come apart. */
	console_bench_write(master, "e" CTRL_A, 2);
	console_bench_expect("e", 1);
	console_bench_write(master, "x", 1);
	atomic_store(&console_bench.loop.stop, false);
	ck_assert_int_eq(loop_run(&console_bench.loop), 0);
	ck_assert_int_eq(console_bench.quits, 1);
	console_bench_finish();
	close(master);
}
END_TEST

#define PASTE 24000

struct paste {
	int fd;
	const char *then;
	char data[PASTE];
};

static void *type_paste(void *ctx)
{
	const struct paste *paste = ctx;
	console_bench_write(paste->fd, paste->data, PASTE);
	console_bench_write(paste->fd, paste->then, strlen(paste->then));
	return NULL;
}

/* A guest that does not listen, or listens no more, can be ended all the same, whatever was typed. */
START_TEST(test_escape_with_a_deaf_guest)
{
	static struct paste paste = {.then = CTRL_A "x"};
	int master = terminal_open();
	pthread_t person;
	int said[2];
	char text[256];
	ck_assert_int_eq(pipe(said), 0);
	console_bench_put(said[1], STDERR_FILENO);
	console_bench_start();
	paste.fd = master;
	memset(paste.data, 'k', PASTE);
	ck_assert_int_eq(pthread_create(&person, NULL, type_paste, &paste), 0);
	ck_assert_int_eq(loop_run(&console_bench.loop), 0);
	ck_assert_int_eq(console_bench.quits, 1);
	/* What was lost is told, once. */
	ssize_t len = read(said[0], text, sizeof(text) - 1);
	ck_assert_int_gt(len, 0);
	text[len] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "is lost"));
	ck_assert_ptr_eq(strchr(text, '\n'), text + len - 1);
	/* What was kept is there when the guest listens at last. */
	console_bench_expect(paste.data, 1000);
	pthread_join(person, NULL);
	console_bench_finish();
	close(master);
}
END_TEST

/* A paste is held up while the guest is busy, and all of it arrives. */
START_TEST(test_long_paste)
{
	static struct paste paste = {.then = ""};
	pthread_t person;
	paste.fd = terminal_open();
	/* Neither Ctrl-A nor a byte that looks right by chance. */
	for (size_t i = 0; i < PASTE; i++)
		paste.data[i] = 'a' + (i * 7 + i / 256) % 23;
	console_bench_start();
	ck_assert_int_eq(pthread_create(&person, NULL, type_paste, &paste), 0);
	/* Until the console takes no more; where it would, its reads are bounded. */
	struct pollfd pollfd = {.fd = 0, .events = POLLIN};
	for (int i = 0; i < 10000 && console_bench.console.reading; i++)
		if (poll(&pollfd, 1, 100) == 1)
			console_bench.console.input.ready(console_bench.console.input.ctx);
	ck_assert_uint_le(console_bench.console.held_count, CONSOLE_HELD);
	console_bench_expect(paste.data, PASTE);
	pthread_join(person, NULL);
	ck_assert(!console_bench.console.loss_told);
	ck_assert(console_bench.console.reading);

	/* The escape keys are behind it, and work. */
	console_bench_write(paste.fd, CTRL_A "x", 2);
	atomic_store(&console_bench.loop.stop, false);
	ck_assert_int_eq(loop_run(&console_bench.loop), 0);
	ck_assert_int_eq(console_bench.quits, 1);
	console_bench_finish();
	close(paste.fd);
}
END_TEST

/* A terminal that answers, a moment later, as over a line. */
static void *answer(void *ctx)
{
	static const char answers[] = "\033[?62;22c\n";
	int master = *(int *)ctx;
	char seen = '\0';
	while (seen != 'c')
		ck_assert_int_eq(read(master, &seen, 1), 1);
	for (int i = 0; i < 3; i++) {
		clock_sleep_ms(20);
		console_bench_write(master, answers, sizeof(answers) - 1);
	}
	return NULL;
}

/* Bytes that the shell would find, lines or not. */
static int left_for_the_shell(void)
{
	struct termios raw;
	int left;
	ck_assert_int_eq(tcgetattr(0, &raw), 0);
	cfmakeraw(&raw);
	ck_assert_int_eq(tcsetattr(0, TCSANOW, &raw), 0);
	/* A pseudo-terminal passes on what is written to it a moment later. */
	struct pollfd pollfd = {.fd = 0, .events = POLLIN};
	poll(&pollfd, 1, 200);
	ck_assert_int_eq(ioctl(0, FIONREAD, &left), 0);
	return left;
}

START_TEST(test_answers_are_not_the_shells)
{
	struct termios before, now;
	pthread_t person;
	int master = terminal_open();
	ck_assert_int_eq(tcgetattr(0, &before), 0);
	console_bench_start();
	ck_assert_int_eq(pthread_create(&person, NULL, answer, &master), 0);
	ck_assert(!atomic_load(&console_bench.console.asked));
	console_bench_out(0, '\033');
	console_bench_out(0, '[');
	console_bench_out(0, 'c');
	console_bench_finish();
	ck_assert_int_eq(tcgetattr(0, &now), 0);
	same_termios(&now, &before);
	pthread_join(person, NULL);
	ck_assert_int_eq(left_for_the_shell(), 0);
	/* The control: what comes later is the shell's. */
	console_bench_write(master, "ls\n", 3);
	ck_assert_int_eq(left_for_the_shell(), 3);
	close(master);
}
END_TEST

/* What was typed for the guest and not read is not the shell's either. */
START_TEST(test_keys_are_not_the_shells)
{
	int master = terminal_open();
	console_bench_start();
	console_bench_write(master, "reboot\n", 7);
	console_bench_finish();
	ck_assert_int_eq(left_for_the_shell(), 0);
	close(master);
}
END_TEST

Suite *terminal_suite(void);
Suite *terminal_suite(void)
{
	Suite *suite = suite_create("terminal");
	TCase *tcase = tcase_create("terminal");
	tcase_add_test(tcase, test_terminal_is_raw_and_restored);
	tcase_add_loop_test(tcase, test_restored_on_every_way_out, 0,
			    sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(tcase, test_background);
	tcase_add_test(tcase, test_keys);
	tcase_add_test(tcase, test_escape_with_a_deaf_guest);
	tcase_add_test(tcase, test_long_paste);
	tcase_add_test(tcase, test_answers_are_not_the_shells);
	tcase_add_test(tcase, test_keys_are_not_the_shells);
	suite_add_tcase(suite, tcase);
	return suite;
}
