/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that ebb's threads make once the guest runs: one table, which says for each call
 * which kinds of threads make it, and with which arguments.
 *
 * All kinds share one memory, so an attacker in one thread may come to run another's calls; what no
 * kind has, nobody has. The table is not part of ebb: compile.c makes the filters of it, while ebb is
 * built. Pure. Source: seccomp(2), seccomp_rule_add(3).
 */
#ifndef EBB_SANDBOX_CALLS_H
#define EBB_SANDBOX_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/sandbox/threads.h"

#define CALL_CHECKS_MAX 2

/* Two values that are known only when a thread loads its filter: ebb's PID, a descriptor. */
#define CALL_PID       0x7ebb0001
#define CALL_DIRECTORY 0x7ebb0002

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
