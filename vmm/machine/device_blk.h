/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's disks, in the order of the guest's vda, vdb, …. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_BLK_H
#define EBB_MACHINE_DEVICE_BLK_H

#include "devices/virtio-blk/blk.h"
#include "vmm/machine/device.h"

struct disk {
	struct device device;
	char id[16]; /* disk0, disk1, …: for the guest and for clients */
	struct blk blk;
};

extern const struct device_kind device_blk;

/* Returns the machine's disk @number, counted from 0, or NULL after the last. */
struct disk *machine_disk(const struct machine *machine, unsigned int number);

#endif
