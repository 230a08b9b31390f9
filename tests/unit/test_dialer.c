// SPDX-License-Identifier: Apache-2.0
/* The names of a guest's sockets, and the process that connects to them for it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/lib/clock.h"
#include "vmm/vsock/dialer.h"

#define LIMIT_MS 60000

static struct dialer dialer;
static char path[96];
static mode_t before;

static void setup(void)
{
	runtime_dir_setup();
	snprintf(path, sizeof(path), "%s/vsock", top);
	dialer = (struct dialer){.child = CHILD_NONE};
	before = umask(0);
}

static void teardown(void)
{
	dialer_stop(&dialer);
	umask(before);
	runtime_dir_teardown();
}

static bool exists(const char *name)
{
	struct stat there;
	return lstat(name, &there) == 0;
}

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	return address;
}

static int make_socket(const char *name)
{
	const struct sockaddr_un address = address_of(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Waits for an answer. */
static int take(uint64_t *call, int *fd)
{
	struct pollfd control = {.fd = dialer.child.control, .events = POLLIN};
	ck_assert_int_gt(poll(&control, 1, LIMIT_MS), 0);
	return dialer_take(&dialer, call, fd);
}

START_TEST(the_socket_is_the_users_own)
{
	const struct sockaddr_un address = address_of(path);
	struct stat made;
	int listener = dialer_start(&dialer, path);

	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(lstat(path, &made), 0);
	ck_assert_uint_eq(made.st_mode & 07777, 0600);
	ck_assert_int_ne(fcntl(listener, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(listener, F_GETFD) & FD_CLOEXEC, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	close(listener);
	dialer_stop(&dialer);
	ck_assert(!exists(path));
}
END_TEST

START_TEST(ports_are_dialled)
{
	char name[112], byte;
	uint64_t call;
	int fd, listener = dialer_start(&dialer, path);

	snprintf(name, sizeof(name), "%s_4294967295", path);
	int served = make_socket(name);
	ck_assert_int_eq(listen(served, 1), 0);
	ck_assert_int_eq(dialer_take(&dialer, &call, &fd), -EAGAIN);
	ck_assert_int_eq(dialer_ask(&dialer, 7, UINT32_MAX), 0);
	ck_assert_int_eq(dialer_ask(&dialer, 8, 1), 0);
	ck_assert_int_eq(take(&call, &fd), 0);
	ck_assert_uint_eq(call, 7);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	int accepted = accept(served, NULL, NULL);
	ck_assert_int_eq(write(accepted, "x", 1), 1);
	ck_assert_int_eq(read(fd, &byte, 1), 1);
	/* Only ebb has it now: the program sees its end. */
	close(fd);
	ck_assert_int_eq(read(accepted, &byte, 1), 0);
	ck_assert_int_eq(take(&call, &fd), 0);
	ck_assert_uint_eq(call, 8);
	ck_assert_int_eq(fd, -ENOENT);
	close(accepted);
	close(served);
	ck_assert_int_eq(dialer_ask(&dialer, 9, UINT32_MAX), 0);
	ck_assert_int_eq(take(&call, &fd), 0);
	ck_assert_int_eq(fd, -ECONNREFUSED);
	unlink(name);
	close(listener);
}
END_TEST

/* A program that accepts nobody holds up nobody. */
START_TEST(a_full_backlog)
{
	char name[112];
	uint64_t call;
	int fd, listener = dialer_start(&dialer, path);

	snprintf(name, sizeof(name), "%s_5", path);
	int served = make_socket(name);
	ck_assert_int_eq(listen(served, 0), 0);
	for (uint64_t i = 0; i < 2; i++) {
		ck_assert_int_eq(dialer_ask(&dialer, i, 5), 0);
		ck_assert_int_eq(take(&call, &fd), 0);
		ck_assert_uint_eq(call, i);
		ck_assert_msg(i == 0 ? fd >= 0 : fd == -EAGAIN, "%d", fd);
		if (fd >= 0)
			close(fd);
	}
	close(served);
	unlink(name);
	close(listener);
}
END_TEST

/* Questions beyond what the process has read are refused: ebb does not wait. */
START_TEST(a_process_that_stands_still)
{
	unsigned int asked = 0;
	int listener = dialer_start(&dialer, path);

	ck_assert_int_eq(kill(dialer.child.process, SIGSTOP), 0);
	while (dialer_ask(&dialer, asked, 1) == 0)
		ck_assert_uint_lt(asked++, 1000000);
	ck_assert_uint_gt(asked, 0);
	/* It is killed. */
	dialer_stop(&dialer);
	ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0);
	close(listener);
	unlink(path);
}
END_TEST

START_TEST(a_process_that_has_ended)
{
	uint64_t call;
	int fd, listener = dialer_start(&dialer, path);

	ck_assert_int_eq(kill(dialer.child.process, SIGKILL), 0);
	ck_assert_int_eq(take(&call, &fd), -EPIPE);
	ck_assert_int_lt(dialer_ask(&dialer, 1, 1), 0);
	close(listener);
	/* What it left does not bar the next guest. */
	dialer_stop(&dialer);
	ck_assert(exists(path));
	listener = dialer_start(&dialer, path);
	ck_assert_int_ge(listener, 0);
	close(listener);
	dialer_stop(&dialer);
	ck_assert(!exists(path));
}
END_TEST

START_TEST(a_path_in_use)
{
	int other = make_socket(path);

	ck_assert_int_eq(listen(other, 1), 0);
	ck_assert_int_eq(dialer_start(&dialer, path), -EADDRINUSE);
	assert_said("a program listens there; name another path with --vsock PATH");
	ck_assert(exists(path));
	close(other);
	unlink(path);
	int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(file);
	ck_assert_int_eq(dialer_start(&dialer, path), -ENOTSOCK);
	assert_said("exists and is not a socket; name another path with --vsock PATH");
	ck_assert(exists(path));
	unlink(path);
	snprintf(path, sizeof(path), "%s/none/vsock", top);
	ck_assert_int_eq(dialer_start(&dialer, path), -ENOENT);
	assert_said("name a path in a directory of yours with --vsock PATH");
}
END_TEST

/* A name that was taken over in the meantime stays. */
START_TEST(another_socket_of_that_name)
{
	int listener = dialer_start(&dialer, path);

	unlink(path);
	int other = make_socket(path);
	close(listener);
	dialer_stop(&dialer);
	ck_assert(exists(path));
	close(other);
	unlink(path);
}
END_TEST

Suite *dialer_suite(void);
Suite *dialer_suite(void)
{
	Suite *suite = suite_create("dialer");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, the_socket_is_the_users_own);
	tcase_add_test(all, ports_are_dialled);
	tcase_add_test(all, a_full_backlog);
	tcase_add_test(all, a_process_that_stands_still);
	tcase_add_test(all, a_process_that_has_ended);
	tcase_add_test(all, a_path_in_use);
	tcase_add_test(all, another_socket_of_that_name);
	suite_add_tcase(suite, all);
	return suite;
}
