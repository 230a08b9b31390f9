/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core scheduling: the threads of one core run ebb's threads only, or none of any other process that is not the
 * kernel's. So no other guest can watch, at the same time, what the core leaks (MDS and its kind). The
 * kernel does nothing where a core has one thread.
 *
 * Thread: main, before others start, which inherit it. Source: prctl(2),
 * Documentation/admin-guide/hw-vuln/core-scheduling.rst.
 */
#ifndef EBB_SANDBOX_CORES_H
#define EBB_SANDBOX_CORES_H

/* Returns 0; -ENODEV if no core has more than one thread; -EINVAL if the kernel does not do it. */
int cores_separate(void);

/* The same answer, with nothing changed. */
int cores_probe(void);

#endif
