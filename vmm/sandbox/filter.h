/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of system calls (seccomp), one for each kind of thread, made of the table in calls.h. They
 * are made on the main thread; each thread loads its own. A call that its filter refuses is not
 * made: SIGSYS comes in its place, and ends ebb (vmm/lib/fatal.h).
 *
 * In builds with sanitizers, which make calls of their own, a filter refuses nothing.
 *
 * Thread: filter_make(): main; filter_load(): any. Source: seccomp(2), libseccomp.
 */
#ifndef EBB_SANDBOX_FILTER_H
#define EBB_SANDBOX_FILTER_H

#include <linux/filter.h>

#include "vmm/sandbox/calls.h"

#define FILTER_STEPS_MAX 256

/* A program for the kernel's filter machine. */
struct filter {
	unsigned int steps;
	struct sock_filter step[FILTER_STEPS_MAX];
};

/*
 * Makes the filter of @kind. @directory is a descriptor: names are removed there only. Returns 0 or
 * -errno.
 */
int filter_make(struct filter *filter, enum thread_kind kind, int directory);

/* Loads it for the calling thread, for ever; needs no_new_privs. Returns 0 or -errno. */
int filter_load(const struct filter *filter);

#endif
