/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that ebb's threads make once the guest runs: one table, which says for each call
 * which kinds of threads make it, and with which arguments.
 *
 * All kinds share one memory, so an attacker in one thread may come to run another's calls; what no
 * kind has, nobody has. Pure. Thread: any. Source: seccomp(2), seccomp_rule_add(3).
 */
#ifndef EBB_SANDBOX_CALLS_H
#define EBB_SANDBOX_CALLS_H

#include <stddef.h>
#include <stdint.h>

enum thread_kind {
	THREAD_MAIN,
	THREAD_VCPU,
	THREAD_BALLOON,
	THREAD_BLK,
	THREAD_NET,
	THREAD_FS,
	THREAD_RNG,
	THREAD_PMEM,
	THREAD_VSOCK,
	THREAD_MEASURE,
	THREAD_SNAPSHOT,
	THREAD_KINDS,
};

/* Returns the kind of the thread with this name ("vcpu12"), or -ENOENT. */
int calls_kind(const char *thread);

#define CALL_CHECKS_MAX 2

/* The bits @mask of argument @argument are @value. */
struct call_check {
	unsigned int argument;
	uint32_t mask;
	uint32_t value;
};

/* One row: a call, with all of its @checks, is allowed to the @kinds (a bit each). */
struct call {
	int number; /* libseccomp's; negative: this architecture does not have it */
	unsigned int kinds;
	unsigned int checks;
	struct call_check check[CALL_CHECKS_MAX];
};

extern const struct call calls[];
extern const size_t calls_count;

#endif
