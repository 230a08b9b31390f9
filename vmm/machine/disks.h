/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's disks, each a block device in a slot of its own. All zero is none.
 *
 * Thread: main.
 */
#ifndef EBB_MACHINE_DISKS_H
#define EBB_MACHINE_DISKS_H

#include "devices/virtio-blk/blk.h"
#include "devices/bus.h"
#include "vmm/config/config.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/ram.h"
#include "vmm/machine/mmio_slot.h"

struct disk {
	char id[16]; /* disk0 and up: for the guest, and for who asks */
	char *file;
	struct mmio_slot slot;
	struct blk blk;
};

struct disks {
	struct disk *disk;  /* owned */
	unsigned int count; /* of these, whose init was begun */
};

/*
 * Opens @config's disks, in order, and plugs them into the slots from @first on. Returns 0 or -errno having
 * said why; then too disks_release() follows.
 */
int disks_init(struct disks *disks, const struct vm_config *config, unsigned int first,
	       const struct ram *ram, const struct arch_platform *platform, struct vm *vm,
	       struct bus *mmio);
void disks_release(struct disks *disks);

/* Their workers. Start returns 0 or -errno having said why. */
int disks_start(struct disks *disks);
/* What a worker is at is finished; the disks do nothing more. */
void disks_stop(struct disks *disks);

#endif
