/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a machine's RAM while it runs, so that it stands still for the last round alone (pre-copy): to go on elsewhere, or to be saved
 * and go on here (writer->stays). Who writes RAM meanwhile:
 *
 * - vCPUs, and KVM for them: KVM's log of dirty pages;
 * - ebb's devices, the host's kernel for them (readv, io_uring), and discards: vmm/mem/dirty_log.h;
 * - nobody else: devices that other processes or vhost serve cannot be saved.
 *
 * Not the host's page tables (soft-dirty, PAGEMAP_SCAN), which would show all writers at once: with them a huge page is dirty as
 * a whole, 2 MiB for each byte that an idle guest writes, and the second needs Linux 6.7. KVM's log splits huge pages meanwhile.
 *
 * Owner: struct machine. Thread: any but main, one at a time.
 */
#ifndef EBB_MACHINE_LIVE_H
#define EBB_MACHINE_LIVE_H

#include <stdint.h>

#include "vmm/lib/why.h"
#include "vmm/snapshot/stream.h"

struct machine;

/*
 * Returns 0, or -EOPNOTSUPP with @why set: the machine cannot go on elsewhere while this ebb still has it. As machine_can_save(),
 * which comes first.
 */
int live_can(const struct machine *machine, struct why *why);

/*
 * Before machine_save(), while the machine runs: writes the snapshot's head, then all of RAM, then again and again what was written
 * meanwhile, until what is left can be sent within @downtime ns, by how fast the reader was; if the guest stays, also until a round was in vain:
 * then it stands still longer. Call machine_save() with the same writer, then live_end(), or, if the machine has ended, live_free().
 * Returns as machine_save(); after an error nothing is left to do.
 */
int live_save(struct machine *machine, struct snapshot_writer *writer, uint64_t downtime,
	      struct why *why);
/* For machine_save(): the rest, once vCPUs and devices stand still. Returns as that. */
int live_finish(struct machine *machine, struct why *why);
/* Nothing is logged any more, unless it is tracked. In any case; also if nothing was. The guest need not stand still for it. */
void live_end(struct machine *machine);
/*
 * The same of a machine that has ended between the two, whose memory goes with it: asks nothing of KVM, which the sandbox would not
 * let main do. Thread: main, when the other has ended.
 */
void live_free(struct machine *machine);

#endif
