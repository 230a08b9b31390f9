/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads files out of an ext2, ext3 or ext4 in a part of an image, by libext2fs: nothing is mounted, nothing is written, and
 * only the descriptor is used. A journal is not replayed.
 *
 * Thread: any; one at a time for each file system.
 */
#ifndef EBB_BOOTDISK_EXT_H
#define EBB_BOOTDISK_EXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/bootdisk/partitions.h"

struct ext;

/* Returns NULL if libext2fs finds no such file system that it can read. @source must stay. */
struct ext *ext_open(struct source *source, const struct partition *part);
void ext_close(struct ext *ext);

/*
 * Read the regular file @path, through symbolic links within the file system. ext_read() reads up
 * to @size bytes and returns their number or -errno. ext_copy() writes all of the file to @to, and
 * subtracts the bytes written from *@left; it returns 0 or -errno, -EFBIG if the file has more than
 * *@left bytes.
 */
long ext_read(struct ext *ext, const char *path, char *buffer, size_t size);
int ext_copy(struct ext *ext, const char *path, int to, uint64_t *left);

/* Calls @found(@ctx, name) for each name in the folder @path. Returns 0 or -errno. */
int ext_list(struct ext *ext, const char *path, void (*found)(void *ctx, const char *name),
	     void *ctx);

#endif
