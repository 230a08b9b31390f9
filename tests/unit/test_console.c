// SPDX-License-Identifier: Apache-2.0
/* The console on pipes, sockets and files. */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/console_bench.h"
#include "vmm/lib/standard_streams.h"

/* Exactly @len bytes. */
static void expect_output(int fd, const char *want, size_t len)
{
	char got[256];
	size_t have = 0;
	while (have < len) {
		struct pollfd pollfd = {.fd = fd, .events = POLLIN};
		ck_assert_int_eq(poll(&pollfd, 1, CONSOLE_BENCH_LIMIT_MS), 1);
		ssize_t more = read(fd, got + have, len - have);
		ck_assert_int_gt(more, 0);
		have += more;
	}
	ck_assert_mem_eq(got, want, len);
}

/* A pipe has no escape keys; its end leaves the guest running, without a spinning loop. */
START_TEST(test_pipe_and_its_end)
{
	int fds[2];
	ck_assert_int_eq(pipe(fds), 0);
	console_bench_put(fds[0], 0);
	console_bench_write(fds[1], "a" CTRL_A "x" CTRL_A "h", 5);
	console_bench_start();
	ck_assert(!console_bench.console.terminal);
	console_bench_expect("a" CTRL_A "x" CTRL_A "h", 5);
	ck_assert_int_eq(console_bench.quits, 0);
	ck_assert(console_bench.console.reading);
	close(fds[1]);
	/* The end comes through the loop; nothing else is in it that could be ready. */
	struct pollfd pollfd = {.fd = console_bench.loop.epoll, .events = POLLIN};
	ck_assert_int_eq(poll(&pollfd, 1, CONSOLE_BENCH_LIMIT_MS), 1);
	console_bench.console.input.ready(console_bench.console.input.ctx);
	ck_assert(console_bench.console.ended);
	console_resume(&console_bench.console);
	console_bench.console.resume.ready(console_bench.console.resume.ctx);
	ck_assert(!console_bench.console.reading);
	console_bench_finish();
}
END_TEST

/* More than the FIFO, the UART and the console hold: nothing is lost, nothing is read too early. */
static void expect_all_of(size_t len)
{
	static char want[65536];
	for (size_t i = 0; i < len; i++)
		want[i] = i * 7 + i / 256;
	console_bench_start();
	console_bench_expect(want, len);
	console_bench_finish();
}

static void *fill(void *ctx)
{
	for (size_t i = 0; i < 20000; i++) {
		char byte = i * 7 + i / 256;
		console_bench_write(*(int *)ctx, &byte, 1);
	}
	close(*(int *)ctx);
	return NULL;
}

START_TEST(test_long_pipe)
{
	int fds[2];
	pthread_t writer;
	ck_assert_int_eq(pipe(fds), 0);
	console_bench_put(fds[0], 0);
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
	console_bench_put(fd, 0);
	expect_all_of(20000);
}
END_TEST

START_TEST(test_backpressure)
{
	int fds[2];
	char bytes[4096] = {0};
	ck_assert_int_eq(pipe(fds), 0);
	console_bench_put(fds[0], 0);
	console_bench_write(fds[1], bytes, sizeof(bytes));
	console_bench_start();
	/* Nobody listens: one read, and no more. */
	console_bench.console.input.ready(console_bench.console.input.ctx);
	ck_assert(!console_bench.console.reading);
	int left;
	ck_assert_int_eq(ioctl(0, FIONREAD, &left), 0);
	ck_assert_uint_eq(left + console_bench.console.held_count, sizeof(bytes));
	ck_assert_int_gt(left, 0);
	/* The guest's driver comes up, and that alone makes it go on. */
	console_bench_expect(bytes, sizeof(bytes));
	ck_assert(console_bench.console.reading);
	close(fds[1]);
	console_bench_finish();
}
END_TEST

START_TEST(test_null)
{
	console_bench_put(open("/dev/null", O_RDWR), 0);
	console_bench_start();
	ck_assert(console_bench.console.reading);
	console_bench.console.input.ready(console_bench.console.input.ctx);
	ck_assert(console_bench.console.ended);
	ck_assert(!console_bench.console.reading);
	console_bench_finish();
}
END_TEST

START_TEST(test_closed_stdio)
{
	close(0);
	close(1);
	close(2);
	int err = standard_streams_open();
	/* The next one that is opened is none of the three. */
	int next = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(err, 0);
	ck_assert_int_ge(next, 3);
	console_bench_start();
	console_bench_out(0, 'a');
	console_bench_finish();
	close(next);
}
END_TEST

static void *run_loop(void *ctx)
{
	(void)ctx;
	ck_assert_int_eq(loop_run(&console_bench.loop), 0);
	return NULL;
}

static pthread_t main_thread; /* of an ebb */

static void begin_loop(void)
{
	ck_assert_int_eq(pthread_create(&main_thread, NULL, run_loop, NULL), 0);
}

static void end_loop(void)
{
	loop_stop(&console_bench.loop);
	pthread_join(main_thread, NULL);
}

START_TEST(test_output)
{
	int fds[2];
	console_bench_put(open("/dev/null", O_RDWR), 0);
	if (_i == 0)
		ck_assert_int_eq(pipe(fds), 0);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	console_bench_put(fds[1], 1);
	console_bench_start();
	ck_assert_int_eq(console_bench.console.output.kind, _i == 0 ? OUTLET_PLAIN : OUTLET_SOCKET);
	begin_loop();
	console_bench_out(0, 'h');
	console_bench_out(0, 'i');
	end_loop();
	expect_output(fds[0], "hi", 2);
	console_bench_finish();
	close(fds[0]);
}
END_TEST

/* A file is shared with who started us: what they wrote before and write after stays. */
START_TEST(test_output_to_a_file)
{
	char got[16] = "";
	int fd = memfd_create("output", 0);
	console_bench_put(open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(dup2(fd, 1), 1);
	console_bench_write(fd, "<", 1);
	console_bench_start();
	console_bench_out(0, 'h');
	console_bench_out(0, 'i');
	console_bench_finish();
	console_bench_write(fd, ">", 1);
	ck_assert_int_eq(pread(fd, got, sizeof(got), 0), 4);
	ck_assert_str_eq(got, "<hi>");
	close(fd);
}
END_TEST

/* 0: our own description; 1: as another user's pipe; 2: a socket. */
static void open_output(int kind, int fds[2])
{
	console_bench_put(open("/dev/null", O_RDWR), 0);
	if (kind == 2)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	else
		ck_assert_int_eq(pipe(fds), 0);
	console_bench_put(fds[1], 1);
	console_bench_start();
	if (kind == 1) {
		outlet_release(&console_bench.console.output);
		outlet_init_as(&console_bench.console.output, 1, OUTLET_PIPE);
		console_bench.console.room.fd = 1;
	}
	begin_loop();
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
		console_write(&console_bench.console, data, sizeof(data));
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
	end_loop();
	console_bench_finish();
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
	console_hangup(&console_bench.console);
	pthread_join(vcpu, NULL);
	console_bench_out(0, 'a');
	end_loop();
	console_bench_finish();
	close(fds[0]);
}
END_TEST

/* The loop cannot watch it: the guest goes on without its output. A test that hangs has failed. */
START_TEST(test_room_that_cannot_be_waited_for)
{
	int fds[2];
	open_output(_i, fds);
	console_bench.console.room.fd = -1;
	write_much(NULL);
	ck_assert(atomic_load(&console_bench.console.silent));
	ck_assert(!console_bench.console.waits);
	end_loop();
	console_bench_finish();
	close(fds[0]);
}
END_TEST

/* What goes to a file is dropped at once, and nobody, such as the loop, is asked: it does not run. */
START_TEST(test_drops_without_the_loop)
{
	int fds[2];
	console_bench_put(open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(pipe(fds), 0);
	console_bench_put(fds[1], 1);
	console_bench_start();
	console_bench.console.config.drops = true;
	write_much(NULL);
	ck_assert(atomic_load(&console_bench.console.drop_told));
	ck_assert(!atomic_load(&console_bench.console.silent));
	console_bench_finish();
	close(fds[0]);
}
END_TEST

/* The reader leaves: neither a signal nor an endless loop, and later output costs nothing. */
START_TEST(test_reader_gone)
{
	int fds[2];
	ck_assert_int_eq(standard_streams_open(), 0);
	open_output(_i, fds);
	close(fds[0]);
	console_bench_out(0, 'a');
	ck_assert(atomic_load(&console_bench.console.silent));
	console_bench_out(0, 'b');
	end_loop();
	console_bench_finish();
}
END_TEST

Suite *console_suite(void);
Suite *console_suite(void)
{
	Suite *suite = suite_create("console");
	TCase *tcase = tcase_create("console");
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
	tcase_add_loop_test(tcase, test_room_that_cannot_be_waited_for, 0, 3);
	tcase_add_test(tcase, test_drops_without_the_loop);
	tcase_add_loop_test(tcase, test_reader_gone, 0, 3);
	suite_add_tcase(suite, tcase);
	return suite;
}
