// SPDX-License-Identifier: Apache-2.0
/* A console's file behind a slow disk: the process that writes it stands still, as it would for that. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "tests/unit/said.h"
#include "vmm/console/console.h"
#include "vmm/detach/log_writer.h"

#define PIPE 65536
#define LOST "lost (this is reported once)"

static struct log_writer writer;
static struct loop loop;
static struct console console;
static char path[128];

static void setup(void)
{
	runtime_dir_setup();
	snprintf(path, sizeof(path), "%s/file", top);
	ck_assert_int_eq(log_writer_start(&writer, path), 0);
	ck_assert_int_eq(loop_init(&loop), 0);
	const struct console_config config = {.output = writer.fd, .drops = true};
	ck_assert_int_eq(console_init(&console, &loop, &config), 0);
}

static void teardown(void)
{
	unlink(path);
	runtime_dir_teardown();
}

/* A UART's bytes, one at a time. */
static void write_bytes(size_t count)
{
	for (size_t i = 0; i < count; i++)
		console_write(&console, (const uint8_t *)"x", 1);
}

static void leave_console(void)
{
	console_release(&console);
	loop_release(&loop);
}

/* Returns the size of the file, when all is written. */
static size_t end_writer(void)
{
	struct stat st;
	log_writer_end(&writer);
	ck_assert_int_eq(stat(path, &st), 0);
	return (size_t)st.st_size;
}

/* The control is what fits: nothing of it is lost, and nothing said. */
START_TEST(a_slow_disk_holds_up_nobody)
{
	int stopped;
	ck_assert_int_eq(kill(writer.process, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(writer.process, &stopped, WUNTRACED), writer.process);
	said_begin();
	write_bytes(_i ? 3 * PIPE : PIPE);
	const char *words = said_end();
	ck_assert_int_eq(kill(writer.process, SIGCONT), 0);
	const char *lost = strstr(words, LOST);
	if (_i)
		ck_assert(lost && !strstr(lost + 1, LOST));
	else
		ck_assert_str_eq(words, "");
	leave_console();
	ck_assert_uint_eq(end_writer(), PIPE);
}
END_TEST

/* As by ulimit -f: what fits is written, and the process goes on, as the guest does. */
START_TEST(a_file_that_may_not_grow)
{
	const struct rlimit limit = {100, 100};
	siginfo_t ended;
	ck_assert_int_eq(prlimit(writer.process, RLIMIT_FSIZE, &limit, NULL), 0);
	write_bytes(2 * limit.rlim_cur);
	leave_console();
	/* Its pipe ends, as in log_writer_end(), which does not tell how the process ended. */
	ck_assert_int_eq(dup2(writer.control, writer.fd), writer.fd);
	ck_assert_int_eq(waitid(P_PID, (id_t)writer.process, &ended, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(ended.si_code, CLD_EXITED);
	ck_assert_uint_eq(end_writer(), limit.rlim_cur);
}
END_TEST

Suite *log_writer_suite(void);
Suite *log_writer_suite(void)
{
	Suite *suite = suite_create("log_writer");
	TCase *test = tcase_create("log_writer");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_add_loop_test(test, a_slow_disk_holds_up_nobody, 0, 2);
	tcase_add_test(test, a_file_that_may_not_grow);
	suite_add_tcase(suite, test);
	return suite;
}
