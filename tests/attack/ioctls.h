/* SPDX-License-Identifier: Apache-2.0 */
/* Which ioctls reach the kernel. Thread: any, whose filter refuses by an errno. Source: Linux, asm-generic/ioctl.h. */
#ifndef EBB_TESTS_ATTACK_IOCTLS_H
#define EBB_TESTS_ATTACK_IOCTLS_H

#include <errno.h>

/* What a filter answers to a call that it refuses: no ioctl has this errno. */
#define REFUSED ENOTRECOVERABLE

/* Tries them all, and tells those that pass on standard error. Returns 0, or -1 with errno. */
long try_ioctls(void);

#endif
