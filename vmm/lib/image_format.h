/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognizes images that are not raw disks: a guest that got one as a raw disk would find garbage, and
 * destroy it by writing. Thread: any.
 */
#ifndef EBB_LIB_IMAGE_FORMAT_H
#define EBB_LIB_IMAGE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#define FORMAT_SECTOR 512 /* bytes */

/*
 * Returns the name of the format whose mark is in a file's @first or @last FORMAT_SECTOR bytes (padded with
 * zeros if the file has fewer), or NULL if there is none.
 * Sources: the headers that QEMU's drivers write (docs/interop, block/); for VHD
 * Microsoft's specification of 2006, for VMDK VMware's of 2011.
 */
const char *format_name(const uint8_t first[FORMAT_SECTOR], const uint8_t last[FORMAT_SECTOR]);

/* Returns whether @file is a regular file or a block device with qcow2's mark; false if it cannot be read. */
bool format_is_qcow2(const char *file);

#endif
