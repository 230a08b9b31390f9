/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a filter that libseccomp has made shorter, and so cheaper: the kernel takes time for each step when a thread loads it, and
 * at each call. Not part of ebb: compile.c's, while ebb is built.
 *
 * Pure. Thread: any. Source: the kernel's Documentation/userspace-api/seccomp_filter.rst, bpf(4) of the BSDs.
 */
#ifndef EBB_SANDBOX_SHORTEN_H
#define EBB_SANDBOX_SHORTEN_H

#include <linux/filter.h>

#define SHORTEN_STEPS_MAX 512
#define SHORTEN_NONE	  (-1)

/*
 * Leaves out comparisons that are always true: of no bits of an argument's upper half with zero. Has the call @first, if that is
 * not SHORTEN_NONE, found by the first comparison of its number, before the tree. @step has room for one more. Returns how many
 * steps there are then, or -EINVAL if it does not understand the program.
 */
int shorten(struct sock_filter *step, unsigned int steps, int first);

#endif
