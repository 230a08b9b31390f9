/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host lets ebb give up, found by trying it in a process of its own, or by asking the kernel.
 *
 * Thread: main. Source: landlock(7), seccomp(2), Documentation/admin-guide/hw-vuln/core-scheduling.rst.
 */
#ifndef EBB_SANDBOX_HOST_H
#define EBB_SANDBOX_HOST_H

struct sandbox_host {
	int namespaces; /* 0 or -errno */
	int landlock;	/* its version, or -errno */
	int filters;	/* 0 or -errno */
	int cores; /* core scheduling: 0; -ENODEV: no CPU has more than one thread; or -errno */
};

void sandbox_probe(struct sandbox_host *host);

#endif
