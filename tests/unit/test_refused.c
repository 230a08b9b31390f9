// SPDX-License-Identifier: Apache-2.0
/* What a kernel refuses by each kind's filter: on each architecture, also where tests/attack does not run. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/sandbox/filter.h"

#define REFUSED 123 /* no call's own errno here */

static long attempt(unsigned int which)
{
	static uint8_t page[2 * 4096];
	uint8_t *whole = (uint8_t *)(((uintptr_t)page + 4095) & ~4095UL);

	switch (which) {
	case 0:
		return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
	case 1:
		return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
	case 2:
		return syscall(SYS_execve, "/nonesuch", NULL, NULL);
	case 3:
		return syscall(SYS_clone, 0UL, 0UL, 0UL, 0UL, 0UL);
	case 4:
		return syscall(SYS_ptrace, PTRACE_CONT, 0, NULL, NULL);
	case 5:
		return syscall(SYS_kill, getppid(), 0);
	case 6:
		return syscall(SYS_tgkill, getppid(), getppid(), 0);
	case 7:
		return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	case 8:
		return syscall(SYS_mprotect, whole, 4096, PROT_READ | PROT_EXEC);
	case 9:
		return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	case 10:
		return syscall(SYS_unlinkat, AT_FDCWD, "/nonesuch/nonesuch", 0);
	case 11:
		return syscall(SYS_ioctl, -1, 0xae41UL, 0UL); /* KVM_CREATE_VCPU */
	case 12:
		return syscall(SYS_ioctl, -1, 0x5412UL, "x"); /* TIOCSTI */
	case 13:
		return syscall(SYS_io_uring_setup, 1, NULL);
	case 14:
		return syscall(SYS_unshare, CLONE_FS);
	case 15:
		return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
	default:
		return syscall(SYS_rt_sigaction, SIGSYS, NULL, NULL, 8);
	}
}

#define ATTEMPTS 17

/* The program of ebb, but that a refused call fails: this program's own, a sanitizer's, are many. */
static void load(enum thread_kind kind)
{
	struct sock_filter step[FILTER_STEPS_MAX];
	unsigned int steps = filter_program(kind, getpid(), 12345, step);
	const struct sock_fprog program = {(unsigned short)steps, step};

	for (unsigned int i = 0; i < steps; i++)
		if (step[i].code == (BPF_RET | BPF_K) && step[i].k != SECCOMP_RET_ALLOW)
			step[i].k = SECCOMP_RET_ERRNO | REFUSED;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		syscall(SYS_exit_group, 101);
}

/* Returns how many attempts the filter of @kind, if there is one, refuses; a number from 100 on is an error. */
static int refused(enum thread_kind kind, bool loaded)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int count = 0;
		if (loaded)
			load(kind);
		for (unsigned int which = 0; which < ATTEMPTS; which++) {
			errno = 0;
			long done = attempt(which);
			/* A second process, in the control. */
			if (which == 3 && done == 0)
				syscall(SYS_exit_group, 0);
			count += done == -1 && errno == REFUSED;
		}
		syscall(SYS_exit_group, count);
	}
	ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

START_TEST(test_refused)
{
	ck_assert_int_eq(refused((enum thread_kind)_i, true), ATTEMPTS);
	/* The control. */
	ck_assert_int_eq(refused((enum thread_kind)_i, false), 0);
}
END_TEST

Suite *refused_suite(void);
Suite *refused_suite(void)
{
	Suite *suite = suite_create("refused");
	TCase *tc = tcase_create("refused");
	/* Not the keeper, which opens, removes and connects. */
	tcase_add_loop_test(tc, test_refused, 0, THREAD_KEEPER);
	suite_add_tcase(suite, tc);
	return suite;
}
