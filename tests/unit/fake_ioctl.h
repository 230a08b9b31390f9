/* SPDX-License-Identifier: Apache-2.0 */
/* A KVM that is the test's: what ioctl(2) calls in place of the host's kernel, in this process. */
#ifndef EBB_TEST_FAKE_IOCTL_H
#define EBB_TEST_FAKE_IOCTL_H

/* As ioctl(2). NULL: the kernel's. */
extern int (*fake_ioctl)(int fd, unsigned long request, void *argument);

#endif
