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

#include "vmm/sandbox/calls.h"

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
	/* A vCPU's every exit is one. */
	if (!error)
		error = seccomp_syscall_priority(context, SCMP_SYS(ioctl), UINT8_MAX);
	for (size_t i = 0; i < calls_count && !error; i++)
		if (calls[i].kinds & 1U << kind)
			error = add_call(context, &calls[i]);
	return error;
}

/* libseccomp writes a program to a descriptor: to a file without a name. */
static int print_program(scmp_filter_ctx context)
{
	struct sock_filter step;
	FILE *file = tmpfile();
	if (!file)
		return -errno;
	int error = seccomp_export_bpf(context, fileno(file));
	rewind(file);
	while (!error && fread(&step, sizeof(step), 1, file) == 1)
		printf("\t{0x%x, %u, %u, 0x%x},\n", step.code, step.jt, step.jf, step.k);
	fclose(file);
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
		error = print_program(context);
	puts("};");
	seccomp_release(context);
	return error;
}

int main(void)
{
	/* With what ebb's kernel has: the one that builds it may be less, or QEMU's user mode. */
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
	puts("static const struct program programs[THREAD_KINDS] = {");
	for (int kind = 0; kind < THREAD_KINDS; kind++)
		printf("\t{steps_%d, sizeof(steps_%d) / sizeof(steps_%d[0])},\n", kind, kind, kind);
	puts("};");
	return fflush(stdout) ? 1 : 0;
}
