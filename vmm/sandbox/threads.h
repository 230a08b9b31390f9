/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of ebb's threads. All of a kind make the same system calls: see calls.h.
 *
 * Pure. Thread: any.
 */
#ifndef EBB_SANDBOX_THREADS_H
#define EBB_SANDBOX_THREADS_H

enum thread_kind {
	THREAD_MAIN,
	THREAD_RESTORE, /* the main thread before that, while it reads a snapshot */
	THREAD_VCPU,
	THREAD_BALLOON,
	THREAD_BLK,
	THREAD_NET,
	THREAD_FS,
	THREAD_RNG,
	THREAD_PMEM,
	THREAD_VSOCK,
	THREAD_CONSOLE,
	THREAD_MEASURE,
	THREAD_SNAPSHOT,
	THREAD_KEEPER, /* of `ebb keeper`, a process without a guest */
	THREAD_KINDS,
};

/* Returns the kind of the thread with this name ("vcpu12"), or -ENOENT. */
int thread_kind(const char *name);

#endif
