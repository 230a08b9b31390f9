/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine as a snapshot (docs/snapshot-format.md): its sections, in order. vmm/snapshot knows the form of them
 * only, and each part of the machine writes and reads its own state.
 */
#ifndef EBB_MACHINE_SAVE_H
#define EBB_MACHINE_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/lib/why.h"
#include "vmm/snapshot/stream.h"

struct machine;
struct saved_machine;

/* Describes the machine as a snapshot's first record does. Main thread, or as machine_save(). */
void machine_describe(const struct machine *machine, struct saved_machine *own);

/*
 * Return 0, or -EOPNOTSUPP with @why set: a part of the machine cannot be saved, or restored. Main thread, at any
 * time.
 */
int machine_can_save(const struct machine *machine, struct why *why);
/* As machine_can_save(), of an increment. */
int machine_can_increment(const struct machine *machine, struct why *why);
int machine_can_restore(const struct machine *machine, struct why *why);

/*
 * Writes the machine, which is paused (cpus_pause()), and stays so: waits until its vCPUs and devices have finished
 * what they do, and keeps them from going on; flushes its disks. Memory is in whole blocks, of which a file keeps only what holds something;
 * if @writer->sparse, for a stream, in as many pieces as it takes to leave out pages of zeros, but those that are in the
 * file that the guest was restored from, and were not read yet; if @writer->increment, only in pieces that are not as in
 * that file (machine_can_increment()). After live_save() only what that left: call live_end() then. Then calls @writer->finish. *@pages: how many of 4 KiB were written. Returns 0;
 * or -errno with @why set, and without it if it is the writer's. Thread: any but main, which must serve the console meanwhile, and a
 * device's.
 */
int machine_save(struct machine *machine, struct snapshot_writer *writer, uint64_t *pages,
		 struct why *why);
/* For live_save(): begins the snapshot, with which machine it is of. Returns 0, or the writer's -errno. */
int machine_save_head(const struct machine *machine, struct snapshot_writer *writer);

/*
 * Opens the snapshot in the folder @folder, and all that it may be based on there, for a machine that is complete, except for a
 * kernel to boot. Its RAM will be a private mapping of the files, which must stay as they are while the guest runs, and are
 * not checked; with @restore_all, or if RAM cannot be mapped (ram_map_file()), it is read and checked. If @folder is "-", all
 * of it is read from @stream, which is closed at the end; nothing may come for a minute at most. @folder outlives the
 * machine. Returns 0, or -errno after an error message. Main thread.
 */
int machine_restore_open(struct machine *machine, const char *folder, int stream, bool restore_all);
/*
 * Reads what was opened, and closes it. Opens no file: what is read may be a stranger's. Returns 0, or -errno after an error
 * message; then the guest must not run. Main thread, before any other does anything: they may have been started.
 */
int machine_restore(struct machine *machine);
/* Closes what was opened, if anything still is. */
void machine_restore_close(struct machine *machine);

#endif
