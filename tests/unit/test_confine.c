// SPDX-License-Identifier: Apache-2.0
/* What a process can still do that reads what is a stranger's, and that it could before. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/confine.h"
#include "vmm/lib/confined.h"

#define FILE_MAX (1ULL << 30)

/* An attack returns what its system call returns. */
static long open_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static long make_socket(void)
{
	return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}

static long make_process(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long signal_parent(void)
{
	return syscall(SYS_kill, getppid(), 0);
}

static long map_code(void)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
}

static long map_image(void)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED, 0, 0);
}

static long (*const attacks[])(void) = {
	open_file, make_socket, make_process, signal_parent, map_code,
};

/* Returns how a process ends that attacks, confined or not. */
static int ended(long (*attack)(void), bool confined)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (confined && confine_self(10, FILE_MAX) != 0)
			_exit(2);
		long done = attack();
		/* Not _exit(): AddressSanitizer's makes other calls first. */
		syscall(SYS_exit_group, done >= 0 || done < -4095 ? 0 : 1);
	}
	ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

START_TEST(test_attack)
{
	int status = ended(attacks[_i], false);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "it succeeds if nothing is given up: %#x", status);
	status = ended(attacks[_i], true);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%#x", status);
}
END_TEST

START_TEST(test_map_of_a_file)
{
	int status = ended(map_image, true);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%#x", status);
}
END_TEST

static int image, copy;

/* What it is for goes on. */
static long work(void)
{
	char byte;
	/* Not malloc(): AddressSanitizer's makes more calls than libc's. */
	int *memory =
		mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	*memory = 1;
	munmap(memory, 8 << 20);
	return syscall(SYS_pread64, image, &byte, 1, 0) == 1 && write(copy, &byte, 1) == 1 ? 0 : -1;
}

START_TEST(test_work)
{
	image = open("/proc/self/exe", O_RDONLY);
	copy = memfd_create("copy", 0);
	ck_assert(image >= 0 && copy >= 0);
	int status = ended(work, true);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", status);
}
END_TEST

static _Noreturn void for_ever(void)
{
	for (;;)
		__asm__ volatile("");
}

START_TEST(test_time)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (confine_self(1, FILE_MAX) == 0)
			for_ever();
		_exit(2);
	}
	ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	ck_assert_msg(WIFSIGNALED(status), "%#x", status);
}
END_TEST

/* --- confined_run() ------------------------------------------------------------------------------ */

struct answer {
	int kept, other;
};

/* Without newfstatat(2), which the C library may make of fstat(3): whether they can be sought in. */
static void look(void *ctx, void *reply)
{
	struct answer *answer = reply;
	const int *fd = ctx;

	answer->kept = lseek(fd[0], 0, SEEK_CUR) < 0 ? errno : 0;
	answer->other = lseek(fd[1], 0, SEEK_CUR) < 0 ? errno : 0;
}

static void open_there(void *ctx, void *reply)
{
	(void)ctx, (void)reply;
	open_file();
}

static void wait_there(void *ctx, void *reply)
{
	(void)ctx, (void)reply;
	for_ever();
}

START_TEST(test_confined)
{
	struct answer answer = {-1, -1};
	int fd[] = {memfd_create("kept", MFD_CLOEXEC), memfd_create("other", MFD_CLOEXEC)};
	struct confined confined = {.work = look,
				    .ctx = fd,
				    .size = sizeof(answer),
				    .fd = {fd[0]},
				    .fds = 1,
				    .cpu_s = 10,
				    .limit_ms = 60000};

	ck_assert_int_eq(confined_run(&confined, &answer), 0);
	ck_assert_int_eq(answer.kept, 0);
	ck_assert_int_eq(answer.other, EBADF);
	/* The control. */
	confined.fd[confined.fds++] = fd[1];
	ck_assert_int_eq(confined_run(&confined, &answer), 0);
	ck_assert_int_eq(answer.other, 0);
}
END_TEST

START_TEST(test_confined_fails)
{
	struct answer answer;
	struct confined confined = {
		.work = open_there, .size = sizeof(answer), .cpu_s = 10, .limit_ms = 60000};

	ck_assert_int_eq(confined_run(&confined, &answer), -EIO);
	confined.work = wait_there;
	confined.limit_ms = 100;
	ck_assert_int_eq(confined_run(&confined, &answer), -ETIMEDOUT);
	/* It is not left behind. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* What can be handed to strerror(3), and to who takes 0 for success. */
START_TEST(test_errors_of_a_reply)
{
	ck_assert(confined_is_error(-1) && confined_is_error(-EIO) && confined_is_error(-4095));
	ck_assert(!confined_is_error(0) && !confined_is_error(1) && !confined_is_error(-4096));
	ck_assert(!confined_is_error(INT_MIN) && !confined_is_error(INT_MAX));
}
END_TEST

static pid_t parent;

static void end_at_once(void)
{
	raise(SIGKILL);
}

static void wait_for_its_end(void)
{
	while (getppid() == parent)
		;
}

static _Noreturn void run_there(int kept, void (*by_parent)(void), void (*by_child)(void))
{
	struct answer answer;
	const struct confined confined = {.work = wait_there,
					  .size = sizeof(answer),
					  .fd = {kept},
					  .fds = 1,
					  .cpu_s = 60,
					  .limit_ms = 1000};

	parent = getpid();
	pthread_atfork(NULL, by_parent, by_child);
	_exit(confined_run(&confined, &answer) == -ETIMEDOUT ? 0 : 1);
}

/* If ebb ends right after the fork, too: what only it has is closed long before its CPU time is used up. The control: it runs. */
START_TEST(test_no_orphan)
{
	int fd[2], status;

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0)
		run_there(fd[1], _i ? end_at_once : NULL, _i ? wait_for_its_end : NULL);
	close(fd[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(_i ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
	struct pollfd left = {.fd = fd[0]};
	ck_assert(poll(&left, 1, 30000) == 1 && left.revents == POLLHUP);
	close(fd[0]);
}
END_TEST

Suite *confine_suite(void);
Suite *confine_suite(void)
{
	Suite *suite = suite_create("confine");
	TCase *tcase = tcase_create("confine");
	tcase_add_loop_test(tcase, test_attack, 0, sizeof(attacks) / sizeof(attacks[0]));
	tcase_add_test(tcase, test_map_of_a_file);
	tcase_add_test(tcase, test_work);
	tcase_add_test(tcase, test_time);
	tcase_add_test(tcase, test_confined);
	tcase_add_test(tcase, test_confined_fails);
	tcase_add_test(tcase, test_errors_of_a_reply);
	tcase_add_loop_test(tcase, test_no_orphan, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
