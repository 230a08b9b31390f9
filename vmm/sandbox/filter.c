// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REFUSED SCMP_ACT_LOG
#else
#define REFUSED SCMP_ACT_TRAP
#endif

/* Its argument is an int or another number of 32 bits: the upper half of a register is undefined. */
static struct scmp_arg_cmp compare(const struct call_check *check)
{
	return SCMP_CMP64(check->argument, SCMP_CMP_MASKED_EQ, check->mask, check->value);
}

static int add_call(scmp_filter_ctx context, const struct call *call, int directory)
{
	struct scmp_arg_cmp argument[CALL_CHECKS_MAX + 1];
	unsigned int n = 0;

	while (n < call->checks) {
		argument[n] = compare(&call->check[n]);
		n++;
	}
	/* Two values that are known only now. */
	if (call->number == SCMP_SYS(tgkill))
		argument[n++] = compare(&(struct call_check){0, ~0U, (uint32_t)getpid()});
	if (call->number == SCMP_SYS(unlinkat))
		argument[n++] = compare(&(struct call_check){0, ~0U, (uint32_t)directory});
	return seccomp_rule_add_array(context, SCMP_ACT_ALLOW, call->number, n, argument);
}

static int add_calls(scmp_filter_ctx context, enum thread_kind kind, int directory)
{
	int error = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A vCPU's every exit is one. */
	if (!error)
		error = seccomp_syscall_priority(context, SCMP_SYS(ioctl), UINT8_MAX);
	for (size_t i = 0; i < calls_count && !error; i++)
		if (calls[i].kinds & 1U << kind)
			error = add_call(context, &calls[i], directory);
	return error;
}

/* libseccomp writes a program only to a descriptor. The size of a pipe has no limit (ulimit -f). */
static int take_program(scmp_filter_ctx context, struct filter *filter)
{
	int pipes[2];
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	int error = seccomp_export_bpf(context, pipes[1]);
	close(pipes[1]);
	ssize_t size = error ? 0 : read(pipes[0], filter->step, sizeof(filter->step));
	char more;
	if (size < 0)
		error = -errno;
	else if (read(pipes[0], &more, 1) != 0)
		error = -E2BIG;
	else
		filter->steps = (unsigned int)((size_t)size / sizeof(filter->step[0]));
	close(pipes[0]);
	return error;
}

int filter_make(struct filter *filter, enum thread_kind kind, int directory)
{
	filter->steps = 0;
	scmp_filter_ctx context = seccomp_init(REFUSED);
	if (!context)
		return -ENOMEM;
	int error = add_calls(context, kind, directory);
	if (!error)
		error = take_program(context, filter);
	seccomp_release(context);
	return error;
}

int filter_load(const struct filter *filter)
{
	const struct sock_fprog program = {(unsigned short)filter->steps,
					   (struct sock_filter *)filter->step};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
