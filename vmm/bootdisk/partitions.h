/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partitions of a disk image: GPT (UEFI specification 2.10 §5.3), else MBR (ibid. §5.2.1,
 * primary partitions only), else the whole image as one. Sectors have 512 bytes. Nothing in a table
 * is trusted: a partition that does not lie within the image is left out.
 *
 * Thread: any; nothing is kept.
 */
#ifndef EBB_BOOTDISK_PARTITIONS_H
#define EBB_BOOTDISK_PARTITIONS_H

#include <stdint.h>

#include "vmm/bootdisk/source.h"

#define PARTITIONS_MAX 128

struct partition {
	uint64_t offset; /* bytes, from the start of the image */
	uint64_t size;	 /* bytes */
};

/*
 * Fills @found in the order of the table of the image @source. Returns how many there are; a table that cannot be read
 * has none.
 */
unsigned int partitions_find(struct source *source, struct partition found[PARTITIONS_MAX]);

#endif
