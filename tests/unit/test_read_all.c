// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/read_all.h"

#define TEXT "in pieces, each of which is late"
/* Far more than a machine under load takes for what is not silent. */
#define LONG_MS	 60000
#define SHORT_MS 200

static int ends[2];

static void setup(void)
{
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
}

static void teardown(void)
{
	close(ends[0]);
	if (ends[1] >= 0)
		close(ends[1]);
}

static void close_writer(void)
{
	close(ends[1]);
	ends[1] = -1;
}

/* A child writes @text a byte at a time, and then closes the pipe. */
static pid_t start_writer(const char *text)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (; *text; text++) {
			clock_sleep_ms(2);
			if (write(ends[1], text, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close_writer();
	return pid;
}

START_TEST(pieces_are_one_text)
{
	char text[100] = "";
	pid_t pid = start_writer(TEXT);

	ck_assert_int_eq(fcntl(ends[0], F_SETFL, _i ? O_NONBLOCK : 0), 0);
	ck_assert_int_eq(read_all(ends[0], text, sizeof(text), LONG_MS), strlen(TEXT));
	ck_assert_str_eq(text, TEXT);
	ck_assert_int_eq(read_next(ends[0], text, sizeof(text), LONG_MS), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* No more than there is room for, and what follows is still there. */
START_TEST(size_is_a_limit)
{
	char text[8] = "";

	ck_assert_int_eq(write(ends[1], "12345678", 8), 8);
	ck_assert_int_eq(read_all(ends[0], text, 5, LONG_MS), 5);
	ck_assert_str_eq(text, "12345");
	ck_assert_int_eq(read_next(ends[0], text, 5, LONG_MS), 3);
	ck_assert_int_eq(read_all(ends[0], text, 0, LONG_MS), 0);
}
END_TEST

/* A writer that is there and says nothing, at first or after a piece; not one that has ended. */
START_TEST(silence_has_a_limit)
{
	char text[8];
	int64_t start = clock_ms();

	ck_assert_int_eq(read_next(ends[0], text, sizeof(text), SHORT_MS), -ETIMEDOUT);
	ck_assert_int_ge(clock_ms() - start, SHORT_MS);
	ck_assert_int_eq(write(ends[1], "12", 2), 2);
	ck_assert_int_eq(read_all(ends[0], text, sizeof(text), SHORT_MS), -ETIMEDOUT);
	ck_assert_int_eq(write(ends[1], "12", 2), 2);
	close_writer();
	ck_assert_int_eq(read_all(ends[0], text, sizeof(text), SHORT_MS), 2);
}
END_TEST

/* A writer that is never silent for long, and could go on for 4 s: one that is hostile, for ever. */
START_TEST(the_whole_has_a_limit)
{
	char drops[2000], text[sizeof(drops)];

	memset(drops, '.', sizeof(drops) - 1);
	drops[sizeof(drops) - 1] = '\0';
	pid_t pid = start_writer(drops);
	ck_assert_int_eq(read_all(ends[0], text, sizeof(text), SHORT_MS), -ETIMEDOUT);
	/* The control: it had not ended. */
	ck_assert_int_eq(read_next(ends[0], text, 1, LONG_MS), 1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* A FIFO that nobody has opened to write yet is silent, and not at its end. */
START_TEST(a_fifo_waits_for_its_writer)
{
	char path[] = "/tmp/ebb-unit-fifo-XXXXXX", text[8];

	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(read_all(fd, text, sizeof(text), SHORT_MS), -ETIMEDOUT);
	close(fd);
}
END_TEST

/* It is blocked, as all that ask ebb to end are. */
START_TEST(a_signal_ends_the_wait)
{
	sigset_t set;
	char text[8];

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTERM);
	ck_assert_int_eq(read_all(ends[0], text, sizeof(text), LONG_MS), -EINTR);
}
END_TEST

/* Files can be read at once; folders cannot be read. */
START_TEST(files)
{
	char text[8] = "";
	int file = memfd_create("file", MFD_CLOEXEC);
	int folder = open("/", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pwrite(file, "123", 3, 0), 3);
	ck_assert_int_eq(read_all(file, text, sizeof(text), LONG_MS), 3);
	ck_assert_str_eq(text, "123");
	ck_assert_int_eq(read_all(folder, text, sizeof(text), LONG_MS), -EISDIR);
	close(folder);
	close(file);
}
END_TEST

Suite *read_all_suite(void);

Suite *read_all_suite(void)
{
	Suite *suite = suite_create("read_all");
	TCase *tcase = tcase_create("reading");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, pieces_are_one_text, 0, 2);
	tcase_add_test(tcase, size_is_a_limit);
	tcase_add_test(tcase, silence_has_a_limit);
	tcase_add_test(tcase, the_whole_has_a_limit);
	tcase_add_test(tcase, a_fifo_waits_for_its_writer);
	tcase_add_test(tcase, a_signal_ends_the_wait);
	tcase_add_test(tcase, files);
	suite_add_tcase(suite, tcase);
	return suite;
}
