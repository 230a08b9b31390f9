/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot that a running guest's memory is in, and those that it is based on: they must stay as they are. If one is
 * written to or cut, the guest ends.
 *
 * That is not left to KVM: on x86_64, a vCPU that touches a page beyond the file's end tries again for ever (see
 * device_pmem.c); and neither the host nor the guest would notice other bytes in pages that the guest has not used yet.
 * The same vCPU may try for ever, unnoticed, when the storage fails to read a page (EIO): no event tells of that.
 *
 * Owner: struct machine. Thread: main. Source: inotify(7).
 */
#ifndef EBB_MACHINE_RESTORED_FILE_H
#define EBB_MACHINE_RESTORED_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/lib/loop.h"
#include "vmm/snapshot/chain.h"
#include "vmm/snapshot/files.h"

struct machine;

struct restored_file {
	struct loop_source changes; /* inotify's; its fd is -1 if the host cannot watch the files */
	struct machine *machine;    /* or NULL: there is no file */
	unsigned int count;
	struct {
		int fd;	       /* a duplicate, or -1 */
		uint64_t size; /* bytes: when it was mapped */
	} file[SNAPSHOT_CHAIN_MAX];
	struct snapshot_id id; /* of the first, as it says itself */
	unsigned int watches;
	struct {
		dev_t device;
		ino_t inode;
		int watch; /* inotify's number */
		bool used, changed;
	} watched[SNAPSHOT_BASES_MAX + 1];
	bool changed;
	bool unwatched; /* said so */
};

/*
 * Watches @fd, too, from now on, on the machine's loop: a change counts if memory of the guest turns out to be in it. A host
 * that cannot gets a warning, once. Needs /proc.
 */
void restored_file_watch(struct restored_file *file, struct machine *machine, int fd);
/*
 * Memory of the guest is in @fd, which is watched, and may be closed afterwards: the snapshot first, then what it is based on.
 * Once for each.
 */
void restored_file_use(struct restored_file *file, int fd);
/* Returns whether it has changed: however the guest ended, that is the reason then. @file may be all zero. */
bool restored_file_changed(struct restored_file *file);
/*
 * Prints an error message if the machine crashed because of the file: it changed, or a vCPU needs memory that cannot be
 * had from it, which can be noticed sooner. Returns whether it did. @file may be all zero.
 */
bool restored_file_explain(const struct restored_file *file);
/* @file may be all zero. */
void restored_file_release(struct restored_file *file);

#endif
