/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of system calls (seccomp), one for each kind of thread, made of the table in calls.h while
 * ebb is built (compile.c). A call that its filter refuses is not made: SIGSYS comes in its place, and
 * ends ebb (vmm/lib/fatal.h).
 *
 * In builds with sanitizers, which make calls of their own, a filter refuses nothing.
 *
 * Thread: any. Source: seccomp(2).
 */
#ifndef EBB_SANDBOX_FILTER_H
#define EBB_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <sys/types.h>

#include "vmm/sandbox/threads.h"

#define FILTER_STEPS_MAX 320

/*
 * The program of @kind for a process, @pid. @directory is a descriptor: names are removed there only.
 * Returns how many steps it has.
 */
unsigned int filter_program(enum thread_kind kind, pid_t pid, int directory,
			    struct sock_filter step[FILTER_STEPS_MAX]);

/* Loads it for the calling thread, for ever; needs no_new_privs. Returns 0 or -errno. */
int filter_load(enum thread_kind kind, int directory);

#endif
