/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's disks, in the order of the guest's vda, vdb, …. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_BLK_H
#define EBB_MACHINE_DEVICE_BLK_H

#include "devices/virtio-blk/blk.h"
#include "devices/virtio-blk/served.h"
#include "vmm/lib/why.h"
#include "vmm/machine/device.h"
#include "vmm/machine/served.h"
#include "vmm/storage/storage.h"

struct disk {
	struct device device;
	char id[16];	    /* disk0, disk1, …: for the guest and for clients */
	const char *file;   /* as the user named it */
	const char *format; /* raw, qcow2, nbd */
	unsigned int backing_files;
	bool direct;
	/* A raw disk, which ebb itself reads and writes. */
	struct blk blk;
	int again; /* its file, opened once more, if it can be written to; or -1: see disks_flush_ahead() */
	/* Any other, by qemu-storage-daemon. */
	bool is_served;
	struct blk_served remote;
	struct served served;
	struct storage_locks locks;
	int about; /* O_PATH, to measure the image's file; or -1 */
};

extern const struct device_kind device_blk;

/* Returns the machine's disk @number, counted from 0, or NULL after the last. */
struct disk *machine_disk(const struct machine *machine, unsigned int number);

/* What both kinds of disk have. Any thread. */
static inline const struct blk_counters *disk_counters(const struct disk *disk)
{
	return disk->is_served ? disk->remote.counters : disk->blk.counters;
}

static inline uint64_t disk_unknown(const struct disk *disk)
{
	return disk->is_served ? disk->remote.unknown : disk->blk.unknown;
}

static inline uint64_t disk_size(const struct disk *disk)
{
	return disk->is_served ? disk->remote.size : disk->blk.image.size;
}

static inline bool disk_read_only(const struct disk *disk)
{
	return disk->is_served ? disk->remote.read_only : disk->blk.image.read_only;
}

/* Returns the bytes that the disk's file takes on the host; may wait for its storage. */
uint64_t disk_allocated(const struct disk *disk);

/*
 * Make durable what the guest has written to its raw disks; wait for their storage, without a limit. disks_flush(): when they
 * are frozen (virtio_core_freeze()). disks_flush_ahead(): before, while the guest runs, so that little is left to do then. That
 * uses a descriptor of its own: the host tells each once of data that it could not write (fsync(2)), and the disk's worker must
 * not miss it. Return 0, or -errno with @why set. Thread: the saver's.
 */
int disks_flush(const struct machine *machine, struct why *why);
int disks_flush_ahead(const struct machine *machine, struct why *why);

#endif
