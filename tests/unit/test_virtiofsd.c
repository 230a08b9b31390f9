// SPDX-License-Identifier: Apache-2.0
/* The keeper with programs that are no virtiofsd: shell scripts of that name. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/lib/clock.h"
#include "vmm/virtiofsd/virtiofsd.h"

#define LIMIT_MS 60000

static struct backend server;
static char path[96];
static const struct virtiofsd_config plain = {.dir = "/usr"};

static void setup(void)
{
	runtime_dir_setup();
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", top);
	setenv("PATH", path, 1);
	server = (struct backend){.control = -1};
}

static void teardown(void)
{
	backend_stop(&server);
	runtime_dir_teardown();
}

/* Makes @body the program virtiofsd, which has its socket as $fd, and writes its words to top/words. */
static void program(const char *help, const char *body)
{
	char name[96];
	snprintf(name, sizeof(name), "%s/virtiofsd", top);
	FILE *file = fopen(name, "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file,
		"#!/bin/sh\n"
		"if [ \"$1\" = --help ]; then echo '%s'; exit; fi\n"
		"fd=${1#--fd=}; echo $$ >%s/pid; echo \"$*\" >%s/words\n"
		"%s\n",
		help, top, top, body);
	fclose(file);
	ck_assert_int_eq(chmod(name, 0755), 0);
}

static int start(void)
{
	char why[BACKEND_WHY_SIZE] = "";
	int fd = backend_start(&server, &virtiofsd_program, &plain, why);

	ck_assert_msg(fd >= 0, "%s", why);
	return fd;
}

static const char *read_file(const char *name)
{
	static char text[512];
	char file_name[96];
	size_t n = 0;

	snprintf(file_name, sizeof(file_name), "%s/%s", top, name);
	for (uint64_t end = clock_ns() + LIMIT_MS * NS_PER_MS; n == 0 && clock_ns() < end;) {
		FILE *file = fopen(file_name, "r");
		if (file) {
			n = fread(text, 1, sizeof(text) - 1, file);
			fclose(file);
		}
		clock_sleep_ms(5);
	}
	text[n] = '\0';
	return text;
}

/* A process without privileges may be forbidden to make the namespace that it needs. */
static bool may_start(void)
{
	int status = 0;
	pid_t pid = geteuid() ? fork() : 0;

	if (geteuid() == 0)
		return true;
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	waitpid(pid, &status, 0);
	return status == 0;
}

static void wait_gone(pid_t pid)
{
	uint64_t end = clock_ns() + LIMIT_MS * NS_PER_MS;
	while (kill(pid, 0) == 0) {
		char name[64], state = 'X';
		snprintf(name, sizeof(name), "/proc/%d/stat", pid);
		FILE *file = fopen(name, "r");
		if (!file)
			return;
		int n = fscanf(file, "%*d (%*[^)]) %c", &state);
		fclose(file);
		if (n == 1 && (state == 'Z' || state == 'X'))
			return; /* nobody reaps the orphans of a container */
		ck_assert_msg(clock_ns() < end, "process %d stays", pid);
		clock_sleep_ms(5);
	}
}

static bool has(const char *const *argv, const char *word)
{
	for (; *argv; argv++)
		if (strcmp(*argv, word) == 0)
			return true;
	return false;
}

START_TEST(command_line)
{
	struct virtiofsd_arguments arguments = {0};
	const struct virtiofsd_config config = {.dir = "/a,b\\c"};

	virtiofsd_arguments(&arguments, VIRTIOFSD_C, &config, 7, false);
	ck_assert(has(arguments.argv, "--fd=7"));
	ck_assert(has(arguments.argv, "source=/a\\,b\\\\c"));
	ck_assert(has(arguments.argv, "sandbox=namespace"));
	ck_assert(!has(arguments.argv, "--rlimit-nofile=0"));
	virtiofsd_arguments(&arguments, VIRTIOFSD_RUST, &config, 7, true);
	ck_assert(has(arguments.argv, "/a,b\\c"));
	ck_assert(has(arguments.argv, "--sandbox=namespace"));
	ck_assert(has(arguments.argv, "--rlimit-nofile=0"));
	ck_assert(!has(arguments.argv, "--no-announce-submounts"));
	virtiofsd_arguments(&arguments, VIRTIOFSD_RUST_ANNOUNCES, &config, 7, true);
	ck_assert(has(arguments.argv, "/a,b\\c"));
	ck_assert(has(arguments.argv, "--no-announce-submounts"));
	ck_assert_int_eq(virtiofsd_kind_of("  --shared-dir <DIR>"), VIRTIOFSD_RUST);
	ck_assert_int_eq(virtiofsd_kind_of("  --shared-dir <DIR>\n  --no-announce-submounts\n"),
			 VIRTIOFSD_RUST_ANNOUNCES);
	ck_assert_int_eq(virtiofsd_kind_of("-o source=PATH"), VIRTIOFSD_C);
}
END_TEST

/* The longest folder, all of it commas. */
START_TEST(long_command_line)
{
	static char dir[4096];
	struct virtiofsd_arguments arguments = {0};
	const struct virtiofsd_config config = {.dir = dir};

	memset(dir, ',', sizeof(dir) - 1);
	virtiofsd_arguments(&arguments, VIRTIOFSD_C, &config, 7, true);
	ck_assert_uint_lt(strlen(arguments.source), sizeof(arguments.source));
}
END_TEST

START_TEST(not_installed)
{
	char why[BACKEND_WHY_SIZE];

	if (access("/usr/lib/qemu/virtiofsd", X_OK) == 0 ||
	    access("/usr/libexec/virtiofsd", X_OK) == 0)
		return; /* it is, here: tests/e2e hides it */
	setenv("PATH", top, 1);
	ck_assert_int_lt(backend_start(&server, &virtiofsd_program, &plain, why), 0);
	ck_assert_ptr_nonnull(strstr(why, "it is not installed; Debian's package is virtiofsd"));
}
END_TEST

START_TEST(starts_and_stops)
{
	char why[BACKEND_WHY_SIZE];

	program(_i ? "--shared-dir" : "-o source", "sleep 1000");
	int fd = start();
	if (!may_start()) {
		ck_assert_int_eq(backend_wait(&server, why, LIMIT_MS), -ENOMSG);
		ck_assert_ptr_nonnull(strstr(why, "user namespace"));
		close(fd);
		return;
	}
	ck_assert_ptr_nonnull(
		strstr(read_file("words"), _i ? "--shared-dir /usr" : "-o source=/usr"));
	pid_t pid = atoi(read_file("pid")), keeper = server.keeper;
	ck_assert_int_eq(backend_take(&server, why), -EAGAIN);
	backend_stop(&server);
	wait_gone(pid);
	ck_assert_int_lt(kill(keeper, 0), 0);
	close(fd);
	backend_stop(&server);
}
END_TEST

/* Its last line is the reason; and there is a next one. */
START_TEST(ends_and_comes_again)
{
	char why[BACKEND_WHY_SIZE];

	program("", "echo first line >&2; echo 'no such thing' >&2; exit 1");
	int fd = start();
	for (unsigned int i = 0; i < 3 && may_start(); i++) {
		ck_assert_int_ge(fd, 0);
		close(fd);
		ck_assert_int_eq(backend_wait(&server, why, LIMIT_MS), -ENOMSG);
		ck_assert_str_eq(why, "no such thing");
		fd = backend_wait(&server, why, LIMIT_MS);
	}
	close(fd);
}
END_TEST

/* With all that it has started. */
START_TEST(is_ended)
{
	char why[BACKEND_WHY_SIZE];

	/* It waits on, so that it is killed, and does not end by itself once its child was. */
	program("", "trap '' TERM; sleep 1000 & echo $! >$0.child; wait; sleep 1000");
	int fd = start();
	if (may_start()) {
		pid_t pid = atoi(read_file("pid")), child = atoi(read_file("virtiofsd.child"));
		backend_end(&server);
		ck_assert_int_eq(backend_wait(&server, why, LIMIT_MS), -ENOMSG);
		ck_assert_str_eq(why, "it died of signal 9");
		wait_gone(pid);
		wait_gone(child);
	}
	close(fd);
}
END_TEST

/* ebb dies without a word. */
START_TEST(ends_with_ebb)
{
	program("", "sleep 1000");
	int fd = start();
	if (may_start()) {
		pid_t pid = atoi(read_file("pid"));
		shutdown(server.control, SHUT_RDWR);
		wait_gone(pid);
	}
	close(fd);
}
END_TEST

Suite *virtiofsd_suite(void);
Suite *virtiofsd_suite(void)
{
	Suite *suite = suite_create("virtiofsd");
	TCase *tc = tcase_create("virtiofsd");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, command_line);
	tcase_add_test(tc, long_command_line);
	tcase_add_test(tc, not_installed);
	tcase_add_loop_test(tc, starts_and_stops, 0, 2);
	tcase_add_test(tc, ends_and_comes_again);
	tcase_add_test(tc, is_ended);
	tcase_add_test(tc, ends_with_ebb);
	suite_add_tcase(suite, tc);
	return suite;
}
