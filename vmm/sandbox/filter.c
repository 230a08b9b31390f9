// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/sandbox/calls.h"

/* For the kernel's filter machine. */
struct program {
	const struct sock_filter *step;
	unsigned int steps;
};

#include "programs.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REFUSED SECCOMP_RET_LOG
#else
#define REFUSED SECCOMP_RET_TRAP
#endif

unsigned int filter_program(enum thread_kind kind, pid_t pid, int directory,
			    struct sock_filter step[FILTER_STEPS_MAX])
{
	const struct program *program = &programs[kind];

	memcpy(step, program->step, program->steps * sizeof(*step));
	for (unsigned int i = 0; i < program->steps; i++) {
		bool compares = step[i].code == (BPF_JMP | BPF_JEQ | BPF_K);
		if (compares && step[i].k == CALL_PID)
			step[i].k = (uint32_t)pid;
		else if (compares && step[i].k == CALL_DIRECTORY)
			step[i].k = (uint32_t)directory;
		else if (step[i].code == (BPF_RET | BPF_K) && step[i].k == SECCOMP_RET_TRAP)
			step[i].k = REFUSED;
	}
	return program->steps;
}

int filter_load(enum thread_kind kind, int directory)
{
	struct sock_filter step[FILTER_STEPS_MAX];
	unsigned int steps = filter_program(kind, getpid(), directory, step);
	const struct sock_fprog program = {(unsigned short)steps, step};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
