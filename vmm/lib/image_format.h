/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognizes images that are not raw disks: a guest that got one as a raw disk would find garbage, and
 * destroy it by writing. Thread: any.
 */
#ifndef EBB_LIB_IMAGE_FORMAT_H
#define EBB_LIB_IMAGE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_FORMAT_SECTOR 512 /* bytes */

/*
 * Returns the name of the format whose mark is in a file's @first or @last IMAGE_FORMAT_SECTOR bytes (padded with
 * zeros if the file has fewer), or NULL if there is none.
 * Sources: the headers that QEMU's drivers write (docs/interop, block/); for VHD
 * Microsoft's specification of 2006, for VMDK VMware's of 2011.
 */
const char *image_format_name(const uint8_t first[IMAGE_FORMAT_SECTOR],
			      const uint8_t last[IMAGE_FORMAT_SECTOR]);

/* Returns whether @file is a regular file or a block device with qcow2's mark; false if it cannot be read. */
bool image_format_is_qcow2(const char *file);

#endif
