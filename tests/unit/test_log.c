// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/loop.h"

static char text[8192];
static int ends[2];

static void capture(void)
{
	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
}

/* All that was written since capture(), which ends. */
static const char *captured(void)
{
	close(STDERR_FILENO);
	size_t len = 0;
	ssize_t more;
	while ((more = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += more;
	text[len] = '\0';
	close(ends[0]);
	return text;
}

START_TEST(test_kinds)
{
	struct log_limit limit = {0};
	capture();
	log_info("i%d", 1);
	log_error("e%d", 2);
	log_warn("w%d", 3);
	log_guest(&limit, "g%d", 4);
	ck_assert_str_eq(captured(), "ebb: i1\nebb: e2\nebb: warning: w3\nebb: guest: g4\n");
}
END_TEST

/* As a file may be called. */
START_TEST(test_any_bytes)
{
	capture();
	log_error("'%s'", "caf\xe9\n\x1b[2J \xc3\xa9");
	ck_assert_str_eq(captured(), "ebb: 'caf\\xe9\\x0a\\x1b[2J \xc3\xa9'\n");
}
END_TEST

START_TEST(test_limit)
{
	struct log_limit limit = {0};
	capture();
	for (int i = 1; i <= 100; i++)
		log_guest(&limit, "%d", i);
	ck_assert_str_eq(captured(), "ebb: guest: 1\nebb: guest: 2\nebb: guest: 3\nebb: guest: 4\n"
				     "ebb: guest: 5 (further lines of this kind are withheld)\n");
}
END_TEST

/* Cut, but still one line with its end. */
START_TEST(test_long_line)
{
	static char word[4096];
	memset(word, 'a', sizeof(word) - 1);
	capture();
	log_warn("%s", word);
	log_error("after");
	char *after = strchr(captured(), '\n');
	ck_assert_ptr_nonnull(after);
	ck_assert_int_le(after - text, 1023);
	ck_assert_int_ge(after - text, 1000);
	ck_assert_str_eq(after, "\nebb: after\n");
}
END_TEST

/* --- while a guest runs ------------------------------------------------------------------------ */

static struct loop loop;
static size_t fills;

/* Standard error, a pipe or a socket, takes no more. */
static void capture_full(bool socket)
{
	static const char byte = '.';
	ck_assert_int_eq(socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
	if (!socket)
		fcntl(ends[1], F_SETPIPE_SZ, 4096);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	int flags = fcntl(STDERR_FILENO, F_GETFL);
	fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
	for (fills = 0; write(STDERR_FILENO, &byte, 1) == 1; fills++)
		;
	fcntl(STDERR_FILENO, F_SETFL, flags);
	ck_assert_int_eq(loop_init(&loop), 0);
	log_attach(&loop);
}

/* Reads what filled it. */
static void make_room(void)
{
	char byte;
	for (; fills > 0; fills--) {
		ck_assert_int_eq(read(ends[0], &byte, 1), 1);
		ck_assert_int_eq(byte, '.');
	}
}

static void *run_loop(void *ctx)
{
	(void)ctx;
	loop_run(&loop);
	return NULL;
}

/* Reads a line at a time, each of which must come, while the loop runs. */
static const char *next_line(void)
{
	static char line[2048];
	size_t len = 0;
	do
		ck_assert_int_eq(read(ends[0], line + len, 1), 1);
	while (line[len++] != '\n');
	line[len] = '\0';
	return line;
}

static void expect_number(const char *line, unsigned int i)
{
	char want[64];
	snprintf(want, sizeof(want), "ebb: line %u\n", i);
	ck_assert_str_eq(line, want);
}

/* Nobody reads: to say something takes no time, and it is all there, in order, when somebody does. */
START_TEST(test_kept_until_it_is_read)
{
	pthread_t thread;
	capture_full(_i);
	for (unsigned int i = 0; i < 100; i++)
		log_info("line %u", i);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_loop, NULL), 0);
	make_room();
	for (unsigned int i = 0; i < 100; i++)
		expect_number(next_line(), i);
	/* And then it is as ever, without the loop. */
	loop_stop(&loop);
	pthread_join(thread, NULL);
	log_info("line 100");
	expect_number(next_line(), 100);
	/* The description that we share has not changed. */
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	log_detach(&loop);
	loop_release(&loop);
}
END_TEST

#define MANY 5000

/* What is too much to keep is counted, and told where it would have stood. */
START_TEST(test_lost_lines_are_counted)
{
	pthread_t thread;
	capture_full(_i);
	for (unsigned int i = 0; i < MANY; i++)
		log_info("line %u", i);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_loop, NULL), 0);
	make_room();
	unsigned int kept = 0, lost = 0;
	const char *line;
	for (line = next_line(); strncmp(line, "ebb: line", 9) == 0; line = next_line())
		expect_number(line, kept++);
	ck_assert_int_eq(sscanf(line, "ebb: warning: %u messages were lost", &lost), 1);
	ck_assert_uint_ge(kept, 1000);
	ck_assert_uint_eq(kept + lost, MANY);
	log_info("line 1");
	expect_number(next_line(), 1);
	loop_stop(&loop);
	pthread_join(thread, NULL);
	log_detach(&loop);
	loop_release(&loop);
}
END_TEST

static void *read_slowly(void *ctx)
{
	unsigned int *lines = ctx;
	make_room();
	for (; *lines < 100; (*lines)++) {
		expect_number(next_line(), *lines);
		clock_sleep_ms(1);
	}
	return NULL;
}

/* The last words come out where somebody reads, also slowly; and nobody is waited for without end. */
START_TEST(test_last_words)
{
	pthread_t thread;
	unsigned int lines = 0;
	capture_full(_i);
	for (unsigned int i = 0; i < 100; i++)
		log_info("line %u", i);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_slowly, &lines), 0);
	log_detach(&loop);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(lines, 100);
	loop_release(&loop);
}
END_TEST

START_TEST(test_last_words_that_nobody_reads)
{
	capture_full(_i);
	log_info("one");
	log_detach(&loop);
	/* Patience is spent once, not for each line. */
	for (int i = 0; i < 1000; i++)
		log_info("more");
	loop_release(&loop);
}
END_TEST

static void *say_much(void *ctx)
{
	for (unsigned int i = 0; i < 500; i++)
		log_info("%c%u", *(char *)ctx, i);
	return NULL;
}

/* Lines of several threads do not mix, and each thread's keep their order. */
START_TEST(test_threads)
{
	pthread_t thread[3], looping;
	char name[] = "abc";
	unsigned int next[3] = {0};
	capture_full(_i);
	make_room();
	ck_assert_int_eq(pthread_create(&looping, NULL, run_loop, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, say_much, &name[i]), 0);
	for (int i = 0; i < 3 * 500; i++) {
		char which;
		unsigned int number;
		ck_assert_int_eq(sscanf(next_line(), "ebb: %c%u\n", &which, &number), 2);
		ck_assert_uint_eq(number, next[which - 'a']++);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	loop_stop(&loop);
	pthread_join(looping, NULL);
	log_detach(&loop);
	loop_release(&loop);
}
END_TEST

static void *say_one(void *ctx)
{
	(void)ctx;
	log_info("line 0");
	return NULL;
}

/* A thread that was hung comes back: its sandbox may let it write nothing. Main writes it. */
START_TEST(test_another_thread_after_the_end)
{
	pthread_t thread;
	capture_full(_i);
	make_room();
	log_detach(&loop);
	ck_assert_int_eq(pthread_create(&thread, NULL, say_one, NULL), 0);
	pthread_join(thread, NULL);
	struct pollfd pollfd = {.fd = ends[0], .events = POLLIN};
	ck_assert_int_eq(poll(&pollfd, 1, 0), 0);
	log_info("line 1");
	expect_number(next_line(), 0);
	expect_number(next_line(), 1);
	loop_release(&loop);
}
END_TEST

/* A reader that leaves is nobody to tell. */
START_TEST(test_reader_gone)
{
	signal(SIGPIPE, SIG_IGN);
	capture_full(_i);
	close(ends[0]);
	for (unsigned int i = 0; i < MANY; i++)
		log_info("line %u", i);
	log_detach(&loop);
	loop_release(&loop);
}
END_TEST

Suite *log_suite(void);
Suite *log_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");
	tcase_add_test(tcase, test_kinds);
	tcase_add_test(tcase, test_limit);
	tcase_add_test(tcase, test_any_bytes);
	tcase_add_test(tcase, test_long_line);
	tcase_add_loop_test(tcase, test_kept_until_it_is_read, 0, 2);
	tcase_add_loop_test(tcase, test_lost_lines_are_counted, 0, 2);
	tcase_add_loop_test(tcase, test_last_words, 0, 2);
	tcase_add_loop_test(tcase, test_last_words_that_nobody_reads, 0, 2);
	tcase_add_loop_test(tcase, test_threads, 0, 2);
	tcase_add_loop_test(tcase, test_another_thread_after_the_end, 0, 2);
	tcase_add_loop_test(tcase, test_reader_gone, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
