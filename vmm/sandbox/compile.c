// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the filters of the table in calls.h: a program of its own, which is built and run before ebb is,
 * and writes what filter.c includes. libseccomp needs a twentieth of ebb's whole start for it.
 */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/sandbox/calls.h"
#include "vmm/sandbox/shorten.h"

/* An argument is an int or another number of 32 bits: the upper half of its register is undefined. */
static int add_call(scmp_filter_ctx context, const struct call *call)
{
	struct scmp_arg_cmp argument[CALL_CHECKS_MAX];

	for (unsigned int i = 0; i < call->checks; i++) {
		const struct call_check *check = &call->check[i];
		argument[i] =
			SCMP_CMP64(check->argument, SCMP_CMP_MASKED_EQ, check->mask, check->value);
	}
	return seccomp_rule_add_array(context, SCMP_ACT_ALLOW, call->number, call->checks,
				      argument);
}

static int add_calls(scmp_filter_ctx context, enum thread_kind kind)
{
	int error = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A tree, with few steps to each call: the kernel goes through the program for all there are when it takes a filter. */
	if (!error)
		error = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < calls_count && !error; i++)
		if (calls[i].kinds & 1U << kind)
			error = add_call(context, &calls[i]);
	return error;
}

/* Returns 0; or -errno, also if the program is cut: each ends with a return. */
static int print_steps(int fd, enum thread_kind kind)
{
	struct sock_filter step[SHORTEN_STEPS_MAX + 1];

	ssize_t len = pread(fd, step, SHORTEN_STEPS_MAX * sizeof(*step), 0);
	if (len < 0)
		return -errno;
	/* A vCPU's every exit is an ioctl. */
	int steps = shorten(step, (unsigned int)((size_t)len / sizeof(*step)),
			    kind == THREAD_VCPU ? SCMP_SYS(ioctl) : SHORTEN_NONE);
	if (steps <= 0 || BPF_CLASS(step[steps - 1].code) != BPF_RET)
		return steps < 0 ? steps : -EIO;
	for (int i = 0; i < steps; i++)
		printf("\t{0x%x, %u, %u, 0x%x},\n", step[i].code, step[i].jt, step[i].jf,
		       step[i].k);
	return 0;
}

/* libseccomp writes a program to a descriptor: to a file without a name, which needs no /tmp. */
static int print_program(scmp_filter_ctx context, enum thread_kind kind)
{
	int fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int error = seccomp_export_bpf(context, fd);
	if (!error)
		error = print_steps(fd, kind);
	close(fd);
	return error;
}

static int print_kind(enum thread_kind kind)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_TRAP);
	if (!context)
		return -ENOMEM;
	int error = add_calls(context, kind);
	printf("static const struct sock_filter steps_%d[] = {\n", kind);
	if (!error)
		error = print_program(context, kind);
	puts("};");
	seccomp_release(context);
	return error;
}

int main(void)
{
	/*
	 * With what the kernel of a running ebb has: the kernel that builds it, or QEMU's user
	 * mode, may have less.
	 */
	int error = seccomp_api_set(3);
	if (error) {
		fprintf(stderr, "ebb: libseccomp: %s\n", strerror(-error));
		return 1;
	}
	puts("/* Made by vmm/sandbox/compile.c of vmm/sandbox/calls.c. */");
	for (int kind = 0; kind < THREAD_KINDS; kind++) {
		error = print_kind(kind);
		if (error) {
			fprintf(stderr, "ebb: cannot make the filter of kind %d: %s\n", kind,
				strerror(-error));
			return 1;
		}
	}
	for (int kind = 0; kind < THREAD_KINDS; kind++)
		printf("_Static_assert(sizeof(steps_%d) / sizeof(steps_%d[0]) <= FILTER_STEPS_MAX, \"room for it\");\n",
		       kind, kind);
	puts("static const struct program programs[THREAD_KINDS] = {");
	for (int kind = 0; kind < THREAD_KINDS; kind++)
		printf("\t{steps_%d, sizeof(steps_%d) / sizeof(steps_%d[0])},\n", kind, kind, kind);
	puts("};");
	return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
